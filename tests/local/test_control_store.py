"""The store of the control plane: changes and events together or not at all, whatever crashes and whoever competes."""

from __future__ import annotations

import os
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from governance import chain
from governance.admin_event import INSTALLATION, AdminEvent, AdminEventType, Attribution
from governance.errors import Conflict, StoreUnavailable
from governance.ports import Change, ControlReader
from governance.register import Environment, KeyUse, Organization, TableReport, UserRecord
from governance.roles import Role
from governance.tables import Column, Table, TableName
from local.control_store import SqliteControlStore

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


def test_a_change_and_its_event_are_there_together(store: SqliteControlStore) -> None:
    create(store, 1)
    with store.read() as reader:
        assert reader.get(Organization, "", "org-1") == organization(1)
    assert count_and_head(store) == (1, 1)


def test_a_change_without_an_event_is_refused(store: SqliteControlStore) -> None:
    with pytest.raises(ValueError, match="without an event"):
        store.change(BY, lambda _: Change(None, puts=(organization(1),)))
    assert count_and_head(store) == (0, 0)


def test_what_decide_raises_leaves_nothing_behind(store: SqliteControlStore) -> None:
    def decide(_: ControlReader) -> Change[None]:
        raise Conflict("no")

    with pytest.raises(Conflict):
        store.change(BY, decide)
    assert count_and_head(store) == (0, 0)
    create(store, 1)


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


def test_16_concurrent_writers_neither_lose_nor_fork_an_event(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    stores = [SqliteControlStore(path) for _ in range(4)]  # four as if in four processes, four threads each
    faults: list[Exception] = []

    def write(writer: int) -> None:
        try:
            for number in range(5):
                create(stores[writer % 4], writer * 100 + number)
        except Exception as error:
            faults.append(error)

    threads = [threading.Thread(target=write, args=(writer,)) for writer in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    try:
        assert not faults
        assert count_and_head(stores[0]) == (80, 80)
    finally:
        for each in stores:
            each.close()


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


def test_unique_names_and_lookups_conflict_and_a_removed_name_is_free(store: SqliteControlStore) -> None:
    def user(user_id: str, email: str) -> UserRecord:
        return UserRecord(user_id, email, "1", Role.ANALYST, BY.at)

    def put(record: UserRecord, *removes: UserRecord) -> None:
        event = AdminEvent(AdminEventType.USER_CREATED, "production", "1", record.id, None, record.fact())
        store.change(BY, lambda _: Change(None, puts=(record,), removes=removes, events=(event,)))

    put(user("a", "Ana@acme.example"))
    with pytest.raises(Conflict):
        put(user("b", "ana@ACME.example"))
    put(user("b", "ana@acme.example"), user("a", ""))
    with store.read() as reader:
        assert reader.get(UserRecord, "", "a") is None
        found = reader.find_unique(UserRecord, "", "ana@acme.example")
        assert found is not None
        assert found.id == "b"


def test_the_version_moves_with_each_change_of_law_and_with_nothing_else(store: SqliteControlStore) -> None:
    environment = Environment("production")
    event = AdminEvent(AdminEventType.ENVIRONMENT_UPDATED, "production", "1", "production", None, environment.fact())
    store.change(BY, lambda _: Change(None, puts=(environment,), events=(event,)))
    with store.read() as reader:
        first = reader.version("production")
    store.observe(KeyUse("production", "key-1", BY.at))
    store.observe(TableReport("production", (Table(TableName("s", "t"), (Column("a", "INTEGER"),)),), BY.at))
    with store.read() as reader:
        assert reader.version("production") == first
        report = reader.get(TableReport, "production", "lake")
        assert report is not None
        assert report.table(TableName("S", "T")) is not None
    create(store, 1)
    with store.read() as reader:
        assert reader.version("production") == first + 1
        assert reader.version("nowhere") == 0


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


def test_a_store_reopened_goes_on_where_it_was(tmp_path: Path) -> None:
    for number in range(3):
        store = SqliteControlStore(tmp_path / "s.sqlite")
        create(store, number)
        assert count_and_head(store) == (number + 1, number + 1)
        store.close()
    with pytest.raises(StoreUnavailable), store.read():
        pass


def test_a_record_that_cannot_be_read_is_refused_not_guessed(store: SqliteControlStore, tmp_path: Path) -> None:
    create(store, 1)
    raw = sqlite3.connect(tmp_path / "store.sqlite")
    raw.execute("UPDATE item SET body = '{\"v\":9}'")
    raw.commit()
    raw.close()
    with pytest.raises(StoreUnavailable), store.read() as reader:
        reader.get(Organization, "", "org-1")
