"""Moments and intervals to text and back by patterns, for the catalog's DuckDB. Pure.

Source: PostgreSQL 15, section 9.8, tables 9.28 and 9.29; names are English.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from engine.catalog.emulation.names import NameUnknown

_PATTERN = re.compile(
    r'"([^"]*)"|HH24|HH12|HH|MI|SS|MS|US|YYYY|YY|Month|MONTH|month|Mon|MON|mon|MM|Day|DAY|day|Dy|DY|dy|DDD|DD|D|TZ|tz|OF|AM|PM|am|pm|Q|WW|IW|J|FM|.',
    re.DOTALL,
)
_STRFTIME = {
    "HH24": "%H", "HH12": "%I", "HH": "%I", "MI": "%M", "SS": "%S", "US": "%f", "YYYY": "%Y", "YY": "%y", "MM": "%m",
    "DD": "%d", "DDD": "%j", "IW": "%V", "Mon": "%b", "Dy": "%a", "AM": "%p", "PM": "%p", "Month": "%B", "Day": "%A",
}  # fmt: skip


def to_char(moment: datetime | None, pattern: str | None, zone: str | None) -> str | None:
    """`to_char` of a moment, for the patterns that clients use; names are English."""
    if moment is None or pattern is None:
        return None
    pieces, filled = [], True
    for match in _PATTERN.finditer(pattern):
        word = match.group()
        if match.group(1) is not None:
            pieces.append(match.group(1))
        elif word == "FM":
            filled = False
            continue
        elif word in ("TZ", "tz"):
            pieces.append((zone or "").upper() if word == "TZ" else (zone or "").lower())
        elif word == "OF":
            pieces.append("+00")
        elif word == "MS":
            pieces.append(f"{moment.microsecond // 1000:03d}")
        elif word in ("D", "Q", "WW", "J"):
            numbers = {"D": moment.isoweekday() % 7 + 1, "Q": (moment.month + 2) // 3}
            numbers |= {"WW": (moment.timetuple().tm_yday + 6) // 7, "J": moment.toordinal() + 1721425}
            pieces.append(f"{numbers[word]:02d}" if word == "WW" and filled else str(numbers[word]))
        else:
            pieces.append(_worded(moment, word, filled=filled))
        filled = True
    return "".join(pieces)


def _worded(moment: datetime, word: str, *, filled: bool) -> str:
    form = _STRFTIME.get(word) or _STRFTIME.get(word.capitalize())
    if form is None:
        return word
    shown = moment.strftime(form)
    if word.isupper() and word.capitalize() in _STRFTIME:
        shown = shown.upper()
    elif word.islower():
        shown = shown.lower()
    if word.capitalize() in ("Month", "Day"):
        return shown.ljust(9) if filled else shown
    return shown if filled else shown.lstrip("0") or "0"


def interval_to_char(span: timedelta | None, months: int | None, pattern: str | None) -> str | None:
    """`to_char` of an interval: its months apart from its days and time, which do not run into each other."""
    if span is None or months is None or pattern is None:
        return None
    seconds = span.seconds
    values = {
        "YYYY": f"{months // 12:04d}", "MM": f"{months % 12:02d}", "DD": f"{span.days:02d}",
        "HH24": f"{seconds // 3600:02d}", "HH12": f"{seconds // 3600 % 12 or 12:02d}",
        "HH": f"{seconds // 3600 % 12 or 12:02d}", "MI": f"{seconds // 60 % 60:02d}", "SS": f"{seconds % 60:02d}",
        "MS": f"{span.microseconds // 1000:03d}", "US": f"{span.microseconds:06d}",
    }  # fmt: skip
    pieces, filled = [], True
    for match in _PATTERN.finditer(pattern):
        word = match.group()
        if word == "FM":
            filled = False
            continue
        shown = match.group(1) if match.group(1) is not None else values.get(word, word)
        pieces.append(shown if filled or word not in values else shown.lstrip("0") or "0")
        filled = True
    return "".join(pieces)


_READ = {
    "YYYY": (r"(\d{1,4})", "year"), "MM": (r"(\d{1,2})", "month"), "DD": (r"(\d{1,2})", "day"),
    "HH24": (r"(\d{1,2})", "hour"), "HH12": (r"(\d{1,2})", "hour"), "HH": (r"(\d{1,2})", "hour"),
    "MI": (r"(\d{1,2})", "minute"), "SS": (r"(\d{1,2})", "second"), "MS": (r"(\d{1,3})", "millisecond"),
    "US": (r"(\d{1,6})", "microsecond"), "Mon": (r"([A-Za-z]{3})", "name"), "Month": (r"([A-Za-z]+)", "name"),
}  # fmt: skip
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")


def to_moment(text: str | None, pattern: str | None) -> datetime | None:
    """`to_date` and `to_timestamp` of a text: what its pattern finds; where it is silent, the year 1 begins."""
    if text is None or pattern is None:
        return None
    wanted, names = [], []
    for match in _PATTERN.finditer(pattern):
        word = match.group()
        key = word if word in _READ else word.capitalize() if word.capitalize() in _READ else ""
        if key:
            wanted.append(_READ[key][0])
            names.append(_READ[key][1])
        elif word != "FM":
            wanted.append(r"\W*" if not word.isalnum() else re.escape(match.group(1) or word))
    found = re.match(r"\s*" + "".join(wanted), text, re.IGNORECASE)
    if found is None:
        raise NameUnknown("22007")
    values = {"year": 1, "month": 1, "day": 1, "hour": 0, "minute": 0, "second": 0, "microsecond": 0}
    for name, value in zip(names, found.groups(), strict=True):
        if name == "name":
            if value[:3].lower() not in _MONTHS:
                raise NameUnknown("22007")
            values["month"] = _MONTHS.index(value[:3].lower()) + 1
        elif name == "millisecond":
            values["microsecond"] += int(value) * 1000
        else:
            values[name] = int(value)
    try:
        return datetime(  # noqa: DTZ001 - a moment without a zone is what is meant
            values["year"], values["month"], values["day"], values["hour"], values["minute"], values["second"],
            values["microsecond"],
        )  # fmt: skip
    except ValueError:
        raise NameUnknown("22008") from None
