"""Alarms by a topic that people subscribe to."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from governance.errors import StoreUnavailable

_SUBJECT_CHARS_MAX = 100


class AlarmTopic:
    """Implements `governance.node_ports.Alarms`."""

    def __init__(self, client: Any, topic: str) -> None:
        """`topic`: its ARN."""
        self._client = client
        self._topic = topic

    def alarm(self, subject: str, facts: Mapping[str, str]) -> None:
        """See the port."""
        try:
            self._client.publish(
                TopicArn=self._topic,
                Subject=subject[:_SUBJECT_CHARS_MAX],
                Message=json.dumps({"subject": subject, **facts}, indent=1, sort_keys=True),
            )
        except (ClientError, BotoCoreError) as error:
            raise StoreUnavailable("Nobody could be told.", reason=type(error).__name__) from None
