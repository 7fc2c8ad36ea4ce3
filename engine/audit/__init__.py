"""Intent, outcome, spool with group commit, shipping: nothing runs unaudited, nothing audited is lost."""

from engine.audit.query_audit import QueryAudit
from engine.audit.settings import AuditSettings

__all__ = ["AuditSettings", "QueryAudit"]
