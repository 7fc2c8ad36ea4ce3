"""The story played below a real systemd: the units as laid into an image, the engine as they hold it, and its drain.

Writes `CHECK name value` lines, which `test_systemd.py` reads.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
import traceback
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(PROJECT))

import psycopg  # noqa: E402

from cdk_app.boot import paths  # noqa: E402
from cdk_app.boot.run_document import run_document  # noqa: E402

CONSOLE = Path("/console").open("a", buffering=1)  # noqa: SIM115  for as long as the machine runs
TOLD: dict[str, Any] = json.loads(Path("/etc/hatidata/story.json").read_text())
_WAIT_S = 120.0


def check(name: str, value: object) -> None:
    CONSOLE.write(f"CHECK {name} {json.dumps(value)}\n")


def run(*argv: str) -> str:
    return subprocess.run(argv, capture_output=True, text=True, check=False).stdout.strip()


def said(unit: str) -> str:
    return run("journalctl", "--unit", unit, "--output=cat", "--no-pager", "--lines=80")


def until(holds: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + _WAIT_S
    while time.monotonic() < deadline:
        if holds():
            return True
        threading.Event().wait(0.5)
    return False


def ports() -> tuple[int, int]:
    """Of clients and of figures, as the engine says; 0 until it does."""
    for line in said(paths.ENGINE_UNIT).splitlines():
        if "ready: clients on port " in line:
            words = line.replace(",", "").replace("http://", "").split()
            numbers = [int(word.rsplit(":", 1)[-1].split("/")[0]) for word in words if word[-1].isdigit()]
            return numbers[0], numbers[-1]
    return 0, 0


def ready() -> bool:
    _, metrics = ports()
    if not metrics:
        return False
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{metrics}/readyz", timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def query(sql: str) -> list[tuple[Any, ...]]:
    dsn = (
        f"host=localhost port={ports()[0]} dbname=production user=u password={TOLD['key']} sslmode=verify-full"
        f" sslrootcert={TOLD['ca']} connect_timeout=60 gssencmode=disable"
    )
    with psycopg.connect(dsn, autocommit=True) as connection:
        return connection.execute(sql.encode()).fetchall()


def held() -> dict[str, Any]:
    """What the kernel says of the engine's process and of what it sees."""
    pid = run("systemctl", "show", "--property=MainPID", "--value", paths.ENGINE_UNIT)
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    mounts = [line.split() for line in Path(f"/proc/{pid}/mounts").read_text().splitlines()]
    return {
        **{name: status[name].split()[0] for name in ("CapEff", "CapBnd", "NoNewPrivs", "Seccomp")},
        "user": run("ps", "-o", "user=", "-p", pid),
        "root_read_only": any(each[1] == "/" and "ro" in each[3].split(",") for each in mounts),
        "home": oct(paths.HOME.stat().st_mode & 0o777),
    }


def command(step: str) -> dict[str, Any]:
    """The document's script, by the shell that Run Command uses."""
    script = "\n".join(run_document()["mainSteps"][0]["inputs"]["runCommand"]).replace("{{ step }}", step)
    environment = {**TOLD["account"], "PATH": os.environ["PATH"]}
    done = subprocess.run(["/bin/sh", "-c", script], capture_output=True, text=True, check=False, env=environment)
    return {"code": done.returncode, "stderr": done.stderr[-400:], **json.loads(done.stdout or "{}")}


def story() -> None:
    check("ready", until(ready))
    for unit in (paths.CACHE_UNIT, paths.ENGINE_UNIT):
        check(unit.split(".")[0].replace("-", "_"), run("systemctl", "is-active", unit))
    check("rows", query("SELECT count(*), max(name) FROM main.people"))
    check("held", held())
    check("drain", command("drain"))
    check("prove", command("prove"))
    check("engine_after", run("systemctl", "is-active", paths.ENGINE_UNIT))
    run("systemctl", "start", paths.ENGINE_UNIT)
    check("engine_restarted", run("systemctl", "is-active", paths.ENGINE_UNIT))
    check("ship", run("systemctl", "show", "--property=Result", "--value", paths.SHIP_UNIT))
    check("refused", said(paths.ENGINE_UNIT).count("audit: type"))
    run("systemctl", "stop", paths.CACHE_UNIT)
    check("cache_stopped", run("systemctl", "show", "--property=Result", "--value", paths.CACHE_UNIT))


try:
    story()
except Exception:
    CONSOLE.write(traceback.format_exc())
CONSOLE.writelines(f"\n== {unit}\n{said(unit)}\n" for unit in (paths.CACHE_UNIT, paths.ENGINE_UNIT, paths.SHIP_UNIT))
CONSOLE.write("STORY-TOLD\n")
