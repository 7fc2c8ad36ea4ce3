"""Names of objects as PostgreSQL writes and reads them: identifiers, types, relations, functions, roles."""

from __future__ import annotations

import re
from functools import cache, cached_property

from engine.catalog.emulation import types as t
from engine.catalog.emulation.image import DEFAULT_SCHEMA, CatalogImage, RelationFact
from engine.catalog.emulation.lexer import fold_name
from engine.catalog.emulation.rows import static

_PLAIN = re.compile(r"[a-z_][a-z0-9_]*\Z")
_DISPLAY = {
    t.BOOL: "boolean", t.CHAR: '"char"', t.INT8: "bigint", t.INT2: "smallint", t.INT4: "integer", t.FLOAT4: "real",
    t.FLOAT8: "double precision", t.BPCHAR: "character", t.VARCHAR: "character varying", 1560: "bit",
    1562: "bit varying",
    t.NUMERIC: "numeric", t.TIME: "time without time zone", 1266: "time with time zone",
    t.TIMESTAMP: "timestamp without time zone", t.TIMESTAMPTZ: "timestamp with time zone", t.INTERVAL: "interval",
}  # fmt: skip
_READ = {shown: oid for oid, shown in _DISPLAY.items()}
_TIMED = {t.TIME: "time", 1266: "time", t.TIMESTAMP: "timestamp", t.TIMESTAMPTZ: "timestamp"}


class NameUnknown(Exception):
    """No object of that name; `sqlstate` is PostgreSQL's."""

    def __init__(self, sqlstate: str) -> None:
        super().__init__(f"HD{sqlstate}")
        self.sqlstate = sqlstate


@cache
def _keywords() -> frozenset[str]:
    """Words that PostgreSQL quotes when they are names: all of its own but the unreserved."""
    return frozenset(row["word"] for row in static("keywords") if row["catcode"] != "U")


def quote_identifier(name: str) -> str:
    """`name`, quoted if PostgreSQL would quote it."""
    if _PLAIN.match(name) and name not in _keywords():
        return name
    return '"' + name.replace('"', '""') + '"'


def format_type(oid: int | None, modifier: int | None) -> str | None:
    """What `format_type` says."""
    if oid is None:
        return None
    if oid == 0:
        return "-"
    kind = t.types().get(oid)
    if kind is None:
        return "???"
    if kind.category == "A" and kind.element and kind.name.startswith("_"):
        return f"{format_type(kind.element, modifier)}[]"
    shown = _DISPLAY.get(oid)
    if oid == t.BPCHAR and modifier is None:
        return "character"
    if oid == t.BPCHAR and modifier is not None and modifier < 0:
        return "bpchar"
    if modifier is None or modifier < 0:
        return shown or _type_name(kind)
    if oid == t.NUMERIC and modifier >= 4:
        return f"numeric({(modifier - 4) >> 16},{(modifier - 4) & 0x7FF})"
    if oid in (t.VARCHAR, t.BPCHAR) and modifier >= 4:
        return f"{shown}({modifier - 4})"
    if oid in _TIMED and shown is not None:
        return shown.replace(_TIMED[oid], f"{_TIMED[oid]}({modifier})", 1)
    return shown or _type_name(kind)


def _type_name(kind: t.PgType) -> str:
    """A type's own name, with its schema unless that is pg_catalog."""
    name = quote_identifier(kind.name)
    return name if kind.schema == "pg_catalog" else f"{kind.schema}.{name}"


def split_name(text: str, *, strict: bool = True) -> list[str]:
    """The parts of a possibly qualified, possibly quoted name, folded.

    Raises:
        NameUnknown: not a name (42602).
    """
    parts: list[str] = []
    rest = text.strip()
    while True:
        quoted = re.match(r'"((?:[^"]|"")+)"', rest)
        plain = re.match(r"[A-Za-z_\x80-\U0010ffff][A-Za-z_0-9$\x80-\U0010ffff]*", rest)
        if quoted:
            parts.append(quoted.group(1).replace('""', '"'))
            rest = rest[quoted.end() :].lstrip()
        elif plain:
            parts.append(fold_name(plain.group()))
            rest = rest[plain.end() :].lstrip()
        else:
            raise NameUnknown("42602")
        if not rest:
            return parts
        if rest[0] != ".":
            if strict:
                raise NameUnknown("42602")
            return parts
        rest = rest[1:].lstrip()


class Names:
    """Look-ups over one image."""

    def __init__(self, image: CatalogImage) -> None:
        from engine.catalog.emulation import rows

        self._image = image
        self._rows = rows

    @cached_property
    def _schemas(self) -> dict[str, int]:
        return self._rows.schema_oids(self._image)

    @cached_property
    def _relations(self) -> dict[tuple[str, str], int]:
        found = {}
        for row in self._rows.static("pg_class"):
            found[self._rows.static_schema(row), row["relname"]] = int(row["oid"])
        found |= {(r.schema, r.name): r.oid for r in self._image.relations}
        return found

    @cached_property
    def _relation_names(self) -> dict[int, tuple[str, str]]:
        return {oid: name for name, oid in self._relations.items()}

    @cached_property
    def _row_types(self) -> dict[int, RelationFact]:
        """The relation of each row type, and of each array of one."""
        return {oid: r for r in self._image.relations for oid in (r.row_type, r.array_type)}

    @cached_property
    def _procedures(self) -> dict[int, dict[str, object]]:
        return {int(r["oid"]): r for r in self._rows.static("pg_proc")}

    @cached_property
    def _procedures_by_name(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for oid, row in self._procedures.items():
            name = str(row["proname"])
            found[name] = -1 if name in found else oid
        return found

    @cached_property
    def _settings(self) -> dict[str, str]:
        return {r["name"]: r["setting"] for r in self._rows.rows("pg_catalog", "pg_settings", self._image)}

    @cached_property
    def _roles(self) -> dict[str, int]:
        return {str(r["rolname"]): int(r["oid"]) for r in self._rows.rows("pg_catalog", "pg_roles", self._image)}

    def _number(self, text: str) -> int | None:
        text = text.strip()
        if text == "-":
            return 0
        return int(text) if text.isdigit() and len(text) < 11 else None

    # ------------------------------------------------------------ reading

    def relation(self, text: str) -> int:
        """`regclass` from text.

        Raises:
            NameUnknown: 42P01.
        """
        number = self._number(text)
        if number is not None:
            return number
        parts = split_name(text)
        if len(parts) == 1:
            options = [("pg_catalog", parts[0]), (DEFAULT_SCHEMA, parts[0])]
        else:
            options = [(parts[-2], parts[-1])]
            if len(parts) > 3 or (len(parts) == 3 and parts[0] != self._image.database):
                raise NameUnknown("42P01")
        for option in options:
            if option in self._relations:
                return self._relations[option]
        raise NameUnknown("42P01")

    def type(self, text: str) -> int:
        """`regtype` from text.

        Raises:
            NameUnknown: 42704.
        """
        number = self._number(text)
        if number is not None:
            return number
        name = " ".join(text.strip().split())
        array = name.endswith("[]")
        name = re.sub(r"\s*\(\s*\d+(\s*,\s*\d+)?\s*\)", "", name[:-2].strip() if array else name)
        lowered = fold_name(name)
        oid = _READ.get(lowered, 0) or self._type_named(split_name(name), exact='"' in name)
        if array:
            row = self._row_types.get(oid)
            return row.array_type if row is not None else t.array_of(oid)
        return oid

    def _type_named(self, parts: list[str], *, exact: bool) -> int:
        if len(parts) > 3 or (len(parts) == 3 and parts[0] != self._image.database):
            raise NameUnknown("42704")
        name = parts[-1]
        schemas = parts[-2:-1] or ["pg_catalog", DEFAULT_SCHEMA]
        for schema in schemas:
            alias = name if exact or parts[:-1] else t.ALIASES.get(name, name)
            for kind in t.types_of(alias):
                if kind.schema == schema:
                    return kind.oid
            for row in self._image.relations:
                if row.schema == schema and name in (row.name, "_" + row.name):
                    return row.row_type if name == row.name else row.array_type
        raise NameUnknown("42704")

    def procedure(self, text: str) -> int:
        """`regproc` from text.

        Raises:
            NameUnknown: 42883, or 42725 when several have the name.
        """
        number = self._number(text)
        if number is not None:
            return number
        parts = split_name(text.partition("(")[0])
        oid = self._procedures_by_name.get(parts[-1], 0) if parts[:-1] in ([], ["pg_catalog"]) else 0
        if oid == -1 and "(" in text:
            oid = next(o for o, r in self._procedures.items() if r["proname"] == parts[-1])
        if oid <= 0:
            raise NameUnknown("42725" if oid else "42883")
        return oid

    def namespace(self, text: str) -> int:
        """`regnamespace` from text.

        Raises:
            NameUnknown: 3F000.
        """
        number = self._number(text)
        if number is not None:
            return number
        parts = split_name(text)
        if len(parts) != 1 or parts[0] not in self._schemas:
            raise NameUnknown("3F000")
        return self._schemas[parts[0]]

    def role(self, text: str) -> int:
        """`regrole` from text.

        Raises:
            NameUnknown: 42704.
        """
        number = self._number(text)
        if number is not None:
            return number
        parts = split_name(text)
        if len(parts) != 1 or parts[0] not in self._roles:
            raise NameUnknown("42704")
        return self._roles[parts[0]]

    def default_setting(self, name: str) -> str | None:
        """A setting that the session does not keep itself, as pg_settings has it."""
        return self._settings.get(name.lower())

    # ------------------------------------------------------------ writing

    def relation_text(self, oid: int) -> str:
        """`regclass` as text: qualified unless in the search path."""
        if oid == 0:
            return "-"
        name = self._relation_names.get(oid)
        if name is None:
            return str(oid)
        if name[0] in ("pg_catalog", DEFAULT_SCHEMA):
            return quote_identifier(name[1])
        return f"{quote_identifier(name[0])}.{quote_identifier(name[1])}"

    def type_text(self, oid: int) -> str:
        """`regtype` as text."""
        known = oid in t.types() or oid in self._row_types or oid == 0
        return (self.format_type(oid, None) or "-") if known else str(oid)

    def format_type(self, oid: int | None, modifier: int | None) -> str | None:
        """What `format_type` says, row types of the principal's tables included."""
        row = self._row_types.get(oid or 0)
        if row is None:
            return format_type(oid, modifier)
        name = quote_identifier(row.name)
        shown = name if row.schema == DEFAULT_SCHEMA else f"{quote_identifier(row.schema)}.{name}"
        return shown if oid == row.row_type else f"{shown}[]"

    def type_visible(self, oid: int | None, schema: str | None) -> bool | None:
        """`pg_type_is_visible` with `schema` as the search path."""
        row, kind = self._row_types.get(oid or 0), t.types().get(oid or 0)
        if row is None and kind is None:
            return None
        held = row.schema if row is not None else kind.schema if kind is not None else ""
        return held == "pg_catalog" or held == schema

    def procedure_text(self, oid: int) -> str:
        """`regproc` as text."""
        if oid == 0:
            return "-"
        row = self._procedures.get(oid)
        if row is None:
            return str(oid)
        name = str(row["proname"])
        return (
            f"pg_catalog.{quote_identifier(name)}" if self._procedures_by_name[name] == -1 else quote_identifier(name)
        )

    def namespace_text(self, oid: int) -> str:
        """`regnamespace` as text."""
        return next((quote_identifier(n) for n, o in self._schemas.items() if o == oid), str(oid) if oid else "-")

    def role_text(self, oid: int) -> str:
        """`regrole` as text."""
        return next((quote_identifier(n) for n, o in self._roles.items() if o == oid), str(oid) if oid else "-")

    def user_by_id(self, oid: int | None) -> str | None:
        """`pg_get_userbyid`."""
        if oid is None:
            return None
        return next((n for n, o in self._roles.items() if o == oid), f"unknown (OID={oid})")

    def role_oid(self, name: str) -> int:
        """A role's number, 0 when there is none of that name here."""
        return self._roles.get(name, 0)

    def visible(self, oid: int | None, schema: str | None) -> bool | None:
        """`pg_table_is_visible` with `schema` as the search path."""
        name = self._relation_names.get(oid or 0)
        if name is None:
            return None
        return name[0] == "pg_catalog" or name[0] == schema

    def view_text(self, oid: int | None) -> str | None:
        """`pg_get_viewdef`."""
        found = next((r.definition for r in self._image.relations if r.oid == oid and r.kind == "v"), "")
        return f" {found.strip().rstrip(';')};" if found else None

    def relation_name(self, oid: int) -> tuple[str, str] | None:
        """(schema, name) of a relation."""
        return self._relation_names.get(oid)

    def schema_name(self, oid: int) -> str | None:
        """A schema's name."""
        return next((name for name, number in self._schemas.items() if number == oid), None)

    @cached_property
    def _own_columns(self) -> dict[int, tuple[str, ...]]:
        return {r.oid: tuple(c.name for c in r.columns) for r in self._image.relations}

    def column_name(self, oid: int, place: int) -> str | None:
        """The name of a relation's column, counted from 1."""
        if oid in self._own_columns:
            held = self._own_columns[oid]
            return held[place - 1] if 0 < place <= len(held) else None
        wanted = (str(oid), place)
        found = (r["attname"] for r in self._rows.static("pg_attribute") if (r["attrelid"], int(r["attnum"])) == wanted)
        return next(found, None)

    def column_known(self, oid: int | None, name: str | None) -> bool:
        """Whether a relation has a column of that name."""
        if oid in self._own_columns:
            return name in self._own_columns[oid]
        return any(r["attrelid"] == str(oid) and r["attname"] == name for r in self._rows.static("pg_attribute"))

    @cached_property
    def _readable(self) -> frozenset[int]:
        """Relations that the principal may select from: his own and those of PostgreSQL that are everyone's."""
        public = (int(row["oid"]) for row in self._rows.public_relations())
        return frozenset((*public, *(r.oid for r in self._image.relations)))

    def readable(self, oid: int | None) -> bool:
        """Whether `oid` is a relation that the principal may select from."""
        return oid in self._readable

    def known(self, kind: str, oid: int | None) -> bool:
        """Whether an object of that number is there: `relation`, `schema` or `type`."""
        if kind == "relation":
            return oid in self._relation_names
        if kind == "schema":
            return oid in self._schemas.values()
        return oid in t.types() or oid in self._row_types
