"""A file sealed under a passphrase: written and read as a stream, in chunks that cannot be changed, moved or cut off.

Format 1: eight bytes `HATISEAL`, one byte 1, a salt of 16 bytes; then chunks of 65,536 bytes (the last may be shorter),
each sealed by ChaCha20-Poly1305 (RFC 8439) and so 16 bytes longer. The key is Argon2id of the passphrase and the salt
(64 MiB, t=3, p=1). A chunk's nonce is its number in 11 bytes, big-endian, and one byte that is 1 for the last chunk: so
no chunk fits another place, and no end but the true one is an end.
"""

from __future__ import annotations

import io
import secrets
from typing import IO

from argon2.low_level import Type, hash_secret_raw
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from governance.errors import InvalidRequest

MAGIC = b"HATISEAL\x01"
SALT_BYTES = 16
CHUNK_BYTES = 65_536
TAG_BYTES = 16
PASSPHRASE_BYTES_MIN = 16
PASSPHRASE_BYTES_MAX = 4096


class SealedWriter(io.RawIOBase):
    """Seals what is written into `file`; what is not closed cleanly cannot be read."""

    def __init__(self, file: IO[bytes], passphrase: bytes) -> None:
        salt = secrets.token_bytes(SALT_BYTES)
        file.write(MAGIC + salt)
        self._file = file
        self._cipher = ChaCha20Poly1305(_key(passphrase, salt))
        self._held = bytearray()
        self._number = 0

    def writable(self) -> bool:
        """It is."""
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]
        """Take all of `data`."""
        self._held += data
        while len(self._held) > CHUNK_BYTES:
            self._seal(bytes(self._held[:CHUNK_BYTES]), last=False)
            del self._held[:CHUNK_BYTES]
        return len(data)

    def finish(self) -> None:
        """Write the last chunk; without it the file is not whole."""
        self._seal(bytes(self._held), last=True)
        self._held.clear()

    def _seal(self, chunk: bytes, *, last: bool) -> None:
        self._file.write(self._cipher.encrypt(_nonce(self._number, last=last), chunk, None))
        self._number += 1


class SealedReader(io.RawIOBase):
    """Opens what `SealedWriter` sealed.

    Raises:
        InvalidRequest: at once, or at a read: not such a file, another passphrase, damaged, or cut off.
    """

    def __init__(self, file: IO[bytes], passphrase: bytes) -> None:
        head = file.read(len(MAGIC) + SALT_BYTES)
        if len(head) != len(MAGIC) + SALT_BYTES or not head.startswith(MAGIC):
            raise InvalidRequest("This file is no backup.", advice="Name a file that `hatidata backup` made.")
        self._file = file
        self._cipher = ChaCha20Poly1305(_key(passphrase, head[len(MAGIC) :]))
        self._next = file.read(CHUNK_BYTES + TAG_BYTES)
        self._held = memoryview(b"")
        self._number = 0
        self._ended = False
        self._open()

    def readable(self) -> bool:
        """It is."""
        return True

    def read(self, size: int = -1) -> bytes:
        """Up to `size` bytes, fewer only at the end; all that is left when it is negative."""
        out = bytearray()
        while size < 0 or len(out) < size:
            if not self._held:
                if self._ended:
                    break
                self._open()
            take = len(self._held) if size < 0 else min(size - len(out), len(self._held))
            out += self._held[:take]
            self._held = self._held[take:]
        return bytes(out)

    def _open(self) -> None:
        sealed, self._next = self._next, self._file.read(CHUNK_BYTES + TAG_BYTES)
        last = not self._next
        try:
            self._held = memoryview(self._cipher.decrypt(_nonce(self._number, last=last), sealed, None))
        except InvalidTag:
            raise InvalidRequest(
                "The backup cannot be opened.",
                advice="The passphrase is another one, or the file is damaged or cut off.",
            ) from None
        self._number += 1
        self._ended = last


def _key(passphrase: bytes, salt: bytes) -> bytes:
    if not PASSPHRASE_BYTES_MIN <= len(passphrase) <= PASSPHRASE_BYTES_MAX:
        raise InvalidRequest(
            f"A passphrase has {PASSPHRASE_BYTES_MIN} to {PASSPHRASE_BYTES_MAX} bytes.",
            advice="Make one with `openssl rand -base64 33`.",
        )
    return hash_secret_raw(passphrase, salt, time_cost=3, memory_cost=65_536, parallelism=1, hash_len=32, type=Type.ID)


def _nonce(number: int, *, last: bool) -> bytes:
    return number.to_bytes(11, "big") + bytes([last])
