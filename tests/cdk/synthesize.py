"""Write the assembly of a deployment to a folder: run as a process of its own, so that only one holds jsii.

`synthesize.py SETTINGS OUT [review]`; without `review` only the templates, faster.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from cdk_app.__main__ import context, use_locked_node


def main(settings: Path, out: Path, *, reviewed: bool) -> None:
    use_locked_node()
    import aws_cdk as cdk

    from cdk_app.app import compose
    from cdk_app.review import review
    from cdk_app.settings import read_deployment
    from cdk_app.software import Software

    folders = [out / name for name in ("layer", "functions", "node")]
    for folder in folders:
        folder.mkdir(parents=True)
        (folder / "stand-in").write_text("of the wheels and rooms that a real synthesis deploys")
    app = cdk.App(context=context(), outdir=str(out / "assembly"))
    deployment = read_deployment(settings)
    compose(app, deployment, Software(*folders))
    if reviewed:
        review(app, deployment)
    app.synth()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), reviewed="review" in sys.argv[3:])
