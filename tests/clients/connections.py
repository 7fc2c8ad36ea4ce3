"""Connections of drivers that want more than a DSN."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from typing import TypeVar

import asyncpg

from tests.support.stack import Stack

T = TypeVar("T")


def context(stack: Stack) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(stack.ca))


def over_asyncpg(stack: Stack, work: Callable[[asyncpg.Connection], Awaitable[T]]) -> T:
    """What `work` makes of a connection of ana's."""

    async def connected() -> T:
        connection = await asyncpg.connect(
            host="localhost", port=stack.port, user="x", database="production", password=stack.keys["ana"],
            ssl=context(stack),
        )  # fmt: skip
        try:
            return await work(connection)
        finally:
            await connection.close()

    return asyncio.run(connected())
