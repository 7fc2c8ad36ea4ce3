"""The life of an environment's policies: drafted, tried, activated, and gone back to.

A version is the number of the law (`Rulebook.version`) at which a change of policies came into force; what was in force
at any version follows by undoing the changes after it. A draft is a change that is not in force: it has the number at
which it was written. Pure.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from governance.errors import Conflict, InvalidRequest, NotFound
from governance.policies import Policy
from governance.policy_record import PolicyRecord
from governance.rulebook import Rulebook, decode_policy

CHANGES_MAX = 500
"""Changes in one draft: they come into force in one transaction."""
DRAFT_BYTES_MAX = 256 * 1024
DRAFTS_MAX = 100
"""Open drafts of an organization in an environment."""
_DIGITS = 12


def version_id(number: int) -> str:
    """A version's number as a record's id, so that ids sort as numbers do."""
    return f"{number:0{_DIGITS}d}"


@dataclass(frozen=True, slots=True)
class PolicyChange:
    """One policy before and after; None on a side where it is not there."""

    before: PolicyRecord | None
    after: PolicyRecord | None

    @property
    def record(self) -> PolicyRecord:
        """The side that is there, the later one first."""
        record = self.after or self.before
        if record is None:
            raise ValueError("a change of nothing")
        return record

    @property
    def id(self) -> str:
        """The policy's id."""
        return self.record.id

    @property
    def action(self) -> str:
        """created, changed or removed."""
        if self.before is None:
            return "created"
        return "removed" if self.after is None else "changed"

    @property
    def organizations(self) -> frozenset[str]:
        """Whose policy it was or is."""
        return frozenset(side.organization for side in (self.before, self.after) if side is not None)

    def stored(self) -> dict[str, Any]:
        """The stored form."""
        return {
            "before": self.before.stored() if self.before else None,
            "after": self.after.stored() if self.after else None,
        }

    @classmethod
    def restored(cls, body: dict[str, Any]) -> PolicyChange:
        """The inverse of `stored`."""
        before, after = body["before"], body["after"]
        return cls(PolicyRecord.restored(before) if before else None, PolicyRecord.restored(after) if after else None)


@dataclass(frozen=True, slots=True)
class PolicyVersion:
    """A change of policies that came into force."""

    kind: ClassVar[str] = "policy_version"
    lookup: ClassVar[str] = ""
    unique: ClassVar[str] = ""

    environment: str
    number: int
    organization: str
    """The author's."""
    author: str
    """User id."""
    at: str
    cause: str
    """edit, draft or roll_back."""
    changes: tuple[PolicyChange, ...]
    source: int = 0
    """The draft's number, or the version gone back to."""
    note: str = ""

    @property
    def id(self) -> str:
        """The number, padded."""
        return version_id(self.number)

    def fact(self) -> dict[str, Any]:
        """Everything."""
        return self.stored()

    def stored(self) -> dict[str, Any]:
        """The stored form."""
        return {
            "environment": self.environment,
            "number": self.number,
            "organization": self.organization,
            "author": self.author,
            "at": self.at,
            "cause": self.cause,
            "changes": [change.stored() for change in self.changes],
            "source": self.source,
            "note": self.note,
        }

    @classmethod
    def restored(cls, body: dict[str, Any]) -> PolicyVersion:
        """The inverse of `stored`."""
        return cls(**{**body, "changes": tuple(PolicyChange.restored(c) for c in body["changes"])})


@dataclass(frozen=True, slots=True)
class PolicyDraft:
    """Changes that were written and checked but are not in force. It goes when it is activated or discarded."""

    kind: ClassVar[str] = "policy_draft"
    lookup: ClassVar[str] = ""
    unique: ClassVar[str] = ""

    environment: str
    number: int
    organization: str
    """The author's."""
    author: str
    """User id."""
    at: str
    changes: tuple[PolicyChange, ...]
    note: str = ""

    @property
    def id(self) -> str:
        """The number, padded."""
        return version_id(self.number)

    @property
    def organizations(self) -> frozenset[str]:
        """Everyone whose policies it would change."""
        return frozenset[str]().union(*(change.organizations for change in self.changes))

    def fact(self) -> dict[str, Any]:
        """Everything."""
        return self.stored()

    def stored(self) -> dict[str, Any]:
        """The stored form."""
        return {
            "environment": self.environment,
            "number": self.number,
            "organization": self.organization,
            "author": self.author,
            "at": self.at,
            "changes": [change.stored() for change in self.changes],
            "note": self.note,
        }

    @classmethod
    def restored(cls, body: dict[str, Any]) -> PolicyDraft:
        """The inverse of `stored`."""
        return cls(**{**body, "changes": tuple(PolicyChange.restored(c) for c in body["changes"])})


def proposed(
    present: Sequence[PolicyRecord], wanted: Iterable[PolicyRecord], removed: Iterable[str]
) -> tuple[PolicyChange, ...]:
    """What a draft changes: each wanted policy takes the place of the one of its organization and name, if any.

    `present` are the policies the author may change; ids, revisions and dates of `wanted` are set here. A policy that
    stands there already, word for word, is no change.

    Raises:
        NotFound: a policy to remove is not there.
        Conflict: a name that is written twice, written and removed, or that changes its kind.
        InvalidRequest: nothing would change, or too much.
    """
    by_name = {record.unique: record for record in present}
    changes: dict[str, PolicyChange] = {}
    named: set[str] = set()
    for new in wanted:
        old = by_name.get(new.unique)
        if new.unique in named:
            raise Conflict("A draft names a policy twice.", advice="Write each policy once.")
        named.add(new.unique)
        drafted = _successor(old, new) if old is not None else new
        if old is None or old.policy != drafted.policy:
            changes[drafted.id] = PolicyChange(old, replace(drafted, status="draft"))
    for name in removed:
        found = [record for record in present if name in (record.id, record.policy.name)]
        if len(found) != 1:
            raise NotFound("A policy to remove is not there.", advice="Name policies by id or by their unique name.")
        if found[0].id in changes or found[0].unique in named:
            raise Conflict("A draft names a policy twice.", advice="Write it or remove it, not both.")
        changes[found[0].id] = PolicyChange(found[0], None)
    if not changes:
        raise InvalidRequest("This draft would change nothing.")
    size = len(json.dumps([change.stored() for change in changes.values()], ensure_ascii=False).encode())
    if len(changes) > CHANGES_MAX or size > DRAFT_BYTES_MAX:
        raise InvalidRequest(
            f"A draft holds at most {CHANGES_MAX} changes and {DRAFT_BYTES_MAX} bytes.", advice="Write several drafts."
        )
    return tuple(changes.values())


def _successor(old: PolicyRecord, new: PolicyRecord) -> PolicyRecord:
    if type(old.policy) is not type(new.policy):
        raise Conflict("A policy keeps its type.", advice="Remove it and write another under another name.")
    return replace(new, policy=replace(new.policy, id=old.id), created_at=old.created_at, revision=old.revision + 1)


def in_force_with(present: Iterable[PolicyRecord], changes: Iterable[PolicyChange]) -> tuple[Policy, ...]:
    """The policies as they would be with a draft's changes in force, in the order of their ids."""
    policies = {record.id: record.policy for record in present}
    for change in changes:
        if change.after is None:
            policies.pop(change.id, None)
        else:
            policies[change.id] = change.after.policy
    return tuple(policies[key] for key in sorted(policies))


def check_unchanged(present: Mapping[str, PolicyRecord], changes: Iterable[PolicyChange]) -> None:
    """Whether what a draft was written against is still so.

    Raises:
        Conflict: a policy that it changes was changed, removed or made by someone else meanwhile.
    """
    names = {record.unique: record.id for record in present.values()}
    for change in changes:
        now = present.get(change.id)
        same = now is None if change.before is None else now is not None and now.policy == change.before.policy
        taken = change.after is not None and names.get(change.after.unique, change.id) != change.id
        if not same or taken:
            raise Conflict(
                f"The policy {change.record.policy.name} was changed after the draft was written.",
                advice="Write the draft anew; look at what it changes now.",
            )


def as_of(present: Iterable[PolicyRecord], later: Iterable[PolicyVersion]) -> dict[str, PolicyRecord]:
    """The policies by id before the changes of the versions `later` (in any order) were made."""
    policies = {record.id: record for record in present}
    for version in sorted(later, key=lambda v: v.number, reverse=True):
        for change in reversed(version.changes):
            if change.before is None:
                policies.pop(change.id, None)
            else:
                policies[change.id] = change.before
    return policies


def way_back(present: Mapping[str, PolicyRecord], wanted: Mapping[str, PolicyRecord]) -> tuple[PolicyChange, ...]:
    """The changes that lead from the policies at present to those of an earlier version; revisions go on counting."""
    changes = [PolicyChange(present[key], None) for key in sorted(present.keys() - wanted.keys())]
    for key in sorted(wanted):
        now, then = present.get(key), wanted[key]
        if now is None:
            changes.append(PolicyChange(None, replace(then, status="active", revision=then.revision + 1)))
        elif now.policy != then.policy:
            changes.append(PolicyChange(now, replace(then, status="active", revision=now.revision + 1)))
    return tuple(changes)


@dataclass(frozen=True, slots=True)
class Drafted:
    """What a node needs to explain under a draft: its number, whose policies it changes, and the law with it."""

    number: int
    organizations: frozenset[str]
    rulebook: Rulebook


def read_drafted(document: Mapping[str, Any], rulebook: Rulebook) -> Drafted:
    """The draft that a control plane tells of (`GET /v1/nodes/policy-drafts`), over the rulebook in force.

    Raises:
        InvalidRequest: not a draft.
    """
    try:
        return Drafted(
            number=int(document["number"]),
            organizations=frozenset(map(str, document["organizations"])),
            rulebook=replace(rulebook, policies=tuple(decode_policy(policy) for policy in document["policies"])),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InvalidRequest("This is not a draft.", reason=f"{type(error).__name__} in a draft") from None
