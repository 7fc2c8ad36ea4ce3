"""The door of long polls in AWS: the load balancer sends it the nodes' requests that carry `wait_s`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from lambdas.control_plane.handler import in_aws
from lambdas.control_plane.long_poll import long_polling
from lambdas.control_plane.settings import ControlPlaneSettings


def handler(event: Mapping[str, Any], context: Any) -> dict[str, Any]:
    """The rulebook when it is another than the node's, or the word that it is not, later."""
    store, handle = in_aws(ControlPlaneSettings.from_environment(os.environ))
    return long_polling(handle, store)(event, context)
