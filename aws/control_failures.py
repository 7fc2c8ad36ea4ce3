"""What DynamoDB refuses about the control table, read: to be tried again, a fork of the chain, or an error of ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import BotoCoreError, ClientError

from governance.errors import Conflict, StoreUnavailable

_BUSY = frozenset(
    {
        "TransactionInProgressException", "ProvisionedThroughputExceededException", "ThrottlingException",
        "RequestLimitExceeded", "InternalServerError", "ServiceUnavailable", "LimitExceededException",
    }
)  # fmt: skip


def refuse_fork(error: Exception) -> None:
    """Raise StoreUnavailable when not the state (which comes first) but an event of the chain was in the way."""
    if not isinstance(error, ClientError):
        return
    codes = [reason.get("Code", "None") for reason in error.response.get("CancellationReasons", ())]
    if codes[:1] == ["None"] and "ConditionalCheckFailed" in codes:
        raise StoreUnavailable(
            "The chain of the control table and its state do not agree.",
            advice="The table was changed by other means; compare it with the signed checkpoints.",
            reason="an event of the chain is there already",
        ) from None


def undecided(error: Exception) -> bool:
    """Whether trying again may help: a condition failed, writers met, the table was busy, an answer was lost."""
    if not isinstance(error, ClientError):
        return True
    code = error.response.get("Error", {}).get("Code", "")
    if code == "TransactionCanceledException":
        reasons = {reason.get("Code", "None") for reason in error.response.get("CancellationReasons", ())}
        return not reasons & {"ValidationError", "ItemCollectionSizeLimitExceeded"}
    return code in _BUSY or code == "ConditionalCheckFailedException"


@contextmanager
def spoken() -> Iterator[None]:
    """AWS's failures in our words: its own can hold keys and values."""
    try:
        yield
    except (ClientError, BotoCoreError) as error:
        code = error.response.get("Error", {}).get("Code", "") if isinstance(error, ClientError) else ""
        raise StoreUnavailable(
            "The control plane's store cannot be used just now.",
            advice="Try again; if it stays so, look at the control table and the function's rights.",
            reason=f"{code or type(error).__name__} in the store",
        ) from None


def busy() -> StoreUnavailable:
    """Others write all the time."""
    return StoreUnavailable("The control plane is busy.", advice="Try again.")


def name_taken() -> Conflict:
    """A change would give two objects one name."""
    return Conflict("Another object has this name or id already.", advice="Choose another, or change that one.")
