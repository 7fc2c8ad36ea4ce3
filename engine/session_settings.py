"""The values of a session's parameters: SET, RESET, and what a transaction's end or a savepoint takes back."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from engine.refusals import SessionRefused
from engine.session_parameters import CUSTOM, PARAMETERS, check, duration_ms, fold, unknown
from engine.wire import sqlstate as s

_CUSTOM_MAX = 64
_OF_TRANSACTION = {
    "transaction_isolation": "default_transaction_isolation",
    "transaction_read_only": "default_transaction_read_only",
    "transaction_deferrable": "default_transaction_deferrable",
}
"""Outside a transaction, and until it says otherwise, a transaction's modes are the defaults for the next one."""

Mark = tuple[dict[str, str], dict[str, str | None]]
"""Everything at one moment of a transaction."""


@dataclass(slots=True)
class SessionSettings:
    """The values of one session; a transaction's changes can be taken back."""

    defaults: dict[str, str] = field(default_factory=dict)
    """What RESET goes back to: the start-up packet's values over PARAMETERS' own."""
    values: dict[str, str] = field(default_factory=dict)
    _before_transaction: dict[str, str] | None = None
    _before_local: dict[str, str | None] = field(default_factory=dict)

    def get(self, name: str) -> str:
        """A parameter's value.

        Raises:
            SessionRefused: 42704, no such parameter.
        """
        key = fold(name)
        for known in (self.values, self.defaults):
            if key in known:
                return known[key]
        if key in _OF_TRANSACTION:
            return self.get(_OF_TRANSACTION[key])
        parameter = PARAMETERS.get(key)
        if parameter is None:
            raise unknown(name)
        return parameter.default

    def pairs(self) -> tuple[tuple[str, str], ...]:
        """Every parameter with its value, the client's own ones too."""
        own = {*self.values, *self.defaults} - PARAMETERS.keys()
        return tuple((name, self.get(name)) for name in (*PARAMETERS, *sorted(own)))

    def spelling(self) -> dict[str, str]:
        """How values are to be written: the options of the executor that say so."""
        names = {"time_zone": "timezone", "interval_style": "intervalstyle", "bytea_output": "bytea_output"}
        return {option: self.get(name) for option, name in names.items()}

    def duration_s(self, name: str) -> float:
        """A time parameter in seconds; 0 is none."""
        text = self.get(name)
        return 0.0 if text == "0" else duration_ms(text) / 1000

    def set(self, name: str, value: str, *, local: bool = False) -> str | None:
        """Change a parameter; the value to report by ParameterStatus, or None when it is not reported.

        Raises:
            SessionRefused: unknown (42704), fixed (55P02) or not its value (22023).
        """
        key, kept = check(name, value)
        if key == "datestyle" and "," not in kept:
            kept = f"{kept}, {self.get(key).rpartition(' ')[2]}"
        if local:
            if key not in self._before_local:
                self._before_local[key] = self.values.get(key)
        elif key in self._before_local:
            self._before_local[key] = kept
        if key not in PARAMETERS and key not in self.values and len(self.values) >= len(PARAMETERS) + _CUSTOM_MAX:
            raise SessionRefused(s.PROGRAM_LIMIT_EXCEEDED, "Too many custom parameters are set.")
        self.values[key] = kept
        return self._reported(key)

    def reset(self, name: str) -> str | None:
        """Back to the session's default; as `set`. A parameter of the client's own is empty from then on.

        Raises:
            SessionRefused: unknown or fixed.
        """
        key = fold(name)
        parameter = PARAMETERS.get(key)
        if parameter is None and not CUSTOM.fullmatch(name):
            raise unknown(name)
        if parameter is not None and parameter.check is None:
            raise SessionRefused(s.CANNOT_CHANGE_RUNTIME_PARAMETER, f'parameter "{parameter.name}" cannot be changed')
        self._restore(key)
        return self._reported(key)

    def reset_all(self) -> dict[str, str]:
        """Back to the session's defaults; the reported parameters that changed."""
        before = self.reports()
        for key in list(self.values):
            if key not in _OF_TRANSACTION:
                self._restore(key)
        self._before_local.clear()
        return self._changed(before)

    def _restore(self, key: str) -> None:
        if self.values.pop(key, None) is not None and key not in PARAMETERS:
            self.values[key] = ""

    def begin(self) -> None:
        """A transaction begins: remember what ROLLBACK goes back to."""
        self._before_transaction = dict(self.values)
        self._before_local.clear()

    def end(self, *, commit: bool) -> dict[str, str]:
        """A transaction ends: undo SET LOCAL, and on rollback every SET; the reported parameters that changed."""
        before = self.reports()
        if not commit and self._before_transaction is not None:
            self.values = dict(self._before_transaction)
        else:
            for key, value in self._before_local.items():
                if value is None:
                    self.values.pop(key, None)
                else:
                    self.values[key] = value
        self._before_transaction = None
        self._before_local.clear()
        return self._changed(before)

    def mark(self) -> Mark:
        """What a savepoint remembers."""
        return dict(self.values), dict(self._before_local)

    def back_to(self, mark: Mark) -> dict[str, str]:
        """Everything as it was at `mark`; the reported parameters that changed."""
        before = self.reports()
        self.values, self._before_local = dict(mark[0]), dict(mark[1])
        return self._changed(before)

    def modes(self) -> Iterable[tuple[str, str]]:
        """The modes of the transaction at hand."""
        return [(name, self.get(name)) for name in _OF_TRANSACTION]

    def reports(self) -> dict[str, str]:
        """All reported parameters by their proper names."""
        return {parameter.name: self.get(key) for key, parameter in PARAMETERS.items() if parameter.reported}

    def _changed(self, before: dict[str, str]) -> dict[str, str]:
        return {name: value for name, value in self.reports().items() if before[name] != value}

    def _reported(self, key: str) -> str | None:
        parameter = PARAMETERS.get(key)
        return self.get(key) if parameter is not None and parameter.reported else None
