"""The reviewers: clean under four packs, CDK's own rules, cfn-lint and our promises; and each of them can fail."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from cdk_app.acknowledged import ACKNOWLEDGED
from tests.cdk.cloud import OFFENDING
from tests.cdk.conftest import ROOT

RULES = ROOT / "cdk_app" / "rules"

_PACKS = {"AwsSolutions", "HIPAA.Security", "NIST.800.53.R5", "PCI.DSS.321"}


def findings(folder: Path) -> set[tuple[str, str]]:
    """(rule, construct below the deployment's name) of everything that a reviewer found and nobody acknowledged."""
    plugins = json.loads((folder / "validation-report.json").read_text())["pluginReports"]
    return {
        (finding["ruleName"].rsplit("::", 1)[-1], construct["constructPath"].removeprefix("hatidata-"))
        for plugin in plugins
        for finding in plugin["violations"]
        for construct in finding["violatingConstructs"]
    }


def test_what_four_packs_and_our_promises_find_is_what_we_have_reasons_for(assembly: Callable[[str], Path]) -> None:
    found = {each for each in findings(assembly("example")) if not each[1].startswith(OFFENDING)}
    told = {(rule, path) for entry in ACKNOWLEDGED for rule in entry.rules for path in entry.constructs}
    assert found == told
    assert {rule.split("-")[0] for rule, _ in found} == _PACKS
    assert all(len(entry.reason) > 80 for entry in ACKNOWLEDGED)


def test_with_the_reasons_given_the_reviewers_are_content(assembly: Callable[[str], Path]) -> None:
    assert findings(assembly("guest")) == set()


def test_the_reasons_stand_in_the_templates(assembly: Callable[[str], Path]) -> None:
    template = json.loads((assembly("guest") / "hatidata-nodes.template.json").read_text())
    (group,) = [each for each in template["Resources"].values() if each["Type"] == "AWS::AutoScaling::AutoScalingGroup"]
    assert "luks_erase" in json.dumps(group["Metadata"])


def test_each_of_our_promises_refuses_what_breaks_it(assembly: Callable[[str], Path]) -> None:
    promised = {rule for path in RULES.glob("*.guard") for rule in re.findall(r"(?m)^rule (\w+)", path.read_text())}
    broken = {rule for rule, path in findings(assembly("example")) if path.startswith(OFFENDING)}
    assert promised - broken == set()


def test_cfn_lint_is_clean(assembly: Callable[[str], Path]) -> None:
    templates = [
        str(path)
        for variant in ("example", "guest")
        for path in assembly(variant).glob("*.template.json")
        if OFFENDING not in path.name
    ]
    ran = subprocess.run(
        [sys.executable, "-m", "cfnlint", "--regions", "ap-southeast-1", "--ignore-checks", "W3005,W3010",
         "--format", "json", "--", *templates],
        capture_output=True, text=True, check=False, timeout=280,
    )  # fmt: skip
    said = [
        f"{each['Rule']['Id']} {Path(each['Filename']).name} {each['Message']}"
        for each in json.loads(ran.stdout or "[]")
    ]
    assert said == [], ran.stderr[-2000:]
