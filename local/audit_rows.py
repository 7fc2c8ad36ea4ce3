"""Records of the query audit as rows: JSON Lines to Arrow, one organization's, as its people may read them.

What is not a record of ours is left out, as a search leaves it out; `hatidata audit verify` names it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj

from governance.audit_schema import QUERY_FIELDS
from governance.audit_table import FOREIGN, MISSING, TEXTS_TOLD

_BLOCK_BYTES = 16 << 20
"""More than an object's longest line."""
_MOMENT = pa.timestamp("us", tz="UTC")


def _type(schema: Mapping[str, Any]) -> pa.DataType:
    if schema.get("type") == "array":
        return pa.list_(_type(schema["items"]))
    if schema.get("type") == "object":
        return pa.struct([(name, _type(each)) for name, each in schema["properties"].items()])
    if "const" in schema:
        return pa.int64()
    return {"integer": pa.int64(), "number": pa.float64()}.get(str(schema.get("type")), pa.string())


_MOMENTS = frozenset(each.name for each in QUERY_FIELDS if "T" in str(each.schema.get("pattern", "")))
_READ = pa.schema([(each.name, _type(each.schema)) for each in QUERY_FIELDS])
SCHEMA = pa.schema([(each.name, _MOMENT if each.name in _MOMENTS else each.type) for each in _READ])
"""Of every file."""


def read(texts: Sequence[bytes]) -> pa.Table:
    """The records among the lines of these objects, with their moments still as texts."""
    joined = b"".join(texts)
    if not joined.strip():
        return _READ.empty_table()
    try:
        return _at_once(joined)
    except (pa.ArrowException, KeyError):
        if len(texts) > 1:
            return pa.concat_tables([read([text]) for text in texts])
        return _one_by_one(joined.split(b"\n"))


def _at_once(text: bytes) -> pa.Table:
    """Raises ArrowException or KeyError when a line is no record."""
    options = pj.ParseOptions(explicit_schema=_READ, unexpected_field_behavior="ignore")
    found = pj.read_json(pa.BufferReader(text), pj.ReadOptions(block_size=_BLOCK_BYTES), options)
    return found.select(_READ.names).cast(_READ)


def _one_by_one(lines: Iterable[bytes]) -> pa.Table:
    """As `read`, when one of the lines is no record: that one is left out."""
    kept = []
    for line in lines:
        try:
            record = _whole(json.loads(line))
            if isinstance(record["query_id"], str) and isinstance(record["organization"], str):
                kept.append(pa.Table.from_pylist([record], _READ))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError, pa.ArrowException):
            continue
    return pa.concat_tables(kept) if kept else _READ.empty_table()


def _whole(value: Any) -> Any:
    """`value` with half characters replaced, which JSON can hold and a text cannot."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, list):
        return [_whole(each) for each in value]
    return {name: _whole(each) for name, each in value.items()} if isinstance(value, dict) else value


def of_organization(records: pa.Table, organization: str, environment: str) -> pa.Table:
    """What the organization's people may read of `records`: its own, and of foreign tables not that they exist."""
    own = pc.and_(pc.equal(records["organization"], organization), pc.equal(records["environment"], environment))
    found = records.filter(own)
    for at, name in enumerate(found.column_names):
        if name in _MOMENTS:
            found = found.set_column(at, SCHEMA.field(at), _moments(found[name]))
        else:
            told = _told(name, found[name].combine_chunks() if len(found) else found[name])
            found = found.set_column(at, SCHEMA.field(at), told)
    return found.cast(SCHEMA)


def _moments(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    """Moments; NULL where there is none."""
    plain = pc.match_substring_regex(texts, r"\A\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z\z")
    texts = pc.if_else(plain, texts, pa.scalar(None, pa.string()))
    try:
        return texts.cast(_MOMENT)
    except pa.ArrowInvalid:  # a thirteenth month
        return pa.chunked_array([[_moment(text) for text in texts.to_pylist()]], _MOMENT)


def _moment(text: str | None) -> Any:
    try:
        return None if text is None else pa.scalar(text).cast(_MOMENT).as_py()
    except pa.ArrowInvalid:
        return None


def _told(name: str, values: Any) -> Any:
    """A column with its reasons rewritten, those inside lists and structures too."""
    kind = values.type
    if isinstance(values, pa.ChunkedArray):
        return values
    if pa.types.is_list(kind) and pa.types.is_struct(kind.value_type):
        inner = values.flatten()
        fields = [_told(each.name, inner.field(at)) for at, each in enumerate(kind.value_type)]
        rebuilt = pa.StructArray.from_arrays(fields, fields=list(kind.value_type), mask=inner.is_null())
        return pa.ListArray.from_arrays(_offsets(values), rebuilt, type=kind)
    return pc.replace_substring(values, FOREIGN, MISSING) if name in TEXTS_TOLD else values


def _offsets(lists: pa.ListArray) -> pa.Array:
    """Where each list begins in `lists.flatten()`, NULL for a list that is NULL."""
    lengths = pc.fill_null(pc.list_value_length(lists), 0)
    ends = pc.cumulative_sum(lengths)
    begins = pa.concat_arrays([pa.array([0], pa.int32()), ends.cast(pa.int32())])
    missing = pa.concat_arrays([lists.is_null(), pa.array([False])])
    return pc.if_else(missing, pa.scalar(None, pa.int32()), begins)
