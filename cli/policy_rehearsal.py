"""Policy tests run in this process: the pipeline and an engine over the samples, without ports, workers or homes."""

from __future__ import annotations

import time
from datetime import datetime
from pathlib import Path

from cli import yaml_document
from engine.catalog.view import PrincipalCatalog
from engine.executor.sample_run import Rehearsal
from engine.executor.second_parser import DuckDBParser
from engine.pipeline import Pipeline
from governance.errors import InvalidRequest, Refusal
from governance.policies import Condition
from governance.policy_test_file import DEFAULT_MOMENT, Expectation, parse_policy_tests, principal_of, rulebook_of
from governance.policy_test_result import Got, Verdict, judge
from governance.policy_text import check_policy
from governance.rulebook import Rulebook
from governance.state_file import parse_state


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
