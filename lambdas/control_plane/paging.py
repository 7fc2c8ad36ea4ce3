"""A page of a list, read from the store as far as it goes and no further.

Where a page ends there may stand a record of another organization, whose id (a person's address, perhaps) is nobody
else's to know: so cursors are sealed, for the key that asks. Every process of the control plane can open them, since
it is sealed by what the register alone knows of that key.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Callable
from typing import TypeVar

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from governance.errors import InvalidRequest
from governance.ports import ControlReader
from governance.register import KeyRecord, Observation, Record

R = TypeVar("R", bound=Record | Observation)

SCANNED_MAX = 5000
"""Records looked at for one page; a page may be short and still have a next."""
AT_ONCE_MAX = 1000
_NONCE_BYTES = 12


def sealed_cursor(after: str, key: KeyRecord) -> str:
    """A cursor that says where `after` is to whoever has the register, and to nobody else."""
    nonce = secrets.token_bytes(_NONCE_BYTES)
    sealed = nonce + _box(key).encrypt(nonce, after.encode(), None)
    return base64.urlsafe_b64encode(sealed).decode().rstrip("=")


def opened_cursor(cursor: str, key: KeyRecord) -> str:
    """What `sealed_cursor` was given; an empty cursor is the beginning.

    Raises:
        InvalidRequest: a cursor that no page gave to this key.
    """
    if not cursor:
        return ""
    try:
        sealed = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        return _box(key).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], None).decode()
    except (ValueError, InvalidTag):
        raise InvalidRequest(
            "This cursor is not one of ours.", advice="Begin again without a cursor, with the key that asks."
        ) from None


def _box(key: KeyRecord) -> AESGCM:
    return AESGCM(hashlib.sha256(f"hatidata cursor {key.id} {key.hash}".encode()).digest())


def stored_page(
    reader: ControlReader,
    kind: type[R],
    environment: str,
    cursor: str,
    limit: int,
    key: KeyRecord,
    *,
    where: Callable[[R], bool] | None = None,
) -> tuple[list[R], str | None]:
    """At most `limit` records past `cursor` in the order of their ids, and the cursor that follows them.

    Raises:
        InvalidRequest: a cursor that no page gave to this key.
    """
    after, seen = opened_cursor(cursor, key), 0
    found: list[R] = []
    at_once = min(AT_ONCE_MAX, limit + 1)
    while True:
        batch = reader.page(kind, environment, after=after, limit=at_once)
        for record in batch:
            if where is None or where(record):
                if len(found) == limit:
                    return found, sealed_cursor(found[-1].id, key)
                found.append(record)
            after, seen = record.id, seen + 1
        if len(batch) < at_once:
            return found, None
        if seen >= SCANNED_MAX:
            return found, sealed_cursor(after, key)
        at_once = AT_ONCE_MAX
