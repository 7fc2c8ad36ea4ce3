"""The worker's operation `catalog`: run a translated catalog query on its image's instance and encode the rows."""

from __future__ import annotations

import struct
import threading
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

from engine.catalog.emulation import types
from engine.catalog.emulation.image import CatalogImage
from engine.catalog.emulation.statement import CatalogColumn, translate
from engine.catalog.emulation.types import preload
from engine.catalog.emulation.values import array_items
from engine.encoder import plan
from engine.encoder.copy import copy_encoder
from engine.encoder.parameters import ParameterValue, decode
from engine.executor.catalog_functions import interruptible_by, signals_to
from engine.executor.catalog_instance import CatalogInstance, CatalogInstances, prepare, refusal_of
from engine.executor.messages import Bound, Request, columns_reply
from engine.executor.spelling import copy_options, spelling
from governance.errors import EngineFailed, Refusal

BATCH_ROWS = 20_000
IMAGE_MISSING = "image_missing"
_INSTANCES = CatalogInstances()


def _malformed() -> EngineFailed:
    return EngineFailed("A parameter is not a value of its type.", kind="parameter")


def parameter(bound: Bound) -> Any:
    """A client's parameter as the value that DuckDB binds.

    Object ids come in four bytes, names as text; a reg* type may come as either and is bound as text. Other types are
    the encoder's.

    Raises:
        Refusal: malformed.
    """
    oid = bound.oid or types.TEXT
    if bound.data is None:
        return None
    if oid in types.OID_LIKE:
        if bound.format == 1:
            if len(bound.data) != 4:
                raise _malformed()
            number = int.from_bytes(bound.data)
            return str(number) if oid in types.REG_TYPES else number
        text = _text(bound.data)
        if oid in types.REG_TYPES:
            return text
        if not text.strip().isdigit() or len(text) > 12:
            raise _malformed()
        return int(text)
    element = types.element_of(oid)
    if element is not None and (element in types.OID_LIKE or types.duck(element) == "VARCHAR" or types.is_vector(oid)):
        return _array(bound, element)
    if types.duck(oid) == "VARCHAR":
        data = bound.data[1:] if oid == types.JSONB and bound.format == 1 else bound.data
        return _text(data)
    return decode(ParameterValue(bound.data, bound.format, bound.oid), types.duck(oid))


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise _malformed() from None


def _array(bound: Bound, element: int) -> list[Any]:
    """A one-dimensional array of ids or texts."""
    data = bound.data or b""
    if bound.format == 0:
        found = array_items(_text(data)) if data[:1] == b"{" else list(_text(data).split())
        items: list[bytes | None] = [None if item is None else item.encode() for item in found]
        form = 0
    else:
        items, form = _binary_items(data), 1
    if element in types.INTEGERS and form == 1:
        return [None if item is None else int.from_bytes(item, signed=True) for item in items]
    kind = types.INT8 if element in types.INTEGERS else element
    return [parameter(Bound(item, form, types.OID if kind == types.INT8 else kind, "")) for item in items]


def _binary_items(data: bytes) -> list[bytes | None]:
    if len(data) < 12:
        raise _malformed()
    dimensions = struct.unpack_from(">i", data)[0]
    if dimensions == 0:
        return []
    if dimensions != 1 or len(data) < 20:
        raise _malformed()
    count, at, items = struct.unpack_from(">i", data, 12)[0], 20, list[bytes | None]()
    for _ in range(count):
        if at + 4 > len(data):
            raise _malformed()
        length = struct.unpack_from(">i", data, at)[0]
        at += 4
        if length < 0:
            items.append(None)
            continue
        if at + length > len(data):
            raise _malformed()
        items.append(data[at : at + length])
        at += length
    return items


def _image(extra: dict[str, Any]) -> CatalogImage:
    if "image" not in extra:
        raise EngineFailed("The catalog is not ready.", kind=IMAGE_MISSING)
    return CatalogImage.from_document(extra["image"])


def run(
    instance: CatalogInstance, request: Request, announce: Callable[..., None], cursor: Any = None
) -> Iterator[tuple[memoryview, int]]:
    """Frames of the rows of `request`; `announce` gets the columns first, with the signals that it asks for.

    Raises:
        Refusal: what a catalog function refused, or a value out of bounds.
    """
    work = request.work
    extra = work.extra
    columns = [CatalogColumn.from_document(c) for c in extra["columns"]]
    instance.fill([(schema, name) for schema, name in extra["relations"]])
    copying = work.row_format != "datarow"
    binary = work.row_format == "copy_binary"
    prepared = prepare(work.sql, columns, [1] if binary else () if copying else work.formats)
    way: Any
    if copying:
        way = copy_encoder(prepared.columns, copy_options(work), **spelling(work.row_options))
    else:
        way = plan(prepared.columns, work.formats, **spelling(work.row_options))
    sql = way.wrap(prepared.sql)
    values = {f"p{i}": parameter(bound) for i, bound in enumerate(request.parameters, 1)}
    cursor = cursor or instance.cursor()
    try:
        signals: list[tuple[str, int]] | None = [] if extra.get("signaling") else None
        signals_to(signals)
        result = cursor.execute(sql, instance.used(sql, {**values, **extra["session"]}))
        batches = result.to_arrow_reader(BATCH_ROWS)
        if signals is not None:
            batches = iter(_only(batches))
        announce(prepared.columns, signals)
        for batch in batches:
            yield from way.frames(batch)
        closing = way.closing()
        if closing:
            yield memoryview(closing), 0
    except Refusal:
        raise
    except Exception as error:
        refused = refusal_of(error)
        if refused is None:
            raise
        raise refused from None
    finally:
        cursor.close()


def _only(batches: Iterator[Any]) -> list[Any]:
    """The one batch of a statement that is run whole before its columns are told."""
    found = list(islice(batches, 2))
    if len(found) > 1:
        raise EngineFailed("A statement that signals sessions has too many rows.", kind="invalid_input")
    return found


class _Ending:
    """What an interrupt reaches: DuckDB, and a function of ours that waits."""

    def __init__(self, cursor: Any) -> None:
        self.event = threading.Event()
        self._cursor = cursor

    def interrupt(self) -> None:
        """End the statement."""
        self.event.set()
        self._cursor.interrupt()


def catalog(
    _shared: Any,
    _cursor: Any,
    request: Request,
    send: Callable[[bytes], None],
    watch: Callable[[Any], None] = lambda _: None,
) -> Iterator[Any]:
    """The operation, as `engine.executor.operations` lists it."""

    def announce(columns: Any, signals: Any = None) -> None:
        send(columns_reply(columns, signals))

    extra = request.work.extra
    with _INSTANCES.showing(extra["key"], lambda: _image(extra)) as instance:
        cursor = instance.cursor()
        ending = _Ending(cursor)
        interruptible_by(ending.event)
        watch(ending)
        yield from run(instance, request, announce, cursor)


def rehearse_catalog() -> None:
    """Open the instances and read the fixed rows, while files can still be read and modules imported.

    Nothing is filled or run: that starts Arrow's threads, and the sandbox is put on while there is one thread only.
    """
    _INSTANCES.open()
    _ = translate("SELECT c.oid::regclass, relname FROM pg_class c WHERE oid = $1::regclass")
    preload()
