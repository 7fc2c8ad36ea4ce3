"""Encoded columns assembled into whole messages, one per row.

Adjacent slots, the lengths between them and the message header become one matrix, so that the join has few pieces: it
costs about 12 ns a piece, squeezing about 2 ns a byte (measured on the benchmark machine), and the grouping below
weighs the two.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from engine.encoder.fields import (
    EMPTY,
    I32,
    PAD,
    U8,
    Field,
    Slots,
    Strings,
    big_endian,
    binary_from,
    fixed_binary,
    narrowed,
    records,
)
from governance.errors import ResourceExceeded

ROW_BYTES_MAX = 255 << 20
"""A row is handed on whole, in one frame (`engine.executor.messages.FRAME_BYTES_MAX`)."""
FRAME_BYTES = 1 << 20
"""About how much is handed on at a time: what is copied from process to process stays in a core's own cache."""
FIXED_RUN_MIN = 16
"""Bytes of unpadded slots from which a piece of their own is cheaper than squeezing them with their neighbors."""
_STRETCH_BYTES = 256 << 10
"""Of rows that are put together at a time: what a core's own cache holds."""
_PAD = bytes([PAD])


@dataclass(frozen=True, slots=True)
class Messages:
    """Whole messages one after another; `sizes` is the bytes of each."""

    data: memoryview
    sizes: I32

    def frames(self) -> Iterator[tuple[memoryview, int]]:
        """Parts of about FRAME_BYTES that hold whole messages, and how many each holds."""
        if len(self.data) <= FRAME_BYTES + FRAME_BYTES // 2:
            yield self.data, len(self.sizes)
            return
        ends = np.cumsum(self.sizes, dtype=np.int64)
        begun = done = 0
        while done < len(ends):
            upto = min(int(np.searchsorted(ends, begun + FRAME_BYTES)) + 1, len(ends))
            end = int(ends[upto - 1])
            yield self.data[begun:end], upto - done
            begun, done = end, upto


def messages(fields: list[Field], rows: int, tag: bytes) -> Messages:
    """Whole messages, one per row: `tag`, length, number of columns, then each value behind its length (-1 is null).

    That is a DataRow with tag `D`, and a row of binary COPY with tag `d`.

    Raises:
        ResourceExceeded: a row is larger than PostgreSQL allows.
    """
    fields = [narrowed(field) for field in fields]
    total = row_sizes(fields, rows, 6 + 4 * len(fields))
    pieces = Pieces(rows)
    pieces.add_constant(tag)
    pieces.add(big_endian(total), 4, risky=True)
    pieces.add_constant(len(fields).to_bytes(2, "big"))
    for field in fields:
        _add_length(pieces, field)
        if isinstance(field, Slots):
            pieces.add(field.data, field.sizes, padded=field.padded, risky=not field.padded)
        else:
            pieces.add_strings(field.data)
    return Messages(pieces.joined(), total + np.int32(len(tag)))


def row_sizes(fields: list[Field], rows: int, fixed: int) -> I32:
    """Each row's bytes: `fixed` ones and its values'.

    Raises:
        ResourceExceeded: a row is larger than PostgreSQL allows.
    """
    varying = [field.sizes for field in fields if isinstance(field.sizes, np.ndarray)]
    fixed += sum(field.sizes for field in fields if isinstance(field.sizes, int))
    if rows and fixed + sum(int(sizes.max()) for sizes in varying) > ROW_BYTES_MAX:  # perhaps: add them up exactly
        exact = np.full(rows, fixed, np.int64)
        for sizes in varying:
            exact += sizes
        if int(exact.max()) > ROW_BYTES_MAX:
            raise too_large()
    total: I32 = np.full(rows, fixed, np.int32)
    for sizes in varying:
        total += sizes
    return total


def too_large() -> ResourceExceeded:
    """The refusal of a row that is too large to be handed on."""
    return ResourceExceeded(
        "A row of the result is larger than 255 MB.",
        advice="Select fewer or shorter columns, or cut long values with substring().",
    )


def _add_length(pieces: Pieces, field: Field) -> None:
    if isinstance(field.sizes, int):
        pieces.add_constant(field.sizes.to_bytes(4, "big"))
    elif isinstance(field, Slots) and field.nulls is None:  # shorter than 254 bytes by construction
        pieces.add_constant(b"\0\0\0")
        pieces.add(field.sizes.astype(np.uint8)[:, None], 1)
    else:
        block = big_endian(field.sizes)
        if field.nulls is not None:
            block[field.nulls] = 255
        pieces.add(block, 4, risky=isinstance(field, Strings))


@dataclass(slots=True)
class _Block:
    data: U8
    """A matrix (rows x width), or (1 x width) when all rows are the same."""
    sizes: int | I32
    padded: bool
    risky: bool
    """Whether a PAD byte may stand in it that is not padding."""

    @property
    def width(self) -> int:
        """Bytes of a row."""
        return int(self.data.shape[1])


def _squeezed(blocks: list[U8], rows: int) -> bytearray:
    """The blocks side by side, PAD dropped."""
    return _side_by_side(blocks, rows).translate(None, _PAD)


def _side_by_side(blocks: list[U8], rows: int) -> bytearray:
    """The blocks as one matrix: a template row everywhere, then each block that differs between rows.

    Whole-block `V` items are copied some three times faster than rows of single bytes; and a stretch of rows that
    stays in the processor's cache while all its blocks are written takes half the time of one that does not.
    """
    width = sum(block.shape[1] for block in blocks)
    buffer = bytearray(rows * width)
    template = bytearray(width)
    varying: list[tuple[npt.NDArray[np.void], npt.NDArray[np.void]]] = []
    at = 0
    for block in blocks:
        span = block.shape[1]
        if len(block) == 1:
            template[at : at + span] = block.tobytes()
        if len(block) > 1 or rows == 1:
            target = np.ndarray((rows,), f"V{span}", buffer=buffer, offset=at, strides=(width,))
            varying.append((target, records(block)))
        at += span
    first = np.frombuffer(template, f"V{width}") if any(template) else None
    whole = np.frombuffer(buffer, f"V{width}") if width else None
    step = max(_STRETCH_BYTES // max(width, 1), 1)
    for start in range(0, rows, step):
        stretch = slice(start, start + step)
        if first is not None and whole is not None:
            whole[stretch] = first
        for target, source in varying:
            target[stretch] = source[stretch]
    return buffer


class Pieces:
    """Blocks and strings in row order, joined into one buffer."""

    def __init__(self, rows: int) -> None:
        self._rows = rows
        self._pieces: list[pa.Array] = []
        self._run: list[_Block] = []

    def add(self, data: U8, sizes: int | I32, *, padded: bool = False, risky: bool = False) -> None:
        """Put a matrix of bytes next in each row."""
        if data.shape[1]:
            self._run.append(_Block(data, sizes, padded, risky))

    def add_constant(self, data: bytes) -> None:
        """Put the same bytes next in each row."""
        self._run.append(_Block(np.frombuffer(data, np.uint8)[None, :], len(data), False, PAD in data))

    def add_strings(self, data: pa.Array) -> None:
        """Put an Arrow binary array next in each row."""
        self._close()
        self._pieces.append(data)

    def joined(self) -> memoryview:
        """All rows, one after another."""
        if not self._pieces and self._rows:
            groups = self._groups()
            if len(groups) == 1:
                return memoryview(self._made(groups[0]))
        self._close()
        if not self._rows or not self._pieces:
            return memoryview(b"")
        result = pc.binary_join_element_wise(*self._pieces, EMPTY)
        end = int(np.frombuffer(result.buffers()[1], np.int32)[self._rows])
        return memoryview(result.buffers()[2])[:end]

    def as_array(self) -> pa.Array:
        """All rows as an Arrow binary array."""
        self._close()
        return self._pieces[0] if len(self._pieces) == 1 else pc.binary_join_element_wise(*self._pieces, EMPTY)

    def _close(self) -> None:
        for group in self._groups():
            data = self._made(group)
            if any(block.padded for block in group):
                sizes = np.zeros(self._rows, np.int32)
                for block in group:
                    sizes += np.asarray(block.sizes, np.int32)
                self._pieces.append(binary_from(data, sizes))
            else:
                width = sum(block.width for block in group)
                self._pieces.append(fixed_binary(np.frombuffer(data, np.uint8).reshape(self._rows, width)))
        self._run = []

    def _made(self, group: list[_Block]) -> bytearray:
        blocks = [block.data for block in group]
        if any(block.padded for block in group):
            return _squeezed(blocks, self._rows)
        return _side_by_side(blocks, self._rows)

    def _groups(self) -> list[list[_Block]]:
        """The run cut where squeezing would cost more than another piece, or would harm bytes that look like PAD."""
        groups: list[list[_Block]] = []
        kinds: list[bool] = []
        at = 0
        run = self._run
        while at < len(run):
            end = at + 1
            while end < len(run) and run[end].padded == run[at].padded:
                end += 1
            stretch = run[at:end]
            padded = run[at].padded
            if not groups or padded == kinds[-1]:
                pass
            elif padded:  # after fixed bytes: take them along when they are few and safe
                if _joinable(groups[-1]):
                    kinds[-1] = True
            elif _joinable(stretch):
                padded = True
            if groups and kinds[-1] == padded:
                groups[-1].extend(stretch)
            else:
                groups.append(list(stretch))
                kinds.append(padded)
            at = end
        return groups


def _joinable(stretch: list[_Block]) -> bool:
    if sum(block.width for block in stretch) >= FIXED_RUN_MIN:
        return False
    return not any(block.risky and bool((block.data == PAD).any()) for block in stretch)
