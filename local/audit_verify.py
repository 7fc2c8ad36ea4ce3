"""The proof of `governance.audit_proof` over a folder of audit objects, with the home's Ed25519 key."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from governance import audit_manifest, audit_proof
from governance.audit_chain import Fault
from governance.audit_proof import Report
from governance.errors import Conflict, InvalidRequest
from governance.ports import Clock
from governance.signatures import Verify, verifier
from local.audit_files import AuditFiles
from local.audit_seals import Sealed, last_of, remember, remembered, taken_back

PRIVATE_KEY_FILE = "audit-signing.key"
PUBLIC_KEY_FILE = "audit-signing.pub"


# ---------------------------------------------------------------- keys


def signing_key(folder: Path) -> Ed25519PrivateKey:
    """The home's key in `folder`, made (mode 0600, its public half beside it) when missing.

    Raises:
        OSError: the folder cannot be read or written.
        InvalidRequest: the file is not an Ed25519 key.
    """
    path = folder / PRIVATE_KEY_FILE
    if not path.exists():
        made = Ed25519PrivateKey.generate()
        pem = made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(pem)
        public = made.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        (folder / PUBLIC_KEY_FILE).write_bytes(public)
    try:
        key = load_pem_private_key(path.read_bytes(), None)
    except (ValueError, TypeError):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise InvalidRequest("The audit signing key is not an unencrypted Ed25519 key in PEM.")
    return key


def public_key(path: Path) -> Ed25519PublicKey:
    """The public key in a PEM file.

    Raises:
        OSError: it cannot be read.
        InvalidRequest: not an Ed25519 public key.
    """
    try:
        key = load_pem_public_key(path.read_bytes())
    except ValueError:
        key = None
    if not isinstance(key, Ed25519PublicKey):
        raise InvalidRequest("The file is not an Ed25519 public key in PEM.")
    return key


# ---------------------------------------------------------------- proof


def seal_finished_days(root: Path, key: Ed25519PrivateKey, clock: Clock, memory: Path | None = None) -> list[str]:
    """As `governance.audit_proof.seal_finished_days`, in the store at `root`; what was signed is kept in `memory`.

    Raises:
        Conflict: the store does not hold the manifest signed last: nothing is signed in its place.
    """
    store = AuditFiles(root)
    before = remembered(memory) if memory is not None else None
    wrong = taken_back(store, before) if before is not None else None
    if wrong is not None:
        raise Conflict(
            f"The audit is not sealed: {wrong.name} is not what this home signed last.",
            advice="`hatidata audit verify` names what is missing or altered; nothing is signed in its place.",
            reason=wrong.kind,
        )
    days = audit_proof.seal_finished_days(store, key.sign, clock.now(), _holds(key.public_key()))
    if memory is not None and days:
        remember(memory, Sealed(days[-1], audit_manifest.digest(store.get(f"manifests/{days[-1]}.json"))))
    return days


def verify(
    root: Path,
    first_day: str = "",
    last_day: str = "",
    key: Ed25519PublicKey | None = None,
    spool: Path | None = None,
    memory: Path | None = None,
    last_manifest: str = "",
) -> Report:
    """As `governance.audit_proof.verify`, over the store at `root` or a copy of it.

    Args:
        root: the folder.
        first_day: YYYY-MM-DD, inclusive; empty is the beginning.
        last_day: YYYY-MM-DD, inclusive; empty is the end.
        key: the public key; without it signatures are not checked.
        spool: the node's spool, when it is at hand: what it says it shipped must be there.
        memory: the folder where the home remembers what it signed last, when it is at hand: that must be there.
        last_manifest: SHA-256 (hex) of a manifest that was seen before, or empty: it must be there.

    Raises:
        InvalidRequest: not such a folder, or a day that is none.
        OSError: the folder cannot be read.
    """
    if not root.is_dir():
        raise InvalidRequest("There is no such folder of audit objects.")
    holds = None
    if key is not None:
        holds = _holds(key)
    tips = _shipped(spool) if spool is not None else {}
    store = _Reading(root)
    report = audit_proof.verify(store, first_day, last_day, holds, tips)
    faults = report.faults
    try:
        sealed = remembered(memory) if memory is not None else None
    except ValueError as error:
        faults += (Fault("altered_manifest", "", str(error)),)
        sealed = None
    wrong = taken_back(store, sealed) if sealed is not None else None
    if wrong is not None and wrong.kind not in {fault.kind for fault in faults if fault.name == wrong.name}:
        faults += (wrong,)
    if last_manifest and last_manifest not in {audit_manifest.digest(data) for data in _manifests(store)}:
        faults += (Fault("missing_manifest", "", f"no manifest has the digest {last_manifest[:64]}"),)
    return replace(report, faults=faults)


def _manifests(store: AuditFiles) -> list[bytes]:
    return [store.get(name) for name in store.names("manifests/") if name.endswith(".json")]


class _Reading(AuditFiles):
    """The store for one who only reads: makes no folders."""

    def __init__(self, root: Path) -> None:
        self._root = root


def _holds(key: Ed25519PublicKey) -> Verify:
    return verifier(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))


def newest_manifest(root: Path) -> Sealed | None:
    """Day and digest of the last manifest of the store at `root`; None without one that can be read.

    Raises:
        OSError: the store cannot be read.
    """
    try:
        return last_of(_Reading(root))
    except ValueError:
        return None


def verify_records(root: Path) -> list[Fault]:
    """As `governance.audit_proof.verify_records`."""
    return audit_proof.verify_records(_Reading(root))


def _shipped(spool: Path) -> dict[str, int]:
    """The last record of each chain that the node says it shipped; nothing while some are on their way."""
    try:
        state = json.loads((spool / "shipped.json").read_bytes())
        tips = {f"{state['chain']}.{name[0]}": int(state[name]["seq"]) for name in ("queries", "sessions")}
        in_transit = any((spool / "outbox").glob("[0-9]*"))
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return {} if in_transit else tips
