"""Dates, times and timestamps as PostgreSQL's ISO text, a column at a time.

Inside the years 1 to 9999 everything is arithmetic on whole columns; outside (BC, five-digit years, infinity) the few
rows concerned are written one by one.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from engine.encoder.fields import PAD, U8, Mask, Slots, rows_of
from engine.encoder.zones import offset_s

I64 = npt.NDArray[np.int64]

US_PER_DAY = 86_400_000_000
_US_PER_S = 1_000_000
INFINITY_DAYS = 2**31 - 1
"""DuckDB's infinite date; its negative is minus infinity."""
INFINITY_US = 2**63 - 1
_FIRST_DAY, _LAST_DAY = -719_162, 2_932_896
"""0001-01-01 and 9999-12-31, in days since 1970."""
_ALMANAC_FIRST, _ALMANAC_LAST = -25_567, 47_846
"""1900-01-01 and 2100-12-31."""
_ZERO = ord("0")
_TEN = np.arange(100)
_TWO: U8 = np.stack([_TEN // 10 + _ZERO, _TEN % 10 + _ZERO], axis=1).astype(np.uint8)


def civil(days: I64) -> tuple[I64, I64, I64]:
    """Year (astronomical: 0 is 1 BC), month and day of days since 1970-01-01 in the proleptic Gregorian calendar."""
    shifted = days + 719_468
    era = shifted // 146_097
    day_of_era = shifted - era * 146_097
    year_of_era = (day_of_era - day_of_era // 1460 + day_of_era // 36_524 - day_of_era // 146_096) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    march = (5 * day_of_year + 2) // 153
    day = day_of_year - (153 * march + 2) // 5 + 1
    month = np.where(march < 10, march + 3, march - 9)
    return year_of_era + era * 400 + (month <= 2), month, day


def _date_matrix(days: I64) -> U8:
    """`YYYY-MM-DD` of each day (all within the years 1 to 9999); by a table when the days lie close together."""
    if len(days) == 0:
        return np.empty((0, 10), np.uint8)
    low, high = int(days.min()), int(days.max())
    if low >= _ALMANAC_FIRST and high <= _ALMANAC_LAST:
        return almanac().take(days - _ALMANAC_FIRST, mode="clip").view(np.uint8).reshape(len(days), 16)[:, :10]
    if high - low < len(days):
        table = _date_matrix_computed(np.arange(low, high + 1, dtype=np.int64))
        return rows_of(table, (days - low).astype(np.intp, copy=False))
    return _date_matrix_computed(days)


@cache
def almanac() -> npt.NDArray[np.void]:
    """The dates of two centuries as text, 16 bytes each of which 10 are used."""
    days = np.arange(_ALMANAC_FIRST, _ALMANAC_LAST + 1, dtype=np.int64)
    out = np.zeros((len(days), 16), np.uint8)
    out[:, :10] = _date_matrix_computed(days)
    made: npt.NDArray[np.void] = out.view("V16")[:, 0]
    return made


def _date_matrix_computed(days: I64) -> U8:
    year, month, day = civil(days)
    out = np.empty((len(days), 10), np.uint8)
    out[:, 0:2] = _TWO[year // 100]
    out[:, 2:4] = _TWO[year % 100]
    out[:, 4] = out[:, 7] = ord("-")
    out[:, 5:7] = _TWO[month]
    out[:, 8:10] = _TWO[day]
    return out


def _clock_matrix(us: I64, fraction_shown: bool) -> tuple[U8, npt.NDArray[np.int32] | int]:
    """`HH:MM:SS[.ffffff]` of microseconds of a day, trailing zeros of the fraction cut; the matrix and each length."""
    seconds = us // _US_PER_S
    minutes = seconds // 60
    hours = minutes // 60
    out = np.empty((len(us), 15 if fraction_shown else 8), np.uint8)
    out[:, 0:2] = _TWO[hours]
    out[:, 2] = out[:, 5] = ord(":")
    out[:, 3:5] = _TWO[minutes - hours * 60]
    out[:, 6:8] = _TWO[seconds - minutes * 60]
    if not fraction_shown:
        return out, 8
    rest = us - seconds * _US_PER_S
    out[:, 8] = np.where(rest == 0, PAD, ord("."))
    sizes = np.where(rest == 0, 8, 9).astype(np.int32)
    for place in range(6):
        unit = 10 ** (5 - place)
        shown = rest > 0
        digit = rest // unit
        out[:, 9 + place] = np.where(shown, digit + _ZERO, PAD)
        sizes += shown
        rest = rest - digit * unit
    return out, sizes


def dates_text(days: I64, nulls: Mask | None) -> Slots:
    """Dates (days since 1970) as `YYYY-MM-DD`, `... BC`, `infinity`."""
    return _with_exceptions(days, nulls, (days < _FIRST_DAY) | (days > _LAST_DAY), _plain_dates, _date_alone)


def _plain_dates(days: I64) -> Slots:
    return Slots(_date_matrix(days), 10, None, padded=False)


def times_text(us: I64, nulls: Mask | None) -> Slots:
    """Times of day (microseconds; 24:00:00 included) as `HH:MM:SS[.ffffff]`."""
    return _with_exceptions(us, nulls, None, _plain_times, str)


def _plain_times(us: I64) -> Slots:
    fraction = bool((us % _US_PER_S).any())
    out, sizes = _clock_matrix(us, fraction)
    return Slots(out, sizes, None, padded=fraction)


def timestamps_text(us: I64, nulls: Mask | None) -> Slots:
    """Timestamps (microseconds since 1970) as `YYYY-MM-DD HH:MM:SS[.ffffff]`, `... BC`, `infinity`."""
    strange = (us < _FIRST_DAY * US_PER_DAY) | (us >= (_LAST_DAY + 1) * US_PER_DAY)
    return _with_exceptions(us, nulls, strange, _plain_timestamps, _timestamp_alone)


def _plain_timestamps(us: I64) -> Slots:
    days = us // US_PER_DAY
    clock = _plain_times(us - days * US_PER_DAY)
    out = np.empty((len(us), 11 + clock.data.shape[1]), np.uint8)
    out[:, :10] = _date_matrix(days)
    out[:, 10] = ord(" ")
    out[:, 11:] = clock.data
    return Slots(out, 11 + clock.sizes, None, clock.padded)


class Zone:
    """A session's time zone: offsets from UTC of whole columns of instants.

    Raises:
        ZoneInfoNotFoundError: no such zone.
    """

    def __init__(self, name: str) -> None:
        self._fixed_s = 0 if name.upper() in ("UTC", "ETC/UTC", "GMT", "Z") else offset_s(name)
        self._zone = None if self._fixed_s is not None else ZoneInfo(name)
        self._day_offsets: dict[int, int | None] = {}

    def offsets_s(self, us: I64) -> I64:
        """Seconds east of UTC at each instant (microseconds since 1970, years 1 to 9999)."""
        if self._fixed_s is not None or not len(us):
            return np.full(len(us), self._fixed_s or 0, np.int64)
        days, inverse = np.unique(us // US_PER_DAY, return_inverse=True)
        found = [self._of_day(int(day)) for day in days]
        out = np.array([0 if offset is None else offset for offset in found], np.int64)[inverse]
        turning = np.array([offset is None for offset in found])[inverse]
        if turning.any():
            slots, back = np.unique(us[turning] // (900 * _US_PER_S), return_inverse=True)
            out[turning] = np.array([self._at(int(slot) * 900) for slot in slots], np.int64)[back]
        return out

    def _of_day(self, day: int) -> int | None:
        """The offset that holds for all of that UTC day, or None when it changes within."""
        if day not in self._day_offsets:
            start, end = self._at(day * 86_400), self._at((day + 1) * 86_400)
            self._day_offsets[day] = start if start == end else None
        return self._day_offsets[day]

    def _at(self, second: int) -> int:
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(
            seconds=min(max(second, -62_135_510_400), 253_402_214_400)
        )
        offset = moment.astimezone(self._zone).utcoffset()
        return 0 if offset is None else int(offset.total_seconds())


def instants_text(us: I64, nulls: Mask | None, zone: Zone) -> Slots:
    """Instants (microseconds since 1970 UTC) in `zone`, as `YYYY-MM-DD HH:MM:SS[.ffffff]+HH[:MM[:SS]]`."""
    strange = (us < (_FIRST_DAY + 1) * US_PER_DAY) | (us >= _LAST_DAY * US_PER_DAY)

    def plain(instants: I64) -> Slots:
        offsets = zone.offsets_s(instants)
        local = _plain_timestamps(instants + offsets * _US_PER_S)
        kinds, inverse = np.unique(offsets, return_inverse=True)
        suffixes = [_suffix(int(kind)) for kind in kinds] or ["+00"]
        width = max(len(s) for s in suffixes)
        table = np.full((len(suffixes), width), PAD, np.uint8)
        for row, suffix in enumerate(suffixes):
            table[row, : len(suffix)] = np.frombuffer(suffix.encode(), np.uint8)
        uneven = any(len(s) != width for s in suffixes)
        lengths: npt.NDArray[np.int32] | int = width
        if uneven:
            lengths = np.array([len(s) for s in suffixes], np.int32)[inverse]
        data = np.concatenate([local.data, table[inverse]], axis=1)
        return Slots(data, local.sizes + lengths, None, local.padded or uneven)

    def alone(instant: int) -> str:
        if abs(instant) >= INFINITY_US:
            return _timestamp_alone(instant)
        text = _timestamp_alone(instant)
        return f"{text[:-3]}+00 BC" if text.endswith(" BC") else f"{text}+00"

    return _with_exceptions(us, nulls, strange, plain, alone)


def _suffix(offset_s: int) -> str:
    minutes, seconds = divmod(abs(offset_s), 60)
    hours, minutes = divmod(minutes, 60)
    text = f"{'-' if offset_s < 0 else '+'}{hours:02d}"
    if minutes or seconds:
        text += f":{minutes:02d}"
    return f"{text}:{seconds:02d}" if seconds else text


def _date_alone(day: int) -> str:
    if abs(day) >= INFINITY_DAYS:
        return "infinity" if day > 0 else "-infinity"
    year, month, of_month = (int(part[0]) for part in civil(np.array([day], np.int64)))
    if year <= 0:
        return f"{1 - year:04d}-{month:02d}-{of_month:02d} BC"
    return f"{year:04d}-{month:02d}-{of_month:02d}"


def clock_alone(us: int) -> str:
    """One time of day as text."""
    seconds, fraction = divmod(us, _US_PER_S)
    text = f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
    return f"{text}.{fraction:06d}".rstrip("0") if fraction else text


def _timestamp_alone(us: int) -> str:
    if abs(us) >= INFINITY_US:
        return "infinity" if us > 0 else "-infinity"
    day, rest = divmod(us, US_PER_DAY)
    date = _date_alone(day)
    if date.endswith(" BC"):
        return f"{date[:-3]} {clock_alone(rest)} BC"
    return f"{date} {clock_alone(rest)}"


def _with_exceptions(
    values: I64, nulls: Mask | None, strange: Mask | None, plain: Callable[[I64], Slots], alone: Callable[[int], str]
) -> Slots:
    """`plain` over the whole column, with nulls blanked and strange rows written one by one."""
    if strange is not None:
        if nulls is not None:
            strange &= ~nulls
        if not strange.any():
            strange = None
    if strange is None and nulls is None:
        return plain(values)
    hidden: Mask = np.zeros(len(values), np.bool_)
    for mask in (strange, nulls):
        if mask is not None:
            hidden |= mask
    made = plain(np.where(hidden, 0, values))
    texts = {} if strange is None else {int(row): alone(int(values[row])).encode() for row in np.flatnonzero(strange)}
    width = max([made.data.shape[1], *(len(text) for text in texts.values())])
    data = np.full((len(values), width), PAD, np.uint8)
    data[:, : made.data.shape[1]] = made.data
    sizes = np.array(np.broadcast_to(np.asarray(made.sizes, np.int32), len(values)))
    data[hidden] = PAD
    sizes[hidden] = 0
    for row, text in texts.items():
        data[row, : len(text)] = np.frombuffer(text, np.uint8)
        sizes[row] = len(text)
    return Slots(data, sizes, nulls, padded=True)
