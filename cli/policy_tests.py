"""`hatidata policies test`: expectations run against a policy set and sample data, without any server.

Exit codes: 0 every test passed, 1 some did not, 2 a file is not well formed.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated
from xml.etree import ElementTree

import typer

from cli import show
from cli.exits import REFUSED, UsageWrong
from governance.errors import InvalidRequest
from governance.policy_test_result import Verdict


def run_tests(
    files: Annotated[list[Path], typer.Argument(help="Test files (YAML or JSON); docs/policies.md.")],
    json: Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")] = False,
    junit: Annotated[Path | None, typer.Option(help="Also write a JUnit report here.")] = None,
) -> None:
    """Run expectations against a policy set and sample data; no server is needed."""
    from cli.policy_rehearsal import run_file  # the engine is slow to load, and other verbs do without

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
