"""information_schema's privileges; importing this module enters their rows in `rows.PRODUCERS`.

Everyone may read PostgreSQL's own relations and use its types; the principal may read what he sees.
"""

from __future__ import annotations

from collections.abc import Iterator

from engine.catalog.emulation.image import OWNER, CatalogImage
from engine.catalog.emulation.information_schema import producer
from engine.catalog.emulation.rows import (
    PG_CATALOG_OID,
    PRODUCERS,
    Row,
    information_schema_oid,
    public_relations,
    static,
    static_schema,
)

_SELECT = {"grantor": OWNER, "privilege_type": "SELECT", "is_grantable": "NO"}


def _own_tables(image: CatalogImage) -> Iterator[Row]:
    for relation in image.relations:
        yield {
            **_SELECT, "grantee": image.user, "table_catalog": image.database, "table_schema": relation.schema,
            "table_name": relation.name, "with_hierarchy": "YES",
        }  # fmt: skip


@producer("table_privileges")
def _tables(image: CatalogImage) -> Iterator[Row]:
    for row in public_relations():
        yield {
            **_SELECT, "grantee": "PUBLIC", "table_catalog": image.database, "table_schema": static_schema(row),
            "table_name": row["relname"], "with_hierarchy": "YES",
        }  # fmt: skip
    yield from _own_tables(image)


def _own_columns(image: CatalogImage) -> Iterator[Row]:
    for relation in image.relations:
        for column in relation.columns:
            yield {
                **_SELECT, "grantee": image.user, "table_catalog": image.database, "table_schema": relation.schema,
                "table_name": relation.name, "column_name": column.name,
            }  # fmt: skip


@producer("column_privileges")
def _columns(image: CatalogImage) -> Iterator[Row]:
    public = {row["oid"]: row for row in public_relations()}
    for column in static("pg_attribute"):
        row = public.get(column["attrelid"])
        if row is not None and int(column["attnum"]) > 0:
            yield {
                **_SELECT, "grantee": "PUBLIC", "table_catalog": image.database, "table_schema": static_schema(row),
                "table_name": row["relname"], "column_name": column["attname"],
            }  # fmt: skip
    yield from _own_columns(image)


PRODUCERS["information_schema", "role_table_grants"] = _own_tables
PRODUCERS["information_schema", "role_column_grants"] = _own_columns


@producer("udt_privileges")
def _types(image: CatalogImage) -> Iterator[Row]:
    usage = {
        "grantor": OWNER, "grantee": "PUBLIC", "udt_catalog": image.database, "privilege_type": "TYPE USAGE",
        "is_grantable": "NO",
    }  # fmt: skip
    schemas = {PG_CATALOG_OID: "pg_catalog", information_schema_oid(): "information_schema"}
    for row in static("pg_type"):
        if row["typtype"] == "c" and int(row["typnamespace"]) in schemas:
            yield {**usage, "udt_schema": schemas[int(row["typnamespace"])], "udt_name": row["typname"]}
    for relation in image.relations:
        yield {**usage, "udt_schema": relation.schema, "udt_name": relation.name}


@producer("usage_privileges")
def _usage(image: CatalogImage) -> Iterator[Row]:
    usage = {
        "grantor": OWNER, "grantee": "PUBLIC", "object_catalog": image.database, "privilege_type": "USAGE",
        "is_grantable": "NO",
    }  # fmt: skip
    for row in static("pg_collation"):
        if int(row["collencoding"]) in (-1, 6):
            yield {**usage, "object_schema": "pg_catalog", "object_name": row["collname"], "object_type": "COLLATION"}
    for row in static("pg_type"):
        if row["typtype"] == "d":
            named = {"object_schema": "information_schema", "object_name": row["typname"], "object_type": "DOMAIN"}
            yield {**usage, **named}


@producer("collation_character_set_applicability")
def _collations(image: CatalogImage) -> Iterator[Row]:
    for row in static("pg_collation"):
        if int(row["collencoding"]) in (-1, 6):
            yield {
                "collation_catalog": image.database, "collation_schema": "pg_catalog",
                "collation_name": row["collname"], "character_set_name": "UTF8",
            }  # fmt: skip
