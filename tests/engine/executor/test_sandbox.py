"""What a worker has given up, tried from inside processes that really entered the sandbox."""

from __future__ import annotations

import asyncio
import json
import os
import struct
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from engine.executor import landlock, seccomp
from engine.executor.sandbox import REQUIRED, Measure, SandboxReport
from governance.errors import EngineFailed
from tests.engine.executor.rig import Rig, rig

linux = pytest.mark.skipif(sys.platform != "linux", reason="the sandbox is Linux's")

_PROGRAM = """
import ctypes, errno, json, os, signal, socket, subprocess, sys, threading
from engine.executor import sandbox
spill, uid, secret, victim = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
inherited = socket.socket(fileno=int(sys.argv[5]))
report = sandbox.enter(sandbox.Confinement(spill, uid if uid else None, 1 << 30, 1 << 20))
def attempt(act):
    try:
        return ["did", str(act())]
    except BaseException as error:
        return ["refused", type(error).__name__]
def connect():
    s = socket.socket(socket.AF_INET, socket.SOCK_STREAM); s.connect(("127.0.0.1", 9))
def unix():
    s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM); s.connect("/run/x")
def thread():
    seen = []
    t = threading.Thread(target=lambda: seen.append(attempt(lambda: open(secret).read()))); t.start(); t.join()
    assert seen[0][0] == "refused", seen
    return "fine"
def too_large():
    with open("big", "wb") as f:
        f.write(b"x" * (2 << 20)); f.flush()
def ptrace():
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.ptrace(16, victim, 0, 0) != 0: raise OSError(ctypes.get_errno(), "ptrace")
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
results = {
    "tcp": attempt(connect), "udp": attempt(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)),
    "tcp6": attempt(lambda: socket.socket(socket.AF_INET6, socket.SOCK_STREAM)), "unix": attempt(unix),
    "netlink": attempt(lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)),
    "exec": attempt(lambda: os.execv(sys.executable, [sys.executable, "-c", "0"])),
    "spawn": attempt(lambda: subprocess.run([sys.executable, "-c", "0"])),
    "fork": attempt(os.fork), "kill": attempt(lambda: os.kill(victim, 0)), "ptrace": attempt(ptrace),
    "read_secret": attempt(lambda: open(secret).read()), "read_passwd": attempt(lambda: open("/etc/passwd").read()),
    "list_root": attempt(lambda: os.listdir("/")), "environ": attempt(lambda: open(f"/proc/{victim}/environ").read()),
    "write_tmp": attempt(lambda: open("/tmp/written-by-worker", "w").close()),
    "setuid": attempt(lambda: os.setuid(0)), "memory": attempt(lambda: len(bytearray(4 << 30))),
    "too_large": attempt(too_large), "spill": attempt(lambda: open("spilled", "w").write("x")),
    "thread": attempt(thread), "inherited": attempt(lambda: inherited.send(b"hello")),
    "report": [[m.name, m.holds] for m in report.measures], "missing": list(report.missing),
}
print(json.dumps(results))
"""


@pytest.fixture(scope="module")
def inside(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """What one confined process could and could not do."""
    if sys.platform != "linux":
        pytest.skip("the sandbox is Linux's")
    import socket

    root = tmp_path_factory.mktemp("home")
    root.chmod(0o700)
    secret = root / "ca.key"
    secret.write_text("the key")
    secret.chmod(0o600)
    spill = root / "spill"
    spill.mkdir(mode=0o700)
    uid = 61_499 if os.geteuid() == 0 else 0
    if uid:
        os.chown(spill, uid, uid)
    mine, theirs = socket.socketpair()
    with mine, theirs:
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(_PROGRAM), str(spill), str(uid), str(secret), str(os.getpid()),
             str(theirs.fileno())],
            pass_fds=[theirs.fileno()], capture_output=True, timeout=60, check=False, cwd=Path.cwd(),
        )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()[-800:]
    found: dict[str, list[str]] = json.loads(done.stdout.splitlines()[-1])
    return found


@linux
@pytest.mark.parametrize("attempt", ["tcp", "udp", "tcp6", "unix", "netlink"])
def test_a_worker_cannot_open_a_socket(inside: dict[str, list[str]], attempt: str) -> None:
    assert inside[attempt][0] == "refused"


@linux
@pytest.mark.parametrize("attempt", ["exec", "spawn", "fork", "kill", "ptrace", "setuid"])
def test_a_worker_cannot_touch_processes(inside: dict[str, list[str]], attempt: str) -> None:
    assert inside[attempt][0] == "refused"


@linux
@pytest.mark.parametrize("attempt", ["read_secret", "read_passwd", "list_root", "environ", "write_tmp"])
def test_a_worker_cannot_reach_files(inside: dict[str, list[str]], attempt: str) -> None:
    assert inside[attempt][0] == "refused"


@linux
@pytest.mark.parametrize("attempt", ["memory", "too_large"])
def test_a_worker_is_limited(inside: dict[str, list[str]], attempt: str) -> None:
    assert inside[attempt][0] == "refused"


@linux
@pytest.mark.parametrize("attempt", ["spill", "thread", "inherited"])
def test_a_worker_can_do_its_work(inside: dict[str, list[str]], attempt: str) -> None:
    assert inside[attempt][0] == "did", inside[attempt]


@linux
def test_the_report_says_what_holds(inside: dict[str, list[str]]) -> None:
    held = {name for name, holds in inside["report"] if holds}
    assert "system_call_filter" in held
    assert "no_new_privileges" in held
    assert ("landlock" in held) == bool(landlock.version())


@linux
def test_a_running_worker_holds_every_required_measure(house: Rig) -> None:
    for worker in house.executor.pool.workers:
        house.run(_ready(worker))
        assert worker.report.missing == (), worker.report


async def _ready(worker: object) -> None:
    ready: asyncio.Task[None] = worker.ready  # type: ignore[attr-defined]
    await ready


@linux
def test_a_running_worker_is_another_user_with_an_empty_environment(house: Rig) -> None:
    house.ask("SELECT 1 + 0")
    worker = next(w for w in house.executor.pool.workers if w.organization == "1")
    status = dict(
        line.split(":", 1) for line in Path(f"/proc/{worker.pid}/status").read_text().splitlines() if ":" in line
    )
    assert status["NoNewPrivs"].strip() == "1"
    assert status["Seccomp"].strip() == "2"
    assert int(status["CapEff"].strip(), 16) == 0
    if os.geteuid() == 0:
        assert set(status["Uid"].split()) == {str(worker.spec.uid)}
        assert len({w.spec.uid for w in house.executor.pool.workers}) == len(house.executor.pool.workers)
        environment = Path(f"/proc/{worker.pid}/environ").read_bytes()
        assert b"PATH" not in environment
        assert b"KEY" not in environment
    arguments = Path(f"/proc/{worker.pid}/cmdline").read_bytes()
    assert str(house.root).encode() not in arguments


def test_sorting_more_than_memory_spills_into_the_workers_own_folder(tmp_path: Path) -> None:
    with rig(tmp_path, memory_bytes=64 << 20, threads=1, standby=False) as small:
        answer = small.ask(
            "SELECT count(*), min(a), max(b) FROM (SELECT i AS a, lag(s) OVER (ORDER BY hash(i)) AS b FROM "
            "(SELECT i, repeat('y', 60) || i AS s FROM range(900000) t(i)))"
        )
        assert answer.rows[0][0] == "900000"
        folders = list((tmp_path / "spill").iterdir())
        assert folders
        assert all(folder.stat().st_mode & 0o077 == 0 for folder in folders)
    assert list((tmp_path / "spill").iterdir()) == []


def test_required_measures_that_are_missing_refuse_to_serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held = SandboxReport(tuple(Measure(name, name != "no_network") for name in REQUIRED))
    assert held.missing == ("no_network",)
    monkeypatch.setattr("engine.executor.worker_process.SandboxReport", lambda _: held)
    monkeypatch.setattr(SandboxReport, "__call__", lambda *_: held, raising=False)
    from tests.engine.executor import rig as rigs

    with pytest.raises(EngineFailed) as caught, rigs.rig(tmp_path, require_sandbox=True):
        pass
    assert caught.value.kind == "startup"


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_the_filter_decides_as_its_list_says(machine: str) -> None:
    """The program, interpreted: allowed numbers pass, everything else fails with EPERM or ENOSYS."""
    code = seccomp.program(machine, pid=4242)
    column, arch, _ = seccomp._MACHINES[machine]
    allowed = {numbers[column] for numbers in seccomp._CALLS.values()} - {None}
    for number in range(500):
        action = _interpret(code, number, arch, argument=0)
        if number in allowed:
            assert action == 0x7FFF0000, number
        elif number == seccomp._CLONE3[column]:
            assert action == 0x00050000 | 38
        else:
            assert action == 0x00050000 | 1, number
    assert _interpret(code, seccomp._CLONE[column], arch, argument=0x3D0F00) == 0x7FFF0000
    assert _interpret(code, seccomp._TGKILL[column], arch, argument=4242) == 0x7FFF0000
    assert _interpret(code, seccomp._TGKILL[column], arch, argument=1) == 0x00050000 | 1
    assert _interpret(code, seccomp._PRCTL[column], arch, argument=15) == 0x7FFF0000
    assert _interpret(code, 0, arch ^ 1, argument=0) == 0x80000000
    assert _interpret(code, 0x40000000, arch, argument=0) == 0x00050000 | 1


def _interpret(code: bytes, number: int, arch: int, argument: int) -> int:
    data = struct.pack("=IIQ6Q", number, arch, 0, argument, 0, 0, 0, 0, 0)
    at, accumulator = 0, 0
    while True:
        operation, jump_true, jump_false, k = struct.unpack_from("=HBBI", code, at * 8)
        at += 1
        if operation == 0x20:
            accumulator = struct.unpack_from("=I", data, k)[0]
        elif operation == 0x06:
            return int(k)
        else:
            taken = {0x15: accumulator == k, 0x35: accumulator >= k, 0x45: bool(accumulator & k)}[operation]
            at += jump_true if taken else jump_false
