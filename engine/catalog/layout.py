"""How objects make tables: `<schema>/<table>/**/*.parquet`, `<schema>/<table>.parquet`, Hive folders `k=v`. Pure."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from urllib.parse import unquote

from engine.cache.objects import Snapshot, StoredObject
from governance.audit_table import SCHEMA as OWN_SCHEMA
from governance.tables import TableName, fold

_SUFFIX = ".parquet"
_NAME = re.compile(r"\A[^\x00-\x1f\x7f./\\\"]{1,63}\Z")
_INTEGER = re.compile(r"\A-?\d{1,18}\Z")
_DATE = re.compile(r"\A\d{4}-\d{2}-\d{2}\Z")
_HIVE_NULL = "__HIVE_DEFAULT_PARTITION__"

ICEBERG = "This is an Iceberg table; only plain Parquet files are read so far. Export it as Parquet."
DELTA = "This is a Delta table; only plain Parquet files are read so far. Export it as Parquet."
AMBIGUOUS = "Two folders or files have this name (names compare without case). Rename one."
UNEVEN = "Its files lie in folders with different partition columns. Lay them out alike."


@dataclass(frozen=True, slots=True)
class FoundTable:
    """A table as the listing shows it: its files, or why it cannot be read."""

    name: TableName
    snapshot: Snapshot
    fault: str = ""


@dataclass(slots=True)
class _Gathered:
    root: str
    objects: list[StoredObject]
    fault: str = ""


def tables_of(objects: Iterable[StoredObject]) -> list[FoundTable]:
    """Tables in order of name. Names beginning with `_` or `.` are not data, nor is the reserved schema."""
    found: dict[tuple[str, str], _Gathered] = {}
    formats: dict[str, str] = {}
    for stored in objects:
        parts = stored.path.split("/")
        if len(parts) < 2 or not _NAME.match(parts[0]) or fold(parts[0]) == OWN_SCHEMA:
            continue
        if len(parts) > 3 and parts[2] == "_delta_log":
            formats[f"{parts[0]}/{parts[1]}"] = DELTA
        elif len(parts) == 4 and parts[2] == "metadata" and parts[3].endswith(".metadata.json"):
            formats[f"{parts[0]}/{parts[1]}"] = ICEBERG
        if any(part.startswith(("_", ".")) for part in parts) or not parts[-1].lower().endswith(_SUFFIX):
            continue
        single = len(parts) == 2
        name = parts[1][: -len(_SUFFIX)] if single else parts[1]
        if not _NAME.match(name):
            continue
        root = parts[0] if single else f"{parts[0]}/{parts[1]}"
        table = found.setdefault((parts[0], name), _Gathered(root, []))
        if table.root != root or (single and table.objects):
            table.fault = AMBIGUOUS
        table.objects.append(stored)
    for folder, fault in formats.items():
        schema, _, name = folder.partition("/")
        if _NAME.match(name):
            found.setdefault((schema, name), _Gathered(folder, [])).fault = fault
    return _without_twins([_table(schema, name, table) for (schema, name), table in sorted(found.items())])


def _table(schema: str, name: str, gathered: _Gathered) -> FoundTable:
    table = TableName(schema, name)
    objects = tuple(sorted(gathered.objects, key=lambda stored: stored.path))
    fault = gathered.fault
    partitions: tuple[tuple[str, str], ...] = ()
    if not fault:
        found = _partitions(gathered.root, objects)
        if found is None:
            fault = UNEVEN
        else:
            partitions = found
    return FoundTable(table, Snapshot(str(table), gathered.root, objects, partitions), fault)


def _without_twins(tables: list[FoundTable]) -> list[FoundTable]:
    """Tables whose names differ in case only hide each other: the first stays, at fault."""
    by_key: dict[tuple[str, str], FoundTable] = {}
    for table in tables:
        twin = by_key.get(table.name.key)
        by_key[table.name.key] = table if twin is None else FoundTable(twin.name, twin.snapshot, AMBIGUOUS)
    return list(by_key.values())


def _partitions(root: str, objects: Iterable[StoredObject]) -> tuple[tuple[str, str], ...] | None:
    """Hive columns and their types, () without any, None when files disagree about the columns."""
    values: dict[str, set[str]] = defaultdict(set)
    shapes = set()
    for stored in objects:
        folders = stored.path[len(root) + 1 :].split("/")[:-1]
        pairs = [folder.split("=", 1) for folder in folders if "=" in folder]
        shapes.add(tuple(key for key, _ in pairs))
        for key, value in pairs:
            values[key].add(unquote(value))
    if len(shapes) > 1:
        return None
    keys = next(iter(shapes), ())
    if len({key.lower() for key in keys}) != len(keys) or not all(_NAME.match(key) for key in keys):
        return None
    return tuple((key, _type_of(values[key])) for key in keys)


def _type_of(values: set[str]) -> str:
    """BIGINT, DATE or VARCHAR: the narrowest that every value is."""
    known = values - {_HIVE_NULL}
    if known and all(_INTEGER.match(value) for value in known):
        return "BIGINT"
    if known and all(_is_date(value) for value in known):
        return "DATE"
    return "VARCHAR"


def _is_date(value: str) -> bool:
    try:
        return bool(_DATE.match(value)) and bool(date.fromisoformat(value))
    except ValueError:
        return False
