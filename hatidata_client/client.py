"""Calls to the control plane: TLS 1.3, retried where that does nothing twice, refusals as one exception.

    with Client("https://localhost:8080", os.environ["HATIDATA_API_KEY"], ca="home/tls/ca.crt") as client:
        for key in client.items(client.within("keys")):
            print(key["name"])
        user = client.get("/v1/users/ana@acme.example")
        client.patch("/v1/users/ana@acme.example", {"role": "auditor"}, if_match=user.etag)

Every POST bears an Idempotency-Key of its own, so it may be sent again when the line broke.
"""

from __future__ import annotations

import ssl
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx

TIMEOUT_S = 30.0
PAGES_MAX = 10_000
PAGE_SIZE = 200
TRIES_MAX = 3
WAIT_S_MAX = 20.0
"""How long one asks to come again later is obeyed; beyond, the refusal is the caller's."""
SHOWN_ONCE = ("key", "token", "secret")


class Refused(Exception):
    """The control plane understood and refused. `code` is stable; `advice` says what to do."""

    def __init__(self, code: str, message: str, *, advice: str = "", status: int = 0, request_id: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.advice = advice
        self.status = status
        self.request_id = request_id


class Unreachable(Exception):
    """Nobody answers there, or not a control plane."""


class Lost(Refused):
    """It was carried out, but the answer with what is shown once was lost on its way."""


class Answer(dict[str, Any]):
    """A JSON object, with the `etag` of the object it tells of (empty when there is none)."""

    etag: str = ""


class Client:
    """One connection pool and one API key. A context manager: leaving it closes the connections."""

    def __init__(
        self,
        url: str,
        api_key: str = "",
        *,
        ca: str | Path | None = None,
        environment: str = "",
        timeout_s: float = TIMEOUT_S,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Prepare; nothing is asked yet.

        Args:
            url: `https://host:port`.
            api_key: whose calls these are; empty for the few that need none.
            ca: a PEM with the authority to trust; None trusts the system's.
            environment: production or staging; empty asks the control plane for the key's own.
            timeout_s: of each request.
            sleep: how to wait before asking again.

        Raises:
            OSError: `ca` cannot be read.
            ValueError: not an https URL.
        """
        if not url.startswith("https://"):
            raise ValueError("the control plane is reached over https:// only")
        context = ssl.create_default_context(cafile=str(ca) if ca else None)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        self.url = url
        self._environment = environment
        self._sleep = sleep
        self._client = httpx.Client(
            base_url=url,
            verify=context,
            timeout=timeout_s,
            trust_env=False,
            headers={"Accept": "application/json"} | ({"Authorization": f"Bearer {api_key}"} if api_key else {}),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._client.close()

    @property
    def environment(self) -> str:
        """The environment meant by `within`."""
        if not self._environment:
            self._environment = str(self.get("/v1/whoami")["environment"])
        return self._environment

    def within(self, *parts: str) -> str:
        """The path of something in the environment, each part quoted."""
        return path("v1", "environments", self.environment, *parts)

    def get(self, where: str, **params: Any) -> Answer:
        """GET as a JSON object."""
        return self._call("GET", where, params=params)

    def items(
        self, where: str, *, most: int = 0, seen: Callable[[Answer], object] | None = None, **params: Any
    ) -> Iterator[dict[str, Any]]:
        """The items of a list, page after page; at most `most` of them when it is not 0. `seen` is shown each page."""
        given = 0
        cursor = ""
        for _ in range(PAGES_MAX):
            page = self.get(where, **params, limit=min(PAGE_SIZE, most - given) if most else PAGE_SIZE, cursor=cursor)
            if seen is not None:
                seen(page)
            for item in page["items"]:
                yield item
                given += 1
                if most and given >= most:
                    return
            cursor = page.get("next") or ""
            if not cursor:
                return

    def post(self, where: str, body: Mapping[str, Any] | None = None, *, if_match: str = "") -> Answer:
        """POST a JSON object, carried out once however often it must be sent.

        Raises:
            Lost: it was carried out, but a key, token or secret that is shown once did not arrive.
        """
        return self._call(
            "POST", where, body=body or {}, headers=_match(if_match) | {"Idempotency-Key": str(uuid.uuid4())}
        )

    def put(self, where: str, body: Mapping[str, Any], *, if_match: str = "") -> Answer:
        """PUT a JSON object."""
        return self._call("PUT", where, body=body, headers=_match(if_match))

    def patch(self, where: str, body: Mapping[str, Any], *, if_match: str = "") -> Answer:
        """PATCH with a JSON object."""
        return self._call("PATCH", where, body=body, headers=_match(if_match))

    def delete(self, where: str, *, if_match: str = "") -> Answer:
        """DELETE."""
        return self._call("DELETE", where, headers=_match(if_match))

    def _call(
        self,
        method: str,
        where: str,
        *,
        body: Mapping[str, Any] | None = None,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        asked = {name: value for name, value in (params or {}).items() if value not in ("", None)}
        for left in reversed(range(TRIES_MAX)):
            try:
                response = self._client.request(method, where, json=body, params=asked, headers=headers)
            except httpx.HTTPError as error:
                # Changes without an Idempotency-Key are not sent again: whether they were carried out is not known.
                if left and method in ("GET", "POST") and not isinstance(error, httpx.ConnectError):
                    continue
                raise Unreachable(
                    f"The control plane at {self.url} does not answer ({type(error).__name__})."
                ) from None
            wait_s = _wait_s(response)
            if left and wait_s is not None:
                self._sleep(wait_s)
                continue
            return self._answer(response)
        raise AssertionError("unreachable: the last try returns or raises")

    def _answer(self, response: httpx.Response) -> Answer:
        try:
            document = response.json() if response.content else {}
        except ValueError:
            document = None
        if not isinstance(document, dict):
            raise Unreachable(f"What answers at {self.url} is no control plane (status {response.status_code}).")
        if not response.is_success:
            raise _refused(document, response.status_code)
        if response.headers.get("Idempotency-Replayed") and any(document.get(name) == "" for name in SHOWN_ONCE):
            raise Lost(
                "answer_lost",
                "It was made, but what is shown once was lost on its way here.",
                advice="Revoke or delete what was made, and make another.",
                status=response.status_code,
            )
        answer = Answer(document)
        answer.etag = response.headers.get("ETag", "")
        return answer


def path(*parts: str) -> str:
    """A URL path of `parts`, each quoted."""
    return "/" + "/".join(quote(part, safe="") for part in parts)


def _match(if_match: str) -> dict[str, str]:
    return {"If-Match": if_match} if if_match else {}


def _wait_s(response: httpx.Response) -> float | None:
    """How long to wait before asking again; None when that would be of no use."""
    if response.status_code != 429:
        return None
    try:
        wait_s = float(response.headers.get("Retry-After", "1"))
    except ValueError:
        return None
    return wait_s if 0 <= wait_s <= WAIT_S_MAX else None


def _refused(document: dict[str, Any], status: int) -> Refused:
    part = document.get("error")
    told = part if isinstance(part, dict) else {}
    return Refused(
        str(told.get("code", f"http_{status}")),
        str(told.get("message", "The control plane refused without a reason.")),
        advice=str(told.get("advice") or ""),
        status=status,
        request_id=str(told.get("request_id") or ""),
    )
