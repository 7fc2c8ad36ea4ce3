import stat
from pathlib import Path

import pytest

from local.audit_files import AuditFiles


def test_w5_1_an_object_is_laid_down_once_and_never_replaced(tmp_path: Path) -> None:
    store = AuditFiles(tmp_path / "audit")
    name = "queries/2026/11/22/x.jsonl.gz"
    assert store.put_new(name, b"one")
    assert not store.put_new(name, b"two")
    assert store.get(name) == b"one"
    assert stat.S_IMODE((tmp_path / "audit" / name).stat().st_mode) == 0o440
    assert list((tmp_path / "audit" / ".incoming").iterdir()) == []


def test_names_are_sorted_and_begin_as_asked(tmp_path: Path) -> None:
    store = AuditFiles(tmp_path / "audit")
    for name in ("queries/2026/11/22/b", "queries/2026/11/22/a", "queries/2026/11/23/c", "sessions/2026/11/22/d"):
        store.put_new(name, b"x")
    assert store.names("queries/") == ["queries/2026/11/22/a", "queries/2026/11/22/b", "queries/2026/11/23/c"]
    assert store.names("queries/2026/11/22/") == ["queries/2026/11/22/a", "queries/2026/11/22/b"]
    assert store.names("queries/2026/11/22/b") == ["queries/2026/11/22/b"]
    assert store.names("") == sorted([*store.names("queries/"), "sessions/2026/11/22/d"])
    assert store.names("nothing/") == []


@pytest.mark.parametrize(
    "name", ["", "/etc/passwd", "../x", "queries/../../x", "queries//x", "a\nb", ".incoming/x", "x/"]
)
def test_what_is_not_a_name_is_refused(tmp_path: Path, name: str) -> None:
    store = AuditFiles(tmp_path / "audit")
    with pytest.raises(ValueError, match="name"):
        store.put_new(name, b"x")
    with pytest.raises(ValueError, match="name"):
        store.get(name)


def test_a_missing_object_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        AuditFiles(tmp_path).get("queries/x")
