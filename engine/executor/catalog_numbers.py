"""`to_char` and `to_number` of numbers, for the catalog's DuckDB. Pure.

Source: PostgreSQL 15, section 9.8, tables 9.30 to 9.32; side by side with a server in `tests/engine/catalog`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation

from engine.catalog.emulation.names import NameUnknown

FORMAT_CHARS_MAX = 256
_TOKEN = re.compile(r'"([^"]*)"|FM|SG|S|MI|PL|PR|RN|rn|TH|th|EEEE|L|V|[90.DG,]|\\.|.', re.IGNORECASE | re.DOTALL)
_ROMAN = (
    (1000, "M"), (900, "CM"), (500, "D"), (400, "CD"), (100, "C"), (90, "XC"), (50, "L"), (40, "XL"), (10, "X"),
    (9, "IX"), (5, "V"), (4, "IV"), (1, "I"),
)  # fmt: skip


@dataclass
class _Pattern:
    """A format's pieces and what they say together."""

    pieces: list[str] = field(default_factory=list)
    whole: int = 0
    """Places before the point."""
    fraction: int = 0
    zero_at: int | None = None
    """The place from which zeros are shown."""
    kept: int = 0
    """Places behind the point up to the last `0`."""
    shift: int = 0
    flags: set[str] = field(default_factory=set)


def _pattern(text: str) -> _Pattern:
    if len(text) > FORMAT_CHARS_MAX:
        raise NameUnknown("22023")
    found, behind = _Pattern(), False
    for match in _TOKEN.finditer(text):
        piece = match.group()
        known = piece.upper()
        if known in ("FM", "RN", "EEEE", "PR", "SG", "MI", "PL", "S", "V"):
            found.flags.add(known)
            if piece == "rn":
                found.flags.add("rn")
        if known in ("9", "0"):
            if "V" in found.flags:
                found.shift += 1
            if behind:
                found.fraction += 1
                found.kept = found.fraction if known == "0" else found.kept
            else:
                if known == "0" and found.zero_at is None:
                    found.zero_at = found.whole
                found.whole += 1
        elif known in (".", "D"):
            behind = True
        found.pieces.append(known if known in _WORDS else piece)
    return found


_WORDS = frozenset(("9", "0", ".", "D", ",", "G", "S", "SG", "MI", "PL", "PR", "FM", "RN", "L", "V", "EEEE"))


def to_char(text: str | None, pattern: str | None) -> str | None:
    """`to_char` of the number that `text` spells."""
    if text is None or pattern is None:
        return None
    try:
        number = Decimal(text)
    except InvalidOperation:
        raise NameUnknown("22023") from None
    if not number.is_finite():
        raise NameUnknown("22023")
    form = _pattern(pattern)
    if "RN" in form.flags:
        return _roman(number, form)
    if "EEEE" in form.flags:
        mantissa, _, exponent = f"{number:.{form.fraction}e}".partition("e")
        return f"{'' if number < 0 else ' '}{mantissa}e{int(exponent) if number else 0:+03d}"
    return _plain(number.scaleb(form.shift), form)


def _roman(number: Decimal, form: _Pattern) -> str:
    value = int(number.to_integral_value(ROUND_HALF_UP))
    if not 1 <= value <= 3999:
        return "#" * 15
    shown = ""
    for size, letters in _ROMAN:
        count, value = divmod(value, size)
        shown += letters * count
    shown = shown.lower() if "rn" in form.flags else shown
    return shown if "FM" in form.flags else shown.rjust(15)


def _plain(number: Decimal, form: _Pattern) -> str:
    rounded = abs(number).quantize(Decimal(1).scaleb(-form.fraction), ROUND_HALF_UP)
    negative = number < 0 and rounded != 0
    digits, _, decimals = f"{rounded:f}".partition(".")
    overflow = len(digits) > form.whole
    if overflow:
        digits, decimals = "#" * form.whole, "#" * form.fraction
    zero = "FM" in form.flags and rounded == 0 and form.kept == 0
    blank = not overflow and digits == "0" and form.fraction > 0 and form.zero_at is None and not zero
    digits = ("" if blank else digits).rjust(form.whole)
    if form.zero_at is not None and not overflow:
        digits = digits[: form.zero_at] + digits[form.zero_at :].replace(" ", "0")
    filled = "FM" not in form.flags
    if not filled and not overflow:
        decimals = decimals[: form.kept] + decimals[form.kept :].rstrip("0")
    return _laid_out(form, digits, decimals, negative, filled, -1 if overflow else int(rounded))


def _laid_out(form: _Pattern, digits: str, decimals: str, negative: bool, filled: bool, whole: int) -> str:
    sign_said = form.flags & {"S", "SG", "MI", "PR"}
    out, place, behind, signed = list[str](), 0, 0, bool(sign_said - {"S", "PR"})
    lead = ("-" if negative else "+" if "S" in form.flags else " ") if not sign_said - {"S", "PR"} else ""
    if "PR" in form.flags:
        lead = "<" if negative else " "
    trailing_s = "S" in form.flags and "S" in form.pieces and form.pieces.index("S") > _first_digit(form.pieces)
    if trailing_s:
        lead, signed = "", True
    for piece in form.pieces:
        if piece in ("9", "0") and (place < form.whole or not form.fraction):
            digit = digits[place] if place < len(digits) else ""
            place += 1
            if digit == " " and place <= form.whole:
                out.append(" " if filled else "")
                continue
            if not signed:
                out.append(lead if filled or lead != " " else "")
                signed = True
            out.append(digit)
        elif piece in ("9", "0"):
            out.append(decimals[behind] if behind < len(decimals) else "")
            behind += 1
        elif piece in (".", "D"):
            if not signed:
                out.append(lead if filled or lead != " " else "")
                signed = True
            out.append(".")
        elif piece in (",", "G"):
            shown = any(c not in ("", " ") for c in "".join(out).lstrip("+-<$ "))
            out.append("," if shown else (" " if filled else ""))
        else:
            out.append(_other(piece, negative, filled, whole, trailing_s))
    if "PR" in form.flags:
        out.append(">" if negative else " " if filled else "")
    return "".join(out)


def _first_digit(pieces: list[str]) -> int:
    return next((at for at, piece in enumerate(pieces) if piece in ("9", "0")), 0)


def _other(piece: str, negative: bool, filled: bool, whole: int, trailing_s: bool) -> str:
    """What stands for a piece that is no digit, point or group mark."""
    match piece:
        case "S":
            return ("-" if negative else "+") if trailing_s else ""
        case "SG":
            return "-" if negative else "+"
        case "MI":
            return "-" if negative else " " if filled else ""
        case "PL":
            return (" " if filled else "") if negative else "+"
        case "TH" | "th":
            ending = "th" if 10 < whole % 100 < 20 else {1: "st", 2: "nd", 3: "rd"}.get(whole % 10, "th")
            return "" if negative or whole < 0 else ending.upper() if piece == "TH" else ending
        case "L":
            return " " if filled else ""
        case "FM" | "PR" | "V" | "EEEE" | "RN":
            return ""
    return piece[1:-1] if piece.startswith('"') and len(piece) > 1 else piece.removeprefix("\\")


def to_number(text: str | None, pattern: str | None) -> str | None:
    """`to_number`: the digits, point and sign of a text, where its pattern has places for them."""
    if text is None or pattern is None:
        return None
    form = _pattern(pattern)
    kept = re.sub(r"[^0-9.+\-<>]", "", text)
    negative = "-" in kept or ("<" in kept and "PR" in form.flags)
    whole, _, fraction = re.sub(r"[^0-9.]", "", kept).partition(".")
    if not whole and not fraction:
        raise NameUnknown("22P02")
    shown = f"{whole[: form.whole] or '0'}.{fraction[: form.fraction] or '0'}"
    return str(Decimal("-" + shown if negative else shown).scaleb(-form.shift))
