"""Every kind of tampering with a real store is named, and an untouched store is sound."""

import asyncio
import gzip
import hashlib
import json
import shutil
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from engine.audit import QueryAudit
from governance.audit_proof import Report
from governance.audit_record import line_digest
from governance.errors import Conflict, InvalidRequest
from local.audit_files import AuditFiles
from local.audit_verify import public_key, seal_finished_days, signing_key, verify, verify_records
from tests.engine.audit.records import SteppedClock, event, intent, outcome, settings

FIRST = datetime(2026, 11, 20, 12, tzinfo=UTC)


class FixedClock:
    def __init__(self, moment: datetime) -> None:
        self.moment = moment

    def now(self) -> datetime:
        return self.moment


async def _fill(home: Path) -> None:
    clock = FixedClock(FIRST)
    audit = QueryAudit(settings(home), AuditFiles(home / "audit"), clock)
    await audit.start()
    for day in range(4):
        if day == 2:
            continue  # a day without any query
        for turn in range(2):
            clock.moment = FIRST + timedelta(days=day, minutes=turn)
            for number in range(4):
                name = f"{day}-{turn}-{number}"
                await audit.intent(intent(name))
                audit.outcome(outcome(name))
            audit.event(event(f"e{day}{turn}"))
            assert await audit.stored(10)
    await audit.stop()


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home")
    asyncio.run(_fill(home))
    (home / "keys").mkdir()
    sealed = _seal(home, 3)
    assert sealed == ["2026-11-20", "2026-11-21", "2026-11-22"]
    assert _seal(home, 3) == []
    return home


@pytest.fixture
def home(pristine: Path, tmp_path: Path) -> Path:
    copy = tmp_path / "home"
    shutil.copytree(pristine, copy)
    return copy


def _seal(home: Path, days: int, key: Ed25519PrivateKey | None = None) -> list[str]:
    """As the home does, or somebody with another key and no memory, so many days and a half after the first."""
    clock = FixedClock(FIRST + timedelta(days=days, hours=12))
    own = signing_key(home / "keys")
    return seal_finished_days(home / "audit", key or own, clock, None if key else home / "keys")


def _verify(home: Path, first: str = "", last: str = "") -> Report:
    key = public_key(home / "keys" / "audit-signing.pub")
    return verify(home / "audit", first, last, key, home / "spool", home / "keys")


def _kinds(home: Path) -> set[str]:
    return {fault.kind for fault in _verify(home).faults}


def _objects(home: Path) -> list[Path]:
    return sorted((home / "audit" / "queries").rglob("*.jsonl.gz"))


def _rewrite(path: Path, change: Callable[[list[bytes]], list[bytes]]) -> None:
    lines = gzip.decompress(path.read_bytes()).splitlines()
    path.chmod(0o600)
    path.write_bytes(gzip.compress(b"".join(line + b"\n" for line in change(lines)), mtime=0))


def test_an_untouched_store_is_sound(home: Path) -> None:
    report = _verify(home)
    assert report.faults == ()
    assert report.sound
    assert (report.objects, report.records, report.manifests) == (12, 30, 3)
    assert report.unsealed_objects == 4
    assert report.signed


@pytest.mark.parametrize("first", ["", "2026-11-20", "2026-11-21", "2026-11-22", "2026-11-23"])
@pytest.mark.parametrize("last", ["", "2026-11-21", "2026-11-23"])
def test_any_range_of_an_untouched_store_is_sound(home: Path, first: str, last: str) -> None:
    assert _verify(home, first, last).sound


def _swapped(lines: list[bytes]) -> list[bytes]:
    return [lines[1], lines[0], *lines[2:]]


CHANGES: dict[str, tuple[Callable[[list[bytes]], list[bytes]], str]] = {
    "changed": (lambda x: [x[0].replace(b'"succeeded"', b'"forged!!!"'), *x[1:]], "altered_record"),
    "dropped": (lambda x: [x[0], *x[2:]], "missing_records"),
    "swapped": (_swapped, "reordered_record"),
    "repeated": (lambda x: [x[0], *x], "repeated_record"),
    "garbled": (lambda x: [x[0], b"{}", *x[2:]], "malformed_record"),
    "moved": (lambda x: [x[0].replace(b'"chain_id":"node-1', b'"chain_id":"node-2'), *x[1:]], "foreign_record"),
}


@pytest.mark.parametrize("which", range(6))
@pytest.mark.parametrize("change", list(CHANGES))
def test_a_changed_object_and_the_record_are_named(home: Path, which: int, change: str) -> None:
    path = _objects(home)[which]
    act, kind = CHANGES[change]
    _rewrite(path, act)
    faults = _verify(home).faults
    name = path.relative_to(home / "audit").as_posix()
    assert ("altered_object", name) in {(fault.kind, fault.name) for fault in faults}
    assert kind in {fault.kind for fault in faults}


@pytest.mark.parametrize("which", range(6))
def test_a_missing_object_is_named(home: Path, which: int) -> None:
    path = _objects(home)[which]
    path.unlink()
    faults = _verify(home).faults
    if which < 4:
        assert any(f.kind == "missing_object" and f.name.endswith(path.name) for f in faults)
    assert any(f.kind == "missing_records" for f in faults)


def test_a_truncated_object_is_named(home: Path) -> None:
    path = _objects(home)[1]
    data = path.read_bytes()
    path.chmod(0o600)
    path.write_bytes(data[: len(data) // 2])
    assert {"altered_object", "damaged_object"} <= _kinds(home)


def test_an_added_object_is_named(home: Path) -> None:
    path = _objects(home)[0]
    other = path.with_name(path.name.replace("-node-1-", "-node-9-"))
    shutil.copyfile(path, other)
    assert {"unlisted_object", "foreign_record"} <= _kinds(home)
    stray = path.with_name("notes.txt")
    stray.write_text("x")
    assert "foreign_object" in _kinds(home)


def test_swapped_objects_are_named(home: Path) -> None:
    one, two = _objects(home)[:2]
    held = one.read_bytes()
    for path in (one, two):
        path.chmod(0o600)
    one.write_bytes(two.read_bytes())
    two.write_bytes(held)
    assert {"altered_object", "reordered_record"} <= _kinds(home)


def test_a_manifest_cannot_be_changed_dropped_or_signed_anew(home: Path) -> None:
    folder = home / "audit" / "manifests"
    second = folder / "2026-11-21.json"
    data = second.read_bytes()
    for path in folder.iterdir():
        path.chmod(0o600)
    second.write_bytes(data.replace(b'"size": ', b'"size":  '))
    assert {"bad_signature", "altered_manifest"} <= _kinds(home)
    second.write_bytes(data)
    second.with_suffix(".sig").write_bytes(Ed25519PrivateKey.generate().sign(data))
    assert _kinds(home) == {"bad_signature"}
    second.with_suffix(".sig").unlink()
    assert _kinds(home) == {"unsigned_manifest"}
    second.unlink()
    assert "missing_manifest" in _kinds(home)
    second.write_bytes(b"[]")
    assert "malformed_manifest" in _kinds(home)


def test_a_forger_without_the_key_is_named_though_he_rewrites_object_and_manifest(home: Path) -> None:
    path = _objects(home)[0]
    _rewrite(path, CHANGES["changed"][0])
    folder = home / "audit" / "manifests"
    shutil.rmtree(folder)
    _seal(home, 3, Ed25519PrivateKey.generate())
    assert "bad_signature" in _kinds(home)


def _rechained(home: Path, first: int) -> None:
    """A clever forger without the key: changes a record, and mends chain, digests and names from there on."""
    objects = _objects(home)
    head = ""
    for number, path in enumerate(objects):
        lines = gzip.decompress(path.read_bytes()).splitlines()
        if number < first:
            head = line_digest(lines[-1])
            continue
        made = []
        for line in lines:
            record = json.loads(line)
            if number == first and not made:
                record["sql"] = "SELECT 'forged'"
            record["chain_prev"] = head or record["chain_prev"]
            made.append(json.dumps(record, separators=(",", ":")).encode())
            head = line_digest(made[-1])
        data = gzip.compress(b"".join(line + b"\n" for line in made), mtime=0)
        stem = path.name.rsplit("-", 1)[0]
        path.unlink()
        path.with_name(f"{stem}-{hashlib.sha256(data).hexdigest()[:12]}.jsonl.gz").write_bytes(data)


def test_a_home_never_signs_in_place_of_what_it_signed(home: Path) -> None:
    _rechained(home, 2)
    assert verify_records(home / "audit") == [], "the chain itself was mended well"
    seen = hashlib.sha256((home / "audit" / "manifests" / "2026-11-22.json").read_bytes()).hexdigest()
    for day in ("2026-11-21", "2026-11-22"):
        for path in (home / "audit" / "manifests").glob(f"{day}*"):
            path.unlink()
    with pytest.raises(Conflict, match="2026-11-22"):
        _seal(home, 4)
    assert sorted(path.name for path in (home / "audit" / "manifests").glob("*.json")) == ["2026-11-20.json"]
    assert "missing_manifest" in _kinds(home)
    # An auditor with a copy and no memory of the home's knows the digest he wrote down.
    key = public_key(home / "keys" / "audit-signing.pub")
    assert verify(home / "audit", key=key).sound, "a folder alone cannot tell that its end was taken back"
    assert {fault.kind for fault in verify(home / "audit", key=key, last_manifest=seen).faults} == {"missing_manifest"}


def test_manifests_of_others_at_the_end_neither_stop_nor_lead_the_sealing(home: Path) -> None:
    stranger = Ed25519PrivateKey.generate()
    folder = home / "audit" / "manifests"
    far = json.dumps({"version": 1, "day": "2099-01-01", "number": 4, "previous": "0" * 64, "objects": []}).encode()
    (folder / "2099-01-01.json").write_bytes(far)
    (folder / "2099-01-01.sig").write_bytes(stranger.sign(far))
    (folder / "2026-11-23.sig").write_bytes(stranger.sign(b"in the way"))
    assert _seal(home, 4) == ["2026-11-23"]
    assert {"bad_signature"} <= _kinds(home)
    (folder / "2099-01-01.json").unlink()
    assert _verify(home).faults == (), "a signature beside another's is found"
    (folder / "2026-11-24.json").write_bytes(b"{}")
    with pytest.raises(ValueError, match="another manifest"):
        _seal(home, 5)


def test_a_signature_without_its_manifest_is_no_hindrance(home: Path) -> None:
    folder = home / "audit" / "manifests"
    (folder / "2026-11-23.sig").write_bytes(signing_key(home / "keys").sign(b"made before a late object came"))
    assert _seal(home, 4) == ["2026-11-23"]
    assert _verify(home).faults == ()


@pytest.mark.parametrize("harm", [b"{}", b"[]", b'{"day": 1, "digest": 2}', b"no json"])
def test_a_damaged_memory_is_named_and_signs_nothing(home: Path, harm: bytes) -> None:
    (home / "keys" / "audit-sealed.json").write_bytes(harm)
    with pytest.raises(ValueError, match=r"remembered|Expecting"):
        _seal(home, 4)
    assert "altered_manifest" in _kinds(home)


def test_a_day_that_is_none_is_the_name_of_no_object(home: Path) -> None:
    path = _objects(home)[0]
    folder = home / "audit" / "queries" / "2026" / "13" / "45"
    folder.mkdir(parents=True)
    shutil.copyfile(path, folder / path.name)
    assert _seal(home, 4) == ["2026-11-23"]
    assert _kinds(home) == {"foreign_object"}


def test_a_late_object_is_listed_by_the_next_manifest(home: Path) -> None:
    async def late() -> None:
        clock = SteppedClock()
        clock.moment = FIRST + timedelta(hours=1)
        audit = QueryAudit(settings(home, spool=home / "other-spool"), AuditFiles(home / "audit"), clock)
        await audit.start()
        await audit.intent(intent("late"))
        audit.outcome(outcome("late"))
        await audit.stop()

    asyncio.run(late())
    assert _kinds(home) == {"unlisted_object"}
    assert _seal(home, 4) == ["2026-11-23"]
    assert _verify(home).faults == ()


def test_openssl_verifies_the_signature(home: Path) -> None:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl")
    folder = home / "audit" / "manifests"
    command = [openssl, "pkeyutl", "-verify", "-pubin", "-inkey", str(home / "keys" / "audit-signing.pub"), "-rawin"]
    command += ["-in", str(folder / "2026-11-20.json"), "-sigfile", str(folder / "2026-11-20.sig")]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
    (folder / "2026-11-20.json").chmod(0o600)
    (folder / "2026-11-20.json").write_bytes(b"{}")
    assert subprocess.run(command, capture_output=True, check=False).returncode != 0


def test_what_cannot_be_verified_is_refused(home: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest):
        verify(tmp_path / "nowhere")
    with pytest.raises(InvalidRequest):
        verify(home / "audit", "yesterday")
    (tmp_path / "key.pem").write_text("not a key")
    with pytest.raises(InvalidRequest):
        public_key(tmp_path / "key.pem")


def test_verifying_writes_nothing(home: Path) -> None:
    shutil.rmtree(home / "audit" / ".incoming")
    before = sorted(path.name for path in (home / "audit").iterdir())
    _verify(home)
    assert sorted(path.name for path in (home / "audit").iterdir()) == before
