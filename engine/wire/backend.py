"""What we answer: each backend message as bytes."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

AUTHENTICATION_OK = b"R\0\0\0\x08\0\0\0\0"
AUTHENTICATION_CLEARTEXT = b"R\0\0\0\x08\0\0\0\x03"
PARSE_COMPLETE = b"1\0\0\0\x04"
BIND_COMPLETE = b"2\0\0\0\x04"
CLOSE_COMPLETE = b"3\0\0\0\x04"
NO_DATA = b"n\0\0\0\x04"
EMPTY_QUERY = b"I\0\0\0\x04"
PORTAL_SUSPENDED = b"s\0\0\0\x04"
COPY_DONE = b"c\0\0\0\x04"
READY = {status: b"Z\0\0\0\x05" + status.encode() for status in "ITE"}
"""ReadyForQuery by transaction status: I idle, T in a transaction, E in a failed one."""


def _message(kind: bytes, body: bytes) -> bytes:
    return kind + (len(body) + 4).to_bytes(4, "big") + body


def _text(value: str) -> bytes:
    """A C string; NUL inside would end it early, so it is dropped."""
    return value.replace("\0", "").encode("utf-8", "replace") + b"\0"


@dataclass(frozen=True, slots=True)
class Field:
    """A result column as RowDescription says it."""

    name: str
    oid: int
    size: int
    typmod: int = -1


def row_description(fields: Sequence[Field], formats: Sequence[int]) -> bytes:
    """RowDescription; `formats` holds one code per field. Table and attribute numbers are 0: columns are computed."""
    parts = [len(fields).to_bytes(2, "big")]
    for column, code in zip(fields, formats, strict=True):
        parts.append(_text(column.name))
        parts.append(struct.pack("!IhIhih", 0, 0, column.oid, column.size, column.typmod, code))
    return _message(b"T", b"".join(parts))


def data_row(values: Iterable[bytes | None]) -> bytes:
    """One DataRow."""
    fields = [b"\xff\xff\xff\xff" if value is None else len(value).to_bytes(4, "big") + value for value in values]
    return _message(b"D", len(fields).to_bytes(2, "big") + b"".join(fields))


def parameter_description(oids: Sequence[int]) -> bytes:
    """ParameterDescription."""
    return _message(b"t", struct.pack(f"!H{len(oids)}I", len(oids), *oids))


def command_complete(tag: str) -> bytes:
    """CommandComplete."""
    return _message(b"C", _text(tag))


def parameter_status(name: str, value: str) -> bytes:
    """ParameterStatus."""
    return _message(b"S", _text(name) + _text(value))


def backend_key_data(process_id: int, secret: bytes) -> bytes:
    """BackendKeyData: with these a client asks for a cancel."""
    return _message(b"K", process_id.to_bytes(4, "big") + secret)


def negotiate_protocol_version(minor: int, options: Sequence[str]) -> bytes:
    """NegotiateProtocolVersion: the newest minor version spoken, and the `_pq_.` options not understood."""
    return _message(b"v", struct.pack("!ii", minor, len(options)) + b"".join(_text(o) for o in options))


def copy_out_response(binary: bool, columns: int) -> bytes:
    """CopyOutResponse."""
    code = int(binary)
    return _message(b"H", struct.pack(f"!bh{columns}h", code, columns, *([code] * columns)))


def error_response(fields: Mapping[str, str]) -> bytes:
    """ErrorResponse of (field type, text), in the order given."""
    return _message(b"E", _report(fields))


def notice_response(fields: Mapping[str, str]) -> bytes:
    """NoticeResponse of (field type, text)."""
    return _message(b"N", _report(fields))


def _report(fields: Mapping[str, str]) -> bytes:
    return b"".join(kind.encode() + _text(value) for kind, value in fields.items() if value) + b"\0"


def split_rows(data: memoryview, rows: int) -> int:
    """The offset behind the first `rows` messages of `data` (whole DataRow messages; fewer when it holds fewer)."""
    at, end = 0, len(data)
    unpack = struct.Struct("!I").unpack_from
    for _ in range(rows):
        if at >= end:
            break
        at += 1 + int(unpack(data, at + 1)[0])
    return at
