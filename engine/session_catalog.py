"""Catalog queries of a session: the emulated pg_catalog over what its principal may see, run in a worker."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Protocol
from weakref import WeakKeyDictionary

from engine.catalog.emulation import (
    CatalogImage,
    CatalogStatement,
    SessionInfo,
    build,
    is_catalog_query,
    translate,
)
from engine.catalog.view import Key, PrincipalCatalog
from engine.catalog.view_sources import sources
from engine.encoder.parameters import ParameterValue
from engine.encoder.types import ResultColumn
from engine.executor.leave import Gate
from engine.session_parameters import SERVER_VERSION
from engine.session_ports import CatalogSession, Execution, Executor, Pipeline
from engine.session_sight import Sight, sight
from governance.audit_record import PolicyVerdict
from governance.errors import Refusal
from governance.policies import View
from governance.principals import Principal
from governance.tables import Column, Table, fold

_IMAGES_MAX = 8
"""Of one view of the lake: one for each set of conditions that fitted lately."""
ViewColumns = Callable[[PrincipalCatalog, Principal, View], Awaitable[Sequence[Column]]]
"""A view's columns for one principal. Raises a Refusal when he cannot select from it."""


class CatalogRunner(Protocol):
    """The executor's catalog side."""

    async def run_catalog(
        self,
        image: CatalogImage,
        statement: CatalogStatement,
        session: SessionInfo,
        *,
        organization: str,
        parameters: Sequence[ParameterValue],
        formats: Sequence[int],
        deadline_s: float,
        row_format: str = "datarow",
        row_options: Mapping[str, Any] | None = None,
        gate: Gate | None = None,
    ) -> Execution:
        """Start a catalog statement."""


@dataclass(frozen=True, slots=True)
class _Relation:
    """A table or view as the image wants it."""

    schema: str
    name: str
    columns: Sequence[Column]
    definition: str | None


@dataclass(frozen=True, slots=True)
class EmulatedPlan:
    """A translated statement, the image it reads and the session it speaks of."""

    runner: CatalogRunner
    image: Callable[[], Awaitable[CatalogImage]]
    """Made when the statement runs: the columns of views are asked of a worker."""
    statement: CatalogStatement
    session: Callable[[], SessionInfo]
    """Told when the statement runs: a prepared one speaks of the session as it is then."""
    organization: str
    verdicts: tuple[PolicyVerdict, ...] = ()
    """Why its principal may look around, for the audit."""

    @property
    def parameter_oids(self) -> Sequence[int]:
        """One for each `$n`."""
        return self.statement.parameters

    async def describe(self) -> Sequence[ResultColumn]:
        """Known from the translation."""
        return tuple(ResultColumn(c.name, c.duck, c.oid, c.size, c.modifier) for c in self.statement.columns)

    async def run(
        self,
        *,
        parameters: Sequence[ParameterValue],
        formats: Sequence[int],
        deadline_s: float,
        row_format: str = "datarow",
        row_options: Mapping[str, Any] | None = None,
        gate: Gate | None = None,
    ) -> Execution:
        """Start it in a worker of the session's organization."""
        return await self.runner.run_catalog(
            await self.image(), self.statement, self.session(), organization=self.organization, parameters=parameters,
            formats=formats, deadline_s=deadline_s, row_format=row_format, row_options=row_options, gate=gate,
        )  # fmt: skip

    def setting_writes(self, parameters: Sequence[ParameterValue]) -> list[tuple[str, str, bool]]:
        """`set_config` calls to carry out after success: (name, value, local)."""

        def value(item: str | int | None) -> str:
            if isinstance(item, int):
                data = parameters[item - 1].data
                return "" if data is None else data.decode("utf-8", "replace")
            return item or ""

        return [(value(w.name), value(w.value), w.local) for w in self.statement.setting_writes]


class EmulatedCatalog:
    """Recognizes and plans catalog queries; keeps the images of principals who look at the same things."""

    def __init__(
        self,
        runner: CatalogRunner,
        *,
        view_columns: ViewColumns | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """`clock` judges conditions with time windows."""
        self._runner = runner
        self._view_columns = view_columns
        self._clock = clock
        self._images: WeakKeyDictionary[PrincipalCatalog, dict[frozenset[str], CatalogImage]] = WeakKeyDictionary()
        """A view belongs to one principal, and lives as long as the node keeps it."""

    def is_catalog_query(self, text: str) -> bool:
        """Whether the catalog answers `text`."""
        return is_catalog_query(text)

    def plan(
        self,
        text: str,
        oids: Sequence[int],
        view: PrincipalCatalog,
        session: Callable[[], CatalogSession],
        *,
        export: bool = False,
    ) -> EmulatedPlan:
        """A statement ready to run; `export`: its rows are to be copied out.

        Raises:
            Refusal: its principal may not look around, it does not parse, names what is not there, or is not supported.
        """
        asked = session()
        principal = replace(view.principal, source_ip=asked.source_ip)
        seen = sight(principal, view.rulebook.policies, self._clock(), export=export)
        statement = translate(text, tuple(oids))

        async def image() -> CatalogImage:
            return await self._image(view, seen, asked)

        def info() -> SessionInfo:
            return _told(session())

        return EmulatedPlan(self._runner, image, statement, info, asked.organization, seen.verdicts)

    async def _image(self, view: PrincipalCatalog, seen: Sight, session: CatalogSession) -> CatalogImage:
        kept = self._images.setdefault(view, {})
        circumstances = seen.circumstances
        image = kept.get(circumstances)
        if image is None:
            tables = view.shown_tables()
            relations = [_of_table(table) for table in seen.shown(tables)] + await self._shown_views(view, seen)
            read = await asyncio.to_thread(_sources, relations)  # milliseconds for each view
            image = build(
                relations, database=session.database, user=session.user, schemas=seen.schemas(tables), sources=read
            )
            if len(kept) >= _IMAGES_MAX:
                kept.pop(next(iter(kept)))
            kept[circumstances] = image
        return image

    async def _shown_views(self, view: PrincipalCatalog, seen: Sight) -> list[_Relation]:
        """The principal's views with the columns he would get; one he cannot select from is not there."""
        found: list[_Relation] = []
        ask = self._view_columns
        for each in view.views() if ask is not None and seen.reads else ():
            try:
                columns = await ask(view, seen.principal, each) if ask is not None else ()
            except Refusal:
                continue
            found.append(_Relation(each.name.schema, each.name.name, columns, each.sql))
        return found


def _told(session: CatalogSession) -> SessionInfo:
    settings = dict(session.settings)
    return SessionInfo(
        user=session.user,
        database=session.database,
        backend_pid=session.process_id,
        version=f"PostgreSQL {SERVER_VERSION} (HatiData)",
        schema=None if settings.get("search_path", "") == '""' else "main",
        settings=settings,
        peers=session.peers,
    )


def _sources(relations: Sequence[_Relation]) -> dict[Key, list[tuple[Key, Sequence[str]]]]:
    """What each view among `relations` names of them, and the columns it reads."""
    known = {(fold(r.schema), fold(r.name)): r for r in relations}

    def columns(key: Key) -> Sequence[str] | None:
        return [column.name for column in known[key].columns] if key in known else None

    return {
        (view.schema, view.name): [
            ((known[key].schema, known[key].name), used) for key, used in sources(view.definition, columns)
        ]
        for view in relations
        if view.definition is not None
    }


def _of_table(table: Table) -> _Relation:
    return _Relation(table.name.schema, table.name.name, table.columns, None)


def view_columns(pipeline: Pipeline, executor: Executor) -> ViewColumns:
    """Columns of a view as its principal gets them: `SELECT *` governed and described."""

    async def columns(catalog: PrincipalCatalog, principal: Principal, view: View) -> Sequence[Column]:
        quoted = ".".join('"' + part.replace('"', '""') + '"' for part in (view.name.schema, view.name.name))
        governed = await pipeline.govern(f"SELECT * FROM {quoted}", principal, catalog, catalog.rulebook)
        return tuple(Column(column.name, column.type) for column in await executor.describe(governed, ()))

    return columns
