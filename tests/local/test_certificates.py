"""The home's certificates: real handshakes in memory, renewal, and files nobody else reads."""

from __future__ import annotations

import ssl
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from governance.errors import InvalidRequest
from local.certificates import NODE_NAME, ensure_certificates

NOW = datetime.now(UTC)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    ensure_certificates(tmp_path, now=NOW)
    return tmp_path


def _handshake(server: ssl.SSLContext, client: ssl.SSLContext, name: str) -> tuple[ssl.SSLObject, ssl.SSLObject]:
    """Both ends after a handshake through memory."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    one = server.wrap_bio(to_server, to_client, server_side=True)
    two = client.wrap_bio(to_client, to_server, server_hostname=name)
    for _ in range(10):
        ready = 0
        for end in (two, one):
            try:
                end.do_handshake()
                ready += 1
            except ssl.SSLWantReadError:
                pass
        if ready == 2:
            return one, two
    raise AssertionError("no handshake")


def _server(folder: Path, *, client_certificate: bool = False) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(folder / "server.crt", folder / "server.key")
    if client_certificate:
        context.load_verify_locations(folder / "ca.crt")
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _client(folder: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(folder / "ca.crt"))
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    return context


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "::1"])
def test_w2_10_the_server_is_verified_in_full_by_its_loopback_names(folder: Path, name: str) -> None:
    _, client = _handshake(_server(folder), _client(folder), name)
    assert client.version() == "TLSv1.3"


def test_another_name_is_not_vouched_for(folder: Path) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        _handshake(_server(folder), _client(folder), "elsewhere.example")


def test_another_authority_is_not_believed(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = tmp_path_factory.mktemp("other")
    ensure_certificates(other, now=NOW)
    with pytest.raises(ssl.SSLCertVerificationError):
        _handshake(_server(other), _client(folder), "localhost")


def test_w2_10_the_node_shows_a_certificate_of_the_same_authority(folder: Path) -> None:
    context = _client(folder)
    context.load_cert_chain(folder / "node.crt", folder / "node.key")
    server, _ = _handshake(_server(folder, client_certificate=True), context, "localhost")
    certificate = server.getpeercert()
    assert certificate is not None
    assert (("commonName", NODE_NAME),) in certificate["subject"]


def test_the_nodes_certificate_is_not_a_servers(folder: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "node.crt", folder / "node.key")
    with pytest.raises(ssl.SSLCertVerificationError):
        _handshake(context, _client(folder), NODE_NAME)


def test_keys_are_their_owners_alone_and_on_p256(folder: Path) -> None:
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        f"{stem}.{end}" for stem in ("ca", "server", "node") for end in ("crt", "key")
    )
    for path in folder.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    certificate = _read(folder, "server")
    assert getattr(certificate.public_key(), "curve").name == "secp256r1"  # noqa: B009


def test_nothing_is_made_anew_while_it_is_good(folder: Path) -> None:
    before = {path: path.read_bytes() for path in folder.iterdir()}
    ensure_certificates(folder, now=NOW + timedelta(days=300))
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_a_certificate_near_its_end_is_renewed_under_the_same_authority(tmp_path: Path) -> None:
    folder = tmp_path
    ensure_certificates(folder, now=NOW - timedelta(days=380))
    before = _read(folder, "server")
    authority = (folder / "ca.crt").read_bytes()
    ensure_certificates(folder, now=NOW)
    assert _read(folder, "server").serial_number != before.serial_number
    assert (folder / "ca.crt").read_bytes() == authority
    _handshake(_server(folder), _client(folder), "localhost")


def test_an_authority_near_its_end_keeps_its_key_so_old_leaves_stay_good(folder: Path) -> None:
    later = NOW + timedelta(days=3650 - 399)
    key = (folder / "ca.key").read_bytes()
    ensure_certificates(folder, now=later)
    assert (folder / "ca.key").read_bytes() == key
    assert _read(folder, "ca").not_valid_after_utc > later + timedelta(days=3000)
    assert _read(folder, "server").not_valid_after_utc < _read(folder, "ca").not_valid_after_utc


def test_new_names_make_a_new_server_certificate(folder: Path) -> None:
    ensure_certificates(folder, names=("warehouse.acme.example", "10.1.2.3"), now=NOW)
    for name in ("warehouse.acme.example", "10.1.2.3", "localhost"):
        _handshake(_server(folder), _client(folder), name)


def test_a_name_no_certificate_can_hold_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest):
        ensure_certificates(tmp_path, names=("büro.example",), now=NOW)


def test_a_lost_key_is_replaced_with_its_certificate(folder: Path) -> None:
    (folder / "server.key").unlink()
    ensure_certificates(folder, now=NOW)
    _handshake(_server(folder), _client(folder), "localhost")


def _read(folder: Path, stem: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate((folder / f"{stem}.crt").read_bytes())
