"""Which statements the catalog answers: they read system relations only, or none and call PostgreSQL's functions."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, fields, is_dataclass
from functools import lru_cache

from engine.catalog.emulation import types as t
from engine.catalog.emulation.lexer import tokens
from engine.catalog.emulation.query_grammar import CACHED_CHARS_MAX, parse
from engine.catalog.emulation.tree import Binary, Call, Cast, Common, FunctionRef, Query, TableRef
from engine.catalog.emulation.words import words
from governance.errors import Refusal

SCHEMAS = ("pg_catalog", "information_schema")
_SESSION_FUNCTIONS = words(
    "version current_schema current_schemas current_database current_catalog current_user session_user user "
    "current_role current_setting set_config format_type obj_description col_description shobj_description "
    "txid_current acldefault getdatabaseencoding row_security_active inet_server_addr inet_server_port "
    "inet_client_addr inet_client_port quote_ident quote_literal quote_nullable parse_ident to_regclass to_regtype "
    "to_regproc to_regnamespace to_regrole _pg_expandarray "
)
_JSON_FUNCTIONS = words(
    "json_agg json_object_agg json_build_object json_build_array json_array_elements json_array_elements_text "
    "json_each_text json_object_keys json_typeof json_strip_nulls json_to_record json_to_recordset to_jsonb #> #>> "
)
"""PostgreSQL's alone: DuckDB has none of these functions and operators, nor any that begins with `jsonb_`."""
_PREFIXES = ("pg_", "has_", "jsonb_")
_TYPES = frozenset({t.OID, t.NAME, t.XID, *t.REG_TYPES})
_CAST = r"(?:pg_catalog\s*\.\s*)?\"?(?:oid|name|xid|reg[a-z]+)\b"
_HINT = re.compile(
    r"\bpg_|information_schema|\bcurrent_(?:schema|database|catalog|user|role|setting)|\bsession_user\b|\buser\b"
    r"|\bversion\s*\(|\bset_config\b|\bhas_|_description\s*\(|\bformat_type\b|\bto_reg|\btxid_|\binet_|\bquote_(?:ident|literal|nullable)\b"
    r"|#>|\b(?:to_)?jsonb|\bjson_(?:agg|object_agg|build|array_elements|each_text|object_keys|typeof|strip_nulls|to_record)"
    rf"|\bparse_ident\b|\brow_security|\bgetdatabaseencoding\b|\bacldefault\b|::\s*{_CAST}|\bas\s+{_CAST}|\breg[a-z]+\s*'",
    re.IGNORECASE,
)
"""A cheap look before parsing: a text without any of these is no catalog query."""


@dataclass(slots=True)
class _Mentions:
    tables: list[tuple[str, ...]] = field(default_factory=list)
    functions: set[str] = field(default_factory=set)
    types: set[str] = field(default_factory=set)


def _children(node: object) -> Iterator[object]:
    if isinstance(node, tuple):
        yield from node
    elif is_dataclass(node):
        for each in fields(node):
            yield getattr(node, each.name)


def _walk(node: object, commons: frozenset[str], found: _Mentions) -> None:
    if isinstance(node, Query):
        commons |= {common.name for common in node.commons}
    if isinstance(node, TableRef):
        if not (len(node.parts) == 1 and node.parts[0] in commons):
            found.tables.append(node.parts)
        return
    if isinstance(node, Common):
        _walk(node.query, commons, found)
        return
    if isinstance(node, FunctionRef):
        found.functions.add(node.call.name[-1])
    elif isinstance(node, Call):
        found.functions.add(node.name[-1])
    elif isinstance(node, Binary):
        found.functions.add(node.operator)
    elif isinstance(node, Cast):
        found.types.add(node.type.name[-1])
    for child in _children(node):
        if isinstance(child, tuple) or is_dataclass(child):
            _walk(child, commons, found)


def _of_catalog(parts: tuple[str, ...]) -> bool:
    if len(parts) > 1:
        return parts[-2] in SCHEMAS
    return parts[0].startswith("pg_")


def _session_function(name: str) -> bool:
    return name in _SESSION_FUNCTIONS or name in _JSON_FUNCTIONS or name.startswith(_PREFIXES)


def _reads_catalog_though_unparsed(text: str) -> bool:
    """Whether a text this room cannot parse still names a system relation in FROM: then its refusal is ours."""
    try:
        found = tokens(text)
    except Refusal:
        return False
    if not found or found[0].text not in ("select", "with", "values", "("):
        return False
    for place, token in enumerate(found[:-1]):
        if token.kind == "name" and token.text in ("from", "join"):
            following = found[place + 1]
            if following.kind in ("name", "quoted") and (following.text in SCHEMAS or following.text.startswith("pg_")):
                return True
    return False


def is_catalog_query(text: str) -> bool:
    """Whether this room answers `text`.

    It does when every relation it names is a system relation, or it names none and calls a function of the session or
    of PostgreSQL's JSON. A text that mixes user tables with system relations is not; nor is one that is not a query.
    """
    return _kept(text) if len(text) <= CACHED_CHARS_MAX else _recognized(text)


def _recognized(text: str) -> bool:
    if not _HINT.search(text):
        return False
    found = _Mentions()
    try:
        _walk(parse(text), frozenset(), found)
    except (Refusal, RecursionError):
        return _reads_catalog_though_unparsed(text)
    if found.tables:
        return all(_of_catalog(parts) for parts in found.tables)
    if any(_session_function(name) for name in found.functions):
        return True
    known = t.types_by_name()
    return any(name in known and known[name].oid in _TYPES for name in found.types)


_kept = lru_cache(maxsize=2048)(_recognized)
