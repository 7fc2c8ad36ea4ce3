"""A load-balancer event as a request: decoded once, limited, with what the load balancer vouches for."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import secrets
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, unquote_plus

from governance.errors import BodyTooLarge, InvalidRequest

BODY_BYTES_MAX = 1_048_576
PATH_CHARS_MAX = 1024
QUERY_PARAMETERS_MAX = 32
QUERY_CHARS_MAX = 4096
WAIT_S_MAX = 25.0
"""The longest long poll: below the idle limits of load balancers and this API's own deadline."""
RULEBOOK_PATH = "/v1/nodes/rulebook"
CLIENT_CERTIFICATE_SUBJECT = "x-amzn-mtls-clientcert-subject"
"""Set by a load balancer that verified the client's certificate against its trust store; never by a client."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request. Header names are in lower case."""

    method: str
    path: str
    """Percent-decoded."""
    headers: Mapping[str, str]
    query: Mapping[str, tuple[str, ...]]
    body: str
    source_ip: str
    """The last address in X-Forwarded-For, which the load balancer wrote; empty when there is none."""
    request_id: str
    certificate_subject: str
    """RFC 4514 text of the verified client certificate, or empty."""

    def event(self) -> dict[str, Any]:
        """The request as a load-balancer event with decoded path, query and body."""
        return {
            "requestContext": {"elb": {"targetGroupArn": ""}},
            "httpMethod": self.method,
            "path": self.path,
            "multiValueHeaders": {name: [value] for name, value in self.headers.items()},
            "multiValueQueryStringParameters": {name: list(values) for name, values in self.query.items()},
            "body": self.body,
            "isBase64Encoded": False,
        }


def new_request_id() -> str:
    """A fresh request id, 16 hexadecimal characters."""
    return secrets.token_hex(8)


def parse_request(event: Mapping[str, Any], request_id: str) -> Request:
    """The request in a load-balancer event (with single or multi-value headers).

    Raises:
        InvalidRequest: the path, query or body is not well formed or past a limit; BodyTooLarge.
    """
    headers = _headers(event)
    forwarded = headers.get("x-forwarded-for", "").rpartition(",")[2].strip()
    return Request(
        method=str(event.get("httpMethod", "")).upper()[:16],
        path=_path(str(event.get("path", ""))),
        headers=headers,
        query=_query(event),
        body=_body(event, headers.get("content-encoding", "")),
        source_ip=_address(forwarded),
        request_id=request_id,
        certificate_subject=headers.get(CLIENT_CERTIFICATE_SUBJECT, ""),
    )


def waited(event: Mapping[str, Any]) -> tuple[str, float]:
    """Which environment's rulebook a request waits for, and how long it would; 0 s when it waits for nothing."""
    if event.get("path") != RULEBOOK_PATH or event.get("httpMethod") != "GET":
        return "", 0.0
    try:
        query = _query(event)
        wait_s = float(query.get("wait_s", ("0",))[-1])
    except (InvalidRequest, ValueError):
        return "", 0.0
    return query.get("environment", ("production",))[-1], min(max(wait_s, 0.0), WAIT_S_MAX) if wait_s > 0 else 0.0


def _headers(event: Mapping[str, Any]) -> dict[str, str]:
    many = event.get("multiValueHeaders") or {}
    one = event.get("headers") or {}
    headers = {str(name).lower(): str(value) for name, value in one.items()}
    for name, values in many.items():
        if name.lower() in ("authorization", CLIENT_CERTIFICATE_SUBJECT) and len(values) > 1:
            raise InvalidRequest("A header stands twice that may stand once.")
        headers[name.lower()] = ", ".join(str(value) for value in values)
    return headers


def _path(raw: str) -> str:
    try:
        path = unquote(raw, errors="strict")
    except UnicodeDecodeError:
        raise InvalidRequest("The path is not UTF-8.") from None
    if len(path) > PATH_CHARS_MAX or path.count("/") != raw.count("/") or not path.isprintable():
        raise InvalidRequest("The path is not well formed.")
    return path


def _query(event: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    raw: dict[str, list[str]] = dict(event.get("multiValueQueryStringParameters") or {})
    for name, value in (event.get("queryStringParameters") or {}).items():
        raw.setdefault(name, [value])
    query: dict[str, tuple[str, ...]] = {}
    count = 0
    for name, values in raw.items():
        count += len(values)
        query[unquote_plus(name)] = tuple(unquote_plus(value) for value in values)
        if count > QUERY_PARAMETERS_MAX or any(len(value) > QUERY_CHARS_MAX for value in values):
            raise InvalidRequest("The query is too long.")
    return query


def _body(event: Mapping[str, Any], encoding: str) -> str:
    body = event.get("body") or ""
    if len(body) > BODY_BYTES_MAX * 4 // 3 + 4:
        raise BodyTooLarge("The request's body is too large.", advice="Send at most 1 MiB.")
    try:
        data = base64.b64decode(body, validate=True) if event.get("isBase64Encoded") else body.encode()
        if encoding.strip().lower() == "gzip":
            data = _unzipped(data)
        elif encoding.strip().lower() not in ("", "identity"):
            raise InvalidRequest("The request's body is encoded in a way not known here.", advice="Use gzip or none.")
        if len(data) > BODY_BYTES_MAX:
            raise BodyTooLarge("The request's body is too large.", advice="Send at most 1 MiB.")
        return data.decode()
    except (binascii.Error, UnicodeError):
        raise InvalidRequest("The request's body is not UTF-8 text.") from None


def _unzipped(data: bytes) -> bytes:
    """At most one byte more than a body may have."""
    stream = zlib.decompressobj(wbits=31)
    try:
        out = stream.decompress(data, BODY_BYTES_MAX + 1)
    except zlib.error:
        raise InvalidRequest("The request's body is not gzip.") from None
    if len(out) <= BODY_BYTES_MAX and (not stream.eof or stream.unused_data):
        raise InvalidRequest("The request's body is not whole gzip.")
    return out


def _address(text: str) -> str:
    """The address in canonical spelling (IPv4 inside IPv6 as IPv4), or empty."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return ""
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(address)
