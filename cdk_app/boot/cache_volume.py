"""The encrypted cache volume of a node: made at each boot, erased at its end (claims W2.2, W2.7, W6.1, W6.3).

LUKS2 over the instance's NVMe devices, striped by the device-mapper when there are several: AES-256-XTS with a volume
key that cryptsetup draws, wrapped by a passphrase that exists for the length of `open` only. Nobody can open the
volume a second time, so it is made anew at each boot.

The erase is in two halves, because `luksErase` alone leaves an opened mapping readable, and closing alone leaves the
header: unmount, close, erase the key slots; what cannot be unmounted or closed is erased all the same and then torn
from the kernel by force.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cdk_app.boot.commands import Commands
from cdk_app.boot.devices import INSTANCE_STORE_MODEL, Device, instance_store, mapped_names, mounted_on
from governance.node_report import NodeReport, NodeStep, VolumeState
from governance.volume_key import PASSPHRASE_BYTES, SALT_BYTES, volume_passphrase

CIPHER = "aes-xts-plain64"
KEY_BITS = 512
FOLDERS = ("cache", "spill")
_STRIPE_SECTORS = 512
"""256 KiB from each device in turn."""
_MKFS_S = 300.0
_TRIES = 5
_PAUSE_S = 1.0


class VolumeRefused(Exception):
    """The volume is not opened; `code` says why."""

    def __init__(self, code: str) -> None:
        super().__init__(f"the cache volume is not opened: {code}")
        self.code = code


@dataclass(frozen=True, slots=True)
class VolumeSettings:
    """Where the volume is found, made and mounted."""

    mount: Path
    """The engine's HATIDATA_CACHE."""
    owner: str = "hatidata"
    """The user the engine runs as; empty leaves the folders to whoever makes them."""
    model: str = INSTANCE_STORE_MODEL
    mapping: str = "hatidata-cache"
    stripe: str = "hatidata-stripe"
    record: Path = Path("/run/hatidata-boot/volume.json")
    """What this boot made; in memory only, gone with it."""
    sysfs: Path = Path("/sys")
    dev: Path = Path("/dev")
    mountinfo: Path = Path("/proc/self/mountinfo")


class CacheVolume:
    """The volume of this instance."""

    def __init__(
        self,
        settings: VolumeSettings,
        commands: Commands,
        *,
        random: Callable[[int], bytes] = os.urandom,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._settings = settings
        self._commands = commands
        self._random = random
        self._pause = pause

    # ------------------------------------------------------------ opening

    def open(self, seed: Callable[[], bytes], instance_id: str) -> Path:
        """Format, open and mount the volume; the mount point, with `FOLDERS` in it.

        Args:
            seed: fetches the seed, called when the devices are known to be good.
            instance_id: EC2's.

        Raises:
            VolumeRefused: no device, one in use, or a program that fails; what was made is torn down again.
            ValueError: seed or id are not what they should be; nothing was made.
        """
        settings = self._settings
        devices = instance_store(settings.sysfs, settings.model)
        if not devices:
            raise VolumeRefused("no_instance_store")
        if settings.mapping in mapped_names(settings.sysfs):
            raise VolumeRefused("opened_already")
        ours = settings.stripe in mapped_names(settings.sysfs)
        if any(device.in_use for device in devices) and not ours:
            raise VolumeRefused("device_in_use")
        passphrase = volume_passphrase(seed(), self._random(SALT_BYTES), instance_id)
        self._remember(devices)
        try:
            self._make(self._assemble(devices), passphrase)
        except VolumeRefused:
            self.erase()
            raise
        return settings.mount

    def _make(self, device: str, passphrase: bytes) -> None:
        settings = self._settings
        self._must(
            "format_failed", "cryptsetup", "luksFormat", "--batch-mode", "--type", "luks2", "--cipher", CIPHER,
            "--key-size", str(KEY_BITS), "--hash", "sha256", "--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000",
            "--key-file", "-", "--keyfile-size", str(PASSPHRASE_BYTES), device, stdin=passphrase,
        )  # fmt: skip
        self._must(
            "open_failed", "cryptsetup", "open", "--type", "luks2", "--key-file", "-", "--keyfile-size",
            str(PASSPHRASE_BYTES), device, settings.mapping, stdin=passphrase,
        )  # fmt: skip
        self._check_cipher()
        mapped = str(settings.dev / "mapper" / settings.mapping)
        # No journal: a volume that dies with its boot has nothing to recover.
        self._must("mkfs_failed", "mkfs.ext4", "-q", "-m", "0", "-O", "^has_journal", mapped, timeout_s=_MKFS_S)
        settings.mount.mkdir(mode=0o711, parents=True, exist_ok=True)
        self._must(
            "mount_failed", "mount", "-t", "ext4", "-o", "noexec,nosuid,nodev,noatime", mapped, str(settings.mount)
        )
        settings.mount.chmod(0o711)
        for name in FOLDERS:
            folder = settings.mount / name
            folder.mkdir(mode=0o700, exist_ok=True)
            if settings.owner:
                try:
                    shutil.chown(folder, settings.owner, settings.owner)
                except (OSError, LookupError):
                    raise VolumeRefused("owner_failed") from None

    def _check_cipher(self) -> None:
        """Believe the kernel, not our own arguments.

        Raises:
            VolumeRefused: the opened mapping is not AES-256-XTS by LUKS2.
        """
        status = self._must("status_failed", "cryptsetup", "status", self._settings.mapping)
        said = {
            name.strip(): value.strip()
            for name, separator, value in (line.partition(":") for line in status.splitlines())
            if separator
        }
        if (said.get("type"), said.get("cipher"), said.get("keysize")) != ("LUKS2", CIPHER, f"{KEY_BITS} bits"):
            raise VolumeRefused("cipher_not_as_wanted")

    def _assemble(self, devices: tuple[Device, ...]) -> str:
        """The path of what the header lies on: the one device, or the stripe over them all."""
        settings = self._settings
        if len(devices) == 1:
            return str(settings.dev / devices[0].name)
        if settings.stripe not in mapped_names(settings.sysfs):
            chunks = min(device.sectors for device in devices) // _STRIPE_SECTORS
            members = " ".join(f"{settings.dev / device.name} 0" for device in devices)
            sectors = chunks * _STRIPE_SECTORS * len(devices)
            table = f"0 {sectors} striped {len(devices)} {_STRIPE_SECTORS} {members}\n"
            self._must("stripe_failed", "dmsetup", "create", "--verifyudev", settings.stripe, stdin=table.encode())
        return str(settings.dev / "mapper" / settings.stripe)

    def _must(self, code: str, *argv: str, stdin: bytes = b"", timeout_s: float = 60.0) -> str:
        done = self._commands.run(argv, stdin=stdin, timeout_s=timeout_s)
        if not done.well:
            raise VolumeRefused(code)
        return done.out

    # ------------------------------------------------------------ erasing

    def erase(self) -> NodeReport:
        """Unmount, close, erase every key slot; may be called again, and when nothing was ever opened."""
        settings, troubles = self._settings, []
        if not self._unmount():
            troubles.append("unmount_failed")
        if not self._close():
            troubles.append("close_failed")
        try:
            headers = self._headers()
        except VolumeRefused as refusal:
            headers = []
            troubles.append(refusal.code)
        for header in headers:
            if (
                self._is_luks(header)
                and not self._commands.run(["cryptsetup", "luksErase", "--batch-mode", header], timeout_s=120.0).well
            ):
                troubles.append("luks_erase_failed")
        if self._mapped():
            # The slots are gone; the key in the kernel's memory goes with the mapping's table. A mapping that is held
            # open cannot be removed, but by force its table becomes one that answers every access with an error.
            self._commands.run(["umount", "--lazy", str(settings.mount)])
            self._commands.run(["dmsetup", "remove", "--force", "--retry", settings.mapping])
        left = self.prove()
        return NodeReport(
            NodeStep.ERASE, left.done and not left.mapped and not left.mounted and not _slots(left),
            volumes=left.volumes, mapped=left.mapped, mounted=left.mounted, troubles=(*troubles, *left.troubles),
        )  # fmt: skip

    def prove(self) -> NodeReport:
        """What is left, read from the devices and the kernel; changes nothing."""
        troubles = []
        try:
            volumes = tuple(self._state(header) for header in self._headers())
        except VolumeRefused as refusal:
            volumes = ()
            troubles.append(refusal.code)
        return NodeReport(
            NodeStep.PROVE, not troubles, volumes=volumes, mapped=self._mapped(), mounted=self._mounted(),
            troubles=tuple(troubles),
        )  # fmt: skip

    def _mapped(self) -> bool:
        """Whether the kernel holds the key of an opened mapping; one that does not tell its table counts as yes."""
        mapping = self._settings.mapping
        if mapping not in mapped_names(self._settings.sysfs):
            return False
        done = self._commands.run(["dmsetup", "table", mapping])
        targets = [line.split() for line in done.out.splitlines()]
        return not (done.well and targets and all(len(each) == 3 and each[2] == "error" for each in targets))

    def _mounted(self) -> bool:
        """Whether the volume is mounted; a kernel that does not tell counts as yes."""
        settings = self._settings
        try:
            mountinfo = settings.mountinfo.read_text(errors="replace")
        except OSError:
            return True
        return mounted_on(mountinfo, settings.mount, str(settings.dev / "mapper" / settings.mapping))

    def _unmount(self) -> bool:
        return self._until(lambda: not self._mounted(), ["umount", str(self._settings.mount)])

    def _close(self) -> bool:
        mapping, sysfs = self._settings.mapping, self._settings.sysfs
        return self._until(lambda: mapping not in mapped_names(sysfs), ["cryptsetup", "close", mapping])

    def _until(self, reached: Callable[[], bool], argv: list[str]) -> bool:
        for number in range(_TRIES):
            if reached():
                return True
            if number:
                self._pause(_PAUSE_S)
            self._commands.run(argv)
        return reached()

    def _headers(self) -> list[str]:
        """Paths of what may bear the header: what this boot made, else what the instance has.

        Raises:
            VolumeRefused: what this boot made is no longer there, or its stripe cannot be put together again.
        """
        settings = self._settings
        found = instance_store(settings.sysfs, settings.model)
        made = self._remembered()
        if made is not None:
            if missing := set(made) - {device.name for device in found}:
                raise VolumeRefused("device_missing" if len(missing) == 1 else "devices_missing")
            found = tuple(device for device in found if device.name in made)
        return [self._assemble(found)] if found else []

    def _state(self, header: str) -> VolumeState:
        luks = self._is_luks(header)
        return VolumeState(header.lstrip("/"), True, luks, self._key_slots(header) if luks else 0)

    def _is_luks(self, header: str) -> bool:
        """Whether there is a header; a device that cannot be asked counts as bearing one."""
        return self._commands.run(["cryptsetup", "isLuks", header]).code != 1

    def _key_slots(self, header: str) -> int:
        done = self._commands.run(["cryptsetup", "luksDump", "--dump-json-metadata", header])
        try:
            return len(json.loads(done.out)["keyslots"]) if done.well else 1
        except (ValueError, KeyError, TypeError):
            return 1

    # ------------------------------------------------------------ what this boot made

    def _remember(self, devices: tuple[Device, ...]) -> None:
        record = self._settings.record
        record.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        record.write_text(json.dumps({"version": 1, "devices": [device.name for device in devices]}))

    def _remembered(self) -> list[str] | None:
        try:
            return [str(name) for name in json.loads(self._settings.record.read_text())["devices"]]
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError):
            raise VolumeRefused("record_unreadable") from None


def _slots(report: NodeReport) -> int:
    return sum(volume.key_slots for volume in report.volumes)
