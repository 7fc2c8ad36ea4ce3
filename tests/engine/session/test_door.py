"""Before a session: TLS 1.3 or nothing, keys, networks, claims, limits."""

from __future__ import annotations

import ssl
import struct
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import uvloop

from engine.settings import ConnectionLimits
from engine.tls import SUITES, server_context
from governance.api_key import new_key
from governance.rulebook import User
from tests.engine.session.front import BOT, front, make_rulebook, with_key
from tests.engine.session.raw import GSS_REQUEST, SSL_REQUEST, Raw, Told, fields, message, startup
from tests.support.waiting import until_async

SAME = {"S": "FATAL", "V": "FATAL", "C": "28P01", "M": "Authentication failed."}


async def refusal(raw: Raw, key: str, **parameters: str) -> dict[str, str]:
    with pytest.raises(Told) as caught:
        await raw.authenticate(key, **parameters)
    await raw.close()
    return caught.value.told


def run(coroutine: Coroutine[Any, Any, None]) -> None:
    uvloop.run(coroutine)


def test_w2_8_plaintext_is_refused_with_a_clear_error(tmp_path: Path) -> None:
    async def story() -> None:
        async with front(tmp_path) as f:
            raw = await Raw.plain(f)
            raw.say(startup(user="x", database="production"))
            kind, body = await raw.hear()
            told = fields(body)
            assert (kind, told["S"], told["C"]) == ("E", "FATAL", "28000")
            assert "TLS 1.3" in told["M"]
            assert "sslmode" in told["H"]
            assert await raw.ended() == b""
            await raw.close()

    run(story())


def test_w2_8_a_tls_1_2_hello_is_refused(tmp_path: Path) -> None:
    async def story() -> None:
        async with front(tmp_path) as f:
            context = f.client_context()
            context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_2
            with pytest.raises(ssl.SSLError, match=r"(?i)protocol.version"):
                await Raw.secure(f, context=context)
            raw = await Raw.login(f)
            assert raw.writer.get_extra_info("ssl_object").version() == "TLSv1.3"
            await raw.close()

    run(story())


def test_w2_9_exactly_three_suites(tmp_path: Path) -> None:
    async def story() -> None:
        async with front(tmp_path) as f:
            context = server_context(f.tls / "server.crt", f.tls / "server.key")
            assert {c["name"] for c in context.get_ciphers() if c["protocol"] == "TLSv1.3"} == SUITES
            raw = await Raw.login(f)
            assert raw.writer.get_extra_info("cipher")[0] in SUITES
            await raw.close()

    run(story())


def test_direct_tls_wants_alpn(tmp_path: Path) -> None:
    async def story() -> None:
        async with front(tmp_path) as f:
            raw = await Raw.secure(f, first=b"")
            await raw.authenticate(f.key)
            assert raw.writer.get_extra_info("ssl_object").selected_alpn_protocol() == "postgresql"
            await raw.close()
            bare = ssl.create_default_context(cafile=str(f.tls / "ca.crt"))
            raw = await Raw.secure(f, first=b"", context=bare)
            assert await raw.ended() == b""
            await raw.close()

    run(story())


def test_gss_encryption_is_declined_and_tls_follows(tmp_path: Path) -> None:
    async def story() -> None:
        async with front(tmp_path) as f:
            raw = await Raw.plain(f)
            raw.say(GSS_REQUEST)
            assert await raw.reader.readexactly(1) == b"N"
            raw.say(SSL_REQUEST)
            assert await raw.reader.readexactly(1) == b"S"
            await raw.writer.start_tls(f.client_context(), server_hostname="localhost")
            await raw.authenticate(f.key)
            await raw.close()

    run(story())


def test_every_failure_to_authenticate_looks_the_same(tmp_path: Path) -> None:
    async def story() -> None:
        async with front(tmp_path) as f:
            heard = []
            for key in ("nonsense", f.key[:-1] + ("a" if f.key[-1] != "a" else "b"), new_key("production"), "x" * 5000):
                heard.append(await refusal(await Raw.secure(f), key))
            past = (datetime.now(UTC) - timedelta(seconds=5)).isoformat()
            for changes in ({"expires_at": past}, {"networks": ("10.0.0.0/8",)}):
                await f.rule(with_key(make_rulebook(version=f.keeper.version + 1), **changes))
                heard.append(await refusal(await Raw.secure(f), f.key))
            book = make_rulebook(version=f.keeper.version + 1)
            suspended = User("u1", "ana@acme.example", "1", book.users[0].role, active=False)
            await f.rule(make_rulebook(version=f.keeper.version + 2, users=(suspended,)))
            heard.append(await refusal(await Raw.secure(f), f.key))
            await f.rule(make_rulebook(version=f.keeper.version + 1, keys=()))
            heard.append(await refusal(await Raw.secure(f), f.key))
            assert len(heard) == 8
            for told in heard:
                assert {k: told[k] for k in SAME} == SAME
            assert len({tuple(sorted(told.items())) for told in heard}) == 1
            kinds = [event.kind for event in f.audit.events]
            assert kinds == ["login_refused"] * 8

    run(story())


def test_w3_5_networks_admit_their_own(tmp_path: Path) -> None:
    async def story() -> None:
        async with front(tmp_path, rulebook=with_key(make_rulebook(), networks=("127.0.0.0/8",))) as f:
            await (await Raw.login(f)).close()

    run(story())


def test_w3_4_a_key_is_bound_to_its_environment(tmp_path: Path) -> None:
    async def story() -> None:
        async with front(tmp_path) as f:
            assert (await refusal(await Raw.secure(f), f.key, database="staging"))["C"] == "3D000"

    run(story())


def test_agent_claims_must_agree_with_the_key(tmp_path: Path) -> None:
    async def story() -> None:
        async with front(tmp_path, rulebook=with_key(make_rulebook(), agent=BOT)) as f:
            good = "-c hatidata.agent_id=bot-7 -c hatidata.agent_framework=langchain"
            raw = await Raw.login(f, options=good, application_name="crew")
            await raw.query("select 1")
            facts = f.audit.intents[-1].session
            assert (facts.agent_id, facts.agent_framework, facts.application_name) == ("bot-7", "langchain", "crew")
            assert (await raw.error("SET hatidata.agent_id = 'bot-8'"))["C"] == "28000"
            await raw.close()
            for bad in ("-c hatidata.agent_id=bot-8", "-c hatidata.agent_framework=other"):
                assert (await refusal(await Raw.secure(f), f.key, options=bad))["C"] == "28000"

    run(story())


def test_unknown_start_up_parameters_are_passed_over(tmp_path: Path) -> None:
    async def story() -> None:
        async with front(tmp_path) as f:
            raw = await Raw.login(f, client_protocol_version="2", plugin_name="x", options="-c no_such=1")
            assert raw.parameters["server_version"].startswith("15.")
            assert raw.parameters["client_encoding"] == "UTF8"
            assert raw.parameters["integer_datetimes"] == "on"
            await raw.close()

    run(story())


def test_without_a_rulebook_nobody_gets_in(tmp_path: Path) -> None:
    async def story() -> None:
        async with front(tmp_path) as f:
            f.keeper._confirmed_at -= 10_000
            assert (await refusal(await Raw.secure(f), f.key))["C"] == "57P03"

    run(story())


def test_the_proxy_header_is_read_from_its_networks_alone(tmp_path: Path) -> None:
    header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c" + bytes([10, 9, 8, 7, 127, 0, 0, 1, 0, 1, 0, 2])

    async def story() -> None:
        async with front(tmp_path / "on", proxy_from=("127.0.0.0/8",)) as f:
            raw = await Raw.plain(f)
            raw.say(header + SSL_REQUEST)
            assert await raw.reader.readexactly(1) == b"S"
            await raw.writer.start_tls(f.client_context(), server_hostname="localhost")
            await raw.authenticate(f.key)
            await raw.query("select 1")
            assert f.audit.intents[-1].session.source_ip == "10.9.8.7"
            await raw.close()
            raw = await Raw.plain(f)
            raw.say(SSL_REQUEST + b"\0" * 20)
            assert await raw.ended() == b""
            await raw.close()
        async with front(tmp_path / "off") as f:
            raw = await Raw.plain(f)
            raw.say(header)
            assert (await raw.ended())[:1] != b"S"
            await raw.close()

    run(story())


def test_half_open_connections_are_bounded_and_end_in_time(tmp_path: Path) -> None:
    limits = ConnectionLimits(half_open_max=5, handshake_timeout_s=0.3, authentication_timeout_s=0.4)

    async def story() -> None:
        async with front(tmp_path, limits=limits) as f:
            silent = [await Raw.plain(f) for _ in range(8)]
            for raw in silent:
                assert await raw.ended() == b""
                await raw.close()
            await until_async(lambda: f.server._half_open_count == 0)
            mute = await Raw.secure(f)
            assert await mute.ended() == b""
            await mute.close()
            await (await Raw.login(f)).close()

    run(story())


def test_w1_10_silent_connections_do_not_keep_a_client_out(tmp_path: Path) -> None:
    limits = ConnectionLimits(half_open_max=5, handshake_timeout_s=60.0, authentication_timeout_s=60.0)

    async def story() -> None:
        async with front(tmp_path, limits=limits) as f:
            silent = [await Raw.plain(f) for _ in range(20)]
            await (await Raw.login(f)).close()
            for raw in silent:
                await raw.close()

    run(story())


def test_the_connection_limit_says_53300(tmp_path: Path) -> None:
    async def story() -> None:
        async with front(tmp_path, limits=ConnectionLimits(connections_max=2)) as f:
            kept = [await Raw.login(f) for _ in range(2)]
            assert (await refusal(await Raw.secure(f), f.key))["C"] == "53300"
            for raw in kept:
                await raw.close()
            await until_async(lambda: f.server.connections == 0)
            await (await Raw.login(f)).close()

    run(story())


def test_failures_of_an_address_are_limited_but_a_verified_key_goes_on(tmp_path: Path) -> None:
    async def story() -> None:
        async with front(tmp_path, limits=ConnectionLimits(failures_per_source_max=3)) as f:
            await (await Raw.login(f)).close()
            wrong = new_key("production")
            for _ in range(6):
                assert (await refusal(await Raw.secure(f), wrong))["C"] == "28P01"
            await (await Raw.login(f)).close()

    run(story())


@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\0\0\0\x04",
        b"\x7f\xff\xff\xff" + b"x" * 20,
        b"\0\0\0\x09\x04\xd2\x16\x2fx",
        b"\0" * 64,
    ],
)
def test_garbage_before_tls_ends_that_connection_only(tmp_path: Path, garbage: bytes) -> None:
    async def story() -> None:
        async with front(tmp_path) as f:
            raw = await Raw.plain(f)
            raw.say(garbage)
            heard = await raw.ended()
            assert heard == b"" or heard[:1] == b"E"
            await raw.close()
            await (await Raw.login(f)).close()

    run(story())


def test_garbage_inside_tls(tmp_path: Path) -> None:
    async def story() -> None:
        async with front(tmp_path) as f:
            for garbage in (b"\x7f\xff\xff\xff", SSL_REQUEST, b"\0\0\0\x08\0\x02\0\0"):
                raw = await Raw.secure(f)
                raw.say(garbage)
                kind, body = await raw.hear()
                assert kind == "E"
                assert fields(body)["C"] in ("08P01", "0A000")
                assert await raw.ended() == b""
                await raw.close()
            raw = await Raw.secure(f)
            raw.say(startup(user="x", database="production"))
            await raw.hear()
            raw.say(message("Q", b"select 1\0"))
            assert fields((await raw.hear())[1])["C"] == "08P01"
            await raw.close()

    run(story())


def test_a_newer_minor_version_is_negotiated_before_authentication(tmp_path: Path) -> None:
    """As PostgreSQL does: what is spoken and which options are not known, and the log-in goes on."""

    async def story() -> None:
        async with front(tmp_path) as f:
            for minor, option in ((2, ""), (0, "_pq_.later"), (9999, "_pq_.later")):
                raw = await Raw.secure(f)
                body = struct.pack("!HH", 3, minor) + b"user\0x\0database\0production\0"
                body += (option.encode() + b"\0on\0" if option else b"") + b"\0"
                raw.say(struct.pack("!I", len(body) + 4) + body)
                kind, told = await raw.hear()
                options = [option.encode() + b"\0"] if option else []
                assert (kind, told) == ("v", struct.pack("!II", 0x30000, len(options)) + b"".join(options))
                assert (await raw.hear())[0] == "R"
                raw.say(message("p", f.key.encode() + b"\0"))
                assert (await raw.until_ready())[-1] == ("Z", b"I")
                await raw.close()

    run(story())
