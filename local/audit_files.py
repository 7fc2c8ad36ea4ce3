"""The audit store of a home: one read-only file for each object, laid down whole or not at all, never replaced."""

from __future__ import annotations

import os
import re
import secrets
from pathlib import Path

_NAME = re.compile(r"\A[0-9A-Za-z][0-9A-Za-z_.-]{0,199}(?:/[0-9A-Za-z][0-9A-Za-z_.-]{0,199}){0,9}\Z")


class AuditFiles:
    """`governance.ports.AuditStore` on a folder; object `queries/2026/11/22/x` is the file of that name below it."""

    def __init__(self, root: Path) -> None:
        """Make the folder (mode 0700) when it is missing.

        Raises:
            OSError: it cannot be made.
        """
        self._root = root
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        (root / ".incoming").mkdir(mode=0o700, exist_ok=True)

    @property
    def root(self) -> Path:
        """The folder."""
        return self._root

    def put_new(self, name: str, data: bytes) -> bool:
        """Store `data` under `name` unless the name is taken. True when stored now, False when it was there.

        Raises:
            OSError: the disk refuses.
            ValueError: not an object's name.
        """
        path = self._path(name)
        if path.exists():
            return False
        incoming = self._root / ".incoming" / secrets.token_hex(12)
        descriptor = os.open(incoming, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o440)
        try:
            try:
                view = memoryview(data)
                while view:
                    view = view[os.write(descriptor, view) :]
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            self._make_folder(path.parent)
            try:
                path.hardlink_to(incoming)
            except FileExistsError:
                return False
            _sync_folder(path.parent)
        finally:
            incoming.unlink(missing_ok=True)
        return True

    def get(self, name: str) -> bytes:
        """The object's bytes.

        Raises:
            FileNotFoundError: no such object.
            OSError: it cannot be read.
        """
        return self._path(name).read_bytes()

    def names(self, prefix: str) -> list[str]:
        """Names under `prefix`, sorted; a prefix that ends within a name finds the names that begin so."""
        folder, _, beginning = prefix.rpartition("/")
        top = self._root / folder if folder else self._root
        if folder and not _NAME.match(folder):
            return []
        found: list[str] = []
        if not top.is_dir():
            return found
        for entry in top.iterdir():
            if entry.name.startswith(".") or not entry.name.startswith(beginning):
                continue
            if entry.is_dir():
                found += (path.relative_to(self._root).as_posix() for path in entry.rglob("*") if path.is_file())
            else:
                found.append(entry.relative_to(self._root).as_posix())
        return sorted(found)

    def _path(self, name: str) -> Path:
        if not _NAME.match(name):
            raise ValueError("not the name of an audit object")
        return self._root / name

    def _make_folder(self, folder: Path) -> None:
        """Make the folders down to `folder`, each durably."""
        missing = []
        while not folder.is_dir():
            missing.append(folder)
            folder = folder.parent
        for each in reversed(missing):
            each.mkdir(mode=0o700, exist_ok=True)
            _sync_folder(each.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
