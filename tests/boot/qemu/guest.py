"""The story played inside the emulated machine: the very boot files on real NVMe, real dm-crypt, real mounts.

Prints `CHECK name value` lines, which `test_qemu.py` reads from the console.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(PROJECT))

from cdk_app.boot.__main__ import main  # noqa: E402
from cdk_app.boot.cache_volume import VolumeSettings  # noqa: E402
from cdk_app.boot.commands import Completed, SystemCommands  # noqa: E402
from engine.cache.encrypted_volume import encrypted_volume  # noqa: E402
from governance.errors import InvalidRequest  # noqa: E402
from governance.volume_key import volume_passphrase  # noqa: E402

MOUNT = Path("/var/cache/hatidata")
ENDING = Path("/run/hatidata-boot/ending")
MARKER = b"THIS ROW BELONGS TO A CUSTOMER " * 4
SETTINGS = VolumeSettings(MOUNT, owner="daemon", model="QEMU NVMe Ctrl")
MAPPED = Path("/dev/mapper/hatidata-cache")


class NoSystemd(SystemCommands):
    """The machine's programs; there is no systemd here, so the engine's unit is said to be at rest."""

    def run(self, argv: Sequence[str], *, stdin: bytes = b"", timeout_s: float = 60.0) -> Completed:
        if argv[0] == "systemctl":
            return Completed(0, "inactive\n")
        return super().run(argv, stdin=stdin, timeout_s=timeout_s)


class Salts:
    """Remembers the salt, as no node does: to try the key again after the erase."""

    def __init__(self) -> None:
        self.last = b""

    def __call__(self, size: int) -> bytes:
        self.last = os.urandom(size)
        return self.last


def check(name: str, value: object) -> None:
    print(f"CHECK {name} {json.dumps(value)}", flush=True)


def boot(verb: str, salts: Salts) -> tuple[int, dict[str, object]]:
    """One verb of the boot files, through their own door."""
    said: list[str] = []
    code = main([verb], os.environ, commands=NoSystemd(), volume=SETTINGS, random=salts, say=said.append)
    return code, json.loads(said[-1])


def devices() -> list[Path]:
    return sorted(Path("/dev").glob("nvme*n1"))


def found_raw(needle: bytes) -> list[str]:
    """Names of the raw devices on which the bytes can be read."""
    return [device.name for device in devices() if holds(device, needle)]


def holds(path: Path, needle: bytes) -> bool:
    tail = b""
    with path.open("rb", buffering=0) as file:
        while data := file.read(1 << 20):
            if needle in tail + data:
                return True
            tail = data[-len(needle) :]
    return False


def drop_caches() -> None:
    os.sync()
    Path("/proc/sys/vm/drop_caches").write_text("3\n")


def cryptsetup(*argv: str, stdin: bytes = b"") -> int:
    return subprocess.run(["cryptsetup", *argv], input=stdin, capture_output=True, check=False).returncode


def dmsetup(*argv: str) -> str:
    return subprocess.run(["dmsetup", *argv], capture_output=True, text=True, check=False).stdout


def story() -> None:
    salts = Salts()
    check("devices", [device.name for device in devices()])
    MOUNT.mkdir(parents=True, exist_ok=True)
    try:
        encrypted_volume(MOUNT)
        check("refused_before", False)
    except InvalidRequest:
        check("refused_before", True)

    check("open", boot("open", salts))
    key = volume_passphrase(*seed_and_salt(salts))
    (mount,) = [line.split() for line in Path("/proc/mounts").read_text().splitlines() if f" {MOUNT} " in line]
    check("options", sorted({"noexec", "nosuid", "nodev"} & set(mount[3].split(","))))
    check("how", encrypted_volume(MOUNT / "cache").how)
    table = dmsetup("table", "hatidata-cache").split()
    check("cipher", table[3])
    check("key_in_keyring", table[4].startswith(":64:"))
    check("striped", dmsetup("table", "hatidata-stripe").split()[2:4])
    check("owner", (MOUNT / "cache").owner())

    (MOUNT / "cache" / "block").write_bytes(MARKER * 50_000)
    program = MOUNT / "cache" / "program"
    program.write_text("#!/bin/sh\nexit 0\n")
    program.chmod(0o755)
    try:
        subprocess.run([str(program)], check=False)
        check("noexec_holds", False)
    except PermissionError:
        check("noexec_holds", True)
    drop_caches()
    check("marker_through_the_mapping", holds(MAPPED, MARKER))
    check("marker_on_raw_devices", found_raw(MARKER))
    check("key_opens_before", cryptsetup("open", "--test-passphrase", "--key-file", "-", HEADER, stdin=key))
    check("prove_before", boot("prove", salts)[1])

    check("erase", boot("erase", salts))
    check("prove_after", boot("prove", salts)[1])
    check("key_opens_after", cryptsetup("open", "--test-passphrase", "--key-file", "-", HEADER, stdin=key))
    check("reopen_after", cryptsetup("open", "--key-file", "-", HEADER, "again", stdin=key))
    check("mapping_after", MAPPED.exists())
    drop_caches()
    check("marker_after", found_raw(MARKER))
    check("open_while_ending", boot("open", salts))

    # Once more, with a process that holds the volume: nobody may keep it readable.
    ENDING.unlink()
    check("open_again", boot("open", salts))
    second = volume_passphrase(*seed_and_salt(salts))
    check("first_key_on_second_volume", cryptsetup("open", "--test-passphrase", "--key-file", "-", HEADER, stdin=key))
    (MOUNT / "cache" / "block").write_bytes(MARKER * 50_000)
    drop_caches()
    with (MOUNT / "cache" / "block").open("rb") as held:
        check("erase_while_held", boot("erase", salts))
        try:
            check("held_file_reads", bool(held.read()))
        except OSError:
            check("held_file_reads", False)
    check("table_while_held", dmsetup("table", "hatidata-cache").split()[2:])
    check("prove_while_held", boot("prove", salts)[1])
    check("second_key_after", cryptsetup("open", "--test-passphrase", "--key-file", "-", HEADER, stdin=second))


HEADER = "/dev/mapper/hatidata-stripe"


def seed_and_salt(salts: Salts) -> tuple[bytes, bytes, str]:
    from aws.volume_seed import read_volume_seed
    from engine.settings import AwsNodeSettings

    node = AwsNodeSettings.from_environment(os.environ)
    seed = read_volume_seed(node.region, node.data_bucket, node.node.environment, node.data_key)
    return seed, salts.last, Path("/sys/devices/virtual/dmi/id/board_asset_tag").read_text().strip()


if __name__ == "__main__":
    try:
        story()
        print("STORY-TOLD", flush=True)
    except BaseException:
        traceback.print_exc(file=sys.stdout)
        sys.exit(1)
