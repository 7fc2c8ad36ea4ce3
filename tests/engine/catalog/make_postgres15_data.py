# ruff: noqa: E501 - queries read better whole
"""Writes engine/catalog/emulation/data/*.json from a running PostgreSQL 15 (not a test; run by hand).

    python tests/engine/catalog/make_postgres15_data.py "host=... user=postgres dbname=postgres"

Only facts of the fixed system catalog are taken (object ids below 16384): names, ids and types of system relations,
types, functions and casts, as every PostgreSQL 15 has them.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import psycopg

DATA = Path(__file__).parents[3] / "engine" / "catalog" / "emulation" / "data"

PLAIN_TYPES = "typnamespace = 11 and typtype in ('b', 'p', 'r', 'm') and (typelem = 0 or typcategory <> 'A' or exists (select from pg_type e where e.oid = t.typelem and e.typtype in ('b', 'p', 'r', 'm'))) or typtype = 'd'"

ROWS = {
    "pg_type": f"select * from pg_type t where {PLAIN_TYPES} order by oid",
    "pg_proc": "select oid, proname, pronamespace, prolang, prokind, prorettype, proargtypes, pronargs, proretset, provolatile, proisstrict, provariadic from pg_proc where oid < 16384 and pronamespace = 11 order by oid",
    "pg_cast": "select * from pg_cast where oid < 16384 order by oid",
    "pg_am": "select * from pg_am order by oid",
    "pg_opclass": "select * from pg_opclass where oid < 16384 order by oid",
    "pg_opfamily": "select * from pg_opfamily where oid < 16384 order by oid",
    "pg_operator": "select * from pg_operator where oid < 16384 order by oid",
    "pg_collation": "select * from pg_collation where collname in ('default', 'C', 'POSIX', 'ucs_basic') order by oid",
    "pg_language": "select * from pg_language where lanname in ('internal', 'c', 'sql') order by oid",
    "pg_range": "select * from pg_range order by 1",
    "pg_tablespace": "select * from pg_tablespace order by oid",
    "pg_class": "select * from pg_class where relnamespace in (11, (select oid from pg_namespace where nspname = 'information_schema')) and relkind in ('r', 'v') order by oid",
    "pg_attribute": "select a.* from pg_attribute a join pg_class c on c.oid = attrelid where relnamespace in (11, (select oid from pg_namespace where nspname = 'information_schema')) and relkind in ('r', 'v') and attnum > 0 order by attrelid, attnum",
    "pg_settings": "select name, setting, unit, category, short_desc, null as extra_desc, context, vartype, 'default' as source, min_val, max_val, enumvals, boot_val, reset_val, null as sourcefile, null as sourceline, false as pending_restart from pg_settings order by name",
    "keywords": "select word, catcode, barelabel, catdesc, baredesc from pg_get_keywords()",
}


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
        elif column.type_code in (194, 1033, 1034, 2277, 28, 27):
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
    DATA.mkdir(parents=True, exist_ok=True)
    with psycopg.connect(sys.argv[1]) as connection:
        connection.execute("set datestyle = iso")
        types = connection.execute(
            f"select oid::int, typname::text, typlen::int, typelem::int, typarray::int, typtype::text, typbasetype::int, typcategory::text from pg_type t where {PLAIN_TYPES} order by oid"
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
        dump(DATA / "postgres15_rows.json", {name: fetch(connection, query) for name, query in ROWS.items()})


if __name__ == "__main__":
    main()
