"""Where a webhook may be delivered: public addresses, and what the environment names; some nowhere. Pure.

Judged is the address that is connected to, after every name has become one (ADR 16). The lists are IANA's registries of
special-purpose addresses, written out, since `ipaddress.is_global` differs between versions of Python.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_network
from urllib.parse import SplitResult, urlsplit

from governance.errors import InvalidRequest
from governance.principals import Network

URL_CHARS_MAX = 2048
NETWORKS_MAX = 32


def _networks(*texts: str) -> tuple[Network, ...]:
    return tuple(ip_network(text) for text in texts)


_NEVER = _networks(
    "0.0.0.0/8",
    "169.254.0.0/16",  # link-local, and the metadata services of most clouds
    "168.63.129.16/32",  # Azure's platform address
    "100.100.100.200/32",  # Alibaba's metadata service
    "192.0.0.192/32",  # Oracle's metadata service
    "224.0.0.0/4",
    "255.255.255.255/32",
    "::/128",
    "fe80::/10",
    "ff00::/8",
    "fd00:ec2::/32",  # AWS's metadata, DNS and time by IPv6
    "fd20:ce::/32",  # Google's metadata service by IPv6
)
_SPECIAL = _networks(
    "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.31.196.0/24",
    "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16", "192.175.48.0/24", "198.18.0.0/15", "198.51.100.0/24",
    "203.0.113.0/24", "240.0.0.0/4", "2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20",
)  # fmt: skip
_GLOBAL_V6 = IPv6Network("2000::/3")
"""All that is assigned for global unicast; the rest of IPv6, translation prefixes included, is special."""


def refusal(address: IPv4Address | IPv6Address, allowed: Iterable[Network]) -> str:
    """Why no delivery may go to `address`, or empty when it may.

    Args:
        address: the one that would be connected to; IPv4 inside IPv6 counts as IPv4.
        allowed: special networks that the environment allows; link-local and metadata addresses they cannot allow.
    """
    if isinstance(address, IPv6Address):
        if address.scope_id:
            return "link-local"
        address = address.ipv4_mapped or address
    if any(address in network for network in _NEVER):
        return "link-local, metadata or multicast"
    special = any(address in network for network in _SPECIAL)
    if isinstance(address, IPv6Address) and address not in _GLOBAL_V6:
        special = True
    if special and not any(address in network for network in allowed):
        return "private"
    return ""


def checked_url(text: str, *, plain_allowed: bool) -> str:
    """`text` when a webhook may be registered with it.

    Args:
        text: what was given.
        plain_allowed: whether `http:` may stand (where the environment allows special networks).

    Raises:
        InvalidRequest: not an absolute https URL with a host, or one with a user, a fragment or odd characters.
    """
    parts = _parts(text)
    if (
        parts is None
        or parts.scheme not in (("https", "http") if plain_allowed else ("https",))
        or not parts.hostname
        or parts.username is not None
        or parts.password is not None
        or parts.fragment
    ):
        raise InvalidRequest(
            "The URL cannot be delivered to.",
            advice="Write it like https://host/path, in ASCII, without a user or a fragment; http only inside networks "
            "that the environment allows.",
        )
    return text


def origin(url: str) -> str:
    """Scheme, host and port: all that the chain tells of a URL, for its path may hold a token."""
    parts = _parts(url)
    return f"{parts.scheme}://{parts.netloc}" if parts else ""


def _parts(text: str) -> SplitResult | None:
    if len(text) > URL_CHARS_MAX or not text.isascii() or any(c <= " " or c in '\\"<>^`{|}\x7f' for c in text):
        return None
    try:
        parts = urlsplit(text)
        if parts.port == 0:
            return None
    except ValueError:
        return None
    return parts
