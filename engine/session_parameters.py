"""The parameters of a session: their names, defaults and values as PostgreSQL 15 takes them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

from engine.encoder.zones import fixed_zone
from engine.refusals import SessionRefused
from engine.session_unused import SWITCHES, VALUES
from engine.wire import sqlstate as s
from governance.principals import DIALECTS

SERVER_VERSION = "15.10"
SERVER_VERSION_NUM = "150010"
VALUE_CHARS_MAX = 1024

Check = Callable[[str], str]
"""A value as the client wrote it -> as it is kept.

Raises:
    ValueError: it is not a value of this parameter.
"""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter. `check` None: it cannot be changed."""

    name: str
    default: str
    check: Check | None = None
    reported: bool = False


def _any(text: str) -> str:
    return text


def _bool(text: str) -> str:
    lowered = text.lower()
    if lowered and (
        ("on".startswith(lowered) and lowered != "o") or "true".startswith(lowered) or lowered in ("yes", "y", "1")
    ):
        return "on"
    if lowered and (
        ("off".startswith(lowered) and lowered != "o") or "false".startswith(lowered) or lowered in ("no", "n", "0")
    ):
        return "off"
    raise ValueError


def _only(*values: str) -> Check:
    def check(text: str) -> str:
        for value in values:
            if text.lower() == value.lower():
                return value
        raise ValueError

    return check


def _only_bool(wanted: str) -> Check:
    def check(text: str) -> str:
        if _bool(text) != wanted:
            raise ValueError
        return wanted

    return check


_DURATION = re.compile(
    r"\s*(0[xX][0-9a-fA-F]{1,8}|\d{1,12}(?:\.\d{1,6})?(?:[eE][+-]?\d{1,2})?)\s*(us|ms|s|min|h|d|)\s*"
)
_UNITS_MS = {"": 1, "us": 0.001, "ms": 1, "s": 1000, "min": 60_000, "h": 3_600_000, "d": 86_400_000}


def duration_ms(text: str) -> int:
    """A time as PostgreSQL takes it (`5000`, `5s`, `1.5 min`), in milliseconds.

    Raises:
        ValueError: it is none.
    """
    found = _DURATION.fullmatch(text)
    if found is None:
        raise ValueError
    number = int(found[1], 16) if found[1][:2].lower() == "0x" else float(found[1])
    amount = number * _UNITS_MS[found[2]]
    if amount > 2_147_483_647:
        raise ValueError
    return round(amount)


def _duration(text: str) -> str:
    amount = duration_ms(text)
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1000)):
        if amount and amount % size == 0:
            return f"{amount // size}{unit}"
    return f"{amount}ms" if amount else "0"


def _integer(low: int, high: int) -> Check:
    def check(text: str) -> str:
        value = int(text, 10) if re.fullmatch(r"\s*[+-]?\d{1,12}\s*", text) else None
        if value is None or not low <= value <= high:
            raise ValueError
        return str(value)

    return check


def _client_encoding(text: str) -> str:
    if re.sub(r"[^a-z0-9]", "", text.lower()) in ("utf8", "unicode"):
        return "UTF8"
    raise ValueError


def _date_style(text: str) -> str:
    """`ISO, MDY`; without an order of fields just `ISO`, which keeps the one there is."""
    words = [word.strip().lower() for word in text.split(",")]
    order = ""
    for word in words:
        if word in ("mdy", "us", "noneuropean"):
            order = "MDY"
        elif word in ("dmy", "european"):
            order = "DMY"
        elif word == "ymd":
            order = "YMD"
        elif word != "iso":
            raise ValueError
    return f"ISO, {order}" if order else "ISO"


def _time_zone(text: str) -> str:
    if text.upper() in ("UTC", "GMT", "ZULU", "ETC/UTC", "Z", "LOCAL", "DEFAULT"):
        return "UTC"
    offset = fixed_zone(text)
    if offset is not None:
        return offset
    if not re.fullmatch(r"[A-Za-z0-9_+\-/]{1,64}", text):
        raise ValueError
    try:
        return ZoneInfo(text).key
    except (OSError, KeyError):
        pass
    try:
        return _zones()[text.lower()]
    except KeyError:
        raise ValueError from None


@cache
def _zones() -> dict[str, str]:
    """Zones by their names in lower case."""
    return {name.lower(): name for name in available_timezones()}


_PATH = frozenset({"$user", "main", "public", "pg_catalog"})
"""Schemas that a search path may name: one is where names resolve, the others are those of a fresh PostgreSQL."""
_PATH_CHARS_MAX = 200


def _search_path(text: str) -> str:
    """The default, by any of its names, and the empty value: names resolve in one place, and a path would move it."""
    plain = re.sub(r"\s", "", text).lower()
    if plain in ("", '""', "''"):
        return '""'
    if len(plain) <= _PATH_CHARS_MAX and {name.strip("\"'") for name in plain.split(",")} <= _PATH:
        return '"$user", public'
    raise ValueError


DIALECT = "hatidata.dialect"
"""The SQL dialect that statements are written in; the key's own until SET."""
_ISOLATION = _only("read committed", "repeatable read", "serializable", "read uncommitted")

PARAMETERS: Mapping[str, Parameter] = {
    parameter.name.lower(): parameter
    for parameter in (
        *(Parameter(name, default, _bool) for name, default in SWITCHES.items()),
        *(Parameter(name, default, _any) for name, default in VALUES.items()),
        Parameter("application_name", "", _any, reported=True),
        Parameter("client_encoding", "UTF8", _client_encoding, reported=True),
        Parameter("DateStyle", "ISO, MDY", _date_style, reported=True),
        Parameter("default_transaction_read_only", "off", _bool, reported=True),
        Parameter("in_hot_standby", "off", reported=True),
        Parameter("integer_datetimes", "on", reported=True),
        Parameter("IntervalStyle", "postgres", _only("postgres", "iso_8601"), reported=True),
        Parameter("is_superuser", "off", reported=True),
        Parameter("server_encoding", "UTF8", reported=True),
        Parameter("server_version", SERVER_VERSION, reported=True),
        Parameter("session_authorization", "", reported=True),
        Parameter("standard_conforming_strings", "on", _only_bool("on"), reported=True),
        Parameter("TimeZone", "UTC", _time_zone, reported=True),
        Parameter("backslash_quote", "safe_encoding", _any),
        Parameter("block_size", "8192"),
        Parameter("bytea_output", "hex", _only("hex", "escape")),
        Parameter("check_function_bodies", "on", _bool),
        Parameter(
            "client_min_messages",
            "notice",
            _only("debug5", "debug4", "debug3", "debug2", "debug1", "log", "notice", "warning", "error"),
        ),
        Parameter("constraint_exclusion", "partition", _any),
        Parameter("cursor_tuple_fraction", "0.1", _any),
        Parameter("data_checksums", "on"),
        Parameter("default_statistics_target", "100", _any),
        Parameter("default_tablespace", "", _only("")),
        Parameter("default_table_access_method", "heap", _only("heap")),
        Parameter("default_transaction_deferrable", "off", _bool),
        Parameter("default_transaction_isolation", "read committed", _ISOLATION),
        Parameter("escape_string_warning", "on", _bool),
        Parameter("extra_float_digits", "1", _integer(-15, 3)),
        Parameter("geqo", "on", _bool),
        Parameter("idle_in_transaction_session_timeout", "0", _duration),
        Parameter("idle_session_timeout", "0", _duration),
        Parameter("jit", "off", _bool),
        Parameter("lc_collate", "C"),
        Parameter("lc_ctype", "C"),
        Parameter("lc_messages", "C", _any),
        Parameter("lc_monetary", "C", _any),
        Parameter("lc_numeric", "C", _any),
        Parameter("lc_time", "C", _any),
        Parameter("lock_timeout", "0", _duration),
        Parameter("max_identifier_length", "63"),
        Parameter("max_index_keys", "32"),
        Parameter("quote_all_identifiers", "off", _bool),
        Parameter("row_security", "on", _bool),
        Parameter("search_path", '"$user", public', _search_path),
        Parameter("server_version_num", SERVER_VERSION_NUM),
        Parameter("ssl", "on"),
        Parameter("statement_timeout", "0", _duration),
        Parameter("synchronize_seqscans", "on", _bool),
        Parameter("synchronous_commit", "on", _any),
        Parameter("tcp_keepalives_idle", "0", _integer(0, 2**31 - 1)),
        Parameter("tcp_keepalives_interval", "0", _integer(0, 2**31 - 1)),
        Parameter("tcp_keepalives_count", "0", _integer(0, 2**31 - 1)),
        Parameter("transaction_deferrable", "off", _bool),
        Parameter("transaction_isolation", "read committed", _ISOLATION),
        Parameter("transaction_read_only", "off", _bool),
        Parameter("wal_level", "replica"),
        Parameter("work_mem", "4MB", _any),
        Parameter("xmloption", "content", _any),
        Parameter(DIALECT, "duckdb", _only(*DIALECTS)),
    )
}

CUSTOM = re.compile(r"[A-Za-z_][A-Za-z0-9_$]*(?:\.[A-Za-z_][A-Za-z0-9_$]*)+")
LISTS = frozenset({"search_path", "datestyle"})
"""Parameters that take several values."""
_ALIASES = {"timezone": "timezone", "time zone": "timezone", "transaction isolation level": "transaction_isolation"}


def fold(name: str) -> str:
    """A parameter's name as it is looked up."""
    lowered = name.lower()
    return _ALIASES.get(lowered, lowered)


def unknown(name: str) -> SessionRefused:
    """42704, as PostgreSQL says it."""
    shown = re.sub(r"[^A-Za-z0-9_.$ ]", "?", name[:64])
    return SessionRefused(s.UNDEFINED_OBJECT, f'unrecognized configuration parameter "{shown}"')


_OURS = frozenset({"hatidata.agent_id", "hatidata.agent_framework"})


def check(name: str, value: str) -> tuple[str, str]:
    """A parameter's folded name and the value as it is kept.

    Raises:
        SessionRefused: unknown (42704), fixed (55P02) or not its value (22023).
    """
    key = fold(name)
    parameter = PARAMETERS.get(key)
    if len(value) > VALUE_CHARS_MAX or "\0" in value:
        raise SessionRefused(s.INVALID_PARAMETER_VALUE, "The parameter's value is too long.")
    if parameter is None:
        if key.startswith("hatidata.") and key not in _OURS:
            raise unknown(name)
        if CUSTOM.fullmatch(name) and len(name) <= 63:
            return key, value
        raise unknown(name)
    if parameter.check is None:
        raise SessionRefused(s.CANNOT_CHANGE_RUNTIME_PARAMETER, f'parameter "{parameter.name}" cannot be changed')
    try:
        return key, parameter.check(value)
    except ValueError:
        raise SessionRefused(
            s.INVALID_PARAMETER_VALUE,
            f'invalid value for parameter "{parameter.name}"',
            advice=_ADVICE.get(key, ""),
        ) from None


_ADVICE = {
    DIALECT: "Write duckdb, postgres or snowflake.",
    "search_path": "Only the default search_path is offered; write schema.table.",
    "client_encoding": "Only UTF8 is offered.",
    "datestyle": "Only ISO is offered.",
    "intervalstyle": "postgres and iso_8601 are offered.",
    "standard_conforming_strings": "Only on is offered.",
}


def shown_name(name: str) -> str:
    """A parameter's proper spelling, for SHOW's column."""
    parameter = PARAMETERS.get(fold(name))
    return parameter.name if parameter else name
