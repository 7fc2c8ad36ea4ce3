"""The cache volume over real LUKS headers on file images."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from cdk_app.boot.cache_volume import CacheVolume, VolumeRefused
from cdk_app.boot.commands import SystemCommands
from governance.node_life import Fact
from governance.node_report import NodeStep, fact_of
from governance.volume_key import volume_passphrase
from tests.boot.machine import INSTANCE, SEED, Machine, needs_cryptsetup, opens

pytestmark = needs_cryptsetup


def volume(machine: Machine, random: Callable[[int], bytes] = os.urandom) -> CacheVolume:
    return CacheVolume(machine.settings, machine, random=random, pause=lambda _: None)


class Salts:
    """Remembers what was drawn, as no node does."""

    def __init__(self) -> None:
        self.drawn: list[bytes] = []

    def __call__(self, size: int) -> bytes:
        self.drawn.append(os.urandom(size))
        return self.drawn[-1]


def test_w2_2_the_volume_is_luks2_aes_256_xts_opened_by_the_derived_key_alone(machine: Machine) -> None:
    image, salts = machine.add_device("nvme1n1"), Salts()
    assert volume(machine, salts).open(lambda: SEED, INSTANCE) == machine.settings.mount
    assert [len(salt) for salt in salts.drawn] == [32]
    key = volume_passphrase(SEED, salts.drawn[0], INSTANCE)
    assert opens(image, key) == 0
    assert opens(image, volume_passphrase(SEED, os.urandom(32), INSTANCE)) == 2, "another salt opens nothing"
    document = json.loads(SystemCommands().run(["cryptsetup", "luksDump", "--dump-json-metadata", str(image)]).out)
    assert len(document["keyslots"]) == 1
    assert document["keyslots"]["0"]["key_size"] == 64
    assert document["segments"]["0"]["encryption"] == "aes-xts-plain64"
    assert sorted(path.name for path in machine.settings.mount.iterdir()) == ["cache", "spill"]


def test_mounted_so_that_nothing_on_it_runs(machine: Machine) -> None:
    machine.add_device("nvme1n1")
    volume(machine).open(lambda: SEED, INSTANCE)
    (mount,) = machine.ran("mount")
    assert "noexec,nosuid,nodev,noatime" in mount.argv


def test_no_secret_in_an_argument(machine: Machine) -> None:
    machine.add_device("nvme1n1")
    salts = Salts()
    volume(machine, salts).open(lambda: SEED, INSTANCE)
    key = volume_passphrase(SEED, salts.drawn[0], INSTANCE)
    assert [call.argv[1] for call in machine.calls if call.stdin] == ["luksFormat", "open"]
    for call in machine.calls:
        line = " ".join(call.argv)
        assert not any(form in line for secret in (SEED, key, salts.drawn[0]) for form in (secret.hex(), repr(secret)))


def test_w2_7_erase_leaves_no_slot_and_nobody_reopens_it(machine: Machine) -> None:
    image, salts = machine.add_device("nvme1n1"), Salts()
    node = volume(machine, salts)
    node.open(lambda: SEED, INSTANCE)
    assert fact_of(node.prove(), NodeStep.PROVE) is Fact.UNPROVED
    report = node.erase()
    assert report.done
    assert report.troubles == ()
    assert [(each.luks, each.key_slots) for each in report.volumes] == [(True, 0)]
    assert fact_of(node.prove(), NodeStep.PROVE) is Fact.PROVED
    assert opens(image, volume_passphrase(SEED, salts.drawn[0], INSTANCE)) == 1, "no usable key slot"
    order = [call.argv[:2] for call in machine.calls if call.argv[0] in ("umount", "cryptsetup")]
    names = [words[0] if words[0] == "umount" else words[1] for words in order]
    assert names.index("umount") < names.index("close") < names.index("luksErase")


def test_erasing_twice_is_erasing(machine: Machine) -> None:
    machine.add_device("nvme1n1")
    node = volume(machine)
    node.open(lambda: SEED, INSTANCE)
    assert node.erase().done
    assert node.erase().done


def test_a_volume_that_is_held_open_is_erased_all_the_same_and_torn_away(machine: Machine) -> None:
    image = machine.add_device("nvme1n1")
    salts = Salts()
    node = volume(machine, salts)
    node.open(lambda: SEED, INSTANCE)
    machine.busy = True
    report = node.erase()
    assert report.troubles == ("unmount_failed", "close_failed")
    assert report.done, "the slots are gone, and so is the key from the kernel"
    assert not report.mapped
    assert opens(image, volume_passphrase(SEED, salts.drawn[0], INSTANCE)) == 1
    assert machine.ran("dmsetup", "remove", "--force")


@pytest.mark.parametrize(
    "table", ["0 16384 crypt aes-xts-plain64 :64:logon:x 0 8:0 0\n0 16384 error\n", "", "0 16384 error 1\n"]
)
def test_a_mapping_is_gone_only_when_every_part_of_its_table_is_an_error(machine: Machine, table: str) -> None:
    machine.add_device("nvme1n1")
    node = volume(machine)
    node.open(lambda: SEED, INSTANCE)
    node.erase()
    machine.map("hatidata-cache")
    machine.targets["hatidata-cache"] = table.removeprefix("0 16384 ").rstrip("\n")
    assert fact_of(node.prove(), NodeStep.PROVE) is Fact.UNPROVED
    machine.targets["hatidata-cache"] = "error"
    assert fact_of(node.prove(), NodeStep.PROVE) is Fact.PROVED
    machine.broken["dmsetup table"] = 1
    assert fact_of(node.prove(), NodeStep.PROVE) is Fact.UNPROVED


def test_an_erase_that_fails_is_no_proof(machine: Machine) -> None:
    machine.add_device("nvme1n1")
    node = volume(machine)
    node.open(lambda: SEED, INSTANCE)
    machine.broken["luksErase"] = 1
    report = node.erase()
    assert not report.done
    assert report.troubles == ("luks_erase_failed",)
    assert fact_of(node.prove(), NodeStep.PROVE) is Fact.UNPROVED


@pytest.mark.parametrize("words", ["isLuks", "luksDump"])
def test_a_device_that_cannot_be_asked_is_no_proof(machine: Machine, words: str) -> None:
    machine.add_device("nvme1n1")
    node = volume(machine)
    node.open(lambda: SEED, INSTANCE)
    node.erase()
    machine.broken[f"cryptsetup {words}"] = 4
    if words == "isLuks":
        machine.broken["cryptsetup luksDump"] = 1
    assert fact_of(node.prove(), NodeStep.PROVE) is Fact.UNPROVED


def test_a_device_that_vanished_is_no_proof(machine: Machine) -> None:
    machine.add_device("nvme1n1")
    node = volume(machine)
    node.open(lambda: SEED, INSTANCE)
    machine.remove_device("nvme1n1")
    report = node.prove()
    assert report.troubles == ("device_missing",)
    assert fact_of(report, NodeStep.PROVE) is Fact.UNPROVED
    assert not node.erase().done


def test_a_node_that_never_opened_anything_has_nothing_to_erase(machine: Machine) -> None:
    assert fact_of(volume(machine).prove(), NodeStep.PROVE) is Fact.PROVED
    machine.add_device("nvme1n1")
    assert fact_of(volume(machine).prove(), NodeStep.PROVE) is Fact.PROVED


def test_several_devices_are_striped_and_erased_as_one(machine: Machine) -> None:
    machine.add_device("nvme1n1")
    machine.add_device("nvme2n1", size=32 * 1024 * 1024)
    node = volume(machine)
    node.open(lambda: SEED, INSTANCE)
    (create,) = machine.ran("dmsetup", "create")
    dev = machine.root / "dev"
    assert create.stdin.decode() == f"0 98304 striped 2 512 {dev}/nvme1n1 0 {dev}/nvme2n1 0\n"
    assert node.erase().done
    assert [volume.device for volume in node.prove().volumes] == [str(dev / "mapper/hatidata-stripe").lstrip("/")]


def test_only_the_instance_store_is_ever_touched(machine: Machine) -> None:
    machine.add_device("nvme0n1", "Amazon Elastic Block Store")
    machine.add_device("nvme1n1")
    volume(machine).open(lambda: SEED, INSTANCE)
    assert not [call for call in machine.calls if any("nvme0n1" in word for word in call.argv)]


@pytest.mark.parametrize(
    ("prepare", "code"),
    [
        (lambda m: m.add_device("nvme0n1", "Amazon Elastic Block Store"), "no_instance_store"),
        (lambda m: m.add_device("nvme1n1", partition=True), "device_in_use"),
        (lambda m: (m.add_device("nvme1n1"), m.map("hatidata-cache")), "opened_already"),
    ],
)
def test_what_cannot_be_meant_is_refused_and_left_alone(
    machine: Machine, prepare: Callable[[Machine], object], code: str
) -> None:
    prepare(machine)
    with pytest.raises(VolumeRefused) as refusal:
        volume(machine).open(lambda: pytest.fail("the seed was fetched"), INSTANCE)
    assert refusal.value.code == code
    assert machine.calls == []


@pytest.mark.parametrize("words", ["luksFormat", "cryptsetup open", "status", "mkfs.ext4", "mount -t"])
def test_what_fails_half_way_is_torn_down(machine: Machine, words: str) -> None:
    image = machine.add_device("nvme1n1")
    machine.broken[words] = 1
    salts = Salts()
    with pytest.raises(VolumeRefused):
        volume(machine, salts).open(lambda: SEED, INSTANCE)
    machine.broken.clear()
    assert fact_of(volume(machine).prove(), NodeStep.PROVE) is Fact.PROVED
    assert opens(image, volume_passphrase(SEED, salts.drawn[0], INSTANCE)) == 1


def test_a_mapping_of_another_cipher_is_refused(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.add_device("nvme1n1")
    honest = machine.run

    def weak(argv: list[str], **how: object) -> object:
        done = honest(argv, **how)  # type: ignore[arg-type]
        return type(done)(0, done.out.replace("512 bits", "256 bits")) if argv[1] == "status" else done

    monkeypatch.setattr(machine, "run", weak)
    with pytest.raises(VolumeRefused, match="cipher_not_as_wanted"):
        volume(machine).open(lambda: SEED, INSTANCE)


def test_w6_3_each_boot_makes_it_anew(machine: Machine) -> None:
    image, first, second = machine.add_device("nvme1n1"), Salts(), Salts()
    volume(machine, first).open(lambda: SEED, INSTANCE)
    machine.unmap("hatidata-cache")
    machine.mountinfo.write_text("")
    (machine.root / "run" / "volume.json").unlink()
    volume(machine, second).open(lambda: SEED, INSTANCE)
    assert opens(image, volume_passphrase(SEED, first.drawn[0], INSTANCE)) == 2
    assert opens(image, volume_passphrase(SEED, second.drawn[0], INSTANCE)) == 0


def test_a_copy_of_the_header_is_never_made(machine: Machine) -> None:
    machine.add_device("nvme1n1")
    node = volume(machine)
    node.open(lambda: SEED, INSTANCE)
    node.erase()
    assert not [call for call in machine.calls if any("Backup" in word for word in call.argv)]
    assert not list(Path(machine.root).rglob("*header*"))
