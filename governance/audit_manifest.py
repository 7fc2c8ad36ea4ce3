"""The daily manifest of audit objects: their digests, chained to the day before, to be signed. Pure.

A manifest is UTF-8 JSON with sorted keys and one object a line, so that people can read and `openssl` can verify it:

    openssl pkeyutl -verify -pubin -inkey KEY.pem -rawin -in 2026-11-22.json -sigfile 2026-11-22.sig

It lists every object of its day, and every earlier one that no manifest lists yet (the store was away when its day
ended).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from governance.audit_chain import Extent, Fault

VERSION = 1
GENESIS = "0" * 64
"""The `previous` of the first manifest."""

_OBJECT = re.compile(
    r"\A(?P<stream>queries|sessions)/(?P<year>[0-9]{4})/(?P<month>[0-9]{2})/(?P<day>[0-9]{2})/"
    r"[0-9]{8}T[0-9]{6}\.[0-9]{6}Z-(?P<chain>[0-9A-Za-z-]+\.[qs])-(?P<batch>[0-9]{10})-(?P<digest>[0-9a-f]{12})\.jsonl\.gz\Z"
)


@dataclass(frozen=True, slots=True)
class ObjectName:
    """What the name of an audit object says."""

    name: str
    day: str
    """YYYY-MM-DD, UTC: when the batch was made."""
    chain: str
    batch: int
    digest: str
    """The first 12 hex digits of the SHA-256 of its bytes."""


def parse_object_name(name: str) -> ObjectName | None:
    """What `name` says, or None when it is not the name of an audit object."""
    match = _OBJECT.match(name)
    if match is None:
        return None
    day = f"{match['year']}-{match['month']}-{match['day']}"
    try:
        date.fromisoformat(day)
    except ValueError:
        return None
    return ObjectName(name, day, match["chain"], int(match["batch"]), match["digest"])


@dataclass(frozen=True, slots=True)
class Entry:
    """One object in a manifest."""

    name: str
    sha256: str
    size: int
    extent: Extent


@dataclass(frozen=True, slots=True)
class Manifest:
    """One day."""

    day: str
    number: int
    """From 1, one more each day, days without objects included."""
    previous: str
    """SHA-256 (hex) of the manifest before it; `GENESIS` for the first."""
    entries: tuple[Entry, ...]


def entry(name: str, data: bytes, extent: Extent) -> Entry:
    """The entry of an object with these bytes."""
    return Entry(name, hashlib.sha256(data).hexdigest(), len(data), extent)


def next_manifest(day: str, entries: Iterable[Entry], before: bytes | None) -> Manifest:
    """The manifest of `day` after the one whose bytes are `before` (None: it is the first).

    Raises:
        ValueError: `before` is no manifest, or not of an earlier day.
    """
    number, previous = 1, GENESIS
    if before is not None:
        last = decode(before)
        if last.day >= day:
            raise ValueError("a manifest follows one of an earlier day")
        number, previous = last.number + 1, digest(before)
    return Manifest(day, number, previous, tuple(sorted(entries, key=lambda e: e.name)))


def digest(data: bytes) -> str:
    """SHA-256 (hex) of a manifest's bytes."""
    return hashlib.sha256(data).hexdigest()


def encode(manifest: Manifest) -> bytes:
    """The manifest's bytes, the same for the same manifest."""
    head = {"version": VERSION, "day": manifest.day, "number": manifest.number, "previous": manifest.previous}
    objects = ",\n".join(
        json.dumps(
            {
                "name": e.name,
                "sha256": e.sha256,
                "size": e.size,
                "chain": e.extent.chain,
                "first": e.extent.first,
                "last": e.extent.last,
                "prev": e.extent.prev,
                "head": e.extent.head,
                "records": e.extent.records,
            },
            sort_keys=True,
        )
        for e in manifest.entries
    )
    return f'{json.dumps(head, sort_keys=True)[:-1]},\n"objects": [\n{objects}\n]}}\n'.encode()


def decode(data: bytes) -> Manifest:
    """The manifest in these bytes.

    Raises:
        ValueError: not a manifest of a known version.
    """
    try:
        document = json.loads(data)
        if document["version"] != VERSION:
            raise ValueError("a manifest of a version not known here")
        entries = tuple(
            Entry(
                str(o["name"]),
                str(o["sha256"]),
                int(o["size"]),
                Extent(
                    str(o["chain"]), int(o["first"]), int(o["last"]), str(o["prev"]), str(o["head"]), int(o["records"])
                ),
            )
            for o in document["objects"]
        )
        return Manifest(str(document["day"]), int(document["number"]), str(document["previous"]), entries)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError("not a manifest") from error


def check_sequence(manifests: list[tuple[str, bytes]]) -> tuple[list[Manifest], list[Fault]]:
    """Manifests (name, bytes) in order of their names: those that can be read, and what is wrong with their chain."""
    good: list[Manifest] = []
    faults: list[Fault] = []
    before: tuple[str, bytes, Manifest] | None = None
    for name, data in manifests:
        try:
            manifest = decode(data)
        except ValueError:
            faults.append(Fault("malformed_manifest", name, "cannot be read as a manifest"))
            before = None
            continue
        if before is None and not good and not faults:
            if manifest.number == 1 and manifest.previous != GENESIS:
                faults.append(Fault("altered_manifest", name, "the first manifest names one before it"))
            elif manifest.number > 1:
                faults.append(Fault("missing_manifest", name, f"{manifest.number - 1} manifests before it"))
        elif before is not None:
            faults += _follows(name, manifest, before)
        good.append(manifest)
        before = (name, data, manifest)
    return good, faults


def _follows(name: str, manifest: Manifest, before: tuple[str, bytes, Manifest]) -> list[Fault]:
    gap = manifest.number - before[2].number - 1
    if gap > 0:
        return [Fault("missing_manifest", name, f"{gap} manifests between {before[0]} and this one")]
    if gap < 0 or manifest.day <= before[2].day:
        return [Fault("reordered_manifest", name, f"does not come after {before[0]}")]
    if manifest.previous != digest(before[1]):
        return [Fault("altered_manifest", before[0], f"is not the one that {name} names")]
    return []
