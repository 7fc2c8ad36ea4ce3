"""Session parameters as PostgreSQL 15 keeps them."""

from __future__ import annotations

import pytest

from engine.refusals import SessionRefused
from engine.session_parameters import PARAMETERS, duration_ms
from engine.session_settings import SessionSettings


def test_set_show_reset() -> None:
    settings = SessionSettings({"application_name": "psql"})
    assert settings.set("application_name", "x") == "x"
    assert settings.reset("application_name") == "psql"
    assert settings.set("statement_timeout", "90000") is None
    assert settings.get("statement_timeout") == "90s"
    assert settings.duration_s("statement_timeout") == 90


@pytest.mark.parametrize(
    ("name", "value", "sqlstate"),
    [
        ("search_path", "secret", "22023"),
        ("client_encoding", "LATIN1", "22023"),
        ("no_such_thing", "1", "42704"),
        ("server_version", "16", "55P02"),
        ("statement_timeout", "-1", "22023"),
        ("TimeZone", "../../etc/passwd", "22023"),
        ("TimeZone", "Nowhere/Atall", "22023"),
        ("IntervalStyle", "sql_standard", "22023"),
        ("standard_conforming_strings", "off", "22023"),
        ("application_name", "x" * 5000, "22023"),
    ],
)
def test_refused(name: str, value: str, sqlstate: str) -> None:
    with pytest.raises(SessionRefused) as caught:
        SessionSettings().set(name, value)
    assert caught.value.sqlstate == sqlstate


@pytest.mark.parametrize("value", ['"$user", public', "", '""', "main", "main, public", 'pg_catalog,"$user", main'])
def test_search_path_is_the_default_or_empty(value: str) -> None:
    SessionSettings().set("search_path", value)


def test_rollback_takes_set_back_and_local_ends_with_its_transaction() -> None:
    settings = SessionSettings()
    settings.begin()
    settings.set("application_name", "a")
    assert settings.end(commit=False) == {"application_name": ""}
    settings.begin()
    settings.set("application_name", "kept")
    settings.set("application_name", "local", local=True)
    assert settings.end(commit=True) == {"application_name": "kept"}
    assert settings.get("application_name") == "kept"


@pytest.mark.parametrize(("text", "ms"), [("0", 0), ("250", 250), ("5s", 5000), ("1.5 min", 90000), ("1h", 3600000)])
def test_durations(text: str, ms: int) -> None:
    assert duration_ms(text) == ms


@pytest.mark.parametrize(("name", "value"), [("hatidata.dialect", "oracle"), ("hatidata.role", "owner")])
def test_our_own_parameters_are_refused_when_they_would_do_nothing(name: str, value: str) -> None:
    with pytest.raises(SessionRefused):
        SessionSettings().set(name, value)


def test_the_dialect_is_the_keys_until_it_is_set_and_again_after_reset() -> None:
    settings = SessionSettings({"hatidata.dialect": "snowflake"})
    assert settings.get("hatidata.dialect") == "snowflake"
    assert settings.set("HATIDATA.DIALECT", "Postgres") is None
    assert settings.get("hatidata.dialect") == "postgres"
    settings.reset("hatidata.dialect")
    assert settings.get("hatidata.dialect") == "snowflake"


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("america/new_york", "America/New_York"),
        ("5", "<+05>-05"),
        ("-3.5", "<-03:30>+03:30"),
        ("+02:00", "+02:00"),
        ("UTC+3", "UTC+3"),
        ("0", "UTC"),
    ],
)
def test_time_zones_are_places_or_offsets(written: str, kept: str) -> None:
    assert SessionSettings().set("TimeZone", written) == kept


def test_a_date_style_without_an_order_keeps_the_one_there_is() -> None:
    settings = SessionSettings()
    settings.set("DateStyle", "ISO, DMY")
    assert settings.set("DateStyle", "ISO") == "ISO, DMY"


def test_a_savepoint_takes_back_what_was_set_behind_it() -> None:
    settings = SessionSettings()
    settings.begin()
    settings.set("application_name", "local", local=True)
    mark = settings.mark()
    settings.set("application_name", "behind")
    assert settings.back_to(mark) == {"application_name": "local"}
    assert settings.end(commit=True) == {"application_name": ""}


def test_only_what_changes_is_reported() -> None:
    settings = SessionSettings()
    settings.set("TimeZone", "UTC")
    settings.set("application_name", "a")
    settings.set("my.own", "1")
    assert settings.reset_all() == {"application_name": ""}
    assert settings.get("my.own") == ""


def test_a_transactions_modes_are_the_defaults_until_it_says_otherwise() -> None:
    settings = SessionSettings()
    settings.set("default_transaction_isolation", "serializable")
    assert settings.get("transaction_isolation") == "serializable"


def test_what_tools_set_out_of_habit_is_kept_and_shown() -> None:
    settings = SessionSettings()
    for name, value in (("enable_seqscan", "off"), ("max_parallel_workers_per_gather", "0"), ("work_mem", "64MB")):
        settings.set(name, value)
        assert settings.get(name) == value
    settings.set("app.user", "5")
    pairs = dict(settings.pairs())
    assert pairs["app.user"] == "5"
    assert pairs.keys() == PARAMETERS.keys() | {"app.user"}
