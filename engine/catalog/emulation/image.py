"""What one principal's catalog holds: schemas, relations, columns with the types he sees, and nothing else.

Plain data, made in the node, sent to a worker as JSON once per version; object ids are hashes of names, so they are
the same in every session and on every node.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from engine.encoder.types import pg_type

FIRST_OID = 16384
OWNER_OID = 10
OWNER = "hatidata"
DEFAULT_SCHEMA = "main"
RELATIONS_MAX = 50_000


class ColumnLike(Protocol):
    """A column as the principal sees it."""

    @property
    def name(self) -> str:
        """As stored."""

    @property
    def type(self) -> str:
        """DuckDB type after masking."""


class RelationLike(Protocol):
    """A table or view the principal may see."""

    @property
    def schema(self) -> str:
        """As stored."""

    @property
    def name(self) -> str:
        """As stored."""

    @property
    def columns(self) -> Iterable[ColumnLike]:
        """In order, with masked types."""

    @property
    def definition(self) -> str | None:
        """A view's text if the principal may read it; None for a table."""


@dataclass(frozen=True, slots=True)
class ColumnFact:
    """A column: name, type id, type modifier, dimensions (0 or 1)."""

    name: str
    oid: int
    modifier: int
    dimensions: int


@dataclass(frozen=True, slots=True)
class RelationFact:
    """A table (`r`) or view (`v`) with its object id and those of its row type and the array of that."""

    oid: int
    schema: str
    name: str
    kind: str
    columns: tuple[ColumnFact, ...]
    definition: str = ""
    row_type: int = 0
    array_type: int = 0
    sources: tuple[tuple[int, int], ...] = ()
    """Of a view: (object id, place of a column or 0) of what it names and the principal sees."""


@dataclass(frozen=True, slots=True)
class CatalogImage:
    """Everything `pg_catalog` and `information_schema` are made from. `key` names this very content."""

    key: str
    database: str
    user: str
    schemas: tuple[tuple[int, str], ...]
    """(object id, name)."""
    relations: tuple[RelationFact, ...]

    def document(self) -> dict[str, Any]:
        """As JSON values, for the way to a worker."""
        return {
            "key": self.key,
            "database": self.database,
            "user": self.user,
            "schemas": [list(s) for s in self.schemas],
            "relations": [
                [
                    r.oid,
                    r.schema,
                    r.name,
                    r.kind,
                    r.definition,
                    r.row_type,
                    r.array_type,
                    [list(s) for s in r.sources],
                    [[c.name, c.oid, c.modifier, c.dimensions] for c in r.columns],
                ]
                for r in self.relations
            ],
        }

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> CatalogImage:
        """The inverse of `document`."""
        return cls(
            document["key"],
            document["database"],
            document["user"],
            tuple((oid, name) for oid, name in document["schemas"]),
            tuple(
                RelationFact(
                    oid,
                    schema,
                    name,
                    kind,
                    tuple(ColumnFact(*c) for c in columns),
                    definition,
                    row_type,
                    array_type,
                    tuple((source, place) for source, place in sources),
                )
                for oid, schema, name, kind, definition, row_type, array_type, sources, columns in document["relations"]
            ),
        )


class _Oids:
    """Stable object ids: a hash of the name, stepped on in the rare case of a collision."""

    def __init__(self) -> None:
        self._taken: set[int] = set()

    def of(self, kind: str, name: str) -> int:
        """The id of an object, below 2^31 so that clients with signed integers are safe."""
        for attempt in range(64):
            digest = hashlib.blake2b(f"{kind}\0{name}\0{attempt}".encode(), digest_size=8).digest()
            oid = FIRST_OID + int.from_bytes(digest) % ((1 << 31) - FIRST_OID)
            if oid not in self._taken:
                self._taken.add(oid)
                return oid
        raise AssertionError("no free object id in 64 attempts")


def column_fact(name: str, duckdb_type: str) -> ColumnFact:
    """A column's PostgreSQL type, by the same table as results use."""
    kind = pg_type(duckdb_type)
    return ColumnFact(name, kind.oid, kind.typmod, 1 if kind.element else 0)


Sources = Mapping[tuple[str, str], Sequence[tuple[tuple[str, str], Sequence[str]]]]
"""Of a view's (schema, name): what it names and the columns it reads of each, all as stored."""


def build(
    relations: Iterable[RelationLike],
    *,
    database: str,
    user: str,
    schemas: Iterable[str] = (),
    sources: Sources | None = None,
) -> CatalogImage:
    """The image of what a principal may see.

    Args:
        relations: his tables and views, columns with masked types; hidden ones must not be among them.
        database: the environment's name.
        user: the name `current_user` tells.
        schemas: schemas he sees that may hold no relation.
        sources: what his views name; whatever is not among `relations` is left out.
    """
    oids = _Oids()
    seen = sorted(relations, key=lambda r: (r.schema, r.name))[:RELATIONS_MAX]
    names = sorted({DEFAULT_SCHEMA, *schemas, *(r.schema for r in seen)})
    facts = tuple(
        RelationFact(
            oids.of("relation", f"{r.schema}\0{r.name}"),
            r.schema,
            r.name,
            "r" if r.definition is None else "v",
            tuple(column_fact(c.name, c.type) for c in r.columns),
            r.definition or "",
            oids.of("row type", f"{r.schema}\0{r.name}"),
            oids.of("array type", f"{r.schema}\0{r.name}"),
        )
        for r in seen
    )
    facts = _with_sources(facts, sources or {})
    numbered = tuple((oids.of("schema", name), name) for name in names)
    image = CatalogImage("", database, user, numbered, facts)
    text = json.dumps(image.document(), separators=(",", ":"))
    key = hashlib.sha256(text.encode()).hexdigest()[:32]
    return CatalogImage(key, database, user, numbered, facts)


def _with_sources(facts: tuple[RelationFact, ...], sources: Sources) -> tuple[RelationFact, ...]:
    known = {(fact.schema, fact.name): fact for fact in facts}

    def places(view: RelationFact) -> tuple[tuple[int, int], ...]:
        found: list[tuple[int, int]] = []
        for name, columns in sources.get((view.schema, view.name), ()):
            source = known.get(name)
            if source is not None and source is not view:
                order = {column.name: place for place, column in enumerate(source.columns, 1)}
                used = [(source.oid, order[column]) for column in columns if column in order]
                found += used or [(source.oid, 0)]
        return tuple(dict.fromkeys(found))

    return tuple(replace(fact, sources=places(fact)) if fact.kind == "v" else fact for fact in facts)
