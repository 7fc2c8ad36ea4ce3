"""The node's line to the control plane: mutual TLS, a deadline on every call, a limit on every answer."""

from __future__ import annotations

import json
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from governance.tables import Table

ANSWER_BYTES_MAX = 64 * 1024 * 1024

DRAFT_BYTES_MAX = 16 * 1024 * 1024


class ControlLinkFailed(Exception):
    """No answer, or not one that is understood. The cause is a class name or a status, never a body."""


@dataclass(frozen=True, slots=True)
class RulebookAnswer:
    """A rulebook as sent."""

    etag: str
    body: bytes


class ControlLink:
    """Calls under `/v1/nodes/`."""

    def __init__(self, url: str, context: ssl.SSLContext, environment: str, *, timeout_s: float = 5.0) -> None:
        self._environment = environment
        self._client = httpx.AsyncClient(
            base_url=url, verify=context, timeout=timeout_s, trust_env=False, follow_redirects=False,
            limits=httpx.Limits(max_connections=4, max_keepalive_connections=2),
        )  # fmt: skip

    async def rulebook(self, etag: str) -> RulebookAnswer | None:
        """The rulebook, or None when the one of `etag` is still right.

        Raises:
            ControlLinkFailed: no usable answer.
        """
        headers = {"If-None-Match": etag} if etag else {}
        params = {"environment": self._environment}
        try:
            async with self._client.stream("GET", "/v1/nodes/rulebook", headers=headers, params=params) as response:
                if response.status_code == 304 and etag:
                    await response.aread()  # else the connection would not be kept
                    return None
                if response.status_code != 200:
                    raise ControlLinkFailed(f"status {response.status_code}")
                body = bytearray()
                async for chunk in response.aiter_bytes():
                    body += chunk
                    if len(body) > ANSWER_BYTES_MAX:
                        raise ControlLinkFailed("answer too long")
                return RulebookAnswer(response.headers.get("etag", ""), bytes(body))
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise ControlLinkFailed(type(error).__name__) from None

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
        document = {
            "environment": self._environment,
            "tables": [
                {
                    "schema": table.name.schema,
                    "name": table.name.name,
                    "columns": [{"name": column.name, "type": column.type} for column in table.columns],
                }
                for table in tables
            ],
        }
        await self._put("/v1/nodes/tables", document)

    async def report_figures(self, figures: dict[str, Any]) -> None:
        """Tell the node's last figures (counts and times; nothing of anybody's data).

        Raises:
            ControlLinkFailed: not taken.
        """
        await self._put("/v1/nodes/figures", figures)

    async def _put(self, path: str, document: dict[str, Any]) -> None:
        body = json.dumps(document, separators=(",", ":")).encode()
        try:
            response = await self._client.put(path, content=body, headers={"Content-Type": "application/json"})
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise ControlLinkFailed(type(error).__name__) from None
        if response.status_code >= 300:
            raise ControlLinkFailed(f"status {response.status_code}")

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()
