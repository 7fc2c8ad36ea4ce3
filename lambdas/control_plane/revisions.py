"""ETag and If-Match: which record a path speaks of, and how its present state is named.

`If-Match` is checked inside the transaction, after the route has decided that the caller may see and change the
object, so that it tells nobody what exists.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from governance.chain import canonical
from governance.errors import InvalidRequest, PreconditionFailed
from governance.permissions import Endpoint
from governance.policy_record import PolicyRecord
from governance.ports import ControlReader
from governance.register import (
    KeyRecord,
    Organization,
    Record,
    SchemaOwner,
    UserRecord,
    ViewRecord,
)
from governance.tables import fold
from governance.webhook import Webhook

_ENV = "/v1/environments/{env}"
SUBJECTS: dict[str, type[Record]] = {
    "/v1/organizations/{id}": Organization,
    "/v1/users/{id}": UserRecord,
    f"{_ENV}/schemas/{{name}}": SchemaOwner,
    f"{_ENV}/keys/{{id}}": KeyRecord,
    f"{_ENV}/policies/{{id}}": PolicyRecord,
    f"{_ENV}/views/{{id}}": ViewRecord,
    f"{_ENV}/webhooks/{{id}}": Webhook,
}
"""Path -> the kind of record it names; what stands below such a path (`.../rotate`) speaks of the same record."""


@dataclass(frozen=True, slots=True)
class Subject:
    """The record that a request is about."""

    kind: type[Record]
    environment: str
    id: str

    def find(self, reader: ControlReader) -> Record | None:
        """The record as it is."""
        return reader.get(self.kind, self.environment, self.id)

    def is_(self, record: Record) -> bool:
        """Whether `record` is this one."""
        return (record.kind, record.environment, record.id) == (self.kind.kind, self.environment, self.id)


def subject_of(endpoint: Endpoint, named: dict[str, str]) -> Subject | None:
    """What a request to `endpoint` is about; None when it is about no single record."""
    path = endpoint.path
    while "{" in path:
        kind = SUBJECTS.get(path)
        if kind is not None:
            name = named[path.rpartition("{")[2].rstrip("}")]
            environment = named["env"] if "{env}" in path else ""
            return Subject(kind, environment, fold(name) if kind is SchemaOwner else name)
        path = path.rpartition("/")[0]
    return None


def etag_of(record: Record) -> str:
    """A name for the record's present state, quoted as HTTP wants it: a policy's revision, else a digest of its facts.

    When a record was last used, or how it was hashed, is no part of it.
    """
    if isinstance(record, PolicyRecord):
        return f'"{record.revision}"'
    return f'"{hashlib.sha256(canonical(record.fact())).hexdigest()[:32]}"'


def need_match(if_match: str, subject: Subject | None, reader: ControlReader) -> None:
    """Refuse a change of what is no longer as the caller saw it.

    Raises:
        PreconditionFailed: the record is another one by now, or gone.
        InvalidRequest: the request is about no single record.
    """
    if not if_match:
        return
    if subject is None:
        raise InvalidRequest("If-Match means nothing here.", advice="Send it where one object is changed.")
    record = subject.find(reader)
    wanted = {tag.strip().removeprefix("W/").strip('"') for tag in if_match.split(",")}
    if record is None or not wanted & {"*", etag_of(record).strip('"')}:
        raise PreconditionFailed(
            "The object is no longer what If-Match says.", advice="Read it again, and decide again."
        )
