"""The stored form of the register's records: plain JSON values with a version, in SQLite and DynamoDB alike."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, get_args

from governance.access_review import AccessReview, ReviewLine
from governance.audit_choice import AuditChoice
from governance.elevation import Elevation
from governance.encryption_key import EncryptionKey
from governance.idempotency import IdempotentAnswer
from governance.invitation import Invitation
from governance.policies import View
from governance.policy_record import PolicyRecord
from governance.policy_versions import PolicyDraft, PolicyVersion
from governance.principals import Agent
from governance.quota import OrganizationQuota, Quota
from governance.register import (
    Environment,
    KeyRecord,
    KeyUse,
    NodeFigures,
    Observation,
    Organization,
    Record,
    SchemaOwner,
    TableReport,
    UserRecord,
    ViewRecord,
)  # fmt: skip
from governance.roles import Role
from governance.rulebook import Limits
from governance.scopes import Scope
from governance.table_report import TableReportPart
from governance.tables import Column, Table, TableName
from governance.usage import UsageFigures
from governance.webhook import KeyWarning, Webhook, WebhookDelivery, WebhookLog

RECORD_VERSION = 1

_Noun = (
    OrganizationQuota | IdempotentAnswer | PolicyRecord | PolicyVersion | PolicyDraft | Webhook | WebhookDelivery
    | WebhookLog | KeyWarning | Elevation | Invitation | TableReportPart | UsageFigures
    | AccessReview | ReviewLine
)  # fmt: skip
_NOUNS: dict[str, type[_Noun]] = {noun.kind: noun for noun in get_args(_Noun)}
"""Kinds from modules of their own, which say themselves how they are stored: `stored()` and `restored(body)`."""


def encode_record(record: Record | Observation) -> dict[str, Any]:
    """The stored form of a record: plain JSON values with `v`."""
    match record:
        case Organization():
            body: dict[str, Any] = {**record.fact(), "created_at": record.created_at, "operator": record.operator}
        case Environment():
            limits = {name: getattr(record.limits, name) for name in Limits.__dataclass_fields__}
            body = {
                "name": record.name,
                "limits": limits,
                "mask_key_id": record.mask_key_id,
                "retention_days": record.retention_days,
                "webhook_networks": list(record.webhook_networks),
                "encryption_keys": [key.fact() for key in record.encryption_keys],
                "audit": record.audit.fact(),
            }
        case SchemaOwner():
            body = {"environment": record.environment, "name": record.name, "organization": record.organization}
        case UserRecord():
            body = {**record.fact(), "created_at": record.created_at}
        case KeyRecord():
            body = {
                **record.fact(),
                "environment": record.environment,
                "hash": record.hash,
                "created_at": record.created_at,
                "created_by": record.created_by,
            }
        case ViewRecord():
            body = {**record.fact(), "environment": record.environment, "created_at": record.created_at}
        case TableReport():
            tables = [
                {"schema": t.name.schema, "name": t.name.name, "columns": [[c.name, c.type] for c in t.columns]}
                for t in record.tables
            ]
            body = {"environment": record.environment, "tables": tables, "at": record.at}
        case NodeFigures():
            body = {
                "environment": record.environment,
                "node": record.node,
                "figures": dict(record.figures),
                "at": record.at,
            }
        case KeyUse():
            body = {"environment": record.environment, "id": record.id, "at": record.at}
        case _:
            body = record.stored()
    return {"v": RECORD_VERSION, **body}


@lru_cache(maxsize=1024)
def _scopes(names: tuple[str, ...]) -> frozenset[Scope]:
    return frozenset(Scope(name) for name in names)


def decode_record(kind: str, body: dict[str, Any]) -> Record | Observation:
    """The inverse of `encode_record`.

    Raises:
        ValueError: a version or kind this code does not know; KeyError or TypeError: not a record.
    """
    d = dict(body)
    if d.pop("v") != RECORD_VERSION:
        raise ValueError("a stored record has a version this code does not know")
    match kind:
        case "organization":
            return Organization(**d)
        case "environment":
            d["webhook_networks"] = tuple(d.get("webhook_networks", ()))
            d["encryption_keys"] = tuple(EncryptionKey(**key) for key in d.get("encryption_keys", ()))
            d["audit"] = AuditChoice.read(d.get("audit", {}))
            return Environment(**{**d, "limits": Limits(**d["limits"])})
        case "schema":
            return SchemaOwner(**d)
        case "user":
            return UserRecord(**{**d, "role": Role(d["role"]), "attributes": tuple(sorted(d["attributes"].items()))})
        case "key":
            d["scopes"] = _scopes(tuple(d["scopes"]))
            d["agent"] = Agent(**d["agent"]) if d["agent"] else None
            d["role"] = Role(d["role"]) if d.get("role") else None
            d["quota"] = Quota(**d.get("quota", {}))
            d["networks"], d["allowed_tables"] = tuple(d["networks"]), tuple(d["allowed_tables"])
            return KeyRecord(**d)
        case "view":
            view = View(d.pop("id"), TableName.parse(d.pop("name")), d.pop("sql"))
            return ViewRecord(view=view, **d)
        case "tables":
            tables = tuple(
                Table(TableName(t["schema"], t["name"]), tuple(Column(n, ty) for n, ty in t["columns"]))
                for t in d["tables"]
            )
            return TableReport(**{**d, "tables": tables})
        case "node":
            return NodeFigures(**{**d, "figures": tuple(sorted(d["figures"].items()))})
        case "key_use":
            return KeyUse(**d)
        case _ if kind in _NOUNS:
            return _NOUNS[kind].restored(d)
        case _:
            raise ValueError("a stored record of a kind this code does not know")
