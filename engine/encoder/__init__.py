"""Result batches to PostgreSQL rows, vectorised; runs in the worker. No I/O, no state between batches.

The way of a result:

    columns = result_columns(names, duckdb_types)      # types as DuckDB spells them: str(d[1]) of con.description
    way = plan(columns, formats, timezone="UTC")       # formats as in Bind: (), (f,) or one each; 0 text, 1 binary
    sql = way.wrap(sql)                                # unchanged unless way.must_wrap (HUGEINT, INTERVAL, STRUCT, ...)
    for batch in con.execute(sql, values).to_arrow_reader(60_000):
        for data, rows in way.frames(batch):           # data: memoryview of whole DataRow messages
            ...

`wrap` needs the types, so a statement must be described first; cache its columns (and wrapped text) by fingerprint.
The wrapped statement's own description (STRUCT, VARCHAR, ...) is not for clients: keep `columns`. A batch of an
unwrapped statement whose plan must wrap is refused with EngineFailed, never sent wrong.

COPY TO STDOUT: `copy_encoder(columns, CopyOptions(...))` in `engine.encoder.copy`, the same loop with CopyData
messages, and after it `way.closing()`: bytes to send last (header of an empty CSV, trailer of binary; else empty).
Parameters: `decode(ParameterValue(data, format, oid), duckdb_type)` in `engine.encoder.parameters`.
Types: `pg_type(duckdb_type)` in `engine.encoder.types`; docs/types.md says what becomes what.
"""

from engine.encoder.plan import EncodePlan, plan
from engine.encoder.types import PgType, ResultColumn, pg_type, result_columns

__all__ = ["EncodePlan", "PgType", "ResultColumn", "pg_type", "plan", "result_columns"]
