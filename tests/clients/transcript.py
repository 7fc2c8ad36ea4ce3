"""Conversations as files: what a client sends, what the server answers; one player for us and for a real PostgreSQL.

A file is steps. Lines `> ...` are sent together; then come the answers, one line for each message:

    > P s1 | SELECT $1::int4 | 0
    > S
    < ParseComplete
    < Z I

Where the two servers differ, `! name` names the difference (docs/protocol.md says why) and `hd<` and `pg<` lines
follow instead. What is sent: `Q text`, `P name | text | oids`, `B portal | name | parameter formats | values | result
formats`, `D S name`, `D P name`, `E portal rows`, `C S name`, `C P name`, `H`, `S`, `X`, `d text`, `c`, `f text`,
`raw hex`. A value is `NULL`, `'text'` or `x'hex'`; an unnamed thing is `-`.
"""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

FOLDER = Path(__file__).parent / "transcripts"
WAIT_S = 20.0
QUIET_S = 0.7
_CONTEXT = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
_CONTEXT.check_hostname, _CONTEXT.verify_mode = False, ssl.CERT_NONE  # who answers is `tests/engine/session`'s matter
_SSL_REQUEST = struct.pack("!II", 8, 80877103)
_BARE = {
    "1": "ParseComplete", "2": "BindComplete", "3": "CloseComplete", "n": "NoData", "s": "PortalSuspended",
    "I": "EmptyQuery", "c": "CopyDone",
}  # fmt: skip


@dataclass
class Step:
    """Messages sent together, and the answers of each server."""

    sends: list[str] = field(default_factory=list)
    difference: str = ""
    ours: list[str] = field(default_factory=list)
    postgres: list[str] = field(default_factory=list)
    comments: list[str] = field(default_factory=list)


def parse(text: str) -> list[Step]:
    """The steps of a file."""
    steps = [Step()]
    for line in text.splitlines():
        if line.startswith("#") or not line.strip():
            if steps[-1].sends:
                steps.append(Step())
            if line.strip():
                steps[-1].comments.append(line)
        elif line.startswith("> "):
            if steps[-1].ours or steps[-1].postgres:
                steps.append(Step())
            steps[-1].sends.append(line[2:])
        else:
            mark, _, rest = line.partition(" ")
            if mark == "!":
                steps[-1].difference = rest
            if mark in ("<", "hd<"):
                steps[-1].ours.append(rest)
            if mark in ("<", "pg<"):
                steps[-1].postgres.append(rest)
    return [step for step in steps if step.sends or step.comments]


def written(steps: list[Step]) -> str:
    """The file of `steps`."""
    lines: list[str] = []
    for step in steps:
        lines += ["", *step.comments]
        lines += [f"> {send}" for send in step.sends]
        if step.ours == step.postgres:
            lines += [f"< {answer}" for answer in step.ours]
        else:
            lines.append(f"! {step.difference or '?'}")
            lines += [f"hd< {answer}" for answer in step.ours]
            lines += [f"pg< {answer}" for answer in step.postgres]
    return "\n".join(lines).strip() + "\n"


# ---------------------------------------------------------------- bytes


def _message(kind: str, body: bytes = b"") -> bytes:
    return kind.encode() + struct.pack("!I", len(body) + 4) + body


def _name(text: str) -> bytes:
    return (b"" if text == "-" else text.encode()) + b"\0"


def _value(text: str) -> bytes:
    if text == "NULL":
        return struct.pack("!i", -1)
    data = bytes.fromhex(text[2:-1]) if text.startswith("x'") else text[1:-1].encode()
    return struct.pack("!i", len(data)) + data


def encode(send: str) -> bytes:
    """A line's bytes."""
    kind, _, rest = send.partition(" ")
    parts = [part.strip() for part in re.split(r" \|(?= |$)", rest)]
    if kind == "raw":
        return bytes.fromhex(rest)
    if kind == "Q":
        return _message("Q", rest.encode() + b"\0")
    if kind == "P":
        oids = [int(oid) for oid in parts[2].split()] if len(parts) > 2 else []
        return _message(
            "P", _name(parts[0]) + parts[1].encode() + b"\0" + struct.pack(f"!h{len(oids)}i", len(oids), *oids)
        )
    if kind == "B":
        portal, name, formats, values, results = (*parts, "", "", "")[:5]
        codes, wanted, given = ([int(c) for c in formats.split()], [int(c) for c in results.split()], values.split())
        return _message(
            "B",
            _name(portal) + _name(name) + struct.pack(f"!h{len(codes)}h", len(codes), *codes)
            + struct.pack("!h", len(given)) + b"".join(map(_value, given))
            + struct.pack(f"!h{len(wanted)}h", len(wanted), *wanted),
        )  # fmt: skip
    if kind in ("D", "C"):
        what, name = rest.split()
        return _message(kind, what.encode() + _name(name))
    if kind == "E":
        portal, rows = rest.split()
        return _message("E", _name(portal) + struct.pack("!i", int(rows)))
    if kind == "d":
        return _message("d", rest.encode().decode("unicode_escape").encode())
    if kind == "f":
        return _message("f", rest.encode() + b"\0")
    return _message(kind)


def _shown(data: bytes) -> str:
    return repr(data)[1:]


def _row(body: bytes) -> str:
    at, shown = 2, []
    for _ in range(struct.unpack_from("!h", body)[0]):
        length = struct.unpack_from("!i", body, at)[0]
        at += 4
        shown.append("NULL" if length < 0 else _shown(body[at : at + length]))
        at += max(length, 0)
    return " ".join(shown)


def _fields(body: bytes) -> str:
    at, shown = 2, []
    for _ in range(struct.unpack_from("!h", body)[0]):
        end = body.index(b"\0", at)
        name = body[at:end].decode()
        _, _, oid, size, modifier, form = struct.unpack_from("!ihihih", body, end + 1)
        shown.append(f"{name}:{oid}:{size}:{modifier}:{form}")
        at = end + 19
    return " ".join(shown)


def told(body: bytes) -> dict[str, str]:
    """The fields of an error or notice."""
    return {part[:1].decode(): part[1:].decode() for part in body.split(b"\0") if part}


def render(kind: str, body: bytes) -> str:
    """An answer's line."""
    if kind in _BARE:
        return _BARE[kind]
    if kind == "D":
        return f"D {_row(body)}".strip()
    if kind == "T":
        return f"T {_fields(body)}".strip()
    if kind in ("E", "N"):
        fields = told(body)
        return f"{kind} {fields['S']} {fields['C']}"
    if kind == "C":
        return f"C {body[:-1].decode()}"
    if kind == "Z":
        return f"Z {body.decode()}"
    if kind == "t":
        count = struct.unpack_from("!h", body)[0]
        return " ".join(["t", *map(str, struct.unpack_from(f"!{count}i", body, 2))])
    if kind == "S":
        name, value = body.split(b"\0")[:2]
        return f"S {name.decode()}={value.decode()}"
    if kind == "H":
        form, count = struct.unpack_from("!bh", body)
        return " ".join(["H", str(form), *map(str, struct.unpack_from(f"!{count}h", body, 3))])
    return f"{kind} {_shown(body)}"


# ---------------------------------------------------------------- the player


class Talk:
    """A connection, logged in."""

    def __init__(self, sock: socket.socket, user: str, database: str, password: str) -> None:
        self._socket = sock
        self._data = b""
        pairs = f"user\0{user}\0database\0{database}\0client_encoding\0UTF8\0\0".encode()
        sock.sendall(struct.pack("!ii", len(pairs) + 8, 196608) + pairs)
        while True:
            kind, body = self.hear(WAIT_S)
            if kind == "R" and body[3] == 3:
                sock.sendall(_message("p", password.encode() + b"\0"))
            elif kind == "E":
                raise AssertionError(told(body))
            elif kind == "Z":
                return

    @classmethod
    def ours(cls, port: int, key: str) -> Talk:
        """With a node."""
        plain = socket.create_connection(("127.0.0.1", port), timeout=WAIT_S)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # as libpq does
        plain.sendall(_SSL_REQUEST)
        assert plain.recv(1) == b"S"
        return cls(_CONTEXT.wrap_socket(plain), "anyone", "production", key)

    @classmethod
    def postgres(cls, path: Path, user: str) -> Talk:
        """With a PostgreSQL behind a Unix socket."""
        plain = socket.socket(socket.AF_UNIX)
        plain.connect(str(path))
        return cls(plain, user, "postgres", "")

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def hear(self, wait_s: float) -> tuple[str, bytes]:
        """The next message; ("closed", b"") at the end."""
        self._socket.settimeout(wait_s)
        while len(self._data) < 5 or len(self._data) < 1 + struct.unpack_from("!I", self._data, 1)[0]:
            try:
                more = self._socket.recv(65536)
            except (ConnectionError, ssl.SSLError):
                more = b""
            if not more:
                return "closed", b""
            self._data += more
        end = 1 + struct.unpack_from("!I", self._data, 1)[0]
        kind, body, self._data = chr(self._data[0]), self._data[5:end], self._data[end:]
        return kind, body

    def say(self, sends: list[str]) -> None:
        """Send a step's lines together; to one who has hung up, nothing: what was said before that is still heard."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._socket.sendall(b"".join(map(encode, sends)))

    def answers(self, sends: list[str]) -> list[str]:
        """Everything a step is answered with, when that is not known beforehand."""
        found: list[str] = []
        syncs = sum(send.split(" ")[0] in ("Q", "S") for send in sends)
        while True:
            try:
                kind, body = self.hear(WAIT_S if syncs else QUIET_S)
            except TimeoutError:
                return found
            found.append("closed" if kind == "closed" else render(kind, body))
            if kind == "closed":
                return found
            syncs -= kind == "Z"
            if kind == "Z" and syncs <= 0:
                return found

    def expect(self, wanted: list[str]) -> list[str]:
        """As many answers as are wanted."""
        found: list[str] = []
        for _ in wanted:
            kind, body = self.hear(WAIT_S)
            found.append("closed" if kind == "closed" else render(kind, body))
            if kind == "closed":
                break
        return found


def files() -> Iterator[Path]:
    """Every transcript."""
    return iter(sorted(FOLDER.glob("*.talk")))


def record(file: Path, ours: Talk, postgres: Talk) -> None:
    """Play a file against both and write down what they answer; names of differences are kept."""
    steps = parse(file.read_text())
    for step in steps:
        if step.sends:
            ours.say(step.sends)
            step.ours = ours.answers(step.sends)
            postgres.say(step.sends)
            step.postgres = postgres.answers(step.sends)
    file.write_text(written(steps))


def main(arguments: list[str]) -> int:
    """`python -m tests.clients.transcript PORT KEY_FILE SOCKET USER [NAME ...]`: record transcripts anew."""
    port, key_file, path, user, *names = arguments
    for file in files():
        if not names or file.stem in names:
            ours = Talk.ours(int(port), Path(key_file).read_text().strip())
            postgres = Talk.postgres(Path(path), user)
            record(file, ours, postgres)
            ours.close()
            postgres.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
