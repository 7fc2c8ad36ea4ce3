"""What wakes the key rotation function: its schedule, KMS telling of a rotation, or somebody who asks for one. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from governance.errors import InvalidRequest

ASKED_MAX = 32
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")


def asked_keys(event: Mapping[str, Any]) -> tuple[str, ...]:
    """The encryption keys that the event asks to rotate: none, but for `{"rotate": ["data", ...]}`.

    Raises:
        InvalidRequest: an event that is not understood.
    """
    if (event.get("source"), event.get("detail-type")) in (
        ("aws.scheduler", "Scheduled Event"),
        ("aws.events", "Scheduled Event"),
        ("aws.kms", "KMS CMK Rotation"),
    ):
        return ()
    names = event.get("rotate")
    if set(event) != {"rotate"} or not isinstance(names, list) or not 0 < len(names) <= ASKED_MAX:
        raise InvalidRequest(
            "This event is not understood.", advice='Send {"rotate": ["data"]}, or a schedule\'s event.'
        )
    if not all(isinstance(name, str) and _NAME.fullmatch(name) for name in names):
        raise InvalidRequest("`rotate` holds names of encryption keys.")
    return tuple(dict.fromkeys(names))
