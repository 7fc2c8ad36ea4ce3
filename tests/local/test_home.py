"""The home folder: made once, owner-only, refused when it is not what it should be."""

from __future__ import annotations

import stat
import threading
from pathlib import Path

import pytest

from governance.errors import Conflict, InvalidRequest, NotFound
from local.home import Home, HomeSettings, RunningParts, write_private

SETTINGS = HomeSettings("1", "Acme")


def test_a_new_home_is_its_owners_alone_and_opens_again(tmp_path: Path) -> None:
    made = Home.create(tmp_path / "deep" / "home", SETTINGS)
    assert Home.open(made.path).settings() == SETTINGS
    for path in [made.path, *made.path.rglob("*")]:
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


def test_a_home_is_not_made_over_something_else(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(Conflict):
        Home.create(tmp_path, SETTINGS)
    assert (tmp_path / "letter.txt").read_text() == "dear"


def test_a_home_is_not_made_twice(tmp_path: Path) -> None:
    Home.create(tmp_path / "home", SETTINGS)
    with pytest.raises(Conflict):
        Home.create(tmp_path / "home", SETTINGS)


def test_an_unknown_environment_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest):
        Home.create(tmp_path / "home", HomeSettings("1", "Acme", environment="prod"))
    assert not (tmp_path / "home").exists()


def test_no_home_is_said_plainly(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no home"):
        Home.open(tmp_path / "nowhere")
    (tmp_path / "file").touch()
    with pytest.raises(NotFound, match="no home"):
        Home.open(tmp_path / "file")


def test_a_home_that_others_may_read_is_refused(tmp_path: Path) -> None:
    home = Home.create(tmp_path / "home", SETTINGS)
    home.path.chmod(0o750)
    with pytest.raises(InvalidRequest, match="Others may read"):
        Home.open(home.path)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"format": 2}', '{"format": 1}', '{"format": 1, "tls_names": 3}'])
def test_damaged_settings_are_refused(tmp_path: Path, text: str) -> None:
    home = Home.create(tmp_path / "home", SETTINGS)
    home.settings_path.write_text(text)
    with pytest.raises(InvalidRequest):
        Home.open(home.path)


def test_where_the_parts_run_is_announced_and_withdrawn(tmp_path: Path) -> None:
    home = Home.create(tmp_path / "home", SETTINGS)
    with pytest.raises(NotFound, match="No control plane runs"):
        home.running()
    running = RunningParts("https://127.0.0.1:8080", 17, 5439, 9090)
    home.announce(running)
    assert home.running() == running
    home.withdraw()
    home.withdraw()
    with pytest.raises(NotFound):
        home.running()


def test_a_reader_never_sees_half_of_a_private_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_private(path, b"a" * 50_000)
    seen: set[bytes] = set()
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            seen.add(path.read_bytes())

    reader = threading.Thread(target=read)
    reader.start()
    for letter in (b"b", b"c", b"d"):
        write_private(path, letter * 50_000)
    done.set()
    reader.join(10)
    assert seen <= {letter * 50_000 for letter in (b"a", b"b", b"c", b"d")}
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]
