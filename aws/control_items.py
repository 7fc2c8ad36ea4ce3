"""The items of the control table: keys, bodies, and a write as DynamoDB spells it. Pure; see docs/control-table.md."""

from __future__ import annotations

import base64
import hashlib
import json
import zlib
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from aws.names import CHAIN_PARTITION, EXPIRES, LOOKUP_KEY, PARTITION_KEY, SORT_KEY, UNIQUE_KEY
from governance.errors import InvalidRequest, ResourceExceeded, StoreUnavailable
from governance.register import Observation, Record
from governance.stored_record import decode_record, encode_record
from governance.timestamp import parse

Item = dict[str, Any]
"""An item in DynamoDB's own JSON: attribute name -> {type: value}."""

BODY = "body"
"""The record as JSON text (S), or, past `PLAIN_CHARS_MAX`, as deflated JSON (B)."""
PARTS = "parts"
GENERATION = "generation"
PLAIN_CHARS_MAX = 64 * 1024
ITEM_BYTES_MAX = 340 * 1024
"""Of one body; DynamoDB's limit of 400 KB counts names, keys and the indexes' copies too."""
BODY_BYTES_MAX = 64 * 1024 * 1024
"""An observation of more than this, deflated, is refused."""
INFLATED_BYTES_MAX = 512 * 1024 * 1024
SORT_KEY_BYTES_MAX = 1024

STATE_KEY: Item = {PARTITION_KEY: {"S": "state"}, SORT_KEY: {"S": "state"}}
STAGE_PARTITION = "stage"
PARTS_PARTITION = "parts"


@dataclass(frozen=True, slots=True)
class Write:
    """One put (`item` given) or delete of an item. `once` refuses to put over one of another body."""

    key: Item
    item: Item | None
    once: bool = False

    @property
    def name(self) -> tuple[str, str]:
        """Partition and sort key as text."""
        return self.key[PARTITION_KEY]["S"], self.key[SORT_KEY]["S"]

    @property
    def size(self) -> int:
        """About the bytes it counts for."""
        return sum(len(name) + _size(value) for name, value in (self.item or self.key).items()) + 100

    def spelled(self, table: str) -> dict[str, Any]:
        """As an element of TransactItems."""
        if self.item is None:
            return {"Delete": {"TableName": table, "Key": self.key}}
        put: dict[str, Any] = {"TableName": table, "Item": self.item}
        if self.once:
            put["ConditionExpression"] = f"attribute_not_exists({PARTITION_KEY}) OR {BODY} = :body"
            put["ExpressionAttributeValues"] = {":body": self.item[BODY]}
        return {"Put": put}


def _size(value: dict[str, Any]) -> int:
    (content,) = value.values()
    return len(content) if isinstance(content, bytes) else len(str(content).encode())


def key_of(partition: str, sort: str) -> Item:
    """A primary key.

    Raises:
        InvalidRequest: the name is longer than DynamoDB takes.
    """
    if len(sort.encode()) > SORT_KEY_BYTES_MAX:
        raise InvalidRequest("A name is too long to be stored.", advice="Choose a shorter one.")
    return {PARTITION_KEY: {"S": partition}, SORT_KEY: {"S": sort}}


def record_key(kind: str, environment: str, record_id: str) -> Item:
    """Where the record of that kind and id lies."""
    return key_of(kind, f"{environment}/{record_id}")


def unique_mark(environment: str, unique: str) -> str:
    """A record's `unique` as the index holds it: of fixed length, whatever characters it has."""
    return f"{environment}/{hashlib.sha256(unique.encode()).hexdigest()}"


def chain_key(environment: str, sequence: int) -> Item:
    """Where event number `sequence` of an environment's chain lies."""
    return key_of(CHAIN_PARTITION + environment, f"{sequence:016d}")


def write_of(record: Record | Observation) -> Write:
    """The put of a record that fits one item.

    Raises:
        ResourceExceeded: it does not.
        InvalidRequest: its id is too long.
    """
    deflated = packed(record)
    if deflated is not None and len(deflated) > ITEM_BYTES_MAX:
        raise ResourceExceeded("The object is too large to be stored.", advice="Make it smaller, or make several.")
    return _put(record, {BODY: {"S": _text(record)} if deflated is None else {"B": deflated}})


def packed(record: Record | Observation) -> bytes | None:
    """The deflated body when it is too long to lie there as text, else None."""
    text = _text(record)
    return zlib.compress(text.encode(), 6) if len(text) > PLAIN_CHARS_MAX else None


def parted(observation: Observation, deflated: bytes, generation: str) -> tuple[Write, list[Write]]:
    """The put of an observation whose body lies in parts of their own, and the puts of those parts, which go first.

    Raises:
        ResourceExceeded: even so it is too large.
    """
    if len(deflated) > BODY_BYTES_MAX:
        raise ResourceExceeded("The report is too large to be stored.", advice="Report less at once.")
    pieces = [deflated[at : at + ITEM_BYTES_MAX] for at in range(0, len(deflated), ITEM_BYTES_MAX)]
    parts = []
    for number, piece in enumerate(pieces):
        key = part_key(observation.kind, observation.environment, observation.id, generation, number)
        parts.append(Write(key, {**key, BODY: {"B": piece}}))
    return _put(observation, {PARTS: {"N": str(len(pieces))}, GENERATION: {"S": generation}}), parts


def part_key(kind: str, environment: str, record_id: str, generation: str = "", number: int = 0) -> Item:
    """Where a part lies; without a generation: what the keys of all of them begin with."""
    ending = f"{generation}/{number:05d}" if generation else ""
    return key_of(PARTS_PARTITION, f"{kind}/{environment}/{record_id}/{ending}")


def _put(record: Record | Observation, body: Item) -> Write:
    key = record_key(record.kind, record.environment, record.id)
    item = {**key, **body}
    if record.unique:
        item[UNIQUE_KEY] = {"S": unique_mark(record.environment, record.unique)}
    if record.lookup:
        item[LOOKUP_KEY] = {"S": record.lookup}
    expires_at = getattr(record, "expires_at", "") if isinstance(record, Observation) else ""
    if expires_at:
        item[EXPIRES] = {"N": str(epoch(parse(expires_at)))}
    return Write(key, item)


def removal(record: Record | Observation) -> Write:
    """The delete of a record."""
    return Write(record_key(record.kind, record.environment, record.id), None)


def event_write(environment: str, sequence: int, line: str) -> Write:
    """The put of one link of the chain, which never replaces another."""
    key = chain_key(environment, sequence)
    return Write(key, {**key, BODY: {"S": line}}, once=True)


def epoch(moment: datetime) -> int:
    """Whole seconds since 1970, rounded up: time-to-live must not run ahead."""
    return int(moment.timestamp()) + 1


def _text(record: Record | Observation) -> str:
    return json.dumps(encode_record(record), ensure_ascii=False, separators=(",", ":"))


def decode_item(kind: str, item: Item, parts: bytes | None = None) -> Record | Observation:
    """The record of an item; `parts` are the bytes of its parts when it has any.

    Raises:
        StoreUnavailable: it cannot be read.
    """
    try:
        body = item.get(BODY, {})
        if parts is not None or "B" in body:
            text = _inflated(parts if parts is not None else bytes(body["B"]))
        else:
            text = body["S"]
        return decode_record(kind, json.loads(text))
    except (KeyError, TypeError, ValueError, zlib.error):
        raise StoreUnavailable("A stored record cannot be read.", reason=f"a {kind} cannot be decoded") from None


def _inflated(data: bytes) -> bytes:
    inflater = zlib.decompressobj()
    text = inflater.decompress(data, INFLATED_BYTES_MAX)
    if not inflater.eof:
        raise ValueError("cut short, or too long")
    return text


# ---------------------------------------------------------------- a change too large for one transaction


def stage_items(token: str, writes: list[Write], writes_max: int, bytes_max: int, expires: int) -> list[Item]:
    """`writes` as items that hold them, each no more than one transaction carries."""
    chunks: list[list[Write]] = [[]]
    room = bytes_max
    for write in writes:
        if chunks[-1] and (len(chunks[-1]) == writes_max or room < write.size):
            chunks.append([])
            room = bytes_max
        chunks[-1].append(write)
        room -= write.size
    return [
        {
            **stage_key(token, number),
            BODY: {"B": zlib.compress(json.dumps([_frozen(write) for write in chunk]).encode(), 6)},
            EXPIRES: {"N": str(expires)},
        }
        for number, chunk in enumerate(chunks)
    ]


def stage_key(token: str, number: int) -> Item:
    """Where a piece of a staged change lies."""
    return key_of(STAGE_PARTITION, f"{token}/{number:05d}")


def staged_writes(item: Item) -> list[Write]:
    """The writes that an item of `stage_items` holds. They may be done again and again.

    Raises:
        StoreUnavailable: it cannot be read.
    """
    try:
        documents = json.loads(_inflated(bytes(item[BODY]["B"])))
        return [Write(_thawed(d["key"]), _thawed(d["item"]), bool(d["once"])) for d in documents]
    except (KeyError, TypeError, ValueError, zlib.error):
        raise StoreUnavailable("A staged change cannot be read.", reason="a stage item cannot be decoded") from None


def _frozen(write: Write) -> dict[str, Any]:
    return {"key": write.key, "item": None if write.item is None else _texts(write.item), "once": write.once}


def _texts(item: Item) -> Item:
    return {
        name: {"B": base64.b64encode(value["B"]).decode()} if "B" in value else value for name, value in item.items()
    }


def _thawed(item: Item | None) -> Any:
    if item is None:
        return None
    return {name: {"B": base64.b64decode(value["B"])} if "B" in value else value for name, value in item.items()}
