"""boto3 clients with a deadline on every call and a bound on every retry; credentials are the role's, never given."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import boto3
from botocore.config import Config

CONNECT_S = 3.0
READ_S = 10.0
ATTEMPTS = 3


@lru_cache(maxsize=32)
def client(service: str, region: str = "") -> Any:
    """The client of a service in `region` (empty: the environment's). Safe for threads."""
    return boto3.session.Session().client(
        service,
        region_name=region or None,
        config=Config(
            connect_timeout=CONNECT_S,
            read_timeout=READ_S,
            retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
            user_agent_extra="hatidata",
        ),
    )
