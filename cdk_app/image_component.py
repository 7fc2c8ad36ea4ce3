"""What is done to a plain Amazon Linux to make a node of it."""

from __future__ import annotations

import json
from typing import Any

from cdk_app.boot import paths

PACKAGES = ("cryptsetup", "device-mapper", "e2fsprogs", "python3.11", "python3.11-pip", "unzip")
"""Of Amazon Linux 2023; whatever else a node runs comes from the locked wheels."""
PREFIX = str(paths.PYTHON.parents[1])
WORK = "/var/tmp/hatidata"  # noqa: S108  on a builder that nobody else is on


def component_document(source: str) -> str:
    """What is done to a plain Amazon Linux to make a node of it (Image Builder component schema 1.0), as JSON text."""

    def run(name: str, *commands: str) -> dict[str, Any]:
        return {"name": name, "action": "ExecuteBash", "inputs": {"commands": ["set -euo pipefail", *commands]}}

    document = {
        "name": "hatidata-node",
        "schemaVersion": 1.0,
        "phases": [
            {
                "name": "build",
                "steps": [
                    {
                        "name": "Fetch",
                        "action": "S3Download",
                        "inputs": [{"source": source, "destination": f"{WORK}.zip"}],
                    },
                    run("Packages", f"dnf install --assumeyes {' '.join(PACKAGES)}"),
                    run(
                        "Software",
                        f"rm -rf {WORK} && unzip -q {WORK}.zip -d {WORK}",
                        f"python3.11 -m venv {PREFIX}",
                        f"{PREFIX}/bin/python -m pip install --no-index --find-links {WORK}/wheels"
                        f" --require-hashes --requirement {WORK}/node.lock",
                        f"cp -r {WORK}/rooms/. {PREFIX}/lib/python3.11/site-packages/",
                        f"{PREFIX}/bin/python -m pip uninstall --yes pip setuptools",
                        f"{PREFIX}/bin/python -I -m cdk_app.boot install",
                        "systemd-sysusers && systemd-tmpfiles --create",
                    ),
                    run(
                        "Harden",
                        "systemctl disable --now sshd.service || true",
                        "systemctl enable amazon-ssm-agent.service",
                        "systemctl mask --now ec2-instance-connect.service || true",
                        f"rm -rf {WORK} {WORK}.zip",
                        "dnf clean all && rm -f /etc/yum.repos.d/*.repo",
                    ),
                ],
            },
            {
                "name": "validate",
                "steps": [
                    run(
                        "Whole",
                        f"{PREFIX}/bin/python -I -c 'import duckdb, engine.node, cdk_app.boot.cache_volume'",
                        "cryptsetup --version",
                        f"systemctl is-enabled {paths.CACHE_UNIT} {paths.ENGINE_UNIT} amazon-ssm-agent.service",
                    )
                ],
            },
        ],
    }
    return json.dumps(document, indent=1)
