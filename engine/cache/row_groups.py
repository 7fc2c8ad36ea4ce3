"""Where the column chunks of a Parquet file lie, read from its footer: what a scan will want next. Pure."""

from __future__ import annotations

import struct
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator

import pyarrow as pa
import pyarrow.parquet as pq

MAGIC = b"PAR1"
_END = struct.Struct("<I4s")
END_BYTES = _END.size
"""The last bytes of a file: the footer's length and the magic word."""
_GAP_BYTES_MAX = 1 << 14
"""Chunks that lie no further apart are wanted together, as DuckDB reads them."""

Chunk = tuple[int, int]
"""(row group, column), both from 0."""


class NotParquet(ValueError):
    """The footer cannot be read; DuckDB will say what of it."""


def footer_bytes(end: bytes) -> int:
    """How long the footer is before `end`, the file's last END_BYTES.

    Raises:
        NotParquet: it has none.
    """
    if len(end) != END_BYTES or end[4:] != MAGIC:
        raise NotParquet
    length: int = _END.unpack(end)[0]
    return length


class RowGroups:
    """The chunks of a file, by row group and column."""

    def __init__(self, spans: Iterable[Iterable[tuple[int, int]]]) -> None:
        """`spans`: for each row group, for each column, bytes [start, end)."""
        self._spans = tuple(tuple(columns) for columns in spans)
        self._sorted = sorted(
            (start, end, (group, column))
            for group, columns in enumerate(self._spans)
            for column, (start, end) in enumerate(columns)
        )
        self._starts = [start for start, _, _ in self._sorted]

    def __len__(self) -> int:
        return len(self._spans)

    @classmethod
    def read(cls, footer: bytes) -> RowGroups:
        """From the end of a file, `footer_bytes` and END_BYTES long.

        Raises:
            NotParquet: it cannot be read.
        """
        try:
            metadata = pq.read_metadata(pa.BufferReader(MAGIC + footer))
            groups = (metadata.row_group(at) for at in range(metadata.num_row_groups))
            return cls([[_span(group.column(at)) for at in range(metadata.num_columns)] for group in groups])
        except (pa.ArrowException, OSError, OverflowError):
            raise NotParquet from None

    def chunks(self, start: int, end: int) -> list[Chunk]:
        """The chunks that bytes [start, end) touch."""
        first = max(bisect_right(self._starts, start) - 1, 0)
        found = self._sorted[first : bisect_left(self._starts, end)]
        return [chunk for _, ends, chunk in found if ends > start]

    def spans(self, group: int, columns: Iterable[int]) -> Iterator[tuple[int, int]]:
        """The bytes of some columns of a row group, in order, near ones together."""
        wanted = sorted(self._spans[group][column] for column in columns)
        while wanted:
            start, end = wanted.pop(0)
            while wanted and wanted[0][0] - end <= _GAP_BYTES_MAX:
                end = max(end, wanted.pop(0)[1])
            yield start, end


def _span(chunk: pq.ColumnChunkMetaData) -> tuple[int, int]:
    start = chunk.data_page_offset
    if chunk.has_dictionary_page and chunk.dictionary_page_offset:
        start = min(start, chunk.dictionary_page_offset)
    end = start + chunk.total_compressed_size
    if not 0 <= start <= end:
        raise NotParquet
    return start, end
