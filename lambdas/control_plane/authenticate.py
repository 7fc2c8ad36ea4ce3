"""API keys at the door: Argon2id in bounded number, an unknown prefix as dear as a wrong key, failures limited.

A verified key is remembered for a short while by a keyed digest, which spares the Argon2 work and nothing else: the
records of key and user are read anew for every request, so a revocation counts at once.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import secrets
import threading
from collections import OrderedDict, deque
from datetime import datetime, timedelta

from governance.api_key import is_well_formed, public_prefix
from governance.api_key_hash import verify_key
from governance.errors import AuthenticationFailed, TooManyRequests
from governance.ports import ControlStore
from governance.register import KeyRecord, Organization, UserRecord
from governance.timestamp import stamp
from lambdas.control_plane.caller import as_lent
from lambdas.control_plane.rates import source_name

REMEMBER = timedelta(seconds=60)
REMEMBERED_MAX = 4096
FAILURES_MAX = 20
"""Failed attempts of one source within FAILURE_WINDOW before it is refused unheard."""
FAILURE_WINDOW = timedelta(seconds=60)
SOURCES_MAX = 10_000
ARGON_AT_ONCE = 4
"""19 MiB each."""
ARGON_WAIT_S = 5.0
KEY_CHARS_MAX = 64


class Doorkeeper:
    """Tells whose key it is. One per process; safe for threads."""

    def __init__(self) -> None:
        self._secret = secrets.token_bytes(32)
        self._lock = threading.Lock()
        self._remembered: OrderedDict[bytes, tuple[str, datetime]] = OrderedDict()
        self._failures: OrderedDict[str, deque[datetime]] = OrderedDict()
        self._argon = threading.BoundedSemaphore(ARGON_AT_ONCE)

    def admit(
        self, store: ControlStore, authorization: str, *, source_ip: str, now: datetime
    ) -> tuple[UserRecord, KeyRecord, Organization]:
        """Whose key stands in an Authorization header.

        Raises:
            AuthenticationFailed: whatever is wrong; only `reason` says what.
            TooManyRequests: this source failed too often, or too many are being verified.
        """
        scheme, _, token = authorization.partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token:
            raise _failed("no bearer key")
        if len(token) > KEY_CHARS_MAX or not is_well_formed(token):
            self._refuse_repeated(source_ip, now)
            self._note_failure(source_ip, now)
            raise _failed("malformed key")
        prefix = public_prefix(token)
        with store.read() as reader:
            key = reader.find_lookup(KeyRecord, prefix)
        if not self._verified(key, token, source_ip, now):
            self._note_failure(source_ip, now)
            raise _failed("wrong key" if key else "unknown prefix")
        return self._standing(store, prefix, source_ip, now)

    def forget(self) -> None:
        """Drop every remembered key, as after a revocation."""
        with self._lock:
            self._remembered.clear()

    def _standing(
        self, store: ControlStore, prefix: str, source_ip: str, now: datetime
    ) -> tuple[UserRecord, KeyRecord, Organization]:
        """The records as they are now: Argon2 took its time."""
        with store.read() as reader:
            key = reader.find_lookup(KeyRecord, prefix)
            user = reader.get(UserRecord, "", key.user_id) if key else None
            organization = reader.get(Organization, "", user.organization) if user else None
        if key is None or not key.valid_at(stamp(now)):
            raise _failed("key revoked or expired")
        if key.networks and not _inside(source_ip, key.networks):
            raise _failed("address outside the key's networks")
        if user is None or user.status != "active":
            raise _failed("user gone or suspended")
        if organization is None or organization.status != "active":
            raise _failed("organization gone or suspended")
        return as_lent(user, key), key, organization

    def _verified(self, key: KeyRecord | None, token: str, source_ip: str, now: datetime) -> bool:
        digest = hmac.new(self._secret, token.encode(), hashlib.sha256).digest()
        if key is not None and self._remembers(digest, key.hash, now):
            return True
        self._refuse_repeated(source_ip, now)
        if not self._argon.acquire(timeout=ARGON_WAIT_S):
            raise TooManyRequests("Too many keys are being verified.", advice="Try again in a moment.")
        try:
            if not verify_key(key.hash if key else None, token):
                return False
        finally:
            self._argon.release()
        if key is not None:
            self._remember(digest, key.hash, now)
        return True

    def _remembers(self, digest: bytes, key_hash: str, now: datetime) -> bool:
        with self._lock:
            entry = self._remembered.get(digest)
            return entry is not None and hmac.compare_digest(entry[0], key_hash) and now < entry[1]

    def _remember(self, digest: bytes, key_hash: str, now: datetime) -> None:
        with self._lock:
            self._remembered[digest] = (key_hash, now + REMEMBER)
            self._remembered.move_to_end(digest)
            while len(self._remembered) > REMEMBERED_MAX:
                self._remembered.popitem(last=False)

    def _refuse_repeated(self, source_ip: str, now: datetime) -> None:
        with self._lock:
            failures = self._failures.get(source_name(source_ip), deque())
            while failures and failures[0] <= now - FAILURE_WINDOW:
                failures.popleft()
            if len(failures) >= FAILURES_MAX:
                raise TooManyRequests("Too many failed attempts.", advice="Wait a minute and use a valid key.")

    def _note_failure(self, source_ip: str, now: datetime) -> None:
        with self._lock:
            source = source_name(source_ip)
            self._failures.setdefault(source, deque(maxlen=FAILURES_MAX)).append(now)
            self._failures.move_to_end(source)
            while len(self._failures) > SOURCES_MAX:
                self._failures.popitem(last=False)


def _failed(reason: str) -> AuthenticationFailed:
    return AuthenticationFailed(
        "Authentication failed.", advice="Send a valid API key as a bearer token.", reason=reason
    )


def _inside(source_ip: str, networks: tuple[str, ...]) -> bool:
    if not source_ip:
        return False
    address = ipaddress.ip_address(source_ip)
    return any(address in ipaddress.ip_network(network) for network in networks)
