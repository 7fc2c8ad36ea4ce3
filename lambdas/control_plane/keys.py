"""`/v1/environments/{env}/keys`: API keys, shown once, rotated with grace, revoked at once (claims W3.2 to W3.6).

No key can do more than the key that made it: neither in scopes, nor in networks, tables, agent or lifetime. A key that
rotated by itself has a successor that waits; `POST /v1/successor` fetches it, once, with the old key (ADR 11).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated, Literal

from aws_lambda_powertools.event_handler.openapi.params import Body, Query
from pydantic import Field

from governance.admin_event import AdminEventType
from governance.api_key import new_key, new_key_id, public_prefix
from governance.api_key_hash import hash_key
from governance.api_key_life import (
    GRACE,
    ROTATE_AFTER_DAYS_MAX,
    ROTATE_AFTER_DAYS_MIN,
    issued,
    key_event,
    orphaned,
    revocations,
    rotate,
    waiting_successor,
)
from governance.errors import Conflict, InvalidRequest
from governance.permissions import effective_scopes
from governance.ports import Change, ControlReader
from governance.principals import Agent
from governance.register import KeyRecord, KeyUse, UserRecord
from governance.scopes import expand
from governance.tables import fold
from governance.timestamp import stamp
from lambdas.control_plane.caller import Caller, hidden
from lambdas.control_plane.desk import Desk, admitted_environment, taken
from lambdas.control_plane.key_reach import future, need_hand, need_no_more, network
from lambdas.control_plane.models import (
    LIMIT_DEFAULT,
    Cursor,
    EnvironmentPath,
    Limit,
    Model,
    Name,
    ObjectIdPath,
    Page,
    QuotaModel,
)
from lambdas.control_plane.paging import stored_page
from lambdas.control_plane.resolver import ThreadedResolver
from lambdas.control_plane.users import find_user

USES_ASKED_SINGLY = 128
"""Up to so many keys their last use is asked for one by one; beyond, all are read at once."""

AgentText = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f]{0,128}$")]
TablePattern = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f.]{1,128}\.[^\x00-\x1f\x7f.]{1,128}$")]
Dialect = Literal["duckdb", "postgres", "snowflake"]


class AgentModel(Model):
    """The AI agent that a key is bound to."""

    id: Name
    framework: AgentText = ""
    trust: AgentText = ""


class NewKey(Model):
    """A key to make for a user (his id or e-mail address)."""

    name: Name
    user: Annotated[str, Field(min_length=1, max_length=254)]
    scopes: Annotated[list[Annotated[str, Field(max_length=64)]], Field(min_length=1, max_length=64)]
    agent: AgentModel | None = None
    networks: Annotated[list[Annotated[str, Field(max_length=64)]], Field(max_length=64)] = Field(default_factory=list)
    allowed_tables: Annotated[list[TablePattern], Field(max_length=256)] = Field(default_factory=list)
    expires_at: Annotated[str, Field(max_length=40)] = ""
    dialect: Dialect = "duckdb"
    quota: QuotaModel = Field(default_factory=QuotaModel)
    rotate_after_days: Annotated[
        int, Field(ge=0, le=ROTATE_AFTER_DAYS_MAX, description="Rotate it by itself at this age, 4 or more; 0 is never")
    ] = 0


class Rotation(Model):
    """How to rotate: the grace may be shortened, to 0 when the old key is known to others."""

    grace_hours: Annotated[int, Field(ge=0, le=72)] = 72


class KeyAnswer(Model):
    """A key without the key."""

    id: str
    name: str
    prefix: str
    environment: str
    user_id: str
    organization: str
    scopes: list[str]
    agent: AgentModel | None
    networks: list[str]
    allowed_tables: list[str]
    expires_at: str
    dialect: str
    status: Literal["active", "waiting", "rotated", "revoked", "expired"]
    grace_until: str
    rotated_to: str
    role: Annotated[str, Field(description="The role lent through this key alone; empty is its user's own")]
    elevation: Annotated[str, Field(description="The grant it came from and ends with, or empty")]
    quota: QuotaModel
    rotate_after_days: int
    created_at: str
    created_by: str
    last_used_at: str


class NewKeyAnswer(KeyAnswer):
    """A key just made; `key` is shown here and never again."""

    key: Annotated[str, Field(description="The API key. It is not stored and cannot be shown again.")]


def key_answer(key: KeyRecord, now: str, used: dict[str, str]) -> KeyAnswer:
    """A key as the API tells of it; `used` says when keys were last used, by id."""
    """The key as the API tells it; `used` says when keys were last used."""
    expired = key.opens and not key.valid_at(now)
    return KeyAnswer(
        **{**key.fact(), "status": "expired" if expired else key.status},
        environment=key.environment,
        created_at=key.created_at,
        created_by=key.created_by,
        last_used_at=used.get(key.id, ""),
    )


def _used(reader: ControlReader, environment: str, keys: Sequence[KeyRecord]) -> dict[str, str]:
    """When these keys were last used, by id."""
    if len(keys) > USES_ASKED_SINGLY:
        return {use.id: use.at for use in reader.every(KeyUse, environment)}
    uses = (reader.get(KeyUse, environment, key.id) for key in keys)
    return {use.id: use.at for use in uses if use is not None}


def register(app: ThreadedResolver, desk: Desk) -> None:
    """Add the routes."""

    @app.get("/v1/environments/<env>/keys", tags=["keys"], summary="Keys of the organizations you administer")
    def list_keys(
        env: EnvironmentPath,
        cursor: Cursor = "",
        limit: Limit = LIMIT_DEFAULT,
        user: Annotated[str, Query(max_length=254, description="User id")] = "",
        name: Annotated[str, Query(max_length=128)] = "",
    ) -> Page[KeyAnswer]:
        caller, now = desk.caller, desk.now()
        with desk.store.read() as reader:
            admitted_environment(reader, caller, env)
            items, following = stored_page(
                reader,
                KeyRecord,
                env,
                cursor,
                limit,
                caller.key,
                where=lambda key: (
                    caller.reaches(key.organization) and user in ("", key.user_id) and name in ("", key.name)
                ),
            )
            used = _used(reader, env, items)
        return Page(items=[key_answer(item, now, used) for item in items], next=following)

    @app.post("/v1/environments/<env>/keys", tags=["keys"], summary="Make a key; it is shown once", status_code=201)
    def create_key(env: EnvironmentPath, body: Annotated[NewKey, Body()]) -> NewKeyAnswer:
        caller, now = desk.caller, desk.now()
        wanted = _wanted(env, body, caller, now)
        with desk.store.read() as reader:
            _checked(reader, caller, wanted, body.user)  # before the costly hash
        key = new_key(env)
        sealed = dataclasses.replace(wanted, prefix=public_prefix(key), hash=hash_key(key))

        def decide(reader: ControlReader) -> Change[KeyRecord]:
            record = _checked(reader, caller, sealed, body.user)
            return Change(record, puts=(record,), events=(key_event(AdminEventType.KEY_CREATED, None, record),))

        return NewKeyAnswer(**key_answer(desk.change(decide), now, {}).model_dump(), key=key)

    @app.get("/v1/environments/<env>/keys/<id>", tags=["keys"], summary="One key")
    def show_key(env: EnvironmentPath, id: ObjectIdPath) -> KeyAnswer:  # noqa: A002
        with desk.store.read() as reader:
            key = _visible(reader, desk.caller, env, id)
            return key_answer(key, desk.now(), _used(reader, env, [key]))

    @app.delete("/v1/environments/<env>/keys/<id>", tags=["keys"], summary="Revoke a key at once")
    def revoke_key(env: EnvironmentPath, id: ObjectIdPath) -> KeyAnswer:  # noqa: A002
        caller = desk.caller

        def decide(reader: ControlReader) -> Change[KeyRecord]:
            old = _visible(reader, caller, env, id)
            need_hand(reader, caller, old)
            if old.status in ("revoked", "expired"):
                return Change(old)
            new = dataclasses.replace(old, status="revoked")
            gone = [(old, new)]
            heir = reader.get(KeyRecord, env, old.rotated_to) if old.rotated_to else None
            if heir is not None and orphaned(heir, [new]):
                gone.append((heir, dataclasses.replace(heir, status="revoked")))
            return Change(new, puts=tuple(after for _, after in gone), events=revocations(gone))

        return key_answer(desk.change(decide), desk.now(), {})

    @app.post(
        "/v1/environments/<env>/keys/<id>/rotate",
        tags=["keys"],
        summary="Make a successor; the old key stays valid for 72 hours",
        status_code=201,
    )
    def rotate_key(
        env: EnvironmentPath,
        id: ObjectIdPath,  # noqa: A002
        body: Annotated[Rotation | None, Body()] = None,
    ) -> NewKeyAnswer:
        caller, moment = desk.caller, desk.clock.now()
        now, grace = stamp(moment), stamp(moment + min(GRACE, timedelta(hours=(body or Rotation()).grace_hours)))
        with desk.store.read() as reader:
            _rotatable(reader, caller, env, id, now)  # before the costly hash
        key, key_id = new_key(env), new_key_id()
        prefix, key_hash = public_prefix(key), hash_key(key)

        def decide(reader: ControlReader) -> Change[KeyRecord]:
            old = _rotatable(reader, caller, env, id, now)
            if old.status == "waiting":
                new = issued(old, prefix=prefix, key_hash=key_hash, now=now)
                return Change(new, puts=(new,), events=(key_event(AdminEventType.KEY_ROTATED, old, new),))
            successor = issued(
                waiting_successor(old, key_id=key_id, now=now, maker=caller.user.id),
                prefix=prefix, key_hash=key_hash, now=now,
            )  # fmt: skip
            done = rotate(old, reader.every(KeyRecord, env), successor=successor, grace_until=grace)
            return Change(
                successor,
                puts=(done.old, successor, *(after for _, after in done.ended)),
                events=(
                    key_event(AdminEventType.KEY_CREATED, None, successor),
                    key_event(AdminEventType.KEY_ROTATED, old, done.old),
                    *revocations(done.ended),
                ),
            )

        return NewKeyAnswer(**key_answer(desk.change(decide), desk.now(), {}).model_dump(), key=key)

    @app.post(
        "/v1/successor",
        tags=["keys"],
        summary="The successor of the key that asks, after it rotated by itself; shown once",
        status_code=201,
    )
    def fetch_successor() -> NewKeyAnswer:
        own, now = desk.caller.key, desk.now()
        with desk.store.read() as reader:
            _waiting_heir(reader, own, now)  # before the costly hash
        key = new_key(own.environment)
        prefix, key_hash = public_prefix(key), hash_key(key)

        def decide(reader: ControlReader) -> Change[KeyRecord]:
            heir = _waiting_heir(reader, own, now)
            new = issued(heir, prefix=prefix, key_hash=key_hash, now=now)
            return Change(new, puts=(new,), events=(key_event(AdminEventType.KEY_ROTATED, heir, new),))

        return NewKeyAnswer(**key_answer(desk.change(decide), desk.now(), {}).model_dump(), key=key)


def _wanted(env: str, body: NewKey, caller: Caller, now: str) -> KeyRecord:
    """The key as asked for, with everything that can be checked without the store checked.

    Raises:
        InvalidRequest: a scope, network, table or moment that is none.
    """
    scopes = expand(tuple(body.scopes))
    if 0 < body.rotate_after_days < ROTATE_AFTER_DAYS_MIN:
        raise InvalidRequest(
            "A key cannot rotate by itself so often.",
            advice=f"`rotate_after_days` is 0 or at least {ROTATE_AFTER_DAYS_MIN}: old keys stay valid for 72 hours.",
        )
    return KeyRecord(
        environment=env,
        id=new_key_id(),
        name=body.name,
        prefix="",
        hash="",
        user_id="",
        organization="",
        scopes=scopes,
        created_at=now,
        created_by=caller.user.id,
        agent=Agent(body.agent.id, body.agent.framework, body.agent.trust) if body.agent else None,
        networks=tuple(sorted({network(text) for text in body.networks})),
        allowed_tables=tuple(sorted({fold(text) for text in body.allowed_tables})),
        expires_at=future(body.expires_at, now) if body.expires_at else "",
        dialect=body.dialect,
        elevation=caller.key.elevation,
        quota=body.quota.quota(),
        rotate_after_days=body.rotate_after_days,
    )


def _checked(reader: ControlReader, caller: Caller, key: KeyRecord, user_text: str) -> KeyRecord:
    """The key with its user filled in, when the caller may make it.

    Raises:
        NotFound, PermissionRefused, Conflict.
    """
    admitted_environment(reader, caller, key.environment)
    user = find_user(reader, caller, user_text)
    record = dataclasses.replace(key, user_id=user.id, organization=user.organization)
    need_hand(reader, caller, record)
    need_no_more(caller, record)
    if reader.find_unique(KeyRecord, record.environment, record.unique):
        raise taken("key")
    return record


def _visible(reader: ControlReader, caller: Caller, env: str, key_id: str) -> KeyRecord:
    admitted_environment(reader, caller, env)
    key = reader.get(KeyRecord, env, key_id)
    if key is None or not caller.reaches(key.organization):
        raise hidden("key")
    return key


def _rotatable(reader: ControlReader, caller: Caller, env: str, key_id: str, now: str) -> KeyRecord:
    key = _visible(reader, caller, env, key_id)
    need_hand(reader, caller, key)
    if key.role is not None:
        raise Conflict("The key of a lent role is not rotated.", advice="Fetch it again, or ask for access anew.")
    user = reader.get(UserRecord, "", key.user_id)
    if not (key.status == "waiting" or (key.status == "active" and key.valid_at(now))) or user is None:
        raise Conflict("Only an active key can be rotated.", advice="Rotate its successor, or make a new key.")
    need_no_more(caller, dataclasses.replace(key, scopes=effective_scopes(user.role, key.scopes)))
    return key


def _waiting_heir(reader: ControlReader, own: KeyRecord, now: str) -> KeyRecord:
    """The successor that waits for the key that asks, which is read anew.

    Raises:
        NotFound: it has none; Conflict: it was fetched before.
    """
    old = reader.get(KeyRecord, own.environment, own.id)
    heir = reader.get(KeyRecord, own.environment, old.rotated_to) if old and old.rotated_to else None
    if old is None or heir is None or not old.valid_at(now):
        raise hidden("successor")
    if heir.status != "waiting":
        raise Conflict(
            "The successor of this key was fetched before.",
            advice="If you did not, somebody else holds your key: tell an administrator, who revokes both.",
        )
    return heir
