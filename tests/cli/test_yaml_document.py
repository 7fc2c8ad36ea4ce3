"""YAML without surprises: what is plain stays plain, what is clever is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cli import yaml_document
from governance.errors import InvalidRequest


def _load(tmp_path: Path, text: str) -> Any:
    file = tmp_path / "state.yaml"
    file.write_text(text)
    return yaml_document.load(file)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),
        ("on", "on"),
        ("17:30", "17:30"),
        ("2027-01-01", "2027-01-01"),
        ("2027-01-01T00:00:00Z", "2027-01-01T00:00:00Z"),
        ("0x10", "0x10"),
        ("010", "010"),
        ("1_000", "1_000"),
        ("127.0.0.0/8", "127.0.0.0/8"),
        ("12", 12),
        ("-3", -3),
        ("1.5", 1.5),
        ("true", True),
        ("null", None),
        ("", None),
        ('"12"', "12"),
        ("<<", "<<"),
    ],
)
def test_a_plain_value_means_what_it_looks_like(tmp_path: Path, text: str, value: object) -> None:
    assert _load(tmp_path, f"a: {text}") == {"a": value}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a: 1\na: 2", "line 2, column 1: this name stands twice"),
        ("a: &x 1\nb: *x", "line 1, column 4: anchors"),
        ("a: !!python/object:os.system {}", "tags are not understood"),
        ("a: !!binary aGk=", "tags are not understood"),
        ("a: [1", "line 1"),
        ("? [a]\n: 1", "a name must be text"),
        ("a: 1\n---\nb: 2", "another document"),
    ],
)
def test_what_is_clever_or_broken_is_refused_with_its_place(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        _load(tmp_path, text)
    assert why in refusal.value.message


def test_deep_nesting_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest):
        _load(tmp_path, "[" * 50_000)


def test_a_file_that_is_not_there_is_said_plainly(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="cannot be read: No such file"):
        yaml_document.load(tmp_path / "nothing.yaml")


def test_a_file_too_large_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "large.yaml"
    file.write_bytes(b"#" * (yaml_document.BYTES_MAX + 1))
    with pytest.raises(InvalidRequest, match="larger than"):
        yaml_document.load(file)
