"""Attacks through dictionaries, by type: a safe name is not safe on every type, nor with every argument.

DuckDB runs what it holds for unfailing once over a column's dictionary, which holds hidden rows' values: `+` of
numbers is known to fail, `+` of a moment with a zone is not; `left` takes any count, and fails past 2^32.
"""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest

from engine.pipeline import Pipeline, seals
from engine.pipeline.totals import DICTIONARY_SAFE
from governance.policies import RowFilter
from governance.tables import TableName
from tests.support.governed_lab import PARSER, Lab, Outcome, principal, rulebook

T = TableName("s", "t")
BOOK = rulebook([RowFilter("f", "own", T, "org_id = {org_id}")], [("s", "1")])
_COLUMNS = {  # name: type, visible values, hidden values
    "n": ("BIGINT", ("1", "2"), ("9223372036854775807", "-9223372036854775808", "4294967296")),
    "x": ("DOUBLE", ("1.5", "2"), ("1e308", "'nan'", "'-inf'")),
    "dec": ("DECIMAL(9,2)", ("1.5", "2"), ("9999999.99", "-9999999.99")),
    "name": ("VARCHAR", ("'1'", "'22'"), ("'HIDDEN'", "''", "'%'")),
    "d": ("DATE", ("'2020-01-01'", "'2021-02-03'"), ("'infinity'", "'5000000-01-01'", "DATE '5877642-06-25 (BC)'")),
    "ts": ("TIMESTAMP", ("'2020-01-01'", "'2021-02-03'"), ("'infinity'", "'290000-01-01'")),
    "tz": ("TIMESTAMPTZ", ("'2020-01-01'", "'2021-02-03'"), ("'infinity'", "'290000-01-01'", "'-infinity'")),
    "iv": ("INTERVAL", ("INTERVAL 1 DAY", "INTERVAL 2 MONTH"), ("to_months(2147483647)", "to_days(2147483647)")),
    "info": (
        "STRUCT(tz TIMESTAMPTZ, n BIGINT)",
        ("{'tz': '2020-01-01', 'n': 1}", "{'tz': '2021-01-01', 'n': 2}"),
        ("{'tz': 'infinity', 'n': 9223372036854775807}",),
    ),
}
LEAKED = (
    "tz + INTERVAL 1 DAY",
    "INTERVAL 1 MONTH + tz",
    "tz - INTERVAL 1 MONTH",
    "tz - TIMESTAMPTZ '2020-01-01'",
    "TIMESTAMP '2020-01-01' - tz",
    "DATE '2020-01-01' - tz",
    "TIMESTAMPTZ '2020-01-01' + iv",
    "iv + TIMESTAMPTZ '2020-01-01'",
    "left('abcdef', n)",
    "substring('abcdef', n)",
    "substr('abcdef', 1, n)",
)
"""Each told of hidden rows by failing, in a SELECT list."""
OTHERS = (
    "info.tz + INTERVAL 1 DAY",
    "right('abcdef', n)",
    "name.left(n)",
    "year(tz)",
    "tz::TIMESTAMP - INTERVAL 1 DAY",
    "ts::TIMESTAMPTZ + INTERVAL 1 DAY",
    "concat(tz, iv)",
    "length(name) + n % 3",
)
FORMS = (
    "SELECT {} AS r FROM s.t",
    "SELECT count(*) FROM s.t WHERE ({}) IS NOT NULL",
    "SELECT r FROM (SELECT {} AS r, id FROM s.t) q ORDER BY id LIMIT 3",
    "SELECT r, count(*) FROM (SELECT tz, iv, n, ts, name, info, {} AS r FROM s.t) q GROUP BY ALL ORDER BY ALL",
    "WITH c AS (SELECT id, tz AS z, {} AS r FROM s.t) SELECT max(id), min(z + INTERVAL 1 DAY) FROM c",
)
_SAFE_OPERATORS = tuple(
    f"{a} {sign} {b}"
    for sign, a, b in product("+-*/%", ("n", "x", "dec", "d", "ts"), ("1", "n", "x", "dec", "INTERVAL 1 DAY"))
)


def _twin(folder: Path, hidden: int) -> Lab:
    def item(column: str, at: int) -> str:
        values, type_ = _COLUMNS[column][at], _COLUMNS[column][0]
        cases = " ".join(f"WHEN {k} THEN CAST({v} AS {type_})" for k, v in enumerate(values))
        return f"CASE i % {len(values)} {cases} END AS {column}"

    seen, unseen = (", ".join(item(column, at) for column in _COLUMNS) for at in (1, 2))
    file = folder / f"{hidden}.parquet"
    lab = Lab(["CREATE SCHEMA s"])
    lab.db.execute(
        f"COPY (SELECT * FROM (SELECT i * 10 AS id, 1 AS org_id, {seen} FROM range(1000) r(i) UNION ALL "
        f"SELECT i * 5 + 1, 2, {unseen} FROM range({hidden}) r(i)) ORDER BY id) TO '{file}' (FORMAT parquet)"
    )
    lab.rebuild(["CREATE SCHEMA s", f"CREATE TABLE s.t AS FROM read_parquet('{file}') LIMIT 0"])
    lab.files[T] = f"read_parquet('{file}')"
    return lab


@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory) -> tuple[Lab, Lab]:
    folder = tmp_path_factory.mktemp("dictionaries")
    return _twin(folder, 2000), _twin(folder, 0)


def _ask(lab: Lab, sql: str) -> Outcome:
    """As the executor reads results: by Arrow, which has every moment."""
    text = lab.sql(sql, principal(), BOOK)
    return lab.plain(f"SELECT count(*), min(r), max(r) FROM (SELECT q::VARCHAR AS r FROM ({text}) q)")


@pytest.mark.parametrize("expression", [*LEAKED, *OTHERS])
def test_w4_8_no_function_meets_a_hidden_rows_value_in_a_dictionary(twins: tuple[Lab, Lab], expression: str) -> None:
    for form in FORMS:
        many, none = (_ask(lab, form.format(expression)) for lab in twins)
        assert many == none, form
        assert many.status == "ok", form


def test_what_stays_unsealed_was_measured(twins: tuple[Lab, Lab]) -> None:
    for expression in _SAFE_OPERATORS:
        many, none = (_ask(lab, f"SELECT {expression} AS r FROM s.t") for lab in twins)
        assert many == none, expression


def test_numbers_moments_and_texts_are_not_sealed(twins: tuple[Lab, Lab]) -> None:
    for expression in ("n + 1", "d + INTERVAL 1 DAY", "left(name, 2)", "year(ts) + 1", "sum(tz - tz)"):
        sealed = "COALESCE" in twins[0].sql(f"SELECT {expression} FROM s.t", principal(), BOOK)
        assert sealed == (expression == "sum(tz - tz)"), expression


def test_the_attacks_would_tell_by_names_alone(twins: tuple[Lab, Lab], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seals, "_is_safe", lambda name, *_, **__: name in DICTIONARY_SAFE)
    for lab in twins:
        monkeypatch.setattr(lab, "pipeline", Pipeline(PARSER))
    forms = [f"SELECT {e} AS r FROM s.t" for e in LEAKED]
    told = [sql for sql in forms if _ask(twins[0], sql) != _ask(twins[1], sql)]
    assert len(told) > 5


@pytest.mark.parametrize(
    ("type_", "measured"),
    [
        ("DECIMAL(12, 2)", True),
        ("VARCHAR(3)", True),
        ('STRUCT(a VARCHAR, "INTERVAL" DECIMAL(3,2), s STRUCT(y DOUBLE))', True),
        ("STRUCT(a TIMESTAMP WITH TIME ZONE)", False),
        ('STRUCT("a (, b" INTERVAL)', False),
        ("STRUCT(a INTEGER[])", False),
        ("STRUCT(INTERVAL, INTEGER)", False),
        ("MAP(VARCHAR, INTEGER)", False),
        ("ENUM('INTEGER')", False),
        ("INTERVAL", False),
        ("JSON", False),
    ],
)
def test_which_types_were_measured(type_: str, measured: bool) -> None:
    assert seals.is_measured(type_) is measured
