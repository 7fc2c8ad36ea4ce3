"""COPY TO STDOUT: batches as CopyData messages, one row each, in text, CSV and binary as PostgreSQL 15 writes them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from engine.encoder.assembly import Messages, Pieces, messages, row_sizes
from engine.encoder.fields import EMPTY, PAD, Field, Slots, as_binary, big_endian, strings_of
from engine.encoder.plan import BINARY_FORMAT, TEXT_FORMAT, EncodePlan, parts_of, plan
from engine.encoder.types import ResultColumn
from governance.errors import StatementRefused

_SIGNATURE = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_TRAILER = b"\xff\xff"
_NULL_BYTES_MAX = 64
_ESCAPES = {"\b": "b", "\f": "f", "\n": "n", "\r": "r", "\t": "t", "\v": "v"}
_PLAIN_TEXT = frozenset("0123456789+-.: abcdefinostyBCINT")
"""All characters that numbers, dates, times and booleans are written with: these columns hold nothing to escape."""
_TEXT_DELIMITER_FORBIDDEN = frozenset("\\.abcdefghijklmnopqrstuvwxyz0123456789")


@dataclass(frozen=True, slots=True)
class CopyOptions:
    """How COPY writes rows; `delimiter`, `quote` and `escape` are one byte each."""

    format: str = "text"
    """text, csv or binary."""
    delimiter: str = "\t"
    null: str = "\\N"
    quote: str = '"'
    escape: str = '"'
    header: bool = False
    force_quote: bool = False

    @classmethod
    def parse(cls, format_: str, options: Mapping[str, str]) -> CopyOptions:
        """The options of a COPY statement: delimiter, null, quote, escape, header (on, off), force_quote (`*`).

        Raises:
            StatementRefused: an option that is not known, not for this format, or has a bad value.
        """
        given = dict(options)
        csv = format_ == "csv"
        if format_ not in ("text", "csv", "binary"):
            _refuse("COPY knows the formats text, csv and binary.")
        if format_ == "binary" and given:
            _refuse("COPY in binary format takes no further options.")
        if not csv and {"quote", "escape", "force_quote"} & given.keys():
            _refuse("COPY takes quote, escape and force_quote in CSV only.")
        made = cls(
            format=format_,
            delimiter=given.pop("delimiter", "," if csv else "\t"),
            null=given.pop("null", "" if csv else "\\N"),
            quote=given.get("quote", '"'),
            escape=given.pop("escape", given.pop("quote", '"')),
            header=given.pop("header", "off") == "on",
            force_quote=given.pop("force_quote", "") == "*",
        )
        if given:
            _refuse("A COPY option is not supported.")
        made._check()
        return made

    def _check(self) -> None:
        for name, value in (("delimiter", self.delimiter), ("quote", self.quote), ("escape", self.escape)):
            if len(value.encode()) != 1 or value in "\r\n":
                _refuse(f"COPY's {name} must be a single one-byte character, and no line break.")
        if self.format == "text" and self.delimiter in _TEXT_DELIMITER_FORBIDDEN:
            _refuse("COPY's delimiter cannot be a lower-case letter, a digit, a point or a backslash.")
        if set("\r\n") & set(self.null) or len(self.null.encode()) > _NULL_BYTES_MAX:
            _refuse(f"COPY's null text is at most {_NULL_BYTES_MAX} bytes without line breaks.")
        if self.format == "csv" and self.delimiter == self.quote:
            _refuse("COPY's delimiter and quote must differ.")
        if self.delimiter in self.null or (self.format == "csv" and self.quote in self.null):
            _refuse("COPY's delimiter and quote must not stand in its null text.")


def _refuse(sentence: str) -> None:
    raise StatementRefused(sentence)


class CopyEncoder:
    """One COPY's way to CopyData messages. Keeps whether the header is out, so: one for each run."""

    def __init__(self, way: EncodePlan, options: CopyOptions) -> None:
        self._way = way
        self._options = options
        self._begun = False

    @property
    def columns(self) -> tuple[ResultColumn, ...]:
        """The columns that are copied."""
        return self._way.columns

    @property
    def must_wrap(self) -> bool:
        """As `EncodePlan.must_wrap`."""
        return self._way.must_wrap

    def wrap(self, sql: str) -> str:
        """As `EncodePlan.wrap`."""
        return self._way.wrap(sql)

    def frames(self, batch: pa.RecordBatch) -> Iterator[tuple[memoryview, int]]:
        """The rows of `batch` as whole CopyData messages and how many; the header comes before the first.

        Raises:
            ResourceExceeded: a row above ROW_BYTES_MAX. EngineFailed: a type without an encoding.
        """
        if not batch.num_rows:
            return
        if not self._begun and self._options.format == "binary":
            self._begun = True
            first = bytes(self._encode(batch.slice(0, 1)).data)  # PostgreSQL sends the header with the first row
            yield memoryview(_copy_data(_SIGNATURE + first[5:])), 1
            batch = batch.slice(1)
        header = self._header()
        if header:
            yield memoryview(header), 0
        for part in parts_of(batch):
            if part.num_rows:
                yield from self._encode(part).frames()

    def closing(self) -> bytes:
        """What comes after the last row: the binary trailer; and the header, when there was no row."""
        if self._options.format != "binary":
            return self._header()
        begun, self._begun = self._begun, True
        return _copy_data(_TRAILER if begun else _SIGNATURE + _TRAILER)

    def _header(self) -> bytes:
        if self._begun:
            return b""
        self._begun = True
        if not self._options.header:
            return b""
        names = pa.array([column.name for column in self.columns], pa.string())
        made = [as_binary(self._escaped(strings_of(names.slice(at, 1)), header=True)) for at in range(len(names))]
        line = self._options.delimiter.encode().join(array[0].as_py() for array in made)
        return _copy_data(line + b"\n")

    def _encode(self, batch: pa.RecordBatch) -> Messages:
        fields = self._way.fields(batch)
        if self._options.format == "binary":
            return messages(fields, batch.num_rows, b"d")
        delimiter = self._options.delimiter.encode()
        fields = [self._escaped(field) for field in fields]
        rows = batch.num_rows
        total = row_sizes(fields, rows, 4 + 1 + max(len(fields) - 1, 0))
        pieces = Pieces(rows)
        pieces.add_constant(b"d")
        pieces.add(big_endian(total), 4, risky=True)
        for at, field in enumerate(fields):
            if at:
                pieces.add_constant(delimiter)
            if isinstance(field, Slots):
                pieces.add(field.data, field.sizes, padded=field.padded)
            else:
                pieces.add_strings(field.data)
        pieces.add_constant(b"\n")
        return Messages(pieces.joined(), total + np.int32(1))

    def _escaped(self, field: Field, *, header: bool = False) -> Field:
        """The field with delimiters and quotes escaped and its nulls written as the null text."""
        options = self._options
        special = {options.delimiter} | ({options.quote} if options.format == "csv" else set())
        clashes = special & _PLAIN_TEXT or (options.format == "csv" and options.null and not header)
        if isinstance(field, Slots) and not clashes and not options.force_quote:
            return _with_null_text(field, options.null.encode())
        values = as_binary(field)
        force = options.force_quote and not header
        made = self._csv(values, force) if options.format == "csv" else self._text(values)
        if field.nulls is not None:
            made = pc.if_else(pa.array(field.nulls), pa.scalar(options.null.encode(), pa.binary()), made)
        return strings_of(made)

    def _text(self, values: pa.Array) -> pa.Array:
        delimiter = self._options.delimiter
        special = {"\\": "\\\\", **{char: f"\\{letter}" for char, letter in _ESCAPES.items()}}
        special.setdefault(delimiter, f"\\{delimiter}")
        needy = pc.match_substring_regex(values, "[" + re.escape("".join(special)) + "]")
        if not pc.any(needy).as_py():
            return values
        for char, escaped in special.items():  # the backslash comes first
            values = pc.replace_substring(values, char.encode(), escaped.encode())
        return values

    def _csv(self, values: pa.Array, force: bool) -> pa.Array:
        options = self._options
        quote, escape = options.quote.encode(), options.escape.encode()
        needy = pc.match_substring_regex(values, "[" + re.escape(f"{options.delimiter}{options.quote}\r\n") + "]")
        needy = pc.or_(needy, pc.equal(values, pa.scalar(options.null.encode(), pa.binary())))
        if len(self.columns) == 1:  # alone on its line, it would end the data
            needy = pc.or_(needy, pc.equal(values, pa.scalar(b"\\.", pa.binary())))
        if force:
            needy = pa.array(np.ones(len(values), np.bool_))
        if not pc.any(needy).as_py():
            return values
        escaped = values
        if escape != quote:
            escaped = pc.replace_substring(escaped, escape, escape + escape)
        escaped = pc.replace_substring(escaped, quote, escape + quote)
        mark = pa.scalar(quote, pa.binary())
        return pc.if_else(needy, pc.binary_join_element_wise(mark, escaped, mark, EMPTY), values)


def _with_null_text(field: Slots, null: bytes) -> Field:
    if field.nulls is None:
        return field
    rows, width = field.data.shape
    data = np.full((rows, max(width, len(null))), PAD, np.uint8)
    data[:, :width] = field.data
    data[:, : len(null)][field.nulls] = np.frombuffer(null, np.uint8)
    sizes = np.where(field.nulls, len(null), field.sizes).astype(np.int32)
    return Slots(data, sizes, None, padded=True)


def _copy_data(payload: bytes) -> bytes:
    return b"d" + (len(payload) + 4).to_bytes(4, "big") + payload


def copy_encoder(
    columns: Sequence[ResultColumn],
    options: CopyOptions,
    *,
    timezone: str = "UTC",
    interval_style: str = "postgres",
    bytea_output: str = "hex",
) -> CopyEncoder:
    """The encoder of one COPY of `columns`.

    Raises:
        StatementRefused: an unknown time zone.
    """
    format_ = BINARY_FORMAT if options.format == "binary" else TEXT_FORMAT
    return CopyEncoder(
        plan(columns, (format_,), timezone=timezone, interval_style=interval_style, bytea_output=bytea_output), options
    )
