# ruff: noqa: E501
"""Attacks by mutation: kept attacks and analysts' queries nested in one another, throwing expressions in every place.

11,000 of them found nothing but the order of joined rows, which follows vectors (threat model); some go with every run.
"""

from __future__ import annotations

import re
from random import Random

import pytest

from tests.engine.pipeline.red_twins import MARK, Twin
from tests.engine.pipeline.test_red_analysts import QUERIES
from tests.engine.pipeline.test_red_observables import ATTACKS
from tests.engine.pipeline.throwing import THROWING, UPON_NULL

_ROUNDS, _EACH = 4, 30
_COLUMNS = [
    "id",
    "g",
    "name",
    "num",
    "dec",
    "f",
    "d",
    "ts",
    "tags",
    "info",
    "m",
    "j",
    "nested",
    "ssn",
    "phone",
    "pay",
    "email",
    "memo",
    "ii",
    "org_id",
]
_THEIRS = {
    "t": "name", "d2": "g", "big": "num", "amt": "dec", "dt": "d", "neg": "num", "blobby": "g", "pos": "f", "unit": "f",
    "region": "g", "pat": "name", "esc": "name", "hexy": "name", "b64": "name", "fmt": "name", "fmt2": "name",
    "sf": "name", "part": "name", "mon": "num", "zone": "g", "jp": "name", "agg": "name", "ord": "name", "setb": "name",
}  # fmt: skip
_NAMES = re.compile(r"\b(" + "|".join(_THEIRS) + r")\b(?!\()")
_THROW = [_NAMES.sub(lambda m: _THEIRS[m[1]], e) for e in THROWING + UPON_NULL]
_THROW += [
    "ssn::INT > 0", "pay + 1 > 0", "tags[2]::INT > 0", "(j->>'$.a')::INT > 0", "nested[1].a::INT > 0", "hash(t) > 0",
    "left(name, num::INT) <> 'z'", "tz + INTERVAL 1 MONTH > '2020-01-01'", "sqrt(num - 1) >= 0",
    "num = (SELECT max(num) FROM s.t)", "EXISTS (FROM s.o WHERE o.tid = t.id AND o.amt::TINYINT > 3)",
]  # fmt: skip
_SEEDS = [q for q in QUERIES + ATTACKS if q.startswith(("SELECT", "WITH", "FROM")) and "POSITIONAL" not in q]
_FORMS = (
    "SELECT count(*) FROM ({seed}) q",
    "WITH c AS MATERIALIZED ({seed}) SELECT count(*) FROM c WHERE (SELECT count(*) FROM ({seed2}) z) >= 0",
    "SELECT id FROM s.t WHERE EXISTS ({seed}) ORDER BY id LIMIT 3",
    "SELECT (SELECT count(*) FROM ({seed}) q) + (SELECT count(*) FROM ({seed2}) r)",
    "SELECT count(*) FROM (SELECT q::VARCHAR FROM ({seed}) q EXCEPT SELECT q::VARCHAR FROM ({seed2}) q)",
    "SELECT id FROM {relation} WHERE {condition} ORDER BY ({condition2}), id LIMIT 20",
    "SELECT {column}, count(*) FROM {relation} GROUP BY ALL HAVING bool_or({condition}) ORDER BY ALL",
    "SELECT g, max({column}), count(*) FILTER (WHERE {condition}) FROM {relation} GROUP BY ROLLUP (g) ORDER BY ALL",
    "SELECT id, row_number() OVER (PARTITION BY {column} ORDER BY id) rn FROM s.t QUALIFY rn <= 2 AND ({condition}) ORDER BY ALL LIMIT 30",
    "SELECT x.* FROM s.o, LATERAL (SELECT id, {column} AS z FROM s.t WHERE t.id = o.tid AND ({condition})) x ORDER BY ALL LIMIT 20",
    "SELECT list({column} ORDER BY id), string_agg(g ORDER BY ({condition}), id) FROM s.t",
    "SELECT lag({column}) OVER (ORDER BY ({condition}), id) AS l, id FROM s.t WHERE {condition2} ORDER BY id LIMIT 20",
    "SELECT ({condition}) AS p, count(*) FROM {relation} GROUP BY 1 ORDER BY ALL",
    "SELECT count(*) FROM s.t a JOIN s.t t ON a.id = t.id AND ({condition})",
    "SELECT id, (SELECT max(o.amt) FROM s.o WHERE o.tid = t.id AND ({condition})) FROM s.t ORDER BY id LIMIT 10",
    "SELECT id FROM s.t WHERE {condition} LIMIT (SELECT count(*) % 50 FROM {relation} WHERE {condition2})",
    "FROM (FROM s.t SELECT *, ({condition}) AS pr) SELECT pr, id WHERE pr IS NOT NULL ORDER BY {column}, id LIMIT 7",
)
_RELATIONS = (
    "s.t", "(SELECT * FROM s.t) t", "(SELECT *, ({condition}) AS probe FROM s.t) t",
    "(SELECT * FROM s.t WHERE {condition}) t", "s.t LEFT JOIN s.h USING (id)", "s.t JOIN s.o ON t.id = o.tid",
    "(SELECT * FROM s.t ORDER BY num, id LIMIT 50) t", "(SELECT * FROM s.t UNION ALL SELECT * FROM s.t WHERE num > 5) t",
)  # fmt: skip


def _condition(random: Random) -> str:
    one, two = random.choice(_THROW), random.choice(_THROW)
    return random.choice(
        (one, one, one, f"({one}) AND ({two})", f"({one}) OR ({two})", f"NOT ({one})", f"coalesce(({one}), ({two}))",
         f"CASE WHEN {one} THEN true ELSE {two} END")
    )  # fmt: skip


def _query(random: Random) -> str:
    def fill(text: str) -> str:
        return text.replace("{condition}", _condition(random)).replace("{condition2}", _condition(random))

    return fill(
        random.choice(_FORMS)
        .replace("{seed}", random.choice(_SEEDS))
        .replace("{seed2}", random.choice(_SEEDS))
        .replace("{relation}", random.choice(_RELATIONS))
        .replace("{column}", random.choice(_COLUMNS))
    )


@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory) -> tuple[Twin, Twin]:
    folder = tmp_path_factory.mktemp("mutations")
    return Twin(folder, "A", 10), Twin(folder, "B", 0)


@pytest.mark.parametrize("seed", range(_ROUNDS))
def test_w4_8_no_mutation_tells_of_hidden_rows(twins: tuple[Twin, Twin], seed: int) -> None:
    random = Random(seed)
    ran = 0
    for _ in range(_EACH):
        sql = _query(random)
        one, two = (twin.ask(sql) for twin in twins)
        assert repr(one) == repr(two), sql
        assert MARK in sql or MARK not in repr(one), sql
        ran += one.status == "ok"
    assert ran > _EACH // 4
