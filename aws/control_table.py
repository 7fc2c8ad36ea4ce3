"""The register and the chain in one DynamoDB table; its design and access patterns stand in docs/control-table.md.

One item, the state, holds a revision that every change moves and the heads of the chains. A change reads the state
first, everything else strongly consistent after it, and commits in one TransactWriteItems on condition that the
revision is still the one it read: so changes are serializable, and no change exists without its events. A change of
more items than a transaction takes is staged first; the commit then names the stage, and whoever comes next carries
it out if its writer could not.
"""

from __future__ import annotations

import random
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from aws.control_failures import busy, name_taken, refuse_fork, spoken, undecided
from aws.control_items import (
    ITEM_BYTES_MAX,
    STATE_KEY,
    Item,
    Write,
    epoch,
    event_write,
    packed,
    part_key,
    parted,
    removal,
    stage_items,
    stage_key,
    staged_writes,
    write_of,
)
from aws.control_reader import ItemReader, State, read_state
from aws.names import PARTITION_KEY, SORT_KEY
from governance import chain
from governance.admin_event import Attribution
from governance.errors import Conflict, Refusal, ResourceExceeded, StoreUnavailable
from governance.ports import Change, Clock, ControlReader
from governance.register import Environment, Observation, Record

T = TypeVar("T")

WAIT_S = 10.0
"""How long a change tries to be first before it gives up."""
RETRY_S_MIN, RETRY_S_MAX = 0.005, 0.5
TRANSACTION_ITEMS_MAX = 100
TRANSACTION_BYTES_MAX = 3_500_000
"""DynamoDB takes 4 MB."""
STAGED_BYTES_MAX = 64 * 1024 * 1024
STAGE_CHUNK_BYTES = ITEM_BYTES_MAX
STAGE_KEPT_S = 7 * 86_400
RECENT_MAX = 32
"""Commits whose tokens the state remembers, so that a writer who lost the answer can tell that he committed."""


class _Beaten(Exception):
    """Another writer was first, or the outcome is to be looked up: read again and decide anew."""


@dataclass
class _Plan:
    """What a change writes, before it is tried."""

    state: State
    writes: dict[tuple[str, str], Write] = field(default_factory=dict)

    def add(self, write: Write) -> None:
        """Take a write in; the later one of an item counts."""
        self.writes[write.name] = write


class DynamoControlStore:
    """Implements `governance.ports.ControlStore` on a table that the stacks made. Safe for threads and processes.

    `client` is a boto3 DynamoDB client whose own retries are bounded (`aws.clients.dynamodb`).
    """

    def __init__(self, client: Any, table: str, clock: Clock, *, wait_s: float = WAIT_S) -> None:
        self._client = client
        self._wait_s = wait_s
        self._table = table
        self._clock = clock
        self._writing = threading.Lock()

    @contextmanager
    def read(self) -> Iterator[ControlReader]:
        """Strongly consistent reads; several of them may see several states, see the port."""
        with spoken():
            yield ItemReader(self._client, self._table, self._settled)

    def change(self, attribution: Attribution, decide: Callable[[ControlReader], Change[T]]) -> T:
        """One commit; see the port.

        Raises:
            StoreUnavailable: the table does not answer, or others were first again and again.
            ResourceExceeded: the change is larger than can be staged, or a record than an item.
        """
        # Threads of one process take turns: against each other they would only fail and try again.
        if not self._writing.acquire(timeout=self._wait_s):
            raise busy()
        try:
            return self._insist(lambda: self._attempt(attribution, decide))
        finally:
            self._writing.release()

    def observe(self, *observations: Observation) -> None:
        """Keep what was seen; see the port."""
        parts: list[Write] = []
        writes: dict[tuple[str, str], Write] = {}
        for observation in observations:
            deflated = packed(observation)
            if deflated is not None and len(deflated) > ITEM_BYTES_MAX:
                write, pieces = parted(observation, deflated, self._generation())
                parts += pieces
            else:
                write = write_of(observation)
            writes[write.name] = write
        self._insist(lambda: self._observe(list(writes.values()), parts))
        if parts:
            for observation in observations:
                self._sweep(observation)

    def close(self) -> None:
        """Close the client's connections."""
        self._client.close()

    # ------------------------------------------------------------ one attempt

    def _attempt(self, attribution: Attribution, decide: Callable[[ControlReader], Change[T]]) -> T:
        state = self._settled()
        reader = ItemReader(self._client, self._table, self._settled)
        try:
            change = decide(reader)
        except Refusal:
            # What was read in several calls may be of several states: a refusal counts if nothing moved meanwhile.
            if self._settled().revision != state.revision:
                raise _Beaten from None
            raise
        if (change.puts or change.removes) and not change.events:
            raise ValueError("the law changes without an event")
        plan = _Plan(state)
        for gone in (*change.removes, *change.forgets):
            plan.add(removal(gone))
        try:
            self._check_names(reader, change)
        except Conflict:
            if self._settled().revision != state.revision:
                raise _Beaten from None
            raise
        for kept in (*change.puts, *change.observations):
            plan.add(write_of(kept))
        heads = dict(state.heads)
        for event in change.events:
            sequence, head = heads.get(event.environment, (0, chain.genesis(event.environment)))
            link = chain.seal(event.document(attribution), sequence=sequence + 1, previous=head)
            plan.add(event_write(event.environment, link.sequence, link.line))
            heads[event.environment] = (link.sequence, link.hash)
        versions = dict(state.versions)
        for environment in _environments(reader, change):
            versions[environment] = versions.get(environment, 0) + 1
        if plan.writes:
            self._commit(plan, heads, versions)
        return change.result

    def _check_names(self, reader: ItemReader, change: Change[Any]) -> None:
        """Whether `unique` and `lookup` of what is put stay its own. The revision guards what is read here."""
        off = {(record.kind, record.environment, record.id) for record in (*change.removes, *change.puts)}
        taken: set[tuple[str, ...]] = set()
        for record in change.puts:
            for mark, found in (
                (("unique", record.kind, record.environment, record.unique), reader.find_unique),
                (("lookup", record.kind, record.lookup), reader.find_lookup),
            ):
                if not mark[-1]:
                    continue
                if mark in taken:
                    raise name_taken()
                taken.add(mark)
                arguments = mark[2:]
                other = found(type(record), *arguments)
                if other is not None and (other.kind, other.environment, other.id) not in off:
                    raise name_taken()

    def _commit(self, plan: _Plan, heads: dict[str, tuple[int, str]], versions: dict[str, int]) -> None:
        writes = list(plan.writes.values())
        token = secrets.token_hex(16)
        following = replace(
            plan.state,
            revision=plan.state.revision + 1,
            heads=heads,
            versions=versions,
            recent=(*plan.state.recent[1 - RECENT_MAX :], token),
        )
        size = sum(write.size for write in writes)
        if len(writes) < TRANSACTION_ITEMS_MAX and size <= TRANSACTION_BYTES_MAX:
            self._move(plan.state, following, token, writes)
            return
        if size > STAGED_BYTES_MAX:
            raise ResourceExceeded("The change is too large.", advice="Make it in several smaller ones.")
        expires = epoch(self._clock.now()) + STAGE_KEPT_S
        stages = stage_items(token, writes, TRANSACTION_ITEMS_MAX - 1, STAGE_CHUNK_BYTES, expires)
        for item in stages:
            self._client.put_item(TableName=self._table, Item=item)
        self._move(plan.state, replace(following, pending=(token, len(stages))), token, [])
        self._settled()

    def _move(self, old: State, new: State, token: str, writes: list[Write]) -> None:
        """The commit itself: the state moves from `old` to `new` together with `writes`, or nothing happens."""
        put: dict[str, Any] = {"TableName": self._table, "Item": {**STATE_KEY, **new.spelled()}}
        if old.revision:
            put["ConditionExpression"] = "revision = :revision AND attribute_not_exists(pending)"
            put["ExpressionAttributeValues"] = {":revision": {"N": str(old.revision)}}
        else:
            put["ConditionExpression"] = f"attribute_not_exists({PARTITION_KEY})"
        try:
            self._client.transact_write_items(
                TransactItems=[{"Put": put}, *(write.spelled(self._table) for write in writes)],
                ClientRequestToken=token,
            )
        except (ClientError, BotoCoreError) as error:
            # An answer may be lost after the commit, and a repetition then fails its condition: ask the state.
            refuse_fork(error)
            if not undecided(error):
                raise
            if token not in read_state(self._client, self._table).recent:
                raise _Beaten from None

    # ------------------------------------------------------------ staged changes

    def _settled(self) -> State:
        """The state, once no staged change is left to be carried out."""
        for pause in _pauses(self._wait_s):
            state = read_state(self._client, self._table)
            if state.pending is None:
                return state
            if not self._carried_out(*state.pending):
                pause()
        raise busy()

    def _carried_out(self, token: str, chunks: int) -> bool:
        """Do what a staged change says, whoever staged it; False when another, who does the same, was in the way."""
        guard = {
            "ConditionCheck": {
                "TableName": self._table,
                "Key": STATE_KEY,
                "ConditionExpression": "pending = :token",
                "ExpressionAttributeValues": {":token": {"S": token}},
            }
        }
        try:
            for number in range(chunks):
                key = stage_key(token, number)
                item = self._client.get_item(TableName=self._table, Key=key, ConsistentRead=True).get("Item")
                if item is None:
                    return self._done_by_another(token)
                writes = [write.spelled(self._table) for write in staged_writes(item)]
                self._client.transact_write_items(TransactItems=[guard, *writes])
            self._client.update_item(
                TableName=self._table,
                Key=STATE_KEY,
                UpdateExpression="REMOVE pending, chunks",
                ConditionExpression="pending = :token",
                ExpressionAttributeValues={":token": {"S": token}},
            )
        except ClientError as error:
            refuse_fork(error)
            if not undecided(error):
                raise
            return False
        for number in range(chunks):
            self._client.delete_item(TableName=self._table, Key=stage_key(token, number))
        return True

    def _done_by_another(self, token: str) -> bool:
        """A piece of the stage is gone, as it is after the last one was done.

        Raises:
            StoreUnavailable: it is gone and the change is not done.
        """
        state = read_state(self._client, self._table)
        if state.pending is not None and state.pending[0] == token:
            raise StoreUnavailable("A staged change is incomplete.", reason="a stage item is missing")
        return True

    # ------------------------------------------------------------ observations

    def _observe(self, writes: list[Write], parts: list[Write]) -> None:
        for part in parts:
            self._client.put_item(TableName=self._table, Item=part.item)
        if len(writes) == 1:
            self._client.put_item(TableName=self._table, Item=writes[0].item)
        elif len(writes) > TRANSACTION_ITEMS_MAX or sum(write.size for write in writes) > TRANSACTION_BYTES_MAX:
            state = self._settled()
            self._commit(_Plan(state, {write.name: write for write in writes}), state.heads, state.versions)
        elif writes:
            try:
                self._client.transact_write_items(
                    TransactItems=[write.spelled(self._table) for write in writes],
                    ClientRequestToken=secrets.token_hex(16),
                )
            except ClientError as error:
                if not undecided(error):
                    raise
                raise _Beaten from None

    def _generation(self) -> str:
        """A name for a body in parts that sorts by time."""
        return f"{epoch(self._clock.now()):012d}-{secrets.token_hex(8)}"

    def _sweep(self, observation: Observation) -> None:
        """Take away the parts of bodies replaced long ago; the last two stay for those who are reading them."""
        start = part_key(observation.kind, observation.environment, observation.id)
        with spoken():
            pages = self._client.get_paginator("query").paginate(
                TableName=self._table,
                KeyConditionExpression=f"{PARTITION_KEY} = :partition AND begins_with({SORT_KEY}, :start)",
                ExpressionAttributeValues={":partition": start[PARTITION_KEY], ":start": start[SORT_KEY]},
                ProjectionExpression=f"{PARTITION_KEY}, {SORT_KEY}",
                ConsistentRead=True,
            )
            keys = [item for page in pages for item in page["Items"]]
            generations = sorted({_generation_of(key) for key in keys})
            for key in keys:
                if _generation_of(key) in generations[:-2]:
                    self._client.delete_item(TableName=self._table, Key=key)

    # ------------------------------------------------------------ patience

    def _insist(self, attempt: Callable[[], T]) -> T:
        """Try until it is done, with pauses that grow.

        Raises:
            StoreUnavailable: the time is over.
        """
        for pause in _pauses(self._wait_s):
            try:
                with spoken():
                    return attempt()
            except _Beaten:
                pause()
        raise busy()


def _pauses(wait_s: float) -> Iterator[Callable[[], None]]:
    """Waits to be called between tries, longer and longer, until `wait_s` is over."""
    deadline = time.monotonic() + wait_s
    pause_s = RETRY_S_MIN
    while time.monotonic() + pause_s < deadline:
        yield partial(time.sleep, random.uniform(0.2, 1.0) * pause_s)  # noqa: S311  jitter
        pause_s = min(RETRY_S_MAX, pause_s * 1.6)


def _environments(reader: ControlReader, change: Change[Any]) -> set[str]:
    """Whose law the change moves; a record of no environment moves every one's."""
    records: tuple[Record, ...] = (*change.puts, *change.removes)
    environments = {record.environment for record in records}
    if "" in environments:
        named = {environment.name for environment in reader.every(Environment, "")}
        named -= {record.id for record in change.removes if isinstance(record, Environment)}
        environments |= named | {record.id for record in change.puts if isinstance(record, Environment)}
        environments.discard("")
    return environments


def _generation_of(key: Item) -> str:
    return str(key[SORT_KEY]["S"]).rsplit("/", 2)[1]
