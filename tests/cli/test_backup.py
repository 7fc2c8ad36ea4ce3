"""`hatidata backup` and `hatidata restore` as a user calls them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.exits import UsageWrong
from cli.init import prepare_home
from cli.main import app
from governance.errors import InvalidRequest
from lambdas.chain_checkpoint.task import run as lay_checkpoints
from local.audit_files import AuditFiles
from local.clock import SystemClock
from local.control_store import SqliteControlStore
from local.home import Home
from local.signing import HomeSigner


@pytest.fixture
def paths(tmp_path: Path) -> dict[str, str]:
    prepare_home(tmp_path / "home", organization_name="Acme")
    home = Home.open(tmp_path / "home")
    store = SqliteControlStore(home.store_path)
    lay_checkpoints(store, AuditFiles(home.audit_path), HomeSigner(home.store_path.parent), SystemClock())
    store.close()
    passphrase = tmp_path / "passphrase"
    passphrase.write_text("correct horse battery staple\n")
    passphrase.chmod(0o600)
    return {name: str(tmp_path / name) for name in ("home", "passphrase", "file", "again")}


def hatidata(*arguments: str) -> tuple[int, str, BaseException | None]:
    result = CliRunner().invoke(app, list(arguments))
    return result.exit_code, result.stdout, result.exception


def test_backup_try_and_restore(paths: dict[str, str]) -> None:
    secret = ("--passphrase-file", paths["passphrase"])
    code, out, _ = hatidata("backup", paths["file"], "--home", paths["home"], *secret, "--json")
    assert code == 0
    made = json.loads(out)
    code, out, _ = hatidata("restore", paths["file"], *secret, "--verify", "--json")
    assert code == 0
    tried = json.loads(out)
    assert (tried["sound"], tried["checkpoints"], tried["chains"]) == (True, 1, made["chains"])
    assert not Path(paths["again"]).exists()
    code, out, _ = hatidata("restore", paths["file"], "--home", paths["again"], *secret, "--verify")
    assert code == 0
    assert "valid again" in out
    assert Home.open(Path(paths["again"])).settings() == Home.open(Path(paths["home"])).settings()


def test_a_backup_whose_checkpoints_disagree_with_its_chain_is_called_unsound(paths: dict[str, str]) -> None:
    home = Home.open(Path(paths["home"]))
    (path,) = home.audit_path.rglob("checkpoints/**/*.json")
    path.chmod(0o600)
    path.write_bytes(path.read_bytes().replace(b'"sequence":4', b'"sequence":9'))
    secret = ("--passphrase-file", paths["passphrase"])
    assert hatidata("backup", paths["file"], "--home", paths["home"], *secret)[0] == 0
    code, out, _ = hatidata("restore", paths["file"], *secret, "--verify", "--json")
    assert code == 1
    assert {fault["kind"] for fault in json.loads(out)["audit_faults"]} == {"bad_signature"}


def test_a_passphrase_file_that_others_may_read_is_refused(paths: dict[str, str]) -> None:
    Path(paths["passphrase"]).chmod(0o644)
    raised = hatidata("backup", paths["file"], "--home", paths["home"], "--passphrase-file", paths["passphrase"])[2]
    assert isinstance(raised, UsageWrong)
    Path(paths["passphrase"]).chmod(0o600)
    Path(paths["passphrase"]).write_text("short")
    raised = hatidata("backup", paths["file"], "--home", paths["home"], "--passphrase-file", paths["passphrase"])[2]
    assert isinstance(raised, InvalidRequest)
    assert not Path(paths["file"]).exists()


def test_restore_needs_a_place_or_verify(paths: dict[str, str]) -> None:
    raised = hatidata("restore", paths["file"], "--passphrase-file", paths["passphrase"])[2]
    assert isinstance(raised, UsageWrong)
