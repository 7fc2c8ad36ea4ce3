"""What node and worker say to each other over a channel: a 16-byte header, then JSON or a frame of rows.

The worker runs foreign SQL and is not trusted by the node: nothing it sends is unpickled, every length is bounded
before memory is taken for it. Control messages are fixed in size and travel on the worker's control socket.
"""

from __future__ import annotations

import base64
import json
import struct
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

HEADER = struct.Struct(">BxxxIQ")
"""kind, rows, bytes that follow."""
CONTROL = struct.Struct(">BxxxIQ")
"""operation, channel, statement."""
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
class Request:
    """One statement for a channel."""

    operation: str
    """`run`, `describe`, `files` (column types of files), or a name another room registers with the worker."""
    statement: int
    sql: str
    snapshots: tuple[str, ...] = ()
    """Snapshots the statement reads."""
    images: tuple[SnapshotImage, ...] = ()
    """Those among them that this worker has not seen yet."""
    forget: tuple[str, ...] = ()
    parameters: tuple[Bound, ...] = ()
    formats: tuple[int, ...] = ()
    row_format: str = "datarow"
    row_options: dict[str, Any] = field(default_factory=dict)
    checks: tuple[tuple[str, str], ...] = ()
    """(result column, mask) pairs asserted on every batch."""
    kind: str = "select"
    """As `Governed.kind`: how a statement can be described depends on it."""
    extra: dict[str, Any] = field(default_factory=dict)
    """What another room's operation needs; JSON values only."""

    def encode(self, **changes: Any) -> bytes:
        """The message, header included, with `changes` in place of fields (a request is sent more than once).

        Raises:
            ValueError: larger than REQUEST_BYTES_MAX.
        """
        document: dict[str, Any] = {name: getattr(self, name) for name in self.__slots__}
        document.update(changes)
        document["parameters"] = [
            [None if p.data is None else base64.b64encode(p.data).decode("ascii"), p.format, p.oid, p.type]
            for p in self.parameters
        ]
        document["images"] = [
            [i.id, i.table, [[o.number, o.path, o.size] for o in i.objects]] for i in document["images"]
        ]
        body = _JSON.encode(document).encode()
        if len(body) > REQUEST_BYTES_MAX:
            raise ValueError("request too large")
        return HEADER.pack(Kind.REQUEST, 0, len(body)) + body

    @classmethod
    def decode(cls, body: bytes) -> Request:
        """The inverse of `encode`, without the header; read by the worker, which trusts the node."""
        d = json.loads(body.decode())
        d["parameters"] = tuple(
            Bound(None if data is None else base64.b64decode(data), form, oid, kind)
            for data, form, oid, kind in d["parameters"]
        )
        d["images"] = tuple(
            SnapshotImage(i, table, tuple(PinnedObject(*o) for o in objects)) for i, table, objects in d["images"]
        )
        for name in ("snapshots", "forget", "formats"):
            d[name] = tuple(d[name])
        d["checks"] = tuple((column, check) for column, check in d["checks"])
        return cls(**d)


def reply(kind: Kind, document: object = None, rows: int = 0) -> bytes:
    """A small JSON reply of the worker."""
    body = b"" if document is None else _JSON.encode(document).encode()
    return HEADER.pack(kind, rows, len(body)) + body
