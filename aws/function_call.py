"""One of the deployment's functions, called by whoever the customer's IAM lets, and its answer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from governance.errors import InvalidRequest, StoreUnavailable

ANSWER_BYTES_MAX = 7 << 20
"""A little more than Lambda lets a function answer."""


def call_function(client: Any, name: str, event: Mapping[str, Any]) -> dict[str, Any]:
    """What the function `name` answers to `event`; `client` is boto3's of Lambda.

    Raises:
        InvalidRequest: the function refused the event, in its own safe sentence.
        StoreUnavailable: it cannot be called, or failed.
    """
    try:
        answer = client.invoke(FunctionName=name, Payload=json.dumps(dict(event)).encode())
        payload = answer["Payload"].read(ANSWER_BYTES_MAX + 1)
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
        raise _unavailable(name, code) from None
    except (BotoCoreError, OSError) as error:
        raise _unavailable(name, type(error).__name__) from None
    if answer.get("FunctionError") or len(payload) > ANSWER_BYTES_MAX:
        raise _unavailable(name, "failed")
    try:
        document = json.loads(payload)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise _unavailable(name, "no answer")
    refusal = document.get("error")
    if isinstance(refusal, dict):
        raise InvalidRequest(str(refusal.get("message", "")), advice=str(refusal.get("advice", "")))
    return document


def _unavailable(name: str, why: str) -> StoreUnavailable:
    shown = why if why.isalnum() else "failed"
    return StoreUnavailable(
        f"The function {name} could not be called or failed ({shown}).",
        advice="Check the region, the deployment's name, and that your credentials may invoke it; then try again.",
        reason=why,
    )
