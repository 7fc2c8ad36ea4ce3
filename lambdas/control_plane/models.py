"""The pieces that request and answer models of several resources share."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterable
from typing import Annotated, Generic, TypeVar

from aws_lambda_powertools.event_handler.openapi.params import Path, Query
from pydantic import BaseModel, ConfigDict, Field

from governance.errors import InvalidRequest
from governance.quota import QUERIES_MAX, Quota

T = TypeVar("T")

LIMIT_DEFAULT = 100
LIMIT_MAX = 1000

ORGANIZATION_ID = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$"
USER_ID = r"^[\w.@+:~$=,'!*&-]+$"
EMAIL = r"^[\w.!$&'*+=~-]+@[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?$"
USER_ID_CHARS_MAX = 254
NAME = r"^[^\x00-\x1f\x7f\u0085\u2028\u2029]{1,128}$"
SCHEMA = r"^[^\x00-\x1f\x7f./\\%\"]{1,128}$"
OBJECT_ID = r"^[A-Za-z0-9_.-]{1,64}$"
ENVIRONMENT = r"^[a-z][a-z0-9_-]{0,31}$"


class Model(BaseModel):
    """A request or answer body: what it does not name is refused."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class QuotaModel(Model):
    """Statements that may begin in an environment within a day (UTC) and within a minute; 0 is no limit."""

    queries_per_day: Annotated[int, Field(ge=0, le=QUERIES_MAX)] = 0
    queries_per_minute: Annotated[int, Field(ge=0, le=QUERIES_MAX)] = 0

    def quota(self) -> Quota:
        """The law's noun."""
        return Quota(self.queries_per_day, self.queries_per_minute)


class Page(Model, Generic[T]):
    """One page of a list; `next` is the cursor of the following page, or null."""

    items: list[T]
    next: str | None = None


Name = Annotated[str, Field(pattern=NAME)]
EnvironmentPath = Annotated[str, Path(pattern=ENVIRONMENT, description="production or staging")]
ObjectIdPath = Annotated[str, Path(pattern=OBJECT_ID)]
Limit = Annotated[int, Query(ge=1, le=LIMIT_MAX, description="How many at most")]
Cursor = Annotated[str, Query(max_length=4096, description="`next` of the page before")]


def page(
    items: Iterable[T], key: Callable[[T], str], cursor: str, limit: int, *, where: Callable[[T], bool] | None = None
) -> tuple[list[T], str | None]:
    """The items past `cursor` in the order of `key`, at most `limit`, and the cursor that follows them.

    Raises:
        InvalidRequest: a cursor that no page gave.
    """
    after = decode_cursor(cursor)
    rest = sorted((item for item in items if key(item) > after and (where is None or where(item))), key=key)
    more = len(rest) > limit
    return rest[:limit], encode_cursor(key(rest[limit - 1])) if more else None


def encode_cursor(text: str) -> str:
    """An opaque cursor."""
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decode_cursor(cursor: str) -> str:
    """What `encode_cursor` was given; an empty cursor is the beginning.

    Raises:
        InvalidRequest: a cursor that no page gave.
    """
    try:
        return base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode()
    except (binascii.Error, UnicodeError, ValueError):
        raise InvalidRequest("This cursor is not one of ours.", advice="Begin again without a cursor.") from None
