"""What a worker and the node say on the worker's block socket: fixed-size messages, descriptors beside the replies."""

from __future__ import annotations

import struct
from enum import IntEnum

ASK = struct.Struct(">QQII")
"""request (0: read ahead, no answer wanted), object number, first block, how many."""
ANSWER = struct.Struct(">QII")
"""request, outcome, how many descriptors come with it."""
BLOCKS_MAX = 16
"""Blocks of one request."""


class Outcome(IntEnum):
    """How a request for blocks ended."""

    GIVEN = 0
    REFUSED = 1
    """Not an object of a snapshot that a running statement of this worker holds."""
    GONE = 2
    """The pinned version is not there any more."""
    FAILED = 3
    """The store refuses or does not answer."""
