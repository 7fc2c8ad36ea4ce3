"""Everything a worker will ever import, imported while it still can: the encoder is played through once, all types."""

from __future__ import annotations

import datetime
import decimal
import importlib
import sys
import uuid

import pyarrow as pa

from engine.encoder import plan, result_columns
from engine.executor.catalog_operation import rehearse_catalog

_MODULES = ("pyarrow.compute", "pyarrow.dataset", "numpy", "zoneinfo", "encodings.idna", "encodings.unicode_escape")
_ABSENT = ("pandas",)
"""Modules DuckDB looks for anew with every bound value, on disk, unless told once that they are not there."""
_DAY = datetime.datetime(2024, 2, 29, 12, 30, 15, 123456)  # noqa: DTZ001 - DuckDB's TIMESTAMP has no zone
_SAMPLES: tuple[tuple[str, pa.DataType, object], ...] = (
    ("BOOLEAN", pa.bool_(), True),
    ("TINYINT", pa.int8(), 1),
    ("SMALLINT", pa.int16(), 1),
    ("INTEGER", pa.int32(), 1),
    ("BIGINT", pa.int64(), 1),
    ("UBIGINT", pa.uint64(), 1),
    ("FLOAT", pa.float32(), 1.5),
    ("DOUBLE", pa.float64(), 1.5),
    ("DECIMAL(9,2)", pa.decimal32(9, 2), decimal.Decimal("1.50")),
    ("DECIMAL(12,2)", pa.decimal64(12, 2), decimal.Decimal("1.50")),
    ("DECIMAL(30,2)", pa.decimal128(30, 2), decimal.Decimal("1.50")),
    ("VARCHAR", pa.string(), "x"),
    ("BLOB", pa.binary_view(), b"x"),
    ("DATE", pa.date32(), _DAY.date()),
    ("TIME", pa.time64("us"), _DAY.time()),
    ("TIMESTAMP", pa.timestamp("us"), _DAY),
    ("TIMESTAMP WITH TIME ZONE", pa.timestamp("us", "UTC"), _DAY.replace(tzinfo=datetime.UTC)),
    ("UUID", pa.string(), str(uuid.UUID(int=1))),
    ("JSON", pa.string(), "{}"),
    ("INTEGER[]", pa.list_(pa.int32()), [1, None]),
    ("VARCHAR[]", pa.list_(pa.string()), ["a", None]),
)


def rehearse() -> None:
    """Play a row of every common type through every row format, and make a catalog."""
    for name in _MODULES:
        importlib.import_module(name)
    for name in _ABSENT:
        sys.modules.setdefault(name, None)  # type: ignore[arg-type]
    columns = result_columns([kind for kind, _, _ in _SAMPLES], [kind for kind, _, _ in _SAMPLES])
    arrays = [pa.array([value, None], type=arrow) for _, arrow, value in _SAMPLES]
    batch = pa.RecordBatch.from_arrays(arrays, names=[kind for kind, _, _ in _SAMPLES])
    for form, zone in ((0, "UTC"), (1, "UTC"), (0, "Europe/Berlin")):
        for _ in plan(columns, (form,), timezone=zone).frames(batch):
            pass
    rehearse_catalog()
