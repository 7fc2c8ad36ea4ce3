"""`audit verify-chain FILE --checkpoints DIR --key FILE`: offline, on what a running home laid down."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cli.main import app
from governance.admin_event import INSTALLATION, AdminEvent, AdminEventType, Attribution
from governance.ports import Change
from governance.register import Organization
from lambdas.chain_checkpoint.task import run
from lambdas.control_plane.bootstrap import bootstrap
from local.audit_files import AuditFiles
from local.clock import SystemClock
from local.control_store import SqliteControlStore
from local.signing import HomeSigner

DOCUMENT = (Path(__file__).parents[2] / "docs" / "control-plane.md").read_text("utf-8")


@pytest.fixture
def laid(tmp_path: Path) -> Path:
    """A folder with chain.jsonl, checkpoints of three moments and signing.pub."""
    store, clock = SqliteControlStore(tmp_path / "store.sqlite"), SystemClock()
    bootstrap(
        store, environment="production", organization_id="1", organization_name="Acme",
        owner_email="olga@acme.example", clock=clock,
    )  # fmt: skip
    signer = HomeSigner(tmp_path)
    for number in range(3):
        record = Organization(f"org-{number}", "Firm", "2026-11-22T03:00:00.000000Z")
        event = AdminEvent(AdminEventType.ORGANIZATION_CREATED, "production", record.id, record.id, None, record.fact())
        by = Attribution(INSTALLATION, "2026-11-22T03:00:00.000000Z")
        store.change(by, lambda _, record=record, event=event: Change(None, puts=(record,), events=(event,)))  # type: ignore[misc]
        run(store, AuditFiles(tmp_path / "audit"), signer, clock)
    with store.read() as reader:
        lines = reader.events("production", after=0, limit=100)
    store.close()
    (tmp_path / "chain.jsonl").write_text("".join(line + "\n" for line in lines))
    (tmp_path / "signing.pub").write_bytes(signer.public_key())
    return tmp_path


def verify(folder: Path, *more: str) -> tuple[int, dict[str, Any]]:
    arguments = ["--checkpoints", str(folder / "audit"), "--key", str(folder / "signing.pub"), "--json", *more]
    result = CliRunner().invoke(app, ["audit", "verify-chain", str(folder / "chain.jsonl"), *arguments])
    return result.exit_code, json.loads(result.stdout)


def kinds(found: dict[str, Any]) -> set[str]:
    return {finding["kind"] for finding in found["findings"]}


def test_w5_6_a_chain_and_its_checkpoints_hold(laid: Path) -> None:
    code, found = verify(laid)
    assert (code, found["holds"], found["checkpoints"], found["signed"]) == (0, True, 3, True)
    assert found["count"] == 7
    assert found["longest_silence_s"] < 60


def test_a_tail_cut_off_is_named(laid: Path) -> None:
    lines = (laid / "chain.jsonl").read_text().splitlines(keepends=True)
    (laid / "chain.jsonl").write_text("".join(lines[:-1]))
    code, found = verify(laid)
    assert (code, found["first_break"], kinds(found)) == (1, None, {"truncated"})


def test_a_forged_checkpoint_is_named(laid: Path) -> None:
    path = max((laid / "audit" / "checkpoints").rglob("*.json"))
    data = path.read_bytes()
    path.chmod(0o600)
    path.write_bytes(re.sub(rb'"head":"[0-9a-f]{64}"', b'"head":"' + b"0" * 64 + b'"', data))
    assert kinds(verify(laid)[1]) == {"bad_signature"}
    path.write_bytes(b"nonsense")
    assert kinds(verify(laid)[1]) == {"malformed"}
    path.write_bytes(data)
    path.with_suffix(".sig").unlink()
    assert kinds(verify(laid)[1]) == {"unsigned"}


def test_another_key_vouches_for_nothing(laid: Path) -> None:
    (laid / "other").mkdir()
    (laid / "signing.pub").write_bytes(HomeSigner(laid / "other").public_key())
    code, found = verify(laid)
    assert (code, kinds(found), found["checkpoints"]) == (1, {"bad_signature"}, 0)


def test_without_a_key_signatures_are_not_claimed(laid: Path) -> None:
    arguments = ["audit", "verify-chain", str(laid / "chain.jsonl"), "--checkpoints", str(laid / "audit")]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0
    assert "signatures were not checked" in result.stdout


def test_the_documented_openssl_command_checks_a_checkpoint(laid: Path) -> None:
    path = min((laid / "audit" / "checkpoints").rglob("*.json"))
    (command,) = re.findall(r"^openssl pkeyutl .*CHECKPOINT\.json.*$", DOCUMENT, re.MULTILINE)
    words = [
        word.replace("CHECKPOINT.json", str(path)).replace("CHECKPOINT.sig", str(path.with_suffix(".sig")))
        for word in command.split()
    ]
    done = subprocess.run(words, cwd=laid, capture_output=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    path.chmod(0o600)
    path.write_bytes(path.read_bytes() + b" ")
    assert subprocess.run(words, cwd=laid, capture_output=True, timeout=30, check=False).returncode != 0


def test_the_auditors_own_program_agrees(laid: Path) -> None:
    """The documented programs need Python's standard library and nothing of ours."""
    programs = re.findall(r"```python\n(.*?)```", DOCUMENT, re.DOTALL)
    program = laid / "program.py"
    program.write_text(next(text for text in programs if "rglob" in text))

    def verdict() -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, "-I", program, laid / "chain.jsonl", laid / "audit"],
            capture_output=True, text=True, timeout=30, check=False,
        )  # fmt: skip
        return done.returncode, (done.stdout or done.stderr).strip()

    assert verdict() == (0, "3 checkpoints agree")
    lines = (laid / "chain.jsonl").read_text().splitlines(keepends=True)
    (laid / "chain.jsonl").write_text("".join(lines[:-1]))
    code, told = verdict()
    assert code == 1
    assert "truncated" in told
