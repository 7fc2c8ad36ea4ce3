"""One client's talk with a session, without sockets: bytes in, bytes out, and what must hold whatever was said.

The session, its parser, its state and its audit are the product's; behind it stand the stand-ins of
`tests.engine.session.front`. `conversation` lets a fuzzer speak, `test_conversation` hypothesis.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from engine.admission import Admission
from engine.audit.texts import audit_texts
from engine.authenticate import Identity, refused
from engine.metrics import NodeMetrics
from engine.pipeline.text_gate import split
from engine.session import CancelAsked, Session
from engine.session_channel import Channel, ClientGone
from engine.session_ports import Desk
from engine.session_settings import SessionSettings
from engine.settings import ConnectionLimits, QueryLimits
from engine.wire.framing import FrameLimits
from engine.wire.violations import ProtocolViolation
from governance.errors import Refusal
from tests.engine.session.front import (
    INT4,
    FakeExecutor,
    FakePipeline,
    NoCatalog,
    RememberingAudit,
    SystemClock,
    make_rulebook,
)

SPOKEN = frozenset(b"RSKZTDCEINtn123sHdcvG")
"""Every type of message a server may send."""
ANSWER_S = 10.0
_LARGE, _SMALL = 200_000, 10_000
TEXTS = (
    "",
    *"""\
select 1
rows 150
rows hidden
nonsense
;
begin
commit
rollback
rollback to a
savepoint a
release a
declare c cursor for rows 9
declare c cursor with hold for rows 300
fetch 2 in c
fetch all from c
fetch first from c
fetch 0 from c
move 3 in c
close c
close all
copy (rows 2) to stdout
copy (rows 2) to stdout (format binary)
show all
show timezone
set statement_timeout = 5000
set local timezone = 'UTC'
set time zone 5
set application_name = 'x'
begin isolation level serializable
set transaction isolation level read committed
commit and chain
set application_name = 'y'; rows 2; rollback; nonsense
begin; savepoint a; set application_name = 'z'; declare c cursor for rows 4; rollback to a
reset all
discard all
deallocate a
echo $1
select 1; rows 2; begin
begin; rows 3; nonsense
rows 200 fail
listen x
copy t from stdin
é
""".splitlines(),
)


def message(kind: int, body: bytes = b"") -> bytes:
    """A framed message."""
    return bytes([kind]) + struct.pack("!I", len(body) + 4) + body


NAMES = (b"\0", b"a\0", b"c\0")
MESSAGES_MAX = 24


class Dice(Protocol):
    """What chooses: a fuzzer's bytes, or chance."""

    def number(self, least: int, most: int) -> int: ...

    def data(self, count: int) -> bytes: ...


@dataclass
class Chance:
    """Dice of `random`, or of hypothesis."""

    random: random.Random

    def number(self, least: int, most: int) -> int:
        return self.random.randint(least, most)

    def data(self, count: int) -> bytes:
        return bytes(self.random.randint(0, 255) for _ in range(count))


def utterance(dice: Dice) -> bytes:
    """One message, or something like one."""

    def pick(choices: Sequence[bytes]) -> bytes:
        return choices[dice.number(0, len(choices) - 1)]

    kind = dice.number(0, 16)
    name, other = pick(NAMES), pick(NAMES)
    text = TEXTS[dice.number(0, len(TEXTS) - 1)].encode() + b"\0"
    if kind == 0:
        return dice.data(dice.number(0, 40))
    if kind == 1:
        return message(b"QPBDECHSFpdcfXz"[dice.number(0, 14)], dice.data(dice.number(0, 60)))
    if kind in (2, 3):
        return message(ord("Q"), text)
    if kind in (4, 5):
        oids = [dice.number(0, 4000) for _ in range(dice.number(0, 2))]
        return message(ord("P"), name + text + struct.pack(f"!H{len(oids)}I", len(oids), *oids))
    if kind in (6, 7):
        value = dice.data(dice.number(0, 8))
        values = b"\0\1" + struct.pack("!I", len(value)) + value if dice.number(0, 1) else b"\0\0"
        return message(ord("B"), name + other + b"\0\0" + values + pick((b"\0\0", b"\0\1\0\1")))
    if kind == 8:
        return message(ord("D"), pick((b"S", b"P", b"x")) + name)
    if kind in (9, 10):
        return message(ord("E"), name + struct.pack("!I", dice.number(0, 200)))
    if kind == 11:
        return message(ord("C"), pick((b"S", b"P")) + name)
    if kind == 12:
        return message(ord("H"))
    if kind == 13:
        body = b"\0\3\0" + bytes([dice.number(0, 2)]) + b"user\0x\0options\0" + text + b"\0"
        return struct.pack("!I", len(body) + 4) + body
    if kind == 14:
        return message(ord("p"), pick((b"right\0", b"wrong\0", b"x")))
    return message(ord("S"))


def cut(dice: Dice) -> list[bytes]:
    """A talk, cut anywhere."""
    said = b"".join(utterance(dice) for _ in range(dice.number(1, MESSAGES_MAX)))
    borders = [0, *sorted(dice.number(0, len(said)) for _ in range(dice.number(0, 4))), len(said)]
    return [said[start:end] for start, end in itertools.pairwise(borders)]


def is_awaited(said: bytes) -> bool:
    """Whether more must follow: the last message announces a longer body than was said, or its header is cut."""
    at = 0
    while at < len(said):
        length = int.from_bytes(said[at + 1 : at + 5])
        if at + 5 > len(said) or at + 1 + length > len(said):
            return True
        if length < 4:
            return False
        at += 1 + length
    return False


class Wire(asyncio.Transport):
    """A transport whose other end is the test."""

    def __init__(self, channel: Channel) -> None:
        super().__init__()
        self._channel = channel
        self.heard = bytearray()
        self.closed = False
        self.reading = True

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def write(self, data: Any) -> None:
        assert not self.closed
        self.heard += data

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self._channel.connection_lost(None)

    abort = close


@dataclass
class Hall:
    """The desk all talks are held at; made on the loop they run on."""

    queries: QueryLimits = field(default_factory=lambda: QueryLimits(running_max=2, wait_s=0.2, resting_max=1))
    executor: FakeExecutor = field(default_factory=FakeExecutor)
    audit: RememberingAudit = field(default_factory=RememberingAudit)

    def __post_init__(self) -> None:
        rulebook = make_rulebook()
        key = rulebook.keys[0]
        principal = rulebook.principal(key, source_ip="127.0.0.1")
        assert principal is not None
        self.identity = identity = Identity(key, principal, rulebook, None)

        class Door:
            async def authenticate(self, secret: bytes, **_: Any) -> Identity:
                if secret != b"right":
                    raise refused("wrong")
                return identity

            def recheck(self, given: Identity) -> Identity:
                return given

        self.desk = Desk(
            authenticator=Door(),
            pipeline=FakePipeline(),
            split=split,
            view=lambda *_: None,
            lake_version=lambda: 1,
            catalog=NoCatalog(),
            executor=self.executor,
            audit=self.audit,
            admission=Admission(self.queries),
            metrics=NodeMetrics(),
            clock=SystemClock(),
            texts=audit_texts(),
            parameter_oid=lambda kind: {"": 0, "INTEGER": INT4}[kind],
            limits=ConnectionLimits(statements_max=3, portals_max=3, prepared_bytes_max=2000),
            environment="production",
            node="n1",
        )  # type: ignore[arg-type]

    async def talk(self, pieces: Sequence[bytes], *, greeted: bool = True) -> bytes:
        """Say `pieces` one after another, then leave; everything that was heard.

        Raises:
            AssertionError: a law broke.
        """
        self.audit.intents.clear()
        self.audit.outcomes.clear()
        self.audit.events.clear()
        channel = Channel(self.desk.limits, FrameLimits(_LARGE, _SMALL))
        wire = Wire(channel)
        channel.connection_made(wire)
        session = Session(self.desk, channel, "127.0.0.1")
        task = asyncio.get_running_loop().create_task(self._serve(session, channel, greeted=greeted))
        async with asyncio.timeout(ANSWER_S):
            for piece in pieces:
                while not (wire.reading or wire.closed):  # noqa: ASYNC110
                    await asyncio.sleep(0)
                if wire.closed:
                    break
                channel.data_received(piece)
                assert channel._framer.buffered <= _LARGE + len(piece) + 300_000
                await asyncio.sleep(0)
            whole = await self._quiet(session, channel, task)
            if whole and greeted and not wire.closed:
                await self._answers(wire, channel)
            if not wire.closed:
                channel.connection_lost(None)
            await task
        check_stream(bytes(wire.heard))
        assert (self.executor.running, self.desk.admission.running, self.desk.admission.resting) == (0, 0, 0)
        await asyncio.sleep(0)  # outcomes are told a turn later
        begun = [intent.query_id for intent in self.audit.intents]
        ended = [outcome.query_id for outcome in self.audit.outcomes]
        assert sorted(begun) == sorted(ended)
        assert self.desk.metrics.incidents._value.get() == 0
        return bytes(wire.heard)

    async def _serve(self, session: Session, channel: Channel, *, greeted: bool) -> None:
        """As `engine.server` does."""
        with contextlib.suppress(ClientGone, CancelAsked, Refusal, ProtocolViolation):
            if greeted:
                session.conversation.authenticated()
                session.state = session._state(self.identity, SessionSettings())
            else:
                await session.greet()
            session.welcome()
            await session.converse()
        channel.close()

    async def _quiet(self, session: Session, channel: Channel, task: asyncio.Task[None]) -> bool:
        """Until the session waits for the client; whether it waits at the border of two messages."""
        while not task.done() and channel._incoming is None:  # noqa: ASYNC110 - a turn of the loop is all there is
            await asyncio.sleep(0)
        return not task.done() and not channel._framer.buffered

    async def _answers(self, wire: Wire, channel: Channel) -> None:
        """A Sync is answered, whatever came before."""
        before = len(wire.heard)
        channel.data_received(message(ord("S")))
        while not wire.closed and not bytes(wire.heard[before:]).endswith(  # noqa: ASYNC110
            (b"Z\0\0\0\5I", b"Z\0\0\0\5T", b"Z\0\0\0\5E")
        ):
            await asyncio.sleep(0)


def check_stream(heard: bytes) -> None:
    """What a server said is messages, and after an error of an extended series comes nothing but ReadyForQuery."""
    at = 0
    while at < len(heard):
        assert heard[at] in SPOKEN, heard[at : at + 40]
        (length,) = struct.unpack_from("!I", heard, at + 1)
        assert length >= 4
        assert at + 1 + length <= len(heard), "a message is cut off"
        at += 1 + length
