"""Whose a schema, a policy or a view is: rules over the register that several resources share."""

from __future__ import annotations

from governance.errors import PermissionRefused
from governance.policies import SHARED, Condition, Policy
from governance.ports import ControlReader
from governance.register import SchemaOwner
from governance.tables import fold
from lambdas.control_plane.caller import Caller
from lambdas.control_plane.desk import admitted_environment, operator_of


def owner_of(reader: ControlReader, environment: str, schema: str, *, change: SchemaOwner | None = None) -> str:
    """The organization a schema belongs to, or `shared`; undeclared ones are the operator's.

    Args:
        reader: the register.
        environment: where.
        schema: its name.
        change: an assignment about to be made, which counts already.
    """
    if change is not None and change.id == fold(schema):
        return change.organization
    owner = reader.get(SchemaOwner, environment, fold(schema))
    return owner.organization if owner else operator_of(reader).id


def policy_owner(reader: ControlReader, environment: str, policy: Policy, *, change: SchemaOwner | None = None) -> str:
    """Whose a policy is: the owner of the schemas it speaks of; `shared` when they are several or it speaks of all."""
    if isinstance(policy, Condition):
        schemas = {table.partition(".")[0] for table in policy.tables}
    else:
        schemas = {policy.table.schema}
    owners = {owner_of(reader, environment, schema, change=change) for schema in schemas}
    return owners.pop() if len(owners) == 1 else SHARED


def required_owner(reader: ControlReader, caller: Caller, environment: str, policy: Policy) -> str:
    """Whose a policy is, when the caller may write it.

    Raises:
        NotFound: no such environment for this key.
        PermissionRefused: it speaks of tables that he does not administer.
    """
    admitted_environment(reader, caller, environment)
    owner = policy_owner(reader, environment, policy)
    if not caller.reaches(owner):
        raise PermissionRefused(
            "You may not write policies on these tables.",
            advice="Name tables in schemas of your organization; shared schemas are the operator's to govern.",
        )
    return owner
