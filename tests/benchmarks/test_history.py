"""The quick profile against what was recorded: a ratio that grows by half fails."""

from __future__ import annotations

import re

import pytest

from benchmarks import data, side_by_side
from benchmarks.__main__ import FOLDER
from benchmarks.history import kept, regressions
from benchmarks.report import HISTORY, Line, Report
from tests.support import postgres15

TEXT = """
## run
| figure | value | target | detail |
|---|---|---|---|
| read, server CPU | 1.2 x |  |  |
| read, wall | 40 ms | <= 50 ms ok |  |

## before
| read, server CPU | 0.8 x |  |  |
| read, server CPU | 1 x |  |  |
"""


def test_recorded_figures_are_read_back_newest_first() -> None:
    assert kept(TEXT) == {"read, server CPU": [1.2, 0.8, 1.0], "read, wall": [40.0]}
    recorded = kept(HISTORY.read_text())
    assert len(recorded["full read 1M x 16, text, server CPU, against PostgreSQL 15"]) >= 2


def test_a_report_is_read_back_as_it_was_written() -> None:
    report = Report()
    report.add("some ratio", 1.234, "x", 1.0, "why")
    assert kept(report.markdown()) == {"some ratio": [1.23]}


@pytest.mark.parametrize(("value", "unit", "worse"), [(1.5, "x", False), (1.51, "x", True), (9.0, "ms", False)])
def test_only_a_ratio_half_as_much_again_is_a_regression(value: float, unit: str, worse: bool) -> None:
    assert bool(regressions([Line("read, server CPU", value, unit)], TEXT)) is worse
    assert not regressions([Line("a new figure", 100.0, "x")], TEXT)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(bool(postgres15.missing()), reason=postgres15.missing())
def test_no_cpu_ratio_of_the_quick_profile_regresses_by_half() -> None:
    """CPU seconds hold when the machine is busy, where wall time does not."""
    report = Report()
    FOLDER.mkdir(exist_ok=True)
    side_by_side.run(report, FOLDER, data.prepare(FOLDER), {"drain"}, 3)
    steady = [line for line in report.lines if re.search(r"server CPU, against", line.name)]
    assert len(steady) == 2
    assert regressions(steady) == []
