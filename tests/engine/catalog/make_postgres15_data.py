# ruff: noqa: E501 - queries read better whole
"""Writes engine/catalog/emulation/data from a fresh database of a running PostgreSQL 15 (not a test; run by hand).

    python tests/engine/catalog/make_postgres15_data.py "host=... user=hatidata dbname=fresh"

`fresh` is made from template0, without plpgsql and public, by the bootstrap user `hatidata`. Only facts of the fixed system catalog are taken (object ids below 16384): names, ids and types of system relations,
types, functions and casts, as every PostgreSQL 15 has them.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import psycopg

DATA = Path(__file__).parents[3] / "engine" / "catalog" / "emulation" / "data"

SYSTEM = "(11, 99, (select oid from pg_namespace where nspname = 'information_schema'))"
CLASSES = f"relnamespace in {SYSTEM} and c.oid < 16384"
WHOLE = "am amop amproc aggregate cast conversion constraint index language opclass operator opfamily range tablespace ts_config ts_config_map ts_dict ts_parser ts_template init_privs auth_members"
"""Relations taken as they are, without rows of objects made later."""

ROWS = {
    **{f"pg_{name}": f"select * from pg_{name}" for name in WHOLE.split()},
    "pg_type": "select * from pg_type t where oid < 16384 order by oid",
    "pg_proc": "select oid, proname, pronamespace, proowner, prolang, procost, prorows, provariadic, prosupport, prokind, prosecdef, proleakproof, proisstrict, proretset, provolatile, proparallel, pronargs, pronargdefaults, prorettype, proargtypes, proallargtypes, proargmodes, proargnames, protrftypes, prosrc, probin from pg_proc where oid < 16384 order by oid",
    "pg_class": f"select c.* from pg_class c where {CLASSES} order by oid",
    "pg_attribute": f"select a.* from pg_attribute a join pg_class c on c.oid = attrelid where {CLASSES} order by attrelid, attnum",
    "pg_collation": "select * from pg_collation where collprovider <> 'i' order by oid",
    "pg_roles": "select * from pg_roles where rolname like 'pg\\_%' order by oid",
    "pg_rewrite": "select oid, rulename, ev_class, ev_type, ev_enabled, is_instead from pg_rewrite where oid < 16384 order by oid",
    "pg_depend": "select * from pg_depend where objid < 16384 and refobjid < 16384",
    "pg_description": "select * from pg_description where objoid < 16384 and (classoid <> 'pg_collation'::regclass or objoid in (100, 950, 951))",
    "pg_timezone_abbrevs": "select * from pg_timezone_abbrevs",
    "pg_settings": "select name, setting, unit, category, short_desc, extra_desc, context, vartype, 'default' as source, min_val, max_val, enumvals, boot_val, reset_val, null as sourcefile, null as sourceline, false as pending_restart from pg_settings order by name",
    "function_texts": "select oid, pg_get_function_arguments(oid) as arguments, pg_get_function_identity_arguments(oid) as identity, pg_get_function_result(oid) as result from pg_proc where oid < 16384 order by oid",
    "constraint_texts": "select oid, pg_get_constraintdef(oid) as definition from pg_constraint order by oid",
    "index_texts": "select indexrelid as oid, pg_get_indexdef(indexrelid) as definition from pg_index order by 1",
    "token_types": "select * from ts_token_type('default')",
    "keywords": "select word, catcode, barelabel, catdesc, baredesc from pg_get_keywords()",
}
"""File of data/rows -> query. Expression trees (pg_node_tree) and access lists stay behind."""


def fetch(connection: psycopg.Connection[Any], query: str) -> dict[str, Any]:
    cursor = connection.execute(query)
    assert cursor.description is not None
    shown = []
    for column in cursor.description:
        name = '"' + column.name + '"'
        if column.type_code in (22, 30):
            name = f"string_to_array({name}::text, ' ')::bigint[] as {name}"
        elif column.type_code in (24, 2202, 2203, 2204, 2205, 2206, 4089, 4096):
            name = f"{name}::oid as {name}"
        elif column.type_code in (194, 1034):
            name = f"null::text as {name}"
        elif column.type_code in (2277, 28, 27):
            name = f"{name}::text as {name}"
        shown.append(name)
    rows = [
        row[0] for row in connection.execute(f"select to_json(q) from (select {', '.join(shown)} from ({query}) q) q")
    ]
    names = [column.name for column in cursor.description]
    varying = [n for n in names if any(row[n] != rows[0][n] for row in rows)]
    return {
        "constant": {n: rows[0][n] for n in names if n not in varying},
        "columns": varying,
        "rows": [[row[n] for n in varying] for row in rows],
    }


def dump(path: Path, document: dict[str, Any]) -> None:
    """One row a line, so that a diff can be read."""
    parts = []
    for key, value in document.items():
        if isinstance(value, dict) and "rows" in value:
            head = json.dumps({k: v for k, v in value.items() if k != "rows"}, separators=(",", ":"))
            rows = ",\n".join(json.dumps(row, separators=(",", ":")) for row in value["rows"])
            parts.append(f'{json.dumps(key)}:{head[:-1]},"rows":[\n{rows}]}}')
        elif isinstance(value, dict):
            rows = ",\n".join(f"{json.dumps(k)}:{json.dumps(v, separators=(',', ':'))}" for k, v in value.items())
            parts.append(f"{json.dumps(key)}:{{\n{rows}}}")
        else:
            rows = ",\n".join(json.dumps(row, separators=(",", ":")) for row in value)
            parts.append(f"{json.dumps(key)}:[\n{rows}]")
    path.write_text("{\n" + ",\n".join(parts) + "}\n")


def main() -> None:
    (DATA / "rows").mkdir(parents=True, exist_ok=True)
    with psycopg.connect(sys.argv[1]) as connection:
        connection.execute("set datestyle = iso")
        types = connection.execute(
            "select t.oid::int, typname::text, typlen::int, typelem::int, typarray::int, typtype::text, typbasetype::int, typcategory::text, nspname::text, typispreferred"
            " from pg_type t join pg_namespace n on n.oid = typnamespace where t.oid < 16384 order by t.oid"
        ).fetchall()
        relations = connection.execute(
            "select n.nspname || '.' || c.relname, c.oid::int, json_agg(json_build_array(a.attname, a.atttypid::int) order by a.attnum)"
            " from pg_class c join pg_namespace n on n.oid = relnamespace join pg_attribute a on attrelid = c.oid"
            " where attnum > 0 and nspname in ('pg_catalog', 'information_schema') and relkind in ('r', 'v') group by 1, 2 order by 1"
        ).fetchall()
        dump(
            DATA / "postgres15_shapes.json",
            {"types": types, "relations": {name: {"oid": oid, "columns": columns} for name, oid, columns in relations}},
        )
        for name, query in ROWS.items():
            dump(DATA / "rows" / f"{name}.json", {name: fetch(connection, query)})


if __name__ == "__main__":
    main()
