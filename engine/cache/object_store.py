"""The one place that talks to the object store: a folder or S3, through obstore's one API.

Every read is pinned to an ETag: an object that was replaced is never mixed with its successor. The store's own words
(they can hold keys and request ids) stay here; what leaves is `ObjectGone` or `StoreFailed` with a short reason.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import obstore
from obstore import exceptions
from obstore.store import LocalStore, S3Store

from engine.cache.objects import StoredObject
from governance.errors import InvalidRequest

_RETRIES_MAX = 6
_TIMEOUT = timedelta(seconds=15)
"""Of one request."""
_RETRY_TIMEOUT = timedelta(seconds=20)
_PAGE_S = 30.0
"""Of one page of a listing with all its retries."""
_SHORT_READS_MAX = 3
_EXPIRED = re.compile(r"ExpiredToken|InvalidToken|TokenRefreshRequired|RequestTimeTooSkewed|InvalidAccessKeyId")
_DENIED = re.compile(r"<Code>AccessDenied|403 Forbidden")
_KEY_DENIED = re.compile(r"<Code>KMS|kms:Decrypt")
_THROTTLED = re.compile(r"SlowDown|TooManyRequests|503 Service Unavailable|429 Too Many")


class ObjectGone(Exception):
    """The pinned version of an object is not there any more. Retrying with a new snapshot helps."""


class StoreFailed(Exception):
    """The store refuses or does not answer; the text is a word of ours: see `WHY`."""


WHY = ("denied", "key", "credentials", "throttled", "failed")
"""Access denied; the key that objects are encrypted with denied; credentials expired or unknown; too many requests;
anything else (unreachable, cut off, short)."""


def _reason(error: BaseException) -> str:
    """One word of `WHY`. The store's text is looked through for its codes and goes no further: it can hold keys."""
    text = str(error)
    if isinstance(error, exceptions.UnauthenticatedError) or _EXPIRED.search(text):
        return "credentials"
    if isinstance(error, exceptions.PermissionDeniedError) or _DENIED.search(text):
        return "key" if _KEY_DENIED.search(text) else "denied"
    return "throttled" if _THROTTLED.search(text) else "failed"


class ObjectStore:
    """Objects below `data`: a folder, or `s3://bucket/prefix` with credentials of the instance or the environment."""

    def __init__(self, data: str) -> None:
        """Open the store; nothing is read yet.

        Raises:
            InvalidRequest: neither a folder that exists nor an `s3://` address.
        """
        self.data = data
        self.is_local = not data.startswith("s3://")
        self._store: Any = self._folder(data) if self.is_local else self._bucket(data)

    @staticmethod
    def _folder(data: str) -> Any:
        folder = Path(data).expanduser().resolve()
        if "://" in data or not folder.is_dir():
            raise InvalidRequest(
                "The data is neither a folder nor an s3:// address.", advice="Create the folder first."
            )
        return LocalStore(prefix=folder)

    @staticmethod
    def _bucket(data: str) -> Any:
        endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
        options: Any = {"timeout": _TIMEOUT, "connect_timeout": timedelta(seconds=5)}
        config: Any = {}
        if endpoint:
            config["endpoint"] = endpoint
            if endpoint.startswith("http://"):
                options["allow_http"] = True
        retry: Any = {
            "max_retries": _RETRIES_MAX,
            "retry_timeout": _RETRY_TIMEOUT,
            "backoff": {"init_backoff": timedelta(milliseconds=50), "max_backoff": timedelta(seconds=5), "base": 2},
        }
        try:
            return S3Store.from_url(data, config=config or None, client_options=options, retry_config=retry)
        except (exceptions.BaseError, ValueError):
            raise InvalidRequest("This s3:// address cannot be used.", advice="Write s3://bucket/prefix.") from None

    async def list(self, prefix: str = "", *, objects_max: int) -> AsyncIterator[list[StoredObject]]:
        """Batches of objects below `prefix`, in no order.

        Raises:
            StoreFailed: the store refuses or does not answer, or there are more than `objects_max` objects.
        """
        seen = 0
        pages = aiter(obstore.list(self._store, prefix or None, chunk_size=1000))
        try:
            while True:
                async with asyncio.timeout(_PAGE_S):
                    batch = await anext(pages, None)
                if batch is None:
                    return
                seen += len(batch)
                if seen > objects_max:
                    raise StoreFailed("too many objects")
                yield [
                    StoredObject(meta["path"], meta["e_tag"] or meta["last_modified"].isoformat(), meta["size"])
                    for meta in batch
                ]
        except exceptions.NotFoundError:
            return  # a folder without anything
        except (exceptions.BaseError, OSError) as error:
            raise StoreFailed(_reason(error)) from None

    def read(self, stored: StoredObject, start: int, end: int) -> memoryview:
        """Bytes [start, end) of exactly this version. Blocks, longer than any reader waits when the store is silent.

        Raises:
            ObjectGone: the version is not there any more.
            StoreFailed: the store refuses, does not answer, or gives fewer bytes than it should.
        """
        for _ in range(_SHORT_READS_MAX):
            data = self._read_once(stored, start, end)
            if len(data) == end - start:
                return data
        raise StoreFailed("failed")

    def _read_once(self, stored: StoredObject, start: int, end: int) -> memoryview:
        try:
            result = obstore.get(self._store, stored.path, options={"if_match": stored.etag, "range": (start, end)})
            if result.meta["e_tag"] != stored.etag or result.meta["size"] != stored.size:
                raise ObjectGone("replaced")
            return memoryview(result.bytes())
        except (exceptions.NotFoundError, exceptions.PreconditionError, FileNotFoundError):
            raise ObjectGone("replaced or removed") from None
        except (exceptions.BaseError, OSError) as error:
            raise StoreFailed(_reason(error)) from None
