"""`hatidata policies test`: expectations run against a policy set and sample data, without any server.

Exit codes: 0 every test passed, 1 some did not, 2 a file is not well formed.
"""

from __future__ import annotations

import time
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Annotated
from xml.etree import ElementTree

import typer

from cli import show, yaml_document
from cli.exits import REFUSED, UsageWrong
from engine.catalog.view import PrincipalCatalog
from engine.executor.sample_run import Rehearsal
from engine.executor.second_parser import DuckDBParser
from engine.pipeline import Pipeline
from governance.errors import InvalidRequest, Refusal
from governance.policies import Condition
from governance.policy_test_file import (
    DEFAULT_MOMENT,
    Expectation,
    parse_policy_tests,
    principal_of,
    rulebook_of,
)
from governance.policy_test_result import Got, Verdict, judge
from governance.policy_text import check_policy
from governance.rulebook import Rulebook
from governance.state_file import parse_state


def run_tests(
    files: Annotated[list[Path], typer.Argument(help="Test files (YAML or JSON); docs/policies.md.")],
    json: Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")] = False,
    junit: Annotated[Path | None, typer.Option(help="Also write a JUnit report here.")] = None,
) -> None:
    """Run expectations against a policy set and sample data; no server is needed."""
    verdicts: dict[str, list[tuple[Verdict, float]]] = {}
    for file in files:
        try:
            verdicts[str(file)] = run_file(file)
        except InvalidRequest as error:
            raise UsageWrong(f"{file}: {error.message} {error.advice}".rstrip()) from None
    if junit is not None:
        junit.write_bytes(_junit(verdicts))
    failed = [v for each in verdicts.values() for v, _ in each if not v.passed]
    total = sum(map(len, verdicts.values()))
    if json:
        results = [{"file": file, **asdict(v), "passed": v.passed} for file, each in verdicts.items() for v, _ in each]
        show.as_json({"passed": total - len(failed), "failed": len(failed), "results": results})
    else:
        _print(verdicts)
        print(f"{total - len(failed)} passed, {len(failed)} failed")
    if failed:
        raise typer.Exit(REFUSED)


class _TestClock:
    """Says what the test says."""

    def __init__(self) -> None:
        self.moment: datetime = DEFAULT_MOMENT

    def __call__(self) -> datetime:
        return self.moment


def run_file(file: Path) -> list[tuple[Verdict, float]]:
    """Every test of a file in order, with the seconds it took.

    Raises:
        InvalidRequest: the file, or the state it names, is not well formed, or a policy does not fit a sample table.
    """
    tests = parse_policy_tests(yaml_document.load(file))
    state = parse_state(yaml_document.load(file.parent / tests.state))
    rulebook = rulebook_of(state, tests.operator)
    parser, clock = DuckDBParser(), _TestClock()
    try:
        with Rehearsal(tests.samples, file.parent) as rehearsal:
            _check_policies(rulebook, rehearsal)
            pipeline = Pipeline(parser, clock=clock)
            return [_timed(e, rulebook, pipeline, rehearsal, clock) for e in tests.expectations]
    finally:
        parser.close()


def _check_policies(rulebook: Rulebook, rehearsal: Rehearsal) -> None:
    """What the control plane checks when a policy is written, against the sample tables."""
    for policy in rulebook.policies:
        if isinstance(policy, Condition):
            continue
        try:
            check_policy(policy, rehearsal.tables.get(policy.table.key))
        except InvalidRequest as error:
            at = f" (character {error.position})" if error.position else ""
            raise InvalidRequest(f"policy {policy.name}: {error.message}{at}", advice=error.advice) from None


def _timed(
    expected: Expectation,
    rulebook: Rulebook,
    pipeline: Pipeline,
    rehearsal: Rehearsal,
    clock: _TestClock,
) -> tuple[Verdict, float]:
    began = time.perf_counter()
    clock.moment = expected.at
    try:
        principal = principal_of(expected.who, rulebook)
    except InvalidRequest as error:
        raise InvalidRequest(f"test {expected.name}: {error.message}") from None
    try:
        catalog = PrincipalCatalog(rehearsal.tables, rulebook, principal)
        governed = pipeline.govern(expected.query, principal, catalog, rulebook)
        columns, rows = rehearsal.run(governed)
        got = Got(columns, rows, governed.columns_masked)
    except Refusal as error:
        got = Got(refused=error.code, message=error.message, reason=error.reason)
    return judge(expected, got), time.perf_counter() - began


def _print(verdicts: dict[str, list[tuple[Verdict, float]]]) -> None:
    rows = [
        {"result": "ok" if v.passed else "FAILED", "test": v.name, "file": file, "why": v.why}
        for file, each in verdicts.items()
        for v, _ in each
    ]
    show.as_table(rows, ("result", "test", "file", "why"))


def _junit(verdicts: dict[str, list[tuple[Verdict, float]]]) -> bytes:
    root = ElementTree.Element("testsuites")
    for file, each in verdicts.items():
        failures = sum(not v.passed for v, _ in each)
        facts = {"name": file, "tests": str(len(each)), "failures": str(failures), "errors": "0"}
        suite = ElementTree.SubElement(root, "testsuite", facts)
        for verdict, seconds in each:
            case = ElementTree.SubElement(
                suite, "testcase", {"classname": Path(file).stem, "name": verdict.name, "time": f"{seconds:.3f}"}
            )
            if not verdict.passed:
                failure = ElementTree.SubElement(case, "failure", {"message": _printable(verdict.why)})
                failure.text = _printable(verdict.query)
    return bytes(ElementTree.tostring(root, encoding="utf-8", xml_declaration=True))


def _printable(text: str) -> str:
    """What may stand in XML."""
    return "".join(c if c in "\n\t" or c.isprintable() else "?" for c in text)
