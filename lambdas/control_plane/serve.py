"""The door at home: HTTPS in front of the very handler that runs in Lambda.

TLS 1.3 only; a client certificate is asked for, verified when given, and told to the handler in the header that a load
balancer would set. What a client sends under such a name is dropped.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import logging
import sqlite3
import ssl
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from aiohttp import web

from governance.errors import BodyTooLarge, Refusal, TooManyRequests
from lambdas.control_plane.answers import InternalError, RequestTimedOut, error_answer
from lambdas.control_plane.handler import Handler, make_handler
from lambdas.control_plane.request import BODY_BYTES_MAX, CLIENT_CERTIFICATE_SUBJECT, new_request_id, waited
from local.audit_search import AuditSearch
from local.clock import SystemClock
from local.control_store import SqliteControlStore
from local.secret_box import HomeSecretBox
from local.signing import HomeSigner

_LOG = logging.getLogger("hatidata.control_plane")

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8080
THREADS = 8
SEARCH_THREADS = 2
"""Searches of the query audit take seconds; they have threads of their own, so that nodes never wait for them."""
WAITING_MAX = 256
"""Requests that wait or are worked on; the next is refused."""
REQUEST_DEADLINE_S = 30.0
INDEX_EVERY_S, INDEX_SLICE_S = 30.0, 0.5
"""How often the audit's index is brought up to date, and for how long at once: no search is to wait for it."""
HEADER_BYTES_MAX = 16_384


@dataclass
class RunningControlPlane:
    """A control plane that serves; `stop` ends it."""

    port: int
    store: SqliteControlStore
    """For what else the process does with it; a change through it wakes whoever waits for one."""
    _runner: web.AppRunner
    _resources: contextlib.ExitStack

    async def stop(self) -> None:
        """Stop listening, let requests under way end within seconds, close the store."""
        await self._runner.cleanup()
        await asyncio.get_running_loop().run_in_executor(None, self._resources.close)


async def start_control_plane(
    *,
    store_path: Path,
    audit_path: Path | None,
    tls_dir: Path,
    host: str = DEFAULT_HOST,
    port: int = DEFAULT_PORT,
    environment: str = "production",  # noqa: ARG001  one control plane serves every environment of its store
) -> RunningControlPlane:
    """Serve the store at `store_path`; port 0 takes a free one.

    Args:
        store_path: the SQLite file, set up by `bootstrap`.
        audit_path: the audit store's folder, searched for queries; None serves without.
        tls_dir: holds `ca.crt`, `server.crt` and `server.key`.
        host: the address to listen at.
        port: the port.
        environment: the home's environment; kept for the caller's sake.

    Raises:
        StoreUnavailable: the store cannot be opened; OSError: the port is taken or a certificate is missing.
    """
    context = tls_context(tls_dir)
    changed = _Changed(asyncio.get_running_loop())
    resources = contextlib.ExitStack()
    store = SqliteControlStore(store_path, on_change=changed.tell)
    resources.callback(store.close)
    queries = AuditSearch(audit_path) if audit_path is not None else None
    if queries is not None:
        resources.callback(queries.close)
    pools = _Pools(
        ThreadPoolExecutor(THREADS, thread_name_prefix="control-plane"),
        ThreadPoolExecutor(SEARCH_THREADS, thread_name_prefix="audit-search"),
    )
    resources.callback(pools.shutdown)
    door = _Door(
        make_handler(
            store,
            SystemClock(),
            queries=queries,
            secrets=HomeSecretBox(store_path.parent, SystemClock()),
            signer=HomeSigner(store_path.parent),
        ),
        pools,
        changed,
    )
    app = web.Application(client_max_size=BODY_BYTES_MAX)
    app.router.add_route("*", "/{path:.*}", door.serve)
    if queries is not None:
        app.cleanup_ctx.append(partial(_index_kept_up, queries, pools.searches))
    runner = web.AppRunner(
        app,
        access_log=None,
        handle_signals=False,
        auto_decompress=False,  # the handler does, with its limit, here as in Lambda
        max_line_size=HEADER_BYTES_MAX,
        max_field_size=HEADER_BYTES_MAX,
        shutdown_timeout=5.0,
    )
    try:
        await runner.setup()
        site = web.TCPSite(runner, host, port, ssl_context=context)
        await site.start()
    except BaseException:
        await runner.cleanup()
        resources.close()
        raise
    return RunningControlPlane(int(runner.addresses[0][1]), store, runner, resources)


async def _index_kept_up(queries: AuditSearch, pool: ThreadPoolExecutor, _: web.Application) -> AsyncIterator[None]:
    """Bring the index of the audit up to date now and then, as long as the application lives."""

    async def keep_up() -> None:
        loop = asyncio.get_running_loop()
        while True:
            left = 0
            try:
                left = await loop.run_in_executor(pool, queries.keep_up, INDEX_SLICE_S)
            except (sqlite3.Error, OSError) as error:  # a search says so too, and tries again
                _LOG.warning("the index of the audit cannot be kept up: %s", type(error).__name__)
            await asyncio.sleep(0.0 if left else INDEX_EVERY_S)

    task = asyncio.create_task(keep_up())
    yield
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


def tls_context(tls_dir: Path) -> ssl.SSLContext:
    """TLS 1.3 and nothing older; client certificates of our own CA are verified when given."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(tls_dir / "server.crt", tls_dir / "server.key")
    context.load_verify_locations(tls_dir / "ca.crt")
    context.verify_mode = ssl.CERT_OPTIONAL
    return context


@dataclass(frozen=True)
class _Pools:
    usual: ThreadPoolExecutor
    searches: ThreadPoolExecutor

    def of(self, path: str) -> ThreadPoolExecutor:
        """The threads that serve this path."""
        return self.searches if path.endswith("/audit/queries") else self.usual

    def shutdown(self) -> None:
        """Let what runs end, drop what waits."""
        for pool in (self.usual, self.searches):
            pool.shutdown(wait=True, cancel_futures=True)


class _Changed:
    """Wakes those who wait for a change of the register."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._event = asyncio.Event()

    def tell(self) -> None:
        """Something changed; called from any thread."""
        self._loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        self._event.set()
        self._event = asyncio.Event()

    def next(self) -> asyncio.Event:
        """An event that the next change sets; take it before looking, so that no change is missed."""
        return self._event


class _Door:
    """Turns HTTP requests into load-balancer events and their answers back."""

    def __init__(self, handler: Handler, pools: _Pools, changed: _Changed) -> None:
        self._handler = handler
        self._pools = pools
        self._changed = changed
        self._present = 0

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Answer one request within its deadline."""
        if self._present >= WAITING_MAX:
            return _response(_refused(TooManyRequests("The control plane is busy.", advice="Try again in a moment.")))
        self._present += 1
        try:
            return _response(await self._answer(request))
        finally:
            self._present -= 1

    async def _answer(self, request: web.Request) -> dict[str, Any]:
        try:
            async with asyncio.timeout(REQUEST_DEADLINE_S):
                event = await _event(request)
                return await self._answer_or_wait(event, waited(event)[1])
        except TimeoutError:
            return _refused(
                RequestTimedOut("The request took too long.", advice="Look whether it was done; then try again.")
            )
        except Refusal as refusal:
            return _refused(refusal)
        except Exception as error:  # threads that close, or a fault of the door: the log has its class only
            _LOG.error("a request ended at the door with %s", type(error).__name__)
            return _refused(
                InternalError(
                    "The control plane could not take the request; it may be stopping.", advice="Try again in a moment."
                )
            )

    async def _answer_or_wait(self, event: dict[str, Any], wait_s: float) -> dict[str, Any]:
        """The handler's answer; a 304 is held back until something changes or `wait_s` is over."""
        loop = asyncio.get_running_loop()
        ends = loop.time() + wait_s
        while True:
            changed = self._changed.next()
            answer = await loop.run_in_executor(self._pools.of(event["path"]), self._handler, event, None)
            left = ends - loop.time()
            if answer["statusCode"] != 304 or left <= 0:
                return answer
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(changed.wait(), left)


async def _event(request: web.Request) -> dict[str, Any]:
    """The request as a load balancer (with multi-value headers) would hand it to Lambda."""
    try:
        body = await request.read()
    except web.HTTPRequestEntityTooLarge:
        raise BodyTooLarge("The request's body is too large.", advice="Send at most 1 MiB.") from None
    headers: dict[str, list[str]] = {}
    for name, value in request.headers.items():
        if not name.lower().startswith(("x-amzn-", "x-forwarded-")):
            headers.setdefault(name.lower(), []).append(value)
    headers["x-forwarded-for"] = [_peer(request)]
    subject = _certificate_subject(request)
    if subject:
        headers[CLIENT_CERTIFICATE_SUBJECT] = [subject]
    path, _, query = request.raw_path.partition("?")
    parameters: dict[str, list[str]] = {}
    for piece in query.split("&") if query else []:
        name, _, value = piece.partition("=")
        parameters.setdefault(name, []).append(value)
    return {
        "requestContext": {"elb": {"targetGroupArn": "local"}},
        "httpMethod": request.method,
        "path": path,
        "multiValueHeaders": headers,
        "multiValueQueryStringParameters": parameters,
        "body": base64.b64encode(body).decode(),
        "isBase64Encoded": True,
    }


def _peer(request: web.Request) -> str:
    peer = request.transport.get_extra_info("peername") if request.transport else None
    return str(peer[0]).partition("%")[0] if peer else ""


_SHORT = {"commonName": "CN", "organizationName": "O", "organizationalUnitName": "OU"}


def _certificate_subject(request: web.Request) -> str:
    """The verified client certificate's subject as RFC 4514 text, or empty without one."""
    certificate: Mapping[str, Any] | None = (
        request.transport.get_extra_info("peercert") if request.transport is not None else None
    )
    if not certificate:
        return ""
    names = [(kind, value) for rdn in certificate.get("subject", ()) for kind, value in rdn]
    if any(set(str(value)) & set(',+"\\<>;=') for _, value in names):
        return ""  # none of our certificates needs escaping; whoever's does is nobody
    return ",".join(f"{_SHORT[kind]}={value}" for kind, value in reversed(names) if kind in _SHORT)


def _refused(refusal: Refusal) -> dict[str, Any]:
    request_id = new_request_id()
    _LOG.info("refused %s at the door, request %s", refusal.code, request_id)
    answer = error_answer(refusal, request_id)
    answer["multiValueHeaders"] |= {"Cache-Control": ["no-store"], "X-Request-Id": [request_id]}
    return answer


def _response(answer: Mapping[str, Any]) -> web.Response:
    body = answer["body"]
    data = base64.b64decode(body) if answer["isBase64Encoded"] else str(body).encode()
    response = web.Response(status=answer["statusCode"], body=None if answer["statusCode"] == 304 else data)
    response.headers.popall("Content-Type", None)
    response.headers["Server"] = "hatidata"
    for name, values in answer["multiValueHeaders"].items():
        for value in values:
            response.headers.add(name, value)
    return response
