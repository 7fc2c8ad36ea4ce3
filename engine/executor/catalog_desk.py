"""The node's side of catalog queries: which they are, what the principal's image is, and sending both to a worker."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from weakref import WeakKeyDictionary

from engine.catalog.emulation import CatalogImage, CatalogStatement, SessionInfo, build, is_catalog_query, translate
from engine.catalog.emulation.functions import SettingWrite
from engine.catalog.view import PrincipalCatalog
from engine.encoder.parameters import ParameterValue
from engine.encoder.types import ResultColumn
from engine.executor.executor import Execution, Executor
from engine.executor.messages import Bound
from engine.pipeline.governed import Governed
from governance.errors import EngineFailed, Refusal, ResourceExceeded
from governance.principals import Principal
from governance.rulebook import Rulebook
from governance.tables import Column, TableName

IMAGE_MISSING = "image_missing"
VIEWS_MAX = 2_000


class Pipeline(Protocol):
    """What views' columns are learnt through."""

    def govern(self, text: str, principal: Principal, catalog: Any, rulebook: Rulebook) -> Governed:
        """The statement under the law."""


class CatalogSession(Protocol):
    """What catalog functions tell of a session."""

    @property
    def user(self) -> str:
        """`current_user`."""

    @property
    def database(self) -> str:
        """`current_database()`."""

    @property
    def process_id(self) -> int:
        """`pg_backend_pid()`."""

    @property
    def settings(self) -> tuple[tuple[str, str], ...]:
        """(lower-case name, value) as SHOW tells."""


@dataclass(frozen=True, slots=True)
class _Seen:
    """A table or view as an image is built from it."""

    schema: str
    name: str
    columns: tuple[Column, ...]
    definition: str | None = None


def session_info(session: CatalogSession) -> SessionInfo:
    """A session's facts as catalog functions want them."""
    settings = {name.lower(): value for name, value in session.settings}
    empty_path = settings.get("search_path", "main").strip() in ("", '""')
    return SessionInfo(
        user=session.user,
        database=session.database,
        backend_pid=session.process_id,
        version=f"PostgreSQL {settings.get('server_version', '15.0')} on HatiData (DuckDB), 64-bit",
        schema=None if empty_path else "main",
        settings=settings,
    )


class CatalogPlan:
    """A catalog statement of one session, ready to run."""

    def __init__(
        self, desk: CatalogDesk, statement: CatalogStatement, view: PrincipalCatalog, session: CatalogSession
    ) -> None:
        self._desk = desk
        self._statement = statement
        self._view = view
        self._session = session

    @property
    def parameter_oids(self) -> Sequence[int]:
        """One for each `$n`."""
        return self._statement.parameters

    @property
    def setting_writes(self) -> tuple[SettingWrite, ...]:
        """`set_config` calls that the session carries out when the statement has succeeded."""
        return self._statement.setting_writes

    async def describe(self) -> Sequence[ResultColumn]:
        """Its columns; no worker is asked."""
        return tuple(ResultColumn(c.name, c.duck, c.oid, c.size, c.modifier) for c in self._statement.columns)

    async def run(
        self,
        *,
        parameters: Sequence[ParameterValue] = (),
        formats: Sequence[int] = (),
        deadline_s: float,
        row_format: str = "datarow",
        row_options: Mapping[str, Any] | None = None,
    ) -> Execution:
        """Start it in a worker of the principal's organization. Raises as `Executor.run`."""
        statement = self._statement
        image = await self._desk.image(self._view, self._session.user)
        bound = tuple(
            Bound(value.data, value.format, value.oid or oid, "")
            for value, oid in zip(parameters, statement.parameters, strict=False)
        )
        extra: dict[str, Any] = {
            "key": image.key,
            "columns": [[c.name, c.oid, c.size, c.modifier, c.duck] for c in statement.columns],
            "relations": [list(relation) for relation in statement.relations],
            "session": statement.bound(session_info(self._session)),
        }

        async def start(document: dict[str, Any]) -> Execution:
            return await self._desk.executor.run_operation(
                "catalog",
                self._view.organization,
                sql=statement.sql,
                extra=document,
                parameters=bound,
                formats=formats,
                deadline_s=deadline_s,
                row_format=row_format,
                row_options=row_options,
            )

        try:
            return await start(extra)
        except EngineFailed as error:
            if error.kind != IMAGE_MISSING:
                raise
        return await start({**extra, "image": image.document()})


class CatalogDesk:
    """pg_catalog and information_schema for the node's sessions."""

    def __init__(self, executor: Executor, pipeline: Pipeline | None) -> None:
        self.executor = executor
        self._pipeline = pipeline
        self._images: WeakKeyDictionary[PrincipalCatalog, dict[str, CatalogImage]] = WeakKeyDictionary()

    def is_catalog_query(self, text: str) -> bool:
        """Whether the catalog answers `text` (else the pipeline judges it)."""
        return is_catalog_query(text)

    def plan(self, text: str, oids: Sequence[int], view: PrincipalCatalog, session: CatalogSession) -> CatalogPlan:
        """A catalog statement ready to run.

        Raises:
            Refusal: it does not parse or is not supported.
        """
        return CatalogPlan(self, translate(text, tuple(oids)), view, session)

    async def image(self, view: PrincipalCatalog, user: str) -> CatalogImage:
        """The image of what a principal sees, built once for each `view` and user."""
        held = self._images.setdefault(view, {})
        found = held.get(user)
        if found is None:
            seen = [_Seen(t.name.schema, t.name.name, t.columns) for t in view.shown_tables()]
            seen += await self._views(view)
            found = held[user] = build(seen, database=view.environment, user=user)
        return found

    async def _views(self, view: PrincipalCatalog) -> list[_Seen]:
        """The principal's views with their columns; those he could not select from are left out."""
        found: list[_Seen] = []
        if self._pipeline is None:
            return found
        views = view.views()
        if len(views) > VIEWS_MAX:
            raise ResourceExceeded("There are too many views for the catalog.", advice="Remove views.")
        for each in views:
            columns = await self._columns(each.name, view, self._pipeline)
            if columns is not None:
                found.append(_Seen(each.name.schema, each.name.name, columns, each.sql))
        return found

    async def _columns(self, name: TableName, view: PrincipalCatalog, pipeline: Pipeline) -> tuple[Column, ...] | None:
        quoted = ".".join('"' + part.replace('"', '""') + '"' for part in (name.schema, name.name))
        try:
            governed = pipeline.govern(f"SELECT * FROM {quoted}", view.principal, view, view.rulebook)
            described = await self.executor.describe(governed)
        except Refusal:
            return None
        return tuple(Column(column.name, column.type) for column in described)
