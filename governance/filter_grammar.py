"""The grammar of row filters: text to tree, with the place of every mistake.

filter  := or ; or := and {OR and} ; and := not {AND not} ; not := [NOT] test
test    := sum [cmp sum | [NOT] IN (..) | [NOT] BETWEEN sum AND sum | [NOT] [I]LIKE text | IS [NOT] NULL
           | IS [NOT] DISTINCT FROM sum]
sum     := primary {'||' primary} ; primary := (or) | literal | {name} | column | f(..) | CAST | TRY_CAST | x::type
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from governance.errors import InvalidRequest
from governance.sql_literals import literal_of
from governance.sql_types import BOOLEAN, TEXT

FILTER_CHARS_MAX = 4096
_NESTING_MAX = 40

_TOKEN = re.compile(
    r"""(?P<space>\s+)
      | (?P<string>'(?:[^']|'')*')
      | (?P<quoted>"(?:[^"]|"")+")
      | (?P<placeholder>\{[A-Za-z_][A-Za-z0-9_]{0,63}\})
      | (?P<number>(?:\d+(?:\.\d+)?)(?![A-Za-z0-9_.]))
      | (?P<word>[A-Za-z_][A-Za-z0-9_]*)
      | (?P<op>::|\|\||<>|!=|<=|>=|[=<>(),.\-])
    """,
    re.VERBOSE,
)
_RESERVED = frozenset(
    {
        "and",
        "or",
        "not",
        "in",
        "between",
        "like",
        "ilike",
        "is",
        "null",
        "true",
        "false",
        "cast",
        "try_cast",
        "distinct",
    }
    | {"from", "as", "date", "timestamp", "select", "case", "when", "then", "else", "end", "exists", "any", "all"}
)
_COMPARISONS = {"=", "<>", "!=", "<", ">", "<=", ">="}


@dataclass(frozen=True, slots=True)
class Signature:
    """What a total function takes and gives; `...` as last argument repeats the one before it."""

    arguments: tuple[str, ...]
    result: str
    minimum: int = 1


FUNCTIONS: dict[str, Signature] = {
    "lower": Signature(("text",), TEXT),
    "upper": Signature(("text",), TEXT),
    "trim": Signature(("text",), TEXT),
    "ltrim": Signature(("text",), TEXT),
    "rtrim": Signature(("text",), TEXT),
    "length": Signature(("text",), "BIGINT"),
    "left": Signature(("text", "small"), TEXT, 2),
    "right": Signature(("text", "small"), TEXT, 2),
    "substr": Signature(("text", "small", "small"), TEXT, 2),
    "substring": Signature(("text", "small", "small"), TEXT, 2),
    "concat": Signature(("text", "..."), TEXT),
    "coalesce": Signature(("same", "..."), "first"),
    "nullif": Signature(("same", "same"), "first", 2),
    "starts_with": Signature(("text", "text"), BOOLEAN, 2),
    "suffix": Signature(("text", "text"), BOOLEAN, 2),
    "contains": Signature(("text", "text"), BOOLEAN, 2),
    "year": Signature(("date",), "BIGINT"),
    "month": Signature(("date",), "BIGINT"),
    "day": Signature(("date",), "BIGINT"),
}
"""Total functions: they give a value or NULL for every value of their argument types."""

_CAST_TARGETS = frozenset(
    {"VARCHAR", "TEXT", "BOOLEAN", "TINYINT", "SMALLINT", "INTEGER", "INT", "BIGINT", "HUGEINT", "UTINYINT", "UUID"}
    | {"USMALLINT", "UINTEGER", "UBIGINT", "DOUBLE", "FLOAT", "REAL", "DATE", "TIMESTAMP"}
)


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    at: int


@dataclass(frozen=True, slots=True)
class Node:
    """One piece of a filter. `kind` says which; `at` is its 0-based offset in the filter's text."""

    kind: str
    at: int
    text: str = ""
    children: tuple[Node, ...] = ()
    negated: bool = False


def refuse(what: str, at: int, advice: str = "") -> InvalidRequest:
    """The refusal of a filter, at the 0-based offset `at`."""
    return InvalidRequest(f"The row filter is not accepted: {what}.", advice=advice, position=at + 1)


def _tokens(text: str) -> Iterator[_Token]:
    if len(text) > FILTER_CHARS_MAX:
        raise refuse(f"it is longer than {FILTER_CHARS_MAX} characters", 0)
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise refuse("this character does not belong to the filter language", position)
        kind = match.lastgroup or ""
        if kind != "space":
            yield _Token(kind, match.group(), position)
        position = match.end()
    yield _Token("end", "", len(text))


class _Parser:
    """Recursive descent over the tokens; each method consumes one grammar rule."""

    def __init__(self, text: str) -> None:
        self.tokens = list(_tokens(text))
        self.i = 0
        self.depth = 0

    @property
    def now(self) -> _Token:
        return self.tokens[self.i]

    def word(self, *words: str) -> bool:
        """Consume these words when they come next."""
        ahead = self.tokens[self.i : self.i + len(words)]
        if [t.text.lower() for t in ahead if t.kind == "word"] != list(words):
            return False
        self.i += len(words)
        return True

    def op(self, text: str) -> bool:
        if self.now.kind == "op" and self.now.text == text:
            self.i += 1
            return True
        return False

    def expect(self, text: str) -> None:
        if not self.op(text):
            raise refuse(f"'{text}' is expected here", self.now.at)

    def whole(self) -> Node:
        node = self.either()
        if self.now.kind != "end":
            raise refuse("the filter goes on after its end", self.now.at)
        return node

    def either(self) -> Node:
        self.depth += 1
        if self.depth > _NESTING_MAX:
            raise refuse(f"it is nested deeper than {_NESTING_MAX}", self.now.at)
        at, parts = self.now.at, [self.both()]
        while self.word("or"):
            parts.append(self.both())
        self.depth -= 1
        return parts[0] if len(parts) == 1 else Node("or", at, children=tuple(parts))

    def both(self) -> Node:
        at, parts = self.now.at, [self.inverse()]
        while self.word("and"):
            parts.append(self.inverse())
        return parts[0] if len(parts) == 1 else Node("and", at, children=tuple(parts))

    def inverse(self) -> Node:
        at, nots = self.now.at, 0
        while self.word("not"):
            nots += 1
        node = self.test()
        return Node("not", at, children=(node,)) if nots % 2 else node

    def test(self) -> Node:
        left = self.joined()
        at = self.now.at
        if self.now.kind == "op" and self.now.text in _COMPARISONS:
            sign = self.now.text
            self.i += 1
            return Node("compare", at, "<>" if sign == "!=" else sign, (left, self.joined()))
        if self.word("is", "not", "null"):
            return Node("is_null", at, children=(left,), negated=True)
        if self.word("is", "null"):
            return Node("is_null", at, children=(left,))
        if self.word("is", "not", "distinct", "from"):
            return Node("compare", at, "IS NOT DISTINCT FROM", (left, self.joined()))
        if self.word("is", "distinct", "from"):
            return Node("compare", at, "IS DISTINCT FROM", (left, self.joined()))
        negated = self.word("not")
        if self.word("in"):
            self.expect("(")
            items = [self.joined()]
            while self.op(","):
                items.append(self.joined())
            self.expect(")")
            return Node("in", at, children=(left, *items), negated=negated)
        if self.word("between"):
            low = self.joined()
            if not self.word("and"):
                raise refuse("BETWEEN needs AND here", self.now.at)
            return Node("between", at, children=(left, low, self.joined()), negated=negated)
        for name in ("like", "ilike"):
            if self.word(name):
                return Node("like", at, name.upper(), (left, self.joined()), negated=negated)
        if negated:
            raise refuse("NOT stands before nothing it can negate", at)
        return left

    def joined(self) -> Node:
        at, parts = self.now.at, [self.cast()]
        while self.op("||"):
            parts.append(self.cast())
        return parts[0] if len(parts) == 1 else Node("concat", at, children=tuple(parts))

    def cast(self) -> Node:
        node = self.primary()
        while self.op("::"):
            node = Node("cast", node.at, self.type_name(), (node,))
        return node

    def type_name(self) -> str:
        token = self.now
        name = token.text.upper()
        if token.kind != "word" or name not in _CAST_TARGETS:
            raise refuse("this type is not among those a filter may name", token.at)
        self.i += 1
        return {"TEXT": "VARCHAR", "INT": "INTEGER", "REAL": "FLOAT"}.get(name, name)

    def primary(self) -> Node:
        token = self.now
        self.i += 1
        if token.kind == "string":
            return Node("string", token.at, token.text[1:-1].replace("''", "'"))
        if token.kind == "number":
            return Node("number", token.at, token.text)
        if token.text == "-" and self.now.kind == "number":
            self.i += 1
            return Node("number", token.at, "-" + self.tokens[self.i - 1].text)
        if token.kind == "placeholder":
            return Node("placeholder", token.at, token.text[1:-1])
        if token.kind == "quoted":
            return self.no_dot(Node("column", token.at, token.text[1:-1].replace('""', '"')))
        if token.text == "(":
            node = self.either()
            self.expect(")")
            return node
        if token.kind == "word":
            return self.named(token)
        raise refuse("a value is expected here", token.at)

    def no_dot(self, node: Node) -> Node:
        if self.now.text == ".":
            raise refuse("a filter names columns of its own table only, without a qualifier", node.at)
        return node

    def named(self, token: _Token) -> Node:
        word = token.text.lower()
        if word in ("true", "false", "null"):
            return Node(word, token.at)
        if word in ("date", "timestamp") and self.now.kind == "string":
            self.i += 1
            value = self.tokens[self.i - 1].text[1:-1]
            typed = literal_of(value, word.upper())
            if typed is None:
                raise refuse(f"this is not a {word}", token.at)
            return Node("moment", token.at, word.upper() + " " + value)
        if word in ("cast", "try_cast"):
            self.expect("(")
            inner = self.either()
            if not self.word("as"):
                raise refuse("AS is expected here", self.now.at)
            node = Node(word, token.at, self.type_name(), (inner,))
            self.expect(")")
            return node
        if word in FUNCTIONS and self.now.text == "(":
            self.expect("(")
            arguments = [self.either()]
            while self.op(","):
                arguments.append(self.either())
            self.expect(")")
            return Node("call", token.at, word, tuple(arguments))
        if self.now.text == "(":
            raise refuse(
                f"the function {word[:64]} is not one that can never fail",
                token.at,
                advice="Functions a filter may use: " + ", ".join(sorted(FUNCTIONS)) + ".",
            )
        if word in _RESERVED:
            raise refuse("a value is expected here", token.at)
        return self.no_dot(Node("column", token.at, token.text))


def parse_filter(text: str) -> Node:
    """The filter as a tree.

    Raises:
        InvalidRequest: not in the filter language; `position` is the 1-based character.
    """
    if not text.strip():
        raise refuse("it is empty", 0)
    return _Parser(text).whole()


def walk(node: Node) -> Iterator[Node]:
    """The node and all below it."""
    yield node
    for child in node.children:
        yield from walk(child)
