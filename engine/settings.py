"""What a node is told when it starts: one frozen dataclass, units last, every limit in it."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import ip_network
from pathlib import Path

from governance.errors import InvalidRequest


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """What a client may take before and after it is known."""

    connections_max: int = 5000
    half_open_max: int = 512
    """Connections that have not authenticated yet."""
    half_open_per_source_max: int = 256
    handshake_timeout_s: float = 10.0
    authentication_timeout_s: float = 20.0
    failures_per_source_max: int = 100
    """Failed authentications of one address within `failures_window_s`; then unknown keys cost nothing and fail."""
    failures_window_s: float = 60.0
    write_timeout_s: float = 60.0
    """How long a client may take nothing of what is sent."""
    write_buffer_bytes_max: int = 1024 * 1024
    statements_max: int = 2000
    """Prepared statements of one session."""
    portals_max: int = 256
    prepared_bytes_max: int = 16 * 1024 * 1024
    statements_per_query_max: int = 1000
    argon2_workers: int = 2
    argon2_queue_max: int = 64
    verified_ttl_s: float = 60.0


@dataclass(frozen=True, slots=True)
class QueryLimits:
    """Claim W1.11 and what stands behind it."""

    running_max: int = 100
    queued_max: int = 1000
    wait_s: float = 30.0
    per_key_max: int = 0
    """Running at once under one key; 0 is no limit of its own."""
    per_organization_max: int = 0


@dataclass(frozen=True, slots=True)
class NodeSettings:
    """A node of one environment, its home, its data and its ports (0: any free one)."""

    home: Path
    data: str
    """A folder, or `s3://bucket/prefix`."""
    environment: str
    control_url: str
    """`https://host:port` of the control plane."""
    listen: str = "127.0.0.1"
    port: int = 5439
    metrics_listen: str = "127.0.0.1"
    metrics_port: int = 9090
    proxy_from: tuple[str, ...] = ()
    """Networks whose connections begin with a PROXY protocol version 2 header."""
    rulebook_poll_s: float = 1.0
    drain_timeout_s: float = 20.0
    require_sandbox: bool = False
    audit_ship_s: float = 1.0
    cache_bytes_max: int = 10 * 1024**3
    connections: ConnectionLimits = field(default_factory=ConnectionLimits)
    queries: QueryLimits = field(default_factory=QueryLimits)

    def __post_init__(self) -> None:
        """Refuse settings that cannot be meant.

        Raises:
            InvalidRequest: a port, a network or a URL that is none.
        """
        for port in (self.port, self.metrics_port):
            if not 0 <= port <= 65535:
                raise InvalidRequest("A port is a number from 0 to 65535.")
        for text in self.proxy_from:
            try:
                ip_network(text)
            except ValueError:
                raise InvalidRequest(
                    "A network of --proxy-from is not a CIDR.", advice="Write it as 10.0.0.0/8."
                ) from None
        if not self.control_url.startswith("https://"):
            raise InvalidRequest("The control plane is reached over https:// only.")

    @property
    def tls_dir(self) -> Path:
        """`ca.crt`, `server.crt`, `server.key`, `node.crt`, `node.key`."""
        return self.home / "tls"

    @property
    def node_dir(self) -> Path:
        """The node's own state: `rulebook.json`, `spool/`, `cache/`, `spill/`."""
        return self.home / "node"
