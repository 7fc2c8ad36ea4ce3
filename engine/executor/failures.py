"""Failures on their way from DuckDB to a client: the class survives, the words do not.

DuckDB's texts quote values of hidden rows, so they end in the worker (`classify`). What crosses is a word for the
class and, of binder errors, a name that stands in the statement itself. The node turns that into a refusal with
our own sentence (`refusal`); it does not believe more of a worker than the words it knows.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from governance import errors
from governance.errors import ColumnUnknown, EngineFailed, Refusal, ResourceExceeded, SourceUnavailable

NAME_CHARS_MAX = 128
_TEXT_CHARS_MAX = 500


@dataclass(frozen=True, slots=True)
class Failure:
    """What a worker says of a statement that failed."""

    kind: str
    name: str = ""
    """The column, function or table concerned, when it is safe to say."""
    message: str = ""
    """Only of our own refusals raised in the worker (a parameter that does not parse, ...)."""
    advice: str = ""


class SourceFault(OSError):
    """The node could not give a block: raised by the worker's file system, whatever DuckDB makes of it."""


class AssertionBroken(Exception):
    """A result column does not carry what its mask says."""


_IDENTIFIER = r'"((?:[^"]|""){1,128})"'
_FUNCTION = r"[A-Za-z_][A-Za-z0-9_]{0,62}|[-+*/%^<>=!~|&@#]{1,4}"
_BINDER = (
    (re.compile(rf"Referenced column {_IDENTIFIER}"), "column_unknown"),
    (re.compile(rf"does not have a column named {_IDENTIFIER}"), "column_unknown"),
    (re.compile(rf"No function matches the given name and argument types '({_FUNCTION})\("), "function"),
    (re.compile(rf"Referenced table {_IDENTIFIER} not found"), "from_clause"),
    (re.compile(r"(Set operations) can only apply to expressions with the same number"), "set_operation"),
    (re.compile(rf"Ambiguous reference to column name {_IDENTIFIER}"), "ambiguous_column"),
    (re.compile(rf"column {_IDENTIFIER} must appear in the GROUP BY clause"), "grouping"),
)
_CLASSES = {
    "ConversionException": "conversion",
    "OutOfRangeException": "out_of_range",
    "OutOfMemoryException": "memory",
    "MemoryError": "memory",
    "ArrowMemoryError": "memory",
    "InterruptException": "interrupted",
    "InvalidInputException": "invalid_input",
    "TypeMismatchException": "type_mismatch",
    "InvalidTypeException": "type_mismatch",
    "NotImplementedException": "not_implemented",
    "PermissionException": "permission",
    "BinderException": "binder",
    "CatalogException": "binder",
    "ParserException": "binder",
    "SyntaxException": "binder",
    "ConstraintException": "duplicate_key",
}


def classify(error: BaseException) -> Failure:
    """The failure that stands for `error`; runs in the worker."""
    if isinstance(error, Refusal):
        kind = error.kind if isinstance(error, EngineFailed) else error.code
        return Failure(f"refusal:{error.code}", kind, error.message[:_TEXT_CHARS_MAX], error.advice[:_TEXT_CHARS_MAX])
    if isinstance(error, SourceFault):
        return Failure("source")
    if isinstance(error, AssertionBroken):
        return Failure("assertion")
    class_name = type(error).__name__
    kind = _CLASSES.get(class_name, "internal")
    text = str(error) if kind in ("binder", "conversion", "internal", "invalid_input") else ""
    if kind == "conversion":
        return Failure(_conversion(text))
    if kind == "binder":
        first = text.split("\n", 1)[0]
        for pattern, told in _BINDER:
            if match := pattern.search(first):
                return Failure(told, match[1].replace('""', '"')[:NAME_CHARS_MAX])
    if kind == "invalid_input" and "More than one row returned by a subquery" in text:
        return Failure("duplicate_key")
    if "Out of Memory" in text or "bad_alloc" in text or "Maximum depth" in text:
        return Failure("memory")
    if class_name in ("IOException", "HTTPException", "SerializationException"):
        return Failure("source")
    return Failure(kind, class_name if kind == "internal" else "")


def _conversion(text: str) -> str:
    """Which kind of conversion failed, of three; nothing else of the text is used."""
    if "out of range" in text or "because the value is out" in text:
        return "out_of_range"
    return "datetime" if re.search(r"invalid (date|time|timestamp) field format", text) else "conversion"


_REFUSALS: dict[str, type[Refusal]] = {
    cls.code: cls for cls in vars(errors).values() if isinstance(cls, type) and issubclass(cls, Refusal)
}
_ENGINE = {
    "conversion": ("A value cannot be converted to the type the statement asks for.", "Use TRY_CAST."),
    "datetime": ("A value is no date or time.", "Write dates as 2024-02-29, times as 12:30:15; or use TRY_CAST."),
    "set_operation": ("The parts of a UNION, EXCEPT or INTERSECT differ in their number of columns.", ""),
    "from_clause": ("A table is named that does not stand in FROM.", "Add it to FROM, or use its alias."),
    "out_of_range": ("A number in the statement's computation is out of range.", "Cast to a wider type first."),
    "invalid_input": ("A function was given a value that it does not take.", "Check the arguments."),
    "type_mismatch": ("Types in the statement do not fit each other.", "Add explicit casts."),
    "duplicate_key": ("More than one row came from a sub-query used as an expression.", "Add LIMIT 1 or aggregate."),
    "not_implemented": ("The engine does not implement this form.", "Write the statement in another way."),
    "binder": ("A name, type or clause of the statement does not fit its tables.", "Check names and clauses."),
    "grouping": ("A column must stand in GROUP BY or inside an aggregate.", "Extend GROUP BY, or use ANY_VALUE."),
    "ambiguous_column": ("A column name is ambiguous.", "Write it as table.column."),
    "function": ("No form of a function takes arguments of these types.", "Add explicit casts."),
    "permission": ("The engine does not allow this.", ""),
    "assertion": ("The result did not pass its mask check, so it was withheld.", "Report this to your administrator."),
    "startup": ("The query process could not start.", "Retry; if it persists, report it to your administrator."),
    "internal": ("The engine failed.", "Retry; if it persists, report it to your administrator."),
}
_KIND_FOR_SQLSTATE = {
    "grouping": "grouping",
    "ambiguous_column": "ambiguous_column",
    "function": "undefined_function",
}


def refusal(failure: Failure) -> Refusal:
    """The refusal a client gets for `failure`; runs in the node."""
    kind, _, code = failure.kind.partition(":")
    if kind == "refusal" and code in _REFUSALS:
        message, advice = failure.message[:_TEXT_CHARS_MAX], failure.advice[:_TEXT_CHARS_MAX]
        if code == EngineFailed.code:
            return EngineFailed(message, kind=failure.name[:NAME_CHARS_MAX], advice=advice)
        return _REFUSALS[code](message, advice=advice)
    if kind == "memory":
        return ResourceExceeded(
            "The statement needs more memory than it may take.",
            advice="Select fewer columns or rows, aggregate earlier, or split the statement.",
        )
    if kind == "source":
        return source_unavailable(failure.name, why=code)
    if kind == "column_unknown":
        return ColumnUnknown(f'column "{failure.name[:NAME_CHARS_MAX]}" does not exist', reason="binder")
    message, advice = _ENGINE.get(kind, _ENGINE["internal"])
    known = kind if kind in _ENGINE else "internal"
    if known in ("grouping", "ambiguous_column", "function", "from_clause") and failure.name:
        message = f'{message[:-1]}: "{failure.name[:NAME_CHARS_MAX]}".'
    reason = f"{known} {failure.name[:NAME_CHARS_MAX]}".strip()
    return EngineFailed(message, kind=_KIND_FOR_SQLSTATE.get(known, known), advice=advice, reason=reason)


_ASK = "Ask your administrator: the node's role needs {} there."
_SOURCE = {
    "gone": (
        "{subject} were replaced or removed while the statement ran.",
        "Retry: the statement then runs on what is there now.",
    ),
    "denied": (
        "The object store denies the node access to {files}.",
        _ASK.format("s3:GetObject and s3:ListBucket"),
    ),
    "key": (
        "The node may not use the key that {files} are encrypted with.",
        _ASK.format("kms:Decrypt"),
    ),
    "credentials": (
        "The object store does not accept the node's credentials, or they have expired: {files} cannot be read now.",
        "Retry in a minute; if it persists, report it to your administrator.",
    ),
    "throttled": ("The object store asks for patience: {files} cannot be read now.", "Retry in a minute."),
    "failed": (
        "The object store does not answer as it should: {files} cannot be read now.",
        "Retry; if it persists, report it to your administrator.",
    ),
    "": (
        "{subject} cannot be read.",
        (
            "They may have been replaced while the statement ran, or be damaged: retry; if it persists, report it to "
            "whoever writes the table."
        ),
    ),
}
"""(sentence, advice) by why files cannot be read: an outcome of `engine.cache.block_wire` in small letters."""


def source_unavailable(table: str, *, why: str = "") -> SourceUnavailable:
    """The refusal for a table whose files cannot be read; its `reason` is `why` when that is one of the known words."""
    name = table[:NAME_CHARS_MAX]
    subject, files = (f"The files of table {name}", f"the files of table {name}") if name else ("Files", "files")
    sentence, advice = _SOURCE.get(why, _SOURCE[""])
    return SourceUnavailable(
        sentence.format(subject=subject, files=files), advice=advice, reason=why if why in _SOURCE else ""
    )
