"""The mask key: made once, owner-only, refused when damaged, named without telling."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from governance.errors import InvalidRequest
from local.mask_key import FILE, KEY_BYTES, make_mask_key, mask_key_id, read_mask_key


def test_the_key_made_is_the_key_read_and_its_name_tells_nothing(tmp_path: Path) -> None:
    name = make_mask_key(tmp_path)
    key = read_mask_key(tmp_path)
    assert len(key) == KEY_BYTES
    assert name == mask_key_id(key)
    assert key.hex()[:8] not in name
    assert stat.S_IMODE((tmp_path / FILE).stat().st_mode) == 0o600


def test_two_homes_have_two_keys(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    assert make_mask_key(tmp_path) != make_mask_key(tmp_path / "other")


def test_no_key_is_empty_and_a_damaged_one_is_refused(tmp_path: Path) -> None:
    assert read_mask_key(tmp_path) == b""
    for damaged in (b"", b"short", b"x" * (KEY_BYTES + 1)):
        (tmp_path / FILE).write_bytes(damaged)
        with pytest.raises(InvalidRequest):
            read_mask_key(tmp_path)
