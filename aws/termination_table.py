"""The journal of nodes' ends on DynamoDB: what goes on in one partition, what has ended in another, both read strongly.

`pk` is `open` or `closed`, `sk` the key of the termination; `doc` its JSON, `version` a number for conditional puts.
Closing moves the item in one transaction and sets `expires`, so the open partition stays small and is queried, never
scanned.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import timedelta
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from aws.names import EXPIRES, PARTITION_KEY, SORT_KEY
from governance.errors import Conflict, StoreUnavailable
from governance.ports import Clock
from governance.termination import Termination, decode, encode

_LOG = logging.getLogger("hatidata.terminations")
OPEN, CLOSED = "open", "closed"
KEPT_DAYS = 400
"""After this the table forgets; the evidence lies in the audit store for its own time."""
_CONFLICTS = frozenset(
    {"ConditionalCheckFailedException", "TransactionCanceledException", "TransactionConflictException"}
)


class TerminationTable:
    """Implements `governance.node_ports.TerminationJournal`."""

    def __init__(self, client: Any, table: str, clock: Clock) -> None:
        self._client = client
        self._table = table
        self._clock = clock

    def get(self, key: str) -> Termination | None:
        """See the port.

        Raises:
            StoreUnavailable: it cannot be read.
        """
        for partition in (OPEN, CLOSED):
            answer = self._call(
                "get_item",
                TableName=self._table,
                Key={PARTITION_KEY: {"S": partition}, SORT_KEY: {"S": key}},
                ConsistentRead=True,
            )
            if "Item" in answer:
                return _read(answer["Item"])
        return None

    def put(self, termination: Termination) -> Termination:
        """See the port."""
        kept = replace(termination, version=termination.version + 1)
        condition: dict[str, Any] = {"ConditionExpression": "attribute_not_exists(#v)"}
        if termination.version:
            condition = {
                "ConditionExpression": "#v = :was",
                "ExpressionAttributeValues": {":was": {"N": str(termination.version)}},
            }
        condition["ExpressionAttributeNames"] = {"#v": "version"}
        if not kept.closed:
            self._call("put_item", TableName=self._table, Item=_item(OPEN, kept), **condition)
            return kept
        expires = int((self._clock.now() + timedelta(days=KEPT_DAYS)).timestamp())
        closed = {**_item(CLOSED, kept), EXPIRES: {"N": str(expires)}}
        gone = {PARTITION_KEY: {"S": OPEN}, SORT_KEY: {"S": kept.key}}
        self._call(
            "transact_write_items",
            TransactItems=[
                {"Delete": {"TableName": self._table, "Key": gone, **condition}},
                {"Put": {"TableName": self._table, "Item": closed}},
            ],
        )
        return kept

    def unfinished(self) -> list[Termination]:
        """See the port."""
        found: list[Termination] = []
        start: dict[str, Any] = {}
        while True:
            answer = self._call(
                "query",
                TableName=self._table,
                KeyConditionExpression="#p = :open",
                ExpressionAttributeNames={"#p": PARTITION_KEY},
                ExpressionAttributeValues={":open": {"S": OPEN}},
                ConsistentRead=True,
                **start,
            )
            found += [read for item in answer.get("Items", []) if (read := _read(item)) is not None]
            if "LastEvaluatedKey" not in answer:
                return found
            start = {"ExclusiveStartKey": answer["LastEvaluatedKey"]}

    def _call(self, operation: str, **arguments: Any) -> dict[str, Any]:
        try:
            answer: dict[str, Any] = getattr(self._client, operation)(**arguments)
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", ""))
            if code in _CONFLICTS:
                raise Conflict("The end of this node was moved by another invocation.") from None
            raise StoreUnavailable("The journal of nodes' ends does not answer.", reason=code) from None
        except BotoCoreError as error:
            raise StoreUnavailable("The journal of nodes' ends does not answer.", reason=type(error).__name__) from None
        return answer


def _item(partition: str, termination: Termination) -> dict[str, Any]:
    return {
        PARTITION_KEY: {"S": partition},
        SORT_KEY: {"S": termination.key},
        "doc": {"S": encode(termination)},
        "version": {"N": str(termination.version)},
    }


def _read(item: dict[str, Any]) -> Termination | None:
    """The termination, or None for what cannot be read: one such must not keep other nodes waiting.

    Its node is found again by its waiting for the hook, and begins anew.
    """
    try:
        return decode(item["doc"]["S"])
    except (ValueError, KeyError):
        _LOG.error("an end of a node in the journal cannot be read")
        return None
