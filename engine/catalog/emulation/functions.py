"""The functions a catalog query may call: the allow-list itself. What is not in `FUNCTIONS` is refused.

A function whose work needs the catalog (`format_type`, `regclass_in`, ...) becomes a call of a function of the same
name that `engine.executor.catalog_functions` registers in the catalog's DuckDB instance; the rest is plain DuckDB.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from engine.catalog.emulation import types as t
from engine.catalog.emulation.tree import Call, Expr, Literal, Parameter, Query, Sort
from engine.catalog.emulation.values import CatalogRefused, Parameters, Value, cast, quoted, settle
from governance.errors import StatementRefused

if TYPE_CHECKING:
    from engine.catalog.emulation.scope import Scope

ANY = 0
"""An argument of any type; text when it has none."""


@dataclass(frozen=True, slots=True)
class SettingWrite:
    """A `set_config` the session is to carry out. `name` and `value`: the text, or the number of a parameter."""

    name: str
    value: str | int | None
    local: bool


class Builder:
    """What functions may ask of the translator."""

    parameters: Parameters
    slots: set[str]
    functions: set[str]
    setting_writes: list[SettingWrite]

    @abstractmethod
    def alias(self, prefix: str) -> str:
        """A DuckDB name used once."""

    @abstractmethod
    def translate(self, node: Expr, scope: Scope) -> Value:
        """A value, typed or not."""

    @abstractmethod
    def typed(self, node: Expr, scope: Scope, wanted: int = t.TEXT) -> Value:
        """A typed value."""

    @abstractmethod
    def condition(self, node: Expr, scope: Scope) -> str:
        """A truth value."""

    @abstractmethod
    def unify(self, values: list[Value], fallback: int = t.TEXT) -> list[Value]:
        """Values in their common type."""

    @abstractmethod
    def compare(self, operator: str, left: Value, right: Value) -> str:
        """A comparison."""

    @abstractmethod
    def sorts(self, order: tuple[Sort, ...], scope: Scope) -> str:
        """ORDER BY inside a call."""

    @abstractmethod
    def column_query(self, query: Query, scope: Scope, wanted: int) -> tuple[str, int]:
        """A one-column query."""

    def slot(self, name: str) -> str:
        """A value that the session gives when the statement runs."""
        self.slots.add(name)
        return f"$s_{name}"


Handler = Callable[[Builder, Call, "Scope"], Value]
FUNCTIONS: dict[str, Handler] = {}


def unknown_call(node: Call) -> CatalogRefused:
    """No function of that name takes these arguments (42883)."""
    return CatalogRefused(
        "42883", "A function in the catalog query does not take these arguments.", position=node.position + 1
    )


def plain_call(node: Call) -> None:
    """Refuse what only aggregates take.

    Raises:
        CatalogRefused: DISTINCT, ORDER BY, FILTER, OVER or `*` in an ordinary call (42809).
    """
    if node.star or node.distinct or node.order or node.filter is not None or node.over is not None:
        raise CatalogRefused(
            "42809", "A function in the catalog query is not an aggregate.", position=node.position + 1
        )


def argument(builder: Builder, node: Expr, scope: Scope, wanted: int) -> Value:
    """An argument brought to the type a function declares.

    Raises:
        CatalogRefused: it is of another kind (42883).
    """
    value = builder.translate(node, scope)
    if wanted == ANY:
        return settle(value, t.TEXT, builder.parameters)
    value = settle(value, wanted, builder.parameters)
    if value.type == wanted or t.duck(value.type) == t.duck(wanted):
        return value
    numeric = value.type in (t.NUMBERS | t.OID_LIKE) and wanted in (t.NUMBERS | t.OID_LIKE)
    arrays = t.element_of(value.type) is not None and t.element_of(wanted) is not None
    if numeric or arrays or (value.type in t.REG_TYPES and wanted == t.TEXT):
        return cast(value, wanted)
    raise CatalogRefused("42883", "A function in the catalog query does not take these arguments.")


def register(
    name: str,
    kinds: tuple[int, ...],
    result: int,
    template: str,
    *,
    least: int | None = None,
    fills: tuple[str, ...] = (),
) -> None:
    """Enter a scalar function.

    Args:
        name: as PostgreSQL calls it.
        kinds: argument types.
        result: type of its value.
        template: DuckDB text with `{0}`, `{1}` for the arguments.
        least: how many arguments must be given.
        fills: DuckDB text of the arguments not given, from the last.
    """

    def handler(builder: Builder, node: Call, scope: Scope) -> Value:
        plain_call(node)
        given = len(node.arguments)
        if not (len(kinds) if least is None else least) <= given <= len(kinds):
            raise unknown_call(node)
        values = [argument(builder, a, scope, k) for a, k in zip(node.arguments, kinds, strict=False)]
        texts = [v.sql for v in values] + list(fills[len(fills) - (len(kinds) - given) :] if given < len(kinds) else ())
        return Value(template.format(*texts), result, returns_set=any(v.returns_set for v in values))

    FUNCTIONS[name] = handler


def special(*names: str) -> Callable[[Handler], Handler]:
    """Enter a function that has its own way."""

    def enter(handler: Handler) -> Handler:
        for name in names:
            FUNCTIONS[name] = handler
        return handler

    return enter


_NULL_TEXT = "CAST(NULL AS VARCHAR)"


def _constants() -> None:
    """Functions that answer the same for every catalog of ours, given arguments or not."""
    for name, kinds, least in (
        ("pg_get_expr", (t.TEXT, t.OID, t.BOOL), 2),
        ("obj_description", (t.OID, t.NAME), 1),
        ("shobj_description", (t.OID, t.NAME), 2),
        ("col_description", (t.OID, t.INT4), 2),
        ("pg_get_indexdef", (t.OID, t.INT4, t.BOOL), 1),
        ("pg_get_constraintdef", (t.OID, t.BOOL), 1),
        ("pg_get_triggerdef", (t.OID, t.BOOL), 1),
        ("pg_get_ruledef", (t.OID, t.BOOL), 1),
        ("pg_get_functiondef", (t.OID,), 1),
        ("pg_get_function_sqlbody", (t.OID,), 1),
        ("pg_get_function_arg_default", (t.OID, t.INT4), 2),
        ("pg_get_statisticsobjdef", (t.OID,), 1),
        ("pg_get_statisticsobjdef_columns", (t.OID,), 1),
        ("pg_get_statisticsobjdef_expressions", (t.OID,), 1),
        ("pg_get_partkeydef", (t.OID,), 1),
        ("pg_get_partition_constraintdef", (t.OID,), 1),
        ("pg_get_serial_sequence", (t.TEXT, t.TEXT), 2),
        ("pg_sequence_last_value", (t.OID,), 1),
        ("pg_relation_filepath", (t.REGCLASS,), 1),
    ):
        # The arguments stay in the text: a set-returning or unknown one must still be found out.
        terms = " OR ".join(f"{{{i}}} IS NULL" for i in range(least))
        template = f"(CASE WHEN ({terms}) THEN {_NULL_TEXT} ELSE {_NULL_TEXT} END)"
        register(name, kinds, t.TEXT, template, least=least, fills=tuple("NULL" for _ in kinds[least:]))
    for name, result, text in (
        ("pg_is_in_recovery", t.BOOL, "FALSE"),
        ("pg_is_wal_replay_paused", t.BOOL, "FALSE"),
        ("pg_jit_available", t.BOOL, "FALSE"),
        ("pg_my_temp_schema", t.OID, "CAST(0 AS BIGINT)"),
        ("txid_current", t.INT8, "CAST(1000 AS BIGINT)"),
        ("txid_current_if_assigned", t.INT8, "CAST(NULL AS BIGINT)"),
        ("pg_current_xact_id_if_assigned", t.INT8, "CAST(NULL AS BIGINT)"),
        ("pg_client_encoding", t.NAME, "'UTF8'"),
        ("getdatabaseencoding", t.NAME, "'UTF8'"),
        ("inet_server_addr", t.TEXT, _NULL_TEXT),
        ("inet_server_port", t.INT4, "CAST(NULL AS INTEGER)"),
        ("inet_client_addr", t.TEXT, _NULL_TEXT),
        ("inet_client_port", t.INT4, "CAST(NULL AS INTEGER)"),
        ("pg_advisory_unlock_all", t.VOID, "''"),
        ("pg_trigger_depth", t.INT4, "CAST(0 AS INTEGER)"),
        ("pg_conf_load_time", t.TIMESTAMPTZ, "now()"),
    ):
        register(name, (), result, text)
    for name in ("pg_table_size", "pg_total_relation_size", "pg_indexes_size"):
        register(
            name, (t.REGCLASS,), t.INT8, "(CASE WHEN {0} IS NULL THEN CAST(NULL AS BIGINT) ELSE CAST(0 AS BIGINT) END)"
        )
    register(
        "pg_relation_size",
        (t.REGCLASS, t.TEXT),
        t.INT8,
        "(CASE WHEN {0} IS NULL OR {1} IS NULL THEN NULL ELSE CAST(0 AS BIGINT) END)",
        least=1,
        fills=("''",),
    )
    register("pg_database_size", (ANY,), t.INT8, "(CASE WHEN {0} IS NULL THEN NULL ELSE CAST(0 AS BIGINT) END)")
    register("pg_tablespace_size", (ANY,), t.INT8, "(CASE WHEN {0} IS NULL THEN NULL ELSE CAST(0 AS BIGINT) END)")
    register("pg_tablespace_location", (t.OID,), t.TEXT, "(CASE WHEN {0} IS NULL THEN NULL ELSE '' END)")
    register(
        "pg_relation_filenode", (t.REGCLASS,), t.OID, "(CASE WHEN {0} IS NULL THEN NULL ELSE CAST(NULL AS BIGINT) END)"
    )
    register("pg_is_other_temp_schema", (t.OID,), t.BOOL, "({0} IS NULL AND NULL)")
    register("pg_relation_is_publishable", (t.REGCLASS,), t.BOOL, "({0} IS NULL AND NULL)")
    register(
        "pg_relation_is_updatable",
        (t.REGCLASS, t.BOOL),
        t.INT4,
        "(CASE WHEN {0} IS NULL OR {1} IS NULL THEN NULL ELSE CAST(0 AS INTEGER) END)",
    )
    register("row_security_active", (ANY,), t.BOOL, "({0} IS NULL AND NULL)")
    register(
        "acldefault",
        (t.CHAR, t.OID),
        1034,
        "(CASE WHEN {0} IS NULL OR {1} IS NULL THEN NULL ELSE CAST(NULL AS VARCHAR[]) END)",
    )
    register(
        "pg_encoding_to_char", (t.INT4,), t.NAME, "(CASE {0} WHEN 6 THEN 'UTF8' WHEN 0 THEN 'SQL_ASCII' ELSE '' END)"
    )
    register(
        "pg_char_to_encoding",
        (t.NAME,),
        t.INT4,
        "(CASE WHEN upper(replace({0}, '-', '')) IN ('UTF8', 'UNICODE') THEN 6 ELSE -1 END)",
    )
    for name in (
        "pg_type_is_visible",
        "pg_function_is_visible",
        "pg_collation_is_visible",
        "pg_opclass_is_visible",
        "pg_opfamily_is_visible",
        "pg_operator_is_visible",
        "pg_conversion_is_visible",
        "pg_ts_config_is_visible",
        "pg_ts_dict_is_visible",
        "pg_ts_parser_is_visible",
        "pg_ts_template_is_visible",
        "pg_statistics_obj_is_visible",
    ):
        register(name, (t.OID,), t.BOOL, "(CASE WHEN {0} IS NULL THEN CAST(NULL AS BOOLEAN) ELSE TRUE END)")


def _catalog_backed() -> None:
    """Functions that ask the catalog."""
    register("format_type", (t.OID, t.INT4), t.TEXT, "hd_format_type({0}, {1})")
    register("pg_get_userbyid", (t.OID,), t.NAME, "hd_pg_get_userbyid({0})")
    register(
        "pg_get_viewdef", (t.REGCLASS, ANY), t.TEXT, "hd_pg_get_viewdef({0}, {1} IS NULL)", least=1, fills=("TRUE",)
    )
    register("pg_get_function_result", (t.OID,), t.TEXT, "hd_pg_get_function_result({0})")
    register("pg_get_function_arguments", (t.OID,), t.TEXT, "hd_pg_get_function_arguments({0})")
    register("pg_get_function_identity_arguments", (t.OID,), t.TEXT, "hd_pg_get_function_arguments({0})")
    for kind, oid in (
        ("regclass", t.REGCLASS),
        ("regtype", t.REGTYPE),
        ("regproc", t.REGPROC),
        ("regnamespace", t.REGNAMESPACE),
        ("regrole", t.REGROLE),
    ):
        register("to_" + kind, (t.TEXT,), oid, f"hd_to_{kind}({{0}})")


def _texts() -> None:
    """Text, number and array functions that DuckDB has too."""
    text, int4, int8 = t.TEXT, t.INT4, t.INT8
    for name in ("lower", "upper", "reverse", "md5"):
        register(name, (text,), text, name + "({0})")
    register("quote_ident", (text,), text, "hd_quote_ident({0})")
    register("quote_literal", (ANY,), text, "hd_quote_literal(CAST({0} AS VARCHAR))")
    register("quote_nullable", (ANY,), text, "coalesce(hd_quote_literal(CAST({0} AS VARCHAR)), 'NULL')")
    for name in ("length", "char_length", "character_length"):
        register(name, (text,), int4, "CAST(length({0}) AS INTEGER)")
    register("octet_length", (text,), int4, "CAST(strlen({0}) AS INTEGER)")
    register("strpos", (text, text), int4, "CAST(instr({0}, {1}) AS INTEGER)")
    register("position", (text, text), int4, "CAST(instr({0}, {1}) AS INTEGER)")
    register("starts_with", (text, text), t.BOOL, "starts_with({0}, {1})")
    register("left", (text, int4), text, "left({0}, {1})")
    register("right", (text, int4), text, "right({0}, {1})")
    register("replace", (text, text, text), text, "replace({0}, {1}, {2})")
    register("split_part", (text, text, int4), text, "split_part({0}, {1}, {2})")
    register("translate", (text, text, text), text, "translate({0}, {1}, {2})")
    register("ascii", (text,), int4, "ascii({0})")
    register(
        "regexp_replace", (text, text, text, text), text, "regexp_replace({0}, {1}, {2}, {3})", least=3, fills=("''",)
    )
    register(
        "string_to_array",
        (text, text),
        t.TEXT_ARRAY,
        "(CASE WHEN {0} = '' THEN CAST([] AS VARCHAR[]) ELSE string_split({0}, {1}) END)",
    )
    register("parse_ident", (text, t.BOOL), t.TEXT_ARRAY, "hd_parse_ident({0}, {1})", least=1, fills=("TRUE",))
    register("pg_size_pretty", (int8,), text, "hd_pg_size_pretty({0})")
    register("json_array_length", (t.JSON,), int4, "CAST(json_array_length({0}) AS INTEGER)")
    for name in ("substr", "substring"):
        register(
            name, (text, int4, int4), text, "hd_pg_substr({0}, {1}, {2})", least=2, fills=("CAST(NULL AS INTEGER)",)
        )
    for name in ("btrim", "ltrim", "rtrim"):
        register(name, (text, text), text, {"btrim": "trim"}.get(name, name) + "({0}, {1})", least=1, fills=("' '",))
    for name in ("floor", "ceil", "ceiling", "sqrt", "ln", "exp"):
        register(name, (t.FLOAT8,), t.FLOAT8, name + "({0})")
    for name in ("now", "transaction_timestamp", "statement_timestamp", "clock_timestamp", "current_timestamp"):
        register(name, (), t.TIMESTAMPTZ, "now()")
    register("current_date", (), t.DATE, "current_date")
    register("localtimestamp", (), t.TIMESTAMP, "CAST(now() AS TIMESTAMP)")
    register("date_part", (text, t.TIMESTAMPTZ), t.FLOAT8, "CAST(date_part({0}, {1}) AS DOUBLE)")
    register("extract", (text, t.TIMESTAMPTZ), t.NUMERIC, "CAST(date_part({0}, {1}) AS DECIMAL(38,9))")
    register("date_trunc", (text, t.TIMESTAMPTZ), t.TIMESTAMPTZ, "date_trunc({0}, {1})")
    register("_pg_truetypid", (t.OID,), t.OID, "{0}")


def _privileges() -> None:
    """has_*_privilege: reading is granted on what is visible, nothing else is."""
    readable = {
        "has_table_privilege": (t.REGCLASS, "SELECT"),
        "has_any_column_privilege": (t.REGCLASS, "SELECT"),
        "has_schema_privilege": (t.REGNAMESPACE, "USAGE"),
        "has_database_privilege": (ANY, "CONNECT"),
        "has_function_privilege": (ANY, "EXECUTE"),
        "has_type_privilege": (t.REGTYPE, "USAGE"),
        "has_language_privilege": (ANY, "USAGE"),
        "has_sequence_privilege": (t.REGCLASS, "SELECT"),
        "has_tablespace_privilege": (ANY, ""),
        "has_server_privilege": (ANY, ""),
        "has_foreign_data_wrapper_privilege": (ANY, ""),
    }
    for name, (kind, privilege) in readable.items():
        FUNCTIONS[name] = _privilege(kind, privilege, 1)
    FUNCTIONS["has_column_privilege"] = _privilege(t.REGCLASS, "SELECT", 2)
    FUNCTIONS["pg_has_role"] = _privilege(ANY, "USAGE|MEMBER", 1)


def _privilege(kind: int, granted: str, objects: int) -> Handler:
    pattern = quoted(rf"(?i)(^|,)\s*({granted})\s*(,|$)") if granted else quoted(r"$^x")

    def handler(builder: Builder, node: Call, scope: Scope) -> Value:
        plain_call(node)
        given = list(node.arguments)
        if len(given) == objects + 2:
            builder.typed(given.pop(0), scope)
        if len(given) != objects + 1:
            raise unknown_call(node)
        first = argument(builder, given[0], scope, kind)
        rest = [builder.typed(a, scope) for a in given[1:]]
        test = f"regexp_matches({rest[-1].sql}, {pattern})"
        return Value(f"(CASE WHEN {first.sql} IS NOT NULL THEN {test} END)", t.BOOL)

    return handler


_constants()
_catalog_backed()
_texts()
_privileges()


# ---------------------------------------------------------------- the session


def _session(slot: str, kind: int) -> Handler:
    def handler(builder: Builder, node: Call, _: Scope) -> Value:
        plain_call(node)
        if node.arguments:
            raise unknown_call(node)
        return Value(f"CAST({builder.slot(slot)} AS {t.duck(kind)})", kind)

    return handler


for _name, _slot, _kind in (
    ("current_user", "user", t.NAME),
    ("session_user", "user", t.NAME),
    ("user", "user", t.NAME),
    ("current_role", "user", t.NAME),
    ("current_database", "database", t.NAME),
    ("current_catalog", "database", t.NAME),
    ("current_schema", "schema", t.NAME),
    ("version", "version", t.TEXT),
    ("pg_backend_pid", "backend_pid", t.INT4),
    ("pg_postmaster_start_time", "started", t.TIMESTAMPTZ),
):
    FUNCTIONS[_name] = _session(_slot, _kind)


@special("pg_table_is_visible")
def _table_is_visible(builder: Builder, node: Call, scope: Scope) -> Value:
    plain_call(node)
    if len(node.arguments) != 1:
        raise unknown_call(node)
    value = argument(builder, node.arguments[0], scope, t.OID)
    return Value(f"hd_pg_table_is_visible({value.sql}, CAST({builder.slot('schema')} AS VARCHAR))", t.BOOL)


@special("current_schemas")
def _current_schemas(builder: Builder, node: Call, scope: Scope) -> Value:
    plain_call(node)
    if len(node.arguments) != 1:
        raise unknown_call(node)
    implicit = builder.typed(node.arguments[0], scope, t.BOOL)
    path = f"list_filter([CAST({builder.slot('schema')} AS VARCHAR)], lambda p: p IS NOT NULL)"
    return Value(f"(CASE WHEN {implicit.sql} THEN list_concat(['pg_catalog'], {path}) ELSE {path} END)", t.NAME_ARRAY)


def settings_map(builder: Builder) -> str:
    """The session's settings as a DuckDB map."""
    names, values = builder.slot("setting_names"), builder.slot("setting_values")
    return f"map(CAST({names} AS VARCHAR[]), CAST({values} AS VARCHAR[]))"


@special("current_setting")
def _current_setting(builder: Builder, node: Call, scope: Scope) -> Value:
    plain_call(node)
    if not 1 <= len(node.arguments) <= 2:
        raise unknown_call(node)
    name = builder.typed(node.arguments[0], scope)
    missing = builder.typed(node.arguments[1], scope, t.BOOL).sql if len(node.arguments) == 2 else "FALSE"
    held = f"map_extract_value({settings_map(builder)}, lower({name.sql}))"
    return Value(f"hd_setting_or_refuse({held}, {missing})", t.TEXT)


@special("set_config")
def _set_config(builder: Builder, node: Call, scope: Scope) -> Value:
    plain_call(node)
    if len(node.arguments) != 3:
        raise unknown_call(node)
    name, value, local = node.arguments
    text = builder.typed(value, scope)
    fixed = isinstance(name, Literal) and name.kind == "string" and isinstance(local, Literal)
    untyped = builder.translate(value, scope)
    if not (isinstance(name, Literal) and isinstance(local, Literal) and fixed) or scope.sources or scope.parent:
        return Value(f"hd_refuse_set_config({builder.typed(name, scope).sql}, {text.sql})", t.TEXT)
    if isinstance(value, Parameter):
        wanted: str | int | None = value.number
    elif untyped.literal is not None or untyped.null:
        wanted = untyped.literal
    else:
        raise StatementRefused("set_config takes a constant or a parameter.")
    builder.setting_writes.append(SettingWrite(name.text.lower(), wanted, local.text in ("true", "t", "on", "1")))
    return Value(text.sql, t.TEXT)


# ---------------------------------------------------------------- alternatives


@special("coalesce", "greatest", "least")
def _coalesce(builder: Builder, node: Call, scope: Scope) -> Value:
    plain_call(node)
    if not node.arguments:
        raise unknown_call(node)
    values = builder.unify([builder.translate(a, scope) for a in node.arguments])
    return Value(f"{node.name[-1]}({', '.join(v.sql for v in values)})", values[0].type)


@special("nullif")
def _nullif(builder: Builder, node: Call, scope: Scope) -> Value:
    plain_call(node)
    if len(node.arguments) != 2:
        raise unknown_call(node)
    first = builder.typed(node.arguments[0], scope)
    test = builder.compare("=", first, builder.translate(node.arguments[1], scope))
    return replace(first, sql=f"(CASE WHEN {test} THEN NULL ELSE {first.sql} END)")


@special("concat")
def _concat(builder: Builder, node: Call, scope: Scope) -> Value:
    plain_call(node)
    texts = [cast(builder.typed(a, scope), t.TEXT).sql for a in node.arguments]
    return Value(f"concat({', '.join(texts)})" if texts else "''", t.TEXT)


@special("concat_ws")
def _concat_ws(builder: Builder, node: Call, scope: Scope) -> Value:
    plain_call(node)
    if len(node.arguments) < 2:
        raise unknown_call(node)
    texts = [cast(builder.typed(a, scope), t.TEXT).sql for a in node.arguments]
    return Value(f"concat_ws({', '.join(texts)})", t.TEXT)


@special("format")
def _format(builder: Builder, node: Call, scope: Scope) -> Value:
    plain_call(node)
    if not node.arguments or not isinstance(node.arguments[0], Literal) or node.arguments[0].kind != "string":
        raise StatementRefused("format() takes a constant format in catalog queries.")
    pieces, arguments = [], list(node.arguments[1:])
    text = node.arguments[0].text
    while "%" in text:
        before, _, text = text.partition("%")
        pieces.append(quoted(before))
        kind, text = text[:1], text[1:]
        if kind == "%":
            pieces.append("'%'")
            continue
        if kind not in ("s", "I", "L") or not kind or not arguments:
            raise StatementRefused("format() takes %s, %I and %L in catalog queries.")
        value = cast(builder.typed(arguments.pop(0), scope), t.TEXT).sql
        pieces.append(
            {
                "s": f"coalesce({value}, '')",
                "I": f"hd_quote_ident({value})",
                "L": f"coalesce(hd_quote_literal({value}), 'NULL')",
            }[kind]
        )
    return Value("(" + " || ".join([*pieces, quoted(text)]) + ")", t.TEXT)


@special("pg_typeof")
def _pg_typeof(builder: Builder, node: Call, scope: Scope) -> Value:
    plain_call(node)
    if len(node.arguments) != 1:
        raise unknown_call(node)
    value = builder.translate(node.arguments[0], scope)
    return Value(f"CAST({t.UNKNOWN if value.untyped else value.type} AS BIGINT)", t.REGTYPE)


@special("abs", "round", "trunc", "sign", "mod")
def _numbers(builder: Builder, node: Call, scope: Scope) -> Value:
    plain_call(node)
    name = node.name[-1]
    values = [builder.typed(a, scope, t.INT4) for a in node.arguments]
    if len(values) != (2 if name == "mod" else 1) or any(v.type not in t.NUMBERS for v in values):
        raise unknown_call(node)
    kind = max((v.type for v in values), key=t.PROMOTION.index)
    if name in ("round", "trunc") and kind in t.INTEGERS:
        kind = t.FLOAT8
    text = f"{name}({', '.join(v.sql for v in values)})"
    return Value(text if kind == t.NUMERIC else f"CAST({text} AS {t.duck(kind)})", kind)


@special("json_build_object", "jsonb_build_object")
def _json_build_object(builder: Builder, node: Call, scope: Scope) -> Value:
    plain_call(node)
    if len(node.arguments) % 2:
        raise unknown_call(node)
    texts = [builder.typed(a, scope).sql for a in node.arguments]
    return Value(f"CAST(json_object({', '.join(texts)}) AS VARCHAR)", t.JSON)
