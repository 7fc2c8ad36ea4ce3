"""A machine for the boot files: real LUKS headers on file images; the kernel's part (mappings, mounts) is played.

What needs the device-mapper for real runs in `test_qemu.py`.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from cdk_app.boot.cache_volume import VolumeSettings
from cdk_app.boot.commands import Completed, SystemCommands
from cdk_app.boot.devices import INSTANCE_STORE_MODEL

IMAGE_BYTES = 24 * 1024 * 1024
INSTANCE = "i-0123456789abcdef0"
SEED = bytes(range(100, 132))

needs_cryptsetup = pytest.mark.skipif(
    shutil.which("cryptsetup", path="/usr/sbin:/sbin:/usr/bin") is None, reason="cryptsetup is not installed"
)


@dataclass
class Call:
    argv: tuple[str, ...]
    stdin: bytes


@dataclass
class Machine:
    """Implements `Commands`; sysfs, /dev and mountinfo are below `root`."""

    root: Path
    calls: list[Call] = field(default_factory=list)
    broken: dict[str, int] = field(default_factory=dict)
    """Words in a command line, and the code it fails with."""
    targets: dict[str, str] = field(default_factory=dict)
    """What mapped names stand on, when it is no dm-crypt."""
    busy: bool = False
    """Whether unmounting and closing fail, as when a process holds a file open."""
    states: list[str] = field(default_factory=lambda: ["inactive"])
    """What systemd says of the engine, one after the other; the last one stays."""
    real: SystemCommands = field(default_factory=SystemCommands)

    def __post_init__(self) -> None:
        for folder in ("sys/block", "dev/mapper", "run"):
            (self.root / folder).mkdir(parents=True)
        self.mountinfo.write_text("22 1 0:5 / / rw - ext4 /dev/root rw\n")

    @property
    def mountinfo(self) -> Path:
        return self.root / "mountinfo"

    @property
    def settings(self) -> VolumeSettings:
        return VolumeSettings(
            mount=self.root / "var cache", owner="", record=self.root / "run" / "volume.json",
            sysfs=self.root / "sys", dev=self.root / "dev", mountinfo=self.mountinfo,
        )  # fmt: skip

    def add_device(
        self, name: str, model: str = INSTANCE_STORE_MODEL, *, size: int = IMAGE_BYTES, partition: bool = False
    ) -> Path:
        entry = self.root / "sys" / "block" / name
        (entry / "device").mkdir(parents=True)
        (entry / "holders").mkdir()
        (entry / "device" / "model").write_text(f"{model}   \n")
        (entry / "size").write_text(f"{size // 512}\n")
        if partition:
            (entry / f"{name}p1").mkdir()
            (entry / f"{name}p1" / "partition").write_text("1\n")
        image = self.root / "dev" / name
        with image.open("wb") as file:
            file.truncate(size)
        return image

    def remove_device(self, name: str) -> None:
        shutil.rmtree(self.root / "sys" / "block" / name)
        (self.root / "dev" / name).unlink()

    def map(self, name: str) -> None:
        entry = self.root / "sys" / "block" / f"dm-{name}" / "dm"
        entry.mkdir(parents=True)
        (entry / "name").write_text(f"{name}\n")

    def unmap(self, name: str) -> None:
        shutil.rmtree(self.root / "sys" / "block" / f"dm-{name}", ignore_errors=True)

    def ran(self, *words: str) -> list[Call]:
        return [call for call in self.calls if all(word in call.argv for word in words)]

    # ------------------------------------------------------------ Commands

    def run(self, argv: Sequence[str], *, stdin: bytes = b"", timeout_s: float = 60.0) -> Completed:
        self.calls.append(Call(tuple(argv), stdin))
        for words, code in self.broken.items():
            if all(word in argv for word in words.split()):
                return Completed(code)
        match list(argv):
            case ["cryptsetup", "open", *options, device, mapping]:
                done = self.real.run(["cryptsetup", "open", "--test-passphrase", *options, device], stdin=stdin)
                if done.well:
                    self.map(mapping)
                return done
            case ["cryptsetup", "status", _]:
                return Completed(0, "x is active.\n  type:    LUKS2\n  cipher:  aes-xts-plain64\n  keysize: 512 bits\n")
            case ["cryptsetup", "close", mapping]:
                if self.busy:
                    return Completed(5)
                self.unmap(mapping)
                return Completed(0)
            case ["dmsetup", "table", name]:
                return Completed(0, f"0 16384 {self.targets.get(name, 'crypt aes-xts-plain64 :64:logon:x 0 8:0 0')}\n")
            case ["dmsetup", "create", "--verifyudev", name]:
                with (self.root / "dev" / "mapper" / name).open("ab") as file:
                    file.truncate(int(stdin.split()[1]) * 512)
                self.map(name)
                return Completed(0)
            case ["dmsetup", "remove", "--force", "--retry", name]:
                self.targets[name] = "error"
                if not self.busy:
                    self.unmap(name)
                return Completed(int(self.busy))
            case ["mount", *_, source, target]:
                with self.mountinfo.open("a") as file:
                    file.write(f"99 22 254:0 / {target.replace(' ', chr(92) + '040')} rw shared:1 - ext4 {source} rw\n")
                return Completed(0)
            case ["umount", *options, _]:
                if self.busy and "--lazy" not in options:
                    return Completed(32)
                lines = self.mountinfo.read_text().splitlines(keepends=True)
                self.mountinfo.write_text("".join(line for line in lines if "254:0" not in line))
                return Completed(0)
            case ["systemctl", "show", *_]:
                state = self.states[0]
                if len(self.states) > 1:
                    self.states.pop(0)
                return Completed(0, f"{state}\n")
            case ["systemctl" | "mkfs.ext4", *_]:
                return Completed(0)
        return self.real.run(argv, stdin=stdin, timeout_s=timeout_s)


def opens(image: Path, passphrase: bytes) -> int:
    """cryptsetup's code: 0 opens, 2 wrong, 1 nothing to open."""
    return (
        SystemCommands()
        .run(
            ["cryptsetup", "open", "--test-passphrase", "--type", "luks2", "--key-file", "-", str(image)],
            stdin=passphrase,
        )
        .code
    )
