"""PostgreSQL's ways with text, patterns and access lists, for the catalog's DuckDB. Pure.

Patterns are RE2's: linear in time whatever a client writes. What RE2 does not know is refused.
"""

from __future__ import annotations

import base64
import functools
import re
from typing import Any

import re2

from engine.catalog.emulation.names import NameUnknown

PATTERN_CHARS_MAX = 4096
PADDED_CHARS_MAX = 100_000
"""What the widths of one format may add up to."""
_PRIVILEGES = {
    "r": "SELECT", "a": "INSERT", "w": "UPDATE", "d": "DELETE", "D": "TRUNCATE", "x": "REFERENCES", "t": "TRIGGER",
    "X": "EXECUTE", "U": "USAGE", "C": "CREATE", "T": "TEMPORARY", "c": "CONNECT", "s": "SET", "A": "ALTER SYSTEM",
}  # fmt: skip
_DEFAULTS = {
    "c": ("", ""), "r": ("arwdDxt", ""), "s": ("rwU", ""), "d": ("CTc", "Tc"), "f": ("X", "X"), "l": ("U", "U"),
    "L": ("rw", ""), "n": ("UC", ""), "p": ("sA", ""), "t": ("C", ""), "F": ("U", ""), "S": ("U", ""), "T": ("U", "U"),
}  # fmt: skip
"""What owner and everyone may do with a new object, by its kind (PostgreSQL 15, section 5.7)."""
_ACL = re.compile(r'("(?:[^"]|"")*"|[^=]*)=([A-Za-z*]*)/("(?:[^"]|"")*"|.*)\Z', re.DOTALL)


def size_pretty(size: int | None) -> str | None:
    """`pg_size_pretty`."""
    if size is None:
        return None
    value = abs(size)
    for unit in ("bytes", "kB", "MB", "GB", "TB", "PB"):
        if value < 10 * 1024 or unit == "PB":
            return f"{'-' if size < 0 else ''}{value} {unit}"
        value = (value + 512) // 1024
    raise AssertionError("unreachable")


def array_out(items: list[str | None] | None) -> str | None:
    """An array as PostgreSQL prints it."""
    if items is None:
        return None
    shown = []
    for item in items:
        if item is None:
            shown.append("NULL")
        elif item == "" or item.lower() == "null" or any(c in '{}",\\ \t\n\r\v\f' for c in item):
            shown.append('"' + item.replace("\\", "\\\\").replace('"', '\\"') + '"')
        else:
            shown.append(item)
    return "{" + ",".join(shown) + "}"


def field_out(text: str | None) -> str:
    """A field inside a composite as PostgreSQL prints it."""
    if text is None:
        return ""
    if text == "" or any(c in '(),"\\ \t\n\r\v\f' for c in text):
        return '"' + text.replace("\\", "\\\\").replace('"', '""') + '"'
    return text


# ---------------------------------------------------------------- patterns


@functools.lru_cache(maxsize=128)
def _pattern(text: str, flags: str) -> Any:
    if len(text) > PATTERN_CHARS_MAX or any(flag not in "gicnms" for flag in flags):
        raise NameUnknown("2201B")
    options = re2.Options()
    options.log_errors = False
    options.case_sensitive = "i" not in flags
    try:
        # In PostgreSQL a dot takes new lines, unless told otherwise.
        return re2.compile(("" if "n" in flags or "m" in flags else "(?s)") + text, options)
    except re2.error:
        raise NameUnknown("2201B") from None


def regexp_matches(text: str | None, pattern: str | None, flags: str | None) -> list[list[str | None]]:
    """`regexp_matches`: the groups of the first match, of every match with flag g."""
    if text is None or pattern is None or flags is None:
        return []
    found = []
    for match in _pattern(pattern, flags).finditer(text):
        found.append(list(match.groups()) or [match.group()])
        if "g" not in flags:
            break
    return found


def regexp_match(text: str | None, pattern: str | None, flags: str | None) -> list[str | None] | None:
    """`regexp_match`: the groups of the first match, or NULL."""
    found = regexp_matches(text, pattern, flags.replace("g", "") if flags else flags)
    return found[0] if found else None


def regexp_substring(text: str | None, pattern: str | None) -> str | None:
    """`substring(text from pattern)`: the first group, or all of the match."""
    found = regexp_match(text, pattern, "")
    return found[0] if found else None


def similar(pattern: str | None, escape: str | None) -> str | None:
    """The regular expression that a pattern of SIMILAR TO means."""
    if pattern is None or escape is None:
        return None
    pieces, at = [], 0
    while at < len(pattern):
        c = pattern[at]
        if c == escape and at + 1 < len(pattern):
            at += 1
            pieces.append(re.escape(pattern[at]))
        else:
            pieces.append({"%": ".*", "_": "."}.get(c, "\\" + c if c in "\\.^$" else c))
        at += 1
    return f"^(?s:{''.join(pieces)})$"


def regexp_split(text: str | None, pattern: str | None, flags: str | None) -> list[str] | None:
    """`regexp_split_to_array`; a match of nothing at the ends splits nothing."""
    if text is None or pattern is None or flags is None:
        return None
    pieces, at = [], 0
    for match in _pattern(pattern, flags).finditer(text):
        if match.end() == match.start() and match.start() in (0, len(text)):
            continue
        pieces.append(text[at : match.start()])
        at = match.end()
    return [*pieces, text[at:]]


def string_to_array(text: str | None, separator: str | None, missing: str | None) -> list[str | None] | None:
    """`string_to_array`: a NULL separator cuts into characters, an empty one not at all."""
    if text is None:
        return None
    if not text:
        return []
    pieces = list(text) if separator is None else text.split(separator) if separator else [text]
    return [None if piece == missing else piece for piece in pieces]


# ---------------------------------------------------------------- access lists


def acl_items(entries: list[str | None] | None) -> list[tuple[str, str, str, bool]]:
    """(grantee, grantor, privilege, grantable) for each privilege of an access list; an empty grantee is everyone."""
    found = []
    for entry in entries or ():
        match = _ACL.match(entry or "")
        if match is None:
            raise NameUnknown("22P02")
        grantee, letters, grantor = match.groups()
        for at, letter in enumerate(letters):
            if letter in _PRIVILEGES:
                grantable = letters[at + 1 : at + 2] == "*"
                found.append((_unquoted(grantee), _unquoted(grantor), _PRIVILEGES[letter], grantable))
    return found


def _unquoted(name: str) -> str:
    return name[1:-1].replace('""', '"') if name.startswith('"') else name


def acl_default(kind: str | None, owner: str | None) -> list[str] | None:
    """`acldefault` with the owner's name."""
    if kind is None or owner is None:
        return None
    if kind not in _DEFAULTS:
        raise NameUnknown("22023")
    own, everyone = _DEFAULTS[kind]
    return [*([f"={everyone}/{owner}"] if everyone else []), *([f"{owner}={own}/{owner}"] if own else [])]


def options(entries: list[str | None] | None) -> list[dict[str, str | None]]:
    """`pg_options_to_table`."""
    pairs = [(entry or "").partition("=") for entry in entries or ()]
    return [{"f1": name, "f2": value if mark else None} for name, mark, value in pairs]


def format_text(text: str | None, arguments: list[str | None], quote: Any) -> str | None:
    """`format`: %s, %I, %L and %%, with positions and widths; `quote` quotes identifiers."""
    if text is None:
        return None
    pieces, at, following, padded = [], 0, 0, 0
    for match in re.finditer(r"%(?:(\d{1,4})\$)?(-)?(\d{1,4})?([sIL%])?", text):
        pieces.append(text[at : match.start()])
        at = match.end()
        place, left, width, kind = match.groups()
        if kind == "%":
            pieces.append("%")
            continue
        padded += int(width or 0)
        if padded > PADDED_CHARS_MAX:
            raise NameUnknown("22023")
        number = int(place) - 1 if place else following
        if kind is None or not 0 <= number < len(arguments):
            raise NameUnknown("22023")
        following = number + 1
        value = arguments[number]
        if kind == "I" and value is None:
            raise NameUnknown("22004")
        if kind == "L":
            shown = "NULL" if value is None else "'" + value.replace("'", "''") + "'"
        else:
            shown = quote(value) if kind == "I" else value or ""
        pieces.append(shown.ljust(int(width or 0)) if left else shown.rjust(int(width or 0)))
    return "".join([*pieces, text[at:]])


# ---------------------------------------------------------------- bytes


def encode(data: bytes | None, form: str | None) -> str | None:
    """`encode`: hex, base64 or escape."""
    if data is None or form is None:
        return None
    match form.lower():
        case "hex":
            return data.hex()
        case "base64":
            return base64.b64encode(data).decode()
        case "escape":
            return "".join("\\\\" if c == 0x5C else chr(c) if 0 < c < 0x80 else f"\\{c:03o}" for c in data)
    raise NameUnknown("22023")


def decode(text: str | None, form: str | None) -> bytes | None:
    """`decode`: hex or base64."""
    if text is None or form is None:
        return None
    try:
        match form.lower():
            case "hex":
                return bytes.fromhex(text)
            case "base64":
                return base64.b64decode("".join(text.split()), validate=True)
    except ValueError:
        pass
    raise NameUnknown("22023")


def size_bytes(text: str | None) -> int | None:
    """`pg_size_bytes`."""
    if text is None:
        return None
    match = re.fullmatch(r"\s*(-?\d{1,15}(?:\.\d{1,9})?)\s*(bytes|b|kb|mb|gb|tb|pb)?\s*", text.lower())
    if match is None:
        raise NameUnknown("22023")
    unit = ("b", "kb", "mb", "gb", "tb", "pb").index((match.group(2) or "b").replace("bytes", "b"))
    return int(float(match.group(1)) * 1024**unit)


def initcap(text: str | None) -> str | None:
    """`initcap`: letters after anything that is neither letter nor digit in upper case."""
    if text is None:
        return None
    return re.sub(r"[^\W_]+", lambda word: word.group()[0].upper() + word.group()[1:].lower(), text)


# ---------------------------------------------------------------- bits


def to_bits(number: int | None, length: int | None) -> str | None:
    """A whole number as `bit(length)`: its lowest bits."""
    if number is None or length is None:
        return None
    if not 1 <= length <= 64:
        raise NameUnknown("22023")
    return f"{number & ((1 << length) - 1):0{length}b}"


def from_bits(text: str | None) -> int | None:
    """A bit string as a number, the highest of 64 bits being its sign."""
    if text is None:
        return None
    if len(text) > 64 or not set(text) <= {"0", "1"}:
        raise NameUnknown("22023")
    number = int(text or "0", 2)
    return number - (1 << 64) if number >> 63 else number


def bits(operator: str | None, left: str | None, right: str | None) -> str | None:
    """`&`, `|` and `#` of bit strings of one length."""
    if operator is None or left is None or right is None:
        return None
    if len(left) != len(right) or not set(left + right) <= {"0", "1"}:
        raise NameUnknown("22023")
    pairs = zip(left, right, strict=True)
    match operator:
        case "&":
            return "".join("1" if a == b == "1" else "0" for a, b in pairs)
        case "|":
            return "".join("1" if "1" in (a, b) else "0" for a, b in pairs)
    return "".join("1" if a != b else "0" for a, b in pairs)
