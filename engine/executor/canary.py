"""The start-up canary: does the installed DuckDB still keep what row security relies on.

The barrier (`OFFSET 0`), the CASE guard, the seal (COALESCE), the copy (of lists) and the switched-off statistics are
properties of an implementation, not of a standard. Twin tables that differ only in hidden rows are asked the same
questions; a node whose twins answer differently refuses to serve.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import duckdb

from engine.catalog.view import PrincipalCatalog
from engine.executor.second_parser import DuckDBParser
from engine.pipeline.pipeline import Pipeline
from governance.errors import EngineFailed
from governance.policies import Mask, MaskFunction, RowFilter
from governance.principals import Principal
from governance.roles import Role
from governance.rulebook import Rulebook
from governance.scopes import BUNDLES
from governance.tables import Column, Table, TableName

_NAME = TableName("canary", "t")
_TABLE = Table(
    _NAME,
    (
        Column("id", "INTEGER"), Column("org", "INTEGER"), Column("amount", "DECIMAL(12,2)"), Column("word", "VARCHAR"),
        Column("secret", "VARCHAR"), Column("moment", "TIMESTAMP"), Column("words", "VARCHAR[]"),
        Column("pair", "STRUCT(a VARCHAR)"),
    ),
)  # fmt: skip
_VISIBLE = (
    "SELECT i * 2 AS id, 1 AS org, 1.00 AS amount, '1' AS word, '11' || i AS secret, "
    "TIMESTAMP '2020-01-01' AS moment, ['1'] AS words, {'a': '1'} AS pair"
)
_HIDDEN = (
    "SELECT i * 2 + 1, 2, 9999999999.99, 'HIDDEN', 'HIDDEN' || i, TIMESTAMP '290000-01-01', ['HIDDEN'], "
    "{{'a': 'HIDDEN'}} FROM range({rows}) r(i)"
)
_PROBES = (
    "SELECT count(*) FROM canary.t WHERE amount::SMALLINT >= 0",
    "SELECT count(*) FROM canary.t WHERE [word]::INTEGER[] IS NOT NULL",
    "SELECT count(*) FROM canary.t WHERE {'a': word}::STRUCT(a INTEGER) IS NOT NULL",
    "SELECT count(*) FROM canary.t WHERE epoch_ns(moment) <> 1",
    "SELECT count(*) FROM canary.t WHERE moment::TIMESTAMP_NS IS NOT NULL",
    "SELECT count(*) FROM canary.t WHERE list_filter([word], lambda x: x::INTEGER > 0) IS NOT NULL",
    "SELECT count(*) FROM canary.t WHERE CASE WHEN word IS NULL THEN 'x'::INTEGER = 1 ELSE true END",
    "SELECT count(*) FROM (SELECT true AS p UNION ALL SELECT amount::SMALLINT > 0 FROM canary.t) WHERE p",
    "SELECT bool_and(hamming(word, '1') = 0), min(epoch_ns(moment)) FROM canary.t",
    "SELECT min(len(list_transform([word], lambda x: x::INTEGER))) FROM canary.t",
    "SELECT max([words]::INTEGER[][]), max((CASE WHEN id % 4 = 0 THEN words END)::INTEGER[]) FROM canary.t",
    "SELECT max(pair.a::INTEGER) FROM canary.t",
    "SELECT count(*), sum(amount), min(secret), max(word), max(moment) FROM canary.t",
    "SELECT count(*) FROM canary.t WHERE secret LIKE '1%' OR word = 'HIDDEN'",
    "SELECT id FROM canary.t WHERE id = 4 AND id::TINYINT > 0",
    "SELECT id, secret FROM canary.t ORDER BY secret DESC, id LIMIT 3",
)


def check_engine() -> None:
    """Refuse to go on when the canary sings.

    Raises:
        EngineFailed: twins answered differently; `reason` says to how many probes.
    """
    broken = canary()
    if broken:
        raise EngineFailed(
            "The installed DuckDB does not keep row security: the node does not serve.",
            kind="startup",
            advice="Install the pinned version of DuckDB.",
            reason=f"{len(broken)} canary probes answered differently over twins",
        )


def canary(hidden_rows: int = 60_000) -> list[str]:
    """The probes that answer differently over the twins; empty when the installed DuckDB may be relied on."""
    parser = DuckDBParser()
    try:
        with tempfile.TemporaryDirectory(prefix="hatidata-canary-") as folder:
            twins = [list(_answers(parser, rows, Path(folder))) for rows in (hidden_rows, 0)]
    finally:
        parser.close()
    return [probe for probe, one, two in zip(_PROBES, *twins, strict=True) if one != two]


def _answers(parser: DuckDBParser, hidden_rows: int, folder: Path) -> Iterator[object]:
    who = Principal("canary", "canary", "1", Role.ANALYST, frozenset(BUNDLES["read_only"]), "canary", "canary")
    rules = Rulebook(
        "canary", 1, "2020-01-01T00:00:00+00:00", "1", (("1", "canary"),), (("canary", "1"),),
        policies=(
            RowFilter("f", "f", _NAME, "org = {org_id}"),
            Mask("m", "m", _NAME, "secret", MaskFunction.PARTIAL, 2),
        ),
    )  # fmt: skip
    catalog = PrincipalCatalog({_NAME.key: _TABLE}, rules, who)
    pipeline = Pipeline(parser)
    with duckdb.connect(":memory:", config={"threads": "1"}) as db:
        db.execute("SET disabled_optimizers='statistics_propagation'")
        rows = f"{_VISIBLE} FROM range(2000) r(i) UNION ALL {_HIDDEN.format(rows=hidden_rows)}"
        file = str(folder / f"{hidden_rows}.parquet").replace("'", "''")
        db.execute(
            f"COPY (SELECT * FROM ({rows}) ORDER BY hash(id)) TO '{file}' (FORMAT parquet, ROW_GROUP_SIZE 10000)"
        )
        for probe in _PROBES:
            text = pipeline.govern(probe, who, catalog, rules).sql(lambda _: f"read_parquet('{file}')")
            try:
                yield db.execute(text).fetchall()
            except duckdb.Error as error:
                yield type(error).__name__
