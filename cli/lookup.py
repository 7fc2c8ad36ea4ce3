"""Finding one object by what people call it: its id, or its name when only one bears it."""

from __future__ import annotations

from typing import Any

from cli.connection import ControlPlane
from governance.errors import Conflict, NotFound


def one(plane: ControlPlane, where: str, wanted: str, *, by: tuple[str, ...] = ("id", "name")) -> dict[str, Any]:
    """The object of the list at `where` whose `by` field (tried in order) is `wanted`.

    Raises:
        NotFound: none is.
        Conflict: several are.
    """
    items = list(plane.items(where))
    for field in by:
        found = [item for item in items if str(item.get(field, "")).casefold() == wanted.casefold()]
        standing = [item for item in found if item.get("status", "active") in ("active", "waiting")] or found
        if len(standing) == 1:
            return standing[0]
        if standing:
            ids = ", ".join(str(item["id"]) for item in standing[:5])
            raise Conflict(f"Several are called {wanted}.", advice=f"Say which by its id: {ids}.")
    raise NotFound(f"There is no {wanted} here, or you may not see it.", advice="List them to see the names.")
