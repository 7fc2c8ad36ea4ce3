"""`hatidata serve` as a user runs it: ready, reachable, restarted where it must be, gone when told."""

from __future__ import annotations

import hmac
import json
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import duckdb
import httpx
import psycopg
import pytest

from tests.support.stack import Stack, hatidata, make_home, running_stack
from tests.support.waiting import until

STATE = {
    "version": 1,
    "organizations": [{"id": "2", "name": "Globex"}],
    "schemas": [{"name": "sales", "organization": "shared"}],
    "users": [{"email": "ana@acme.example", "organization": "1", "role": "analyst", "attributes": {"region": "emea"}}],
    "keys": [{"name": "ana", "user": "ana@acme.example", "scopes": ["read_only"]}],
    "policies": [
        {"name": "own", "type": "row_filter", "table": "sales.customers", "filter": "org_id = {org_id}"},
        {
            "name": "ssn", "type": "mask", "table": "sales.customers", "column": "ssn",
            "function": "partial", "visible": 4, "exempt_roles": ["owner"],
        },
        {"name": "mail", "type": "mask", "table": "sales.customers", "column": "mail", "function": "hmac"},
    ],
}  # fmt: skip


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten customers of two organizations."""
    folder = tmp_path_factory.mktemp("lake")
    (folder / "sales").mkdir()
    duckdb.sql(
        f"""COPY (SELECT i AS id, 1 + i % 2 AS org_id, '123-45-' || (1000 + i) AS ssn,
                           'user' || i || '@acme.example' AS mail FROM range(10) r(i))
            TO '{folder}/sales/customers.parquet'"""
    )
    return folder


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, lake: Path) -> Iterator[Stack]:
    """A served home with `STATE` applied."""
    with running_stack(tmp_path_factory.mktemp("served"), lake, state=STATE) as running:
        yield running


def test_what_apply_declared_is_what_a_client_sees(stack: Stack) -> None:
    query = "SELECT id, ssn FROM sales.customers ORDER BY id"
    analyst = stack.query(stack.keys["ana"], query)
    assert analyst == [(i, f"***{1000 + i}") for i in range(0, 10, 2)]
    assert stack.query(stack.owner_key, query) == [(i, f"123-45-{1000 + i}") for i in range(0, 10, 2)]


def test_an_hmac_mask_is_hmac_sha_256_under_the_homes_own_key(stack: Stack) -> None:
    key = (stack.home / "node" / "mask.key").read_bytes()
    right = [(hmac.digest(key, f"user{i}@acme.example".encode(), "sha256").hex(),) for i in range(0, 10, 2)]
    for who in (stack.keys["ana"], stack.owner_key):
        assert stack.query(who, "SELECT mail FROM sales.customers ORDER BY id") == right
    with pytest.raises(psycopg.Error):
        stack.query(stack.owner_key, "SELECT getvariable('hatidata_mask_inner')")


def test_the_ready_line_and_the_home_tell_the_ports(stack: Stack) -> None:
    ready = next(line for line in stack.output if line.startswith("ready"))
    assert f"port {stack.port}" in ready
    assert stack.control_url in ready
    assert httpx.get(f"{stack.metrics_url}/healthz", trust_env=False).status_code == 200
    assert "hatidata" in httpx.get(f"{stack.metrics_url}/metrics", trust_env=False).text


@pytest.mark.skipif(shutil.which("psql") is None, reason="psql is not installed")
def test_w2_9_psql_verifies_the_certificate_in_full_for_localhost(stack: Stack) -> None:
    def psql(host: str, ca: Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [
                "psql", "-XAt", "-c", "SELECT count(*) FROM sales.customers",
                f"host={host} port={stack.port} dbname=production user=ana sslmode=verify-full sslrootcert={ca}",
            ],
            capture_output=True, text=True, timeout=60, check=False,
            env={**os.environ, "PGPASSWORD": stack.keys["ana"]},
        )  # fmt: skip

    done = psql("localhost", stack.ca)
    assert (done.returncode, done.stdout.strip()) == (0, "5"), done.stderr
    assert psql("127.0.0.1", stack.ca).returncode == 0
    wrong = stack.home.parent / "wrong"
    if not wrong.exists():
        make_home(wrong)
    assert "certificate verify failed" in psql("localhost", wrong / "tls" / "ca.crt").stderr


def test_the_control_plane_is_started_again_on_its_port_while_queries_go_on(stack: Stack) -> None:
    def pid() -> int:
        return stack.running().pid

    def healthy() -> bool:
        try:
            with stack.api() as api:
                return api.get("/v1/health").status_code == 200
        except httpx.HTTPError:
            return False

    with stack.connect(stack.keys["ana"]) as connection:
        before = pid()
        os.kill(before, signal.SIGKILL)
        assert connection.execute(b"SELECT count(*) FROM sales.customers").fetchone() == (5,)
        until(lambda: pid() != before and healthy())
        assert connection.execute(b"SELECT count(*) FROM sales.customers").fetchone() == (5,)
    assert stack.run("whoami", "--json").returncode == 0


def test_a_home_is_served_once_at_a_time(stack: Stack) -> None:
    done = hatidata("serve", "--home", str(stack.home), "--data", stack.data, "--port", "0")
    assert done.returncode == 1
    assert "This home is being served already" in done.stderr


def test_a_revoked_key_ends_its_sessions(stack: Stack) -> None:
    made = stack.run("keys", "create", "brief", "--user", "ana@acme.example", "--scope", "read_only", "--json")
    key = json.loads(made.stdout)["key"]
    stack.settle()
    with stack.connect(key) as connection:
        assert connection.execute(b"SELECT 1").fetchone() == (1,)
        stack.run("keys", "revoke", "brief")

        def ended() -> bool:
            try:
                connection.execute(b"SELECT 1")
            except psycopg.Error:
                return True
            return False

        until(ended)
    with pytest.raises(psycopg.OperationalError, match=r"(?i)authentication failed"):
        stack.connect(key)


def test_w5_1_a_query_is_found_in_the_audit_through_the_command_line(stack: Stack) -> None:
    stack.query(stack.keys["ana"], "SELECT count(*) AS tagged_for_audit FROM sales.customers WHERE ssn = '219-09-9999'")

    def records() -> list[dict[str, object]]:
        done = stack.run("audit", "search", "--text", "tagged_for_audit", "--json")
        items: list[dict[str, object]] = json.loads(done.stdout)["items"]
        return items

    until(lambda: bool(records()))
    (record,) = records()
    assert record["user"] == "ana@acme.example"
    assert "219-09-9999" not in json.dumps(record)
    assert "sales.customers.ssn" in record["columns_masked"]  # type: ignore[operator]


# ------------------------------------------------------------------ starting and ending


def test_serve_ends_on_sigterm_or_by_force_and_leaves_nothing_running(tmp_path: Path, lake: Path) -> None:
    with running_stack(tmp_path, lake) as stack:
        assert stack.process is not None
        control, group = stack.running().pid, stack.process.pid
        assert stack.stop() == 0
        assert not (stack.home / "run" / "control.json").exists()
        until(lambda: not _alive(control) and not _group_alive(group))
        assert "Traceback" not in "".join(stack.output)
        stack.start()
        assert stack.query(stack.owner_key, "SELECT 1") == [(1,)]
        control = stack.running().pid
        stack.stop(signal.SIGKILL)
        until(lambda: not _alive(control))


def test_a_taken_port_is_said_plainly(tmp_path: Path, lake: Path) -> None:
    make_home(tmp_path / "home")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        base = ("serve", "--home", str(tmp_path / "home"), "--data", str(lake))
        free = ("--port", "0", "--control-port", "0", "--metrics-port", "0")
        for option in ("--port", "--control-port"):
            done = hatidata(*base, *free, option, port)
            assert (done.returncode, "not_started" in done.stderr) == (1, True), done.stderr
            assert "Traceback" not in done.stderr


def test_data_that_is_not_there_is_a_usage_error(tmp_path: Path) -> None:
    make_home(tmp_path / "home")
    done = hatidata("serve", "--home", str(tmp_path / "home"), "--data", str(tmp_path / "nothing"))
    assert done.returncode == 2
    assert "there is no folder" in done.stderr


def _alive(pid: int) -> bool:
    """Whether a process runs (one that ended and was not collected yet does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def _group_alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return any(
        _alive(int(entry.name)) and os.getpgid(int(entry.name)) == group
        for entry in Path("/proc").iterdir()
        if entry.name.isdigit() and entry.exists()
    )
