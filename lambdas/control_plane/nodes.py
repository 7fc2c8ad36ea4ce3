"""`/v1/nodes/*`, which only query nodes may call, and what administrators see and ask of nodes.

A node holds a certificate, not a key: it learns the rulebook, and tells which tables and figures it has.
"""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from typing import Annotated

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.openapi.params import Body, Header, Query
from pydantic import Field

from governance.admin_event import AdminEvent, AdminEventType
from governance.bundle import MANIFEST_HEADER, PARTS_MAX, SIGNATURE_HEADER, to_header
from governance.errors import InvalidRequest, NotFound, PreconditionFailed
from governance.ports import Change, ControlReader
from governance.register import Environment, KeyRecord, KeyUse, NodeFigures, TableReport
from governance.table_report import TableReportPart, part_id
from governance.tables import Column, Table, TableName
from governance.timestamp import parse, stamp
from lambdas.control_plane.caller import HOME_ENVIRONMENT
from lambdas.control_plane.desk import Desk, admitted_environment, operator_of
from lambdas.control_plane.models import (
    ENVIRONMENT,
    LIMIT_DEFAULT,
    Cursor,
    EnvironmentPath,
    Limit,
    Model,
    Name,
    Page,
)
from lambdas.control_plane.paging import stored_page
from lambdas.control_plane.request import WAIT_S_MAX
from lambdas.control_plane.resolver import ThreadedResolver
from lambdas.control_plane.rulebook import Shelf
from lambdas.control_plane.schemas import TableAnswer

TABLES_MAX = 100_000
REPORT_PARTS_MAX = 256
REPORT_KEPT = timedelta(hours=1)
"""How long the parts of a report wait for the others."""
FIGURES_MAX = 256
KEYS_USED_MAX = 10_000

EnvironmentName = Annotated[str, Field(pattern=ENVIRONMENT)]
FigureName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")]


class TablesReport(Model):
    """The tables of a node's lake, or one part of them; once the last part is there it replaces the report before."""

    environment: EnvironmentName
    tables: Annotated[list[TableAnswer], Field(max_length=TABLES_MAX)]
    report: Annotated[str, Field(pattern=r"^[0-9a-f]{1,64}$")] = "0"
    """Names the report to which parts belong: a digest of it."""
    part: Annotated[int, Field(ge=0, lt=REPORT_PARTS_MAX)] = 0
    parts: Annotated[int, Field(ge=1, le=REPORT_PARTS_MAX)] = 1


class FiguresReport(Model):
    """A node's figures: counts and sizes by name, and when keys were last used."""

    environment: EnvironmentName
    node: Name | None = None
    figures: Annotated[dict[FigureName, int | float], Field(max_length=FIGURES_MAX)]
    keys_used: Annotated[
        dict[Annotated[str, Field(max_length=64)], Annotated[str, Field(max_length=40)]],
        Field(max_length=KEYS_USED_MAX),
    ] = Field(default_factory=dict)


class Noted(Model):
    """The report was kept."""

    noted: int


class NodeAnswer(Model):
    """A node's last figures."""

    node: str
    at: str
    figures: dict[str, int | float]


class CacheAnswer(Model):
    """Nodes clear their caches when they learn this number, within seconds."""

    cache_generation: int


def register(app: ThreadedResolver, desk: Desk) -> None:
    """Add the routes."""
    shelf = Shelf(desk.signer)

    @app.get(
        "/v1/nodes/rulebook",
        tags=["nodes"],
        summary="The rulebook of an environment; 304 confirms that yours is fresh",
        compress=True,
    )
    def rulebook(
        environment: Annotated[str, Query(pattern=ENVIRONMENT)] = HOME_ENVIRONMENT,
        wait_s: Annotated[float, Query(ge=0, le=WAIT_S_MAX, description="Wait this long for a change")] = 0.0,  # noqa: ARG001
        part: Annotated[int, Query(ge=0, lt=PARTS_MAX, description="Which part of a long one")] = 0,
        if_none_match: Annotated[str, Header(alias="If-None-Match")] = "",
        if_match: Annotated[str, Header(alias="If-Match", description="The ETag of part 0")] = "",
    ) -> Response[str]:
        desk.node  # noqa: B018  only for a node
        with desk.store.read() as reader:
            book = shelf.take(reader, environment, desk.now())
        headers: dict[str, str | list[str]] = {"ETag": book.etag}
        if book.manifest:
            headers |= {MANIFEST_HEADER: to_header(book.manifest), SIGNATURE_HEADER: to_header(book.signature)}
        if book.etag in (tag.strip() for tag in if_none_match.split(",")):
            # A load balancer wants a body; the door of a 304 sends none.
            return Response(status_code=304, headers=headers, body="", compress=False)
        if if_match not in ("", book.etag):
            raise PreconditionFailed("The rulebook changed meanwhile.", advice="Begin again with part 0.")
        if part >= len(book.parts):
            raise NotFound("The rulebook has fewer parts.", advice="Begin again with part 0.")
        return Response(
            status_code=200, content_type="application/json", headers=headers, body=book.parts[part].decode("ascii")
        )

    @app.put("/v1/nodes/tables", tags=["nodes"], summary="Tell which tables there are")
    def report_tables(body: Annotated[TablesReport, Body()]) -> Noted:
        desk.node  # noqa: B018  only for a node
        tables = tuple(
            Table(
                TableName(table.table_schema, table.name),
                tuple(Column(column.name, column.type) for column in table.columns),
            )
            for table in body.tables
        )
        _known(desk, body.environment)
        if body.part >= body.parts:
            raise InvalidRequest("A report of so many parts has no such part.")
        expires_at = stamp(desk.clock.now() + REPORT_KEPT)
        part = TableReportPart(body.environment, body.report, body.part, tables, expires_at)
        now = desk.now()
        desk.change(lambda reader: _together(reader, part, body.parts, now))
        return Noted(noted=len(tables))

    @app.put("/v1/nodes/figures", tags=["nodes"], summary="Tell the node's figures")
    def report_figures(body: Annotated[FiguresReport, Body()]) -> Noted:
        node, now = desk.node, desk.now()
        _known(desk, body.environment)
        desk.store.observe(
            NodeFigures(body.environment, body.node or node.name, tuple(sorted(body.figures.items())), now)
        )
        with desk.store.read() as reader:
            uses = [
                KeyUse(body.environment, key_id, moment)
                for key_id, at in body.keys_used.items()
                if (moment := _past(at, now))
                and reader.get(KeyRecord, body.environment, key_id)
                and ((old := reader.get(KeyUse, body.environment, key_id)) is None or old.at < moment)
            ]
        for use in uses:
            desk.store.observe(use)
        return Noted(noted=len(body.figures) + len(uses))

    @app.get("/v1/environments/<env>/nodes", tags=["nodes"], summary="The last figures of every node")
    def list_nodes(env: EnvironmentPath, cursor: Cursor = "", limit: Limit = LIMIT_DEFAULT) -> Page[NodeAnswer]:
        with desk.store.read() as reader:
            admitted_environment(reader, desk.caller, env)
            items, following = stored_page(reader, NodeFigures, env, cursor, limit, desk.caller.key)
        return Page(
            items=[NodeAnswer(node=item.node, at=item.at, figures=dict(item.figures)) for item in items], next=following
        )

    @app.post("/v1/environments/<env>/cache/clear", tags=["nodes"], summary="Have every node clear its cache")
    def clear_cache(env: EnvironmentPath) -> CacheAnswer:
        caller = desk.caller

        def decide(reader: ControlReader) -> Change[int]:
            old = admitted_environment(reader, caller, env)
            before = old.limits.cache_generation
            limits = dataclasses.replace(old.limits, cache_generation=before + 1)
            new: Environment = dataclasses.replace(old, limits=limits)
            event = AdminEvent(
                AdminEventType.CACHE_CLEARED,
                env,
                operator_of(reader).id,
                env,
                {"cache_generation": before},
                {"cache_generation": before + 1},
            )
            return Change(before + 1, puts=(new,), events=(event,))

        return CacheAnswer(cache_generation=desk.change(decide))


def _together(reader: ControlReader, part: TableReportPart, parts: int, now: str) -> Change[None]:
    """Keep a part; with the last one the whole report.

    Raises:
        InvalidRequest: more tables than a report may have.
    """
    whole: list[TableReportPart] = []
    for number in range(parts):
        each = (
            part
            if number == part.number
            else reader.get(TableReportPart, part.environment, part_id(part.report, number))
        )
        if each is None or each.expires_at <= now:
            return Change(None, observations=(part,))
        whole.append(each)
    tables = tuple(table for each in whole for table in each.tables)
    if len(tables) > TABLES_MAX:
        raise InvalidRequest(f"A report has at most {TABLES_MAX} tables.")
    report = TableReport(part.environment, tables, now)
    return Change(None, observations=(report,), forgets=tuple(each for each in whole if each is not part))


def _known(desk: Desk, environment: str) -> None:
    with desk.store.read() as reader:
        if reader.get(Environment, "", environment) is None:
            raise NotFound("There is no such environment.")


def _past(text: str, now: str) -> str:
    """The moment in one spelling, no later than now; empty when it is none."""
    try:
        return min(stamp(parse(text)), now)
    except ValueError:
        return ""
