"""The part of the lake that one principal may see; everything else is as if it were not there (claim H14)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

from governance.audit_table import QUERIES, sees_audit
from governance.audit_table import SCHEMA as OWN_SCHEMA
from governance.errors import SourceUnavailable
from governance.masks import shown
from governance.policies import SHARED, View
from governance.principals import Principal
from governance.rulebook import Rulebook
from governance.tables import Table, fold

Key = tuple[str, str]
AUDIT = QUERIES.key
"""The one table that is not the lake's: each organization reads its own records there, by rights of its own."""


def table_allowed(patterns: Iterable[str], key: Key) -> bool:
    """Whether a key's list of tables (`schema.table` or `schema.*`; empty means all) holds the folded name."""
    listed = tuple(fold(p) for p in patterns)
    return not listed or f"{key[0]}.{key[1]}" in listed or f"{key[0]}.*" in listed


class PrincipalCatalog:
    """Tables and views of one principal, made from the lake's tables and the rulebook. Immutable."""

    def __init__(
        self,
        lake: Mapping[Key, Table],
        rulebook: Rulebook,
        principal: Principal,
        lake_version: str | int = "",
        *,
        known: bool = True,
    ) -> None:
        """Select what `principal` may see; `lake_version` changes when the lake's tables do.

        `known` is False while nobody has seen the lake yet: then a name that is not found is not missing.
        """
        self._known = known
        self._rulebook = rulebook
        self._principal = principal
        self._lake = lake
        self._lake_version = lake_version
        self.environment = rulebook.environment
        owners = dict(rulebook.schemas)
        seen = (principal.organization, SHARED)

        def visible(key: Key) -> bool:
            if key[0] == OWN_SCHEMA:
                return key == AUDIT and sees_audit(principal) and table_allowed(principal.allowed_tables, key)
            owner = owners.get(key[0], rulebook.operator_organization)
            return owner in seen and table_allowed(principal.allowed_tables, key)

        self._tables = {key: table for key, table in lake.items() if visible(key)}
        views = {view.name.key: view for view in rulebook.views if view.name.key[0] != OWN_SCHEMA}
        self._views = {key: view for key, view in views.items() if visible(key)}
        lake_facts = (lake_version or sorted(self._tables.items()), AUDIT in self._tables)
        facts = repr((lake_facts, rulebook.version, rulebook.schemas, principal.organization, principal.allowed_tables))
        self.version = hashlib.sha256(facts.encode()).hexdigest()[:16]

    @property
    def principal(self) -> Principal:
        """Whose catalog this is."""
        return self._principal

    @property
    def organization(self) -> str:
        """The principal's organization, whose workers answer catalog queries."""
        return self._principal.organization

    @property
    def rulebook(self) -> Rulebook:
        """The rulebook it was made with."""
        return self._rulebook

    def seen_by(self, principal: Principal) -> PrincipalCatalog:
        """The part of the same lake that another principal may see."""
        return PrincipalCatalog(self._lake, self._rulebook, principal, self._lake_version, known=self._known)

    def resolve(self, schema: str | None, name: str) -> Table | View | None:
        """The table or view of that name, or None; without a schema only `main` is looked into.

        Raises:
            SourceUnavailable: nobody knows yet which tables there are.
        """
        key = (fold(schema) if schema is not None else "main", fold(name))
        found = self._views.get(key) or self._tables.get(key)
        if found is None and not self._known:
            raise SourceUnavailable(
                "The tables are not known yet: the object store has not answered since the node started.",
                advice="Retry in a minute; if it persists, report it to your administrator.",
            )
        return found

    def hidden_reason(self, schema: str | None, name: str) -> str:
        """Why a name does not resolve, for the audit only.

        It is missing, allowed_tables, audit_rights or cross_organization.
        """
        key = (fold(schema) if schema is not None else "main", fold(name))
        if key == AUDIT and key in self._lake:
            return "allowed_tables" if sees_audit(self._principal) else "audit_rights"
        if key not in self._lake and all(view.name.key != key for view in self._rulebook.views):
            return "missing"
        return "cross_organization" if self.foreign(schema, name) else "allowed_tables"

    def foreign(self, schema: str | None, name: str) -> str | None:
        """The organization that owns an existing table or view this principal's organization may not see, or None."""
        key = (fold(schema) if schema is not None else "main", fold(name))
        if key[0] == OWN_SCHEMA or (
            key not in self._lake and all(view.name.key != key for view in self._rulebook.views)
        ):
            return None
        if self._rulebook.visible(key[0], self._principal.organization):
            return None
        return self._rulebook.owner_of(key[0])

    def tables(self) -> list[Table]:
        """Every visible table with its true column types, sorted by name."""
        return [self._tables[key] for key in sorted(self._tables)]

    def shown_tables(self) -> list[Table]:
        """Every visible table with the types this principal is shown (masked columns), sorted by name."""
        return [shown(table, self._rulebook.policies, self._principal) for table in self.tables()]

    def views(self) -> list[View]:
        """Every visible view, sorted by name."""
        return [self._views[key] for key in sorted(self._views)]
