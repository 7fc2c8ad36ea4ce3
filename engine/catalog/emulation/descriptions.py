"""What objects are called when any may be meant (`pg_describe_object`, `pg_identify_object`); indexes' properties.

Only what the image shows, and PostgreSQL's own objects; whatever else has a number is nothing (NULL).
"""

from __future__ import annotations

from functools import cache

from engine.catalog.emulation import fixed_names
from engine.catalog.emulation.image import CatalogImage
from engine.catalog.emulation.names import Names, quote_identifier
from engine.catalog.emulation.rows import static

_KINDS = {"r": "table", "v": "view", "i": "index", "t": "toast table", "S": "sequence", "c": "composite type"}


@cache
def _catalogs() -> dict[int, str]:
    return {int(row["oid"]): row["relname"] for row in static("pg_class")}


@cache
def _fixed_kinds() -> dict[int, str]:
    return {int(row["oid"]): row["relkind"] for row in static("pg_class")}


class Descriptions:
    """Descriptions over one image."""

    def __init__(self, image: CatalogImage, names: Names) -> None:
        self._names = names
        self._image = image
        self._kinds = {r.oid: r.kind for r in image.relations}

    def identify(self, catalog: int | None, oid: int | None, place: int | None) -> tuple[str, list[str], str] | None:
        """(type, names, what PostgreSQL shows) of the object numbered `oid` in the relation numbered `catalog`."""
        if catalog is None or oid is None or place is None:
            return None
        match _catalogs().get(catalog):
            case "pg_class":
                return self._relation(oid, place)
            case "pg_namespace":
                name = self._names.schema_name(oid)
                return None if name is None else ("schema", [name], quote_identifier(name))
            case "pg_type":
                shown = self._names.format_type(oid, None) if self._names.known("type", oid) else None
                return None if shown is None else ("type", [shown], shown)
            case "pg_proc":
                shown = fixed_names.procedure_text(oid)
                return None if shown.isdigit() else ("function", [shown.partition("(")[0]], shown)
            case "pg_authid" | "pg_roles":
                shown = self._names.role_text(oid)
                return None if shown.isdigit() else ("role", [shown], shown)
            case "pg_database":
                return ("database", [self._image.database], quote_identifier(self._image.database))
        return None

    def _relation(self, oid: int, place: int) -> tuple[str, list[str], str] | None:
        held = self._names.relation_name(oid)
        if held is None:
            return None
        kind = _KINDS.get(self._kinds.get(oid) or _fixed_kinds().get(oid, "r"), "table")
        shown = ".".join(quote_identifier(part) for part in held)
        if not place:
            return kind, list(held), shown
        column = self._names.column_name(oid, place)
        return None if column is None else (f"{kind} column", [*held, column], f"{shown}.{quote_identifier(column)}")

    def describe(self, catalog: int | None, oid: int | None, place: int | None) -> str | None:
        """`pg_describe_object`."""
        found = self.identify(catalog, oid, place)
        if found is None or oid is None:
            return None
        kind, names, shown = found
        if kind.endswith(" column"):
            kind = kind.removesuffix(" column")
            return f"column {quote_identifier(names[-1])} of {kind} {self._names.relation_text(oid)}"
        if _catalogs().get(catalog or 0) == "pg_class":
            return f"{kind} {self._names.relation_text(oid)}"
        return f"{kind} {shown}"

    def identity(self, catalog: int | None, oid: int | None, place: int | None) -> dict[str, str | None] | None:
        """`pg_identify_object`."""
        found = self.identify(catalog, oid, place)
        if found is None:
            return dict.fromkeys(("f1", "f2", "f3", "f4"))
        kind, names, shown = found
        qualified = len(names) > 1
        return {
            "f1": kind, "f2": quote_identifier(names[0]) if qualified else None,
            "f3": quote_identifier(names[1] if qualified else names[0]) if kind not in ("type", "function") else None,
            "f4": shown,
        }  # fmt: skip

    def address(self, catalog: int | None, oid: int | None, place: int | None) -> dict[str, object] | None:
        """`pg_identify_object_as_address`."""
        found = self.identify(catalog, oid, place)
        if found is None:
            return {"f1": None, "f2": None, "f3": None}
        return {"f1": found[0], "f2": found[1], "f3": []}


_BTREE = frozenset(("clusterable", "index_scan", "bitmap_scan", "backward_scan"))
_BTREE_METHOD = frozenset(("can_order", "can_unique", "can_multi_col", "can_exclude", "can_include"))
_COLUMN = frozenset(("asc", "nulls_last", "orderable", "returnable", "search_array", "search_nulls"))
_NOT_COLUMN = frozenset(("desc", "nulls_first", "distance_orderable"))
_BTREE_OID = 403


@cache
def _indexes() -> dict[int, int]:
    """Columns of each index; every index of PostgreSQL's own relations is a B-tree."""
    return {int(row["indexrelid"]): int(row["indnkeyatts"]) for row in static("pg_index")}


def index_is(oid: int | None, name: str | None) -> bool | None:
    """`pg_index_has_property`."""
    if oid not in _indexes() or name is None:
        return None
    return True if name.lower() in _BTREE else None


def index_column_is(oid: int | None, place: int | None, name: str | None) -> bool | None:
    """`pg_index_column_has_property`."""
    if place is None or name is None or not 0 < place <= _indexes().get(oid or 0, 0):
        return None
    return True if name.lower() in _COLUMN else False if name.lower() in _NOT_COLUMN else None


def access_method_is(oid: int | None, name: str | None) -> bool | None:
    """`pg_indexam_has_property`, of B-trees."""
    return True if oid == _BTREE_OID and name is not None and name.lower() in _BTREE_METHOD else None
