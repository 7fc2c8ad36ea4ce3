"""Proof over the audit store, through its port: complete, unmodified, in order; and the sealing of finished days.

`seal_finished_days` writes `manifests/YYYY-MM-DD.json` and `.sig`; `verify` needs the store and, for signatures, the
public key. At home the store is a folder, in AWS a bucket some of whose objects lie in an archive.
"""

from __future__ import annotations

import itertools
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from governance import audit_manifest
from governance.audit_chain import ChainCheck, Extent, Fault, Place, extent
from governance.audit_manifest import Entry, Manifest, ObjectName, parse_object_name
from governance.audit_shelf import ObjectArchived
from governance.errors import InvalidRequest
from governance.ports import AuditStore
from governance.signatures import Verify

OBJECT_BYTES_MAX = 512 << 20
"""An object that unpacks to more is not one of ours."""


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
    archived_objects: int = 0
    """Objects in an archive tier, whose bytes were not looked at; what the manifests say of them was gone by."""

    @property
    def sound(self) -> bool:
        """Whether nothing is wrong."""
        return not self.faults


def unpack(data: bytes) -> bytes:
    """The lines of an object.

    Raises:
        ValueError: not gzip, cut short, or more than `OBJECT_BYTES_MAX`.
    """
    unpacker = zlib.decompressobj(wbits=31)
    try:
        text = unpacker.decompress(data, OBJECT_BYTES_MAX)
    except zlib.error as error:
        raise ValueError("not a gzip object") from error
    if not unpacker.eof or unpacker.unused_data:
        raise ValueError("an object cut short, too long, or with something behind it")
    return text


# ---------------------------------------------------------------- sealing


LATE_DAYS = 60
"""An object that comes later than this is listed by no manifest, and `verify` names it; so sealing a day reads what two
months hold and not seven years, and nothing that lies in an archive."""


SIGNATURES_MAX = 9
"""Of one day: a signature whose manifest was never laid down stands in the way of none."""


def seal_finished_days(store: AuditStore, sign: Callable[[bytes], bytes], now: datetime, holds: Verify) -> list[str]:
    """Make and sign the manifest of every finished day that has none; the days sealed now.

    The first sealed day is that of the first object. A day is finished an hour after it ends (UTC), which leaves
    time for what was made before midnight to arrive; what is later still stands in the next manifest. Manifests that
    somebody else laid at the end, whose signature does not hold, are passed over; `verify` names them.

    Raises:
        OSError: the store cannot be read or written.
        ValueError: the last manifest is damaged, or another one stands where one is to be laid; `verify` names it. A
            damaged object is listed as it is.
    """
    written = [name for name in store.names("manifests/") if name.endswith(".json")]
    while written and not _signed(store, written[-1], store.get(written[-1]), holds):
        written.pop()
    before = store.get(written[-1]) if written else None
    if before is not None:
        sealed_to = date.fromisoformat(audit_manifest.decode(before).day)
        since = sealed_to - timedelta(days=LATE_DAYS)
        recent = [name for name in written if name >= f"manifests/{since.isoformat()}"]
        listed = {entry.name for name in recent for entry in audit_manifest.decode(store.get(name)).entries}
        waiting = [name for name in _objects_between(store, since, now.date()) if name.name not in listed]
        day = sealed_to + timedelta(days=1)
    elif waiting := _objects(store):
        day = date.fromisoformat(min(name.day for name in waiting))
    else:
        return []
    last = (now - timedelta(hours=25)).date()
    sealed = []
    while day <= last:
        text = day.isoformat()
        due, waiting = [n for n in waiting if n.day <= text], [n for n in waiting if n.day > text]
        manifest = audit_manifest.next_manifest(text, [_entry(store, name) for name in due], before)
        before = audit_manifest.encode(manifest)
        # The signature goes first: a manifest without one would stand forever.
        _lay_signature(store, text, before, sign, holds)
        if not store.put_new(f"manifests/{text}.json", before) and store.get(f"manifests/{text}.json") != before:
            raise ValueError("another manifest stands where one is to be laid")
        sealed.append(text)
        day += timedelta(days=1)
    return sealed


def _lay_signature(store: AuditStore, day: str, manifest: bytes, sign: Callable[[bytes], bytes], holds: Verify) -> None:
    """Under the first name that is free, unless one that holds is there."""
    signature = sign(manifest)
    for name in _signature_names(day):
        if store.put_new(name, signature) or holds(manifest, store.get(name)):
            return
    raise ValueError("too many signatures of others stand where one is to be laid")


def _signature_names(day: str) -> list[str]:
    return [f"manifests/{day}.sig", *(f"manifests/{day}.{number}.sig" for number in range(2, SIGNATURES_MAX + 1))]


def _signed(store: AuditStore, name: str, manifest: bytes, holds: Verify) -> bool:
    """Whether a signature of the manifest holds. Raises FileNotFoundError never."""
    for signature in _signature_names(name.removeprefix("manifests/").removesuffix(".json")):
        try:
            if holds(manifest, store.get(signature)):
                return True
        except FileNotFoundError:
            break
    return False


def _entry(store: AuditStore, name: ObjectName) -> Entry:
    data = store.get(name.name)
    return audit_manifest.entry(name.name, data, _extent(data) or Extent(name.chain, 0, 0, "", "", 0))


def _extent(data: bytes) -> Extent | None:
    try:
        return extent(unpack(data).splitlines())
    except ValueError:
        return None


def _manifests(store: AuditStore) -> list[tuple[str, bytes]]:
    return [(name, store.get(name)) for name in store.names("manifests/") if name.endswith(".json")]


def _objects_between(store: AuditStore, first: date, last: date) -> list[ObjectName]:
    """Objects whose names say a day from `first` to `last`."""
    days = [first + timedelta(days=number) for number in range((last - first).days + 1)]
    names = [store.names(f"{stream}{day:%Y/%m/%d}/") for stream in ("queries/", "sessions/") for day in days]
    return [name for name in map(parse_object_name, itertools.chain(*names)) if name is not None]


def _objects(store: AuditStore) -> list[ObjectName]:
    names = [parse_object_name(name) for stream in ("queries/", "sessions/") for name in store.names(stream)]
    return [name for name in names if name is not None]


# ---------------------------------------------------------------- verifying


def verify(
    store: AuditStore,
    first_day: str = "",
    last_day: str = "",
    holds: Verify | None = None,
    tips: Mapping[str, int] | None = None,
) -> Report:
    """Check manifests, signatures (with `holds`), objects and every record's chain from `first_day` to `last_day`.

    Args:
        store: the audit store.
        first_day: YYYY-MM-DD, inclusive; empty is the beginning.
        last_day: YYYY-MM-DD, inclusive; empty is the end.
        holds: what checks a signature; without it signatures are not checked.
        tips: chain -> the last record that its node says it shipped, which names records cut off at the end of a
            chain even before a manifest lists them. Learn it before, so that what is shipped meanwhile is not missing.

    Raises:
        InvalidRequest: a day that is none.
        OSError: the store cannot be read.
    """
    for day in (first_day, last_day):
        if day:
            try:
                date.fromisoformat(day)
            except ValueError:
                raise InvalidRequest("A day is written YYYY-MM-DD.") from None
    written = _manifests(store)
    manifests, faults = audit_manifest.check_sequence(written)
    if holds is not None:
        faults += _signatures(store, written, holds)
    names = _objects(store)
    strays = set(store.names("queries/")) | set(store.names("sessions/"))
    strays -= {name.name for name in names}
    faults += (Fault("foreign_object", name, "its name is not that of an audit object") for name in sorted(strays))

    def within(day: str) -> bool:
        return (not first_day or first_day <= day) and (not last_day or day <= last_day)

    faults += _against_manifests(names, manifests, within)
    listed = {entry.name: entry for manifest in manifests for entry in manifest.entries}
    objects = [name for name in names if within(name.day)]
    looked = _against_bytes(store, objects, names, listed)
    faults += looked.faults
    if tips and not last_day:
        faults += _against_spool(store, names, tips)
    sealed_to = manifests[-1].day if manifests else ""
    return Report(
        tuple(faults),
        len(objects),
        looked.records,
        len(manifests),
        sum(1 for name in objects if name.day > sealed_to),
        holds is not None,
        looked.archived,
    )


def verify_records(store: AuditStore) -> list[Fault]:
    """Faults of every record's chain and every object's own digest, manifests apart."""
    names = _objects(store)
    return _against_bytes(store, names, names, {}).faults


def _signatures(store: AuditStore, written: list[tuple[str, bytes]], holds: Verify) -> list[Fault]:
    faults: list[Fault] = []
    for name, data in written:
        if not _signed(store, name, data, holds):
            try:
                store.get(name.removesuffix(".json") + ".sig")
            except FileNotFoundError:
                faults.append(Fault("unsigned_manifest", name, "has no signature"))
                continue
            faults.append(Fault("bad_signature", name, "the signature is not this key's over these bytes"))
    return faults


def _against_manifests(
    names: Iterable[ObjectName], manifests: list[Manifest], within: Callable[[str], bool]
) -> list[Fault]:
    if not manifests:
        return []
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


@dataclass(slots=True)
class _Looked:
    """What looking at bytes told."""

    faults: list[Fault]
    records: int = 0
    archived: int = 0


def _against_bytes(
    store: AuditStore, objects: list[ObjectName], everything: list[ObjectName], listed: Mapping[str, Entry]
) -> _Looked:
    """Every object's digests, and its records' chain from where the range begins."""
    found = _Looked([])
    chains: dict[str, list[ObjectName]] = defaultdict(list)
    for name in objects:
        chains[name.chain].append(name)
    for chain, of_chain in sorted(chains.items()):
        of_chain.sort(key=lambda name: (name.batch, name.name))
        earlier = [n for n in everything if n.chain == chain and n.batch < of_chain[0].batch]
        check = ChainCheck(chain, _place_after(store, earlier, listed) if earlier else None)
        for name in of_chain:
            known = listed.get(name.name)
            try:
                data = store.get(name.name)
            except ObjectArchived:
                # What the signed manifest says of it is where the chain goes on.
                found.archived += 1
                _close(check, found)
                check = ChainCheck(chain, _place(known.extent) if known else None)
                continue
            sha = audit_manifest.digest(data)
            if (known is not None and known.sha256 != sha) or not sha.startswith(name.digest):
                found.faults.append(Fault("altered_object", name.name, "its bytes are not those it was stored with"))
            try:
                lines = unpack(data).splitlines()
            except ValueError as error:
                found.faults.append(Fault("damaged_object", name.name, str(error)))
                continue
            found.faults += check.object(name.name, lines)
        _close(check, found)
    return found


def _close(check: ChainCheck, found: _Looked) -> None:
    found.faults += check.finish()
    found.records += check.records


def _place(held: Extent | None) -> Place | None:
    return Place(held.last + 1, held.head) if held is not None and held.records else None


def _against_spool(store: AuditStore, names: list[ObjectName], tips: Mapping[str, int]) -> list[Fault]:
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


def _place_after(store: AuditStore, earlier: list[ObjectName], listed: Mapping[str, Entry]) -> Place | None:
    """Where the chain stands before the range: from the manifest, else from the object itself."""
    last = max(earlier, key=lambda name: (name.batch, name.name))
    known = listed.get(last.name)
    held = known.extent if known is not None and known.extent.records else _extent(store.get(last.name))
    return Place(held.last + 1, held.head) if held else None
