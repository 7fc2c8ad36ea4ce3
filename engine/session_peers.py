"""The sessions of a node as one of them may see and reach them: those of its own key, and no others.

Whoever holds the key may cancel and end what runs under it, as PostgreSQL lets a role's own sessions; of any other
session it is not even told that it exists. What is asked is told by the worker that ran `pg_cancel_backend`, which is
not trusted with more: the key is compared here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from engine.catalog.emulation import PeerInfo
from engine.refusals import Report
from engine.wire import sqlstate as s
from governance.audit_record import SessionFacts

SHOWN_MAX = 1000
"""Sessions of one key that pg_stat_activity lists."""
TERMINATED = Report("FATAL", s.ADMIN_SHUTDOWN, "terminating connection due to administrator command", code="terminated")


class Peer(Protocol):
    """One of the sessions."""

    @property
    def facts(self) -> SessionFacts | None:
        """Who it is; None before it is let in."""

    @property
    def shown(self) -> PeerInfo:
        """What pg_stat_activity tells of it."""

    def cancel(self) -> None:
        """Stop what it runs."""

    def end(self, report: Report) -> None:
        """End it."""


class Peers:
    """What a session may know of the others."""

    def __init__(self, sessions: Mapping[int, Peer]) -> None:
        """`sessions` by process id; kept by the server."""
        self._sessions = sessions

    def seen_by(self, asker: SessionFacts) -> Sequence[PeerInfo]:
        """The sessions of the asker's key, its own among them; its oldest when there are more than may be shown."""
        found = [peer.shown for peer in self._sessions.values() if _same(peer.facts, asker)]
        return found[:SHOWN_MAX]

    def reach(self, asker: SessionFacts, process_id: int, signal: str) -> bool:
        """Let the signal (cancel, terminate) come to a session of the asker's key; whether there is one of that id."""
        peer = self._sessions.get(process_id)
        if peer is None or not _same(peer.facts, asker):
            return False
        if signal == "terminate":
            peer.end(TERMINATED)
        else:
            peer.cancel()
        return True


def _same(one: SessionFacts | None, other: SessionFacts) -> bool:
    return one is not None and (one.organization, one.user_id, one.key_id) == (
        other.organization,
        other.user_id,
        other.key_id,
    )
