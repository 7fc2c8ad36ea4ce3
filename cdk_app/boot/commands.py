"""Programs of the system, run with a deadline; secrets go in by standard input, never as arguments."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
NOT_RUN = 127
"""The code of a program that is missing, as a shell has it."""
TIMED_OUT = 124
"""The code of a program ended at its deadline, as timeout(1) has it."""


@dataclass(frozen=True, slots=True)
class Completed:
    """How a program ended; what it wrote to standard error is dropped, for it may quote anything."""

    code: int
    out: str = ""

    @property
    def well(self) -> bool:
        """Whether it says that it succeeded."""
        return self.code == 0


class Commands(Protocol):
    """Runs programs."""

    def run(self, argv: Sequence[str], *, stdin: bytes = b"", timeout_s: float = 60.0) -> Completed:
        """Run `argv` to its end, or to the deadline; never raises for a program that fails, hangs or is missing."""


class SystemCommands:
    """The machine's own programs, with a fixed search path and an empty environment."""

    def run(self, argv: Sequence[str], *, stdin: bytes = b"", timeout_s: float = 60.0) -> Completed:
        """See `Commands.run`."""
        try:
            done = subprocess.run(  # noqa: S603  argument lists made here, no shell
                list(argv),
                input=stdin,
                capture_output=True,
                timeout=timeout_s,
                check=False,
                env={"PATH": _PATH, "LC_ALL": "C"},
            )
        except subprocess.TimeoutExpired:
            return Completed(TIMED_OUT)
        except OSError:
            return Completed(NOT_RUN)
        return Completed(done.returncode, done.stdout.decode("utf-8", "replace"))
