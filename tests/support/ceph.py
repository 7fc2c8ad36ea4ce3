"""Ceph's object gateway on loopback: one monitor, one memory store, one gateway, in a folder of their own.

A real S3 server of another make: it checks signatures, which moto does not. Debian: `ceph-mon ceph-osd radosgw`,
without what they recommend; where they are not installed a test skips by name.
"""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path

from benchmarks.s3_server import await_listening

_PROGRAMS = ("ceph", "ceph-authtool", "ceph-mon", "ceph-osd", "monmaptool", "radosgw", "radosgw-admin")
_START_S = 90.0
_KEYS = {
    "mon.": ("mon", "allow *"),
    "client.admin": ("mon", "allow *", "osd", "allow *"),
    "osd.0": ("mon", "allow profile osd", "osd", "allow *"),
    "client.rgw": ("mon", "allow rw", "osd", "allow rwx"),
}


def missing() -> str:
    """Why it cannot run here, or empty."""
    absent = [name for name in _PROGRAMS if shutil.which(name) is None]
    return f"Ceph's {', '.join(absent)} not installed" if absent else ""


@contextlib.contextmanager
def running_ceph(folder: Path, environment: Mapping[str, str]) -> Iterator[str]:
    """The gateway's endpoint; who has the keys in `environment` (AWS_ACCESS_KEY_ID, ...) may do anything.

    Raises:
        RuntimeError: it does not start.
    """
    monitor, gateway = _free_port(), _free_port()
    cluster = str(uuid.uuid4())
    (folder / "ceph.conf").write_text(_configuration(folder, cluster, monitor, gateway))
    for name in ("mon", "osd", "run"):
        (folder / name).mkdir()

    def run(*command: str) -> None:
        subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=_START_S)

    keyring, settings = "keyring", ("-c", "ceph.conf")
    for name, caps in _KEYS.items():
        pairs = [word for kind, may in zip(caps[::2], caps[1::2], strict=True) for word in ("--cap", kind, may)]
        create = () if (folder / keyring).exists() else ("--create-keyring",)
        run("ceph-authtool", keyring, *create, "--gen-key", "-n", name, *pairs)
    run("monmaptool", "--create", "--addv", "a", f"[v2:127.0.0.1:{monitor}]", "--fsid", cluster, "monmap")
    run("ceph-mon", *settings, "--mkfs", "-i", "a", "--monmap", "monmap", "--keyring", keyring)
    with contextlib.ExitStack() as stack:
        stack.enter_context(_service(folder, "ceph-mon", *settings, "-i", "a", "-f"))
        run("ceph", *settings, "--connect-timeout", "60", "auth", "import", "-i", keyring)
        run("ceph", *settings, "--connect-timeout", "60", "osd", "create", cluster, "0")
        run("ceph-osd", *settings, "-i", "0", "--mkfs", "--osd-uuid", cluster)
        stack.enter_context(_service(folder, "ceph-osd", *settings, "-i", "0", "-f"))
        served = stack.enter_context(_service(folder, "radosgw", *settings, "-n", "client.rgw", "-f"))
        await_listening(gateway, served, _START_S)
        run(
            "radosgw-admin", *settings, "-n", "client.rgw", "user", "create", "--uid", "test", "--display-name", "test",
            "--access-key", environment["AWS_ACCESS_KEY_ID"], "--secret", environment["AWS_SECRET_ACCESS_KEY"],
        )  # fmt: skip
        yield f"http://127.0.0.1:{gateway}"


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    return port


@contextlib.contextmanager
def _service(folder: Path, *command: str) -> Iterator[subprocess.Popen[bytes]]:
    with (folder / f"{command[0]}.out").open("wb") as out:
        process = subprocess.Popen(command, cwd=folder, stdout=out, stderr=out)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _configuration(folder: Path, cluster: str, monitor: int, gateway: int) -> str:
    lines = {
        "fsid": cluster,
        "mon host": f"v2:127.0.0.1:{monitor}",
        "ms bind msgr1": "false",
        "ms bind ipv6": "false",
        "public addr": "127.0.0.1",
        "cluster addr": "127.0.0.1",
        "osd objectstore": "memstore",
        "memstore device bytes": str(1 << 30),
        "osd pool default size": "1",
        "osd pool default min size": "1",
        "osd pool default pg num": "1",
        "osd pool default pgp num": "1",
        "osd pool default pg autoscale mode": "off",
        "osd crush chooseleaf type": "0",
        "mon allow pool size one": "true",
        "mon max pg per osd": "1000",
        "mon data avail crit": "0",
        "rgw relaxed region enforcement": "true",
        "rgw data": str(folder),
        "rgw frontends": f"beast endpoint=127.0.0.1:{gateway}",
        "mon data": str(folder / "mon"),
        "osd data": str(folder / "osd"),
        "run dir": str(folder / "run"),
        "keyring": str(folder / "keyring"),
        "log file": str(folder / "$name.log"),
        "pid file": str(folder / "$name.pid"),
        "admin socket": "",
    }
    return "[global]\n" + "".join(f"{name} = {value}\n" for name, value in lines.items())
