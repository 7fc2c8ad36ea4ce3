"""A session: both query protocols, transactions, errors, cancel, revocation, slow and vanished clients."""

from __future__ import annotations

import asyncio
import struct
from pathlib import Path
from typing import Any

import pytest

from engine.settings import ConnectionLimits, QueryLimits
from governance.rulebook import Limits
from tests.engine.session.front import front, make_rulebook
from tests.engine.session.raw import SYNC, Raw, bind, cancel, describe, execute, fields, kinds, message, parse, run
from tests.support.waiting import until_async


def test_w5_1_allowed_denied_and_failed_statements_are_audited(tmp_path: Path) -> None:
    async def story() -> None:
        async with front(tmp_path) as f:
            raw = await Raw.login(f)
            assert kinds(await raw.query("select 1")) == "TDCZ"
            assert (await raw.error("rows hidden"))["C"] == "42P01"
            assert (await raw.error("selec 1"))["C"] == "42601"
            assert (await raw.error("rows 200 fail"))["C"] == "22P02"
            assert (await raw.error("LISTEN x"))["C"] == "0A000"
            statuses = {i.sql: o.status for i in f.audit.intents for o in f.audit.outcomes if o.query_id == i.query_id}
            assert statuses == {
                "select 1": "succeeded",
                "rows hidden": "denied",
                "selec 1": "failed",
                "rows 200 fail": "failed",
                "LISTEN x": "failed",
            }
            denied = next(o for o in f.audit.outcomes if o.status == "denied")
            assert denied.error_reason == "cross_organization"
            await raw.close()

    run(story())


def test_nothing_runs_when_the_audit_cannot_take_it(tmp_path: Path) -> None:
    async def story() -> None:
        async with front(tmp_path) as f:
            raw = await Raw.login(f)
            f.audit.broken = True
            assert (await raw.error("select 1"))["C"] == "58030"
            assert f.executor.frames_made == 0
            f.audit.broken = False
            assert kinds(await raw.query("select 1")) == "TDCZ"
            assert f.desk.admission.running == 0
            await raw.close()

    run(story())


def test_simple_queries(tmp_path: Path) -> None:
    async def story() -> None:
        async with front(tmp_path) as f:
            raw = await Raw.login(f)
            assert kinds(await raw.query("")) == "IZ"
            assert kinds(await raw.query(" ; -- nothing\n")) == "IZ"
            assert kinds(await raw.query("select 1; rows 2")) == "TDCTDDCZ"
            assert kinds(await raw.query("select 1; nonsense; select 1")) == "TDCEZ"
            assert kinds(await raw.query("show server_version")) == "TDCZ"
            assert (await raw.error("echo $1"))["C"] == "42P02"
            assert len(f.audit.intents) == len(f.audit.outcomes)
            await raw.close()

    run(story())


def test_extended_queries_errors_skip_to_sync(tmp_path: Path) -> None:
    async def story() -> None:
        async with front(tmp_path) as f:
            raw = await Raw.login(f)
            raw.say(parse("rows 3") + bind() + describe("P") + execute() + SYNC)
            assert kinds(await raw.until_ready()) == "12TDDDCZ"
            raw.say(
                parse("nonsense")
                + bind()
                + describe("P")
                + execute()
                + SYNC
                + parse("select 1")
                + bind()
                + execute()
                + SYNC
            )
            assert kinds(await raw.until_ready()) == "EZ"
            assert kinds(await raw.until_ready()) == "12DCZ"
            raw.say(parse("echo $1", "s") + describe("S", "s") + SYNC)
            heard = await raw.until_ready()
            assert kinds(heard) == "1tTZ"
            assert heard[1][1] == struct.pack("!HI", 1, 23)
            raw.say(parse("select 1", "s") + SYNC)
            assert fields((await raw.until_ready())[0][1])["C"] == "42P05"
            raw.say(bind("", "gone") + SYNC)
            assert fields((await raw.until_ready())[0][1])["C"] == "26000"
            raw.say(execute("gone") + SYNC)
            assert fields((await raw.until_ready())[0][1])["C"] == "34000"
            raw.say(parse("select 1; select 2") + SYNC)
            assert fields((await raw.until_ready())[0][1])["C"] == "42601"
            raw.say(parse("") + bind() + describe("P") + execute() + SYNC)
            assert kinds(await raw.until_ready()) == "12nIZ"
            raw.say(message("F") + parse("select 1") + bind() + execute() + SYNC)
            assert kinds(await raw.until_ready()) == "EZ"
            assert kinds(await raw.until_ready()) == "12DCZ"
            await raw.close()

    run(story())


def test_transactions(tmp_path: Path) -> None:
    async def story() -> None:
        async with front(tmp_path) as f:
            raw = await Raw.login(f)

            async def status(text: str) -> str:
                return (await raw.query(text))[-1][1].decode()

            assert await status("begin") == "T"
            assert kinds(await raw.query("begin")) == "NCZ"
            assert await status("savepoint a") == "T"
            assert await status("nonsense") == "E"
            assert (await raw.error("select 1"))["C"] == "25P02"
            assert await status("rollback to a") == "T"
            assert await status("select 1") == "T"
            assert await status("nonsense") == "E"
            heard = await raw.query("commit")
            assert heard[0] == ("C", b"ROLLBACK\0")
            assert heard[-1][1] == b"I"
            assert kinds(await raw.query("commit")) == "NCZ"
            assert (await raw.error("savepoint a"))["C"] == "25P01"
            await raw.close()

    run(story())


def test_copy_out_is_framed(tmp_path: Path) -> None:
    async def story() -> None:
        async with front(tmp_path) as f:
            raw = await Raw.login(f)
            heard = await raw.query("copy (rows 3) to stdout")
            assert kinds(heard)[0] == "H"
            assert kinds(heard)[-3:] == "cCZ"
            assert heard[-2][1] == b"COPY 3\0"
            assert (await raw.error("copy t from stdin"))["C"] == "25006"
            await raw.close()

    run(story())


@pytest.mark.parametrize("tls", [False, True])
def test_cancel_needs_the_right_secret(tmp_path: Path, tls: bool) -> None:
    async def story() -> None:
        async with front(tmp_path) as f:
            raw = await Raw.login(f)
            raw.say(message("Q", b"rows 1 slow\0"))
            await until_async(lambda: f.executor.running == 1)
            for secret in (b"\0\0\0\0", b"\xff\xff\xff\xff"):
                other = await Raw.plain(f)
                other.say(cancel(raw.process_id, secret))
                assert await other.ended() == b""
                await other.close()
            assert f.executor.running == 1
            other = await (Raw.secure(f) if tls else Raw.plain(f))
            other.say(cancel(raw.process_id, raw.secret))
            assert await other.ended() == b""
            told = fields(dict(await raw.until_ready())["E"])
            assert (told["C"], told["M"]) == ("57014", "canceling statement due to user request")
            assert f.audit.outcomes[-1].status == "cancelled"
            assert kinds(await raw.query("select 1")) == "TDCZ"
            await other.close()
            await raw.close()

    run(story())


def test_a_vanished_client_ends_its_statement(tmp_path: Path) -> None:
    async def story() -> None:
        async with front(tmp_path) as f:
            raw = await Raw.login(f)
            raw.say(message("Q", b"rows 1 slow\0"))
            await until_async(lambda: f.executor.running == 1)
            await raw.close()
            await until_async(lambda: f.executor.running == 0 and f.audit.outcomes)
            assert f.audit.outcomes[-1].status == "client_gone"
            await until_async(lambda: f.server.connections == 0)

    run(story())


def test_a_client_that_never_reads_holds_a_bounded_buffer_and_ends(tmp_path: Path) -> None:
    limits = ConnectionLimits(write_timeout_s=0.5, write_buffer_bytes_max=65536)

    async def story() -> None:
        async with front(tmp_path, limits=limits) as f:
            raw = await Raw.login(f)
            raw.writer.transport.pause_reading()
            raw.say(message("Q", b"rows 1000000 wide\0"))
            await until_async(lambda: f.audit.outcomes, 15)
            assert f.audit.outcomes[-1].status == "client_gone"
            assert f.executor.frames_made < 400  # 100 kB each; the sockets' own buffers take some
            assert f.executor.running == 0
            await raw.close()

    run(story())


def test_revocation_ends_idle_and_running_sessions(tmp_path: Path) -> None:
    async def story() -> None:
        async with front(tmp_path) as f:
            idle, busy = await Raw.login(f), await Raw.login(f)
            busy.say(message("Q", b"rows 1 slow\0"))
            await until_async(lambda: f.executor.running == 1)
            await f.rule(make_rulebook(version=2, keys=()))
            kind, body = await idle.hear()
            assert (kind, fields(body)["S"], fields(body)["C"]) == ("E", "FATAL", "57P01")
            heard = [await busy.hear()]
            while fields(heard[-1][1]).get("S") != "FATAL":
                heard.append(await busy.hear())
            assert fields(heard[-1][1])["C"] == "57P01"
            assert f.executor.running == 0
            await idle.close()
            await busy.close()

    run(story())


def test_an_old_rulebook_refuses_queries_until_it_is_confirmed(tmp_path: Path) -> None:
    async def story() -> None:
        async with front(tmp_path) as f:
            raw = await Raw.login(f)
            f.link.down = True
            f.keeper._confirmed_at -= 10_000
            assert (await raw.error("select 1"))["C"] == "57P03"
            assert f.audit.outcomes[-1].status == "denied"
            f.link.down = False
            await f.keeper.refresh()
            assert kinds(await raw.query("select 1")) == "TDCZ"
            await raw.close()

    run(story())


def test_w1_11_concurrent_statements_are_limited(tmp_path: Path) -> None:
    async def story() -> None:
        async with front(tmp_path, queries=QueryLimits(running_max=1, wait_s=0.2)) as f:
            first, second = await Raw.login(f), await Raw.login(f)
            first.say(message("Q", b"rows 1 slow\0"))
            await until_async(lambda: f.executor.running == 1)
            assert (await second.error("select 1"))["C"] == "53400"
            second.say(message("Q", b"select 1\0"))
            await until_async(lambda: f.desk.admission.queued == 1)
            other = await Raw.plain(f)
            other.say(cancel(second.process_id, second.secret))
            assert fields(dict(await second.until_ready())["E"])["C"] == "57014"
            assert f.desk.admission.queued == 0
            for raw in (first, second, other):
                await raw.close()
        assert f.desk.admission.running == 0

    run(story())


@pytest.mark.parametrize(
    "bad",
    [
        b"!\0\0\0\x04",
        b"Q\x7f\xff\xff\xff",
        b"Q\0\0\0\0",
        message("p", b"x\0"),
        bytes(range(256)),
    ],
)
def test_bytes_that_are_no_message_end_the_session(tmp_path: Path, bad: bytes) -> None:
    async def story() -> None:
        async with front(tmp_path) as f:
            raw = await Raw.login(f)
            raw.say(bad)
            kind, body = await raw.hear()
            assert (kind, fields(body)["S"], fields(body)["C"]) == ("E", "FATAL", "08P01")
            assert await raw.ended() == b""
            await raw.close()
            await until_async(lambda: f.server.connections == 0)

    run(story())


def test_half_a_message_then_nothing_is_waited_for_and_cleaned_up(tmp_path: Path) -> None:
    async def story() -> None:
        async with front(tmp_path) as f:
            raw = await Raw.login(f)
            raw.say(message("Q", b"select 1\0")[:8])
            await raw.close()
            await until_async(lambda: f.server.connections == 0)

    run(story())


def test_malformed_content_skips_to_sync(tmp_path: Path) -> None:
    async def story() -> None:
        async with front(tmp_path) as f:
            raw = await Raw.login(f)
            raw.say(message("B", b"no end") + execute() + SYNC)
            heard = await raw.until_ready()
            assert kinds(heard) == "EZ"
            assert fields(heard[0][1])["C"] == "08P01"
            heard = [*(await raw.query("select 1"))]
            assert kinds(heard) == "TDCZ"
            before = len(f.audit.outcomes)
            raw.say(message("Q", b"\xff\xff\0"))
            assert fields((await raw.until_ready())[0][1])["C"] == "22021"
            assert [o.status for o in f.audit.outcomes[before:]] == ["denied"]
            await raw.close()

    run(story())


def test_timeouts_of_idle_sessions(tmp_path: Path) -> None:
    async def story() -> None:
        async with front(tmp_path) as f:
            raw = await Raw.login(f, options="-c idle_session_timeout=200")
            assert fields((await raw.hear())[1])["C"] == "57P05"
            await raw.close()
            raw = await Raw.login(f)
            await raw.query("set idle_in_transaction_session_timeout = 200")
            await raw.query("begin")
            assert fields((await raw.hear())[1])["C"] == "25P03"
            await raw.close()

    run(story())


def test_result_rows_have_a_limit_when_the_environment_sets_one(tmp_path: Path) -> None:
    async def story() -> None:
        async with front(tmp_path, rulebook=make_rulebook(limits=Limits(result_rows_max=150))) as f:
            raw = await Raw.login(f)
            assert fields(dict(await raw.query("rows 500"))["E"])["C"] == "54000"
            await raw.close()

    run(story())


def test_an_unforeseen_fault_tells_an_incident_and_no_more(tmp_path: Path) -> None:
    async def story() -> None:
        async with front(tmp_path) as f:
            raw = await Raw.login(f)

            async def explode(*_: object, **__: object) -> None:
                raise ValueError("secret 123-45-6789")

            f.executor.run = explode  # type: ignore[method-assign,assignment]
            told = await raw.error("select 1")
            assert told["C"] == "XX000"
            assert "secret" not in str(told)
            assert f.audit.outcomes[-1].status == "failed"
            assert "secret" not in str(f.audit.outcomes)
            await raw.close()

    run(story())


def test_discard_and_parameter_status(tmp_path: Path) -> None:
    async def story() -> None:
        async with front(tmp_path) as f:
            raw = await Raw.login(f, application_name="a")
            heard = await raw.query("set application_name = 'b'")
            assert [kind for kind, _ in heard] == ["C", "S", "Z"]
            assert heard[1] == ("S", b"application_name\0b\0")
            await raw.query("select 1")
            assert f.audit.intents[-1].session.application_name == "b"
            assert ("S", b"application_name\0a\0") in await raw.query("discard all")
            assert (await raw.error("set search_path = secret"))["C"] == "22023"
            assert (await raw.error("set role x"))["C"] == "42501"
            await raw.close()

    run(story())


def test_drain_lets_statements_finish_and_tells_the_idle(tmp_path: Path) -> None:
    async def story() -> None:
        async with front(tmp_path) as f:
            idle, busy = await Raw.login(f), await Raw.login(f)
            busy.say(message("Q", b"rows 1 slow\0"))
            await until_async(lambda: f.executor.running == 1)
            stopping = asyncio.create_task(f.server.stop(0.5))
            assert fields((await idle.hear())[1])["C"] == "57P01"
            await stopping
            assert f.executor.running == 0
            assert f.audit.outcomes[-1].status == "cancelled"
            await idle.close()
            await busy.close()

    run(story())


def test_a_statement_sent_again_is_judged_again_when_the_law_changed(tmp_path: Path) -> None:
    async def story() -> None:
        async with front(tmp_path) as f:
            asked: list[str] = []
            govern = f.desk.pipeline.govern

            async def counted(text: str, *rest: Any, **more: Any) -> Any:
                asked.append(text)
                return await govern(text, *rest, **more)

            f.desk.pipeline.govern = counted  # type: ignore[method-assign]
            raw = await Raw.login(f)
            for _ in range(3):
                assert kinds(await raw.query("select 1")) == "TDCZ"
            assert asked == ["select 1"]
            assert len(f.audit.intents) == 3
            await f.rule(make_rulebook(version=2))
            assert kinds(await raw.query("select 1")) == "TDCZ"
            assert asked == ["select 1"] * 2
            assert [intent.policy_version for intent in f.audit.intents] == [1, 1, 1, 2]
            await raw.query("SET hatidata.dialect = 'postgres'")
            assert kinds(await raw.query("select 1")) == "TDCZ"
            assert len(asked) == 3
            assert f.audit.intents[-1].dialect == "postgres"
            assert kinds(await raw.query("BEGIN")) == "CZ"
            assert (await raw.error("rows hidden"))["C"] == "42P01"
            assert (await raw.error("select 1"))["C"] == "25P02"
            await raw.close()

    run(story())


def test_parsers_that_disagree_refuse_the_statement_and_are_counted_for_the_monitoring(tmp_path: Path) -> None:
    async def story() -> None:
        async with front(tmp_path) as f:
            raw = await Raw.login(f)
            assert (await raw.error("select disagree"))["C"] == "0A000"
            await until_async(
                lambda: b'hatidata_refusals_total{code="parsers_disagree"} 1.0' in f.desk.metrics.render()
            )
            assert f.audit.outcomes[-1].status == "denied"

    run(story())
