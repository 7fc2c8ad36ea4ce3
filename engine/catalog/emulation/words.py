"""Words of PostgreSQL's grammar: which name nothing unless quoted, which end an alias, which are values."""

from __future__ import annotations


def words(text: str) -> frozenset[str]:
    """The words of a text."""
    return frozenset(text.split())


RESERVED = words(
    "all analyse analyze and any array as asc asymmetric both case cast check collate column constraint create "
    "current_catalog current_date current_role current_time current_timestamp current_user default deferrable "
    "desc distinct do else end except false fetch for foreign from grant group having in initially intersect into "
    "lateral leading limit localtime localtimestamp not null offset on only or order placing primary references "
    "returning select session_user some symmetric table then to trailing true union unique user using variadic "
    "when where window with "
)
"""Words that name nothing unless quoted."""

NOT_AN_ALIAS = RESERVED | words(
    "authorization binary collation concurrently cross current_schema freeze full ilike inner is isnull join left "
    "like natural notnull outer overlaps right similar tablesample verbose over filter "
)
"""Words that end a FROM item or a target rather than name it."""

VALUE_WORDS = words(
    "current_catalog current_date current_role current_schema current_time current_timestamp current_user "
    "localtime localtimestamp session_user user "
)
