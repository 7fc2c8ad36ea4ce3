"""A home's own certificate authority, and the two certificates it issues: the server's and the node's.

ECDSA P-256 with SHA-256, X.509 v3 (RFC 5280). The server certificate names localhost and the loopback addresses, so
that `sslmode=verify-full` works; the node certificate is what the control plane asks of a node (mutual TLS).
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from governance.errors import InvalidRequest
from local.home import write_private

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")
NODE_NAME = "hatidata-node"
"""The common name by which the control plane knows a node."""

_CA_LIFE = timedelta(days=3650)
_LEAF_LIFE = timedelta(days=397)
_CA_RENEWAL = timedelta(days=400)
"""A CA this near to its end is issued anew with the same key, so leaves never outlive it."""
_LEAF_RENEWAL = timedelta(days=30)
_BACKDATE = timedelta(minutes=5)
"""Clocks of clients may be a little behind."""


@dataclass(frozen=True, slots=True)
class _Authority:
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate


def ensure_certificates(folder: Path, *, names: tuple[str, ...] = (), now: datetime) -> None:
    """Make what is missing or near its end in `folder`: `ca`, `server` and `node`, each `.crt` and `.key` (0600).

    Args:
        folder: exists already; belongs to the home.
        names: DNS names and IP addresses of the server beside the loopback ones.
        now: the present moment, aware.

    Raises:
        InvalidRequest: a name that no certificate can hold.
    """
    authority = _authority(folder, now)
    wanted = tuple(dict.fromkeys((*LOOPBACK_NAMES, *names)))
    _ensure_leaf(folder, "server", authority, now, wanted, ExtendedKeyUsageOID.SERVER_AUTH)
    _ensure_leaf(folder, "node", authority, now, (NODE_NAME,), ExtendedKeyUsageOID.CLIENT_AUTH)


def _authority(folder: Path, now: datetime) -> _Authority:
    certificate, key = _load(folder, "ca")
    if certificate and key and certificate.not_valid_after_utc - now > _CA_RENEWAL:
        return _Authority(key, certificate)
    key = key or ec.generate_private_key(ec.SECP256R1())
    name = _name("HatiData home CA")
    certificate = (
        _builder(name, name, key.public_key(), now, _CA_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(ca=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    _store(folder, "ca", certificate, key)
    return _Authority(key, certificate)


def _ensure_leaf(
    folder: Path, stem: str, authority: _Authority, now: datetime, names: tuple[str, ...], usage: x509.ObjectIdentifier
) -> None:
    san = x509.SubjectAlternativeName([_general_name(name) for name in names])
    certificate, key = _load(folder, stem)
    if (
        certificate
        and key
        and certificate.not_valid_after_utc - now > _LEAF_RENEWAL
        and certificate.issuer == authority.certificate.subject
        and _signed_by(certificate, authority.certificate)
        and certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value == san
    ):
        return
    key = ec.generate_private_key(ec.SECP256R1())
    issued = (
        _builder(_name(names[0]), authority.certificate.subject, key.public_key(), now, _LEAF_LIFE)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(ca=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        .add_extension(san, critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key()),
            critical=False,
        )
        .sign(authority.key, hashes.SHA256())
    )
    _store(folder, stem, issued, key)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime, life: timedelta
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATE)
        .not_valid_after(now + life)
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "HatiData"),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        pass
    try:
        return x509.DNSName(name)
    except ValueError:
        raise InvalidRequest("A server name cannot stand in a certificate.", advice="Use ASCII host names.") from None


def _key_usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not ca,
        key_cert_sign=ca,
        crl_sign=ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _signed_by(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(authority)
    except Exception:  # the library raises several kinds; each means the same here: issue anew
        return False
    return True


def _load(folder: Path, stem: str) -> tuple[x509.Certificate | None, ec.EllipticCurvePrivateKey | None]:
    """What stands in the folder; a pair that does not belong together counts as missing."""
    try:
        key = serialization.load_pem_private_key((folder / f"{stem}.key").read_bytes(), password=None)
        certificate = x509.load_pem_x509_certificate((folder / f"{stem}.crt").read_bytes())
    except (FileNotFoundError, ValueError):
        return None, None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or certificate.public_key() != key.public_key():
        return None, None
    return certificate, key


def _store(folder: Path, stem: str, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
    write_private(
        folder / f"{stem}.key",
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
    )
    write_private(folder / f"{stem}.crt", certificate.public_bytes(serialization.Encoding.PEM))
