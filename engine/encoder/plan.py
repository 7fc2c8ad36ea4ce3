"""How one result is sent: which columns in which format, what SQL must prepare, and the rows of each batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from zoneinfo import ZoneInfoNotFoundError

import pyarrow as pa

from engine.encoder.assembly import ROW_BYTES_MAX, messages, too_large
from engine.encoder.binary import binary_field
from engine.encoder.calendar import Zone
from engine.encoder.few import ROWS_MAX as FEW_ROWS
from engine.encoder.few import few_rows
from engine.encoder.fields import Field
from engine.encoder.text import text_field
from engine.encoder.types import PgType, Preparation, ResultColumn, pg_type
from governance.errors import StatementRefused

TEXT_FORMAT, BINARY_FORMAT = 0, 1
PART_BYTES = 16 << 20
"""About how much of a batch is encoded at a time (a single row may be larger)."""
_HEAD = b"D"


@dataclass(frozen=True, slots=True)
class EncodePlan:
    """One result's way to DataRow messages. Made by `plan`; holds no data; may be used for many batches."""

    columns: tuple[ResultColumn, ...]
    formats: tuple[int, ...]
    types: tuple[PgType, ...]
    zone: Zone

    @property
    def must_wrap(self) -> bool:
        """Whether the statement must run as `wrap(sql)`: a column's Arrow form would lose something."""
        return any(pg.preparation is not Preparation.NONE for pg in self.types)

    def wrap(self, sql: str) -> str:
        """`sql` (one SELECT without a trailing semicolon) with the columns that need it prepared.

        Order of rows, order and names of columns stay as they are; a statement that needs nothing is returned
        unchanged. Parameters keep their numbers.
        """
        if not self.must_wrap:
            return sql
        aliases = [f"c{at}" for at in range(len(self.columns))]
        selected = ", ".join(
            f"{_prepared(alias, pg)} AS {_quoted(column.name)}"
            for alias, pg, column in zip(aliases, self.types, self.columns, strict=True)
        )
        return f"SELECT {selected} FROM (\n{sql}\n) AS result({', '.join(aliases)})"

    def closing(self) -> bytes:
        """What comes after the last row: nothing (COPY has a trailer, `CopyEncoder.closing`)."""
        return b""

    def fields(self, batch: pa.RecordBatch) -> list[Field]:
        """The columns of a batch, encoded but not placed in rows."""
        return [
            (binary_field if format_ == BINARY_FORMAT else text_field)(array, pg, self.zone)
            for array, pg, format_ in zip(batch.columns, self.types, self.formats, strict=True)
        ]

    def frames(self, batch: pa.RecordBatch) -> Iterator[tuple[memoryview, int]]:
        """The rows of `batch` as whole DataRow messages, in parts, and how many rows each holds.

        Raises:
            ResourceExceeded: a row above ROW_BYTES_MAX. EngineFailed: a type without an encoding.
        """
        for part in parts_of(batch):
            few = few_rows(part, self.types, self.formats) if 0 < part.num_rows <= FEW_ROWS and self.columns else None
            if few is not None:
                if part.num_rows == 1 and len(few) > ROW_BYTES_MAX:
                    raise too_large()
                yield memoryview(few), part.num_rows
            elif part.num_rows:
                yield from messages(self.fields(part), part.num_rows, _HEAD).frames()


def parts_of(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """`batch` cut so that each part encodes to about PART_BYTES or less; a single row is never cut."""
    if batch.num_rows > 1 and batch.nbytes > PART_BYTES:
        half = batch.num_rows // 2
        yield from parts_of(batch.slice(0, half))
        yield from parts_of(batch.slice(half))
    else:
        yield batch


def plan(
    columns: Sequence[ResultColumn],
    formats: Sequence[int],
    *,
    timezone: str = "UTC",
    interval_style: str = "postgres",
    bytea_output: str = "hex",
) -> EncodePlan:
    """The plan for `columns`; `formats` as Bind gives them: none (text), one for all, or one each (0 text, 1 binary).

    Intervals are written in `interval_style` (postgres or iso_8601), bytes in `bytea_output` (hex or escape).

    Raises:
        StatementRefused: formats that do not fit, or an unknown time zone.
    """
    wanted = tuple(formats) or (TEXT_FORMAT,)
    if len(wanted) == 1:
        wanted *= len(columns)
    if len(wanted) != len(columns) or not set(wanted) <= {TEXT_FORMAT, BINARY_FORMAT}:
        raise StatementRefused("The result formats asked for do not fit the columns of the result.")
    try:
        zone = Zone(timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise StatementRefused("The time zone is not known.", advice="Use a name like Europe/Berlin.") from None
    types = tuple(pg_type(column.type) for column in columns)
    if (interval_style, bytea_output) != ("postgres", "hex"):
        types = tuple(replace(pg, interval_style=interval_style, bytea_output=bytea_output) for pg in types)
    return EncodePlan(tuple(columns), wanted, types, zone)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _prepared(alias: str, pg: PgType) -> str:
    match pg.preparation:
        case Preparation.NONE:
            return alias
        case Preparation.TEXT:
            return f"CAST({alias} AS VARCHAR[])" if pg.element else f"CAST({alias} AS VARCHAR)"
        case Preparation.TO_JSON:
            return f"CAST(system.main.to_json({alias}) AS VARCHAR)"
        case Preparation.CAST_JSON:
            return f"CAST(CAST({alias} AS JSON) AS VARCHAR)"
        case Preparation.INTERVAL:
            return f"list_transform({alias}, lambda x: {_interval('x')})" if pg.element else _interval(alias)


def _interval(name: str) -> str:
    """Months, days and microseconds as numbers; a null interval stays null."""
    months = f"date_part('year', {name}) * 12 + date_part('month', {name})"
    us = f"date_part('hour', {name}) * 3600000000 + date_part('minute', {name}) * 60000000 + date_part('us', {name})"
    return (
        f"CASE WHEN {name} IS NOT NULL THEN "
        f"{{'months': CAST({months} AS BIGINT), 'days': CAST(date_part('day', {name}) AS BIGINT), "
        f"'us': CAST({us} AS BIGINT)}} END"
    )
