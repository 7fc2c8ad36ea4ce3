"""Rows of system relations, made from PostgreSQL 15's fixed ones and from what the principal sees."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

from engine.catalog.emulation import types as t
from engine.catalog.emulation.image import OWNER, OWNER_OID, CatalogImage, RelationFact, _Oids

Row = dict[str, Any]
PG_CATALOG_OID, PG_TOAST_OID, HEAP, DATABASE_TABLESPACE = 11, 99, 2, 1663
_FIXED_SCHEMAS = {PG_CATALOG_OID: "pg_catalog", PG_TOAST_OID: "pg_toast"}
_ANY_TABLE = "1259"
"""pg_class: its hidden columns (ctid, xmin, ...) are those of every table."""
_SAFE_SETTING_CONTEXTS = ("user", "internal")
_TOLD_SETTINGS = {
    "max_connections": "", "superuser_reserved_connections": "", "max_prepared_transactions": "",
    "max_locks_per_transaction": "", "wal_level": "", "max_wal_senders": "0", "max_replication_slots": "0",
    "autovacuum": "off", "ssl": "on", "session_replication_role": "", "track_commit_timestamp": "",
}  # fmt: skip
"""Settings of a server that clients ask for, with what is true here when PostgreSQL's own value is not."""
_HIDDEN_SETTINGS = (
    "log_",
    "debug_",
    "trace_",
    "data_directory",
    "ssl_",
    "local_preload",
    "backtrace",
    "dynamic_library",
    "krb",
    "temp_tablespaces",
    "restrict_",
)


@cache
def _fixed(name: str) -> tuple[Row, tuple[str, ...], list[list[Any]]]:
    """What all rows of a relation have in common, the names of what varies, and that, row by row."""
    entry = t.load(f"rows/{name}.json").get(name)
    return (entry["constant"], tuple(entry["columns"]), entry["rows"]) if entry else ({}, (), [])


def static(name: str) -> list[Row]:
    """The fixed rows of one relation of PostgreSQL 15, ids as text; none when it has none."""
    constant, columns, found = _fixed(name)
    return [{**constant, **dict(zip(columns, row, strict=True))} for row in found]


@cache
def function_names() -> frozenset[str]:
    """The names of PostgreSQL's functions, whether or not they are answered here."""
    return frozenset(row["proname"] for row in static("pg_proc"))


def static_schema(row: Row) -> str:
    """The schema of a fixed row of pg_class."""
    return _FIXED_SCHEMAS.get(int(row["relnamespace"]), "information_schema")


@cache
def information_schema_oid() -> int:
    """The id PostgreSQL gave information_schema in the fixed rows."""
    return next(oid for r in static("pg_class") if (oid := int(r["relnamespace"])) not in _FIXED_SCHEMAS)


_NOT_PUBLIC = frozenset(
    (
        "pg_authid", "pg_backend_memory_contexts", "pg_config", "pg_file_settings", "pg_hba_file_rules",
        "pg_ident_file_mappings", "pg_largeobject", "pg_replication_origin_status", "pg_shadow",
        "pg_shmem_allocations", "pg_statistic", "pg_statistic_ext_data", "pg_subscription", "pg_user_mapping",
        "sql_parts", "transforms",
    )
)  # fmt: skip
"""Relations that PostgreSQL 15 shows its owner alone."""


def public_relations() -> Iterator[Row]:
    """PostgreSQL's own relations that everyone may read."""
    for row in static("pg_class"):
        if row["relkind"] in "rv" and row["relname"] not in _NOT_PUBLIC and not row["relname"].startswith("_pg_"):
            yield row


def role_oid(user: str) -> int:
    """The id of the session's role."""
    return _Oids().of("role", user)


def database_oid(name: str) -> int:
    """The id of the database."""
    return _Oids().of("database", name)


def schema_oids(image: CatalogImage) -> dict[str, int]:
    """Ids of all schemas by name."""
    fixed = {"pg_catalog": PG_CATALOG_OID, "pg_toast": PG_TOAST_OID, "information_schema": information_schema_oid()}
    return {**fixed, **{name: oid for oid, name in image.schemas}}


def _namespaces(image: CatalogImage) -> Iterator[Row]:
    for name, oid in schema_oids(image).items():
        reader = {"pg_catalog": "", "information_schema": ""}.get(name, _grantee(image.user))
        grants = None if name == "pg_toast" else [f"{OWNER}=UC/{OWNER}", f"{reader}=U/{OWNER}"]
        yield {"oid": oid, "nspname": name, "nspowner": OWNER_OID, "nspacl": grants}


_INPUT_OUTPUT = ("typinput", "typoutput", "typreceive", "typsend", "typanalyze")


def _class_row(relation: RelationFact, namespace: int, user: str) -> Row:
    table = relation.kind == "r"
    return {
        "oid": relation.oid, "relname": relation.name, "relnamespace": namespace, "reltype": relation.row_type,
        "reloftype": 0,
        "relowner": OWNER_OID, "relam": HEAP if table else 0, "relfilenode": relation.oid if table else 0,
        "reltablespace": 0, "relpages": 0, "reltuples": -1.0, "relallvisible": 0, "reltoastrelid": 0,
        "relhasindex": False, "relisshared": False, "relpersistence": "p", "relkind": relation.kind,
        "relnatts": len(relation.columns), "relchecks": 0, "relhasrules": not table, "relhastriggers": False,
        "relhassubclass": False, "relrowsecurity": False, "relforcerowsecurity": False, "relispopulated": True,
        "relreplident": "d" if table else "n", "relispartition": False, "relrewrite": 0, "relfrozenxid": 0,
        "relminmxid": 0, "relacl": [f"{_grantee(user)}=r/{OWNER}"],
    }  # fmt: skip


def _grantee(user: str) -> str:
    """A role in an access control item."""
    return user if re.fullmatch(r"\w+", user, re.ASCII) else '"' + user.replace('"', '""') + '"'


def _classes(image: CatalogImage) -> Iterator[Row]:
    for row in static("pg_class"):
        if row["relkind"] in "rv" and not row["relname"].startswith("_"):
            yield {**row, "relacl": [f"{OWNER}=arwdDxt/{OWNER}", f"=r/{OWNER}"]}
        else:
            yield row
    oids = schema_oids(image)
    for relation in image.relations:
        yield _class_row(relation, oids[relation.schema], image.user)


def _attributes(image: CatalogImage) -> Iterator[Row]:
    yield from static("pg_attribute")
    details = {int(r["oid"]): r for r in static("pg_type")}
    hidden = [r for r in static("pg_attribute") if r["attrelid"] == _ANY_TABLE and int(r["attnum"]) < 0]
    for relation in image.relations:
        for row in hidden if relation.kind == "r" else ():
            yield {**row, "attrelid": relation.oid}
        for number, column in enumerate(relation.columns, 1):
            kind = details[column.oid]
            yield {
                "attrelid": relation.oid, "attname": column.name, "atttypid": column.oid, "attstattarget": -1,
                "attlen": kind["typlen"], "attnum": number, "attndims": column.dimensions, "attcacheoff": -1,
                "atttypmod": column.modifier, "attbyval": kind["typbyval"], "attalign": kind["typalign"],
                "attstorage": kind["typstorage"], "attcompression": "", "attnotnull": False, "atthasdef": False,
                "atthasmissing": False, "attidentity": "", "attgenerated": "", "attisdropped": False,
                "attislocal": True, "attinhcount": 0, "attcollation": kind["typcollation"],
            }  # fmt: skip


def _types(image: CatalogImage) -> Iterator[Row]:
    yield from static("pg_type")
    oids = schema_oids(image)
    taken = {(r.schema, r.name) for r in image.relations}
    for relation in image.relations:
        namespace, array = oids[relation.schema], "_" + relation.name
        while (relation.schema, array) in taken:
            array = "_" + array
        taken.add((relation.schema, array))
        common = {
            "typnamespace": namespace, "typowner": OWNER_OID, "typlen": -1, "typbyval": False,
            "typispreferred": False, "typisdefined": True, "typdelim": ",", "typmodin": 0, "typmodout": 0,
            "typalign": "d", "typstorage": "x", "typnotnull": False, "typbasetype": 0, "typtypmod": -1, "typndims": 0,
            "typcollation": 0,
        }  # fmt: skip
        yield {
            **common, "oid": relation.row_type, "typname": relation.name, "typtype": "c", "typcategory": "C",
            "typrelid": relation.oid, "typsubscript": 0, "typelem": 0, "typarray": relation.array_type,
            **dict(zip(_INPUT_OUTPUT, (2290, 2291, 2402, 2403, 0), strict=True)),
        }  # fmt: skip
        yield {
            **common, "oid": relation.array_type, "typname": array, "typtype": "b", "typcategory": "A", "typrelid": 0,
            "typsubscript": 6179, "typelem": relation.row_type, "typarray": 0,
            **dict(zip(_INPUT_OUTPUT, (750, 751, 2400, 2401, 3816), strict=True)),
        }  # fmt: skip


def _databases(image: CatalogImage) -> Iterator[Row]:
    yield {
        "oid": database_oid(image.database), "datname": image.database, "datdba": OWNER_OID, "encoding": 6,
        "datlocprovider": "c", "datistemplate": False, "datallowconn": True, "datconnlimit": -1, "datfrozenxid": 0,
        "datminmxid": 0, "dattablespace": DATABASE_TABLESPACE, "datcollate": "C.UTF-8", "datctype": "C.UTF-8",
    }  # fmt: skip


def _roles(image: CatalogImage) -> Iterator[Row]:
    yield from static("pg_roles")
    names = {OWNER: OWNER_OID}
    names.setdefault(image.user, role_oid(image.user))
    for name, oid in names.items():
        yield {
            "oid": oid, "rolname": name, "rolsuper": False, "rolinherit": True, "rolcreaterole": False,
            "rolcreatedb": False, "rolcanlogin": True, "rolreplication": False, "rolconnlimit": -1,
            "rolpassword": "********", "rolbypassrls": False,
        }  # fmt: skip


def _users(image: CatalogImage) -> Iterator[Row]:
    for role in _roles(image):
        if role["rolcanlogin"]:
            yield {
                "usename": role["rolname"], "usesysid": role["oid"], "usecreatedb": False, "usesuper": False,
                "userepl": False, "usebypassrls": False, "passwd": "********",
            }  # fmt: skip


def _pg_tables(image: CatalogImage) -> Iterator[Row]:
    flags = {"hasrules": False, "hastriggers": False, "rowsecurity": False, "tableowner": OWNER}
    for row in static("pg_class"):
        if row["relkind"] == "r":
            space = "pg_global" if int(row["reltablespace"]) else None
            named = {"schemaname": static_schema(row), "tablename": row["relname"], "tablespace": space}
            yield {**flags, **named, "hasindexes": row["relhasindex"]}
    for relation in image.relations:
        if relation.kind == "r":
            yield {**flags, "schemaname": relation.schema, "tablename": relation.name, "hasindexes": False}


def _pg_indexes(_: CatalogImage) -> Iterator[Row]:
    classes = {row["oid"]: row for row in static("pg_class")}
    texts = {row["oid"]: row["definition"] for row in static("index_texts")}
    for row in static("pg_index"):
        table, index = classes[row["indrelid"]], classes[row["indexrelid"]]
        if table["relkind"] == "r":
            yield {
                "schemaname": static_schema(table), "tablename": table["relname"], "indexname": index["relname"],
                "tablespace": "pg_global" if int(index["reltablespace"]) else None,
                "indexdef": texts[row["indexrelid"]],
            }  # fmt: skip


def rule_oid(view: RelationFact) -> int:
    """The id of a view's rule."""
    return _Oids().of("rule", f"{view.schema}\0{view.name}")


def _rewrite(image: CatalogImage) -> Iterator[Row]:
    yield from static("pg_rewrite")
    for relation in image.relations:
        if relation.kind == "v":
            yield {
                "oid": rule_oid(relation), "rulename": "_RETURN",
                "ev_class": relation.oid, "ev_type": "1", "ev_enabled": "O", "is_instead": True,
            }  # fmt: skip


def _pg_views(image: CatalogImage) -> Iterator[Row]:
    definitions = {(r.schema, r.name): r.definition for r in image.relations}
    for schema, name, kind in all_relations(image):
        if kind == "v":
            yield {
                "schemaname": schema,
                "viewname": name,
                "viewowner": OWNER,
                "definition": definitions.get((schema, name)) or None,
            }


def all_relations(image: CatalogImage) -> Iterator[tuple[str, str, str]]:
    """(schema, name, kind) of every table and view, PostgreSQL's own first."""
    for row in static("pg_class"):
        if row["relkind"] in "rv":
            yield static_schema(row), row["relname"], row["relkind"]
    for relation in image.relations:
        yield relation.schema, relation.name, relation.kind


_COUNTERS = tuple(name for name, kind, _ in t.relations()["pg_catalog", "pg_stat_all_tables"].columns if kind == t.INT8)
"""Nothing is counted: figures of a table would tell of hidden rows."""


def _table_statistics(image: CatalogImage) -> Iterator[Row]:
    for relation in image.relations:
        if relation.kind == "r":
            named = {"relid": relation.oid, "schemaname": relation.schema, "relname": relation.name}
            yield {**dict.fromkeys(_COUNTERS, 0), **named}


def _settings(_: CatalogImage) -> Iterator[Row]:
    for row in static("pg_settings"):
        if row["name"] in _TOLD_SETTINGS:
            yield {**row, "setting": _TOLD_SETTINGS[row["name"]] or row["setting"]}
        elif row["context"] in _SAFE_SETTING_CONTEXTS and not row["name"].startswith(_HIDDEN_SETTINGS):
            yield row


def _groups(_: CatalogImage) -> Iterator[Row]:
    for row in static("pg_roles"):
        if not row["rolcanlogin"]:
            yield {"groname": row["rolname"], "grosysid": row["oid"], "grolist": []}


def _keywords(_: CatalogImage) -> Iterator[Row]:
    yield from static("keywords")


def _token_types(_: CatalogImage) -> Iterator[Row]:
    yield from static("token_types")


PRODUCERS: dict[tuple[str, str], Callable[[CatalogImage], Iterator[Row]]] = {
    ("pg_catalog", "pg_namespace"): _namespaces,
    ("pg_catalog", "pg_class"): _classes,
    ("pg_catalog", "pg_attribute"): _attributes,
    ("pg_catalog", "pg_type"): _types,
    ("pg_catalog", "pg_database"): _databases,
    ("pg_catalog", "pg_roles"): _roles,
    ("pg_catalog", "pg_user"): _users,
    ("pg_catalog", "pg_group"): _groups,
    ("pg_catalog", "pg_tables"): _pg_tables,
    ("pg_catalog", "pg_views"): _pg_views,
    ("pg_catalog", "pg_indexes"): _pg_indexes,
    ("pg_catalog", "pg_rewrite"): _rewrite,
    ("pg_catalog", "pg_stat_user_tables"): _table_statistics,
    ("pg_catalog", "pg_stat_all_tables"): _table_statistics,
    ("pg_catalog", "pg_statio_user_tables"): _table_statistics,
    ("pg_catalog", "pg_statio_all_tables"): _table_statistics,
    ("pg_catalog", "pg_settings"): _settings,
    ("pg_catalog", "pg_get_keywords"): _keywords,
    ("pg_catalog", "ts_token_type"): _token_types,
}
"""Relations with rows of their own; the rest hold PostgreSQL's fixed rows, or none."""


def rows(schema: str, name: str, image: CatalogImage) -> Iterator[Row]:
    """The rows of a system relation as `image` has it; absent columns are NULL."""
    producer = PRODUCERS.get((schema, name))
    if producer is not None:
        yield from producer(image)
    elif schema == "pg_catalog":
        yield from static(name)
