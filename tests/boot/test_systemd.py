"""The units below a real systemd, in namespaces of its own: the engine runs as they hold it, and its end is as written.

The kernel is the host's, so nothing is mapped or mounted by dm-crypt here (`test_qemu.py` does): the cache unit's start
is replaced by one that makes two folders. Needs root, systemd and overlay mounts; skipped by name where they are not.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from aws.names import identity_key
from cdk_app.boot import paths
from cdk_app.boot.install import install
from engine.settings import AwsNodeSettings, NodeSettings
from tests.support.aws import REGION, running_aws
from tests.support.aws_node import AUDIT, DATA, lay_account
from tests.support.stack import Stack, running_control_plane

HERE = Path(__file__).parent / "systemd"
_NAMESPACES = ["unshare", "--pid", "--fork", "--mount", "--uts", "--ipc", "--cgroup", "--kill-child"]


def missing() -> str:
    """What stands against it; empty: nothing."""
    if os.geteuid() != 0:
        return "not root"
    if not Path("/lib/systemd/systemd").exists() or shutil.which("journalctl") is None:
        return "systemd is not installed"
    tried = subprocess.run([*_NAMESPACES, "mount", "--make-rprivate", "/"], capture_output=True, check=False)
    return "" if tried.returncode == 0 else "no namespaces of its own"


_WHY = missing()
pytestmark = [pytest.mark.slow, pytest.mark.timeout(400), pytest.mark.skipif(bool(_WHY), reason=_WHY)]
_STORY = f"""[Unit]
Description=The story of the test
After={paths.ENGINE_UNIT}
[Service]
Type=oneshot
Environment=PYTHONDONTWRITEBYTECODE=1
ExecStart={paths.PYTHON} {HERE}/guest.py
ExecStartPost=/bin/systemctl --no-block poweroff
TimeoutStartSec=300
"""
_TARGET = f"""[Unit]
Description=A node and the story of the test
Requires=basic.target
Wants={paths.CACHE_UNIT} {paths.ENGINE_UNIT} story.service
After=basic.target
"""
_CACHE = f"""[Service]
ExecStart=
ExecStart=/bin/install -d -m 711 {paths.CACHE}
ExecStart=/bin/install -d -m 700 -o {paths.USER} -g {paths.USER} {paths.CACHE}/cache {paths.CACHE}/spill
"""


@dataclass
class Told:
    checks: dict[str, Any]
    console: str
    audited: list[str]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    work = tmp_path_factory.mktemp("systemd")
    with running_aws() as aws, running_control_plane(work / "control") as control:
        settings = _settings(lay_account(aws, control), control)
        account = {**aws.environment, "AWS_DEFAULT_REGION": REGION}
        files = _files(work / "files", settings, account, control)
        console = work / "console.txt"
        console.touch()
        command = [*_NAMESPACES, str(HERE / "init.sh"), str(work), str(files), sys.base_prefix]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        text = console.read_text() + done.stdout[-2000:] + done.stderr[-2000:]
        assert "STORY-TOLD" in text, text[-8000:]
        found = aws.client("s3").list_objects_v2(Bucket=AUDIT, Prefix="audit/queries/").get("Contents", [])
        checks = {name: json.loads(value) for name, value in re.findall(r"(?m)^CHECK (\w+) (.*)$", text)}
        yield Told(checks, text, [each["Key"] for each in found])


def _settings(key: str, control: Stack) -> dict[str, str]:
    return AwsNodeSettings(
        NodeSettings(
            home=paths.HOME, data=f"s3://{DATA}/lake", environment="production",
            control_url=control.control_url.replace("127.0.0.1", "localhost"), cache=paths.CACHE, tls=paths.TLS,
            require_encrypted_cache=False, require_sandbox=True, audit_ship_s=30.0, drain_timeout_s=20, port=0,
            metrics_port=0,
        ),
        REGION, AUDIT, identity_key("production"), key,
    ).environment()  # fmt: skip


def _files(root: Path, settings: dict[str, str], account: dict[str, str], control: Stack) -> Path:
    """What an image and a first boot lay, and what the test adds: the account's address and the story."""
    install(root)
    python = root / paths.PYTHON.relative_to("/")
    python.parent.mkdir(parents=True)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    python.symlink_to(f"/opt/python/bin/{version}")
    (python.parents[1] / "pyvenv.cfg").write_text("home = /opt/python/bin\ninclude-system-site-packages = false\n")
    packages = python.parents[1] / "lib" / version / "site-packages"
    packages.parent.mkdir(parents=True)
    packages.symlink_to(Path(sys.prefix) / "lib" / version / "site-packages")
    added = "[Service]\n" + "".join(f'Environment="{name}={value}"\n' for name, value in account.items())
    texts = {
        "etc/hatidata/node.env": "".join(f"{name}={value}\n" for name, value in settings.items()),
        "etc/hatidata/story.json": json.dumps({"key": control.owner_key, "ca": str(control.ca), "account": account}),
        "etc/fstab": "",
        # The interpreter of the tests may be linked to a library in somebody's home, which units do not see.
        "etc/ld.so.conf.d/hatidata-test.conf": "/opt/python/lib\n",
        "etc/tmpfiles.d/tmp.conf": "",  # the host's /tmp, which the test's own files lie in, is left alone
        "etc/tmpfiles.d/legacy.conf": "",
        "etc/systemd/system/story.service": _STORY,
        "etc/systemd/system/story.target": _TARGET,
        f"etc/systemd/system/{paths.CACHE_UNIT}.d/folders.conf": _CACHE,
    }
    for unit in (paths.CACHE_UNIT, paths.ENGINE_UNIT, paths.SHIP_UNIT):
        texts[f"etc/systemd/system/{unit}.d/account.conf"] = added
    for name, text in texts.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_the_units_come_up_and_the_engine_answers_as_they_hold_it(told: Told) -> None:
    assert told.checks["ready"], told.console[-6000:]
    assert (told.checks["hatidata_cache"], told.checks["hatidata_node_engine"]) == ("active", "active")
    assert told.checks["rows"] == [[500, "n99"]]
    held = told.checks["held"]
    assert held["CapEff"] == held["CapBnd"] == "0" * 16
    assert (held["NoNewPrivs"], held["Seccomp"], held["user"]) == ("1", "2", paths.USER)
    assert held["root_read_only"]
    assert held["home"] == "0o700"


def test_w6_1_run_commands_script_drains_a_node_below_systemd(told: Told) -> None:
    drained = told.checks["drain"]
    assert (drained["code"], drained["spool"]) == (0, "shipped"), told.console[-6000:]
    assert told.checks["ship"] == "success"
    assert told.audited, "what the spool held arrived"
    assert told.checks["engine_after"] == "inactive"
    assert told.checks["engine_restarted"] != "active", "an ending node takes no new start"


def test_w2_7_stopping_the_cache_unit_runs_the_erase(told: Told) -> None:
    assert told.checks["cache_stopped"] == "success"
    assert '"step": "erase"' in told.console.replace('":"', '": "'), told.console[-3000:]
