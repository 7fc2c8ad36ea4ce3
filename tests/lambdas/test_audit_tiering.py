"""The audit's caretaker: seals, checks every object, restores; over shelves in memory and over moto's bucket."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from governance.audit_chain import Fault
from governance.audit_manifest import check_sequence
from governance.audit_manifest import decode as manifest_of
from governance.audit_plan import AuditPlan, Deviation, deviations, tier_deviations, tiers_due
from governance.audit_proof import seal_finished_days
from governance.audit_shelf import Restore, ShelfFacts, ShelfItem, Speed, Tier
from governance.errors import InvalidRequest, StoreUnavailable
from governance.signatures import verifier
from lambdas.audit_tiering.handler import handler
from lambdas.audit_tiering.progress import decode, last_part
from lambdas.audit_tiering.settings import AuditTieringSettings
from lambdas.audit_tiering.task import TICK, AuditTiering
from tests.support.aws import REGION, in_aws

KEY = "arn:aws:kms:eu-central-1:111122223333:key/audit"
NOW = datetime(2026, 11, 22, 3, tzinfo=UTC)
SETTINGS = AuditTieringSettings(
    "audit", KEY, "arn:aws:kms:eu-central-1:111122223333:key/sign", "arn:aws:sns:x", "production", "eu-central-1"
)


def facts(
    name: str = "queries/2026/11/22/x", *, days: float = 0, tier: Tier = Tier.STANDARD, **changes: Any
) -> ShelfFacts:
    stored = NOW - timedelta(days=days)
    item = ShelfItem(name, 1000, stored, tier, changes.pop("restore", Restore.NONE))
    whole = ShelfFacts(item, "aws:kms", KEY, "GOVERNANCE", stored + timedelta(days=2557))
    return replace(whole, **changes)


@dataclass
class Shelf:
    """Store, shelf, signer, alarms and clock in memory."""

    held: dict[str, ShelfFacts] = field(default_factory=dict)
    data: dict[str, bytes] = field(default_factory=dict)
    told: list[Mapping[str, str]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    at: datetime = NOW
    tick_s: float = 0.0
    deaf: bool = False
    fresh_for_s: float = 0.0
    key: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)

    @property
    def tiering(self) -> AuditTiering:
        return AuditTiering(SETTINGS, self, self, self, self, self)

    def now(self) -> datetime:
        self.at += timedelta(seconds=self.tick_s)
        return self.at

    def add(self, made: ShelfFacts) -> None:
        self.held[made.item.name] = made

    def put_new(self, name: str, data: bytes) -> bool:
        if name in self.data:
            return False
        self.data[name] = data
        self.add(facts(name))
        return True

    def get(self, name: str) -> bytes:
        return self.data[name]

    def names(self, prefix: str) -> list[str]:
        return sorted(name for name in self.data if name.startswith(prefix))

    def items(self, prefix: str, *, after: str = "") -> Iterator[ShelfItem]:
        yield from (self.held[name].item for name in sorted(self.held) if name.startswith(prefix) and name > after)

    def facts(self, name: str) -> ShelfFacts:
        if name == "bad name":
            raise ValueError("not the name of an audit object")
        if name not in self.held:
            raise FileNotFoundError(name)
        return self.held[name]

    def restore(self, name: str, *, days: int, speed: Speed) -> Restore:
        self.asked.append(f"{name} {days} {speed.value}")
        old = self.held[name]
        self.held[name] = replace(old, item=replace(old.item, restore=Restore.ONGOING))
        return Restore.ONGOING

    def sign(self, data: bytes) -> bytes:
        return self.key.sign(data)

    def public_key(self) -> bytes:
        return self.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def alarm(self, subject: str, facts: Mapping[str, str]) -> None:
        if self.deaf:
            raise StoreUnavailable("nobody")
        self.told.append(facts)


# ---------------------------------------------------------------- the plan


@pytest.mark.parametrize(
    ("days", "tiers"),
    [
        (0, {Tier.STANDARD}),
        (89, {Tier.STANDARD}),
        (90, {Tier.STANDARD, Tier.GLACIER}),
        (92.9, {Tier.STANDARD, Tier.GLACIER}),
        (93, {Tier.GLACIER}),
        (364, {Tier.GLACIER}),
        (365, {Tier.GLACIER, Tier.DEEP_ARCHIVE}),
        (368, {Tier.DEEP_ARCHIVE}),
        (2556, {Tier.DEEP_ARCHIVE}),
    ],
)
def test_w5_9_standard_to_90_days_glacier_to_a_year_then_deep_archive(days: float, tiers: set[Tier]) -> None:
    assert tiers_due("queries/2026/11/22/x", timedelta(days=days)) == tiers
    assert tiers_due("sessions/2026/11/22/x", timedelta(days=days)) == tiers
    assert tiers_due("manifests/2026-11-22.json", timedelta(days=days)) == {Tier.STANDARD}, "proofs stay at hand"


@given(st.floats(0, 4000))
def test_at_every_age_some_tier_is_due(days: float) -> None:
    assert tiers_due("queries/x", timedelta(days=days))


@pytest.mark.parametrize(
    ("made", "kinds"),
    [
        (facts(), []),
        (facts(days=200, tier=Tier.GLACIER), []),
        (facts(encryption="aws:kms:dsse"), []),
        (facts(lock="COMPLIANCE"), []),
        (facts(days=200), ["tier_late"]),
        (facts(days=10, tier=Tier.GLACIER), ["tier_too_early"]),
        (facts(days=10, tier=Tier.DEEP_ARCHIVE), ["tier_too_early"]),
        (facts(days=400, tier=Tier.GLACIER), ["tier_late"]),
        (facts(tier=Tier.OTHER), ["tier_unknown"]),
        (facts(encryption="AES256", key=""), ["not_encrypted"]),
        (facts(encryption=""), ["not_encrypted"]),
        (facts(key=KEY + "x"), ["other_key"]),
        (facts(lock="", retained_until=None), ["not_locked"]),
        (facts(lock="GOVERNANCE", retained_until=None), ["not_locked"]),
        (facts(retained_until=NOW + timedelta(days=2554)), ["retained_too_short"]),
        (facts(days=10, encryption="", lock="", tier=Tier.GLACIER), ["tier_too_early", "not_encrypted", "not_locked"]),
    ],
)
def test_w5_10_w2_3_what_deviates_is_named(made: ShelfFacts, kinds: list[str]) -> None:
    assert [each.kind for each in deviations(made, AuditPlan(KEY), NOW)] == kinds


def test_a_listing_alone_tells_of_tiers() -> None:
    assert [each.kind for each in tier_deviations(facts(days=100).item, NOW)] == ["tier_late"]


# ---------------------------------------------------------------- the check


def test_the_whole_day_is_reported_once() -> None:
    shelf = Shelf()
    for number in range(30):
        shelf.add(facts(f"queries/2026/11/21/{number:02}", days=1))
    first = shelf.tiering.tend()
    assert (first.objects, first.deviations, first.finished) == (30, 0, True)
    report = last_part(shelf, "2026-11-22")
    assert report is not None
    assert (report.done, report.objects, report.bytes, report.tiers) == (True, 30, 30_000, {"standard": 30})
    again = shelf.tiering.tend()
    assert (again.objects, again.finished) == (0, True)
    assert shelf.told == []


def test_deviations_are_counted_written_out_and_told() -> None:
    shelf = Shelf()
    shelf.add(facts("queries/a", lock="", retained_until=None))
    shelf.add(facts("queries/b", days=120))
    assert shelf.tiering.tend().deviations == 2
    report = last_part(shelf, "2026-11-22")
    assert report is not None
    assert [(each.kind, each.name) for each in report.deviations] == [
        ("not_locked", "queries/a"),
        ("tier_late", "queries/b"),
    ]
    assert shelf.told == [
        {"day": "2026-11-22", "deviations": "2", "report": "reports/tiering/2026-11-22/part-0001.json"}
    ]


def test_a_check_longer_than_a_slice_goes_on_where_it_stood() -> None:
    shelf = Shelf(tick_s=0.5)
    for number in range(3000):
        shelf.add(facts(f"queries/{number:04}"))
    shelf.add(facts("queries/9999", key="other"))
    seen, rounds = 0, 0
    while True:
        summary = shelf.tiering.tend()
        seen, rounds = seen + summary.objects, rounds + 1
        if summary.finished:
            break
    assert rounds > 1
    assert seen >= 3001
    report = last_part(shelf, "2026-11-22")
    assert report is not None
    assert report.number == rounds
    assert report.deviations_total == 1
    assert len(shelf.told) == 1


def test_a_check_that_did_not_end_with_its_day_is_a_deviation() -> None:
    shelf = Shelf(tick_s=1000.0)
    shelf.add(facts("queries/a"))
    assert not shelf.tiering.tend().finished
    shelf.tick_s = 0.0
    shelf.at = NOW + timedelta(days=1)
    shelf.tiering.tend()
    report = last_part(shelf, "2026-11-23")
    assert report is not None
    assert [each.kind for each in report.deviations] == ["check_unfinished"]


def test_an_object_that_goes_while_it_is_asked_for_is_named() -> None:
    shelf = Shelf()
    shelf.add(facts("queries/a"))
    held = shelf.held.pop("queries/a")
    shelf.items = lambda prefix, after="": iter([held.item])  # type: ignore[method-assign]
    shelf.tiering.tend()
    report = last_part(shelf, "2026-11-22")
    assert report is not None
    assert report.deviations == (Deviation("vanished", "queries/a", "listed, and gone when it was asked for"),)


def test_a_day_is_not_done_before_people_are_told() -> None:
    shelf = Shelf(deaf=True)
    shelf.add(facts("queries/a", lock=""))
    with pytest.raises(StoreUnavailable):
        shelf.tiering.tend()
    assert last_part(shelf, "2026-11-22") is None
    shelf.deaf = False
    assert shelf.tiering.tend().finished
    assert len(shelf.told) == 1


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"{}", b'{"v": 2}', b'{"v": 1, "deviations": [{}]}', b'{"v": 1, "deviations": []}']
)
def test_a_report_that_is_none_is_not_guessed_at(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"report|JSON|Expecting"):
        decode(data)


# ---------------------------------------------------------------- settings, and the door on moto's account


def test_settings_survive_their_environment() -> None:
    assert AuditTieringSettings.from_environment({**SETTINGS.environment(), "AWS_REGION": REGION}) == SETTINGS


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((name, "") for name in ("HATIDATA_AUDIT_BUCKET", "HATIDATA_AUDIT_KEY", "HATIDATA_SIGNING_KEY")),
        ("HATIDATA_AUDIT_RETENTION_DAYS", "365"),
        ("HATIDATA_AUDIT_RETENTION_DAYS", "seven years"),
        ("HATIDATA_CHECK_SLICE_S", "900"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(name: str, value: str) -> None:
    with pytest.raises(InvalidRequest):
        AuditTieringSettings.from_environment({**SETTINGS.environment(), name: value})


def test_the_door_seals_checks_and_restores_in_a_locked_bucket(monkeypatch: pytest.MonkeyPatch) -> None:
    with in_aws():
        kms, s3, sns = (boto3.client(name, REGION) for name in ("kms", "s3", "sns"))
        key = kms.create_key()["KeyMetadata"]["Arn"]
        signing = kms.create_key(KeyUsage="SIGN_VERIFY", KeySpec="ECC_NIST_P256")["KeyMetadata"]["Arn"]
        where = {"LocationConstraint": REGION}
        s3.create_bucket(Bucket="audit", CreateBucketConfiguration=where, ObjectLockEnabledForBucket=True)
        s3.put_object_lock_configuration(
            Bucket="audit",
            ObjectLockConfiguration={
                "ObjectLockEnabled": "Enabled",
                "Rule": {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 2557}},
            },
        )
        topic = sns.create_topic(Name="alarms")["TopicArn"]
        told = replace(SETTINGS, audit_key=key, signing_key=signing, topic=topic)
        for name, value in told.environment().items():
            monkeypatch.setenv(name, value)
        encrypted = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": key}
        name = "20261120T120000.000000Z-node-1.q-0000000001-abcdef012345.jsonl.gz"
        s3.put_object(Bucket="audit", Key=f"audit/queries/2026/11/20/{name}", Body=b"x", **encrypted)
        s3.put_object(
            Bucket="audit", Key="audit/queries/2026/11/20/z", Body=b"x", StorageClass="DEEP_ARCHIVE", **encrypted
        )
        answer = handler(TICK, None)
        assert answer["finished"]
        listed = s3.list_objects_v2(Bucket="audit", Prefix="audit/reports/")["Contents"]
        report = json.loads(s3.get_object(Bucket="audit", Key=listed[-1]["Key"])["Body"].read())
        kinds = {(each["kind"], each["name"]) for each in report["deviations"]}
        assert ("tier_too_early", "queries/2026/11/20/z") in kinds
        assert not {each for each in kinds if each[1].endswith(name) and each[0] != "vanished"}
        asked = handler({"hatidata": "restore", "names": ["queries/2026/11/20/z"]}, None)
        assert asked["objects"]["queries/2026/11/20/z"] in ("ongoing", "ready")
        assert handler({"hatidata": "restore", "names": []}, None)["error"]["code"] == "invalid_request"
        with pytest.raises(InvalidRequest):
            handler({"hatidata": "tock"}, None)


def test_w5_10_manifests_of_the_days_are_signed_and_chained() -> None:
    shelf = Shelf()
    for day in (18, 20):
        name = f"queries/2026/11/{day}/202611{day}T120000.000000Z-node-1.q-00000000{day}-abcdef012345.jsonl.gz"
        shelf.data[name] = b"x"
        shelf.add(facts(name, days=22 - day))
    summary = shelf.tiering.tend()
    assert summary.sealed == ["2026-11-18", "2026-11-19", "2026-11-20", "2026-11-21"]
    manifests = [(name, shelf.data[name]) for name in shelf.names("manifests/") if name.endswith(".json")]
    good, faults = check_sequence(manifests)
    assert (len(good), faults) == (4, list[Fault]())
    assert [len(each.entries) for each in good] == [1, 0, 1, 0]
    for name, data in manifests:
        shelf.key.public_key().verify(shelf.data[name.removesuffix(".json") + ".sig"], data)
    assert shelf.tiering.tend().sealed == []


def test_w5_10_a_day_is_sealed_without_reading_what_lies_in_the_archive() -> None:
    shelf = Shelf()

    def lay(day: datetime, batch: int) -> str:
        name = f"queries/{day:%Y/%m/%d}/{day:%Y%m%d}T120000.000000Z-node-1.q-{batch:010}-abcdef012345.jsonl.gz"
        shelf.data[name] = b"x"
        return name

    lay(NOW - timedelta(days=200), 1)
    assert len(seal_finished_days(shelf, shelf.sign, NOW, verifier(shelf.public_key()))) == 200
    late, too_late = lay(NOW - timedelta(days=30), 2), lay(NOW - timedelta(days=100), 3)
    read: list[str] = []
    honest = shelf.get
    shelf.get = lambda name: (read.append(name), honest(name))[1]  # type: ignore[method-assign]
    (sealed,) = seal_finished_days(shelf, shelf.sign, NOW + timedelta(days=1), verifier(shelf.public_key()))
    listed = [entry.name for entry in manifest_of(shelf.data[f"manifests/{sealed}.json"]).entries]
    assert listed == [late], "older ones are for `verify` to name"
    assert too_late not in read
    oldest = min(name for name in read if name.startswith("manifests/"))
    assert oldest >= f"manifests/{NOW - timedelta(days=63):%Y-%m-%d}"
