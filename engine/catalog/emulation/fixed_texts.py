"""Texts of PostgreSQL 15's own objects: comments, definitions, arguments of functions. Read when first asked for."""

from __future__ import annotations

from functools import cache

from engine.catalog.emulation.rows import static


@cache
def _by_oid(name: str, column: str) -> dict[int, str | None]:
    return {int(row["oid"]): row[column] for row in static(name)}


@cache
def _comments() -> dict[tuple[int, int, int], str]:
    return {
        (int(r["classoid"]), int(r["objoid"]), int(r["objsubid"])): r["description"] for r in static("pg_description")
    }


@cache
def _catalogs() -> dict[str, int]:
    return {row["relname"]: int(row["oid"]) for row in static("pg_class")}


def description(oid: int | None, catalog: str | None, place: int | None) -> str | None:
    """`obj_description` and `col_description`; without a catalog, whatever object has that number."""
    if oid is None or place is None:
        return None
    if catalog is None:
        return next((text for (_, o, p), text in _comments().items() if o == oid and p == 0), None)
    return _comments().get((_catalogs().get(catalog, 0), oid, place))


def function_text(kind: str, oid: int | None) -> str | None:
    """`pg_get_function_arguments` (`arguments`), `..._identity_arguments` (`identity`), `..._result` (`result`)."""
    return _by_oid("function_texts", kind).get(oid or 0)


def constraint(oid: int | None, _pretty: bool | None) -> str | None:
    """`pg_get_constraintdef`."""
    return _by_oid("constraint_texts", "definition").get(oid or 0)


def index(oid: int | None, place: int | None, _pretty: bool | None) -> str | None:
    """`pg_get_indexdef`: the whole, or the column at a place."""
    whole = _by_oid("index_texts", "definition").get(oid or 0)
    if whole is None or not place:
        return whole
    columns = whole[whole.index("(") + 1 : whole.rindex(")")].split(", ")
    return columns[place - 1].split(" ")[0] if 0 < place <= len(columns) else ""
