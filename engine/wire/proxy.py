"""The PROXY protocol, version 2, as a load balancer sends it before the client's first byte.

Source: haproxy's proxy-protocol.txt, section 2.2. Only parsed for connections from configured networks.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

from engine.wire.violations import ProtocolViolation

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
HEAD_BYTES = 16
REST_BYTES_MAX = 2048


def rest_length(head: bytes) -> int:
    """Bytes that follow the 16-byte `head`.

    Raises:
        ProtocolViolation: not a version 2 header, or longer than its limit.
    """
    if len(head) != HEAD_BYTES or not head.startswith(SIGNATURE) or head[12] >> 4 != 2:
        raise ProtocolViolation("The connection does not begin with a PROXY protocol version 2 header.")
    length = int.from_bytes(head[14:16], "big")
    if length > REST_BYTES_MAX:
        raise ProtocolViolation("The PROXY protocol header is past its limit.")
    return length


def source(head: bytes, rest: bytes) -> str | None:
    """The client's address, or None for LOCAL (a health check: keep the peer's).

    Raises:
        ProtocolViolation: a command or family not understood.
    """
    command, family = head[12] & 0x0F, head[13]
    if command == 0:
        return None
    if command == 1 and family == 0x11 and len(rest) >= 12:
        return str(IPv4Address(rest[:4]))
    if command == 1 and family == 0x21 and len(rest) >= 36:
        return str(IPv6Address(rest[:16]))
    raise ProtocolViolation("The PROXY protocol header is not understood.")
