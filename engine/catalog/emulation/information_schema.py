"""Rows of information_schema; importing this module enters them in `rows.PRODUCERS`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from engine.catalog.emulation import types as t
from engine.catalog.emulation.image import OWNER, CatalogImage, ColumnFact
from engine.catalog.emulation.names import format_type
from engine.catalog.emulation.rows import PRODUCERS, Row, all_relations, schema_oids, static, static_schema
from engine.catalog.emulation.words import words

_INTEGER_BITS = {t.INT2: 16, t.INT4: 32, t.INT8: 64}
_FLOAT_BITS = {t.FLOAT4: 24, t.FLOAT8: 53}
_TEXT_OCTETS = 1 << 30
_C_COLLATION = 950
_DOMAIN_COLUMNS = words(
    "data_type character_maximum_length character_octet_length numeric_precision numeric_precision_radix numeric_scale "
    "udt_schema udt_name dtd_identifier"
)
_TIMED = (t.TIME, t.TIMESTAMP, t.TIMESTAMPTZ, t.INTERVAL, 1266)


def producer(
    name: str,
) -> Callable[[Callable[[CatalogImage], Iterator[Row]]], Callable[[CatalogImage], Iterator[Row]]]:
    """Enter what makes the rows of one relation of information_schema."""

    def enter(producer: Callable[[CatalogImage], Iterator[Row]]) -> Callable[[CatalogImage], Iterator[Row]]:
        PRODUCERS["information_schema", name] = producer
        return producer

    return enter


@producer("information_schema_catalog_name")
def _catalog_name(image: CatalogImage) -> Iterator[Row]:
    yield {"catalog_name": image.database}


@producer("schemata")
def _schemata(image: CatalogImage) -> Iterator[Row]:
    for name in schema_oids(image).keys() - {"pg_toast"}:
        yield {"catalog_name": image.database, "schema_name": name, "schema_owner": OWNER}


@producer("tables")
def _tables(image: CatalogImage) -> Iterator[Row]:
    for schema, name, kind in all_relations(image):
        yield {
            "table_catalog": image.database, "table_schema": schema, "table_name": name,
            "table_type": "BASE TABLE" if kind == "r" else "VIEW", "is_insertable_into": "NO", "is_typed": "NO",
        }  # fmt: skip


@producer("views")
def _views(image: CatalogImage) -> Iterator[Row]:
    definitions = {(r.schema, r.name): r.definition for r in image.relations}
    for schema, name, kind in all_relations(image):
        if kind == "v":
            yield {
                "table_catalog": image.database, "table_schema": schema, "table_name": name,
                "view_definition": definitions.get((schema, name)) or None, "check_option": "NONE",
                "is_updatable": "NO", "is_insertable_into": "NO", "is_trigger_updatable": "NO",
                "is_trigger_deletable": "NO", "is_trigger_insertable_into": "NO",
            }  # fmt: skip


def _column(image: CatalogImage, schema: str, table: str, number: int, fact: ColumnFact) -> Row:
    kind = t.types()[fact.oid]
    numeric_modifier = fact.modifier - 4 if fact.oid == t.NUMERIC and fact.modifier >= 4 else None
    text = fact.oid in (t.TEXT, t.VARCHAR, t.BPCHAR)
    row: dict[str, Any] = {
        "table_catalog": image.database, "table_schema": schema, "table_name": table, "column_name": fact.name,
        "ordinal_position": number, "is_nullable": "YES",
        "data_type": "ARRAY" if kind.category == "A" and kind.element else format_type(fact.oid, None),
        "udt_catalog": image.database, "udt_schema": "pg_catalog", "udt_name": kind.name,
        "dtd_identifier": str(number), "is_self_referencing": "NO", "is_identity": "NO", "identity_cycle": "NO",
        "is_generated": "NEVER", "is_updatable": "NO",
    }  # fmt: skip
    if text:
        limit = fact.modifier - 4 if fact.modifier >= 4 else None
        row["character_maximum_length"] = limit
        row["character_octet_length"] = limit * 4 if limit is not None else _TEXT_OCTETS
    if fact.oid in _INTEGER_BITS:
        row |= {"numeric_precision": _INTEGER_BITS[fact.oid], "numeric_precision_radix": 2, "numeric_scale": 0}
    elif fact.oid in _FLOAT_BITS:
        row |= {"numeric_precision": _FLOAT_BITS[fact.oid], "numeric_precision_radix": 2}
    elif fact.oid == t.NUMERIC:
        row["numeric_precision_radix"] = 10
        if numeric_modifier is not None:
            row |= {"numeric_precision": numeric_modifier >> 16, "numeric_scale": numeric_modifier & 0xFFFF}
    elif fact.oid == t.DATE:
        row["datetime_precision"] = 0
    elif fact.oid in _TIMED:
        row["datetime_precision"] = 6
    return row


@producer("columns")
def _columns(image: CatalogImage) -> Iterator[Row]:
    system = {int(r["oid"]): r for r in static("pg_class")}
    for row in static("pg_attribute"):
        relation = system[int(row["attrelid"])]
        if relation["relkind"] not in "rv" or int(row["attnum"]) < 0:
            continue
        kind = t.types()[int(row["atttypid"])]
        oid = kind.base if kind.kind == "d" else kind.oid
        fact = ColumnFact(row["attname"], oid, row["atttypmod"], 0)
        yield _column(image, static_schema(relation), relation["relname"], int(row["attnum"]), fact)
    for relation_fact in image.relations:
        for number, fact in enumerate(relation_fact.columns, 1):
            yield _column(image, relation_fact.schema, relation_fact.name, number, fact)


@producer("character_sets")
def _character_sets(image: CatalogImage) -> Iterator[Row]:
    yield {
        "character_set_name": "UTF8",
        "character_repertoire": "UCS",
        "form_of_use": "UTF8",
        "default_collate_catalog": image.database,
    }


@producer("collations")
def _collations(image: CatalogImage) -> Iterator[Row]:
    for row in static("pg_collation"):
        if int(row["collencoding"]) in (-1, 6):
            yield {
                "collation_catalog": image.database, "collation_schema": "pg_catalog",
                "collation_name": row["collname"], "pad_attribute": "NO PAD",
            }  # fmt: skip


@producer("domains")
def _domains(image: CatalogImage) -> Iterator[Row]:
    for row in static("pg_type"):
        if row["typtype"] != "d":
            continue
        oid, collated = int(row["typbasetype"]), int(row["typcollation"]) == _C_COLLATION
        told = _column(image, "", "", 1, ColumnFact("", oid, row["typtypmod"], 0))
        kept = {name: told[name] for name in told.keys() & _DOMAIN_COLUMNS}
        yield {
            **kept, "domain_catalog": image.database, "domain_schema": "information_schema",
            "domain_name": row["typname"], "domain_default": row["typdefault"], "udt_catalog": image.database,
            "collation_catalog": image.database if collated else None,
            "collation_schema": "pg_catalog" if collated else None,
            "collation_name": "C" if collated else None,
            "datetime_precision": row["typtypmod"] if oid in _TIMED else None,
        }  # fmt: skip


@producer("element_types")
def _element_types(image: CatalogImage) -> Iterator[Row]:
    for relation in image.relations:
        for number, column in enumerate(relation.columns, 1):
            element = t.element_of(column.oid)
            if element is not None:
                yield {
                    "object_catalog": image.database, "object_schema": relation.schema,
                    "object_name": relation.name, "object_type": "TABLE" if relation.kind == "r" else "VIEW",
                    "collection_type_identifier": str(number), "data_type": format_type(element, None),
                    "udt_catalog": image.database, "udt_schema": "pg_catalog", "udt_name": t.types()[element].name,
                    "dtd_identifier": f"a{number}",
                }  # fmt: skip


@producer("enabled_roles")
def _enabled_roles(image: CatalogImage) -> Iterator[Row]:
    yield {"role_name": image.user}
