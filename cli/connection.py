"""The administering verbs' way to the control plane: its REST API, over TLS 1.3, with the caller's API key.

Where it is: `--home` (its `run/control.json` and `tls/ca.crt`), or `HATIDATA_URL` (and `HATIDATA_CA`, a file with
the authority's certificate). Who asks: `HATIDATA_API_KEY`, never an argument.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx

from cli.exits import Unreachable, UsageWrong
from governance.api_key import is_well_formed
from governance.errors import Refusal
from local.home import Home

TIMEOUT_S = 30.0
PAGES_MAX = 10_000
PAGE_SIZE = 200


class RefusedByControlPlane(Refusal):
    """A refusal that came over the wire, with the code it was given there."""

    def __init__(self, code: str, message: str, *, advice: str, status: int, request_id: str) -> None:
        super().__init__(message, advice=advice)
        self.code = code
        self.status = status
        self.request_id = request_id


@dataclass(frozen=True, slots=True)
class Address:
    """Where a control plane is, and which authority vouches for it."""

    url: str
    ca: Path | None
    """None: the system's authorities."""
    environment: str = ""
    """Empty: ask the control plane."""


def find(home: Path | None, environment: str = "") -> Address:
    """The address that options and environment variables mean.

    Raises:
        UsageWrong: neither `--home` nor `HATIDATA_URL` is given.
        NotFound: no home there, or nothing runs in it.
    """
    if home is not None:
        opened = Home.open(home)
        return Address(opened.running().url, opened.tls_path / "ca.crt", environment or opened.settings().environment)
    url = os.environ.get("HATIDATA_URL", "")
    if not url:
        raise UsageWrong("Say where the control plane is: --home DIR, or HATIDATA_URL.")
    if not url.startswith("https://"):
        raise UsageWrong("HATIDATA_URL must begin with https://.")
    ca = os.environ.get("HATIDATA_CA", "")
    return Address(url, Path(ca) if ca else None, environment)


class ControlPlane:
    """Calls to the REST API. A context manager: leaving it closes the connections."""

    def __init__(self, address: Address, api_key: str) -> None:
        """An empty `api_key` calls what is open to anyone."""
        try:
            context = ssl.create_default_context(cafile=str(address.ca) if address.ca else None)
        except OSError:
            raise UsageWrong("The authority's certificate (HATIDATA_CA) cannot be read.") from None
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        self._url = address.url
        self._environment = address.environment
        self._client = httpx.Client(
            base_url=address.url,
            verify=context,
            timeout=TIMEOUT_S,
            trust_env=False,
            headers={"Accept": "application/json"} | ({"Authorization": f"Bearer {api_key}"} if api_key else {}),
        )

    @classmethod
    def connect(cls, home: Path | None, environment: str = "") -> ControlPlane:
        """The control plane meant by options and environment variables.

        Raises:
            UsageWrong: no address, or `HATIDATA_API_KEY` holds no key.
            NotFound: no home there, or nothing runs in it.
        """
        key = os.environ.get("HATIDATA_API_KEY", "")
        if not is_well_formed(key):
            raise UsageWrong("Put your API key into the environment variable HATIDATA_API_KEY.")
        return cls(find(home, environment), key)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._client.close()

    @property
    def environment(self) -> str:
        """The environment the verbs act on."""
        if not self._environment:
            self._environment = str(self.get("/v1/whoami")["environment"])
        return self._environment

    def within(self, *parts: str) -> str:
        """The path of something in the environment, each part quoted."""
        return path("v1", "environments", self.environment, *parts)

    def get(self, where: str, **params: Any) -> dict[str, Any]:
        """GET as a JSON object."""
        return self._call("GET", where, params=params)

    def items(self, where: str, *, most: int = 0, **params: Any) -> Iterator[dict[str, Any]]:
        """The items of a list, page after page; at most `most` of them when it is not 0."""
        given = 0
        cursor = ""
        for _ in range(PAGES_MAX):
            page = self.get(where, **params, limit=min(PAGE_SIZE, most - given) if most else PAGE_SIZE, cursor=cursor)
            for item in page["items"]:
                yield item
                given += 1
                if most and given >= most:
                    return
            cursor = page.get("next") or ""
            if not cursor:
                return

    def post(self, where: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """POST a JSON object."""
        return self._call("POST", where, body=body or {})

    def put(self, where: str, body: dict[str, Any]) -> dict[str, Any]:
        """PUT a JSON object."""
        return self._call("PUT", where, body=body)

    def patch(self, where: str, body: dict[str, Any]) -> dict[str, Any]:
        """PATCH with a JSON object."""
        return self._call("PATCH", where, body=body)

    def delete(self, where: str) -> dict[str, Any]:
        """DELETE."""
        return self._call("DELETE", where)

    def _call(
        self, method: str, where: str, *, body: dict[str, Any] | None = None, params: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        asked = {name: value for name, value in (params or {}).items() if value not in ("", None)}
        try:
            response = self._client.request(method, where, json=body, params=asked)
        except httpx.HTTPError as error:
            raise Unreachable(f"The control plane at {self._url} does not answer ({type(error).__name__}).") from None
        try:
            document = response.json() if response.content else {}
        except ValueError:
            document = None
        if not isinstance(document, dict):
            raise Unreachable(f"What answers at {self._url} is no control plane (status {response.status_code}).")
        if response.is_success:
            return document
        error_part = document.get("error")
        told = error_part if isinstance(error_part, dict) else {}
        raise RefusedByControlPlane(
            str(told.get("code", f"http_{response.status_code}")),
            str(told.get("message", "The control plane refused without a reason.")),
            advice=str(told.get("advice") or ""),
            status=response.status_code,
            request_id=str(told.get("request_id") or ""),
        )


def path(*parts: str) -> str:
    """A URL path of `parts`, each quoted."""
    return "/" + "/".join(quote(part, safe="") for part in parts)
