"""A key's sessions see, cancel and end each other; of any other key's they are told nothing. Over the real port."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import psycopg
import pytest

from tests.support.stack import Stack
from tests.support.waiting import until

PIDS = "select pid from pg_stat_activity where pid <> pg_backend_pid() order by pid"


class Sleeper:
    """A session of ana's that sleeps in a thread of its own."""

    def __init__(self, stack: Stack) -> None:
        self.error: psycopg.Error | None = None
        self.connection = stack.connect(stack.keys["ana"], application_name="sleeper")
        self.pid = self.connection.info.backend_pid
        self._thread = threading.Thread(target=self._sleep)
        self._thread.start()

    def _sleep(self) -> None:
        try:
            self.connection.execute("select pg_sleep(30)")
        except psycopg.Error as error:
            self.error = error

    def ended(self) -> psycopg.Error | None:
        self._thread.join(20)
        assert not self._thread.is_alive()
        return self.error

    def close(self) -> None:
        self.connection.cancel_safe()
        self._thread.join(20)
        self.connection.close()


@pytest.fixture
def sleeper(stack: Stack) -> Iterator[Sleeper]:
    made = Sleeper(stack)
    try:
        yield made
    finally:
        made.close()


def busy(connection: psycopg.Connection, pid: int) -> bool:
    row = connection.execute("select state from pg_stat_activity where pid = %s", (pid,)).fetchone()
    return row is not None and row[0] == "active"


def test_a_key_sees_its_own_sessions_and_no_others(stack: Stack):
    with (
        stack.connect(stack.keys["ana"], application_name="one") as one,
        stack.connect(stack.keys["adm"]) as other,
        stack.connect(stack.keys["ana"], application_name="two") as two,
    ):
        one.autocommit = False
        one.execute("select 1")
        shown = two.execute(
            "select pid, application_name, state, usename, host(client_addr) from pg_stat_activity order by 2"
        ).fetchall()
        user = "ana@acme.example"
        assert [row for row in shown if row[1] in ("one", "two")] == [
            (one.info.backend_pid, "one", "idle in transaction", user, "127.0.0.1"),
            (two.info.backend_pid, "two", "active", user, "127.0.0.1"),
        ]
        assert other.info.backend_pid not in {row[0] for row in shown}
        joined = "select count(*) from pg_stat_ssl join pg_stat_activity using (pid) where ssl"
        assert two.execute(joined).fetchone() == (len(shown),)


def test_pg_cancel_backend_stops_a_statement_and_the_session_lives(stack: Stack, sleeper: Sleeper):
    with stack.connect(stack.keys["ana"]) as connection:
        until(lambda: busy(connection, sleeper.pid))
        assert connection.execute("select pg_cancel_backend(%s)", (sleeper.pid,)).fetchone() == (True,)
        error = sleeper.ended()
        assert isinstance(error, psycopg.errors.QueryCanceled)
        assert "due to user request" in str(error)
        assert sleeper.connection.execute("select 1").fetchone() == (1,)


def test_pg_terminate_backend_ends_sessions_found_in_pg_stat_activity(stack: Stack, sleeper: Sleeper):
    with stack.connect(stack.keys["ana"]) as connection:
        until(lambda: busy(connection, sleeper.pid))
        ended = connection.execute(
            "select pid, pg_terminate_backend(pid) from pg_stat_activity"
            " where pid <> pg_backend_pid() and application_name = 'sleeper'"
        ).fetchall()
        assert ended == [(sleeper.pid, True)]
        error = sleeper.ended()
        assert isinstance(error, psycopg.errors.AdminShutdown)
        assert "terminating connection due to administrator command" in str(error)
        until(lambda: (sleeper.pid,) not in connection.execute(PIDS).fetchall())


@pytest.mark.parametrize("function", ["pg_cancel_backend", "pg_terminate_backend"])
def test_sessions_of_others_are_as_if_they_were_not(stack: Stack, function: str):
    with stack.connect(stack.keys["ana"]) as asker:
        notices: list[tuple[str | None, str | None]] = []
        asker.add_notice_handler(lambda told: notices.append((told.sqlstate, told.message_primary)))
        for key in ("adm", "gil", "narrow"):
            with stack.connect(stack.keys[key]) as other:
                pid = other.info.backend_pid
                assert asker.execute(f"select {function}(%s)", (pid,)).fetchone() == (False,)
                assert other.execute("select 1").fetchone() == (1,)
            assert asker.execute(f"select {function}({pid})").fetchone() == (False,)  # now it is gone indeed
            assert notices[-2] == notices[-1] == ("01000", f"PID {pid} is not a PostgreSQL server process")


def test_a_session_cancels_and_ends_itself(stack: Stack):
    with stack.connect(stack.keys["ana"]) as connection:
        with pytest.raises(psycopg.errors.QueryCanceled):
            connection.execute("select pg_cancel_backend(pg_backend_pid())")
        assert connection.execute("select pg_cancel_backend(null)").fetchone() == (None,)
        with pytest.raises(psycopg.errors.AdminShutdown):
            connection.execute("select pg_terminate_backend(pg_backend_pid())")
        assert connection.broken


def test_signals_are_audited_as_a_catalog_statement_and_as_a_request(stack: Stack):
    with stack.connect(stack.keys["ana"]) as one, stack.connect(stack.keys["ana"]) as two:
        pid = one.info.backend_pid
        assert two.execute(f"select pg_cancel_backend({pid})").fetchone() == (True,)
    with stack.connect(stack.keys["adm"]) as admin:
        text = "select statement_kind, status from hatidata_audit.queries where sql like %s"
        asked = (f"%pg_cancel_backend({pid})%",)
        assert until(lambda: admin.execute(text, asked).fetchall()) == [("catalog", "succeeded")]


def test_a_negative_wait_is_refused_and_nothing_is_ended(stack: Stack):
    with stack.connect(stack.keys["ana"]) as one, stack.connect(stack.keys["ana"]) as two:
        with pytest.raises(psycopg.errors.InvalidParameterValue):
            two.execute("select pg_terminate_backend(%s, -1)", (one.info.backend_pid,))
        assert one.execute("select 1").fetchone() == (1,)


def test_a_prepared_statement_tells_of_the_session_as_it_is(stack: Stack):
    with stack.connect(stack.keys["ana"]) as connection:
        asked = "select current_setting('application_name')"
        connection.execute("set application_name = 'before'")
        assert connection.execute(asked, prepare=True).fetchone() == ("before",)
        connection.execute("set application_name = 'after'")
        assert connection.execute(asked, prepare=True).fetchone() == ("after",)
