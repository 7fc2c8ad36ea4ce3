"""How a verb ends: 0 done, 1 refused, 2 wrong usage, 3 the control plane is not reachable."""

from __future__ import annotations

import sys

from governance.errors import Refusal

REFUSED = 1
USAGE = 2
UNREACHABLE = 3
INTERRUPTED = 130


class NotStarted(Refusal):
    """A part of the installation that was started here did not begin to serve; it has said why on stderr."""

    code = "not_started"


class UsageWrong(Exception):
    """The command line or an environment variable cannot be meant."""


class Unreachable(Exception):
    """Nobody answers where the control plane should be."""


def explain(error: Exception) -> int:
    """Say on stderr why a verb ends, in a line or three, and return its exit code."""
    if isinstance(error, Refusal):
        _say(f"{error.code}: {error.message}", error.advice)
        return REFUSED
    if isinstance(error, UsageWrong):
        _say(str(error))
        return USAGE
    if isinstance(error, Unreachable):
        _say(str(error), "Is `hatidata serve` running?")
        return UNREACHABLE
    raise error


def _say(sentence: str, advice: str = "") -> None:
    print(f"hatidata: {sentence}", file=sys.stderr)
    if advice:
        print(f"  {advice}", file=sys.stderr)
