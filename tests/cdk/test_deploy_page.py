"""docs/deploy.md as a platform engineer walks it: what can run here runs, and what calls AWS is a call that AWS has.

`hatidata` and `make` commands of every page are checked in tests/docs; the whole way is walked on an emulator in
tests/cdk/emulator.
"""

from __future__ import annotations

import json
import re
import shlex
import ssl
import subprocess
from pathlib import Path

import pytest
from botocore import xform_name
from botocore.session import get_session
from cryptography import x509

from aws.node_identity import FILES
from cdk_app.__main__ import context
from lambdas.control_plane.caller import NODE_NAME
from tests.cdk.conftest import ROOT

_OF_THE_COMMAND_LINE = {"region", "query", "output", "profile", "cli-binary-format"}
_CDK_FLAGS = {"--bootstrap-customer-key", "--all", "-c", "--notification-arns"}


def scripts() -> list[str]:
    page = (ROOT / "docs" / "deploy.md").read_text()
    return [body.replace("\\\n", " ") for body in re.findall(r"(?m)^ *```sh\n((?:.*\n)*?) *```", page)]


def lines(program: str) -> list[list[str]]:
    """Command lines of `program`, also where they stand in pipes."""
    whole = (
        "\n".join(scripts())
        + "\n"
        + "\n".join(re.findall(r"`(aws [a-z][^`]*)`", (ROOT / "docs/deploy.md").read_text()))
    )
    parts = [part.strip() for line in whole.splitlines() for part in re.split(r"\s\|\s|\s>\s", line)]
    return [shlex.split(part) for part in parts if part.split(" ")[0] == program or part.startswith(f"npx {program} ")]


def authority() -> str:
    """The recipe of certificates."""
    (found,) = [script for script in scripts() if "openssl req" in script]
    return found


def test_the_page_calls_aws_as_aws_is_called() -> None:
    called = lines("aws")
    assert len(called) >= 5
    session = get_session()
    for _, service, operation, *rest in called:
        model = session.get_service_model(service)
        operations = {xform_name(name).replace("_", "-"): name for name in model.operation_names}
        assert operation in operations, f"aws {service} {operation}"
        shape = model.operation_model(operations[operation]).input_shape
        members = {xform_name(name).replace("_", "-") for name in (shape.members if shape else {})}
        given = {word.removeprefix("--").removeprefix("no-") for word in rest if word.startswith("--")}
        assert given - _OF_THE_COMMAND_LINE <= members, f"aws {service} {operation}: {given - members}"


def test_the_page_calls_the_cdk_at_the_version_that_fits_the_library() -> None:
    for words in lines("cdk"):
        assert words[2] in ("bootstrap", "deploy", "diff", "destroy"), words
        assert {word for word in words if word.startswith("-")} <= _CDK_FLAGS, words
    page = (ROOT / "docs" / "deploy.md").read_text()
    assert re.findall(r"aws-cdk@([\d.]+)", page) == ["2.1148.1"]
    assert "@aws-cdk/core:bootstrapQualifier" not in context(), "else the page says another name"
    for stack in re.findall(r"cdk deploy (hatidata-\w+)", page):
        assert (ROOT / "cdk_app" / f"{stack.removeprefix('hatidata-')}.py").exists()
    assert json.loads((ROOT / "cdk.json").read_text())["output"] == "build/cdk.out"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("authority")
    subprocess.run(["/bin/bash", "-euc", authority()], cwd=made, check=True, capture_output=True, timeout=60)
    return made


def test_the_recipe_makes_what_a_node_proves_itself_with(folder: Path) -> None:
    assert set(FILES) - {"signing.pub"} <= {path.name for path in folder.iterdir()}
    assert len((folder / "mask.key").read_bytes()) == 32
    node = x509.load_pem_x509_certificate((folder / "node.crt").read_bytes())
    assert node.subject.rfc4514_string() == f"CN={NODE_NAME},O=HatiData"
    for name in ("server", "node"):
        checked = ["openssl", "verify", "-x509_strict", "-CAfile", "ca.crt", f"{name}.crt"]
        assert subprocess.run(checked, cwd=folder, check=False, capture_output=True).returncode == 0, name
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / f"{name}.crt", folder / f"{name}.key")
