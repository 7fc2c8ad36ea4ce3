"""An emulated machine for the boot files: QEMU without KVM, a Debian kernel, the host's own files read-only.

Needs qemu-system-x86_64, busybox (static), depmod, cryptsetup, dmsetup, mkfs.ext4 and an unpacked kernel package, whose
root is named by HATIDATA_TEST_KERNEL (`make test-qemu` fetches one).
"""

from __future__ import annotations

import gzip
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent / "qemu"
KERNEL_ROOT = Path(os.environ.get("HATIDATA_TEST_KERNEL", "/"))
PROGRAMS = ("qemu-system-x86_64", "busybox", "depmod", "cryptsetup", "dmsetup", "mkfs.ext4")
_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
_MODULES = (
    "virtio_pci", "9pnet_virtio", "9p", "overlay", "virtio_net", "nvme", "dm-mod", "dm-crypt", "xts", "ecb", "cbc",
    "af_alg", "algif_skcipher", "algif_hash", "crc32c_generic", "ext4",
)  # fmt: skip
DISK_BYTES = 64 * 1024 * 1024


def missing() -> str:
    """What stands against running it here; empty: nothing."""
    absent = [name for name in PROGRAMS if shutil.which(name, path=_PATH) is None]
    if absent:
        return f"not installed: {', '.join(absent)}"
    return "" if _kernel() else "no kernel package (HATIDATA_TEST_KERNEL; make test-qemu fetches one)"


def _kernel() -> tuple[Path, Path] | None:
    """The newest kernel image that has its modules."""
    for image in sorted((KERNEL_ROOT / "boot").glob("vmlinuz-*"), reverse=True):
        modules = KERNEL_ROOT / "lib" / "modules" / image.name.removeprefix("vmlinuz-")
        if (modules / "kernel").is_dir():
            return image, modules
    return None


@dataclass(frozen=True)
class EmulatedMachine:
    """One machine with two NVMe disks; `work` is a folder of its own."""

    work: Path
    instance_id: str
    environment: Mapping[str, str]

    def run(self, timeout_s: float) -> str:
        """Boot it, play the guest's story, and give back the console."""
        found = _kernel()
        assert found is not None
        image, modules = found
        initrd = self._initrd(modules)
        disks: list[str] = []
        for number in (1, 2):
            disk = self.work / f"nvme{number}.img"
            with disk.open("wb") as file:
                file.truncate(DISK_BYTES)
            disks += ["-drive", f"file={disk},format=raw,if=none,id=d{number}"]
            disks += ["-device", f"nvme,drive=d{number},serial=test{number}"]
        command = [
            "qemu-system-x86_64", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", "1024", "-nodefaults",
            "-no-reboot", "-display", "none", "-serial", "stdio", "-kernel", str(image), "-initrd", str(initrd),
            "-append", "console=ttyS0 quiet panic=-1 random.trust_cpu=on",
            "-smbios", f"type=2,asset={self.instance_id}",
            "-fsdev", "local,id=host,path=/,security_model=none,readonly=on,multidevs=remap",
            "-device", "virtio-9p-pci,fsdev=host,mount_tag=host",
            "-netdev", "user,id=net", "-device", "virtio-net-pci,netdev=net", *disks,
        ]  # fmt: skip
        done = subprocess.run(
            command, capture_output=True, timeout=timeout_s, check=False, stdin=subprocess.DEVNULL,
            env={"PATH": _PATH},
        )  # fmt: skip
        return done.stdout.decode("utf-8", "replace") + done.stderr.decode("utf-8", "replace")

    def _initrd(self, modules: Path) -> Path:
        root = self.work / "initrd"
        (root / "modules").mkdir(parents=True)
        for folder in ("bin", "proc", "sys", "dev"):
            (root / folder).mkdir()
        busybox = shutil.which("busybox", path=_PATH)
        assert busybox is not None
        shutil.copy(busybox, root / "bin" / "busybox")
        shutil.copy(HERE / "init.sh", root / "init")
        (root / "init").chmod(0o755)
        named = {
            **self.environment,
            "GUEST_PYTHON": sys.executable,
            "GUEST_PROGRAM": str(HERE / "guest.py"),
            "PYTHONDONTWRITEBYTECODE": "1",
            "HOME": "/root",
            "PATH": _PATH,
        }
        lines = [f"export {name}={shlex.quote(value)}\n" for name, value in named.items()]
        (root / "guest.env").write_text("".join(lines))
        order = self._module_order(modules)
        for name in order:
            shutil.copy(modules / name, root / "modules" / Path(name).name)
        (root / "modules" / "order").write_text("".join(f"{Path(name).name}\n" for name in order))
        names = sorted(str(path.relative_to(root)) for path in root.rglob("*"))
        archive = subprocess.run(
            ["busybox", "cpio", "-o", "-H", "newc"], cwd=root, input="\n".join(names).encode(), capture_output=True,
            check=True, env={"PATH": _PATH},
        )  # fmt: skip
        initrd = self.work / "initrd.gz"
        initrd.write_bytes(gzip.compress(archive.stdout, 1))
        return initrd

    def _module_order(self, modules: Path) -> list[str]:
        """The modules with all they need, what is needed first; what is built in is left out."""
        base = self.work / "depmod"
        (base / "lib" / "modules").mkdir(parents=True)
        (base / "lib" / "modules" / modules.name).mkdir()
        target = base / "lib" / "modules" / modules.name
        (target / "kernel").symlink_to(modules / "kernel")
        for name in ("modules.builtin", "modules.order", "modules.builtin.modinfo"):
            if (modules / name).exists():
                shutil.copy(modules / name, target / name)
        subprocess.run(["depmod", "-b", str(base), modules.name], check=True, capture_output=True, env={"PATH": _PATH})
        needs: dict[str, list[str]] = {}
        for line in (target / "modules.dep").read_text().splitlines():
            path, _, rest = line.partition(":")
            needs[path] = rest.split()
        by_name = {Path(path).name.split(".")[0].replace("-", "_"): path for path in needs}
        order: list[str] = []

        def add(path: str) -> None:
            for need in needs[path]:
                add(need)
            if path not in order:
                order.append(path)

        for name in _MODULES:
            if (path := by_name.get(name.replace("-", "_"))) is not None:
                add(path)
        return order
