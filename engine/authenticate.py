"""Who is this? A key, checked offline first, looked up by prefix, verified by Argon2id in a bounded pool.

Every failure looks alike (28P01). An unknown prefix costs what a wrong key costs. A verified key is remembered for a
short time under an HMAC whose key lives and dies with this process; what it may do is read from the rulebook anew.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import IPv6Address, ip_address, ip_network

from engine.rulebook import RulebookKeeper
from engine.settings import ConnectionLimits
from governance.api_key import is_well_formed, public_prefix
from governance.api_key_hash import verify_key
from governance.errors import AuthenticationFailed, ClaimMismatch, EnvironmentUnknown, TooManyConnections
from governance.ports import Clock
from governance.principals import Principal
from governance.rulebook import Key, Rulebook

KEY_BYTES_MAX = 256
_VERIFIED_MAX = 10_000
_SOURCES_MAX = 50_000
_USES_MAX = 1000
AGENT_ID = "hatidata.agent_id"
AGENT_FRAMEWORK = "hatidata.agent_framework"


@dataclass(frozen=True, slots=True)
class Identity:
    """A session's identity under one rulebook."""

    key: Key
    principal: Principal
    rulebook: Rulebook
    expires: datetime | None


def refused(reason: str) -> AuthenticationFailed:
    """The one answer to every failure; `reason` is for the audit."""
    return AuthenticationFailed(
        "Authentication failed.",
        advice="Use an API key of this environment as the password, from a network the key admits.",
        reason=reason,
    )


class _Failures:
    """How often an address failed lately: a fixed window per address, bounded in number."""

    def __init__(self, limits: ConnectionLimits, monotonic: Callable[[], float]) -> None:
        self._limits = limits
        self._monotonic = monotonic
        self._counts: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def add(self, source: str) -> None:
        since, count = self._window(source)
        self._counts[source] = (since, count + 1)
        self._counts.move_to_end(source)
        if len(self._counts) > _SOURCES_MAX:
            self._counts.popitem(last=False)

    def exhausted(self, source: str) -> bool:
        return self._window(source)[1] >= self._limits.failures_per_source_max

    def _window(self, source: str) -> tuple[float, int]:
        now = self._monotonic()
        since, count = self._counts.get(source, (now, 0))
        return (now, 0) if now - since > self._limits.failures_window_s else (since, count)


class Authenticator:
    """Turns a password into an identity, and tells later whether the identity still holds."""

    def __init__(
        self,
        keeper: RulebookKeeper,
        limits: ConnectionLimits,
        clock: Clock,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._keeper = keeper
        self._limits = limits
        self._clock = clock
        self._monotonic = monotonic
        self._digest_key = secrets.token_bytes(32)
        self._verified: OrderedDict[bytes, tuple[str, float]] = OrderedDict()
        """Digest of a key -> (the stored hash it matched, until when)."""
        self._failures = _Failures(limits, monotonic)
        self._pool = ThreadPoolExecutor(limits.argon2_workers, thread_name_prefix="argon2")
        self._waiting = 0
        self._uses: dict[str, str] = {}
        keeper.on_change.append(self._forget)

    def _forget(self, _rulebook: Rulebook) -> None:
        self._verified.clear()

    def close(self) -> None:
        """End the pool's threads."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def authenticate(
        self, password: bytes, *, source_ip: str, database: str, claims: Mapping[str, str] | None = None
    ) -> Identity:
        """The identity behind `password`.

        Raises:
            AuthenticationFailed: any failure; `reason` says which, for the audit only.
            EnvironmentUnknown: a right key of another environment than `database`.
            ClaimMismatch: a right key whose agent is another than claimed.
            RulebookUnavailable: there is nothing to decide with.
            TooManyConnections: too many keys are being verified already.
        """
        try:
            identity = await self._identify(password, source_ip)
        except AuthenticationFailed:
            self._failures.add(source_ip)
            raise
        if database != identity.rulebook.environment:
            raise EnvironmentUnknown(
                "The database of that name does not exist.",
                advice="Databases are named after environments; use the environment of your key.",
            )
        check_claims(identity.key, claims or {})
        if len(self._uses) < _USES_MAX:
            self._uses[identity.key.id] = self._clock.now().isoformat()
        return identity

    def take_uses(self) -> dict[str, str]:
        """When keys were last used to log in, since the last call: key id -> RFC 3339."""
        uses, self._uses = self._uses, {}
        return uses

    async def _identify(self, password: bytes, source_ip: str) -> Identity:
        rulebook = self._keeper.current()
        if len(password) > KEY_BYTES_MAX:
            raise refused("key too long")
        try:
            text = password.decode("ascii")
        except UnicodeDecodeError:
            raise refused("malformed key") from None
        if not is_well_formed(text):
            raise refused("malformed key")
        key = self._keeper.key(public_prefix(text))
        digest = hmac.digest(self._digest_key, password, hashlib.sha256)
        stored = key.hash if key else None
        if not self._remembered(digest, stored):
            if self._failures.exhausted(source_ip):
                raise refused("too many failures from this address")
            if not await self._verify(stored, text):
                raise refused("unknown key" if key is None else "wrong key")
            key = self._keeper.key(public_prefix(text))
            if key is None or key.hash != stored:
                raise refused("key revoked")
            self._remember(digest, key.hash)
            rulebook = self._keeper.current()
        if key is None:
            raise refused("unknown key")
        return self._decide(key, rulebook, source_ip)

    def _remembered(self, digest: bytes, stored: str | None) -> bool:
        found = self._verified.get(digest)
        return found is not None and stored is not None and found[0] == stored and self._monotonic() < found[1]

    def _remember(self, digest: bytes, stored: str) -> None:
        self._verified[digest] = (stored, self._monotonic() + self._limits.verified_ttl_s)
        if len(self._verified) > _VERIFIED_MAX:
            self._verified.popitem(last=False)

    async def _verify(self, stored: str | None, text: str) -> bool:
        if self._waiting >= self._limits.argon2_queue_max:
            raise TooManyConnections("Too many clients are logging in at once.", advice="Try again in a moment.")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, verify_key, stored, text)
        finally:
            self._waiting -= 1

    def _decide(self, key: Key, rulebook: Rulebook, source_ip: str) -> Identity:
        expires = expiry(key)
        if expires is not None and self._clock.now() >= expires:
            raise refused("key expired")
        if not admits(key, source_ip):
            raise refused("address outside the key's networks")
        principal = rulebook.principal(key, source_ip=source_ip)
        if principal is None:
            raise refused("user gone or suspended")
        return Identity(key, principal, rulebook, expires)

    def recheck(self, identity: Identity) -> Identity:
        """The same identity under the rulebook in force; the very object when nothing changed.

        Raises:
            AuthenticationFailed: the key or its user is no longer valid.
            RulebookUnavailable: there is nothing to decide with.
        """
        rulebook = self._keeper.current()
        if rulebook is identity.rulebook:
            if identity.expires is not None and self._clock.now() >= identity.expires:
                raise refused("key expired")
            return identity
        key = self._keeper.key(identity.key.prefix)
        if key is None or key.id != identity.key.id or key.hash != identity.key.hash:
            raise refused("key revoked")
        if key.agent != identity.key.agent:
            raise refused("the key's agent changed")
        return self._decide(key, rulebook, identity.principal.source_ip)


def expiry(key: Key) -> datetime | None:
    """When the key ends, or None for never; a time that cannot be read has passed."""
    if not key.expires_at:
        return None
    try:
        moment = datetime.fromisoformat(key.expires_at)
    except ValueError:
        return datetime.min.replace(tzinfo=UTC)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def admits(key: Key, source_ip: str) -> bool:
    """Whether the key may be used from `source_ip` (claim W3.5); an address that is none is outside."""
    if not key.networks:
        return True
    try:
        address = ip_address(source_ip)
    except ValueError:
        return False
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return any(address in ip_network(network, strict=False) for network in key.networks)


def check_claims(key: Key, claims: Mapping[str, str]) -> None:
    """Claims of an agent must agree with the key (claim W4.6 rests on it).

    Raises:
        ClaimMismatch: they do not.
    """
    agent_id = key.agent.id if key.agent else ""
    framework = key.agent.framework if key.agent else ""
    for name, value in claims.items():
        bound = {AGENT_ID: agent_id, AGENT_FRAMEWORK: framework}.get(name)
        if bound is None or not hmac.compare_digest(value.encode(), bound.encode()):
            raise ClaimMismatch(
                "The session claims an agent other than the key's.",
                advice="Leave hatidata.agent_id and hatidata.agent_framework out, or use the key bound to that agent.",
                reason=f"claim {name[:40]} does not agree with the key",
            )
