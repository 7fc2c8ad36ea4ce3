"""Proof over a folder of audit objects, offline: complete, unmodified, in order; and the sealing of finished days.

`seal_finished_days` writes `manifests/YYYY-MM-DD.json` and `.sig` into the store, signed by the home's Ed25519 key;
`verify` needs the folder and, for signatures, the public key.
"""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from governance import audit_manifest
from governance.audit_chain import ChainCheck, Extent, Fault, Place, extent
from governance.audit_manifest import Entry, Manifest, ObjectName, parse_object_name
from governance.errors import InvalidRequest
from governance.ports import Clock
from local.audit_files import AuditFiles
from local.audit_index import unpack

PRIVATE_KEY_FILE = "audit-signing.key"
PUBLIC_KEY_FILE = "audit-signing.pub"


@dataclass(frozen=True, slots=True)
class Report:
    """What a verification saw."""

    faults: tuple[Fault, ...]
    objects: int
    records: int
    manifests: int
    unsealed_objects: int
    """Objects of days after the last manifest: their records are chained, but no signature covers them yet."""
    signed: bool
    """Whether signatures were checked."""

    @property
    def sound(self) -> bool:
        """Whether nothing is wrong."""
        return not self.faults


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


# ---------------------------------------------------------------- sealing


def seal_finished_days(root: Path, key: Ed25519PrivateKey, clock: Clock) -> list[str]:
    """Make and sign the manifest of every finished day that has none; the days sealed now.

    The first sealed day is that of the first object. A day is finished an hour after it ends (UTC), which leaves
    time for what was made before midnight to arrive; what is later still stands in the next manifest.

    Raises:
        OSError: the store cannot be read or written.
        ValueError: the last manifest is damaged; `verify` names it. A damaged object is listed as it is.
    """
    store = AuditFiles(root)
    written = _manifests(store)
    listed: set[str] = set()
    for _, data in written:
        listed |= {entry.name for entry in audit_manifest.decode(data).entries}
    waiting = [name for name in _objects(store) if name.name not in listed]
    before = written[-1][1] if written else None
    if before is not None:
        day = date.fromisoformat(audit_manifest.decode(before).day) + timedelta(days=1)
    elif waiting:
        day = date.fromisoformat(min(name.day for name in waiting))
    else:
        return []
    last = (clock.now() - timedelta(hours=25)).date()
    sealed = []
    while day <= last:
        text = day.isoformat()
        now, waiting = [n for n in waiting if n.day <= text], [n for n in waiting if n.day > text]
        manifest = audit_manifest.next_manifest(text, [_entry(store, name) for name in now], before)
        before = audit_manifest.encode(manifest)
        # The signature goes first: a manifest without one would stand forever.
        store.put_new(f"manifests/{text}.sig", key.sign(before))
        store.put_new(f"manifests/{text}.json", before)
        sealed.append(text)
        day += timedelta(days=1)
    return sealed


def _entry(store: AuditFiles, name: ObjectName) -> Entry:
    data = store.get(name.name)
    return audit_manifest.entry(name.name, data, _extent(data) or Extent(name.chain, 0, 0, "", "", 0))


def _extent(data: bytes) -> Extent | None:
    try:
        return extent(unpack(data).splitlines())
    except ValueError:
        return None


def _manifests(store: AuditFiles) -> list[tuple[str, bytes]]:
    return [(name, store.get(name)) for name in store.names("manifests/") if name.endswith(".json")]


def _objects(store: AuditFiles) -> list[ObjectName]:
    names = [parse_object_name(name) for stream in ("queries/", "sessions/") for name in store.names(stream)]
    return [name for name in names if name is not None]


# ---------------------------------------------------------------- verifying


def verify(
    root: Path,
    first_day: str = "",
    last_day: str = "",
    key: Ed25519PublicKey | None = None,
    spool: Path | None = None,
) -> Report:
    """Check manifests, signatures (with `key`), objects and every record's chain from `first_day` to `last_day`.

    Args:
        root: the store's folder, or a copy of it.
        first_day: YYYY-MM-DD, inclusive; empty is the beginning.
        last_day: YYYY-MM-DD, inclusive; empty is the end.
        key: the public key; without it signatures are not checked.
        spool: the node's spool, when it is at hand: what it says it shipped must be there, which names records cut off
            at the end of a chain even before a manifest lists them.

    Raises:
        InvalidRequest: not such a folder, or a day that is none.
        OSError: the folder cannot be read.
    """
    for day in (first_day, last_day):
        if day:
            try:
                date.fromisoformat(day)
            except ValueError:
                raise InvalidRequest("A day is written YYYY-MM-DD.") from None
    if not root.is_dir():
        raise InvalidRequest("There is no such folder of audit objects.")
    store = _Reading(root)
    # Before the objects are listed: what is shipped meanwhile must not look missing.
    tips = _shipped(spool) if spool is not None and not last_day else {}
    manifests, faults = audit_manifest.check_sequence(_manifests(store))
    faults += _signatures(store, key)
    names = _objects(store)
    strays = set(store.names("queries/")) | set(store.names("sessions/"))
    strays -= {name.name for name in names}
    faults += (Fault("foreign_object", name, "its name is not that of an audit object") for name in sorted(strays))

    def within(day: str) -> bool:
        return (not first_day or first_day <= day) and (not last_day or day <= last_day)

    faults += _against_manifests(names, manifests, within)
    listed = {entry.name: entry for manifest in manifests for entry in manifest.entries}
    objects = [name for name in names if within(name.day)]
    more, records = _against_bytes(store, objects, names, listed)
    more += _against_spool(store, names, tips)
    sealed_to = manifests[-1].day if manifests else ""
    return Report(
        tuple(faults + more),
        len(objects),
        records,
        len(manifests),
        sum(1 for name in objects if name.day > sealed_to),
        key is not None,
    )


class _Reading(AuditFiles):
    """The store for one who only reads: makes no folders."""

    def __init__(self, root: Path) -> None:
        self._root = root


def verify_records(root: Path) -> list[Fault]:
    """Faults of every record's chain and every object's own digest, manifests apart."""
    store = _Reading(root)
    names = _objects(store)
    return _against_bytes(store, names, names, {})[0]


def _signatures(store: AuditFiles, key: Ed25519PublicKey | None) -> list[Fault]:
    faults: list[Fault] = []
    if key is None:
        return faults
    for name, data in _manifests(store):
        try:
            key.verify(store.get(name.removesuffix(".json") + ".sig"), data)
        except FileNotFoundError:
            faults.append(Fault("unsigned_manifest", name, "has no signature"))
        except InvalidSignature:
            faults.append(Fault("bad_signature", name, "the signature is not this key's over these bytes"))
    return faults


def _against_manifests(names: Iterable[ObjectName], manifests: list[Manifest], within: object) -> list[Fault]:
    if not manifests:
        return []
    assert callable(within)  # noqa: S101
    there = {name.name for name in names}
    faults = []
    listed: dict[str, str] = {}
    for manifest in manifests:
        for entry in manifest.entries:
            if entry.name in listed:
                faults.append(
                    Fault("repeated_entry", f"manifests/{manifest.day}.json", f"{entry.name} is listed twice")
                )
            listed[entry.name] = manifest.day
            named = parse_object_name(entry.name)
            if entry.name not in there and (named is None or within(named.day)):
                faults.append(Fault("missing_object", entry.name, f"listed in the manifest of {manifest.day}"))
    last = manifests[-1].day
    faults += (
        Fault("unlisted_object", name.name, "its day is sealed and no manifest lists it: late, or added")
        for name in names
        if name.day <= last and name.name not in listed and within(name.day)
    )
    return faults


def _against_bytes(
    store: AuditFiles, objects: list[ObjectName], everything: list[ObjectName], listed: dict[str, Entry]
) -> tuple[list[Fault], int]:
    """Every object's digests, and its records' chain from where the range begins."""
    faults: list[Fault] = []
    records = 0
    chains: dict[str, list[ObjectName]] = defaultdict(list)
    for name in objects:
        chains[name.chain].append(name)
    for chain, of_chain in sorted(chains.items()):
        of_chain.sort(key=lambda name: (name.batch, name.name))
        earlier = [n for n in everything if n.chain == chain and n.batch < of_chain[0].batch]
        check = ChainCheck(chain, _place_after(store, earlier, listed) if earlier else None)
        for name in of_chain:
            data = store.get(name.name)
            sha = audit_manifest.digest(data)
            known = listed.get(name.name)
            if (known is not None and known.sha256 != sha) or not sha.startswith(name.digest):
                faults.append(Fault("altered_object", name.name, "its bytes are not those it was stored with"))
            try:
                lines = unpack(data).splitlines()
            except ValueError as error:
                faults.append(Fault("damaged_object", name.name, str(error)))
                continue
            faults += check.object(name.name, lines)
        faults += check.finish()
        records += check.records
    return faults, records


def _shipped(spool: Path) -> dict[str, int]:
    """The last record of each chain that the node says it shipped; nothing while some are on their way."""
    try:
        state = json.loads((spool / "shipped.json").read_bytes())
        tips = {f"{state['chain']}.{name[0]}": int(state[name]["seq"]) for name in ("queries", "sessions")}
        in_transit = any((spool / "outbox").glob("[0-9]*"))
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return {} if in_transit else tips


def _against_spool(store: AuditFiles, names: list[ObjectName], tips: dict[str, int]) -> list[Fault]:
    """Records at a chain's end that were shipped and are not there."""
    faults = []
    for chain, shipped in tips.items():
        last = max((name for name in names if name.chain == chain), key=lambda name: name.batch, default=None)
        held = _extent(store.get(last.name)) if last else None
        there = held.last if held else 0
        if there < shipped:
            faults.append(
                Fault(
                    "missing_records",
                    last.name if last else "",
                    f"records {there + 1} to {shipped} of {chain}, the last ones",
                )
            )
    return faults


def _place_after(store: AuditFiles, earlier: list[ObjectName], listed: dict[str, Entry]) -> Place | None:
    """Where the chain stands before the range: from the manifest, else from the object itself."""
    last = max(earlier, key=lambda name: (name.batch, name.name))
    known = listed.get(last.name)
    held = known.extent if known is not None and known.extent.records else _extent(store.get(last.name))
    return Place(held.last + 1, held.head) if held else None
