"""The rulebook's manifest and the signatures that cover it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from governance import bundle
from governance.bundle import Manifest, from_header, split, to_header
from governance.errors import InvalidRequest
from governance.signatures import verifier

BODIES = st.binary(max_size=200) | st.integers(bundle.PART_BYTES - 2, bundle.PART_BYTES * 2 + 2).map(bytes)


@given(BODIES, st.integers(0, 2**40))
def test_a_manifest_is_spelled_one_way_and_describes_its_bytes_alone(body: bytes, version: int) -> None:
    manifest = Manifest.of(body, environment="production", version=version, issued_at="2026-11-22T03:00:00.000000Z")
    assert Manifest.decode(manifest.encode()) == manifest
    assert manifest.describes(body)
    assert not manifest.describes(body + b"x")
    assert manifest.parts == len(split(body))
    assert b"".join(split(body)) == body
    assert max(map(len, split(body))) <= bundle.PART_BYTES
    with pytest.raises(InvalidRequest):
        Manifest.decode(manifest.encode().replace(b'"v":1', b'"v": 1'))


@given(st.binary(max_size=60))
def test_what_is_no_manifest_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidRequest):
        Manifest.decode(data)


@pytest.mark.parametrize("change", [{"v": 2}, {"kind": "checkpoint"}, {"parts": 9}, {"size": -1}, {"more": 1}])
def test_a_manifest_of_something_else_is_refused(change: dict[str, object]) -> None:
    fields = {
        "v": 1, "kind": "rulebook", "environment": "production", "version": 1, "issued_at": "x", "sha256": "0",
        "size": 3, "parts": 1,
    }  # fmt: skip
    assert Manifest.decode(bundle.canonical(fields))
    with pytest.raises(InvalidRequest):
        Manifest.decode(bundle.canonical({**fields, **change}))


@given(st.binary(max_size=99))
def test_headers_carry_bytes(data: bytes) -> None:
    assert from_header(to_header(data)) == data
    assert from_header("no base64!") == b""


def _pem(key: Ed25519PrivateKey | ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def test_both_kinds_of_signature_are_checked_here_and_by_openssl(tmp_path: Path) -> None:
    edwards, curve = Ed25519PrivateKey.generate(), ec.generate_private_key(ec.SECP256R1())
    data = b"the manifest"
    (tmp_path / "data").write_bytes(data)
    cases = (
        (edwards, edwards.sign(data), ["pkeyutl", "-verify", "-pubin", "-inkey", "key", "-rawin", "-in", "data"]),
        (curve, curve.sign(data, ec.ECDSA(SHA256())), ["dgst", "-sha256", "-verify", "key"]),
    )
    for key, signature, command in cases:
        holds = verifier(_pem(key))
        assert holds(data, signature)
        assert not holds(data + b"x", signature)
        assert not holds(data, signature[:-1])
        assert not holds(data, b"")
        (tmp_path / "key").write_bytes(_pem(key))
        (tmp_path / "sig").write_bytes(signature)
        with_signature = ["-sigfile", "sig"] if command[0] == "pkeyutl" else ["-signature", "sig", "data"]
        done = subprocess.run(
            ["openssl", *command, *with_signature], cwd=tmp_path, capture_output=True, timeout=30, check=False
        )
        assert done.returncode == 0, done.stderr


def test_other_keys_are_refused() -> None:
    for pem in (
        b"",
        b"nonsense",
        _pem(ec.generate_private_key(ec.SECP384R1())),
        _pem(rsa.generate_private_key(65537, 2048)),
    ):
        with pytest.raises(InvalidRequest):
            verifier(pem)
