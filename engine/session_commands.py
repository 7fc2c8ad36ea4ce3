"""Session commands (BEGIN, SET, DECLARE, COPY ... TO STDOUT, ...): a small, strict parser. Anything else is not ours.

`parse` returns None for what the catalog or the pipeline must judge. A statement that begins like a session command
and is not understood is refused, never passed on.
"""

from __future__ import annotations

import re

from engine.encoder.zones import zone_of
from engine.refusals import SessionRefused
from engine.session_command_types import (
    FIRST_WORDS,
    Begin,
    CloseCursor,
    Command,
    Deallocate,
    Declare,
    Discard,
    End,
    Fetch,
    Lock,
    Nothing,
    Reset,
    Savepoint,
    SetParameters,
    Show,
)
from engine.session_copy import CopyReader
from engine.session_parameters import LISTS, fold
from engine.session_tokens import first_word
from engine.wire import sqlstate as s

_LOCK_MODES = frozenset((
    "access share", "row share", "row exclusive", "share update exclusive", "share", "share row exclusive", "exclusive",
    "access exclusive",
))  # fmt: skip
_LOCK_WORDS = ("access", "share", "row", "exclusive", "update")
_LOCKED_MAX = 5_000


def parse(text: str) -> Command | None:
    """The session command that `text` (one statement) is, or None when it is for the catalog or the pipeline.

    Raises:
        SyntaxRefused: it begins like a session command and is not understood.
        SessionRefused: it is understood, and not offered here.
    """
    word = first_word(text)
    if word not in FIRST_WORDS:
        return None
    return _Parser(text).command()


class _Parser(CopyReader):
    def command(self) -> Command | None:
        word = self.take().keyword
        found: Command | None
        match word:
            case "begin" | "start":
                found = self.begin(word)
            case "commit" | "end" | "rollback" | "abort":
                found = self.end(word)
            case "savepoint":
                found = Savepoint("set", self.name())
            case "release":
                self.accept("savepoint")
                found = Savepoint("release", self.name())
            case "set":
                found = self.set_()
            case "show":
                found = self.show()
                if found is None:
                    return None
            case "reset":
                found = Reset("" if self.accept("all") else self.parameter())
            case "discard":
                what = self.expect("all", "plans", "sequences", "temp", "temporary")
                found = Discard("temp" if what == "temporary" else what)
            case "deallocate":
                self.accept("prepare")
                found = Deallocate("" if self.accept("all") else self.name())
            case "declare":
                return self.declare()
            case "fetch" | "move":
                found = self.fetch(move=word == "move")
            case "close":
                found = CloseCursor("" if self.accept("all") else self.name())
            case "copy":
                found = self.copy()
            case "lock":
                found = self.lock()
            case "unlisten":
                if not self.mark("*"):
                    self.name()
                found = Nothing("UNLISTEN")
            case _:
                raise SessionRefused(
                    s.FEATURE_NOT_SUPPORTED,
                    f"{word.upper()} is not supported",
                    advice="Use the protocol's own prepared statements." if word in ("prepare", "execute") else "",
                )
        self.finish()
        return found

    def begin(self, word: str) -> Begin:
        if word == "start":
            self.expect("transaction")
        else:
            self.accept("work", "transaction")
        return Begin(tuple(self.modes()), word == "start")

    def modes(self) -> list[tuple[str, str]]:
        modes: list[tuple[str, str]] = []
        while self.peek().kind == "word":
            match self.expect("isolation", "read", "not", "deferrable"):
                case "isolation":
                    self.expect("level")
                    modes.append(("transaction_isolation", self.level()))
                case "read":
                    modes.append(("transaction_read_only", "on" if self.expect("only", "write") == "only" else "off"))
                case "not":
                    self.expect("deferrable")
                    modes.append(("transaction_deferrable", "off"))
                case _:
                    modes.append(("transaction_deferrable", "on"))
            self.mark(",")
        return modes

    def level(self) -> str:
        first = self.expect("serializable", "repeatable", "read")
        if first == "serializable":
            return first
        if first == "repeatable":
            self.expect("read")
            return "repeatable read"
        return f"read {self.expect('committed', 'uncommitted')}"

    def end(self, word: str) -> Command:
        if word in ("commit", "rollback") and self.peek().keyword == "prepared":
            raise SessionRefused(s.FEATURE_NOT_SUPPORTED, "Prepared transactions are not supported.")
        self.accept("work", "transaction")
        if word == "rollback" and self.accept("to"):
            self.accept("savepoint")
            return Savepoint("rollback", self.name())
        chain = False
        if self.accept("and"):
            chain = not self.accept("no")
            self.expect("chain")
        return End(word in ("commit", "end"), chain)

    def parameter(self) -> str:
        """A parameter's name, with dots, or one of the names in words."""
        if self.accept("time"):
            self.expect("zone")
            return "TimeZone"
        if self.accept("session"):
            self.expect("authorization")
            return "session_authorization"
        if self.peek().keyword == "transaction":
            self.take()
            self.expect("isolation")
            self.expect("level")
            return "transaction_isolation"
        parts = [self.name()]
        while self.mark("."):
            parts.append(self.name())
        return ".".join(parts)

    def set_(self) -> SetParameters:
        scope = self.accept("session", "local")
        if scope == "session" and self.accept("characteristics"):
            self.expect("as")
            self.expect("transaction")
            pairs = [(name.replace("transaction_", "default_transaction_"), value) for name, value in self.modes()]
            return SetParameters(tuple(pairs))
        if self.peek().keyword == "transaction":
            self.take()
            if self.accept("snapshot"):
                raise SessionRefused(s.FEATURE_NOT_SUPPORTED, "Exported snapshots are not supported.")
            return SetParameters(tuple(self.modes()), transaction=True)
        if self.accept("names"):
            return SetParameters((("client_encoding", None if self.accept("default") else self.string()),))
        if scope == "session" and self.peek().keyword == "authorization":
            self.take()
            return self.identity("session_authorization", scope)
        if self.accept("role"):
            return self.identity("role", scope)
        if self.accept("time"):
            self.expect("zone")
            if self.accept("interval"):
                offset = self.string()
                if self.accept("hour"):
                    self.expect("to")
                    self.expect("minute")
                return SetParameters((("TimeZone", _zone_east(offset)),), local=scope == "local")
            value = None if self.accept("default", "local") else self.value_list("TimeZone")
            return SetParameters((("TimeZone", value),), local=scope == "local")
        if self.accept("schema"):
            return SetParameters((("search_path", self.string()),), local=scope == "local")
        name = self.parameter()
        if not self.mark("="):
            self.expect("to")
        value = None if self.accept("default") else self.value_list(name)
        return SetParameters(((name, value),), local=scope == "local")

    def identity(self, name: str, scope: str) -> SetParameters:
        """SET ROLE and SET SESSION AUTHORIZATION: only back to oneself; identity comes from the credential."""
        if not self.accept("none", "default"):
            raise SessionRefused(
                s.INSUFFICIENT_PRIVILEGE,
                f"{name.replace('_', ' ')} cannot be changed",
                advice="Log in with the key of that user.",
            )
        return SetParameters((), local=scope == "local")

    def value_list(self, name: str) -> str:
        values = [self.value()]
        while self.mark(","):
            values.append(self.value())
        if len(values) > 1 and fold(name) not in LISTS:
            raise SessionRefused(s.INVALID_PARAMETER_VALUE, "SET takes only one argument for this parameter")
        return ", ".join(values)

    def show(self) -> Show | None:
        """SHOW of a parameter; DuckDB's own SHOW (tables and the like) goes to the pipeline."""
        if self.peek().keyword in ("tables", "databases", "schemas"):
            return None
        if self.accept("all"):
            return None if self.peek().keyword == "tables" else Show("")
        if self.peek().keyword == "transaction_isolation" or self.peek().kind in ("word", "quoted"):
            return Show(self.parameter())
        raise self.error()

    def declare(self) -> Declare:
        name = self.name()
        binary = scroll = hold = False
        while (word := self.expect("binary", "insensitive", "asensitive", "scroll", "no", "cursor")) != "cursor":
            binary = binary or word == "binary"
            if word == "no":
                self.expect("scroll")
            scroll = scroll or word == "scroll"
        if with_ := self.accept("with", "without"):
            self.expect("hold")
            hold = with_ == "with"
        self.expect("for")
        query = self.rest()
        if not query.strip():
            raise self.error()
        return Declare(name, query, binary, hold, scroll)

    def fetch(self, *, move: bool) -> Fetch:
        count: int | None = 1
        absolute = relative = False
        token = self.peek()
        if token.kind == "number":
            count = self.count()
        else:
            match self.accept("next", "all", "forward", "relative", "absolute", "prior", "first", "last", "backward"):
                case "all":
                    count = None
                case "forward":
                    if self.accept("all"):
                        count = None
                    elif self.peek().kind == "number":
                        count = self.count()
                case "relative":
                    count, relative = self.count(), True
                case "absolute":
                    count, absolute = self.count(), True
                case "first":
                    count, absolute = 1, True
                case "prior" | "last" | "backward":
                    raise _forward_only()
                case _:
                    pass
        self.accept("from", "in")
        if count is not None and count < 0:
            raise _forward_only()
        return Fetch(self.name(), count, move, absolute, relative)

    def lock(self) -> Lock:
        """LOCK: which tables, in which mode."""
        self.accept("table")
        tables = [self.relation()]
        while self.mark(","):
            tables.append(self.relation())
        mode = "access exclusive"
        if self.accept("in"):
            words = [self.expect(*_LOCK_WORDS)]
            while not self.accept("mode"):
                words.append(self.expect(*_LOCK_WORDS))
            mode = " ".join(words)
        self.accept("nowait")
        if mode not in _LOCK_MODES:
            raise self.error()
        if len(tables) > _LOCKED_MAX:
            raise SessionRefused(s.PROGRAM_LIMIT_EXCEEDED, "Too many tables in one LOCK.")
        return Lock(tuple(tables), mode)

    def relation(self) -> str:
        """A table's name, quoted as SQL."""
        only = self.accept("only")
        parts = [self.name()]
        while self.mark("."):
            parts.append(self.name())
        if not only:
            self.mark("*")
        return ".".join('"' + part.replace('"', '""') + '"' for part in parts)

    def count(self) -> int:
        token = self.take()
        if token.kind != "number" or not re.fullmatch(r"[+-]?[0-9]{1,18}", token.text):
            raise self.error(token.start)
        return int(token.text)


def _zone_east(offset: str) -> str:
    """The zone that lies an interval of hours and minutes east of UTC."""
    found = re.fullmatch(r"([+-]?)(\d{1,2}):(\d{2})(?::00)?", offset.strip())
    east_s = (int(found[2]) * 3600 + int(found[3]) * 60) * (-1 if found[1] == "-" else 1) if found else None
    zone = zone_of(east_s) if east_s is not None else None
    if zone is None:
        raise SessionRefused(s.INVALID_PARAMETER_VALUE, "invalid interval for the time zone")
    return zone


def _forward_only() -> SessionRefused:
    return SessionRefused(
        s.OBJECT_STATE, "cursor can only scan forward", advice="Declare it again to read from the start."
    )
