"""TLS as we speak it: version 1.3 only, three suites (claims W2.8, W2.9), mutual towards the control plane (W2.10)."""

from __future__ import annotations

import ssl
from pathlib import Path

SUITES = frozenset({"TLS_AES_256_GCM_SHA384", "TLS_AES_128_GCM_SHA256", "TLS_CHACHA20_POLY1305_SHA256"})
ALPN = "postgresql"


class TlsMisconfigured(RuntimeError):
    """This machine's OpenSSL would offer something else than what is promised."""


def server_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """The context of the listener on 5439.

    Raises:
        TlsMisconfigured: OpenSSL is configured to other suites than the three.
        OSError: a file cannot be read.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _only_tls13(context)
    context.set_alpn_protocols([ALPN])
    context.num_tickets = 0
    context.load_cert_chain(certificate, key)
    return context


def client_context(authority: Path, certificate: Path, key: Path) -> ssl.SSLContext:
    """The context in which a node calls the control plane: our authority alone, with the node's own certificate.

    Raises:
        TlsMisconfigured: as above.
        OSError: a file cannot be read.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    _only_tls13(context)
    context.load_verify_locations(authority)
    context.load_cert_chain(certificate, key)
    return context


def _only_tls13(context: ssl.SSLContext) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.maximum_version = ssl.TLSVersion.TLSv1_3
    offered = {cipher["name"] for cipher in context.get_ciphers() if cipher["protocol"] == "TLSv1.3"}
    if offered != SUITES:
        raise TlsMisconfigured("OpenSSL's TLS 1.3 suites are not the three that are promised.")
