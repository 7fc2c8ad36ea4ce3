"""The coverage-guided fuzzers, for a bounded while: in every run their seeds, at length in the slow profile."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("rounds", [200, pytest.param(200_000, marks=[pytest.mark.slow, pytest.mark.timeout(3600)])])
def test_no_mutated_statement_tells_the_twins_apart(rounds: int, tmp_path: Path) -> None:
    pytest.importorskip("atheris")
    command = [
        sys.executable,
        "-m",
        "tests.fuzz.statements",
        f"-runs={rounds}",
        "-timeout=60",
        f"-artifact_prefix={tmp_path}/",
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
