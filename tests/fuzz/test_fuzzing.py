"""The coverage-guided fuzzers, for a bounded while: in every run their seeds, at length in the slow profile."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("rounds", [200, pytest.param(200_000, marks=[pytest.mark.slow, pytest.mark.timeout(3600)])])
def test_no_mutated_statement_tells_the_twins_apart(rounds: int, tmp_path: Path) -> None:
    fuzz("tests.fuzz.statements", tmp_path, f"-runs={rounds}", "-timeout=60")


@pytest.mark.parametrize("rounds", [300, pytest.param(300_000, marks=[pytest.mark.slow, pytest.mark.timeout(3600)])])
def test_no_conversation_crashes_hangs_or_leaves_something_behind(rounds: int, tmp_path: Path) -> None:
    limits = ("-max_len=600", "-len_control=0", "-timeout=30", "-rss_limit_mb=1024")
    fuzz("tests.fuzz.conversation", tmp_path, f"-runs={rounds}", *limits)


def fuzz(module: str, folder: Path, *options: str) -> None:
    pytest.importorskip("atheris")
    command = [sys.executable, "-m", module, *options, f"-artifact_prefix={folder}/"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
