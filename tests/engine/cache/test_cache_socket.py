"""`hatidata cache --here` and `cache warm`: the command itself against a running cache and lake."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cli.exits import Unreachable, UsageWrong
from cli.main import app
from engine.cache.cache_socket import NAME, CacheSocket, NodeRefused, ask
from engine.cache.objects import BLOCK_BYTES
from tests.engine.executor.rig import Rig, rig


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Rig]]:
    folder = tmp_path_factory.mktemp("a home whose path is longer than the address of a socket may be " + "x" * 60)
    (folder / "node").mkdir(mode=0o700)
    with rig(folder, memory_bytes=512 << 20, standby=False) as running:
        running.write("s/t.parquet", "SELECT i, hash(i) AS h FROM range(400000) t(i)")
        running.write("s/u.parquet", "SELECT 1 AS i")
        running.seen()
        door = CacheSocket(folder / "node", running.cache, running.lake)
        running.run(door.start())
        yield folder, running
        running.run(door.stop())
        assert not (folder / "node" / NAME).exists()


def command(home: Path, *words: str) -> dict[str, Any]:
    done = CliRunner().invoke(app, ["cache", *words, "--home", str(home), "--json"], catch_exceptions=False)
    assert done.exit_code == 0
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def test_w5_4_a_table_is_warmed_shown_and_cleared(home: tuple[Path, Rig]) -> None:
    folder, running = home
    command(folder, "clear", "--here")
    assert command(folder, "status", "--here")["blocks"] == 0
    size = (running.data / "s/t.parquet").stat().st_size
    assert command(folder, "warm", "s.t") == {"table": "s.t", "files": 1, "bytes": size}
    shown = command(folder, "status", "--here")
    assert shown["blocks"] == -(-size // BLOCK_BYTES)
    assert shown["bytes_held"] >= size
    before = shown["bytes_from_store"]
    command(folder, "warm", "s.t")
    assert command(folder, "status", "--here")["bytes_from_store"] == before, "it was warm"
    assert command(folder, "clear", "--here")["blocks"] == shown["blocks"]
    assert command(folder, "status", "--here")["bytes_held"] == 0


@pytest.mark.parametrize("table", ["s.unknown", "nothing", "", "a.b.c", "../x"])
def test_what_is_no_table_is_refused(home: tuple[Path, Rig], table: str) -> None:
    with pytest.raises(NodeRefused):
        ask(home[0] / "node", "warm", table)


@pytest.mark.parametrize(
    "line", [b"", b"\n", b"[]\n", b"{}\n", b'{"verb": 1}\n', b"\xff\xfe\n", b"[" * 3000 + b"\n", b"x" * 100_000]
)
def test_garbage_is_refused_and_the_socket_lives(home: tuple[Path, Rig], line: bytes) -> None:
    node = home[0] / "node"
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(20)
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(node)
            sock.connect(NAME)
        try:
            sock.sendall(line)
            sock.shutdown(socket.SHUT_WR)
            answer = sock.recv(10_000)
        except OSError:
            answer = b""
    assert not answer or "refused" in json.loads(answer)
    assert ask(node, "status")["bytes_max"] > 0


def test_the_socket_is_its_users_alone(home: tuple[Path, Rig]) -> None:
    assert (home[0] / "node" / NAME).stat().st_mode & 0o777 == 0o600


def test_nobody_there_is_said(tmp_path: Path) -> None:
    (tmp_path / "node").mkdir()
    runner = CliRunner()
    done = runner.invoke(app, ["cache", "status", "--here", "--home", str(tmp_path)])
    assert isinstance(done.exception, Unreachable)
    done = runner.invoke(app, ["cache", "warm", "s.t"], env={"HATIDATA_HOME": ""})
    assert isinstance(done.exception, UsageWrong | Unreachable)
