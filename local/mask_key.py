"""The environment's key for `hmac` masks: 32 random bytes in the home, named by an id that tells nothing of it."""

from __future__ import annotations

import hashlib
import os
import secrets
from pathlib import Path

from governance.errors import InvalidRequest
from local.home import write_private

FILE = "mask.key"
KEY_BYTES = 32
_NAMING = b"hatidata mask key id 1\0"


def make_mask_key(folder: Path) -> str:
    """Make the key in `folder` (mode 0600) and return its id, which rulebooks name it by."""
    key = secrets.token_bytes(KEY_BYTES)
    write_private(folder / FILE, key)
    return mask_key_id(key)


def read_mask_key(folder: Path) -> bytes:
    """The key in `folder`; empty when there is none, and then `hmac` masks show nothing.

    Raises:
        InvalidRequest: the file holds something else.
    """
    try:
        descriptor = os.open(folder / FILE, os.O_RDONLY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return b""
    with os.fdopen(descriptor, "rb") as file:
        key = file.read(KEY_BYTES + 1)
    if len(key) != KEY_BYTES:
        raise InvalidRequest("The home's mask key is damaged.", advice="Restore it from a backup of the home.")
    return key


def mask_key_id(key: bytes) -> str:
    """The name of a key: 16 hexadecimal digits of a hash that cannot be turned back."""
    return "mask-" + hashlib.sha256(_NAMING + key).hexdigest()[:16]
