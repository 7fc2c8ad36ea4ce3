"""`make synth`: offline, without credentials, in time, the same twice; and what it deploys is what the lock says."""

from __future__ import annotations

import hashlib
import json
import os
import re
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cdk_app.__main__ import EXAMPLE, context
from cdk_app.image_component import component_document
from cdk_app.settings import read_deployment
from cdk_app.software import FUNCTION_ROOMS, FUNCTIONS_LOCK, NODE_LOCK, NODE_ROOMS, software, stage_rooms
from cdk_app.staff import Employee, staff_of
from cdk_app.wheels import Shelf, shelves
from governance.errors import InvalidRequest
from tests.cdk.conftest import ROOT

_OPTIONAL = {"hatidata", "setuptools", "mypy-extensions", "click", "pygments", "rich"}
"""What the virtual environment of the tests loads by itself, or a library takes when it is there and does without."""
_ALONE = ["unshare", "--net", "true"]
_OFFLINE = """
import socket
def refuse(*_arguments, **_more):
    raise OSError("no network here")
socket.create_connection = socket.getaddrinfo = refuse
socket.socket.connect = refuse
import runpy
runpy.run_module("cdk_app", run_name="__main__")
"""


def _rooms() -> str:
    """A digest of what is deployed: while somebody edits it, two syntheses may well differ."""
    digest = hashlib.sha256()
    for room in sorted({*FUNCTION_ROOMS, *NODE_ROOMS, "cdk_app"}):
        for path in sorted((ROOT / room).rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()


def _synthesize(out: Path) -> tuple[dict[str, str], float]:
    """The templates, and the seconds of processors that they took: what a quiet machine would need at most."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    environment |= {"AWS_EC2_METADATA_DISABLED": "true", "HATIDATA_DEPLOYMENT": "", "CDK_OUTDIR": str(out)}
    # In a network of its own without any way out, when the system lets us; else without sockets.
    alone = ["unshare", "--net"] if subprocess.run(_ALONE, capture_output=True, check=False).returncode == 0 else []
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    ran = subprocess.run(
        [*alone, sys.executable, "-c", _OFFLINE], env=environment, cwd=ROOT,
        capture_output=True, text=True, check=False, timeout=400,
    )  # fmt: skip
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert ran.returncode == 0, ran.stderr[-2000:]
    took_s = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return {path.name: path.read_text() for path in out.glob("*.template.json")}, took_s


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_make_synth_works_offline_without_credentials_in_under_a_minute_and_alike_twice(tmp_path: Path) -> None:
    if not all(shelf.filled for shelf in shelves()):
        pytest.skip("`make wheels` has not been run")
    for number in range(3):
        before = _rooms()
        (first, _), (second, took_s) = (_synthesize(tmp_path / f"{number}-{turn}") for turn in range(2))
        if _rooms() == before:
            break
    assert len(first) == 9
    assert first == second
    assert took_s < 60


def test_without_the_wheels_it_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        software(tmp_path)
    assert "make wheels" in refusal.value.advice


def pins(lock: Path) -> dict[str, dict[str, set[str]]]:
    """Name -> version -> hashes; a universal lock may hold two versions for two Pythons."""
    found: dict[str, dict[str, set[str]]] = {}
    for block in re.split(r"(?m)^(?=[a-z0-9])", lock.read_text()):
        if match := re.match(r"([a-z0-9.-]+)==([^ ;\\]+)", block):
            found.setdefault(match[1], {})[match[2]] = set(re.findall(r"sha256:[0-9a-f]{64}", block))
    return found


@pytest.mark.parametrize("lock", [FUNCTIONS_LOCK, NODE_LOCK], ids=lambda path: path.stem)
def test_what_is_deployed_is_pinned_and_hashed_as_in_the_projects_lock(lock: Path) -> None:
    project, deployed = pins(ROOT / "requirements.lock"), pins(lock)
    assert len(deployed) > 15
    for name, versions in deployed.items():
        ((version, hashes),) = versions.items()
        assert version in project.get(name, {}), f"{name}: run `make lock`"
        assert hashes
        assert hashes <= project[name][version], name


def test_a_shelf_knows_whether_it_holds_what_the_lock_names(tmp_path: Path) -> None:
    lock = tmp_path / "x.lock"
    lock.write_text("a==1")
    shelf = Shelf(lock, "3.14", tmp_path / "target", unpacked=True)
    assert not shelf.filled
    shelf.target.mkdir()
    shelf.stamp.write_text(shelf.digest)
    assert shelf.filled
    lock.write_text("a==2")
    assert not shelf.filled


def test_rooms_are_deployed_whole_and_without_litter(tmp_path: Path) -> None:
    for rooms in (FUNCTION_ROOMS, NODE_ROOMS):
        staged = stage_rooms(tmp_path / "rooms", rooms)
        assert {path.name for path in staged.iterdir()} == set(rooms)
        assert not [path for path in staged.rglob("*") if "__pycache__" in path.parts or path.suffix == ".pyc"]


_WHAT_IS_IMPORTED = """
import importlib, importlib.metadata, sys
assert callable(getattr(importlib.import_module(sys.argv[1]), sys.argv[2]))
owners = importlib.metadata.packages_distributions()
loaded = {name.split(".")[0] for name in list(sys.modules)}
print(*sorted({owner.lower().replace("_", "-") for name in loaded for owner in owners.get(name, [])}))
"""


@pytest.mark.parametrize("employee", staff_of(read_deployment(EXAMPLE)), ids=lambda each: each.room)
def test_every_function_finds_what_it_imports_in_its_rooms_and_its_layer(employee: Employee, tmp_path: Path) -> None:
    staged = stage_rooms(tmp_path / "rooms", FUNCTION_ROOMS)
    ran = subprocess.run(
        [sys.executable, "-c", _WHAT_IS_IMPORTED, *employee.handler.rsplit(".", 1)],
        cwd=staged, env={"PATH": os.environ["PATH"], "PYTHONPATH": str(staged)},
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr[-1500:]
    missing = set(ran.stdout.split()) - set(pins(FUNCTIONS_LOCK)) - _OPTIONAL
    assert missing == set()


def test_the_context_of_the_cli_is_the_context_of_every_synthesis() -> None:
    flags = context()
    assert flags["@aws-cdk/core:validateAgainstDefaultRules"] is True
    assert flags["@aws-cdk/aws-s3:serverAccessLogsUseBucketPolicy"] is True
    assert json.loads((ROOT / "cdk.json").read_text())["app"].endswith("python -m cdk_app")


def test_the_image_is_built_without_a_package_index(tmp_path: Path) -> None:
    document = component_document("s3://bucket/key.zip")
    commands = [
        command
        for phase in json.loads(document)["phases"]
        for step in phase["steps"]
        if step["action"] == "ExecuteBash"
        for command in step["inputs"]["commands"]
    ]
    (install,) = [command for command in commands if "pip install" in command]
    assert "--no-index" in install
    assert "--require-hashes" in install
    assert not re.search(r"https?://|curl|wget|pypi", document)
    bash = shutil.which("bash")
    for command in commands:
        assert bash is None or subprocess.run([bash, "-n", "-c", command], check=False).returncode == 0, command
