"""A statement's shape: every literal, comment, alias and quoted identifier gives way to a typed placeholder.

For environments that must not store values at all: patterns miss what a statement assembles (`'123-45' || '-6789'`),
a shape has nothing to assemble. What is not known to be harmless is replaced, so a text that does not parse, or does
not even fall into tokens, is never stored raw. With a key, a literal's placeholder carries its HMAC, by which equal
literals can be found without being readable.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import re

import sqlglot
from sqlglot import Token, TokenType, exp
from sqlglot.errors import SqlglotError

from governance.redaction import MAX_TEXT_CHARS, redact

logging.getLogger("sqlglot").setLevel(logging.CRITICAL)  # its warnings quote the client's text

PARSED_CHARS_MAX = 8_192
"""Longer texts are not parsed, for that takes too long beside other statements: all their names are replaced."""

_STRINGS = {
    TokenType.STRING,
    TokenType.NATIONAL_STRING,
    TokenType.RAW_STRING,
    TokenType.HEREDOC_STRING,
    TokenType.UNICODE_STRING,
    TokenType.BYTE_STRING,
    TokenType.BIT_STRING,
    TokenType.HEX_STRING,
}
_TOKENIZER = sqlglot.Dialect.get_or_raise("duckdb").tokenizer_class
_KNOWN = {word.upper() for word in _TOKENIZER.KEYWORDS} | set(_TOKENIZER.SINGLE_TOKENS)
_NAME = re.compile(r"\A[A-Za-z_][A-Za-z0-9_$]*\Z")


def fingerprint(text: str, key: bytes | None = None) -> str:
    """The shape of `text`, one line, at most `MAX_TEXT_CHARS` and a little; of a longer text, only its length.

    Args:
        text: a statement, or anything else.
        key: when given, `<string:…>` and `<number:…>` hold 16 hex digits of the literal's HMAC-SHA-256.
    """
    if len(text) > MAX_TEXT_CHARS:
        return f"<unreadable:{len(text)}>"
    try:
        tokens = sqlglot.tokenize(text, read="duckdb")
    except SqlglotError:
        return f"<unreadable:{len(text)}>"
    aliases = _aliases(text) if len(text) <= PARSED_CHARS_MAX else None
    numbers: dict[str, int] = {}
    parts: list[str] = []
    for token in tokens:
        parts += ["<comment>"] * len(token.comments)
        parts.append(_shown(token, aliases, numbers, key))
    return redact(" ".join(parts))[: MAX_TEXT_CHARS + 32]


def _aliases(text: str) -> set[str] | None:
    """Folded names that the statement itself gives to things; None when it does not parse."""
    names: set[str] = set()
    try:
        for tree in sqlglot.parse(text, read="duckdb"):
            if tree is not None and not isinstance(tree, exp.Query | exp.Insert | exp.Update | exp.Delete | exp.Create):
                return None  # commands are taken as they stand, not understood
            for node in tree.walk() if tree else ():
                names |= _given_by(node)
    except (SqlglotError, RecursionError):
        return None
    names.discard("")
    return names


def _given_by(node: exp.Expr) -> set[str]:
    """Names that this node of the tree brings into the statement."""
    names = {node.alias.lower()} if node.args.get("alias") else set()
    if isinstance(node, exp.TableAlias):
        names.add(node.name.lower())
        names.update(column.name.lower() for column in node.args.get("columns") or ())
    elif isinstance(node, exp.Aliases):
        names.update(alias.name.lower() for alias in node.expressions)
    elif isinstance(node, exp.Lambda):
        names.update(argument.name.lower() for argument in node.expressions)
    elif isinstance(node, exp.PropertyEQ | exp.Kwarg | exp.Placeholder | exp.Parameter):
        names.add(node.name.lower())
    return names


def _shown(token: Token, aliases: set[str] | None, numbers: dict[str, int], key: bytes | None) -> str:
    kind, text = token.token_type, token.text
    if kind in _STRINGS:
        return _literal("string", text, key)
    if kind is TokenType.NUMBER:
        return _literal("number", text, key)
    if kind is TokenType.IDENTIFIER:
        return f"<identifier:{_numbered(text.lower(), numbers)}>"
    folded = text.lower()
    if aliases is not None and folded in aliases:
        return f"<alias:{_numbered(folded, numbers)}>"
    if text.upper() in _KNOWN:
        return text.upper()
    if aliases is not None and kind is TokenType.VAR and _NAME.match(text):
        return text
    return f"<name:{_numbered(folded, numbers)}>"


def _numbered(name: str, numbers: dict[str, int]) -> int:
    """The same number for the same name within one statement."""
    return numbers.setdefault(name, len(numbers) + 1)


def _literal(kind: str, text: str, key: bytes | None) -> str:
    if key is None:
        return f"<{kind}>"
    return f"<{kind}:{literal_digest(text, key)}>"


def literal_digest(text: str, key: bytes) -> str:
    """What stands for a literal: 16 hex digits of HMAC-SHA-256 under the environment's key."""
    return hmac.new(key, text.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()[:16]
