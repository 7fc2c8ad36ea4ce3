"""Objects that are made and not yet known to be in the store: whole files, named so that a retry hits the same name."""

from __future__ import annotations

import gzip
import hashlib
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from engine.audit.segment import sync_folder

_SLASH = "!"
"""Stands for the slash of an object's name in the outbox."""


@dataclass(frozen=True, slots=True)
class Parcel:
    """One object: its batch, its name in the store, and where its bytes wait."""

    batch: int
    name: str
    path: Path

    def read(self) -> bytes:
        """The object's bytes."""
        return self.path.read_bytes()


def pack(lines: Sequence[bytes]) -> bytes:
    """JSON Lines, gzip, the same bytes for the same lines."""
    return gzip.compress(b"\n".join(lines) + b"\n", compresslevel=6, mtime=0)


def object_name(prefix: str, moment: datetime, chain: str, batch: int, data: bytes) -> str:
    """`<prefix>/YYYY/MM/DD/<time>-<chain>-<batch>-<digest>.jsonl.gz`: sorts by time, and differs when the bytes do."""
    moment = moment.astimezone(UTC)
    digest = hashlib.sha256(data).hexdigest()[:12]
    return f"{prefix}/{moment:%Y/%m/%d}/{moment:%Y%m%dT%H%M%S.%fZ}-{chain}-{batch:010d}-{digest}.jsonl.gz"


class Outbox:
    """A folder of parcels. Methods may raise OSError."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(mode=0o700, exist_ok=True)

    def lay(self, batch: int, name: str, data: bytes) -> Parcel:
        """Store a parcel's bytes durably."""
        path = self._folder / f"{batch:010d}-{name.replace('/', _SLASH)}"
        temporary = self._folder / f"tmp-{batch:010d}"
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(descriptor, view) :]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        temporary.replace(path)
        sync_folder(self._folder)
        return Parcel(batch, name, path)

    def waiting(self, prefix: str) -> dict[str, bytes]:
        """Bytes of the objects under `prefix` that lie here now, by name; while others lay and send them."""
        found = {}
        for path in sorted(self._folder.glob(f"[0-9]*-{prefix}{_SLASH}*")):
            with suppress(FileNotFoundError):  # sent meanwhile
                found[path.name.partition("-")[2].replace(_SLASH, "/")] = path.read_bytes()
        return found

    def parcels(self) -> list[Parcel]:
        """What waits, in order; remains of an interrupted `lay` are removed."""
        found = []
        for path in sorted(self._folder.iterdir()):
            if path.name.startswith("tmp-"):
                path.unlink()
                continue
            batch, _, name = path.name.partition("-")
            found.append(Parcel(int(batch), name.replace(_SLASH, "/"), path))
        return found
