"""What a home remembers of the manifests it signed, apart from the audit, where somebody else may come to write.

Without it, deleting the last manifests and rewriting their days would have the home itself sign the forged ones.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path

from governance import audit_manifest
from governance.audit_chain import Fault
from governance.audit_manifest import Manifest
from governance.ports import AuditStore

FILE = "audit-sealed.json"
_DAY = re.compile(r"\A[0-9]{4}-[0-9]{2}-[0-9]{2}\Z")
_DIGEST = re.compile(r"\A[0-9a-f]{64}\Z")


@dataclass(frozen=True, slots=True)
class Sealed:
    """The last manifest that was signed here."""

    day: str
    digest: str
    """SHA-256 (hex) of its bytes."""


def remembered(folder: Path) -> Sealed | None:
    """What the home remembers; None when it never sealed a day.

    Raises:
        OSError: it cannot be read.
        ValueError: the file is damaged.
    """
    try:
        document = json.loads((folder / FILE).read_bytes())
    except FileNotFoundError:
        return None
    told = document if isinstance(document, dict) else {}
    day, digest = told.get("day"), told.get("digest")
    if not (isinstance(day, str) and _DAY.match(day) and isinstance(digest, str) and _DIGEST.match(digest)):
        raise ValueError("what was sealed last is not remembered as it should be")
    return Sealed(day, digest)


def remember(folder: Path, sealed: Sealed) -> None:
    """Keep it, durably. Raises OSError."""
    temporary = folder / f"tmp-{FILE}"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        json.dump({"day": sealed.day, "digest": sealed.digest}, file)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(folder / FILE)


def taken_back(store: AuditStore, sealed: Sealed) -> Fault | None:
    """What is wrong when the store does not hold the manifest that was sealed. Raises OSError."""
    name = f"manifests/{sealed.day}.json"
    try:
        data = store.get(name)
    except FileNotFoundError:
        return Fault("missing_manifest", name, "this home signed it, and it is gone")
    if audit_manifest.digest(data) != sealed.digest:
        return Fault("altered_manifest", name, "it is not the one that this home signed")
    return None


def last_of(store: AuditStore) -> Sealed | None:
    """The last manifest of the store, whatever it is worth.

    Raises:
        OSError: the store cannot be read.
        ValueError: it is damaged.
    """
    names = [name for name in store.names("manifests/") if name.endswith(".json")]
    if not names:
        return None
    data = store.get(names[-1])
    manifest: Manifest = audit_manifest.decode(data)
    return Sealed(manifest.day, audit_manifest.digest(data))
