"""The bundle: a rulebook on its way to a node, with a signed manifest. Pure.

The manifest is canonical JSON (`governance.chain.canonical`): whose rulebook it is, its version, when it was signed,
how long it is and the SHA-256 of its bytes. It is signed anew with every answer, also when nothing changed: that is how
a node knows, by signature and not by trust in what lies between, that its copy is still the law. The rulebook itself
goes in parts, so that no answer is longer than a load balancer lets a function give.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from dataclasses import dataclass

from governance.chain import canonical
from governance.errors import InvalidRequest

VERSION = 1
PART_BYTES = 700_000
"""Of the rulebook in one answer, before compression: with headers and base64 it stays under 1 MB."""
RULEBOOK_BYTES_MAX = 64 * 1024 * 1024
PARTS_MAX = -(-RULEBOOK_BYTES_MAX // PART_BYTES)
MANIFEST_HEADER = "HatiData-Manifest"
SIGNATURE_HEADER = "HatiData-Signature"
"""Both base64."""
_KIND = "rulebook"


@dataclass(frozen=True, slots=True)
class Manifest:
    """What is signed."""

    environment: str
    version: int
    """The rulebook's."""
    issued_at: str
    """When this was signed: the rulebook was the law then."""
    sha256: str
    size: int
    """Bytes."""
    parts: int

    @classmethod
    def of(cls, body: bytes, *, environment: str, version: int, issued_at: str) -> Manifest:
        """The manifest of a rulebook's bytes."""
        return cls(environment, version, issued_at, hashlib.sha256(body).hexdigest(), len(body), len(split(body)))

    def encode(self) -> bytes:
        """The bytes that are signed."""
        return canonical(
            {
                "v": VERSION,
                "kind": _KIND,
                "environment": self.environment,
                "version": self.version,
                "issued_at": self.issued_at,
                "sha256": self.sha256,
                "size": self.size,
                "parts": self.parts,
            }
        )

    @classmethod
    def decode(cls, data: bytes) -> Manifest:
        """The inverse of `encode`.

        Raises:
            InvalidRequest: not a manifest of a rulebook, or not in canonical form.
        """
        try:
            d = json.loads(data)
            known = (d.pop("v"), d.pop("kind")) == (VERSION, _KIND)
            manifest = cls(**d)
            known = known and manifest.encode() == data and 0 <= manifest.size <= RULEBOOK_BYTES_MAX
            known = known and manifest.parts == max(1, -(-manifest.size // PART_BYTES))
        except (AttributeError, KeyError, TypeError, ValueError, RecursionError):
            known, manifest = False, None
        if not known or manifest is None:
            raise InvalidRequest("This is no manifest of a rulebook.", advice="Upgrade the node.")
        return manifest

    def describes(self, body: bytes) -> bool:
        """Whether `body` is the rulebook it speaks of."""
        return len(body) == self.size and hashlib.sha256(body).hexdigest() == self.sha256


def split(body: bytes) -> list[bytes]:
    """The parts of a rulebook; put together they are it again."""
    return [body[at : at + PART_BYTES] for at in range(0, len(body), PART_BYTES)] or [b""]


def to_header(data: bytes) -> str:
    """Bytes as they stand in a header."""
    return base64.b64encode(data).decode()


def from_header(text: str) -> bytes:
    """The inverse of `to_header`; empty when it is none."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""
