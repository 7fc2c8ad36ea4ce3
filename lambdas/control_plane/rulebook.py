"""The rulebook of an environment, built from the register; its version is the environment's change counter."""

from __future__ import annotations

import dataclasses

from governance.errors import NotFound
from governance.policy_record import PolicyRecord
from governance.ports import ControlReader
from governance.register import (
    Environment,
    KeyRecord,
    Organization,
    SchemaOwner,
    UserRecord,
    ViewRecord,
)
from governance.rulebook import Rulebook
from lambdas.control_plane.desk import operator_of


def build_rulebook(reader: ControlReader, name: str, now: str) -> Rulebook:
    """What the nodes of environment `name` decide with.

    A suspended organization's users are handed out as inactive, revoked keys not at all.

    Raises:
        NotFound: there is no such environment.
    """
    environment = reader.get(Environment, "", name)
    if environment is None:
        raise NotFound("There is no such environment.")
    organizations = reader.every(Organization, "")
    suspended = {organization.id for organization in organizations if organization.status != "active"}
    users = []
    for record in reader.every(UserRecord, ""):
        user = record.for_node()
        if record.organization in suspended:
            user = dataclasses.replace(user, active=False)
        users.append(user)
    return Rulebook(
        environment=name,
        version=reader.version(name),
        issued_at=now,
        operator_organization=operator_of(reader).id,
        organizations=tuple((organization.id, organization.name) for organization in organizations),
        schemas=tuple((schema.id, schema.organization) for schema in reader.every(SchemaOwner, name)),
        users=tuple(users),
        keys=tuple(key.for_node() for key in reader.every(KeyRecord, name) if key.opens),
        policies=tuple(policy.policy for policy in reader.every(PolicyRecord, name) if policy.status == "active"),
        views=tuple(view.view for view in reader.every(ViewRecord, name)),
        limits=environment.limits,
        mask_key_id=environment.mask_key_id,
    )


class Shelf:
    """The last rulebook of each environment, kept until its version moves. Safe for threads: entries are whole."""

    def __init__(self) -> None:
        self._built: dict[str, tuple[Rulebook, str]] = {}

    def take(self, reader: ControlReader, name: str, now: str) -> tuple[Rulebook, str]:
        """The rulebook as of `now`, and its ETag.

        Raises:
            NotFound: there is no such environment.
        """
        held = self._built.get(name)
        if held is None or held[0].version != reader.version(name):
            book = build_rulebook(reader, name, now)
            held = self._built[name] = (book, book.etag)
        return dataclasses.replace(held[0], issued_at=now), held[1]
