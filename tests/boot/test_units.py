"""The units as laid into an image: complete, accepted by systemd, and hardened."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from cdk_app.boot import paths
from cdk_app.boot.install import UNITS, install
from cdk_app.boot.run_document import run_document
from governance.node_report import NodeStep

EXPOSURE_MAX = {paths.ENGINE_UNIT: 2.0, paths.SHIP_UNIT: 2.0, paths.CACHE_UNIT: 7.0}
"""systemd's own measure, 0 (best) to 10; the cache unit is root and mounts file systems."""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("image")
    install(root)
    python = root / paths.PYTHON.relative_to("/")
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\n")
    python.chmod(0o755)
    return root


def unit(root: Path, name: str) -> str:
    return (root / "etc/systemd/system" / name).read_text()


def test_everything_is_laid_and_started_at_boot(root: Path) -> None:
    wants = root / "etc/systemd/system/multi-user.target.wants"
    assert sorted(path.name for path in wants.iterdir()) == sorted([paths.CACHE_UNIT, paths.ENGINE_UNIT])
    assert all(path.resolve().is_file() for path in wants.iterdir())
    assert install(root), "once more changes nothing"


def test_the_units_say_what_paths_says(root: Path) -> None:
    text = "".join(unit(root, name) for name in UNITS)
    text += unit(root, "hatidata-node-.service.d/hardening.conf")
    assert set(re.findall(r"^EnvironmentFile=(.*)$", text, re.MULTILINE)) == {str(paths.ENVIRONMENT_FILE)}
    assert set(re.findall(r"^AssertPathExists=!(.*)$", text, re.MULTILINE)) == {str(paths.ENDING)}
    assert {line.split()[0] for line in re.findall(r"^Exec\w+=(.*)$", text, re.MULTILINE)} == {str(paths.PYTHON)}
    assert f"ReadWritePaths=-{paths.CACHE}/cache -{paths.CACHE}/spill" in text
    assert set(re.findall(r"^User=(.*)$", text, re.MULTILINE)) == {paths.USER}


def test_h8_no_secret_in_any_unit(root: Path) -> None:
    for path in (root / "etc").rglob("*"):
        if path.is_file() and not path.is_symlink():
            assert not re.search(r"(?i)secret|password|BEGIN |AKIA|seed=", path.read_text())


def test_the_engine_waits_for_the_volume_and_the_volume_outlives_it(root: Path) -> None:
    engine = unit(root, paths.ENGINE_UNIT)
    assert f"Requires={paths.CACHE_UNIT}" in engine
    assert re.search(rf"^After=.*{paths.CACHE_UNIT}", engine, re.MULTILINE), "and so is stopped before it"


def test_the_engine_may_do_what_its_workers_confinement_takes(root: Path) -> None:
    text = unit(root, "hatidata-node-.service.d/hardening.conf")
    allowed = set(re.findall(r"^RestrictNamespaces=(.*)$", text, re.MULTILINE)[0].split())
    assert allowed == {"user", "net", "ipc"}, "engine.executor.sandbox unshares these three"
    calls = " ".join(re.findall(r"^SystemCallFilter=([^~].*)$", text, re.MULTILINE)).split()
    assert {"landlock_create_ruleset", "landlock_add_rule", "landlock_restrict_self", "seccomp"} <= set(calls)
    denied = "".join(re.findall(r"^SystemCallFilter=~(.*)$", text, re.MULTILINE))
    assert "@resources" not in denied, "workers set limits"


def test_w2_7_a_shutdown_closes_and_erases(root: Path) -> None:
    text = unit(root, paths.CACHE_UNIT)
    assert "RemainAfterExit=yes" in text
    assert re.search(r"^ExecStop=.* -m cdk_app.boot erase$", text, re.MULTILINE)
    assert "DefaultDependencies" not in text, "Conflicts=shutdown.target, by which the stop is run"


needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")


@needs_systemd
@pytest.mark.parametrize("name", UNITS)
def test_systemd_reads_the_units_without_complaint(root: Path, name: str) -> None:
    done = subprocess.run(
        ["systemd-analyze", "verify", f"--root={root}", "--man=no", "--recursive-errors=no", name],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    said = [line for line in done.stderr.splitlines() if "hatidata" in line]
    assert said == []


@needs_systemd
@pytest.mark.parametrize("name", UNITS)
def test_systemd_finds_them_hardened(root: Path, name: str) -> None:
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=yes", f"--root={root}", "--no-pager", name],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", done.stdout)
    assert found is not None, done.stderr
    assert float(found[1]) <= EXPOSURE_MAX[name], done.stdout


# ---------------------------------------------------------------- the Run Command document


def test_w6_1_the_document_admits_three_words_and_nothing_else() -> None:
    document = run_document()
    json.dumps(document)
    assert document["schemaVersion"] == "2.2"
    assert document["parameters"]["step"]["allowedValues"] == [step.value for step in NodeStep]
    (step,) = document["mainSteps"]
    used = set(re.findall(r"{{ (\w+) }}", json.dumps(step)))
    assert used == set(document["parameters"])
    assert re.fullmatch(document["parameters"]["timeoutSeconds"]["allowedPattern"], "900")
    assert not re.fullmatch(document["parameters"]["timeoutSeconds"]["allowedPattern"], "900; reboot")
