"""One delivery over HTTP: to an address that was judged, and to no other (no SSRF).

A name is resolved here, every address it means is judged, and the connection goes to one of those very addresses, so a
name that means something else a moment later (DNS rebinding) changes nothing; TLS still verifies the name. No redirect
is followed, no proxy asked, nothing of the answer's body read, and the whole must be over within a deadline.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Protocol

import httpx

from governance.webhook_address import refusal

for _name in ("httpx", "httpcore"):
    logging.getLogger(_name).setLevel(logging.WARNING)  # below it they log URLs and headers, parts of which are secret

CONNECT_S = 5.0
TOTAL_S = 15.0
Address = IPv4Address | IPv6Address
Resolve = Callable[[str, int], Awaitable[Sequence[Address]]]


@dataclass(frozen=True, slots=True)
class Sent:
    """How an attempt ended: an HTTP status, or 0 and why there is none."""

    status: int
    failure: str = ""

    @property
    def delivered(self) -> bool:
        """Whether the receiver took it."""
        return 200 <= self.status < 300


class Sender(Protocol):
    """Carries one body to one URL."""

    async def send(self, url: str, body: bytes, headers: Mapping[str, str], networks: tuple[str, ...]) -> Sent:
        """POST `body`; `networks` are the special ones it may enter. Never raises for what the receiver does."""


async def resolve(host: str, port: int) -> Sequence[Address]:
    """Every address that the system's resolver gives.

    Raises:
        OSError: it gives none.
    """
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [ip_address(entry[4][0]) for entry in found]


class HttpSender:
    """Implements `Sender`."""

    def __init__(
        self, *, context: ssl.SSLContext | None = None, resolver: Resolve = resolve, total_s: float = TOTAL_S
    ) -> None:
        self._context = context or ssl.create_default_context()
        self._resolve = resolver
        self._total_s = total_s

    async def send(self, url: str, body: bytes, headers: Mapping[str, str], networks: tuple[str, ...]) -> Sent:
        """See the port."""
        try:
            async with asyncio.timeout(self._total_s):
                return await self._send(httpx.URL(url), body, headers, networks)
        except (TimeoutError, httpx.TimeoutException):
            return Sent(0, "timed out")
        except httpx.ConnectError as error:
            tls = isinstance(error.__context__, ssl.SSLError) or "SSL" in str(error) or "certificate" in str(error)
            return Sent(0, "TLS failed" if tls else "no connection")
        except (httpx.HTTPError, httpx.InvalidURL, ssl.SSLError, OSError, ValueError):
            return Sent(0, "no HTTP answer")

    async def _send(self, url: httpx.URL, body: bytes, headers: Mapping[str, str], networks: tuple[str, ...]) -> Sent:
        port = url.port or (443 if url.scheme == "https" else 80)
        literal = _literal(url.host)
        try:
            found = [literal] if literal else await self._resolve(url.host, port)
        except (OSError, UnicodeError):
            return Sent(0, "the name has no address")
        allowed = tuple(ip_network(text) for text in networks)
        # One address that is not allowed closes the name: else a receiver could try its luck attempt by attempt.
        if not found or any(refusal(address, allowed) for address in found):
            return Sent(0, "address not allowed")
        inside = any(found[0] in network for network in allowed if network.version == found[0].version)
        if url.scheme != "https" and not (url.scheme == "http" and inside):
            return Sent(0, "plain HTTP not allowed")
        extensions = {} if literal else {"sni_hostname": url.host}
        timeout = httpx.Timeout(self._total_s, connect=CONNECT_S)
        async with (
            httpx.AsyncClient(verify=self._context, trust_env=False, follow_redirects=False, timeout=timeout) as client,
            client.stream(
                "POST",
                url.copy_with(host=str(found[0])),
                content=body,
                headers={**headers, "host": url.netloc.decode("ascii"), "connection": "close"},
                extensions=extensions,
            ) as response,
        ):
            return Sent(response.status_code)


def _literal(host: str) -> Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None
