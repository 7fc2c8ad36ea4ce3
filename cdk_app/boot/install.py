"""Lays the units into an image; run while the image is baked, never on a running node."""

from __future__ import annotations

import importlib.resources
from pathlib import Path

from cdk_app.boot.paths import CACHE, CACHE_UNIT, ENGINE_UNIT, HOME, SHIP_UNIT, USER

UNITS = (CACHE_UNIT, ENGINE_UNIT, SHIP_UNIT)
HARDENING = "hatidata-node-hardening.conf"
"""Laid as a drop-in of every unit whose name begins with `hatidata-node-` (systemd.unit(5))."""
_SYSTEM = Path("etc/systemd/system")


def install(root: Path = Path("/")) -> list[Path]:
    """Lay the units, their hardening and the user below `root`, and have them started at boot; the files laid.

    Raises:
        OSError: the root cannot be written.
    """
    units = importlib.resources.files("cdk_app.boot") / "units"
    wanted = {_SYSTEM / name: (units / name).read_text() for name in UNITS}
    wanted[_SYSTEM / "hatidata-node-.service.d" / "hardening.conf"] = (units / HARDENING).read_text()
    wanted[Path("usr/lib/sysusers.d/hatidata.conf")] = f'u {USER} - "HatiData query node" {HOME}\n'
    # The engine's home is made by systemd (StateDirectory); the mount point is the boot's, and empty without it.
    wanted[Path("usr/lib/tmpfiles.d/hatidata.conf")] = f"d {CACHE} 0711 root root -\n"
    laid = []
    for name, text in wanted.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o644)
        laid.append(path)
    for unit in (CACHE_UNIT, ENGINE_UNIT):
        link = root / _SYSTEM / "multi-user.target.wants" / unit
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(f"../{unit}")
        laid.append(link)
    return laid
