"""The door of the boot files: `python -m cdk_app.boot open | drain | erase | prove | install`.

Prints one JSON line and exits 0 when the step did what it is for, else 1. Says codes, never messages: what a program
or a service says may quote anything.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from cdk_app.boot import paths
from cdk_app.boot.cache_volume import CacheVolume, VolumeRefused, VolumeSettings
from cdk_app.boot.commands import Commands, SystemCommands
from cdk_app.boot.install import install
from cdk_app.boot.node_end import NodeEnd
from engine.settings import AwsNodeSettings
from governance.errors import InvalidRequest, SourceUnavailable
from governance.node_report import NodeReport, NodeStep, encode_report

INSTANCE_ID = Path("/sys/devices/virtual/dmi/id/board_asset_tag")
"""Where the firmware of EC2's Nitro instances says the instance's id: no network is asked."""


def main(
    argv: Sequence[str],
    environment: Mapping[str, str],
    *,
    commands: Commands | None = None,
    volume: VolumeSettings | None = None,
    random: Callable[[int], bytes] = os.urandom,
    ending: Path = paths.ENDING,
    instance_id: Path = INSTANCE_ID,
    say: Callable[[str], object] = print,
) -> int:
    """Carry out the verb in `argv`; the exit code. Everything after `environment` is there for tests."""
    verb = argv[0] if len(argv) == 1 else ""
    if verb == "install":
        install()
        return 0
    if verb not in {"open", *NodeStep}:
        say(json.dumps({"done": False, "trouble": "verb_unknown"}))
        return 2
    run = commands or SystemCommands()
    try:
        settings = AwsNodeSettings.from_environment(environment)
        cache = CacheVolume(volume or VolumeSettings(settings.node.cache_dir), run, random=random)
        if verb == "open":
            return _said_of_open(_open(cache, settings, instance_id, ending), say)
        report = NodeEnd(cache, run, drain_s=settings.node.drain_timeout_s, ending=ending).step(NodeStep(verb))
    except Exception as error:  # whatever it is, its class is all that is said
        print(f"boot: {type(error).__name__}", file=sys.stderr)  # noqa: T201  the journal of systemd
        trouble = "settings_refused" if isinstance(error, InvalidRequest) else "unexpected"
        if verb == "open":
            return _said_of_open(trouble, say)
        report = NodeReport(NodeStep(verb), False, troubles=(trouble,))
    say(encode_report(report))
    return 0 if report.done else 1


def _open(cache: CacheVolume, settings: AwsNodeSettings, instance_id: Path, ending: Path) -> str:
    """Open the volume; the code of what stands against it, or nothing."""
    if ending.exists():
        return "node_is_ending"
    try:
        cache.open(lambda: _seed(settings), instance_id.read_text().strip())
    except VolumeRefused as refusal:
        return refusal.code
    except SourceUnavailable:
        return "seed_unavailable"
    except (OSError, ValueError):
        return "identity_refused"
    return ""


def _said_of_open(trouble: str, say: Callable[[str], object]) -> int:
    say(json.dumps({"done": not trouble, "trouble": trouble}))
    return 1 if trouble else 0


def _seed(settings: AwsNodeSettings) -> bytes:
    """The seed, from the data bucket and KMS: s3:GetObject and kms:Decrypt, no more (claim W6.4)."""
    from aws.volume_seed import read_volume_seed

    return read_volume_seed(settings.region, settings.data_bucket, settings.node.environment, settings.data_key)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
