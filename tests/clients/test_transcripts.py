"""The same conversations with us and with a real PostgreSQL 15; each difference is written down with its reason."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.transcript import Step, Talk, files, parse
from tests.support import postgres15
from tests.support.stack import Stack

PAGE = Path(__file__).parents[2] / "docs" / "protocol.md"
FILES = list(files())


@pytest.fixture(scope="module")
def postgres() -> Iterator[Path]:
    if postgres15.missing():
        pytest.skip(postgres15.missing())
    with postgres15.running_postgres() as server:
        yield server.folder / ".s.PGSQL.5432"


def play(talk: Talk, steps: list[Step], *, ours: bool) -> None:
    """Say a file's lines and hear the answers that stand in it."""
    try:
        for step in steps:
            wanted = step.ours if ours else step.postgres
            talk.say(step.sends)
            assert talk.expect(wanted) == wanted, "\n".join(step.sends)
    finally:
        talk.close()


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_we_answer_as_the_transcript_says(stack: Stack, file: Path) -> None:
    play(Talk.ours(stack.port, stack.keys["ana"]), parse(file.read_text()), ours=True)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_postgresql_answers_as_the_transcript_says(postgres: Path, file: Path) -> None:
    play(Talk.postgres(postgres, postgres15.USER), parse(file.read_text()), ours=False)


def test_every_difference_is_on_the_page_and_no_other() -> None:
    seen = {step.difference for file in FILES for step in parse(file.read_text()) if step.ours != step.postgres}
    table = PAGE.read_text().split("## Differences in the transcripts", 1)[1].split("\n## ", 1)[0]
    told = set(re.findall(r"(?m)^\| ([^|]+?) \|", table)) - {"name", "---"}
    assert seen == told


def test_nothing_differs_without_a_name_and_no_name_stands_where_nothing_differs() -> None:
    for file in FILES:
        for step in parse(file.read_text()):
            assert bool(step.difference) == (step.ours != step.postgres), (file.stem, step.sends)
            assert step.ours or step.postgres or not step.sends, (file.stem, step.sends)
