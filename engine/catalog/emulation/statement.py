"""From a client's text to a statement that the catalog's DuckDB instance can run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from engine.catalog.emulation import types as t
from engine.catalog.emulation.functions import SettingWrite
from engine.catalog.emulation.queries import QueryTranslator
from engine.catalog.emulation.query_grammar import CACHED_CHARS_MAX, parse
from engine.catalog.emulation.rows import database_oid, role_oid
from engine.catalog.emulation.tree import Column, Query, Select
from engine.catalog.emulation.values import CatalogRefused, Field, Parameters
from governance.errors import TextRefused


@dataclass(frozen=True, slots=True)
class CatalogColumn:
    """A result column as RowDescription tells it, and the DuckDB type of its value inside the statement."""

    name: str
    oid: int
    size: int
    modifier: int
    duck: str
    fields: tuple[Field, ...] = ()
    items: tuple[Field, ...] = ()
    depth: int = 0
    """`fields`, `items` and `depth` as `Value` has them."""

    def document(self) -> list[Any]:
        """As JSON values, for the way to a worker."""
        return [self.name, self.oid, self.size, self.modifier, self.duck, self.fields, self.items, self.depth]

    @classmethod
    def from_document(cls, document: list[Any]) -> CatalogColumn:
        """The inverse of `document`."""
        name, oid, size, modifier, duck, fields, items, depth = document
        return cls(name, oid, size, modifier, duck, _fields(fields), _fields(items), depth)


def _fields(document: list[Any]) -> tuple[Field, ...]:
    return tuple(
        Field(name, kind, modifier, _fields(fields), _fields(items), depth)
        for name, kind, modifier, fields, items, depth in document
    )


@dataclass(frozen=True, slots=True)
class PeerInfo:
    """A session of the same key, as pg_stat_activity tells of it. `state`: active, idle, idle in transaction, ..."""

    pid: int
    application_name: str
    address: str
    state: str
    started: str
    """An ISO timestamp with its zone."""


@dataclass(frozen=True, slots=True)
class SessionInfo:
    """What session functions answer with. `settings` has lower-case names, as SHOW tells them."""

    user: str
    database: str
    backend_pid: int = 0
    version: str = "PostgreSQL 15.0 (HatiData)"
    schema: str | None = "main"
    """The first schema of search_path; None when it is empty."""
    started: str = "2000-01-01 00:00:00+00"
    settings: Mapping[str, str] = field(default_factory=dict)
    peers: tuple[PeerInfo, ...] = ()
    """The sessions of the same key, this one among them."""

    def slot(self, name: str) -> object:
        """The value of one session slot."""
        if name == "database_oid":
            return database_oid(self.database)
        if name == "user_oid":
            return role_oid(self.user)
        if name == "setting_names":
            return list(self.settings)
        if name == "setting_values":
            return list(self.settings.values())
        if name.startswith("peer_"):
            return [getattr(peer, name.removeprefix("peer_")) for peer in self.peers]
        return getattr(self, name)


@dataclass(frozen=True, slots=True)
class CatalogStatement:
    """A translated catalog query. The text holds no value of the session: `slots` are bound when it runs."""

    sql: str
    columns: tuple[CatalogColumn, ...]
    parameters: tuple[int, ...]
    """Type id of each `$n`."""
    slots: tuple[str, ...]
    relations: tuple[tuple[str, str], ...]
    """System relations it reads."""
    setting_writes: tuple[SettingWrite, ...] = ()
    """`set_config` calls for the session to carry out after the statement succeeded."""
    signaling: bool = False
    """Whether it calls `pg_cancel_backend` or `pg_terminate_backend`."""

    def bound(self, session: SessionInfo) -> dict[str, object]:
        """The session's values, by parameter name."""
        return {f"s_{name}": session.slot(name) for name in self.slots}


def translate(text: str, parameter_types: Sequence[int] = ()) -> CatalogStatement:
    """The statement for `text`; `parameter_types` are the type ids the client declared (0: undeclared).

    Raises:
        Refusal: it does not parse, names what is not there, or is not supported.
    """
    try:
        return (_kept if len(text) <= CACHED_CHARS_MAX else _translate)(text, tuple(parameter_types))
    except RecursionError:
        raise TextRefused("The catalog query is nested too deeply.") from None


def _translate(text: str, parameter_types: tuple[int, ...]) -> CatalogStatement:
    query = parse(text)
    _no_estimates(query)
    parameters = Parameters(parameter_types)
    translator = QueryTranslator(parameters)
    body = translator.query(query, None)
    types = body.types()
    sql = body.printed(types, parameters) if types else body.render([])
    columns = tuple(
        CatalogColumn(
            c.label, kind, t.wire_size(kind), c.modifier, t.duck(kind) + "[]" * c.depth, c.fields, c.items, c.depth
        )
        for c, kind in zip(body.columns, types, strict=True)
    )
    return CatalogStatement(
        sql,
        columns,
        parameters.types(),
        tuple(sorted(translator.slots)),
        tuple(sorted(translator.relations)),
        tuple(translator.setting_writes),
        translator.signaling,
    )


def _no_estimates(query: Query) -> None:
    """Row estimates speak of hidden rows: who asks for them is told no (elsewhere in expressions they are -1, unknown).

    Raises:
        CatalogRefused: `reltuples` is asked for as a result.
    """
    targets = query.body.targets if isinstance(query.body, Select) else ()
    if any(t.name is None and isinstance(t.value, Column) and t.value.parts[-1] == "reltuples" for t in targets):
        raise CatalogRefused("42501", "Row estimates are not told: they count rows that may be hidden.")


_kept = lru_cache(maxsize=256)(_translate)
