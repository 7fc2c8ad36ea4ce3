"""Whether a folder lies on an encrypted device, asked of the kernel and not of the settings (claims W2.2, H5).

A node that must encrypt its cache starts only when the block device behind the folder is, or is built wholly of,
mappings that the device-mapper calls LUKS. What the kernel does not tell counts as no.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from governance.errors import InvalidRequest

_UUID_PREFIXES = ("CRYPT-LUKS2-", "CRYPT-LUKS1-")
"""How cryptsetup names its mappings to the device-mapper (libcryptsetup, `dm_prepare_uuid`)."""
_DEPTH_MAX = 8


@dataclass(frozen=True, slots=True)
class EncryptedVolume:
    """What was found."""

    device: str
    """MAJOR:MINOR of the file system."""
    how: str
    """In a few words, for the log: what was read where."""


def encrypted_volume(folder: Path, sysfs: Path = Path("/sys"), device: str = "") -> EncryptedVolume:
    """The encrypted device under `folder`.

    Args:
        folder: an existing folder.
        sysfs: where the kernel tells of its devices.
        device: MAJOR:MINOR to look at in place of the folder's own.

    Raises:
        InvalidRequest: it is not on one, or that cannot be found out.
    """
    if not device:
        try:
            number = folder.stat().st_dev
        except OSError:
            raise _refusal("the folder does not exist") from None
        device = f"{os.major(number)}:{os.minor(number)}"
    names: list[str] = []
    if not _encrypted(sysfs / "dev" / "block" / device, names, _DEPTH_MAX):
        raise _refusal(f"device {device} is not a LUKS mapping")
    return EncryptedVolume(device, f"device {device}: the device-mapper says {', '.join(names)}")


def _encrypted(entry: Path, names: list[str], depth: int) -> bool:
    """Whether the device is a LUKS mapping, or stands on nothing else."""
    if depth == 0:
        return False
    try:
        uuid = (entry / "dm" / "uuid").read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        uuid = ""
    for prefix in _UUID_PREFIXES:
        if uuid.startswith(prefix):
            names.append(prefix.removeprefix("CRYPT-").rstrip("-"))
            return True
    try:
        below = sorted((entry / "slaves").iterdir())
    except OSError:
        return False
    return bool(below) and all(_encrypted(part, names, depth - 1) for part in below)


def _refusal(why: str) -> InvalidRequest:
    return InvalidRequest(
        "The cache does not lie on an encrypted device.",
        advice="Open the encrypted volume first (`python -m cdk_app.boot open`), or see docs/node-end.md.",
        reason=f"the cache does not lie on an encrypted device: {why}",
    )
