"""What the principal's relations depend on: `pg_depend`, and the usage views of information_schema.

A view depends on the columns of tables and views it names. What the principal does not see is not in his image, so
nothing here can speak of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from engine.catalog.emulation.image import CatalogImage, RelationFact
from engine.catalog.emulation.information_schema import producer
from engine.catalog.emulation.rows import PRODUCERS, Row, rule_oid, schema_oids, static

_INTERNAL, _NORMAL = "i", "n"


@cache
def _catalog(name: str) -> int:
    return next(int(row["oid"]) for row in static("pg_class") if row["relname"] == name)


def _row(kind: str, oid: int, on_kind: str, on: int, place: int, how: str) -> Row:
    return {
        "classid": _catalog(kind), "objid": oid, "objsubid": 0, "refclassid": _catalog(on_kind), "refobjid": on,
        "refobjsubid": place, "deptype": how,
    }  # fmt: skip


def _depend(image: CatalogImage) -> Iterator[Row]:
    yield from static("pg_depend")
    schemas = schema_oids(image)
    for relation in image.relations:
        yield _row("pg_class", relation.oid, "pg_namespace", schemas[relation.schema], 0, _NORMAL)
        yield _row("pg_type", relation.row_type, "pg_class", relation.oid, 0, _INTERNAL)
        yield _row("pg_type", relation.array_type, "pg_type", relation.row_type, 0, _INTERNAL)
        if relation.kind == "v":
            rule = rule_oid(relation)
            for how in (_NORMAL, _INTERNAL):
                yield _row("pg_rewrite", rule, "pg_class", relation.oid, 0, how)
            for source, place in relation.sources:
                yield _row("pg_rewrite", rule, "pg_class", source, place, _NORMAL)


PRODUCERS["pg_catalog", "pg_depend"] = _depend


def _used(image: CatalogImage) -> Iterator[tuple[RelationFact, RelationFact, int]]:
    """(view, relation it reads, place of a column or 0) of every dependency."""
    known = {relation.oid: relation for relation in image.relations}
    for view in image.relations:
        for source, place in view.sources:
            yield view, known[source], place


def _named(image: CatalogImage, view: RelationFact, source: RelationFact) -> Row:
    return {
        "view_catalog": image.database, "view_schema": view.schema, "view_name": view.name,
        "table_catalog": image.database, "table_schema": source.schema, "table_name": source.name,
    }  # fmt: skip


@producer("view_table_usage")
def _tables(image: CatalogImage) -> Iterator[Row]:
    seen = set()
    for view, source, _ in _used(image):
        if (view.oid, source.oid) not in seen:
            seen.add((view.oid, source.oid))
            yield _named(image, view, source)


@producer("view_column_usage")
def _columns(image: CatalogImage) -> Iterator[Row]:
    for view, source, place in _used(image):
        if place:
            yield {**_named(image, view, source), "column_name": source.columns[place - 1].name}
