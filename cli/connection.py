"""The administering verbs' way to the control plane: its REST API, over TLS 1.3, with the caller's API key.

Where it is: `--home` (its `run/control.json` and `tls/ca.crt`), or `HATIDATA_URL` (and `HATIDATA_CA`, a file with
the authority's certificate). Who asks: `HATIDATA_API_KEY`, never an argument.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cli.exits import Unreachable, UsageWrong
from governance.api_key import is_well_formed
from governance.errors import Refusal
from hatidata_client import Answer, Client, Refused, path
from hatidata_client import Unreachable as ClientUnreachable
from local.home import Home

__all__ = ["Address", "ControlPlane", "RefusedByControlPlane", "find", "path"]

TIMEOUT_S = 30.0


class RefusedByControlPlane(Refusal):
    """A refusal that came over the wire, with the code it was given there."""

    def __init__(self, code: str, message: str, *, advice: str, status: int, request_id: str) -> None:
        super().__init__(message, advice=advice)
        self.code = code
        self.status = status
        self.request_id = request_id


@dataclass(frozen=True, slots=True)
class Address:
    """Where a control plane is, and which authority vouches for it."""

    url: str
    ca: Path | None
    """None: the system's authorities."""
    environment: str = ""
    """Empty: ask the control plane."""


def find(home: Path | None, environment: str = "") -> Address:
    """The address that options and environment variables mean.

    Raises:
        UsageWrong: neither `--home` nor `HATIDATA_URL` is given.
        NotFound: no home there, or nothing runs in it.
    """
    if home is not None:
        opened = Home.open(home)
        return Address(opened.running().url, opened.tls_path / "ca.crt", environment or opened.settings().environment)
    url = os.environ.get("HATIDATA_URL", "")
    if not url:
        raise UsageWrong("Say where the control plane is: --home DIR, or HATIDATA_URL.")
    if not url.startswith("https://"):
        raise UsageWrong("HATIDATA_URL must begin with https://.")
    ca = os.environ.get("HATIDATA_CA", "")
    return Address(url, Path(ca) if ca else None, environment)


class ControlPlane(Client):
    """The client, told by options and environment variables, whose faults end a verb as `cli.exits` says."""

    def __init__(self, address: Address, api_key: str) -> None:
        try:
            super().__init__(address.url, api_key, ca=address.ca, environment=address.environment, timeout_s=TIMEOUT_S)
        except OSError:
            raise UsageWrong("The authority's certificate (HATIDATA_CA) cannot be read.") from None

    @classmethod
    def connect(cls, home: Path | None, environment: str = "") -> ControlPlane:
        """The control plane meant by options and environment variables.

        Raises:
            UsageWrong: no address, or `HATIDATA_API_KEY` holds no key.
            NotFound: no home there, or nothing runs in it.
        """
        key = os.environ.get("HATIDATA_API_KEY", "")
        if not is_well_formed(key):
            raise UsageWrong("Put your API key into the environment variable HATIDATA_API_KEY.")
        return cls(find(home, environment), key)

    def _call(self, *arguments: Any, **named: Any) -> Answer:
        try:
            return super()._call(*arguments, **named)
        except Refused as refused:
            raise RefusedByControlPlane(
                refused.code,
                refused.message,
                advice=refused.advice,
                status=refused.status,
                request_id=refused.request_id,
            ) from None
        except ClientUnreachable as error:
            raise Unreachable(str(error)) from None
