"""What verbs print: tables for people, JSON for scripts. Values are printed as they are, never as markup."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

_PIPED_WIDTH = 200
"""Where no terminal says how wide it is, rows should stay on one line."""


def as_json(document: Any) -> None:
    """Print one JSON document."""
    json.dump(document, sys.stdout, indent=2, ensure_ascii=False, default=str)
    sys.stdout.write("\n")


def as_table(rows: Iterable[dict[str, Any]], columns: Sequence[str], *, empty: str = "Nothing to show.") -> None:
    """Print `columns` of `rows`; a column's name is the key, its underscores shown as spaces."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column.replace("_", " "), overflow="fold")
    count = 0
    for row in rows:
        count += 1
        table.add_row(*(Text(cell(row.get(column))) for column in columns))
    console = Console(width=None if sys.stdout.isatty() else _PIPED_WIDTH)
    if count:
        console.print(table)
    else:
        console.print(empty)


def listing(rows: Iterable[dict[str, Any]], columns: Sequence[str], *, json_wanted: bool) -> None:
    """A list, either way."""
    if json_wanted:
        as_json({"items": list(rows)})
    else:
        as_table(rows, columns)


def detail(document: dict[str, Any], *, json_wanted: bool) -> None:
    """One object, either way."""
    if json_wanted:
        as_json(document)
        return
    as_table([{"field": key, "value": cell(value)} for key, value in document.items()], ("field", "value"))


def cell(value: Any) -> str:
    """A value in a cell, on one line and without control characters."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple) and all(isinstance(entry, str | int) for entry in value):
        value = ", ".join(str(entry) for entry in value)
    elif isinstance(value, dict | list | tuple):
        value = json.dumps(value, ensure_ascii=False)
    return "".join(c if c.isprintable() else " " for c in str(value))
