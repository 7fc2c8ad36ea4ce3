"""Where things lie on a node: the units, the image and the stacks agree here."""

from __future__ import annotations

from pathlib import Path

HOME = Path("/var/lib/hatidata")
"""The engine's home, on the encrypted root volume: rulebook and audit spool outlive the process."""
CACHE = Path("/var/cache/hatidata")
"""The mount point of the encrypted cache volume."""
TLS = Path("/run/hatidata/tls")
"""Certificates and keys, in memory only."""
ENVIRONMENT_FILE = Path("/etc/hatidata/node.env")
"""The settings of `engine.settings.AwsNodeSettings`, written at first boot; none of them is a secret."""
PYTHON = Path("/opt/hatidata/bin/python")
"""The virtual environment that the image holds."""
USER = "hatidata"
ENDING = Path("/run/hatidata-boot/ending")
"""While it exists, neither the volume is opened nor the engine started."""
ENGINE_UNIT = "hatidata-node-engine.service"
SHIP_UNIT = "hatidata-node-ship.service"
CACHE_UNIT = "hatidata-cache.service"
