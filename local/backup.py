"""Backup of a home while it runs, and its restoration: one sealed file, checked whole before anything is put in place.

In the file is a tar: `home.json`, `control/` (the store as one consistent copy, signing and sealing keys), `tls/`,
`node/mask.key` and `audit/`, then `backup.json` with the SHA-256 of each and what every chain said. What a home makes
anew is not in it: `run/`, the audit's index, the node's rulebook, cache and spool (records not yet shipped stay with
the home they were made in).
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sqlite3
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from governance import chain
from governance.admin_event import ORGANIZATION_CHAIN
from governance.errors import Conflict, InvalidRequest, StoreUnavailable
from governance.ports import Clock, ControlReader
from governance.register import Environment
from governance.timestamp import stamp
from local.control_store import SqliteControlStore
from local.home import FOLDERS, Home
from local.sealed_stream import SealedReader, SealedWriter

FORMAT = 1
LIST = "backup.json"
STORE = "control/store.sqlite"
LIST_BYTES_MAX = 256 * 1024 * 1024
_COPY_BYTES = 1 << 20
_NAME = re.compile(r"\A(?:home\.json|(?:control|tls|audit)(?:/[0-9A-Za-z][0-9A-Za-z_.-]{0,199}){1,9}|node/mask\.key)\Z")


@dataclass(frozen=True, slots=True)
class ChainState:
    """How far a chain went."""

    environment: str
    count: int
    head: str


@dataclass(frozen=True, slots=True)
class BackupFacts:
    """What a backup holds."""

    made_at: str
    files: int
    size: int
    """Bytes of its content, before sealing."""
    chains: tuple[ChainState, ...]


@dataclass(frozen=True, slots=True)
class _Entry:
    name: str
    size: int
    sha256: str


# ---------------------------------------------------------------- making one


def back_up(home: Home, target: Path, passphrase: bytes, clock: Clock) -> BackupFacts:
    """Write a backup of `home` to `target`, which must not exist. The home may be running.

    Raises:
        Conflict: `target` exists.
        InvalidRequest: the passphrase is too short.
        StoreUnavailable: the store cannot be read, or its chain does not hold: a backup of a broken chain is none.
        OSError: something cannot be read or written.
    """
    if target.exists():
        raise Conflict("There is a file of that name already.", advice="Choose another name.")
    made_at = stamp(clock.now())
    descriptor, partial = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")  # mode 0600
    try:
        with os.fdopen(descriptor, "wb") as file:
            sealed = SealedWriter(file, passphrase)
            facts = _write(home, sealed, made_at)
            sealed.finish()
            file.flush()
            os.fsync(file.fileno())
        os.link(partial, target)  # refuses a name taken meanwhile, unlike a rename
    except FileExistsError:
        raise Conflict("There is a file of that name already.", advice="Choose another name.") from None
    finally:
        Path(partial).unlink(missing_ok=True)
    return facts


def _write(home: Home, sealed: SealedWriter, made_at: str) -> BackupFacts:
    entries: list[_Entry] = []
    with (
        tarfile.open(fileobj=sealed, mode="w|", format=tarfile.PAX_FORMAT) as tar,
        tempfile.TemporaryDirectory(dir=home.path / "run", prefix=".backup-") as scratch,
    ):
        # Audit objects first: no checkpoint among them then speaks of an event that the copy of the store lacks.
        for name, path in sorted(_files(home), key=lambda pair: (not pair[0].startswith("audit/"), pair[0])):
            with suppress(FileNotFoundError):  # a signature's temporary file, gone meanwhile
                entries.append(_add(tar, name, path))
        copy = Path(scratch) / "store.sqlite"
        _copy_store(home.store_path, copy)
        entries.append(_add(tar, STORE, copy))
        chains = chains_of(copy)
        listing = {
            "format": FORMAT,
            "made_at": made_at,
            "files": [{"name": e.name, "size": e.size, "sha256": e.sha256} for e in entries],
            "chains": [{"environment": c.environment, "count": c.count, "head": c.head} for c in chains],
        }
        path = Path(scratch) / LIST
        path.write_text(json.dumps(listing), "utf-8")
        _add(tar, LIST, path)
    return BackupFacts(made_at, len(entries), sum(entry.size for entry in entries), chains)


def _files(home: Home) -> Iterator[tuple[str, Path]]:
    """Every file of the home that belongs into a backup, but the store; names that are not ours are passed over."""
    for top in ("control", "tls", "audit"):
        for path in (home.path / top).rglob("*"):
            name = path.relative_to(home.path).as_posix()
            if not name.startswith(STORE) and _NAME.match(name) and path.is_file() and not path.is_symlink():
                yield name, path
    for name in ("home.json", "node/mask.key"):
        if (home.path / name).is_file():
            yield name, home.path / name


def _add(tar: tarfile.TarFile, name: str, path: Path) -> _Entry:
    """Put a file into the tar as it is when opened; one that grows meanwhile is cut, one that shrinks is an error."""
    with path.open("rb") as file:
        info = tarfile.TarInfo(name)
        info.size, info.mode = os.fstat(file.fileno()).st_size, 0o600
        digest = hashlib.sha256()
        tar.addfile(info, _Hashing(file, info.size, digest.update))
    return _Entry(name, info.size, digest.hexdigest())


class _Hashing:
    """Reads `size` bytes of a file and tells each piece to `seen`."""

    def __init__(self, file: IO[bytes], size: int, seen: Callable[[bytes], None]) -> None:
        self._file, self._left, self._seen = file, size, seen

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(self._left if size < 0 else min(size, self._left))
        self._left -= len(data)
        self._seen(data)
        return data


def _copy_store(source: Path, target: Path) -> None:
    """One consistent copy by SQLite's online backup."""
    try:
        with (
            closing(sqlite3.connect(f"file:{source}?mode=ro", uri=True, timeout=10)) as old,
            closing(sqlite3.connect(target)) as new,
        ):
            target.chmod(0o600)
            old.backup(new)
            new.execute("PRAGMA journal_mode = DELETE")
    except sqlite3.Error as error:
        raise StoreUnavailable(
            "The store cannot be copied.",
            advice="Look at the home's disk.",
            reason=f"{type(error).__name__} in a backup",
        ) from None


def chains_of(store_path: Path) -> tuple[ChainState, ...]:
    """How far each chain of a store goes, every link checked.

    Raises:
        StoreUnavailable: the store is damaged, or a chain does not hold.
    """
    store = SqliteControlStore(store_path)
    try:
        with store.read() as reader:
            found = [chain.verify(lines_of(reader, name), name) for name in chains_in(reader)]
    finally:
        store.close()
    for one in found:
        if not one.holds:
            raise StoreUnavailable(
                "A chain of administrative events does not hold.", advice="See `hatidata audit verify-chain`."
            )
    return tuple(ChainState(one.environment, one.count, one.head) for one in found)


def chains_in(reader: ControlReader) -> list[str]:
    """The environments that have chains."""
    return sorted({ORGANIZATION_CHAIN, *(environment.name for environment in reader.every(Environment, ""))})


def lines_of(reader: ControlReader, environment: str) -> Iterator[str]:
    """Every line of a chain, by position."""
    after = 0
    while lines := reader.events(environment, after=after, limit=1000):
        yield from lines
        after += len(lines)


# ---------------------------------------------------------------- and back


def restore(source: Path, target: Path, passphrase: bytes) -> BackupFacts:
    """Put the home of a backup at `target`, which must not exist: all of it, checked, or nothing.

    Raises:
        Conflict: `target` exists.
        InvalidRequest: not a backup, another passphrase, damaged, or not what its own list says.
        StoreUnavailable: the chains are not what its list says.
        OSError: something cannot be read or written.
    """
    if target.exists():
        raise Conflict("There is something of that name already.", advice="Choose a folder that does not exist yet.")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as scratch:
        folder = Path(scratch) / "home"
        facts = _unpack(source, folder, passphrase)
        folder.rename(target)
    return facts


def check(source: Path, passphrase: bytes, look: Callable[[Path], None] | None = None) -> BackupFacts:
    """Unpack a backup beside itself, check it, let `look` see the home, and remove it again.

    Raises:
        as `restore`.
    """
    with tempfile.TemporaryDirectory(dir=source.parent, prefix=".check-") as scratch:
        folder = Path(scratch) / "home"
        facts = _unpack(source, folder, passphrase)
        if look is not None:
            look(folder)
        return facts


def _unpack(source: Path, folder: Path, passphrase: bytes) -> BackupFacts:
    folder.mkdir(mode=0o700)
    for name in FOLDERS:
        (folder / name).mkdir(mode=0o700)
    found: dict[str, _Entry] = {}
    listing: bytes | None = None
    with source.open("rb") as file:
        reader = SealedReader(file, passphrase)
        try:
            with tarfile.open(fileobj=reader, mode="r|") as tar:
                for member in tar:
                    content = tar.extractfile(member) if member.isreg() else None
                    if content is None or listing is not None or member.name in found:
                        raise _damaged("a member that does not belong there")
                    if member.name == LIST:
                        listing = content.read(LIST_BYTES_MAX)
                    elif _NAME.match(member.name):
                        found[member.name] = _lay(folder, member.name, content)
                    else:
                        raise _damaged("a name that does not belong there")
        except tarfile.TarError:
            raise _damaged("no tar") from None
        reader.read()  # to the end: a file cut off behind the tar is not whole
    facts, entries = _read_listing(listing)
    if entries != found:
        raise _damaged("not what its list says")
    if chains_of(folder / STORE) != facts.chains:
        raise _damaged("other chains than its list says")
    Home.open(folder)
    return facts


def _lay(folder: Path, name: str, content: IO[bytes]) -> _Entry:
    path = folder / name
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    digest, size = hashlib.sha256(), 0
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o440 if name.startswith("audit/") else 0o600)
    with os.fdopen(descriptor, "wb") as file:
        while piece := content.read(_COPY_BYTES):
            file.write(piece)
            digest.update(piece)
            size += len(piece)
        file.flush()
        os.fsync(file.fileno())
    return _Entry(name, size, digest.hexdigest())


def _read_listing(data: bytes | None) -> tuple[BackupFacts, dict[str, _Entry]]:
    try:
        listing = json.loads(data or b"")
        if listing["format"] != FORMAT:
            raise InvalidRequest("This backup was made by another version.", advice="Use that version of hatidata.")
        entries = {f["name"]: _Entry(f["name"], f["size"], f["sha256"]) for f in listing["files"]}
        chains = tuple(ChainState(c["environment"], c["count"], c["head"]) for c in listing["chains"])
        size = sum(entry.size for entry in entries.values())
        return BackupFacts(str(listing["made_at"]), len(entries), size, chains), entries
    except (KeyError, TypeError, ValueError):
        raise _damaged("no list") from None


def _damaged(reason: str) -> InvalidRequest:
    return InvalidRequest("The backup is damaged.", advice="Take another one.", reason=reason)
