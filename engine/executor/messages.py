"""What node and worker say to each other over a channel: a 16-byte header, then JSON or a frame of rows.

The worker runs foreign SQL and is not trusted by the node: nothing it sends is unpickled, every length is bounded
before memory is taken for it. Control messages are fixed in size and travel on the worker's control socket.
"""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from functools import lru_cache
from typing import Any

HEADER = struct.Struct(">BxxxIQ")
"""kind, rows, bytes that follow."""
CONTROL = struct.Struct(">BxxxIQ")
"""operation, channel, statement."""
_REQUEST = struct.Struct(">QI")
"""statement, bytes of the work; what is left is the rest of the request."""
REQUEST_BYTES_MAX = 64 << 20
REPLY_BYTES_MAX = 1 << 20
FRAME_BYTES_MAX = 256 << 20
_JSON = json.JSONEncoder(separators=(",", ":"))


class Kind(IntEnum):
    """What a channel message is."""

    REQUEST = 1
    COLUMNS = 2
    FRAME = 3
    DONE = 4
    FAILED = 5
    IMAGES = 6
    """Snapshots a worker has not seen yet; goes before the first request that names them, and has no answer."""


class Control(IntEnum):
    """What the node tells a worker beside the channels. OPEN carries a descriptor."""

    OPEN = 1
    INTERRUPT = 2


@dataclass(frozen=True, slots=True)
class PinnedObject:
    """One object of a snapshot: its number at the node, its path below the table, its size in bytes."""

    number: int
    path: str
    size: int


@dataclass(frozen=True, slots=True)
class SnapshotImage:
    """A table's files as the worker's file system shows them under `hati://<id>/`."""

    id: str
    table: str
    objects: tuple[PinnedObject, ...]


@dataclass(frozen=True, slots=True)
class Bound:
    """One parameter's value as the client sent it."""

    data: bytes | None
    format: int
    oid: int
    type: str
    """The DuckDB type the pipeline inferred, or empty."""


@dataclass(frozen=True, slots=True)
class Work:
    """The part of a request that comes again each time the same statement does."""

    operation: str
    """`run`, `describe`, `files` (column types of files), or a name another room registers with the worker."""
    sql: str
    formats: tuple[int, ...] = ()
    row_format: str = "datarow"
    row_options: dict[str, Any] = field(default_factory=dict)
    checks: tuple[tuple[str, str], ...] = ()
    """(result column, mask) pairs asserted on every batch."""
    kind: str = "select"
    """As `Governed.kind`: how a statement can be described depends on it."""
    extra: dict[str, Any] = field(default_factory=dict)
    """What another room's operation needs; JSON values only."""

    def encode(self) -> bytes:
        """As JSON; equal work has equal bytes."""
        return _JSON.encode({name: getattr(self, name) for name in self.__slots__}).encode()

    @classmethod
    def decode(cls, body: bytes) -> Work:
        """The inverse of `encode`; read by the worker, which trusts the node."""
        d = json.loads(body)
        d["formats"] = tuple(d["formats"])
        d["checks"] = tuple((column, check) for column, check in d["checks"])
        return cls(**d)


_kept_work = lru_cache(maxsize=512)(Work.decode)
_WORK_KEPT_BYTES_MAX = 16_384


@dataclass(frozen=True, slots=True)
class Request:
    """One statement for a channel."""

    key: bytes
    """Its work, encoded: what is known of a statement is kept under it."""
    work: Work
    statement: int
    snapshots: tuple[str, ...] = ()
    """Snapshots the statement reads."""
    forget: tuple[str, ...] = ()
    parameters: tuple[Bound, ...] = ()


def encode_request(
    work: bytes,
    statement: int,
    *,
    parameters: Sequence[Bound] = (),
    snapshots: Sequence[str] = (),
    forget: Sequence[str] = (),
) -> bytes:
    """The message, header included.

    Raises:
        ValueError: larger than REQUEST_BYTES_MAX.
    """
    rest = b""
    if parameters or snapshots or forget:
        rest = _JSON.encode(
            [
                [
                    [None if p.data is None else base64.b64encode(p.data).decode("ascii"), p.format, p.oid, p.type]
                    for p in parameters
                ],
                list(snapshots),
                list(forget),
            ]
        ).encode()
    length = _REQUEST.size + len(work) + len(rest)
    if length > REQUEST_BYTES_MAX:
        raise ValueError("request too large")
    return HEADER.pack(Kind.REQUEST, 0, length) + _REQUEST.pack(statement, len(work)) + work + rest


def encode_images(images: Sequence[SnapshotImage]) -> bytes:
    """Snapshots for a worker, header included.

    Raises:
        ValueError: larger than REQUEST_BYTES_MAX.
    """
    body = _JSON.encode([[i.id, i.table, [[o.number, o.path, o.size] for o in i.objects]] for i in images]).encode()
    if len(body) > REQUEST_BYTES_MAX:
        raise ValueError("request too large")
    return HEADER.pack(Kind.IMAGES, 0, len(body)) + body


def decode_images(body: bytes) -> tuple[SnapshotImage, ...]:
    """The inverse of `encode_images`, without the header."""
    return tuple(
        SnapshotImage(i, table, tuple(PinnedObject(*o) for o in objects)) for i, table, objects in json.loads(body)
    )


def decode_request(body: bytes) -> Request:
    """The inverse of `encode_request`, without the header; read by the worker, which trusts the node."""
    statement, length = _REQUEST.unpack_from(body)
    end = _REQUEST.size + length
    key = body[_REQUEST.size : end]
    work = _kept_work(key) if length <= _WORK_KEPT_BYTES_MAX else Work.decode(key)
    if end == len(body):
        return Request(key, work, statement)
    parameters, snapshots, forget = json.loads(body[end:])
    return Request(
        key,
        work,
        statement,
        tuple(snapshots),
        tuple(forget),
        tuple(
            Bound(None if data is None else base64.b64decode(data), form, oid, kind)
            for data, form, oid, kind in parameters
        ),
    )


def columns_reply(columns: Iterable[Any], signals: Sequence[tuple[str, int]] | None = None) -> bytes:
    """The reply COLUMNS; `columns` are `ResultColumn`s, `signals` pairs (signal, process id) of a statement."""
    told = [[c.name, c.type, c.oid, c.size, c.typmod] for c in columns]
    return reply(Kind.COLUMNS, told if signals is None else {"result": told, "signals": signals})


def reply(kind: Kind, document: object = None, rows: int = 0) -> bytes:
    """A small JSON reply of the worker."""
    body = b"" if document is None else _JSON.encode(document).encode()
    return HEADER.pack(kind, rows, len(body)) + body
