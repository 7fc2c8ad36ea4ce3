"""`/v1/encryption-keys`: how the installation's keys rotate, and asking for a rotation now (claims W2.5, W2.6).

The control plane has no hand on a key: it notes what is asked, and `lambdas.key_rotation` does it.
"""

from __future__ import annotations

import dataclasses
from typing import Annotated, Literal

from aws_lambda_powertools.event_handler.openapi.params import Path

from governance.admin_event import ORGANIZATION_CHAIN, AdminEvent, AdminEventType
from governance.encryption_key import ON_DEMAND_MAX, EncryptionKey
from governance.errors import Conflict
from governance.ports import Change, ControlReader
from governance.register import Environment
from lambdas.control_plane.caller import hidden
from lambdas.control_plane.desk import Desk, admitted_environment, operator_of
from lambdas.control_plane.models import OBJECT_ID, Model
from lambdas.control_plane.resolver import ThreadedResolver


class EncryptionKeyAnswer(Model):
    """One key, as last seen."""

    name: str
    status: Literal["steady", "asked", "rotating", "refused"]
    automatic: bool
    on_demand: int
    on_demand_max: int
    asked_at: str
    rotated_at: str


class EncryptionKeysAnswer(Model):
    """The installation's keys."""

    items: list[EncryptionKeyAnswer]


def register(app: ThreadedResolver, desk: Desk) -> None:
    """Add the routes."""

    @app.get("/v1/encryption-keys", tags=["encryption keys"], summary="How the installation's keys rotate")
    def list_keys() -> EncryptionKeysAnswer:
        with desk.store.read() as reader:
            environment = admitted_environment(reader, desk.caller, ORGANIZATION_CHAIN)
        return EncryptionKeysAnswer(items=[_answer(key) for key in environment.encryption_keys])

    @app.post(
        "/v1/encryption-keys/<name>/rotate",
        tags=["encryption keys"],
        summary="Ask for a rotation now; it is done within the hour, and refused when none is left",
        status_code=202,
    )
    def ask(name: Annotated[str, Path(pattern=OBJECT_ID)]) -> EncryptionKeyAnswer:
        caller, now = desk.caller, desk.now()

        def decide(reader: ControlReader) -> Change[EncryptionKeyAnswer]:
            old = admitted_environment(reader, caller, ORGANIZATION_CHAIN)
            key = next((each for each in old.encryption_keys if each.name == name), None)
            if key is None:
                raise hidden("encryption key")
            if not key.left:
                raise Conflict(
                    f"This key was rotated on demand {ON_DEMAND_MAX} times; the key service allows no more.",
                    advice="It goes on rotating by itself; to replace its material now, deploy a new key.",
                )
            asked = key if key.status in ("asked", "rotating") else key.asked(now)
            answer = _answer(asked)
            if asked == key:
                return Change(answer)
            keys = tuple(asked if each.name == name else each for each in old.encryption_keys)
            new: Environment = dataclasses.replace(old, encryption_keys=keys)
            event = AdminEvent(
                AdminEventType.ENVIRONMENT_UPDATED,
                ORGANIZATION_CHAIN,
                operator_of(reader).id,
                ORGANIZATION_CHAIN,
                old.fact(),
                new.fact(),
            )
            return Change(answer, puts=(new,), events=(event,))

        return desk.change(decide)


def _answer(key: EncryptionKey) -> EncryptionKeyAnswer:
    return EncryptionKeyAnswer(**key.fact(), on_demand_max=ON_DEMAND_MAX)
