"""Backup and restore of a home: equal in chain and data, whatever writes meanwhile; nothing half done is left."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import tarfile
import threading
from contextlib import closing
from pathlib import Path

import pytest

from cli.init import prepare_home
from governance.admin_event import INSTALLATION, AdminEvent, AdminEventType, Attribution
from governance.errors import Conflict, InvalidRequest, StoreUnavailable
from governance.ports import Change
from governance.register import Organization
from lambdas.chain_checkpoint.task import run as lay_checkpoints
from local import backup, sealed_stream
from local.audit_files import AuditFiles
from local.backup import BackupFacts, back_up, chains_of, check, restore
from local.clock import SystemClock
from local.control_store import SqliteControlStore
from local.home import Home
from local.sealed_stream import SealedReader, SealedWriter
from local.signing import HomeSigner

PASSPHRASE = b"correct horse battery staple"
BY = Attribution(INSTALLATION, "2026-11-22T03:00:00.000000Z")


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home made once; each test has a copy."""
    path = tmp_path_factory.mktemp("template") / "home"
    prepare_home(path, organization_name="Acme")
    home = Home.open(path)
    store = SqliteControlStore(home.store_path)
    for number in range(5):
        create(store, number)
    audit = AuditFiles(home.audit_path)
    lay_checkpoints(store, audit, HomeSigner(home.store_path.parent), SystemClock())
    store.close()
    audit.put_new("queries/2026/11/22/x.jsonl.gz", b"not looked into here" * 5000)
    (home.node_path / "cache").mkdir()
    (home.node_path / "cache" / "block").write_bytes(b"rows of customers")
    return path


@pytest.fixture
def home(template: Path, tmp_path: Path) -> Home:
    shutil.copytree(template, tmp_path / "home")
    return Home.open(tmp_path / "home")


@pytest.fixture(autouse=True)
def _cheap_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """Argon2id, slow by design, is looked at in test_sealed_stream."""

    def cheap(passphrase: bytes, salt: bytes) -> bytes:
        return hashlib.sha256(passphrase + salt).digest()

    monkeypatch.setattr(sealed_stream, "_key", cheap)


def create(store: SqliteControlStore, number: int) -> None:
    record = Organization(f"org-{number}", f"Firm {number}", BY.at)
    event = AdminEvent(AdminEventType.ORGANIZATION_CREATED, "production", record.id, record.id, None, record.fact())
    store.change(BY, lambda _: Change(None, puts=(record,), events=(event,)))


def rows(store_path: Path) -> dict[str, list[tuple[object, ...]]]:
    """Everything in a store."""
    with closing(sqlite3.connect(store_path)) as raw:
        assert raw.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return {table: list(raw.execute(f"SELECT * FROM {table} ORDER BY 1, 2, 3")) for table in ("item", "chain")} | {
            "law_version": list(raw.execute("SELECT * FROM law_version ORDER BY 1"))
        }


def files(home: Home) -> dict[str, bytes]:
    """What a backup must bring back, but the store."""
    return {
        path.relative_to(home.path).as_posix(): path.read_bytes()
        for top in ("control", "tls", "audit")
        for path in (home.path / top).rglob("*")
        if path.is_file() and "store.sqlite" not in path.name
    } | {name: (home.path / name).read_bytes() for name in ("home.json", "node/mask.key")}


def make(home: Home, target: Path) -> BackupFacts:
    return back_up(home, target, PASSPHRASE, SystemClock())


def test_h15_19_a_restored_home_equals_the_one_that_was_backed_up(home: Home, tmp_path: Path) -> None:
    made = make(home, tmp_path / "b")
    assert stat.S_IMODE((tmp_path / "b").stat().st_mode) == 0o600
    restored = restore(tmp_path / "b", tmp_path / "again", PASSPHRASE)
    assert restored == made
    again = Home.open(tmp_path / "again")
    assert rows(again.store_path) == rows(home.store_path)
    assert files(again) == files(home)
    assert chains_of(again.store_path) == made.chains
    assert [(c.environment, c.count) for c in made.chains] == [("production", 9)]
    store = SqliteControlStore(again.store_path)  # and goes on where it was
    create(store, 99)
    store.close()
    assert chains_of(again.store_path)[0].count == 10


def test_h6_nothing_of_the_home_can_be_read_in_the_file(home: Home, tmp_path: Path) -> None:
    make(home, tmp_path / "b")
    data = (tmp_path / "b").read_bytes()
    for secret in ((home.path / "tls" / "ca.key").read_bytes()[30:60], b"Firm 3", b"Acme", b"argon2id", b"home.json"):
        assert secret not in data
    assert b"rows of customers" not in SealedReader(io.BytesIO(data), PASSPHRASE).read()


def test_a_backup_is_one_moment_however_many_write_meanwhile(home: Home, tmp_path: Path) -> None:
    stop = threading.Event()
    store = SqliteControlStore(home.store_path)
    audit, signer = AuditFiles(home.audit_path), HomeSigner(home.store_path.parent)

    def write() -> None:
        number = 1000
        while not stop.is_set():
            number += 1
            create(store, number)
            if number % 5 == 0:
                lay_checkpoints(store, audit, signer, SystemClock())

    writer = threading.Thread(target=write)
    writer.start()
    try:
        facts = [make(home, tmp_path / f"b{number}") for number in range(3)]
    finally:
        stop.set()
        writer.join(30)
        store.close()
    counts = [fact.chains[0].count for fact in facts]
    assert counts == sorted(counts)
    for number, fact in enumerate(facts):
        assert restore(tmp_path / f"b{number}", tmp_path / f"r{number}", PASSPHRASE) == fact
        again = Home.open(tmp_path / f"r{number}")
        found = SqliteControlStore(again.store_path)
        with found.read() as reader:
            organizations = len(reader.every(Organization, ""))
        found.close()
        assert fact.chains[0].count == organizations + 3  # environment, Owner and key beside each organization
        newest = max((path.name for path in again.audit_path.rglob("checkpoints/**/*.json")), default="-0.json")
        assert int(newest.rpartition("-")[2].removesuffix(".json")) <= fact.chains[0].count


def test_checking_leaves_nothing_behind(home: Home, tmp_path: Path) -> None:
    made = make(home, tmp_path / "b")
    before = sorted(tmp_path.iterdir())
    seen: list[bool] = []
    assert check(tmp_path / "b", PASSPHRASE, lambda folder: seen.append((folder / "home.json").exists())) == made
    assert seen == [True]
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 0.9, 0.999])
def test_a_damaged_or_cut_backup_restores_nothing(home: Home, tmp_path: Path, share: float) -> None:
    make(home, tmp_path / "b")
    data = bytearray((tmp_path / "b").read_bytes())
    at = int(len(data) * share)
    (tmp_path / "cut").write_bytes(data[:at])
    data[at] ^= 1
    (tmp_path / "changed").write_bytes(data)
    for name in ("cut", "changed"):
        with pytest.raises(InvalidRequest):
            restore(tmp_path / name, tmp_path / "again", PASSPHRASE)
    assert not (tmp_path / "again").exists()
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_another_passphrase_restores_nothing(home: Home, tmp_path: Path) -> None:
    make(home, tmp_path / "b")
    with pytest.raises(InvalidRequest):
        restore(tmp_path / "b", tmp_path / "again", b"some other passphrase")
    assert not (tmp_path / "again").exists()


def test_neither_overwrites_what_is_there(home: Home, tmp_path: Path) -> None:
    make(home, tmp_path / "b")
    with pytest.raises(Conflict):
        make(home, tmp_path / "b")
    with pytest.raises(Conflict):
        restore(tmp_path / "b", home.path, PASSPHRASE)


def test_a_broken_chain_is_not_backed_up(home: Home, tmp_path: Path) -> None:
    with closing(sqlite3.connect(home.store_path)) as raw:
        raw.execute("DROP TRIGGER chain_no_update")
        raw.execute("UPDATE chain SET line = replace(line, 'Firm 3', 'Firm X')")
        raw.commit()
    with pytest.raises(StoreUnavailable):
        make(home, tmp_path / "b")
    assert not [path for path in tmp_path.iterdir() if path.name != "home"]


def _sealed(tmp_path: Path, members: list[tuple[tarfile.TarInfo, bytes]]) -> Path:
    """A tar of these members under the right passphrase, as an insider might make one."""
    with (tmp_path / "evil").open("wb") as file:
        sealed = SealedWriter(file, PASSPHRASE)
        with tarfile.open(fileobj=sealed, mode="w|") as tar:
            for info, data in members:
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
        sealed.finish()
    return tmp_path / "evil"


def _link(name: str, target: str, kind: bytes) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


@pytest.mark.parametrize(
    "member",
    [
        tarfile.TarInfo("../outside"),
        tarfile.TarInfo("/tmp/outside"),
        tarfile.TarInfo("audit/../../outside"),
        tarfile.TarInfo("run/control.json"),
        tarfile.TarInfo("control/..%2f"),
        _link("control/x", "../../outside", tarfile.SYMTYPE),
        _link("control/x", "home.json", tarfile.LNKTYPE),
        _link("control/x", "", tarfile.FIFOTYPE),
    ],
    ids=lambda info: f"{info.name}-{info.type!r}",
)
def test_no_name_in_a_backup_leads_out_of_the_home(tmp_path: Path, member: tarfile.TarInfo) -> None:
    path = _sealed(tmp_path, [(tarfile.TarInfo("home.json"), b"{}"), (member, b"")])
    with pytest.raises(InvalidRequest):
        restore(path, tmp_path / "again", PASSPHRASE)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["evil"]


def test_files_that_its_list_does_not_name_are_refused(home: Home, tmp_path: Path) -> None:
    make(home, tmp_path / "b")
    with (tmp_path / "b").open("rb") as file, tarfile.open(fileobj=SealedReader(file, PASSPHRASE), mode="r|") as tar:
        members = [(tarfile.TarInfo(m.name), tar.extractfile(m).read()) for m in tar]  # type: ignore[union-attr]
    assert members[-1][0].name == backup.LIST
    for changed in (
        [(tarfile.TarInfo("control/extra"), b"x"), *members],
        members[1:],
        members[:-1],
        [(info, data + b"x" if info.name == "home.json" else data) for info, data in members],
        [*members, (tarfile.TarInfo("control/late"), b"x")],
    ):
        with pytest.raises(InvalidRequest):
            restore(_sealed(tmp_path, changed), tmp_path / "again", PASSPHRASE)
    assert not (tmp_path / "again").exists()


def test_killed_in_the_middle_neither_leaves_a_file_that_looks_whole(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()  # the children use the real key
    (home.audit_path / "queries" / "big").write_bytes(os.urandom(20_000_000))
    code = (
        "import sys; from pathlib import Path\n"
        "from local.backup import back_up, restore\nfrom local.clock import SystemClock\nfrom local.home import Home\n"
        "print('begun', flush=True)\n"
        "verb, source, target = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])\n"
        "if verb == 'backup': back_up(Home.open(source), target, b'x' * 20, SystemClock())\n"
        "else: restore(source, target, b'x' * 20)\n"
        "print('done', flush=True)\n"
    )

    def killed(verb: str, source: Path, target: Path, after_bytes: int) -> None:
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
        child = subprocess.Popen(
            [sys.executable, "-c", code, verb, source, target], stdout=subprocess.PIPE, env=environment
        )
        assert child.stdout is not None
        child.stdout.readline()
        begun = threading.Event()
        while child.poll() is None and not begun.wait(0.002):
            written = sum(p.stat().st_size for p in tmp_path.glob(f".{target.name}.*") if p.is_file())
            written += sum(
                p.stat().st_size for d in tmp_path.glob(f".{target.name}.*") for p in d.rglob("*") if p.is_file()
            )
            if written >= after_bytes:
                begun.set()
        child.send_signal(signal.SIGKILL)
        child.wait(30)
        child.stdout.close()

    killed("backup", home.path, tmp_path / "b", 5_000_000)
    assert not (tmp_path / "b").exists()
    back_up(home, tmp_path / "whole", b"x" * 20, SystemClock())
    killed("restore", tmp_path / "whole", tmp_path / "again", 5_000_000)
    assert not (tmp_path / "again").exists()
    restore(tmp_path / "whole", tmp_path / "again", b"x" * 20)
