"""Rules of the house that no linter knows."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("governance", "local", "engine", "lambdas", "cli")
NAMELESS = {"utils", "helpers", "common", "core", "base", "manager", "misc"}
LINES_MAX = 700
"""The house says about 400; past this a file is split, whatever its reasons."""


def tracked() -> list[Path]:
    """Files under version control, or every file of the rooms where git is absent (an unpacked release)."""
    git = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if git.returncode == 0:
        return [ROOT / name for name in git.stdout.decode().split("\0") if name and (ROOT / name).is_file()]
    return [path for room in ROOMS for path in (ROOT / room).rglob("*") if path.is_file()]


FILES = tracked()
SOURCES = [path for path in FILES if path.suffix == ".py" and path.relative_to(ROOT).parts[0] in ROOMS]


def test_names_say_something() -> None:
    assert [path for path in SOURCES if path.stem in NAMELESS or path.parent.name in NAMELESS] == []


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_has_a_purpose_line_and_is_short(path: Path) -> None:
    text = path.read_text()
    assert text.lstrip("#! \n").startswith('"""') or text.startswith("#!"), "the first line says why the file exists"
    assert text.count("\n") <= LINES_MAX


def test_no_machine_paths_and_no_unfinished_work() -> None:
    forbidden = re.compile("/(work|root|home/[a-z]+)/|FIX" + "ME|TO" + "DO:")
    found = []
    for path in FILES:
        if path.suffix not in {".py", ".md", ".toml", ".yaml", ".json", ".sh", ""} or path.name == "requirements.lock":
            continue
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
            if forbidden.search(line):
                found.append(f"{path.relative_to(ROOT)}:{number}")
    assert found == []


def test_every_dependency_has_its_reason() -> None:
    reasons = (ROOT / "docs" / "dependencies.md").read_text()
    declared = re.findall(r'"([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[a-z]+\])?(?:[>=]=[^"]*)?"', _dependency_lists())
    missing = [name for name in declared if name.split("[")[0] not in reasons and name != "pip"]
    assert [name for name in missing if not name.startswith(("types-", "duckdb-extension"))] == []


def _dependency_lists() -> str:
    text = (ROOT / "pyproject.toml").read_text()
    start, end = text.index("dependencies = ["), text.index("[project.scripts]")
    return "\n".join(line.split("#")[0] for line in text[start:end].splitlines())


def test_the_wheel_holds_every_room_that_runs() -> None:
    """`cli` imports the client: a wheel without it would install a command that cannot start."""
    settings = tomllib.loads((Path(__file__).resolve().parents[2] / "pyproject.toml").read_text(encoding="utf-8"))
    rooms = set(settings["tool"]["importlinter"]["root_packages"]) - {"cdk_app"}
    assert rooms <= set(settings["tool"]["hatch"]["build"]["targets"]["wheel"]["only-include"])
