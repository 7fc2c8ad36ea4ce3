# ruff: noqa: E501 - a list of forms reads better in few lines
"""Random queries over the catalog, whose answers a real PostgreSQL 15 gives too: relations, columns, joins, functions."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import strategies as st


@dataclass(frozen=True)
class Relation:
    """A system relation: columns by kind, and what keeps its rows few and the same on both sides.

    Left out are columns that differ on purpose: figures (`relpages`), storage (`relfilenode`, `reltoastrelid`),
    access lists of the owner (`relacl`), what may be written (`is_insertable_into`), a view's text.
    """

    name: str
    filter: str
    oids: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    chars: tuple[str, ...] = ()
    bools: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()

    def kinds(self) -> dict[str, tuple[str, ...]]:
        found = {"oid": self.oids, "name": self.names, "char": self.chars, "bool": self.bools}
        return {kind: names for kind, names in {**found, "number": self.numbers, "text": self.texts}.items() if names}


_FEW = "('pg_am', 'pg_type', 'pg_tables', 'tables', 'orders', 'customers', 't', 'v_orders')"
RELATIONS = {
    "c": Relation(
        "pg_class", f"{{a}}.relname in {_FEW}", ("oid", "relnamespace", "relowner", "reltype", "reloftype"),
        ("relname",), ("relkind", "relpersistence", "relreplident"),
        ("relhasindex", "relhasrules", "relispartition", "relisshared", "relrowsecurity"),
        ("relnatts", "relchecks"),
    ),
    "a": Relation(
        "pg_catalog.pg_attribute", "{a}.attrelid in ('sales.orders'::regclass, 'main.t'::regclass, 'pg_am'::regclass)",
        ("attrelid", "atttypid", "attcollation"), ("attname",), ("attidentity", "attalign", "attstorage"),
        ("attnotnull", "atthasdef", "attisdropped", "attbyval"), ("attnum", "attlen", "atttypmod", "attndims"),
    ),
    "n": Relation("pg_namespace", "true", ("oid", "nspowner"), ("nspname",)),
    "y": Relation(
        "pg_type", "({a}.oid < 100 or {a}.typname in ('numeric', 'orders', '_orders', 'uuid', 'int4range'))",
        ("oid", "typnamespace", "typrelid", "typelem", "typarray", "typbasetype"), ("typname",),
        ("typtype", "typcategory", "typdelim", "typalign"), ("typbyval", "typispreferred", "typnotnull"),
        ("typlen", "typtypmod", "typndims"), ("typdefault",),
    ),
    "i": Relation(
        "pg_index", "{a}.indrelid in ('pg_am'::regclass, 'pg_type'::regclass)", ("indexrelid", "indrelid"), (), (),
        ("indisunique", "indisprimary", "indisvalid"), ("indnatts",),
    ),
    "s": Relation(
        "information_schema.tables", f"{{a}}.table_name in {_FEW}", (),
        ("table_catalog", "table_schema", "table_name"), (), (), (), ("table_type", "is_typed"),
    ),
    "k": Relation(
        "information_schema.columns", "{a}.table_schema in ('sales', 'main')", (),
        ("table_schema", "table_name", "column_name", "udt_name"), (), (),
        ("ordinal_position", "numeric_precision", "numeric_scale", "character_octet_length", "datetime_precision"),
        ("data_type", "is_nullable", "dtd_identifier"),
    ),
    "p": Relation("pg_tables", f"{{a}}.tablename in {_FEW}", (), ("schemaname", "tablename", "tableowner"), (), ("hasindexes",)),
}  # fmt: skip
JOINS = [
    ("c", "n", "{0}.relnamespace = {1}.oid"), ("a", "c", "{0}.attrelid = {1}.oid"), ("a", "y", "{0}.atttypid = {1}.oid"),
    ("y", "n", "{0}.typnamespace = {1}.oid"), ("c", "y", "{0}.reltype = {1}.oid"), ("i", "c", "{0}.indrelid = {1}.oid"),
    ("k", "s", "{0}.table_name = {1}.table_name and {0}.table_schema = {1}.table_schema"),
    ("c", "s", "{0}.relname = {1}.table_name"), ("c", "p", "{0}.relname = {1}.tablename"),
    ("k", "c", "{0}.table_name = {1}.relname"), ("n", "s", "{0}.nspname = {1}.table_schema"),
    ("c", "c", "{0}.relnamespace = {1}.relnamespace"), ("a", "i", "{0}.attrelid = {1}.indrelid"),
]  # fmt: skip
"""(left, right, condition)"""


@dataclass(frozen=True)
class _Source:
    alias: str
    relation: Relation


@st.composite
def _sources(draw: st.DrawFn) -> tuple[str, list[_Source]]:
    first = draw(st.sampled_from(sorted(RELATIONS)))
    found = [_Source("t0", RELATIONS[first])]
    keys = [first]
    text = f"{RELATIONS[first].name} t0"
    for number in range(1, draw(st.integers(1, 3))):
        edges = [(keys.index(k), o, c, k == left) for left, right, c in JOINS for k, o in ((left, right), (right, left))
                 if k in keys]  # fmt: skip
        place, other, condition, forward = draw(st.sampled_from(edges))
        pair = (f"t{place}", f"t{number}") if forward else (f"t{number}", f"t{place}")
        kind = draw(st.sampled_from(["join", "left join", "inner join"]))
        more = f" and {RELATIONS[other].filter.format(a=f't{number}')}"
        text += f" {kind} {RELATIONS[other].name} as t{number} on {condition.format(*pair)}{more}"
        keys.append(other)
        found.append(_Source(f"t{number}", RELATIONS[other]))
    return text, found


def _column(draw: st.DrawFn, sources: list[_Source], *kinds: str) -> tuple[str, str]:
    options = [
        (f"{s.alias}.{name}", kind)
        for s in sources
        for kind, names in s.relation.kinds().items()
        for name in names
        if not kinds or kind in kinds
    ]
    return draw(st.sampled_from(options)) if options else ("'x'", "text")


_WORDS = ["orders", "oid", "pg_am", "main", "a", "numeric", "text", "int4", "relname", "'quoted'", "Ä", ""]
_PATTERNS = ["o%", "%e%", "pg\\_%", "_", "%s", "%"]
_REGEXES = ["^pg_", "r", "(a|o)$", "^[a-m]", "^(orders)$", "s{1}"]


@st.composite
def _predicate(draw: st.DrawFn, sources: list[_Source], depth: int = 0) -> str:
    if depth < 2 and draw(st.integers(0, 3)) == 0:
        left, right = draw(_predicate(sources, depth + 1)), draw(_predicate(sources, depth + 1))
        return draw(st.sampled_from([f"({left} and {right})", f"({left} or {right})", f"(not {left})"]))
    column, kind = _column(draw, sources)

    def word() -> str:
        return "'" + draw(st.sampled_from(_WORDS)).replace("'", "''") + "'"

    if kind == "oid":
        return draw(
            st.sampled_from(
                [f"{column} >= 16384", f"{column} < 1000", f"{column} = 0", f"{column} in (23, 25, 1700, 26)",
                 f"{column} = 'sales.orders'::regclass", f"{column} = any(array['pg_am', 'main.t']::regclass[])",
                 f"{column}::regclass::text like '%o%'", f"{column} <> 'main'::regnamespace", f"{column} is not null",
                 f"{column} in (select oid from pg_class where relkind = 'v')", f"{column} = '23'"]
            )
        )  # fmt: skip
    if kind in ("name", "text"):
        return draw(
            st.sampled_from(
                [f"{column} = {word()}", f"{column} <> {word()}", f"{column} < {word()}",
                 f"{column} like '{draw(st.sampled_from(_PATTERNS))}'", f"{column} not like 'o%'",
                 f"{column} ~ '{draw(st.sampled_from(_REGEXES))}'", f"{column} !~* '^O'", f"{column} ilike 'O%'",
                 f"{column} in ({word()}, {word()})", f"{column} = any(array[{word()}, {word()}])",
                 f"{column}::text = any(string_to_array('orders,a,main', ','))", f"{column} between 'a' and 'p'",
                 f"length({column}) > 4", f"{column} is null", f"coalesce({column}, '') <> ''",
                 f"{column} operator(pg_catalog.~) '^(o.*)$'", f"{column} collate \"C\" > 'm'"]
            )
        )  # fmt: skip
    if kind == "char":
        return draw(st.sampled_from([f"{column} in ('r', 'v', 'b')", f"{column} = 'r'", f"{column} <> ''",
                                     f"{column} = any('{{r,v,c}}')", f"{column}::text ~ '[a-m]'"]))  # fmt: skip
    if kind == "bool":
        return draw(st.sampled_from([column, f"not {column}", f"{column} is true", f"{column} = 'f'"]))
    return draw(st.sampled_from([f"{column} > 0", f"{column} between 1 and 4", f"{column} % 2 = 0", f"{column} = -1",
                                 f"{column} in (1, 2, 7)", f"{column} is null", f"abs({column}) + 1 > 3"]))  # fmt: skip


@st.composite
def _value(draw: st.DrawFn, sources: list[_Source]) -> str:
    column, kind = _column(draw, sources)
    plain = [column, column, column]
    if kind == "oid":
        return draw(st.sampled_from([*plain, f"{column}::regclass", f"{column}::regtype::text", f"format_type({column}, null)",
            f"format_type({column}, -1)", f"pg_get_userbyid({column})", f"pg_table_is_visible({column})",
            f"pg_type_is_visible({column})", f"has_table_privilege({column}, 'SELECT')", f"obj_description({column}, 'pg_class')",
            f"obj_description({column}, 'pg_type')", f"has_schema_privilege({column}, 'USAGE')", f"{column}::regnamespace",
            f"nullif({column}, 0)", f"(select relname from pg_class where oid = {column})",
            f"(select count(*) from pg_attribute where attrelid = {column} and attnum > 0)",
            f"exists (select 1 from pg_namespace where oid = {column})",
            f"array(select attname from pg_attribute where attrelid = {column} and attnum > 0 order by attnum)",
            f"(select string_agg(attname, ',' order by attnum) from pg_attribute where attrelid = {column} and attnum between 1 and 3)"]))  # fmt: skip
    if kind in ("name", "text"):
        return draw(st.sampled_from([*plain, f"{column}::text", f"upper({column})", f"quote_ident({column})", f"length({column})",
            f"{column} || '.' || 'x'", f"coalesce({column}, 'none')", f"substring({column} from 2 for 3)", f"left({column}, 2)",
            f"case when {column} = 'orders' then 1 else 0 end", f"case {column} when 'a' then 'x'::text else {column} end",
            f"concat({column}, null, 1)", f"format('%I.%s', {column}, {column})", f"{column}::varchar(3)", f"md5({column})",
            f"replace({column}, '_', '-')", f"split_part({column}, '_', 1)", f"to_regclass('sales.' || {column})",
            f"json_build_object('n', {column})", f"{column} = 'orders'", f"starts_with({column}, 'o')", f"array[{column}::text]",
            f"regexp_replace({column}, '[aeiou]', '*', 'g')", f"translate({column}, 'aeiou', 'AEIOU')", f"{column}::name"]))  # fmt: skip
    if kind == "char":
        return draw(
            st.sampled_from([*plain, f"{column}::text", f"case {column} when 'r' then 'table' else 'other' end"])
        )
    if kind == "bool":
        return draw(
            st.sampled_from(
                [*plain, f"not {column}", f"{column}::text", f"{column}::int", f"case when {column} then 'Y' end"]
            )
        )
    return draw(st.sampled_from([*plain, f"{column}::int8", f"{column} + 1", f"{column}::text", f"{column} * 2", f"-{column}",
                                 f"{column} / 2", f"coalesce({column}, 0)", f"greatest({column}, 3)"]))  # fmt: skip


@st.composite
def _aggregate(draw: st.DrawFn, sources: list[_Source]) -> str:
    column, kind = _column(draw, sources, "name", "text", "number", "bool")
    if kind == "number":
        return draw(st.sampled_from([f"sum({column})", f"min({column})", f"max({column})", f"count({column})"]))
    if kind == "bool":
        return draw(st.sampled_from([f"bool_or({column})", f"bool_and({column})", f"count(*) filter (where {column})"]))
    return draw(st.sampled_from([f"min({column})", f"max({column})", f"count(distinct {column})", "count(*)",
        f"string_agg({column}, ',' order by {column})", f"array_agg({column}::text order by {column} desc)",
        f"json_agg({column} order by {column})", f"array_to_string(array_agg({column}::text order by {column}), '/')"]))  # fmt: skip


@st.composite
def queries(draw: st.DrawFn) -> str:
    """One SELECT that PostgreSQL accepts nearly always."""
    text, sources = draw(_sources())
    where = f"{sources[0].relation.filter.format(a='t0')}"
    for predicate in draw(st.lists(_predicate(sources), max_size=2)):
        where += f" and {predicate}"
    shape = draw(st.integers(0, 5))
    if shape == 0:
        groups = draw(st.lists(_value(sources), min_size=1, max_size=2))
        targets = [*groups, *draw(st.lists(_aggregate(sources), min_size=1, max_size=2))]
        places = ", ".join(str(place) for place in range(1, len(groups) + 1))
        return f"select {', '.join(targets)} from {text} where {where} group by {places}"
    values = draw(st.lists(_value(sources), min_size=1, max_size=4))
    shown = ", ".join(f"{value} as v{place}" if draw(st.booleans()) else value for place, value in enumerate(values))
    query = f"select {'distinct ' if shape == 1 else ''}{shown} from {text} where {where}"
    if shape == 2:
        return f"select count(*), count(q) from (select {values[0]} as q from {text} where {where}) x"
    if shape == 3:
        return (
            f"with w as (select {values[0]} as q from {text} where {where}) select q from w union all select q from w"
        )
    if shape == 4:
        return f"select x.* from ({query}) x where true"
    return query
