"""The patterns of the API's models applied to what does not come through the API."""

from __future__ import annotations

import re

from governance.errors import InvalidRequest


def needs(pattern: str, text: str, what: str) -> None:
    """Refuse text that a model with this pattern would refuse.

    Raises:
        InvalidRequest: it does not match as a whole.
    """
    if not re.fullmatch(pattern.removeprefix("^").removesuffix("$"), text):
        raise InvalidRequest(f"This is no {what}.", advice="Look at the patterns in docs/control-plane.md.")
