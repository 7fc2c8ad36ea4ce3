"""The node's line to the control plane: mutual TLS, a deadline on every call, a limit on every answer."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
import logging
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import httpx

from governance.bundle import MANIFEST_HEADER, PART_BYTES, PARTS_MAX, SIGNATURE_HEADER, Manifest, from_header
from governance.errors import InvalidRequest
from governance.tables import Table

ANSWER_BYTES_MAX = 64 * 1024 * 1024
RULEBOOK_PATH = "/v1/nodes/rulebook"
REPORT_BYTES = 900_000
"""Of one part of a table report, before compression; the control plane takes a little more."""
_LOG = logging.getLogger("hatidata.node")

DRAFT_BYTES_MAX = 16 * 1024 * 1024


class ControlLinkFailed(Exception):
    """No answer, or not one that is understood. The cause is a class name or a status, never a body."""


@dataclass(frozen=True, slots=True)
class RulebookAnswer:
    """A rulebook as sent, or the word that the one of `etag` is still right."""

    etag: str
    body: bytes | None
    """None: nothing changed."""
    manifest: bytes
    signature: bytes
    """Over the manifest, which speaks of the rulebook in either case; whoever takes it up checks both."""


class ControlLink:
    """Calls under `/v1/nodes/`."""

    def __init__(self, url: str, context: ssl.SSLContext, environment: str, *, timeout_s: float = 5.0) -> None:
        self._environment = environment
        self._timeout_s = timeout_s
        self._client = httpx.AsyncClient(
            base_url=url, verify=context, timeout=timeout_s, trust_env=False, follow_redirects=False,
            limits=httpx.Limits(max_connections=4, max_keepalive_connections=2),
        )  # fmt: skip

    async def rulebook(self, etag: str, wait_s: float = 0.0) -> RulebookAnswer:
        """The rulebook, or that the one of `etag` is still right.

        Args:
            etag: of the rulebook in force; empty without one.
            wait_s: how long the control plane may hold its answer back while nothing changes.

        Raises:
            ControlLinkFailed: no usable answer, or the rulebook changed while its parts were fetched.
        """
        headers = {"If-None-Match": etag} if etag else {}
        asked = {"wait_s": str(wait_s)} if etag and wait_s else {}
        try:
            async with asyncio.timeout(wait_s + PARTS_MAX * self._timeout_s):
                first = await self._part(headers, asked, self._timeout_s + wait_s)
                if first.body is None:
                    return first
                manifest = Manifest.decode(first.manifest)
                body = bytearray(first.body)
                for number in range(1, manifest.parts):
                    part = await self._part({"If-Match": first.etag}, {"part": str(number)}, self._timeout_s)
                    body += part.body or b""
                return replace(first, body=bytes(body))
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
            raise ControlLinkFailed(type(error).__name__) from None
        except InvalidRequest:
            raise ControlLinkFailed("no manifest") from None

    async def _part(self, headers: dict[str, str], asked: dict[str, str], timeout_s: float) -> RulebookAnswer:
        params = {"environment": self._environment, **asked}
        stream = self._client.stream("GET", RULEBOOK_PATH, headers=headers, params=params, timeout=timeout_s)
        async with stream as response:
            told = response.headers
            etag = told.get("etag", "")
            manifest, signature = (
                from_header(told.get(MANIFEST_HEADER, "")),
                from_header(told.get(SIGNATURE_HEADER, "")),
            )
            if response.status_code == 304 and "If-None-Match" in headers:
                await response.aread()  # else the connection would not be kept
                return RulebookAnswer(etag, None, manifest, signature)
            if response.status_code != 200:
                raise ControlLinkFailed(f"status {response.status_code}")
            body = bytearray()
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > PART_BYTES:
                    raise ControlLinkFailed("answer too long")
            return RulebookAnswer(etag, bytes(body), manifest, signature)

    async def policy_draft(self, number: int) -> Mapping[str, Any] | None:
        """All policies as they would be with a draft in force, or None when there is no such draft.

        Raises:
            ControlLinkFailed: no usable answer.
        """
        params: dict[str, str | int] = {"environment": self._environment, "draft": number}
        try:
            async with self._client.stream("GET", "/v1/nodes/policy-drafts", params=params) as response:
                if response.status_code == 404:
                    return None
                if response.status_code != 200:
                    raise ControlLinkFailed(f"status {response.status_code}")
                body = bytearray()
                async for chunk in response.aiter_bytes():
                    body += chunk
                    if len(body) > DRAFT_BYTES_MAX:
                        raise ControlLinkFailed("answer too long")
            document = json.loads(bytes(body))
        except (httpx.HTTPError, httpx.InvalidURL, ValueError, RecursionError) as error:
            raise ControlLinkFailed(type(error).__name__) from None
        if not isinstance(document, dict):
            raise ControlLinkFailed("no object")
        return document

    async def report_tables(self, tables: Sequence[Table]) -> None:
        """Tell which tables there are, so that policies can be checked when they are written.

        Raises:
            ControlLinkFailed: not taken.
        """
        parts = table_parts(tables)
        report = hashlib.sha256(b"".join(b"".join(part) for part in parts)).hexdigest()[:32]
        for number, part in enumerate(parts):
            head = {"environment": self._environment, "report": report, "part": number, "parts": len(parts)}
            body = json.dumps(head)[:-1].encode() + b', "tables": [' + b",".join(part) + b"]}"
            await self._put("/v1/nodes/tables", body)

    async def report_figures(self, figures: dict[str, Any]) -> None:
        """Tell the node's last figures (counts and times; nothing of anybody's data).

        Raises:
            ControlLinkFailed: not taken.
        """
        await self._put("/v1/nodes/figures", json.dumps(figures, separators=(",", ":")).encode())

    async def _put(self, path: str, body: bytes) -> None:
        packed = await asyncio.to_thread(gzip.compress, body, 6)
        headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
        try:
            response = await self._client.put(path, content=packed, headers=headers)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise ControlLinkFailed(type(error).__name__) from None
        if response.status_code >= 300:
            raise ControlLinkFailed(f"status {response.status_code}")

    async def report_usage(
        self, node: str, day: str, entries: Sequence[Mapping[str, Any]]
    ) -> Mapping[str, Mapping[str, int]]:
        """Tell what this node counted; what other nodes have on `day`, by `keys` and `organizations`.

        Raises:
            ControlLinkFailed: not taken.
        """
        document = {"environment": self._environment, "node": node, "day": day, "entries": list(entries)}
        try:
            response = await self._client.put("/v1/nodes/usage", json=document)
            if response.status_code >= 300:
                raise ControlLinkFailed(f"status {response.status_code}")
            told = response.json()["elsewhere"]
            return {
                plural: {str(name): int(number) for name, number in told[plural].items()}
                for plural in ("keys", "organizations")
            }
        except (httpx.HTTPError, httpx.InvalidURL, AttributeError, KeyError, TypeError, ValueError) as error:
            raise ControlLinkFailed(type(error).__name__) from None

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()


def table_parts(tables: Sequence[Table]) -> list[list[bytes]]:
    """Tables as JSON in parts that one request may hold, in the order of their folded names; at least one part.

    A table whose columns alone would fill a request is left out, and the log says so.
    """
    parts: list[list[bytes]] = [[]]
    held = 0
    for table in sorted(tables, key=lambda table: table.name.key):
        columns = [{"name": column.name, "type": column.type} for column in table.columns]
        document = {"schema": table.name.schema, "name": table.name.name, "columns": columns}
        data = json.dumps(document, separators=(",", ":")).encode()
        if len(data) > REPORT_BYTES:
            _LOG.warning("a table has too many columns to be reported to the control plane")
            continue
        if held + len(data) > REPORT_BYTES:
            parts.append([])
            held = 0
        parts[-1].append(data)
        held += len(data) + 1
    return parts
