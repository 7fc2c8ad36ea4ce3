"""Just enough of a TLS ClientHello to tell an old client why it is turned away.

The event loop drops OpenSSL's own alert when a handshake fails, so a client that cannot speak TLS 1.3 would only see
a closed connection. Whatever is not understood here is left to OpenSSL. Source: RFC 8446, sections 4.1.2, 4.2.1, 6.
"""

from __future__ import annotations

RECORD_HEAD_BYTES = 5
PROTOCOL_VERSION_ALERT = b"\x15\x03\x03\x00\x02\x02\x46"
"""A fatal `protocol_version` alert."""

_SUPPORTED_VERSIONS = 43
_TLS_1_3 = b"\x03\x04"


def record_length(head: bytes) -> int:
    """Bytes of the first record, its head included; 0 when `head` does not begin a handshake."""
    if len(head) < RECORD_HEAD_BYTES or head[0] != 0x16:
        return 0
    return RECORD_HEAD_BYTES + int.from_bytes(head[3:5], "big")


def offers_tls_1_3(record: bytes) -> bool:
    """Whether a ClientHello offers TLS 1.3; True as well for what cannot be read."""
    try:
        return _TLS_1_3 in _versions(record)
    except (IndexError, ValueError):
        return True


def _versions(record: bytes) -> list[bytes]:
    if record[5] != 1:
        raise ValueError("not a ClientHello")
    at = 9 + 2 + 32
    at += 1 + record[at]
    at += 2 + int.from_bytes(record[at : at + 2], "big")
    at += 1 + record[at]
    if at >= len(record):
        return []
    end = at + 2 + int.from_bytes(record[at : at + 2], "big")
    if end > len(record):
        raise ValueError("the hello goes on in another record")
    at += 2
    while at + 4 <= end:
        kind, size = int.from_bytes(record[at : at + 2], "big"), int.from_bytes(record[at + 2 : at + 4], "big")
        if kind == _SUPPORTED_VERSIONS:
            listed = record[at + 5 : at + 4 + size]
            return [listed[i : i + 2] for i in range(0, len(listed), 2)]
        at += 4 + size
    return []
