"""One item of a declared document, read field by field: every error names the place, every leftover is refused."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import ip_network
from typing import Any

from governance.errors import InvalidRequest
from governance.tables import TableName
from governance.timestamp import parse, stamp

ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
"""What an organization's id looks like."""
LIST_MAX = 1_000
_REQUIRED = object()


@dataclass
class Item:
    """A mapping at a place in the document. Fields are taken once each; `done` refuses what was not taken."""

    path: str
    _left: dict[str, Any] = field(repr=False)

    @classmethod
    def of(cls, value: object, path: str) -> Item:
        """The mapping at `path`.

        Raises:
            InvalidRequest: something else stands there.
        """
        if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
            raise InvalidRequest(f"{path}: a mapping of names to values belongs here.")
        return cls(path, dict(value))

    def wrong(self, name: str, why: str, advice: str = "") -> InvalidRequest:
        """The refusal of field `name`."""
        return InvalidRequest(f"{self._at(name)}: {why}.", advice=advice)

    def done(self) -> None:
        """Refuse fields that nobody took.

        Raises:
            InvalidRequest: there is one.
        """
        for name in self._left:
            raise self.wrong(name[:64], "is not a field here", "Check the spelling against docs/state-file.md.")

    def has(self, name: str) -> bool:
        """Whether the field was written and is not taken yet."""
        return name in self._left

    def has_text(self, name: str) -> bool:
        """Whether the field holds a text rather than a mapping or a list."""
        return isinstance(self._left.get(name), str)

    def null_is_a_word(self, name: str) -> None:
        """Take a null in the field as the word: YAML makes `null` without quotes a null."""
        if name in self._left and self._left[name] is None:
            self._left[name] = "null"

    def text(self, name: str, default: str | object = _REQUIRED, *, most: int) -> str:
        """A text of 1 to `most` characters without control characters other than line breaks and tabs."""
        value = self._take(name, default)
        if value is default:
            return str(value)
        if not isinstance(value, str):
            raise self.wrong(name, "is not text", 'Put it in quotes, as in "1".')
        if not value.strip() or len(value) > most:
            raise self.wrong(name, f"must have 1 to {most} characters")
        if any(ord(c) < 32 and c not in "\n\t\r" for c in value):
            raise self.wrong(name, "holds a control character")
        return value

    def id(self, name: str) -> str:
        """An organization's id: see `ID`."""
        value = self.text(name, most=64)
        if not ID.fullmatch(value):
            raise self.wrong(name, "must be made of letters, digits and _ . -")
        return value

    def choice(self, name: str, allowed: tuple[str, ...], default: str | object = _REQUIRED) -> str:
        """One of `allowed`."""
        value = self._take(name, default)
        if not isinstance(value, str) or value not in allowed:
            raise self.wrong(name, "is not one of " + ", ".join(str(a) for a in allowed if a))
        return str(value)

    def flag(self, name: str) -> bool:
        """True or false; false when absent."""
        value = self._take(name, False)
        if not isinstance(value, bool):
            raise self.wrong(name, "must be true or false")
        return value

    def integer(self, name: str, default: int | object = _REQUIRED, *, least: int, most: int) -> int:
        """A whole number from `least` to `most`."""
        value = self._take(name, default)
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise self.wrong(name, f"must be a whole number from {least} to {most}")
        return value

    def texts(self, name: str, *, required: bool = False) -> tuple[str, ...]:
        """A list of texts, each at most 300 characters; empty when absent."""
        value = self._take(name, _REQUIRED if required else [])
        if not isinstance(value, list) or len(value) > LIST_MAX or (required and not value):
            raise self.wrong(name, f"must be a list of {1 if required else 0} to {LIST_MAX} texts")
        for index, entry in enumerate(value):
            if not isinstance(entry, str) or not entry.strip() or len(entry) > 300:
                raise self.wrong(f"{name}[{index}]", "must be a text of 1 to 300 characters")
        if len(set(value)) != len(value):
            raise self.wrong(name, "says something twice")
        return tuple(value)

    def choices(self, name: str, allowed: tuple[str, ...]) -> frozenset[str]:
        """A list of members of `allowed`; empty when absent."""
        values = self.texts(name)
        for index, value in enumerate(values):
            if value not in allowed:
                raise self.wrong(f"{name}[{index}]", "is not one of " + ", ".join(str(a) for a in allowed))
        return frozenset(values)

    def networks(self, name: str) -> tuple[str, ...]:
        """A list of CIDR ranges, spelled canonically."""
        out = []
        for index, value in enumerate(self.texts(name)):
            try:
                out.append(str(ip_network(value)))
            except ValueError:
                raise self.wrong(
                    f"{name}[{index}]", "is not a CIDR range", "Write 10.1.0.0/16, no host bits."
                ) from None
        return tuple(out)

    def table(self, name: str) -> TableName:
        """`schema.table`."""
        try:
            return TableName.parse(self.text(name, most=260))
        except ValueError:
            raise self.wrong(name, "is not of the form schema.name") from None

    def table_patterns(self, name: str) -> tuple[str, ...]:
        """A list of `schema.table` or `schema.*`."""
        values = self.texts(name)
        for index, value in enumerate(values):
            try:
                TableName.parse(value)
            except ValueError:
                raise self.wrong(f"{name}[{index}]", "is not of the form schema.name or schema.*") from None
        return values

    def moment(self, name: str) -> str:
        """A moment (RFC 3339, with its offset) as `governance.timestamp` spells it; empty when absent."""
        text = self.text(name, "", most=40)
        if not text:
            return ""
        try:
            return stamp(parse(text))
        except ValueError:
            raise self.wrong(name, "is not a moment", 'Write it like "2027-01-31T12:00:00Z".') from None

    def mapping(self, name: str) -> dict[str, Any]:
        """A mapping; empty when absent."""
        value = self._take(name, {})
        if len(Item.of(value, self._at(name))._left) > LIST_MAX:
            raise self.wrong(name, f"holds more than {LIST_MAX} entries")
        return dict(value)

    def child(self, name: str) -> Item | None:
        """The mapping in field `name` as an item of its own, or None when absent."""
        value = self._take(name, None)
        return None if value is None else Item.of(value, self._at(name))

    def items(self, name: str, *, most: int) -> Iterator[Item]:
        """The mappings of a list; none when absent."""
        value = self._take(name, [])
        if not isinstance(value, list) or len(value) > most:
            raise self.wrong(name, f"must be a list of at most {most} items")
        for index, entry in enumerate(value):
            yield Item.of(entry, f"{self._at(name)}[{index}]")

    def values(self, name: str, *, most: int) -> list[Any]:
        """A list of anything; empty when absent."""
        value = self._take(name, [])
        if not isinstance(value, list) or len(value) > most:
            raise self.wrong(name, f"must be a list of at most {most} entries")
        return list(value)

    def _take(self, name: str, default: object) -> Any:
        if name not in self._left:
            if default is _REQUIRED:
                raise self.wrong(name, "is missing")
            return default
        return self._left.pop(name)

    def _at(self, name: str) -> str:
        return name if self.path == "the state file" else f"{self.path}.{name}"
