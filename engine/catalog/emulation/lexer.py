"""PostgreSQL's tokens: strings of every kind, quoted names, operators, parameters, nested comments."""

from __future__ import annotations

import re
from typing import NamedTuple

from governance.errors import SyntaxRefused, TextRefused

TEXT_BYTES_MAX = 128 * 1024
TOKENS_MAX = 12_000
"""The longest statement recorded from a client has 32 kB and 5,100 tokens."""

_SPACE = re.compile(r"[ \t\n\r\f\v]+|--[^\n\r]*")
_NAME = re.compile(r"[A-Za-z_\x80-\U0010ffff][A-Za-z_0-9$\x80-\U0010ffff]*")
_NUMBER = re.compile(r"(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
_PARAMETER = re.compile(r"\$(\d{1,5})")
_DOLLAR = re.compile(r"\$([A-Za-z_\x80-\U0010ffff][A-Za-z_0-9\x80-\U0010ffff]*)?\$")
_OPERATOR = re.compile(r"[-+*/<>=~!@#%^&|`?]+")
_CONTINUED = re.compile(r"[ \t\f\v]*[\n\r]\s*'")
_FOLD = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}
_SIMPLE_ESCAPES = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_ESCAPE = re.compile(r"\\(x[0-9A-Fa-f]{1,2}|u[0-9A-Fa-f]{4}|U[0-9A-Fa-f]{8}|[0-7]{1,3}|.)", re.DOTALL)


class Token(NamedTuple):
    """`kind`: name, quoted, string, bits, integer, number, parameter, operator, punctuation, end."""

    kind: str
    text: str
    """A name is folded, a string is its value."""
    position: int
    """0-based offset of its first character."""


def fold_name(text: str) -> str:
    """An unquoted name as PostgreSQL folds it in UTF-8: ASCII letters only."""
    return text.translate(_FOLD)


def _unescape(text: str, position: int) -> str:
    def one(match: re.Match[str]) -> str:
        body = match.group(1)
        if body[0] in "xuU" and len(body) > 1:
            number = int(body[1:], 16)
        elif body[0] in "01234567":
            number = int(body, 8)
        else:
            return _SIMPLE_ESCAPES.get(body, body)
        if not 0 < number < 0x110000 or 0xD800 <= number < 0xE000:
            raise SyntaxRefused("Invalid escape in a string.", position=position + 1)
        return chr(number)

    return _ESCAPE.sub(one, text)


def _string(text: str, at: int, escapes: bool) -> tuple[str, int]:
    """The value of the string whose opening quote is at `at`, and where it ends."""
    pieces: list[str] = []
    i = at + 1
    while True:
        end = i
        while end < len(text) and text[end] != "'" and not (escapes and text[end] == "\\"):
            end += 1
        pieces.append(text[i:end])
        if end >= len(text):
            raise SyntaxRefused("Unterminated quoted string.", position=at + 1)
        if text[end] == "\\":
            pieces.append(text[end : end + 2])
            i = end + 2
        elif text[end + 1 : end + 2] == "'":
            pieces.append("'")
            i = end + 2
        else:
            continued = _CONTINUED.match(text, end + 1)
            if continued:  # 'a' and 'b' on lines of their own are one string
                i = continued.end()
                continue
            raw = "".join(pieces)
            return (_unescape(raw, at) if escapes else raw), end + 1


def _skip(text: str, at: int) -> int:
    """The offset after white space and comments (block comments nest)."""
    while at < len(text):
        match = _SPACE.match(text, at)
        if match:
            at = match.end()
        elif text.startswith("/*", at):
            depth, at, start = 1, at + 2, at
            while depth:
                opening, closing = text.find("/*", at), text.find("*/", at)
                if closing < 0:
                    raise SyntaxRefused("Unterminated comment.", position=start + 1)
                if 0 <= opening < closing:
                    depth, at = depth + 1, opening + 2
                else:
                    depth, at = depth - 1, closing + 2
        else:
            break
    return at


def _operator_end(text: str, at: int) -> int:
    match = _OPERATOR.match(text, at)
    if match is None:
        return at
    symbol = match.group()
    for comment in ("--", "/*"):
        cut = symbol.find(comment)
        if cut > 0:
            symbol = symbol[:cut]
    # PostgreSQL: an operator ends in + or - only if it holds one of ~ ! @ # % ^ & | ` ?
    while len(symbol) > 1 and symbol[-1] in "+-" and not set(symbol) & set("~!@#%^&|`?"):
        symbol = symbol[:-1]
    return at + len(symbol)


def _quoted_name(text: str, at: int) -> tuple[str, int]:
    end = at + 1
    while True:
        end = text.find('"', end)
        if end < 0:
            raise SyntaxRefused("Unterminated quoted identifier.", position=at + 1)
        if text[end + 1 : end + 2] != '"':
            return text[at + 1 : end].replace('""', '"'), end + 1
        end += 2


def tokens(text: str) -> list[Token]:
    """The tokens of `text`, ended by one of kind `end`.

    Raises:
        TextRefused: too long, or a NUL in it.
        SyntaxRefused: something that PostgreSQL has no token for.
    """
    if len(text) > TEXT_BYTES_MAX:
        raise TextRefused("The catalog query is too long.", advice=f"The limit is {TEXT_BYTES_MAX} characters.")
    if "\0" in text:
        raise TextRefused("The text holds a NUL character.")
    found: list[Token] = []
    at = _skip(text, 0)
    while at < len(text):
        token, at = _next(text, at)
        found.append(token)
        if len(found) > TOKENS_MAX:
            raise TextRefused("The catalog query has too many tokens.")
        at = _skip(text, at)
    found.append(Token("end", "", len(text)))
    return found


def _next(text: str, at: int) -> tuple[Token, int]:
    c = text[at]
    if c == "'":
        value, end = _string(text, at, escapes=False)
        return Token("string", value, at), end
    if c in "eEnN" and text[at + 1 : at + 2] == "'":
        value, end = _string(text, at + 1, escapes=c in "eE")
        return Token("string", value, at), end
    if c == '"':
        value, end = _quoted_name(text, at)
        if not value:
            raise SyntaxRefused("Zero-length quoted identifier.", position=at + 1)
        return Token("quoted", value, at), end
    match = _NAME.match(text, at)
    if match:
        follows = text[match.end() : match.end() + 2]
        if follows[:1] == "'" and match.group() in ("b", "B", "x", "X"):
            return _bits(text, match.end(), at)
        if follows in ("&'", '&"') and match.group() in ("u", "U"):
            raise SyntaxRefused("Unicode strings are not supported here.", position=at + 1)
        return Token("name", fold_name(match.group()), at), match.end()
    match = _NUMBER.match(text, at)
    if match and (c != "." or text[at + 1 : at + 2].isdigit()):
        return Token("integer" if match.group().isdigit() else "number", match.group(), at), match.end()
    if c == "$":
        return _dollar(text, at)
    if text.startswith("::", at):
        return Token("punctuation", "::", at), at + 2
    if c in "()[],;.:":
        return Token("punctuation", c, at), at + 1
    end = _operator_end(text, at)
    if end == at:
        raise SyntaxRefused("Syntax error.", position=at + 1)
    symbol = text[at:end]
    return Token("operator", "<>" if symbol == "!=" else symbol, at), end


def _bits(text: str, quote: int, at: int) -> tuple[Token, int]:
    """`b'0101'` or `x'1F'`, as its bits."""
    value, end = _string(text, quote, escapes=False)
    if text[at] in "xX":
        if not all(c in "0123456789abcdefABCDEF" for c in value):
            raise SyntaxRefused("Not a bit string.", position=at + 1)
        value = "".join(f"{int(c, 16):04b}" for c in value)
    if not set(value) <= {"0", "1"}:
        raise SyntaxRefused("Not a bit string.", position=at + 1)
    return Token("bits", value, at), end


def _dollar(text: str, at: int) -> tuple[Token, int]:
    match = _PARAMETER.match(text, at)
    if match:
        return Token("parameter", match.group(1), at), match.end()
    match = _DOLLAR.match(text, at)
    if match:
        end = text.find(match.group(), match.end())
        if end >= 0:
            return Token("string", text[match.end() : end], at), end + len(match.group())
    raise SyntaxRefused("Syntax error at a dollar sign.", position=at + 1)
