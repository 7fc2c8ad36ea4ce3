"""The recorded statements of real clients, and a way to run one against the emulated catalog as a client would."""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.catalog.emulation import CatalogImage, PeerInfo, SessionInfo, build, translate
from engine.catalog.emulation.statement import CatalogColumn
from engine.executor.catalog_instance import CatalogInstance
from engine.executor.catalog_operation import run
from engine.executor.messages import Bound, Request, Work

RECORDED = Path(__file__).parents[4] / "shared" / "clients"


@dataclass(frozen=True)
class Recorded:
    client: str
    text: str
    parameters: tuple[str | None, ...]


def recorded() -> list[Recorded]:
    """Every query of every client, once, in order; session commands and failed statements left out."""
    found: dict[str, Recorded] = {}
    for path in sorted(RECORDED.glob("*.sql")):
        blocks = re.split(r"(?m)^;\n", path.read_text() + "\n")
        for place, block in enumerate(blocks):
            following = blocks[place + 1] if place + 1 < len(blocks) else ""
            if "[!error]" in block or following.startswith("-- [!error]"):
                continue
            lines = [line for line in block.splitlines() if not line.startswith("-- ")]
            told = re.search(r"(?m)^-- parameters: (.*)$", block)
            values: list[str | None] = []
            if told:
                for value, quoted in re.findall(r"\$\d+ = (NULL|'((?:[^']|'')*)')", told.group(1)):
                    values.append(None if value == "NULL" else quoted.replace("''", "'"))
            for text in _statements("\n".join(lines).strip()):
                if re.match(r"(?is)\s*(select|with|values)\b", text):
                    found.setdefault(text, Recorded(path.stem, text, tuple(values)))
    return list(found.values())


def _statements(text: str) -> list[str]:
    """Cut at semicolons that end a line (the recordings have no others between statements)."""
    return [
        piece.strip().rstrip(";").strip()
        for piece in re.split(r";\s*\n|;(?=select|SELECT|SAVEPOINT|show)", text)
        if piece.strip(" ;\n")
    ]


@dataclass
class FakeColumn:
    name: str
    type: str


@dataclass
class FakeRelation:
    schema: str
    name: str
    columns: list[FakeColumn]
    definition: str | None = None


def relation(name: str, definition: str | None = None, /, **columns: str) -> FakeRelation:
    schema, _, table = name.partition(".")
    return FakeRelation(schema, table, [FakeColumn(n, k) for n, k in columns.items()], definition)


RELATIONS = [
    relation("sales.customers", id="INTEGER", name="VARCHAR", email="VARCHAR"),
    relation(
        "sales.orders",
        id="BIGINT",
        customer_id="INTEGER",
        amount="DECIMAL(12,2)",
        note="VARCHAR",
        d="DATE",
        ts="TIMESTAMP",
        tstz="TIMESTAMP WITH TIME ZONE",
        ok="BOOLEAN",
        u="UUID",
        tags="VARCHAR[]",
        b="BLOB",
        f="DOUBLE",
    ),
    relation("main.t", a="INTEGER", b="SMALLINT"),
    relation("sales.v_orders", "SELECT id, amount FROM sales.orders", id="BIGINT", amount="DECIMAL(12,2)"),
]
SOURCES = {("sales", "v_orders"): [(("sales", "orders"), ("id", "amount"))]}
SESSION = SessionInfo(
    user="ana",
    database="production",
    backend_pid=4711,
    peers=(PeerInfo(4711, "", "", "active", "2026-01-01 00:00:00+00"),),
    settings={
        "server_version": "15.10",
        "server_version_num": "150010",
        "jit": "on",
        "default_table_access_method": "heap",
    },
)


def image() -> CatalogImage:
    return build(RELATIONS, database="production", user="ana", sources=SOURCES)


@dataclass(frozen=True)
class Answer:
    columns: tuple[CatalogColumn, ...]
    rows: list[tuple[bytes | None, ...]]

    def texts(self) -> list[tuple[str | None, ...]]:
        return [tuple(None if v is None else v.decode() for v in row) for row in self.rows]


def ask(
    instance: CatalogInstance,
    text: str,
    parameters: Sequence[str | bytes | None] = (),
    *,
    key: str = "",
    types: Sequence[int] = (),
    formats: Sequence[int] = (),
    parameter_format: int = 0,
    session: SessionInfo = SESSION,
) -> Answer:
    """`text` translated, run and encoded, with its rows decoded from DataRow messages."""
    statement = translate(text, types)
    bound = tuple(
        Bound(None if v is None else v if isinstance(v, bytes) else v.encode(), parameter_format, oid, "")
        for v, oid in zip(parameters, statement.parameters, strict=False)
    )
    work = Work(
        "catalog",
        statement.sql,
        formats=tuple(formats),
        extra={
            "key": key,
            "columns": [c.document() for c in statement.columns],
            "relations": [list(r) for r in statement.relations],
            "session": statement.bound(session),
            "signaling": statement.signaling,
        },
    )
    request = Request(b"", work, 1, parameters=bound)
    data = b"".join(bytes(frame) for frame, _ in run(instance, request, lambda *_: None))
    return Answer(statement.columns, decoded(data))


def decoded(data: bytes) -> list[tuple[bytes | None, ...]]:
    rows, at = [], 0
    while at < len(data):
        length = struct.unpack_from(">I", data, at + 1)[0]
        count, place, row = struct.unpack_from(">H", data, at + 5)[0], at + 7, list[bytes | None]()
        for _ in range(count):
            size = struct.unpack_from(">i", data, place)[0]
            place += 4
            row.append(None if size < 0 else data[place : place + size])
            place += max(size, 0)
        rows.append(tuple(row))
        at += 1 + length
    return rows
