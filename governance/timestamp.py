"""Moments as text: RFC 3339 in UTC with microseconds and `Z`, one spelling, so that texts sort as moments do."""

from __future__ import annotations

from datetime import UTC, datetime


def stamp(moment: datetime) -> str:
    """`moment` (aware) as `2026-11-22T03:12:16.000000Z`.

    Raises:
        ValueError: a moment without a zone.
    """
    if moment.tzinfo is None:
        raise ValueError("a moment without a zone")
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def parse(text: str) -> datetime:
    """The moment that an RFC 3339 text names.

    Raises:
        ValueError: not RFC 3339, or without a zone.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None or "T" not in text:
        raise ValueError("a moment is written like 2026-11-22T03:12:16Z")
    return moment.astimezone(UTC)
