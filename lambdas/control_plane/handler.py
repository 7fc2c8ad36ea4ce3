"""The door in Lambda: one control plane per process, and a function the load balancer may call."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from governance.ports import Clock, ControlStore, QueryAuditSearch, SecretBox, Signer
from lambdas.control_plane.api import ControlPlane

Handler = Callable[[Mapping[str, Any], Any], dict[str, Any]]


def make_handler(
    store: ControlStore,
    clock: Clock,
    *,
    queries: QueryAuditSearch | None = None,
    secrets: SecretBox | None = None,
    signer: Signer | None = None,
) -> Handler:
    """The Lambda handler over these adapters: the same one at home and in AWS."""
    return ControlPlane(store, clock, queries=queries, secrets=secrets, signer=signer).handle
