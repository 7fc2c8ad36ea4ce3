"""Fetch the locked wheels for arm64: unpacked for the functions' layer, as files for the nodes' image. `make wheels`.

Every file is checked against the hashes in the lock; nothing is built, no container is needed. Once fetched, synthesis
needs no network.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from cdk_app.software import BUILD, FUNCTIONS_LOCK, NODE_LOCK

_PLATFORMS = (*(f"manylinux_2_{minor}_aarch64" for minor in range(28, 16, -1)), "manylinux2014_aarch64")
"""Amazon Linux 2023, which nodes and functions run on, has glibc 2.34; pip wants each older one named."""
_TIMEOUT_S = 900


@dataclass(frozen=True, slots=True)
class Shelf:
    """One set of wheels."""

    lock: Path
    python: str
    target: Path
    unpacked: bool

    @property
    def stamp(self) -> Path:
        """Holds the digest of the lock that `target` was filled from."""
        return self.target.parent / f".{self.target.name}.lock-sha256"

    @property
    def digest(self) -> str:
        """Of the lock as it is now."""
        return hashlib.sha256(self.lock.read_bytes()).hexdigest()

    @property
    def filled(self) -> bool:
        """Whether `target` holds what the lock names."""
        return self.stamp.is_file() and self.stamp.read_text() == self.digest and self.target.is_dir()


def shelves(build: Path = BUILD) -> tuple[Shelf, ...]:
    """The sets: what functions import, and what nodes install."""
    return (
        Shelf(FUNCTIONS_LOCK, "3.14", build / "layer" / "python", unpacked=True),
        Shelf(NODE_LOCK, "3.11", build / "wheels" / "node", unpacked=False),
    )


def fill(shelf: Shelf) -> None:
    """Fetch what the lock names into `target`, and nothing else.

    Raises:
        subprocess.CalledProcessError: pip could not; its own words are on stderr.
    """
    if shelf.target.exists():
        shutil.rmtree(shelf.target)
    shelf.stamp.unlink(missing_ok=True)
    shelf.target.mkdir(parents=True)
    chosen = ["--only-binary=:all:", "--no-deps", "--require-hashes", "--implementation=cp", "--quiet"]
    chosen += [f"--python-version={shelf.python}", "--disable-pip-version-check", "--no-input"]
    chosen += [f"--platform={platform}" for platform in _PLATFORMS]
    verb = ["install", "--no-compile", "--target"] if shelf.unpacked else ["download", "--dest"]
    subprocess.run(  # noqa: S603  our own interpreter, fixed words
        [sys.executable, "-m", "pip", *verb, str(shelf.target), *chosen, "--requirement", str(shelf.lock)],
        check=True,
        timeout=_TIMEOUT_S,
    )
    if shelf.unpacked:
        shutil.rmtree(shelf.target / "bin", ignore_errors=True)
    shelf.stamp.write_text(shelf.digest)


def main() -> int:
    """Fill what is not filled; 1 when the network or an index does not give it."""
    for shelf in shelves():
        if shelf.filled:
            continue
        try:
            fill(shelf)
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
            sys.stderr.write(f"The wheels of {shelf.lock.name} could not be fetched; `make synth` needs them.\n")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
