"""Reading the control table: the state item, records by key and by index, the chain. Queries and gets, never a scan."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

from aws.control_items import (
    BODY,
    GENERATION,
    PARTS,
    STATE_KEY,
    Item,
    chain_key,
    decode_item,
    key_of,
    part_key,
    record_key,
    unique_mark,
)
from aws.names import (
    CHAIN_PARTITION,
    LOOKUP_INDEX,
    LOOKUP_KEY,
    PARTITION_KEY,
    SORT_KEY,
    UNIQUE_INDEX,
    UNIQUE_KEY,
)
from governance import chain
from governance.errors import StoreUnavailable
from governance.register import Observation, Record

R = TypeVar("R", bound=Record | Observation)

TABLE_VERSION = 1
"""Of the table's layout. A newer one is refused, not guessed."""
_AFTER_SLASH = "0"
"""The character after `/`: ids of an environment lie between the two."""
_TRIES = 3


@dataclass(frozen=True, slots=True)
class State:
    """What moves with every change."""

    revision: int = 0
    """One more with each commit; 0: nothing was ever written."""
    heads: dict[str, tuple[int, str]] = field(default_factory=dict)
    """Environment -> sequence and hash of its chain's last event."""
    versions: dict[str, int] = field(default_factory=dict)
    """Environment -> how often its law has changed."""
    recent: tuple[str, ...] = ()
    """Tokens of the last commits, oldest first."""
    pending: tuple[str, int] | None = None
    """A staged change that is committed but not carried out: its token and number of pieces."""

    def spelled(self) -> Item:
        """The attributes of the state item, its key left out."""
        item: Item = {
            "v": {"N": str(TABLE_VERSION)},
            "revision": {"N": str(self.revision)},
            "heads": {"S": json.dumps(self.heads, sort_keys=True)},
            "versions": {"S": json.dumps(self.versions, sort_keys=True)},
            "recent": {"S": " ".join(self.recent)},
        }
        if self.pending is not None:
            item |= {"pending": {"S": self.pending[0]}, "chunks": {"N": str(self.pending[1])}}
        return item


def read_state(client: Any, table: str) -> State:
    """The state as it is now.

    Raises:
        StoreUnavailable: it cannot be read, or is of a layout this code does not know.
    """
    item = client.get_item(TableName=table, Key=STATE_KEY, ConsistentRead=True).get("Item")
    if item is None:
        return State()
    try:
        if int(item["v"]["N"]) != TABLE_VERSION:
            raise StoreUnavailable("The control table is of a version this code does not know.")
        return State(
            int(item["revision"]["N"]),
            {env: (int(sequence), str(head)) for env, (sequence, head) in json.loads(item["heads"]["S"]).items()},
            {env: int(version) for env, version in json.loads(item["versions"]["S"]).items()},
            tuple(item["recent"]["S"].split()),
            (item["pending"]["S"], int(item["chunks"]["N"])) if "pending" in item else None,
        )
    except (AttributeError, KeyError, TypeError, ValueError):
        raise StoreUnavailable("The control table's state cannot be read.") from None


class ItemReader:
    """Implements `governance.ports.ControlReader`; every read is strongly consistent."""

    def __init__(self, client: Any, table: str, settled: Callable[[], State]) -> None:
        self._client = client
        self._table = table
        self._settled = settled

    def get(self, kind: type[R], environment: str, record_id: str) -> R | None:
        """See the port."""
        for _ in range(_TRIES):
            item = self._item(record_key(kind.kind, environment, record_id))
            if item is None:
                return None
            found = self._decoded(kind, item)
            if found is not None:
                return found
        raise _moving()

    def find_unique(self, kind: type[R], environment: str, unique: str) -> R | None:
        """See the port."""
        found = self._indexed(kind, UNIQUE_INDEX, UNIQUE_KEY, unique_mark(environment, unique))
        return next((record for record in found if record.unique == unique), None)

    def find_lookup(self, kind: type[R], lookup: str) -> R | None:
        """See the port."""
        return next(iter(self._indexed(kind, LOOKUP_INDEX, LOOKUP_KEY, lookup)), None) if lookup else None

    def every(self, kind: type[R], environment: str) -> list[R]:
        """See the port."""
        return list(self._between(kind, environment, f"{environment}/"))

    def page(self, kind: type[R], environment: str, *, after: str, limit: int) -> list[R]:
        """See the port."""
        # Nothing comes between a text and the same text with a NUL behind it.
        start = f"{environment}/{after}\0" if after else f"{environment}/"
        found = []
        for record in self._between(kind, environment, start, limit):
            found.append(record)
            if len(found) == limit:
                break
        return found

    def version(self, environment: str) -> int:
        """See the port."""
        return self._settled().versions.get(environment, 0)

    def head(self, environment: str) -> tuple[int, str]:
        """See the port."""
        return self._settled().heads.get(environment, (0, chain.genesis(environment)))

    def events(self, environment: str, *, after: int, limit: int, newest_first: bool = False) -> list[str]:
        """See the port."""
        self._settled()
        if newest_first:
            first, last = 0, (after or chain.INTEGER_MAX) - 1
        else:
            first, last = after + 1, chain.INTEGER_MAX
        if first > last:
            return []
        values = {
            ":partition": {"S": CHAIN_PARTITION + environment},
            ":first": chain_key(environment, first)[SORT_KEY],
            ":last": chain_key(environment, last)[SORT_KEY],
        }
        condition = f"{PARTITION_KEY} = :partition AND {SORT_KEY} BETWEEN :first AND :last"
        lines = []
        for item in self._query(condition, values, limit, ScanIndexForward=not newest_first):
            lines.append(str(item[BODY]["S"]))
            if len(lines) == limit:
                break
        return lines

    # ------------------------------------------------------------ how

    def _item(self, key: Item) -> Item | None:
        found: Item | None = self._client.get_item(TableName=self._table, Key=key, ConsistentRead=True).get("Item")
        return found

    def _indexed(self, kind: type[R], index: str, attribute: str, value: str) -> Iterator[R]:
        condition = f"{PARTITION_KEY} = :partition AND {attribute} = :value"
        values = {":partition": {"S": kind.kind}, ":value": {"S": value}}
        for item in self._query(condition, values, IndexName=index):
            record = self._decoded(kind, item)
            if record is not None:
                yield record

    def _between(self, kind: type[R], environment: str, start: str, limit: int | None = None) -> Iterator[R]:
        condition = f"{PARTITION_KEY} = :partition AND {SORT_KEY} BETWEEN :start AND :end"
        values = {
            ":partition": {"S": kind.kind},
            ":start": key_of(kind.kind, start)[SORT_KEY],
            ":end": {"S": environment + _AFTER_SLASH},
        }
        for item in self._query(condition, values, limit):
            record = self._decoded(kind, item)
            if record is None:
                record = self.get(kind, environment, item[SORT_KEY]["S"].removeprefix(f"{environment}/"))
            if record is not None:
                yield record

    def _query(self, condition: str, values: Item, limit: int | None = None, **more: Any) -> Iterator[Item]:
        pages = self._client.get_paginator("query").paginate(
            TableName=self._table,
            KeyConditionExpression=condition,
            ExpressionAttributeValues=values,
            ConsistentRead=True,
            **({"PaginationConfig": {"PageSize": limit}} if limit else {}),
            **more,
        )
        for page in pages:
            yield from page["Items"]

    def _decoded(self, kind: type[R], item: Item) -> R | None:
        """The record of an item; None when its parts are gone, because a newer body has taken their place."""
        parts = None
        if PARTS in item:
            parts = self._parts(item)
            if parts is None:
                return None
        record = decode_item(kind.kind, item, parts)
        if not isinstance(record, kind):
            raise StoreUnavailable("A stored record cannot be read.", reason=f"a {kind.kind} is something else")
        return record

    def _parts(self, item: Item) -> bytes | None:
        environment, _, record_id = item[SORT_KEY]["S"].partition("/")
        kind, generation = item[PARTITION_KEY]["S"], item[GENERATION]["S"]
        pieces = []
        for number in range(int(item[PARTS]["N"])):
            part = self._item(part_key(kind, environment, record_id, generation, number))
            if part is None:
                return None
            pieces.append(bytes(part[BODY]["B"]))
        return b"".join(pieces)


def _moving() -> StoreUnavailable:
    return StoreUnavailable(
        "A stored report is being replaced.", advice="Try again.", reason="parts of a body are gone"
    )
