"""One node of the deployment: the boot files on the played machine, and the engine as its process.

LUKS headers are real, on file images; mappings, mounts and systemd are played (`tests.boot.machine`). The engine is
told what the deployed launch template tells a node, but for what cannot be alike here: `CHANGED` names it.
"""

from __future__ import annotations

import base64
import json
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cdk_app.boot import paths
from cdk_app.boot.__main__ import main
from cdk_app.boot.cache_volume import VolumeSettings
from cdk_app.boot.commands import Completed
from engine.settings import AwsNodeSettings
from tests.boot.machine import INSTANCE, Machine
from tests.cdk.emulator.deploying import Deployed
from tests.support.aws_node import EngineProcess

CHANGED = frozenset(
    {
        "HATIDATA_HOME", "HATIDATA_CACHE", "HATIDATA_TLS", "HATIDATA_CONTROL_URL", "HATIDATA_METRICS_PORT",
        "HATIDATA_REQUIRE_ENCRYPTED_CACHE", "HATIDATA_AUDIT_SHIP_S", "HATIDATA_DRAIN_S",
    }
)  # fmt: skip


def told_by_template(deployed: Deployed) -> dict[str, str]:
    """The settings in the user data of the launch template, as an instance would find them."""
    found = deployed.emulator.client("ec2").describe_launch_template_versions(
        LaunchTemplateName="hatidata-node", Versions=["$Latest"]
    )["LaunchTemplateVersions"][0]["LaunchTemplateData"]["UserData"]
    lines = base64.b64decode(found).decode().splitlines()
    assert lines[0] == "#cloud-config"
    return dict(line.strip().split("=", 1) for line in lines if line.strip().startswith("HATIDATA_"))


@dataclass
class NodeMachine(Machine):
    """The machine whose systemd runs one engine."""

    engine: EngineProcess | None = None
    codes: list[int] = field(default_factory=list)
    """What ended engines and shipments said."""

    @property
    def settings(self) -> VolumeSettings:
        """A mount point as plain as the real one: settings are read by a shell too."""
        return replace(super().settings, mount=self.root / "cache-volume")

    def run(self, argv: Sequence[str], *, stdin: bytes = b"", timeout_s: float = 60.0) -> Completed:
        """See `Commands.run`; units are the engine's process here."""
        assert self.engine is not None
        match list(argv):
            case ["systemctl", "kill", *options, paths.ENGINE_UNIT]:
                self.engine.send(signal.SIGKILL if "--signal=SIGKILL" in options else signal.SIGTERM)
            case ["systemctl", "show", *_]:
                return Completed(0, "active\n" if self.engine.running else "inactive\n")
            case ["systemctl", "stop", paths.ENGINE_UNIT]:
                if self.engine.process is not None:
                    self.codes.append(self.engine.stop())
            case ["systemctl", "start", paths.SHIP_UNIT]:
                shipment = self.engine.run("ship-spool")
                output, _ = shipment.communicate(timeout=timeout_s)
                self.engine.lines.append(output)
                self.codes.append(shipment.returncode)
                return Completed(shipment.returncode)
            case _:
                return super().run(argv, stdin=stdin, timeout_s=timeout_s)
        return Completed(0)


@dataclass
class Node:
    """Boots, serves, and carries out what Run Command brings."""

    folder: Path
    settings: dict[str, str]
    engine: EngineProcess
    machine: NodeMachine
    image: Path
    """The raw device of the volume."""
    scripts: list[list[str]] = field(default_factory=list)

    def boot(self) -> dict[str, Any]:
        """`hatidata-cache.service`, then the engine; what the first said."""
        code, output = self._boot_files("open", self.settings)
        assert code == 0, output
        self.engine.start()
        said: dict[str, Any] = json.loads(output)
        return said

    def command(self, script: list[str]) -> tuple[int, str]:
        """The document's script: its first lines by a real shell over the real settings, the last by the boot files."""
        self.scripts.append(script)
        *before, last = script
        file = self.folder / "node.env"
        file.write_text("".join(f"{name}={value}\n" for name, value in self.settings.items()))
        shell = "\n".join(before).replace(str(paths.ENVIRONMENT_FILE), str(file)) + "\nexec env -0"
        done = subprocess.run(["/bin/sh", "-c", shell], env={"PATH": "/usr/bin:/bin"}, capture_output=True, check=True)
        told = dict(each.split("=", 1) for each in done.stdout.decode().split("\0") if each.startswith("HATIDATA_"))
        words = last.split()
        assert words[:-1] == ["exec", str(paths.PYTHON), "-I", "-m", "cdk_app.boot"]
        return self._boot_files(words[-1], told)

    def _boot_files(self, verb: str, environment: dict[str, str]) -> tuple[int, str]:
        said: list[str] = []
        identity = self.folder / "board_asset_tag"
        identity.write_text(f"{INSTANCE}\n")
        code = main(
            [verb], environment, commands=self.machine, volume=self.machine.settings, instance_id=identity,
            ending=self.folder / "ending", say=said.append,
        )  # fmt: skip
        return code, "\n".join(said)


def make_node(folder: Path, deployed: Deployed, control_url: str, ca: Path, account: dict[str, str]) -> Node:
    """A node with an NVMe device of its own, not booted yet."""
    machine = NodeMachine(folder / "machine")
    image = machine.add_device("nvme1n1")
    cache = machine.settings.mount
    cache.mkdir()
    told = told_by_template(deployed)
    changed = {
        "HATIDATA_HOME": str(folder / "home"), "HATIDATA_CACHE": str(cache), "HATIDATA_TLS": str(folder / "tls"),
        "HATIDATA_CONTROL_URL": control_url, "HATIDATA_METRICS_PORT": "0", "HATIDATA_REQUIRE_ENCRYPTED_CACHE": "no",
        "HATIDATA_AUDIT_SHIP_S": "0.5", "HATIDATA_DRAIN_S": "20",
    }  # fmt: skip
    assert set(changed) == CHANGED
    settings = {**told, **changed}
    AwsNodeSettings.from_environment(settings)
    engine = EngineProcess({**account, **settings}, ca)
    machine.engine = engine
    return Node(folder, settings, engine, machine, image)
