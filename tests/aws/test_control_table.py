"""What the DynamoDB adapter must keep beyond the contract: crashes at every call, lost answers, limits, no scan."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError
from hypothesis import given, settings
from hypothesis import strategies as st

from aws.control_items import ITEM_BYTES_MAX, STATE_KEY, chain_key, record_key
from aws.control_table import DynamoControlStore
from governance import chain
from governance.admin_event import INSTALLATION, AdminEvent, AdminEventType, Attribution
from governance.errors import Conflict, InvalidRequest, NotFound, ResourceExceeded, StoreUnavailable
from governance.idempotency import IdempotentAnswer
from governance.ports import Change, ControlReader
from governance.register import KeyUse, Organization, TableReport, UserRecord
from governance.roles import Role
from governance.tables import Column, Table, TableName
from local.clock import SystemClock
from tests.support.aws import TABLE, Paginator, control_stores, dynamodb

BY = Attribution(INSTALLATION, "2026-11-22T03:00:00.000000Z")
READS = frozenset({"get_item", "query"})
WRITES = frozenset({"put_item", "delete_item", "update_item", "transact_write_items"})


@pytest.fixture
def store() -> Iterator[DynamoControlStore]:
    with control_stores() as open_:
        yield open_()


class Watched:
    """A client that notes its calls, and lets a test stand before or after one of them."""

    def __init__(self) -> None:
        self.client: Any = dynamodb()
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.before: Callable[[str, int], None] = lambda name, number: None
        self.after: Callable[[str, int], None] = lambda name, number: None

    def __getattr__(self, name: str) -> Any:
        if name == "get_paginator":
            return lambda operation: Paginator(self, self.client._client, operation)
        found = getattr(self.client, name)

        def call(**keywords: Any) -> Any:
            number = len(self.calls)
            self.calls.append((name, keywords))
            self.before(name, number)
            answer = found(**keywords)
            self.after(name, number)
            return answer

        return call

    def store(self, wait_s: float = 60.0) -> DynamoControlStore:
        return DynamoControlStore(self, TABLE, SystemClock(), wait_s=wait_s)


class Crash(BaseException):
    """The process dies here."""


def organization(number: int, words: str = "") -> Organization:
    return Organization(f"org-{number:04d}", f"Firm {number}{words}", BY.at)


def created(record: Organization) -> AdminEvent:
    return AdminEvent(AdminEventType.ORGANIZATION_CREATED, "production", record.id, record.id, None, record.fact())


def create(store: DynamoControlStore, *numbers: int, words: str = "") -> None:
    records = tuple(organization(number, words) for number in numbers)
    events = tuple(created(record) for record in records)
    store.change(BY, lambda _: Change(None, puts=records, events=events))


def count_and_head(store: DynamoControlStore) -> tuple[int, int]:
    with store.read() as reader:
        head = reader.head("production")
        found = chain.verify(reader.events("production", after=0, limit=100_000), "production")
        assert found.holds
        assert head == (found.count, found.head)
        return len(reader.every(Organization, "")), found.count


def refused(code: str, operation: str = "TransactWriteItems", **more: Any) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "org-0001 secret"}, **more}, operation)


# ---------------------------------------------------------------- crashes


def died(watched: Watched, work: Callable[[DynamoControlStore], None], at: int, *, after: bool) -> bool:
    """Whether `work` was cut off at writing call number `at` (before it, or after it was done)."""
    seen = 0

    def here(name: str, _: int) -> None:
        nonlocal seen
        if name in WRITES:
            seen += 1
            if seen == at:
                raise Crash

    nobody: Callable[[str, int], None] = lambda name, number: None  # noqa: E731
    watched.before, watched.after = (nobody, here) if after else (here, nobody)
    try:
        work(watched.store())
    except Crash:
        return True
    finally:
        watched.before = watched.after = nobody
    return False


@pytest.mark.parametrize("after", [False, True])
def test_w5_7_a_crash_at_any_call_of_a_small_change_leaves_both_or_neither(
    store: DynamoControlStore, after: bool
) -> None:
    create(store, 0)
    watched = Watched()
    at, expected = 1, 1
    while died(watched, lambda it, n=at: create(it, 10 * n, 10 * n + 1), at, after=after):  # type: ignore[misc]
        expected += 2 if after else 0
        assert count_and_head(store) == (expected, expected)
        at += 1
    assert at == 2, "one write is the whole change"
    assert count_and_head(store) == (expected + 2, expected + 2)


@pytest.mark.parametrize("after", [False, True])
def test_w5_7_a_crash_at_any_call_of_a_staged_change_leaves_all_or_nothing(
    store: DynamoControlStore, after: bool
) -> None:
    many = 101
    create(store, 0)
    watched = Watched()
    at, expected, outcomes = 1, 1, set()
    while died(watched, lambda it, n=at: create(it, *range(1000 * n, 1000 * n + many)), at, after=after):  # type: ignore[misc]
        organizations, links = count_and_head(store)
        assert organizations == links
        assert organizations in (expected, expected + many)
        outcomes.add(organizations - expected)
        expected = organizations
        at += 1
    assert outcomes == {0, many}
    assert count_and_head(store) == (expected + many, expected + many)


def test_a_staged_change_left_behind_is_carried_out_by_whoever_asks_for_the_version(store: DynamoControlStore) -> None:
    create(store, 0)
    watched = Watched()
    work = lambda it: create(it, *range(100, 260))  # noqa: E731
    commit = next(at for at in range(1, 20) if _stands_pending(watched, work, at))
    assert commit
    with store.read() as reader:
        assert reader.get(Organization, "", "org-0100") is None, "committed, not carried out"
        assert reader.version("production") == reader.version("nowhere") == 0
        assert reader.get(Organization, "", "org-0100") == organization(100)
    create(store, 1)
    assert count_and_head(store) == (162, 162)
    assert "pending" not in dynamodb().get_item(TableName=TABLE, Key=STATE_KEY)["Item"]


def _stands_pending(watched: Watched, work: Callable[[DynamoControlStore], None], at: int) -> bool:
    died(watched, work, at, after=True)
    return "pending" in dynamodb().get_item(TableName=TABLE, Key=STATE_KEY)["Item"]


def test_several_who_find_a_staged_change_carry_it_out_once(store: DynamoControlStore) -> None:
    create(store, 0)
    watched = Watched()
    next(at for at in range(1, 20) if _stands_pending(watched, lambda it: create(it, *range(100, 300)), at))
    faults: list[BaseException] = []

    def ask(number: int) -> None:
        try:
            create(DynamoControlStore(dynamodb(), TABLE, SystemClock(), wait_s=60), number)
        except BaseException as error:
            faults.append(error)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert faults == []
    assert count_and_head(store) == (205, 205)


# ---------------------------------------------------------------- others, and lost answers


def test_decide_runs_again_when_another_was_first(store: DynamoControlStore) -> None:
    runs = 0

    def decide(reader: ControlReader) -> Change[int]:
        nonlocal runs
        runs += 1
        there = len(reader.every(Organization, ""))
        if runs <= 3:
            create(DynamoControlStore(dynamodb(), TABLE, SystemClock()), runs)
        record = organization(100 + there)
        return Change(there, puts=(record,), events=(created(record),))

    assert store.change(BY, decide) == 3
    assert runs == 4
    assert count_and_head(store) == (4, 4)


def test_a_refusal_made_of_two_states_is_thought_over(store: DynamoControlStore) -> None:
    runs = 0

    def decide(reader: ControlReader) -> Change[str]:
        nonlocal runs
        runs += 1
        if runs == 1:
            create(DynamoControlStore(dynamodb(), TABLE, SystemClock()), 1)
            raise NotFound("There is no such organization.")
        found = reader.get(Organization, "", "org-0001")
        return Change(found.id if found else "")

    assert store.change(BY, decide) == "org-0001"
    with pytest.raises(NotFound):
        store.change(BY, _missing)


def _missing(_: ControlReader) -> Change[None]:
    raise NotFound("There is no such organization.")


@pytest.mark.parametrize("lost", [ReadTimeoutError(endpoint_url="https://x"), refused("InternalServerError")])
def test_an_answer_lost_after_the_commit_changes_nothing_twice(store: DynamoControlStore, lost: Exception) -> None:
    watched = Watched()

    def lose(name: str, _: int) -> None:
        if name == "transact_write_items":
            watched.after = lambda name, number: None
            raise lost

    watched.after = lose
    create(watched.store(), 1)
    assert count_and_head(store) == (1, 1)


@pytest.mark.parametrize("code", ["TransactionConflict", "ThrottlingError"])
def test_a_table_that_is_busy_for_a_while_is_asked_again(store: DynamoControlStore, code: str) -> None:
    watched = Watched()
    times = 0

    def busy(name: str, _: int) -> None:
        nonlocal times
        if name == "transact_write_items" and times < 5:
            times += 1
            raise refused("TransactionCanceledException", CancellationReasons=[{"Code": code}])

    watched.before = busy
    create(watched.store(), 1)
    assert (times, count_and_head(store)) == (5, (1, 1))


def test_patience_ends(store: DynamoControlStore) -> None:
    watched = Watched()

    def busy(name: str, _: int) -> None:
        if name == "transact_write_items":
            raise refused("TransactionCanceledException", CancellationReasons=[{"Code": "TransactionConflict"}])

    watched.before = busy
    with pytest.raises(StoreUnavailable):
        create(watched.store(wait_s=0.2), 1)
    assert count_and_head(store) == (0, 0)


@pytest.mark.parametrize("code", ["AccessDeniedException", "ResourceNotFoundException", "ValidationException"])
def test_what_aws_refuses_is_said_in_our_words_only(store: DynamoControlStore, code: str) -> None:
    watched = Watched()

    def refuse(name: str, _: int) -> None:
        raise refused(code)

    watched.before = refuse
    acts: list[Callable[[DynamoControlStore], None]] = [
        lambda it: create(it, 1),
        lambda it: it.observe(KeyUse("production", "key-1", BY.at)),
        lambda it: count_and_head(it) and None,
    ]
    for act in acts:
        with pytest.raises(StoreUnavailable) as said:
            act(watched.store())
        assert "org-0001" not in said.value.message + said.value.reason + said.value.advice
        assert said.value.__cause__ is None
        assert code in said.value.reason


def test_a_chain_that_does_not_fit_its_state_is_never_overwritten(store: DynamoControlStore) -> None:
    create(store, 1)
    older = dynamodb().get_item(TableName=TABLE, Key=STATE_KEY)["Item"]
    create(store, 2)
    second = dynamodb().get_item(TableName=TABLE, Key=chain_key("production", 2))["Item"]
    dynamodb().put_item(TableName=TABLE, Item=older)
    for numbers in ((3,), tuple(range(100, 300))):
        with pytest.raises(StoreUnavailable, match="do not agree"):
            create(store, *numbers)
        assert dynamodb().get_item(TableName=TABLE, Key=chain_key("production", 2))["Item"] == second
        dynamodb().put_item(TableName=TABLE, Item=older)


# ---------------------------------------------------------------- limits


def test_a_user_with_hundreds_of_keys_can_lose_them_in_one_change(store: DynamoControlStore) -> None:
    create(store, *range(350))
    gone = tuple(organization(number) for number in range(350))
    event = AdminEvent(
        AdminEventType.ORGANIZATION_UPDATED, "production", "org-0000", "org-0000", gone[0].fact(), gone[0].fact()
    )
    store.change(BY, lambda _: Change(None, removes=gone, events=(event,)))
    assert count_and_head(store) == (0, 351)


def test_a_record_past_the_item_limit_is_refused_and_nothing_is_written(store: DynamoControlStore) -> None:
    noise = random.Random(7)
    words = "".join(chr(noise.randrange(0x4E00, 0x9FFF)) for _ in range(ITEM_BYTES_MAX))
    record = Organization("big", words, BY.at)
    event = AdminEvent(AdminEventType.ORGANIZATION_CREATED, "production", "big", "big", None, organization(1).fact())
    with pytest.raises(ResourceExceeded):
        store.change(BY, lambda _: Change(None, puts=(record,), events=(event,)))
    with pytest.raises(InvalidRequest):
        store.observe(KeyUse("production", "k" * 2000, BY.at))
    assert count_and_head(store) == (0, 0)


def report(tables: int, seed: int) -> TableReport:
    noise = random.Random(seed)
    return TableReport(
        "production",
        tuple(
            Table(TableName("s", f"t{number}"), (Column(noise.randbytes(40).hex(), "INTEGER"),))
            for number in range(tables)
        ),
        BY.at,
    )


def test_a_report_larger_than_an_item_is_kept_in_parts_that_do_not_pile_up(store: DynamoControlStore) -> None:
    for seed in range(4):
        large = report(9000, seed)
        store.observe(large)
        with store.read() as reader:
            assert reader.get(TableReport, "production", "lake") == large
            assert reader.every(TableReport, "production") == [large]
    parts = dynamodb().query(
        TableName=TABLE, KeyConditionExpression="pk = :p", ExpressionAttributeValues={":p": {"S": "parts"}},
        ProjectionExpression="sk",
    )["Items"]  # fmt: skip
    assert {part["sk"]["S"].rsplit("/", 1)[1] for part in parts} >= {"00000", "00001"}
    assert len({part["sk"]["S"].rsplit("/", 2)[1] for part in parts}) == 2
    store.observe(report(3, 9))
    with store.read() as reader:
        assert reader.get(TableReport, "production", "lake") == report(3, 9)


def test_more_observations_than_a_transaction_takes_go_together(store: DynamoControlStore) -> None:
    create(store, 1)
    with store.read() as reader:
        version = reader.version("production")
    store.observe(*(KeyUse("production", f"key-{number}", BY.at) for number in range(250)))
    with store.read() as reader:
        assert len(reader.every(KeyUse, "production")) == 250
        assert reader.version("production") == version


def test_time_to_live_is_set_and_never_early(store: DynamoControlStore) -> None:
    store.observe(IdempotentAnswer("x", "hash", "request", "2026-11-22T03:00:00.500000Z"))
    item = dynamodb().get_item(TableName=TABLE, Key=record_key("idempotent_answer", "", "x"))["Item"]
    assert item["expires"] == {"N": "1795316401"}


# ---------------------------------------------------------------- how it asks


def test_no_request_scans_and_every_read_is_strongly_consistent(store: DynamoControlStore) -> None:
    watched = Watched()
    it = watched.store()
    create(it, 1)
    create(it, *range(10, 200))
    user = UserRecord("u", "u@acme.example", "org-0001", Role.ANALYST, BY.at)
    event = AdminEvent(AdminEventType.USER_CREATED, "production", "org-0001", "u", None, user.fact())
    it.change(BY, lambda _: Change(None, puts=(user,), events=(event,)))
    it.observe(KeyUse("production", "k", BY.at), report(9000, 1))
    with it.read() as reader:
        assert reader.find_unique(UserRecord, "", user.unique) == user
        assert reader.find_lookup(UserRecord, "nobody") is None
        assert len(reader.page(Organization, "", after="org-0001", limit=7)) == 7
        reader.events("production", after=0, limit=5, newest_first=True)
        reader.every(KeyUse, "production")
    assert {name for name, _ in watched.calls} <= READS | WRITES
    for name, keywords in watched.calls:
        if name in READS:
            assert keywords["ConsistentRead"] is True
        if name == "query":
            assert keywords["KeyConditionExpression"].startswith("pk = ")
            assert "FilterExpression" not in keywords
        if name == "transact_write_items":
            assert len(keywords["TransactItems"]) <= 100


def test_a_page_reads_no_more_than_it_gives(store: DynamoControlStore) -> None:
    store.observe(*(KeyUse("production", f"k{number:03d}", BY.at) for number in range(90)))
    watched = Watched()
    with watched.store().read() as reader:
        assert len(reader.page(KeyUse, "production", after="k010", limit=20)) == 20
    ((name, keywords),) = watched.calls
    assert (name, keywords["Limit"]) == ("query", 20)


def test_a_table_of_a_newer_layout_is_refused(store: DynamoControlStore) -> None:
    create(store, 1)
    dynamodb().update_item(
        TableName=TABLE, Key=STATE_KEY, UpdateExpression="SET v = :v", ExpressionAttributeValues={":v": {"N": "2"}}
    )
    with pytest.raises(StoreUnavailable, match="version"):
        create(store, 2)
    with pytest.raises(StoreUnavailable, match="version"), store.read() as reader:
        reader.head("production")


@settings(max_examples=8, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from(["x", "y", "z", ""])), max_size=8))
def test_no_two_users_ever_share_an_address_whatever_is_tried(changes: list[tuple[str, str]]) -> None:
    with control_stores() as open_:
        store = open_()
        held: dict[str, str] = {}
        for user_id, name in changes:
            user = UserRecord(user_id, f"{name}@acme.example", "1", Role.ANALYST, BY.at)
            event = AdminEvent(AdminEventType.USER_CREATED, "production", "1", user_id, None, user.fact())
            change = (
                Change(None, puts=(user,), events=(event,)) if name else Change(None, removes=(user,), events=(event,))
            )
            taken = bool(name) and any(other != user_id and it == name for other, it in held.items())
            try:
                store.change(BY, lambda _, change=change: change)  # type: ignore[misc]
            except Conflict:
                assert taken
                continue
            assert not taken
            held = {other: it for other, it in {**held, user_id: name}.items() if it}
        with store.read() as reader:
            assert {user.id: user.email.partition("@")[0] for user in reader.every(UserRecord, "")} == held
