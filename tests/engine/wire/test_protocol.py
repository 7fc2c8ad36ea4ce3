"""The state table, as a machine: whatever a client sends, the phase is one of four and errors skip to Sync."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from engine.wire import frontend as f
from engine.wire.protocol import EXTENDED, Conversation, Move, Phase
from engine.wire.violations import ProtocolViolation

SAMPLES: list[f.Message] = [
    f.Query("select 1"),
    f.Parse("", "select 1", ()),
    f.Bind("", "", (), (), ()),
    f.Describe("P", ""),
    f.Execute("", 0),
    f.Close("S", ""),
    f.Flush(),
    f.Sync(),
    f.CopyData(),
    f.FunctionCall(),
]


class Talk(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.conversation = Conversation()
        self.conversation.authenticated()
        self.skipping = False

    @rule(message=st.sampled_from(SAMPLES), fails=st.booleans())
    def say(self, message: f.Message, fails: bool) -> None:
        move = self.conversation.admit(message)
        if self.skipping:
            assert (move is Move.HANDLE) == isinstance(message, f.Sync)
            self.skipping = not isinstance(message, f.Sync)
            return
        assert move is (Move.DROP if isinstance(message, f.CopyData) else Move.HANDLE)
        if fails and move is Move.HANDLE:
            extended = isinstance(message, EXTENDED)
            self.conversation.failed(extended=extended)
            self.skipping = extended

    @rule()
    def begin(self) -> None:
        if self.conversation.transaction == "I" and not self.skipping:
            self.conversation.transaction = "T"

    @invariant()
    def phase_agrees(self) -> None:
        assert (self.conversation.phase is Phase.SKIPPING) == self.skipping
        assert self.conversation.transaction in "ITE"


TestTalk = Talk.TestCase


@pytest.mark.parametrize("message", SAMPLES)
def test_nothing_but_a_password_before_authentication(message: f.Message) -> None:
    with pytest.raises(ProtocolViolation):
        Conversation().admit(message)


def test_no_password_after_it() -> None:
    conversation = Conversation()
    conversation.authenticated()
    with pytest.raises(ProtocolViolation):
        conversation.admit(f.Password(b""))


def test_an_error_in_a_transaction_fails_it() -> None:
    conversation = Conversation()
    conversation.authenticated()
    conversation.transaction = "T"
    conversation.failed(extended=False)
    assert conversation.transaction == "E"
    assert conversation.phase is Phase.READY
