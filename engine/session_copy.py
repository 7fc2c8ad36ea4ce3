"""COPY (query) TO STDOUT, read strictly: the query, and the options of its three formats."""

from __future__ import annotations

from engine.refusals import SessionRefused
from engine.session_command_types import FIRST_WORDS, CopyOut
from engine.session_tokens import TokenReader, closing, first_word
from engine.wire import sqlstate as s


class CopyReader(TokenReader):
    """Reads a COPY from behind its first word."""

    def copy(self) -> CopyOut:
        """What comes behind COPY. Raises SyntaxRefused, SessionRefused."""
        query = self._query()
        direction = self.expect("to", "from")
        if direction == "from":
            raise SessionRefused(
                s.READ_ONLY_TRANSACTION, "COPY FROM is not offered: tables are read-only.", reason="COPY FROM"
            )
        if self.peek().kind in ("string", "estring") or self.peek().keyword == "program":
            raise SessionRefused(
                s.INSUFFICIENT_PRIVILEGE, "COPY to a file or program is not allowed.", advice="Use COPY ... TO STDOUT."
            )
        self.expect("stdout", "stdin")  # PostgreSQL takes either for the client, and PHP says the latter
        self.accept("with")
        options = self._options()
        kind = options.pop("format", "text")
        return CopyOut(query, kind, tuple(sorted(options.items())))

    def _query(self) -> str:
        start = self.peek()
        if not self.mark("("):
            parts = [self._identifier()]
            while self.mark("."):
                parts.append(self._identifier())
            columns = "*"
            if self.mark("("):
                names = [self._identifier()]
                while self.mark(","):
                    names.append(self._identifier())
                if not self.mark(")"):
                    raise self.error()
                columns = ", ".join(names)
            return f"SELECT {columns} FROM {'.'.join(parts)}"
        end = closing(self.text, start.end)
        self.ahead, self.at = None, end + 1
        query = self.text[start.end : end].strip()
        if first_word(query) in FIRST_WORDS or not query:
            raise SessionRefused(s.FEATURE_NOT_SUPPORTED, "COPY takes a query.")
        return query

    def _identifier(self) -> str:
        """An identifier, as written."""
        token = self.take()
        if token.kind not in ("word", "quoted"):
            raise self.error(token.start)
        return token.text

    def _options(self) -> dict[str, str]:
        options: dict[str, str] = {}
        if self.mark("("):
            while True:
                self._option(options, self.name())
                if self.mark(")"):
                    return options
                if not self.mark(","):
                    raise self.error()
        while self.peek().kind == "word":
            word = self.name()
            if word in ("binary", "csv"):
                options["format"] = word
            elif word in ("delimiter", "null", "quote", "escape"):
                self.accept("as")
                options[word] = self.string()
            elif word == "header":
                options[word] = "on"
            elif word == "force":
                self.expect("quote")
                self._option(options, "force_quote")
            else:
                raise self.error()
        return options

    def _option(self, options: dict[str, str], name: str) -> None:
        if name in options:
            raise SessionRefused(s.SYNTAX_ERROR, "A COPY option is given twice.")
        if name == "format":
            value = self.string() if self.peek().kind in ("string", "estring") else self.name()
            if value.lower() not in ("text", "csv", "binary"):
                raise SessionRefused(s.INVALID_PARAMETER_VALUE, "COPY format not recognized")
            options[name] = value.lower()
        elif name == "header":
            token = self.peek()
            value = self.value().lower() if token.kind in ("word", "string", "number") else "on"
            if value not in ("on", "off", "true", "false", "1", "0"):
                raise self.error(token.start)
            options[name] = "on" if value in ("on", "true", "1") else "off"
        elif name in ("delimiter", "null", "quote", "escape"):
            options[name] = self.string()
        elif name == "encoding":
            if self.string().lower().replace("-", "") != "utf8":
                raise SessionRefused(s.INVALID_PARAMETER_VALUE, "Only UTF8 is offered.")
        elif name == "force_quote" and self.mark("*"):
            options[name] = "*"
        else:
            raise SessionRefused(s.FEATURE_NOT_SUPPORTED, "A COPY option is not supported.")
