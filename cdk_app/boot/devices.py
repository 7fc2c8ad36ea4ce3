"""The instance's own NVMe devices, told from network volumes by their model; never a guess."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

INSTANCE_STORE_MODEL = "Amazon EC2 NVMe Instance Storage"
"""What EC2's instance store calls itself; a network volume says Amazon Elastic Block Store (EC2 User Guide, NVMe)."""


@dataclass(frozen=True, slots=True)
class Device:
    """One whole block device."""

    name: str
    """As in /dev."""
    sectors: int
    in_use: bool
    """Whether it has partitions, or another device is built on it."""


def instance_store(sysfs: Path, model: str = INSTANCE_STORE_MODEL) -> tuple[Device, ...]:
    """Every NVMe namespace below `sysfs` whose model is exactly `model`, by name."""
    found = []
    for entry in (sysfs / "block").glob("nvme*n*"):
        try:
            named = (entry / "device" / "model").read_text(encoding="ascii", errors="replace").strip()
            sectors = int((entry / "size").read_text())
        except (OSError, ValueError):
            continue
        if named == model and sectors > 0:
            partitions = any((part / "partition").exists() for part in entry.iterdir() if part.is_dir())
            holders = entry / "holders"
            found.append(Device(entry.name, sectors, partitions or (holders.is_dir() and any(holders.iterdir()))))
    return tuple(sorted(found, key=lambda device: device.name))


def mapped_names(sysfs: Path) -> frozenset[str]:
    """The names of every device-mapper device the kernel knows."""
    names = set()
    for entry in (sysfs / "block").glob("dm-*"):
        try:
            names.add((entry / "dm" / "name").read_text().strip())
        except OSError:
            continue
    return frozenset(names)


def mounted_on(mountinfo: str, folder: Path, source: str) -> bool:
    r"""Whether something is mounted on `folder`, or `source` anywhere, by the text of /proc/self/mountinfo.

    Fields are separated by spaces, which stand as \040 within them (proc(5)).
    """
    wanted = str(folder).replace("\\", "\\134").replace(" ", "\\040")
    for line in mountinfo.splitlines():
        fields = line.split(" ")
        if len(fields) > 6 and (fields[4] == wanted or source in fields[6:]):
            return True
    return False
