"""The home's key for small secrets: AES-256-GCM under keys in a file of the home, the newest of which seals.

It is the home's one encryption key, so it is also what rotates there: yearly by itself, or on demand. What an older key
sealed stays readable.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import secrets
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from governance.encryption_key import ON_DEMAND_MAX, KeyRotationFacts
from governance.errors import KeyServiceUnavailable, ResourceExceeded
from governance.ports import Clock
from governance.timestamp import parse, stamp
from local.home import write_private

FILE = "secrets.key"
NAME = "secrets"
PERIOD = timedelta(days=365)
FORMAT = 1
_KEY_BYTES = 32
_NONCE_BYTES = 12
_SECRET_BYTES_MAX = 4096
_FILE_BYTES_MAX = 256 * 1024


class HomeSecretBox:
    """Implements `governance.ports.SecretBox` and `KeyService` in a folder. Safe for threads; one process writes.

    Raises:
        KeyServiceUnavailable: the file is damaged or cannot be read or made.
    """

    def __init__(self, folder: Path, clock: Clock) -> None:
        self._path = folder / FILE
        self._clock = clock
        self._lock = threading.Lock()
        with self._lock:
            if not self._path.exists():
                self._write([self._new("first")])
            self._read()

    def seal(self, secret: bytes, context: str) -> str:
        """See the port."""
        if len(secret) > _SECRET_BYTES_MAX:
            raise KeyServiceUnavailable("The secret is too long to be kept.")
        newest = self._read()[-1]
        nonce = secrets.token_bytes(_NONCE_BYTES)
        data = AESGCM(_key(newest)).encrypt(nonce, secret, context.encode())
        return f"{FORMAT}.{newest['id']}.{base64.urlsafe_b64encode(nonce + data).decode()}"

    def open(self, sealed: str, context: str) -> bytes:
        """See the port."""
        version, _, rest = sealed.partition(".")
        key_id, _, text = rest.partition(".")
        keys = {each["id"]: _key(each) for each in self._read() if version == str(FORMAT)}
        try:
            data = base64.b64decode(text, altchars=b"-_", validate=True)
            return AESGCM(keys[key_id]).decrypt(data[:_NONCE_BYTES], data[_NONCE_BYTES:], context.encode())
        except (InvalidTag, KeyError, ValueError, binascii.Error):
            raise KeyServiceUnavailable(
                "A stored secret cannot be opened.",
                advice="Restore the home's key file from a backup, or make the secret anew.",
            ) from None

    def names(self) -> tuple[str, ...]:
        """The home's one key."""
        return (NAME,)

    def facts(self, name: str) -> KeyRotationFacts:
        """See the port. A key whose year is over is renewed by the way: this is how it rotates by itself."""
        _known(name)
        with self._lock:
            keys = self._read()
            if parse(keys[-1]["made_at"]) + PERIOD <= self._clock.now():
                keys = [*keys, self._new("period")]
                self._write(keys)
        return KeyRotationFacts(PERIOD.days, sum(key["cause"] == "demand" for key in keys))

    def rotate(self, name: str) -> None:
        """See the port."""
        _known(name)
        with self._lock:
            keys = self._read()
            if sum(key["cause"] == "demand" for key in keys) >= ON_DEMAND_MAX:
                raise ResourceExceeded("No rotation on demand is left to this key.")
            self._write([*keys, self._new("demand")])

    def _new(self, cause: str) -> dict[str, str]:
        return {
            "id": secrets.token_hex(8),
            "made_at": stamp(self._clock.now()),
            "cause": cause,
            "key": base64.b64encode(secrets.token_bytes(_KEY_BYTES)).decode(),
        }

    def _read(self) -> list[dict[str, str]]:
        """The keys, oldest first; read anew each time, for another process may have rotated."""
        try:
            descriptor = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW)
            with os.fdopen(descriptor, "rb") as file:
                document: dict[str, Any] = json.loads(file.read(_FILE_BYTES_MAX))
            keys: list[dict[str, str]] = document["keys"]
            sound = bool(keys) and document["format"] == FORMAT and all(len(_key(each)) == _KEY_BYTES for each in keys)
        except (OSError, KeyError, TypeError, ValueError):
            sound, keys = False, []
        if not sound:
            raise KeyServiceUnavailable(
                "The home's key for secrets cannot be read.", advice="Restore control/secrets.key from a backup."
            )
        return keys

    def _write(self, keys: list[dict[str, str]]) -> None:
        try:
            write_private(self._path, json.dumps({"format": FORMAT, "keys": keys}, indent=2).encode() + b"\n")
        except OSError:
            raise KeyServiceUnavailable("The home's key for secrets cannot be written.") from None


def _key(entry: dict[str, str]) -> bytes:
    return base64.b64decode(entry["key"], validate=True)


def _known(name: str) -> None:
    if name != NAME:
        raise KeyServiceUnavailable("There is no such encryption key.")
