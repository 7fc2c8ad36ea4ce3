"""The cache's device, as the kernel would tell of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.cache.encrypted_volume import encrypted_volume
from governance.errors import InvalidRequest


def device(sysfs: Path, number: str, *, uuid: str = "", on: tuple[str, ...] = ()) -> None:
    entry = sysfs / "dev" / "block" / number
    (entry / "slaves").mkdir(parents=True)
    if uuid:
        (entry / "dm").mkdir()
        (entry / "dm" / "uuid").write_text(f"{uuid}\n")
    for name in on:
        (entry / "slaves" / name).symlink_to(sysfs / "dev" / "block" / name)


LUKS = "CRYPT-LUKS2-0123456789abcdef0123456789abcdef-hatidata-cache"


def test_w2_2_a_luks_mapping_is_accepted_and_said(tmp_path: Path) -> None:
    device(tmp_path, "254:1", uuid=LUKS, on=("254:0",))
    device(tmp_path, "254:0")
    found = encrypted_volume(tmp_path, tmp_path, "254:1")
    assert found.how == "device 254:1: the device-mapper says LUKS2"


def test_what_is_built_wholly_of_luks_mappings_is_accepted(tmp_path: Path) -> None:
    device(tmp_path, "254:1", uuid=LUKS)
    device(tmp_path, "254:2", uuid=LUKS)
    device(tmp_path, "254:3", uuid="LVM-x", on=("254:1", "254:2"))
    assert encrypted_volume(tmp_path, tmp_path, "254:3").how.count("LUKS2") == 2


@pytest.mark.parametrize("uuid", ["", "LVM-abc", "CRYPT-PLAIN-abc", "CRYPT-VERITY-abc", "xCRYPT-LUKS2-abc"])
def test_anything_else_is_refused(tmp_path: Path, uuid: str) -> None:
    device(tmp_path, "259:0", uuid=uuid)
    with pytest.raises(InvalidRequest, match="not lie on an encrypted device"):
        encrypted_volume(tmp_path, tmp_path, "259:0")


def test_one_plain_part_is_enough_to_refuse(tmp_path: Path) -> None:
    device(tmp_path, "254:1", uuid=LUKS)
    device(tmp_path, "259:1")
    device(tmp_path, "254:3", uuid="LVM-x", on=("254:1", "259:1"))
    with pytest.raises(InvalidRequest):
        encrypted_volume(tmp_path, tmp_path, "254:3")


def test_a_device_that_stands_on_itself_is_refused(tmp_path: Path) -> None:
    device(tmp_path, "254:1", uuid="LVM-x", on=("254:1",))
    with pytest.raises(InvalidRequest):
        encrypted_volume(tmp_path, tmp_path, "254:1")


def test_a_folder_that_is_not_there_or_has_no_device_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest):
        encrypted_volume(tmp_path / "missing")
    with pytest.raises(InvalidRequest):
        encrypted_volume(Path("/proc"))
