"""The control plane of `tests.control_plane`, for the functions that work on the same register."""

from __future__ import annotations

from tests.control_plane.conftest import api as api
