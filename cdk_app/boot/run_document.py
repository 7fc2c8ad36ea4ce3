"""The Run Command document of a node's end: three fixed words, no shell of the caller's (claim W6.1).

`lambdas.luks_erase` may send this document and no other, so it can end a node and do nothing else to it.
"""

from __future__ import annotations

from typing import Any

from cdk_app.boot.paths import ENVIRONMENT_FILE, PYTHON
from governance.node_report import NodeStep

STEP_PARAMETER = "step"
TIMEOUT_PARAMETER = "timeoutSeconds"


def run_document() -> dict[str, Any]:
    """The document's content (Systems Manager, schema 2.2): `step` is drain, erase or prove."""
    boot = f"exec {PYTHON} -I -m cdk_app.boot"
    return {
        "schemaVersion": "2.2",
        "description": "HatiData: one step of the end of a query node.",
        "parameters": {
            STEP_PARAMETER: {
                "type": "String",
                "description": "Which step.",
                "allowedValues": [step.value for step in NodeStep],
            },
            TIMEOUT_PARAMETER: {
                "type": "String",
                "description": "How long it may run.",
                "default": "900",
                "allowedPattern": "^[1-9][0-9]{1,4}$",
            },
        },
        "mainSteps": [
            {
                "action": "aws:runShellScript",
                "name": "step",
                "precondition": {"StringEquals": ["platformType", "Linux"]},
                "inputs": {
                    "timeoutSeconds": f"{{{{ {TIMEOUT_PARAMETER} }}}}",
                    "runCommand": [
                        "set -eu",
                        f"set -a; . {ENVIRONMENT_FILE}; set +a",
                        f"{boot} {{{{ {STEP_PARAMETER} }}}}",
                    ],
                },
            }
        ],
    }
