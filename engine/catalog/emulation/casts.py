"""Types as written, casts to them, and collations."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from engine.catalog.emulation import types as t
from engine.catalog.emulation.operators import OperatorTranslator
from engine.catalog.emulation.tree import ArrayList, Cast, Collate, TypeName
from engine.catalog.emulation.values import CatalogRefused, Value, cast, settle
from governance.errors import StatementRefused

if TYPE_CHECKING:
    from engine.catalog.emulation.scope import Scope


class CastTranslator(OperatorTranslator):
    """Casts; `ExpressionTranslator` adds all other expressions."""

    def resolve_type(self, name: TypeName) -> int:
        """The id of a type as written.

        Raises:
            StatementRefused: it is not in pg_catalog, or has several dimensions.
        """
        parts = name.name
        if len(parts) > 2 or (len(parts) == 2 and parts[0] not in ("pg_catalog", "information_schema")):
            raise StatementRefused("A type in the catalog query does not exist.")
        if len(parts) == 2 and parts[0] == "information_schema":
            domains = {
                "sql_identifier": t.NAME,
                "cardinal_number": t.INT4,
                "character_data": t.VARCHAR,
                "yes_or_no": t.VARCHAR,
            }
            oid = domains.get(parts[1], 0)
            if not oid:
                raise StatementRefused("A type in the catalog query does not exist.")
        else:
            oid = t.named(parts[-1], exact=len(parts) == 2).oid
        return t.array_of(oid) if name.dimensions else oid

    def cast_to(self, node: Cast, scope: Scope) -> Value:
        """`CAST`, `::` and typed literals."""
        oid = self.resolve_type(node.type)
        if isinstance(node.value, ArrayList) and not node.value.items:
            return Value(f"CAST([] AS {t.duck(oid)})", oid, label="array", firm=True)
        value = self.translate(node.value, scope)
        told = t.types().get(t.element_of(oid) or oid if not t.is_vector(oid) else oid)
        label = value.label if value.firm else told.name if told is not None else "?column?"
        settled = settle(value, oid, self.parameters)
        if oid in t.BITS and settled.type in t.INTEGERS and node.type.modifiers:
            done = Value(f"hd_to_bits({settled.sql}, {int(node.type.modifiers[0])})", oid)
            return replace(done, modifier=int(node.type.modifiers[0]), label=label, firm=value.firm)
        done = replace(cast(settled, oid), modifier=-1)
        if node.type.modifiers and oid in (t.VARCHAR, t.BPCHAR):
            done = replace(
                done, sql=f"left({done.sql}, {int(node.type.modifiers[0])})", modifier=int(node.type.modifiers[0]) + 4
            )
        elif node.type.modifiers and oid == t.NUMERIC:
            done = self._numeric(done, node.type.modifiers)
        return replace(done, label=label, firm=value.firm)

    @staticmethod
    def _numeric(value: Value, modifiers: tuple[str, ...]) -> Value:
        precision, scale = int(modifiers[0]), int(modifiers[1]) if len(modifiers) > 1 else 0
        if not 1 <= precision <= 38 or not 0 <= scale <= precision:
            raise StatementRefused("A numeric type in the catalog query is out of bounds.")
        sql = f"CAST({value.sql} AS DECIMAL({precision},{scale}))"
        return replace(value, sql=sql, modifier=((precision << 16) | scale) + 4)

    def collate(self, node: Collate, scope: Scope) -> Value:
        """`x COLLATE name`.

        Raises:
            CatalogRefused: no such collation (42704).
        """
        if node.name[-1] not in ("default", "c", "C", "POSIX", "posix", "ucs_basic") or node.name[:-1] not in (
            (),
            ("pg_catalog",),
        ):
            raise CatalogRefused("42704", "The collation does not exist.")
        return self.translate(node.value, scope)
