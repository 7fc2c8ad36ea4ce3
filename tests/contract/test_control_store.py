"""What every ControlStore keeps: changes with their events wholly or not at all, whoever competes; pages; expiry."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from governance import chain
from governance.admin_event import INSTALLATION, AdminEvent, AdminEventType, Attribution
from governance.errors import Conflict
from governance.idempotency import IdempotentAnswer
from governance.ports import Change, ControlReader, ControlStore
from governance.register import Environment, KeyUse, Organization, TableReport, UserRecord
from governance.roles import Role
from governance.tables import Column, Table, TableName

BY = Attribution(INSTALLATION, "2026-11-22T03:00:00.000000Z")
LATER = Attribution(INSTALLATION, "2026-11-23T03:00:00.000000Z")


def organization(number: int, name: str = "Firm") -> Organization:
    return Organization(f"org-{number}", f"{name} {number}", BY.at)


def created(record: Organization) -> AdminEvent:
    return AdminEvent(AdminEventType.ORGANIZATION_CREATED, "production", record.id, record.id, None, record.fact())


def create(store: ControlStore, number: int, by: Attribution = BY) -> None:
    record = organization(number)
    store.change(by, lambda _: Change(None, puts=(record,), events=(created(record),)))


def count_and_head(store: ControlStore) -> tuple[int, int]:
    """Organizations in the register, and links of a chain that must hold."""
    with store.read() as reader:
        found = chain.verify(reader.events("production", after=0, limit=100_000), "production")
        assert found.holds
        assert reader.head("production") == (found.count, found.head)
        return len(reader.every(Organization, "")), found.count


def remembered(id_: str, expires_at: str = "", body: str = "") -> IdempotentAnswer:
    return IdempotentAnswer(id_, "hash", "request", expires_at, 201, body)


def in_parallel(number: int, work: Callable[[int], None]) -> list[Exception]:
    """What went wrong in `number` threads that ran `work(0)`, `work(1)`, ... at once."""
    faults: list[Exception] = []
    begin = threading.Barrier(number)

    def run(index: int) -> None:
        try:
            begin.wait(30)
            work(index)
        except Exception as error:
            faults.append(error)

    threads = [threading.Thread(target=run, args=(index,)) for index in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    return faults


# ---------------------------------------------------------------- changes and events


def test_w5_7_a_change_and_its_event_are_there_together(store: ControlStore) -> None:
    create(store, 1)
    with store.read() as reader:
        assert reader.get(Organization, "", "org-1") == organization(1)
        assert reader.get(Organization, "", "org-2") is None
    assert count_and_head(store) == (1, 1)


def test_a_change_without_an_event_is_refused(store: ControlStore) -> None:
    with pytest.raises(ValueError, match="without an event"):
        store.change(BY, lambda _: Change(None, puts=(organization(1),)))
    with pytest.raises(ValueError, match="without an event"):
        store.change(BY, lambda _: Change(None, removes=(organization(1),)))
    assert count_and_head(store) == (0, 0)


def test_what_decide_raises_leaves_nothing_behind(store: ControlStore) -> None:
    def decide(_: ControlReader) -> Change[None]:
        raise Conflict("no")

    with pytest.raises(Conflict):
        store.change(BY, decide)
    assert count_and_head(store) == (0, 0)
    create(store, 1)


def test_what_decide_says_is_answered_and_a_change_of_nothing_leaves_no_trace(store: ControlStore) -> None:
    create(store, 1)
    with store.read() as reader:
        before = reader.head("production")
    assert store.change(BY, lambda reader: Change(reader.get(Organization, "", "org-1"))) == organization(1)
    with store.read() as reader:
        assert reader.head("production") == before


def test_several_events_of_several_chains_go_with_one_change(store: ControlStore) -> None:
    first, second = organization(1), organization(2)
    environment = Environment("staging")
    events = (
        created(first),
        AdminEvent(AdminEventType.ENVIRONMENT_UPDATED, "staging", "1", "staging", None, environment.fact()),
        created(second),
    )
    store.change(BY, lambda _: Change(None, puts=(first, environment, second), events=events))
    with store.read() as reader:
        assert reader.head("production")[0] == 2
        assert reader.head("staging")[0] == 1
        assert chain.verify(reader.events("staging", after=0, limit=10), "staging").holds
        assert reader.head("nowhere") == (0, chain.genesis("nowhere"))
    assert count_and_head(store) == (2, 2)


def test_w5_6_sixteen_concurrent_writers_neither_lose_nor_fork_an_event(open_store: Callable[[], ControlStore]) -> None:
    stores = [open_store() for _ in range(4)]  # as if in four processes, four threads each

    def write(writer: int) -> None:
        for number in range(3):
            create(stores[writer % 4], writer * 100 + number)

    assert in_parallel(16, write) == []
    assert count_and_head(stores[0]) == (48, 48)


def test_changes_are_serializable_a_counter_loses_no_step(open_store: Callable[[], ControlStore]) -> None:
    stores = [open_store() for _ in range(2)]
    create(stores[0], 1)

    def step(reader: ControlReader) -> Change[None]:
        old = reader.get(Organization, "", "org-1")
        assert old is not None
        new = Organization(old.id, f"Firm {int(old.name.rpartition(' ')[2]) + 1}", old.created_at)
        event = AdminEvent(AdminEventType.ORGANIZATION_UPDATED, "production", old.id, old.id, old.fact(), new.fact())
        return Change(None, puts=(new,), events=(event,))

    def two_steps(index: int) -> None:
        for _ in range(2):
            stores[index % 2].change(BY, step)

    assert in_parallel(8, two_steps) == []
    with stores[1].read() as reader:
        found = reader.get(Organization, "", "org-1")
        assert found is not None
        assert found.name == "Firm 17"


def test_of_two_who_find_nothing_and_make_it_one_alone_makes_it(open_store: Callable[[], ControlStore]) -> None:
    stores = [open_store() for _ in range(2)]
    made: list[str] = []

    def make(index: int) -> None:
        def decide(reader: ControlReader) -> Change[str]:
            if reader.get(IdempotentAnswer, "", "same"):
                return Change("")
            record = organization(index)
            return Change(
                record.id, puts=(record,), events=(created(record),), observations=(remembered("same", LATER.at),)
            )

        made.append(stores[index % 2].change(BY, decide))

    assert in_parallel(6, make) == []
    assert len([record_id for record_id in made if record_id]) == 1
    assert count_and_head(stores[0]) == (1, 1)


# ---------------------------------------------------------------- names


def test_unique_names_and_lookups_conflict_and_a_removed_name_is_free(store: ControlStore) -> None:
    def user(user_id: str, email: str) -> UserRecord:
        return UserRecord(user_id, email, "1", Role.ANALYST, BY.at)

    def put(record: UserRecord, *removes: UserRecord) -> None:
        event = AdminEvent(AdminEventType.USER_CREATED, "production", "1", record.id, None, record.fact())
        store.change(BY, lambda _: Change(None, puts=(record,), removes=removes, events=(event,)))

    first, second = user("a", "Ana@acme.example"), user("b", "ana@ACME.example")
    put(first)
    with pytest.raises(Conflict):
        put(second)
    with store.read() as reader:
        assert reader.get(UserRecord, "", "b") is None
    put(second, first)
    with store.read() as reader:
        assert reader.get(UserRecord, "", "a") is None
        assert reader.find_unique(UserRecord, "", second.unique) == second
    put(user("b", "other@acme.example"))
    with store.read() as reader:
        assert reader.find_unique(UserRecord, "", second.unique) is None
    put(first)


def test_two_records_may_swap_their_names_in_one_change(store: ControlStore) -> None:
    def put(one: str, other: str) -> None:
        users = (UserRecord("a", one, "1", Role.ANALYST, BY.at), UserRecord("b", other, "1", Role.ANALYST, BY.at))
        event = AdminEvent(AdminEventType.USER_CREATED, "production", "1", "a", None, users[0].fact())
        store.change(BY, lambda _: Change(None, puts=users, events=(event,)))

    put("x@acme.example", "y@acme.example")
    put("y@acme.example", "x@acme.example")
    with store.read() as reader:
        for user_id, email in (("a", "y@acme.example"), ("b", "x@acme.example")):
            user = UserRecord(user_id, email, "1", Role.ANALYST, BY.at)
            assert reader.find_unique(UserRecord, "", user.unique) == user


# ---------------------------------------------------------------- reading


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.text("aZ09-_.é~!\U0001f600", min_size=1, max_size=6), min_size=1, max_size=12, unique=True),
    st.integers(1, 5),
)
def test_pages_walk_every_record_once_in_the_order_of_ids(
    open_store: Callable[[], ControlStore], ids: list[str], limit: int
) -> None:
    store = open_store()
    environment = f"env-{abs(hash((tuple(ids), limit))):x}"[:30]
    store.observe(*(KeyUse(environment, id_, BY.at) for id_ in ids))
    seen: list[str] = []
    after = ""
    with store.read() as reader:
        while found := reader.page(KeyUse, environment, after=after, limit=limit):
            assert len(found) <= limit
            seen += [use.id for use in found]
            after = found[-1].id
        assert seen == sorted(ids) == [use.id for use in reader.every(KeyUse, environment)]


def test_a_page_that_moves_meanwhile_neither_repeats_nor_skips_what_stays(store: ControlStore) -> None:
    store.observe(*(KeyUse("production", f"k{number}", BY.at) for number in range(6)))
    with store.read() as reader:
        first = [use.id for use in reader.page(KeyUse, "production", after="", limit=3)]
    gone, new = KeyUse("production", "k1", BY.at), KeyUse("production", "k00", BY.at)
    store.change(BY, lambda _: Change(None, observations=(new,), forgets=(gone, gone)))
    with store.read() as reader:
        rest = [use.id for use in reader.page(KeyUse, "production", after=first[-1], limit=10)]
    assert first + rest == [f"k{number}" for number in range(6)]


def test_events_are_read_from_either_end_in_pieces(store: ControlStore) -> None:
    for number in range(5):
        create(store, number)
    with store.read() as reader:
        every = reader.events("production", after=0, limit=100)
        assert len(every) == 5
        assert reader.events("production", after=2, limit=2) == every[2:4]
        assert reader.events("production", after=0, limit=2, newest_first=True) == every[:2:-1]
        assert reader.events("production", after=3, limit=9, newest_first=True) == every[1::-1]
        assert reader.events("production", after=5, limit=9) == []


# ---------------------------------------------------------------- observations


def test_the_version_moves_with_each_change_of_law_and_with_nothing_else(store: ControlStore) -> None:
    environment = Environment("production")
    event = AdminEvent(AdminEventType.ENVIRONMENT_UPDATED, "production", "1", "production", None, environment.fact())
    store.change(BY, lambda _: Change(None, puts=(environment,), events=(event,)))
    with store.read() as reader:
        first = reader.version("production")
        assert first > 0
    store.observe(KeyUse("production", "key-1", BY.at))
    store.observe(TableReport("production", (Table(TableName("s", "t"), (Column("a", "INTEGER"),)),), BY.at))
    store.change(BY, lambda _: Change(None, observations=(remembered("x"),)))
    with store.read() as reader:
        assert reader.version("production") == first
        report = reader.get(TableReport, "production", "lake")
        assert report is not None
        assert report.table(TableName("S", "T")) is not None
    create(store, 1)
    with store.read() as reader:
        assert reader.version("production") == first + 1
        assert reader.version("nowhere") == 0


def test_observations_go_with_their_change_or_not_at_all(store: ControlStore) -> None:
    record = organization(1)
    answer = remembered("a", LATER.at, "body")
    store.change(BY, lambda _: Change(None, puts=(record,), events=(created(record),), observations=(answer,)))
    with store.read() as reader:
        assert reader.get(IdempotentAnswer, "", "a") == answer
    with pytest.raises(ValueError, match="without an event"):
        store.change(BY, lambda _: Change(None, puts=(record,), observations=(remembered("b"),), forgets=(answer,)))
    with store.read() as reader:
        assert reader.get(IdempotentAnswer, "", "b") is None
        assert reader.get(IdempotentAnswer, "", "a") == answer
    store.change(BY, lambda _: Change(None, forgets=(answer,)))
    with store.read() as reader:
        assert reader.get(IdempotentAnswer, "", "a") is None
    assert count_and_head(store) == (1, 1)


def test_the_last_observation_of_an_id_wins_and_what_has_not_expired_stays(store: ControlStore) -> None:
    store.observe(remembered("old", BY.at, "1"), remembered("stays", "2027-01-01T00:00:00.000000Z"))
    store.observe(remembered("old", "2027-01-01T00:00:00.000000Z", "2"), remembered("for ever"))
    create(store, 1, LATER)
    with store.read() as reader:
        assert reader.get(IdempotentAnswer, "", "old") == remembered("old", "2027-01-01T00:00:00.000000Z", "2")
        assert reader.get(IdempotentAnswer, "", "stays") is not None
        assert reader.get(IdempotentAnswer, "", "for ever") is not None


# ---------------------------------------------------------------- life


def test_what_was_committed_is_there_for_whoever_opens_the_storage_again(
    open_store: Callable[[], ControlStore],
) -> None:
    for number in range(3):
        store = open_store()
        create(store, number)
        assert count_and_head(store) == (number + 1, number + 1)
        store.close()


def test_a_large_change_goes_through_whole(store: ControlStore) -> None:
    records = tuple(organization(number) for number in range(40))
    store.change(BY, lambda _: Change(None, puts=records, events=tuple(created(record) for record in records)))
    assert count_and_head(store) == (40, 40)
