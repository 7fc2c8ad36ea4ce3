"""What a run of digits is: a card number, an SSN, a phone number, or an ordinary number.

Pure decisions over bytes, used by `governance.redaction`. Sources: ISO/IEC 7812 (Luhn, issuer prefixes), SSA's
3-2-4 form, ITU-T E.164, and the national forms that libphonenumber's metadata show most often.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import StrEnum
from typing import NamedTuple


class Kind(StrEnum):
    """What was recognized, as the marker's type names it."""

    CARD = "CARD"
    SSN = "SSN"
    PHONE = "PHONE"


Found = tuple[Kind, int, int]
"""Kind, first offset, offset past the end."""

_CARD_SHAPES = frozenset({(4, 4, 4, 4), (4, 4, 4, 4, 3), (4, 6, 5), (4, 6, 4), (4, 4, 5), (4, 4, 4, 1), (6, 13)})
_PHONE_SHAPES = frozenset({(3, 3, 4), (1, 3, 3, 4), (3, 3, 3, 4), (3, 4, 4), (5, 5), (2, 4, 4), (2, 5, 4)})
_CARD_GAPS = frozenset({b" ", b"-", b".", b"/", b"_"})
_CARD_GROUPS = 8
_PHONE_GROUPS = 8
_SPACED_SHAPES = frozenset({(2, 2, 2, 2), (3, 2, 3), (3, 3, 3), (4, 3, 3), (4, 6), (4, 4), (1, 3, 3, 2, 2)})
"""National forms that admit no other reading only when they are a whole literal."""
_PHONE_GAPS = frozenset({b" ", b"-", b".", b"/", b"(", b")", b") ", b" (", b")-", b").", b" - ", b")(", b")/", b" / "})
_OPENING = frozenset({b"'", b'"', b"%"})
"""What may stand on either side of a value in a literal."""
_DOUBLED = bytes.maketrans(b"0123456789", bytes((0, 2, 4, 6, 8, 1, 3, 5, 7, 9)))


_GROUP = re.compile(rb"([^0-9]*+)([0-9]++)")
"""Possessive, and of two classes that share nothing: it cannot backtrack, whatever it reads."""


class _Group(NamedTuple):
    """Consecutive digits and what separates them from the group before."""

    text: bytes
    gap: bytes
    start: int
    end: int
    size: int


_new = tuple.__new__
"""What a named tuple's own constructor ends in, at twice the time."""


def classify(shadow: bytes, start: int, end: int, about: Callable[[Kind], bool]) -> list[Found]:
    """What `shadow[start:end]` (digits, separators, perhaps a leading `+` or `(`) holds.

    Args:
        shadow: the whole text, one byte per character.
        start: where the run begins.
        end: past its last digit.
        about: whether the statement speaks of phones or SSNs, which admits bare digits too.

    Returns:
        Finds in order, without overlaps.
    """
    finds: list[Found] = []
    groups = _groups(shadow, start, end)
    at = 0
    while at < len(groups):
        found = _card(groups, at) or _ssn(groups, at, about) or _phone(shadow, groups, at, about)
        if found is None:
            at += 1
            continue
        kind, first, last, taken = found
        finds.append((kind, first, last))
        at += taken
    return finds


def _groups(shadow: bytes, start: int, end: int) -> list[_Group]:
    groups: list[_Group] = []
    at = start
    for between, text in _GROUP.findall(shadow, start, end):
        gap, size = between, len(text)
        first = at + len(between)
        at = first + size
        if b"\x7f" in between:
            gap = between.replace(b"\x7f", b"")
            if not gap and groups:  # nothing that is seen stands between them
                last = groups[-1]
                groups[-1] = _Group(last.text + text, last.gap, last.start, at, last.size + size)
                continue
        groups.append(_new(_Group, (text, gap, first, at, size)))
    return groups


def luhn(digits: bytes) -> bool:
    """Whether the check digit is right (ISO/IEC 7812-1 annex B). ASCII digits."""
    plain = digits[-1::-2]
    return (sum(plain) - 48 * len(plain) + sum(digits[-2::-2].translate(_DOUBLED))) % 10 == 0


def _issued(digits: bytes) -> bool:
    """Whether a bank card may begin like this and be of this length."""
    size, two, four = len(digits), int(digits[:2]), int(digits[:4])
    if size == 12:
        return two in {50, 56, 57, 58, 63, 67} or four == 604  # Maestro
    if digits[0] == 52 or 50 <= two <= 69:  # Visa; Mastercard, Maestro, Discover, UnionPay and their kin
        return True
    if two in {34, 37}:
        return size == 15
    if two in {30, 36, 38, 39, 35, 31, 33}:  # Diners, JCB and kin
        return 14 <= size <= 19
    if 2200 <= four <= 2204 or 2221 <= four <= 2720 or four in {2131, 1800}:  # Mir, Mastercard, older JCB
        return size in {15, 16}
    return two in {81, 82, 97, 99} and size == 16


def _card(groups: list[_Group], at: int) -> tuple[Kind, int, int, int] | None:
    first = groups[at]
    if first.size < 12 and (first.size < 2 or len(groups) == at + 1):
        return None
    best = None
    digits = b""
    for index in range(at, min(len(groups), at + _CARD_GROUPS)):
        group = groups[index]
        if index > at and (group.gap not in _CARD_GAPS or group.gap != groups[at + 1].gap):
            break
        digits += group.text
        size = len(digits)
        if size < 12 or (size == 12 and index > at):
            continue
        if size > 19:
            break
        if luhn(digits) and _card_like(groups, at, index, digits) and digits.strip(b"0"):
            best = (Kind.CARD, first.start, group.end, index + 1 - at)
    return best


def _card_like(groups: list[_Group], at: int, last: int, digits: bytes) -> bool:
    """Whether groups `at` to `last` are written as a card number is, or begin as one may."""
    if last == at:
        fraction = groups[at].gap == b"." and at > 0
        return not fraction and _issued(digits)
    if tuple([group.size for group in groups[at : last + 1]]) in _CARD_SHAPES:
        return True
    decimal = last == at + 1 and groups[last].gap == b"."
    return _issued(digits) and not decimal and not _date(groups, at)


def _ssn(groups: list[_Group], at: int, about: Callable[[Kind], bool]) -> tuple[Kind, int, int, int] | None:
    first = groups[at]
    if first.size == 3 and len(groups) >= at + 3:
        second, third = groups[at + 1], groups[at + 2]
        if second.size == 2 and third.size == 4 and len(second.gap) == 1 and len(third.gap) == 1:
            return Kind.SSN, first.start, third.end, 3
    if first.size == 9 and not (at and first.gap == b".") and about(Kind.SSN):
        return Kind.SSN, first.start, first.end, 1
    return None


def _date(groups: list[_Group], at: int) -> bool:
    """Whether a calendar date begins here: year first or year last, or a clock's digits after it."""
    if len(groups) < at + 3 or groups[at + 1].size > 2:
        return False
    one, two, three = groups[at : at + 3]
    if one.size != 4 and three.size != 4:
        return False
    if len(two.gap) != 1 or two.gap != three.gap or two.gap not in b"-/. ":
        return False
    if one.size == 4:
        return one.text[:2] in {b"18", b"19", b"20", b"21"} and _small(two, 12) and _small(three, 31)
    return three.size == 4 and three.text[:2] in {b"18", b"19", b"20", b"21"} and _small(one, 31) and _small(two, 31)


def _small(group: _Group, most: int) -> bool:
    return group.size <= 2 and 1 <= int(group.text) <= most


def _phone(
    shadow: bytes, groups: list[_Group], at: int, about: Callable[[Kind], bool]
) -> tuple[Kind, int, int, int] | None:
    first = groups[at]
    before = shadow[max(0, first.start - 2) : first.start]
    if b"+" in first.gap or before.endswith(b"+"):
        return _international(shadow, groups, at, first.start - (2 if before.endswith(b"+(") else 1))
    if first.text.startswith(b"00") and not first.text.startswith(b"000") and before[-1:] not in (b":", b"."):
        found = _international(shadow, groups, at, first.start)
        if found and (found[3] > 1 or shadow[first.start - 1 : first.start] in (b"'", b'"')):
            return found
    if _date(groups, at):
        return None
    return _national(shadow, groups, at) or _bare(shadow, groups, at, about)


def _take(groups: list[_Group], at: int, most: int) -> tuple[int, int]:
    """How many groups from `at` hold together as one number of at most `most` digits, and their digits."""
    digits = taken = 0
    for index in range(at, min(len(groups), at + _PHONE_GROUPS)):
        group = groups[index]
        if digits + group.size > most or (index > at and (group.gap not in _PHONE_GAPS or _date(groups, index))):
            break
        digits += group.size
        taken += 1
    return taken, digits


def _international(shadow: bytes, groups: list[_Group], at: int, start: int) -> tuple[Kind, int, int, int] | None:
    left = shadow[start - 1 : start]
    if left.isalnum() or left in (b")", b"_", b"]"):  # an addition, not a number
        return None
    taken, digits = _take(groups, at, 17)
    if digits < 7:
        return None
    return Kind.PHONE, start, groups[at + taken - 1].end, taken


def _national(shadow: bytes, groups: list[_Group], at: int) -> tuple[Kind, int, int, int] | None:
    first = groups[at]
    opened = shadow[first.start - 1 : first.start] == b"("
    start = first.start - 1 if opened else first.start
    left = shadow[start - 1 : start]
    if left.isalnum() or left == b"_" or (at and first.gap == b"."):
        return None
    taken, digits = _take(groups, at, 13) if len(groups) > at + 1 else (1, first.size)
    if taken > 1:
        last = groups[at + taken - 1]
        if opened and groups[at + 1].gap.startswith(b")") and first.size <= 5 and digits >= 8:
            return Kind.PHONE, start, last.end, taken
        if first.text.startswith(b"0") and 9 <= digits <= 12 and 2 <= first.size <= 6:
            return Kind.PHONE, start, last.end, taken
        for count in range(min(taken, 4), 1, -1):
            if _shaped(groups[at : at + count]):
                return Kind.PHONE, start, groups[at + count - 1].end, count
    ends = not shadow[first.end : first.end + 1].isalpha()
    if 10 <= first.size <= 11 and first.text[0] == 48 and first.text[1] != 48 and ends:  # no numeral begins with zero
        return Kind.PHONE, start, first.end, 1
    if left in _OPENING:
        if first.size == 11 and first.text[0] == 49 and first.text[1] >= 51:  # a mobile number of China
            return Kind.PHONE, start, first.end, 1
        end = groups[at + taken - 1].end
        shape = tuple(group.size for group in groups[at : at + taken])
        spaced = all(group.gap == b" " for group in groups[at + 1 : at + taken])
        if shape in _SPACED_SHAPES and shadow[end : end + 1] in _OPENING and spaced and first.text[0] != 49:
            return Kind.PHONE, start, end, taken
    return None


def _shaped(groups: list[_Group]) -> bool:
    """Whether the groups' sizes are a telephone's, with one kind of separator."""
    shape = tuple(group.size for group in groups)
    if shape not in _PHONE_SHAPES:
        return False
    if shape[0] == 1 and groups[0].text != b"1":
        return False
    if len(shape) == 4 and shape[0] == 3 and groups[0].text != b"001":
        return False
    if shape == (3, 4, 4) and not groups[0].text.startswith(b"1"):
        return False
    if shape == (5, 5) and groups[0].text[0] < 54:
        return False
    return all(len(group.gap) <= 2 for group in groups[1:]) and not any(b"/" in group.gap for group in groups[1:])


def _bare(
    shadow: bytes, groups: list[_Group], at: int, about: Callable[[Kind], bool]
) -> tuple[Kind, int, int, int] | None:
    """Digits in a quoted literal, in a statement that speaks of phones."""
    first = groups[at]
    opened = shadow[first.start - 1 : first.start] == b"("
    start = first.start - 1 if opened else first.start
    if shadow[start - 1 : start] not in _OPENING:
        return None
    taken, digits = _take(groups, at, 15)
    last = groups[at + taken - 1]
    if digits < 7 or shadow[last.end : last.end + 1] not in (b"'", b'"', b"%", b"x", b" "):
        return None
    return (Kind.PHONE, start, last.end, taken) if about(Kind.PHONE) else None
