"""docs/control-plane.md says what the code does: its tables, its vectors, its verifier."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path

from governance import chain
from governance.admin_event import SHAPES
from governance.checkpoints import Checkpoint
from governance.permissions import ENDPOINTS
from lambdas.control_plane.answers import STATUS

DOCUMENT = (Path(__file__).parents[2] / "docs" / "control-plane.md").read_text("utf-8")


def block(language: str, holding: str = "") -> str:
    found = [text for text in re.findall(rf"```{language}\n(.*?)```", DOCUMENT, re.DOTALL) if holding in text]
    assert found
    return str(found[-1])


def test_the_endpoint_table_is_the_list() -> None:
    rows = re.findall(r"^\| `([A-Z]+)` \| `(/v1\S*)` \| (\w+) \| (?:`(\S+)`)? ?\| (yes)? ?\|$", DOCUMENT, re.MULTILINE)
    assert rows == [
        (e.method, e.path, e.entry.value, e.scope.value if e.scope else "", "yes" if e.operator else "")
        for e in ENDPOINTS
    ]


def test_the_event_table_is_the_closed_list() -> None:
    rows = re.findall(r"^\| `(\w+\.\w+)` \| (.*?) \| (.*?) \|$", DOCUMENT, re.MULTILINE)
    told = {
        kind: (set(re.findall(r"`(\w+)`", before)), set(re.findall(r"`(\w+)`", after))) for kind, before, after in rows
    }
    assert told == {kind.value: (set(shape.before or ()), set(shape.after or ())) for kind, shape in SHAPES.items()}


def test_every_code_with_a_status_of_its_own_is_in_the_table() -> None:
    for code in STATUS:
        assert re.search(rf"`{code}`.*\| {STATUS[code]} \|", DOCUMENT), code


def test_the_vectors_hold_and_the_genesis_is_as_told() -> None:
    lines = block("jsonl").splitlines()
    found = chain.verify(lines, "production")
    assert found.holds
    assert found.count == 3
    assert chain.genesis("production") in DOCUMENT
    assert set(json.loads(lines[0])) == chain.FIELDS


def test_the_auditors_verifier_agrees_with_ours(tmp_path: Path) -> None:
    program, log = tmp_path / "verify.py", tmp_path / "chain.jsonl"
    program.write_text(block("python", "broken at line"), "utf-8")

    def verdict(lines: list[str]) -> tuple[int, str]:
        log.write_text("".join(line + "\n" for line in lines), "utf-8")
        done = subprocess.run(
            [sys.executable, "-I", program, log], capture_output=True, text=True, timeout=30, check=False
        )
        return done.returncode, (done.stdout or done.stderr).strip()

    lines = block("jsonl").splitlines()
    assert verdict(lines) == (0, f"3 {chain.verify(lines).head}")
    assert verdict([lines[0], lines[2]]) == (1, "broken at line 2")
    assert verdict([lines[0], lines[1].replace("sales", "sells"), lines[2]]) == (1, "broken at line 2")
    assert verdict([lines[1], lines[0], lines[2]])[0] == 1


def test_the_checkpoint_of_the_vectors_is_as_told() -> None:
    found = chain.verify(block("jsonl").splitlines(), "production")
    checkpoint = Checkpoint("production", found.count, found.head, "2026-11-22T03:00:00.000000Z")
    assert checkpoint.encode().decode() in DOCUMENT
    assert hashlib.sha256(checkpoint.encode()).hexdigest() in DOCUMENT
