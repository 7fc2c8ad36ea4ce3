"""The store on SQLite: crashes, snapshots, migrations, the file. What every store keeps is in tests/contract."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from governance import chain
from governance.admin_event import INSTALLATION, AdminEvent, AdminEventType, Attribution
from governance.errors import StoreUnavailable
from governance.idempotency import IdempotentAnswer
from governance.ports import Change
from governance.register import Organization, UserRecord
from governance.roles import Role
from governance.stored_record import encode_record
from local.control_store import MIGRATIONS, SCHEMA_VERSION, SqliteControlStore

BY = Attribution(INSTALLATION, "2026-11-22T03:00:00.000000Z")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteControlStore]:
    store = SqliteControlStore(tmp_path / "store.sqlite")
    yield store
    store.close()


def organization(number: int) -> Organization:
    return Organization(f"org-{number}", f"Firm {number}", BY.at)


def created(record: Organization) -> AdminEvent:
    return AdminEvent(AdminEventType.ORGANIZATION_CREATED, "production", record.id, record.id, None, record.fact())


def create(store: SqliteControlStore, number: int) -> None:
    record = organization(number)
    store.change(BY, lambda _: Change(None, puts=(record,), events=(created(record),)))


def count_and_head(store: SqliteControlStore) -> tuple[int, int]:
    """Organizations in the register, and links of a chain that must hold."""
    with store.read() as reader:
        found = chain.verify(reader.events("production", after=0, limit=100_000), "production")
        assert found.holds
        assert reader.head("production") == (found.count, found.head)
        return len(reader.every(Organization, "")), found.count


class _Failing:
    """A connection whose n-th writing statement fails, as a full disk or a crash would make it."""

    def __init__(self, real: sqlite3.Connection, at: int) -> None:
        self._real, self._left = real, at

    def execute(self, sql: str, parameters: Any = ()) -> Any:
        if sql.startswith(("INSERT", "UPDATE", "DELETE", "COMMIT")):
            self._left -= 1
            if self._left == 0:
                raise sqlite3.OperationalError("disk I/O error")
        return self._real.execute(sql, parameters)

    @property
    def in_transaction(self) -> bool:
        return self._real.in_transaction


def test_w5_7_a_crash_between_any_two_writes_leaves_both_or_neither(tmp_path: Path) -> None:
    store = SqliteControlStore(tmp_path / "store.sqlite")
    try:
        create(store, 0)
        real = store._writer
        records = [organization(number) for number in (1, 2)]
        failures = 0
        for at in range(1, 50):
            store._writer = _Failing(real, at)  # type: ignore[assignment]
            try:
                store.change(
                    BY,
                    lambda _: Change(None, puts=tuple(records), events=tuple(created(record) for record in records)),
                )
            except StoreUnavailable:
                failures += 1
                assert count_and_head(store) == (1, 1)
                continue
            break
        assert failures >= 7
        assert count_and_head(store) == (3, 3)
    finally:
        store.close()


def test_w5_7_killed_at_random_moments_the_register_and_the_chain_agree(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    code = (
        "import sys; from pathlib import Path\n"
        "from governance.admin_event import *\n"
        "from governance.ports import Change\n"
        "from governance.register import Organization\n"
        "from local.control_store import SqliteControlStore\n"
        "store = SqliteControlStore(Path(sys.argv[1])); n = int(sys.argv[2])\n"
        "by = Attribution(INSTALLATION, '2026-11-22T03:00:00.000000Z')\n"
        "while True:\n"
        "    n += 1; o = Organization(f'org-{n}', 'x', by.at)\n"
        "    e = AdminEvent(AdminEventType.ORGANIZATION_CREATED, 'production', o.id, o.id, None, o.fact())\n"
        "    store.change(by, lambda _: Change(None, puts=(o,), events=(e,)))\n"
        "    print(n, flush=True)\n"
    )
    for round_ in range(4):
        child = subprocess.Popen(
            [sys.executable, "-c", code, str(path), str(round_ * 100_000)],
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        )
        assert child.stdout is not None
        acknowledged = [child.stdout.readline() for _ in range(5 + 7 * round_)]
        child.send_signal(signal.SIGKILL)
        acknowledged += child.stdout.readlines()
        child.stdout.close()
        child.wait(10)
        store = SqliteControlStore(path)
        try:
            organizations, links = count_and_head(store)
            assert organizations == links
            with store.read() as reader:
                for line in acknowledged:
                    if line.endswith(b"\n"):
                        assert reader.get(Organization, "", f"org-{int(line)}") is not None
        finally:
            store.close()


def test_the_chain_takes_no_edit_no_deletion_and_no_fork(store: SqliteControlStore, tmp_path: Path) -> None:
    create(store, 1)
    create(store, 2)
    raw = sqlite3.connect(tmp_path / "store.sqlite")
    try:
        for sql in ("UPDATE chain SET line = 'x'", "DELETE FROM chain", "UPDATE chain SET sequence = sequence + 10"):
            with pytest.raises(sqlite3.IntegrityError, match="append-only"):
                raw.execute(sql)
        with pytest.raises(sqlite3.IntegrityError, match="UNIQUE"):
            raw.execute("INSERT INTO chain SELECT environment, 9, previous, 'h', line FROM chain WHERE sequence = 2")
    finally:
        raw.close()


def test_a_reader_sees_one_state_for_the_length_of_its_block(store: SqliteControlStore) -> None:
    create(store, 1)
    with store.read() as reader:
        before = len(reader.every(Organization, ""))
        create(store, 2)
        assert len(reader.every(Organization, "")) == before == 1
    assert count_and_head(store) == (2, 2)


def test_whoever_waits_is_told_after_the_commit(tmp_path: Path) -> None:
    seen: list[int] = []
    store = SqliteControlStore(tmp_path / "s.sqlite", on_change=lambda: seen.append(count_and_head(store)[0]))
    try:
        create(store, 1)
        assert seen == [1]
    finally:
        store.close()


def test_the_file_is_the_owners_alone(store: SqliteControlStore, tmp_path: Path) -> None:
    create(store, 1)
    assert stat.S_IMODE((tmp_path / "store.sqlite").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "store.sqlite-wal").stat().st_mode) == 0o600


@pytest.mark.parametrize("fault", ["garbage", "newer", "no folder"])
def test_what_is_no_store_is_refused_in_words(tmp_path: Path, fault: str) -> None:
    path = tmp_path / "store.sqlite"
    if fault == "garbage":
        path.write_bytes(b"x" * 5000)
    elif fault == "newer":
        raw = sqlite3.connect(path)
        raw.execute("PRAGMA user_version = 99")
        raw.close()
    else:
        path = tmp_path / "none" / "store.sqlite"
    with pytest.raises(StoreUnavailable) as refused:
        SqliteControlStore(path)
    assert str(tmp_path) not in refused.value.message + refused.value.reason


def test_a_record_that_cannot_be_read_is_refused_not_guessed(store: SqliteControlStore, tmp_path: Path) -> None:
    create(store, 1)
    raw = sqlite3.connect(tmp_path / "store.sqlite")
    raw.execute("UPDATE item SET body = '{\"v\":9}'")
    raw.commit()
    raw.close()
    with pytest.raises(StoreUnavailable), store.read() as reader:
        reader.get(Organization, "", "org-1")


def test_a_file_of_version_1_is_brought_to_the_present_with_everything_in_it(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    raw = sqlite3.connect(path)
    raw.executescript((Path(__file__).parent / "store_version_1.sql").read_text())
    user = UserRecord("ana", "Ana@acme.example", "org-1", Role.ANALYST, BY.at)
    row = ("user", "", "ana", "ana@acme.example", None, json.dumps(encode_record(user)))
    raw.execute("INSERT INTO item VALUES (?, ?, ?, ?, ?, ?)", row)
    raw.commit()
    raw.close()
    store = SqliteControlStore(path)
    try:
        with store.read() as reader:
            assert reader.find_unique(UserRecord, "", user.unique) == user, (
                "addresses are an organization's own since 3"
            )
        assert count_and_head(store) == (2, 2)
        with store.read() as reader:
            assert reader.version("production") == 2
            found = reader.get(Organization, "", "org-1")
            assert found is not None
            assert found.name == "Firm 1"
        create(store, 3)
        store.observe(IdempotentAnswer("a", "h", "r", "2026-11-22T02:00:00.000000Z"))
        create(store, 4)
        assert count_and_head(store) == (4, 4)
        with store.read() as reader:
            assert reader.get(IdempotentAnswer, "", "a") is None, "expired before the last change"
    finally:
        store.close()
    raw = sqlite3.connect(path)
    assert raw.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)
    assert raw.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    raw.close()


def test_a_migration_that_fails_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "store.sqlite"
    raw = sqlite3.connect(path)
    raw.executescript((Path(__file__).parent / "store_version_1.sql").read_text())
    before = list(raw.iterdump())
    monkeypatch.setattr("local.control_store.MIGRATIONS", (*MIGRATIONS, "CREATE TABLE x (a);\nCREATE TABLE x (a);\n"))
    monkeypatch.setattr("local.control_store.SCHEMA_VERSION", SCHEMA_VERSION + 1)
    with pytest.raises(StoreUnavailable):
        SqliteControlStore(path)
    assert list(raw.iterdump()) == before
    assert raw.execute("PRAGMA user_version").fetchone() == (1,)
    raw.close()
