"""Session commands as values: what `engine.session_commands` reads and `engine.session_control` carries out."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Begin:
    """BEGIN or START TRANSACTION, with the modes asked for as (parameter, value)."""

    modes: tuple[tuple[str, str], ...] = ()
    start: bool = False


@dataclass(frozen=True, slots=True)
class End:
    """COMMIT (END) or ROLLBACK (ABORT)."""

    commit: bool
    chain: bool = False


@dataclass(frozen=True, slots=True)
class Savepoint:
    """SAVEPOINT, RELEASE or ROLLBACK TO, by name."""

    action: str
    """set, release, rollback."""
    name: str


@dataclass(frozen=True, slots=True)
class SetParameters:
    """SET, as (parameter, value or None for DEFAULT) pairs."""

    pairs: tuple[tuple[str, str | None], ...]
    local: bool = False
    transaction: bool = False
    """SET TRANSACTION: only for this one."""


@dataclass(frozen=True, slots=True)
class Show:
    """SHOW of one parameter, or of all (empty name)."""

    name: str


@dataclass(frozen=True, slots=True)
class Reset:
    """RESET of one parameter, or of all (empty name)."""

    name: str


@dataclass(frozen=True, slots=True)
class Discard:
    """DISCARD ALL, PLANS, SEQUENCES or TEMP."""

    what: str


@dataclass(frozen=True, slots=True)
class Deallocate:
    """DEALLOCATE of one prepared statement, or of all (empty name)."""

    name: str


@dataclass(frozen=True, slots=True)
class Declare:
    """A cursor over a query."""

    name: str
    query: str
    binary: bool
    hold: bool
    scroll: bool


@dataclass(frozen=True, slots=True)
class Fetch:
    """FETCH or MOVE forward: `count` rows (None: all the rest), or the one row at a place.

    `count` is that place from the start (`absolute`), or from where the cursor stands (`relative`).
    """

    name: str
    count: int | None
    move: bool
    absolute: bool = False
    relative: bool = False


@dataclass(frozen=True, slots=True)
class CloseCursor:
    """CLOSE of one cursor, or of all (empty name)."""

    name: str


@dataclass(frozen=True, slots=True)
class CopyOut:
    """COPY (query) TO STDOUT."""

    query: str
    format: str
    """text, csv, binary."""
    options: tuple[tuple[str, str], ...]
    """delimiter, null, quote, escape, header (on, off), force_quote (* or nothing)."""


@dataclass(frozen=True, slots=True)
class Lock:
    """LOCK TABLE in a mode; the names are quoted as SQL."""

    tables: tuple[str, ...]
    mode: str


@dataclass(frozen=True, slots=True)
class Nothing:
    """A command that has nothing to do here and succeeds, with its tag (UNLISTEN)."""

    tag: str


Command = (
    Begin
    | End
    | Savepoint
    | SetParameters
    | Show
    | Reset
    | Discard
    | Deallocate
    | Declare
    | Fetch
    | CloseCursor
    | CopyOut
    | Lock
    | Nothing
)


FIRST_WORDS = frozenset({
    "abort", "begin", "close", "commit", "copy", "deallocate", "declare", "discard", "end", "execute", "fetch",
    "listen", "lock", "move", "notify", "prepare", "release", "reset", "rollback", "savepoint", "set", "show",
    "start", "unlisten",
})  # fmt: skip
"""What a session command begins with; nothing else does."""
