"""The commands in the documents are real, and the README's first five minutes are walked as written."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pytest
import typer
import yaml

from cli.main import app
from tests.support.stack import running_stack

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
_BLOCK = re.compile(r"```(\w*)\n(.*?)```", re.DOTALL)
_INLINE = re.compile(r"`(hatidata (?!admin chain)[^`]+|make [a-z-]+)`")


def blocks(document: Path, language: str) -> list[str]:
    return [body for kind, body in _BLOCK.findall(document.read_text()) if kind == language]


def commands() -> list[tuple[str, str]]:
    found = []
    for document in DOCUMENTS:
        lines = [line for body in blocks(document, "sh") for line in body.replace("\\\n", " ").splitlines()]
        lines += _INLINE.findall(document.read_text())
        found += [(document.name, line.strip()) for line in lines if re.search(r"(^|/)(hatidata|make) ", line.strip())]
    return found


def words_of(line: str) -> list[str]:
    words = shlex.split(line, comments=True)
    while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
        words.pop(0)
    return words


def options_of(command: Any) -> set[str]:
    return {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}


@pytest.mark.parametrize(("document", "line"), commands(), ids=lambda value: str(value)[:60])
def test_a_documented_command_exists_with_its_options(document: str, line: str) -> None:
    words = words_of(line)
    if words[0] == "make":
        targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert words[1] in targets
        return
    command: Any = typer.main.get_command(app)
    rest = words[1:]
    while rest and hasattr(command, "commands"):
        verb = rest.pop(0)
        if "|" in line or verb in ("…", "...", "VERB"):
            return  # a list of verbs, not a command line
        assert verb in command.commands, f"{document}: no verb {verb}"
        command = command.commands[verb]
    known = options_of(command) | {"--help"}
    assert [word for word in rest if word.startswith("-") and word.split("=")[0] not in known] == []


def test_the_readme_law_is_applied_and_answers_as_it_says(tmp_path: Path) -> None:
    law = yaml.safe_load(next(body for body in blocks(ROOT / "README.md", "yaml")))
    lake = tmp_path / "lake" / "sales"
    lake.mkdir(parents=True)
    with duckdb.connect() as connection:
        connection.execute(
            "COPY (SELECT * FROM (VALUES (1, 1, 'emea', '123-45-6789'), (2, 2, 'emea', '1'), (3, 1, 'amer', '2')) "
            f"t(id, org_id, region, ssn)) TO '{lake / 'customers.parquet'}' (FORMAT parquet)"
        )
    with running_stack(tmp_path, tmp_path / "lake", state=law) as stack:
        assert stack.query(stack.keys["ana"], "SELECT id, ssn FROM sales.customers") == [(1, "***6789")]
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="region"):
            stack.query(stack.owner_key, "SELECT id, ssn FROM sales.customers")
        dsn = next(line for body in blocks(ROOT / "README.md", "sh") for line in body.splitlines() if "psql" in line)
        asked = shlex.split(dsn)[-1].replace("5439", str(stack.port)).replace("$HATIDATA_HOME", str(stack.home))
        with psycopg.connect(asked, password=stack.keys["ana"]) as connection:
            assert connection.execute("SELECT count(*) FROM sales.customers").fetchone() == (1,)


def test_help_is_not_a_trace() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "cli.main", "nosuchverb"], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
