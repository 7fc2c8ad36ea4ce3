"""What a worker process gives up before it meets its first statement, and the proof that it did.

Order matters: namespaces and limits while privileged, then the user, then `no_new_privs`, then Landlock and the
system-call filter, all before DuckDB or pyarrow start a thread. Every measure is probed afterwards from inside: the
report says what was seen to hold, not what was asked for. Imports must be done before `enter`: no file can be
opened after it but those of the spill folder.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import resource
import signal
import socket
import sys
import zoneinfo
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from engine.executor import landlock, seccomp

_CLONE_NEWNET, _CLONE_NEWIPC, _CLONE_NEWUSER = 0x40000000, 0x08000000, 0x10000000
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS, _PR_GET_NO_NEW_PRIVS = 1, 4, 38, 39
_THREADS_MAX = 1024

REQUIRED = ("unprivileged", "no_new_privileges", "no_network", "no_programs", "no_files", "limits", "whole_process")
"""The measures without which `require_sandbox` refuses to serve."""


@dataclass(frozen=True, slots=True)
class Confinement:
    """What the node asks of the sandbox of one worker. Bytes."""

    spill: str
    """The worker's own folder, mode 0700, owned by `uid` when that is given."""
    uid: int | None
    """The user (and group) to become; only root may ask for one."""
    memory_bytes: int
    """How far the address space may grow above what the process has when it enters."""
    file_bytes: int
    descriptors: int = 4096


@dataclass(frozen=True, slots=True)
class Measure:
    """One measure and whether it was seen to hold."""

    name: str
    holds: bool
    detail: str = ""


@dataclass(frozen=True, slots=True)
class SandboxReport:
    """All measures of one worker."""

    measures: tuple[Measure, ...]

    @property
    def missing(self) -> tuple[str, ...]:
        """Names of required measures that do not hold."""
        held = {measure.name for measure in self.measures if measure.holds}
        return tuple(name for name in REQUIRED if name not in held)


def _address_space_bytes() -> int:
    """What the process has mapped now; 0 where the system does not say."""
    try:
        with open("/proc/self/statm", "rb") as statm:  # noqa: PTH123 - before the sandbox, one line
            return int(statm.read().split()[0]) * resource.getpagesize()
    except (OSError, ValueError):
        return 0


def _limit(confinement: Confinement) -> str:
    """Set the process limits; say what was not possible."""
    failed = []
    memory = _address_space_bytes() + confinement.memory_bytes
    wanted = {
        "RLIMIT_CORE": 0,
        "RLIMIT_NOFILE": confinement.descriptors,
        "RLIMIT_FSIZE": confinement.file_bytes,
        "RLIMIT_AS": memory,
    }
    if confinement.uid is not None:
        wanted["RLIMIT_NPROC"] = _THREADS_MAX  # counts per user, so only for a user of the worker's own
    for name, value in wanted.items():
        try:
            resource.setrlimit(getattr(resource, name), (value, value))
        except (OSError, ValueError, AttributeError):
            failed.append(name)
    return ", ".join(failed)


def _namespaces(libc: ctypes.CDLL, privileged: bool) -> bool:
    flags = _CLONE_NEWNET | _CLONE_NEWIPC | (0 if privileged else _CLONE_NEWUSER)
    return bool(libc.unshare(flags) == 0)


def _time_zones() -> list[str]:
    """Folders of the time zone database, which is public and read when a session names a zone."""
    places = [Path(place) for place in zoneinfo.TZPATH]
    packaged = importlib.util.find_spec("tzdata")
    if packaged is not None and packaged.submodule_search_locations:
        places += [Path(place) / "zoneinfo" for place in packaged.submodule_search_locations]
    return [str(place) for place in places if place.is_dir()]


def _drop(uid: int) -> None:
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)


def enter(confinement: Confinement) -> SandboxReport:
    """Give up what a worker does not need, then look whether it is gone. Runs once, in a single-threaded process.

    Raises:
        OSError: the spill folder or the user cannot be taken on (a missing optional measure only shows in the report).
    """
    linux = sys.platform == "linux"
    privileged = os.geteuid() == 0
    notes: dict[str, str] = {}
    held: dict[str, bool] = {}
    libc = ctypes.CDLL(None, use_errno=True)
    if linux:
        held["whole_process"] = len(list(Path("/proc/self/task").iterdir())) == 1
        held["network_namespace"] = _namespaces(libc, privileged)
    os.umask(0o077)
    os.chdir(confinement.spill)
    notes["limits"] = _limit(confinement)
    held["limits"] = not notes["limits"]
    if privileged and confinement.uid is not None:
        _drop(confinement.uid)
    if linux:
        libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
        held["dies_with_node"] = libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) == 0
        libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        held["no_new_privileges"] = libc.prctl(_PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1
        try:
            notes["landlock"] = f"ABI {landlock.restrict('.', _time_zones())}"
            held["landlock"] = True
        except OSError as error:
            held["landlock"], notes["landlock"] = False, error.strerror or str(error)
        try:
            seccomp.install()
            held["system_call_filter"] = True
        except OSError as error:
            held["system_call_filter"], notes["system_call_filter"] = False, error.strerror or str(error)
    held |= _probe()
    return SandboxReport(tuple(Measure(name, held[name], notes.get(name, "")) for name in sorted(held)))


def _probe() -> dict[str, bool]:
    """Try what must not work."""
    return {
        "unprivileged": os.geteuid() != 0,
        "no_network": _refused(lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM).close()),
        "no_programs": _refuses_programs(),
        "no_files": _refused(lambda: os.close(os.open(os.__file__, os.O_RDONLY))),
        "spill_writable": not _refused(_touch),
    }


def _touch() -> None:
    os.close(os.open("probe", os.O_CREAT | os.O_WRONLY, 0o600))
    os.unlink("probe")  # noqa: PTH108


def _refuses_programs() -> bool:
    try:
        os.execv("/nonexistent", ["/nonexistent"])  # noqa: S606 - the filter answers before the path is looked up
    except PermissionError:
        return True
    except OSError:
        return False


def _refused(act: Callable[[], None]) -> bool:
    try:
        act()
    except OSError:
        return True
    return False
