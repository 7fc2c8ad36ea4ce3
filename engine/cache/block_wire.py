"""What a worker and the node say on the worker's block socket: fixed-size messages, descriptors beside the replies."""

from __future__ import annotations

import struct
from enum import IntEnum

ASK = struct.Struct(">QQII")
"""request, object number, parts [first, end)."""
USED = 0
"""The request that is none: these parts are read from files that the worker holds."""
BLOCKS_MAX = 16
"""Blocks of one request: each is a descriptor beside the answer."""
ANSWER = struct.Struct(f">QII{BLOCKS_MAX}Q")
"""request, outcome, how many descriptors come with it, for each of them a bit for every part its file holds. FORGET
answers no request (0); it has pairs of object number and block in their place."""


class Outcome(IntEnum):
    """How a request for blocks ended."""

    GIVEN = 0
    REFUSED = 1
    """Not an object of a snapshot that a running statement of this worker holds."""
    GONE = 2
    """The pinned version is not there any more."""
    FAILED = 3
    """The store does not answer, or not as it should."""
    DENIED = 4
    """The store denies the node access."""
    KEY = 5
    """The node may not use the key that the object is encrypted with."""
    CREDENTIALS = 6
    """The node's credentials have expired, or the store does not know them."""
    THROTTLED = 7
    """The store wants fewer requests, and went on wanting it."""
    FORGET = 8
    """These blocks have left the volume: let go of them."""
