"""What a node is told when it starts: one frozen dataclass, units last, every limit in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_network
from pathlib import Path
from typing import TypeVar

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
    resting_max: int = 64
    """Statements whose client has rows and asks for none: so many give up their slots meanwhile, more keep theirs."""
    resting_per_key_max: int = 16


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
    rulebook_wait_s: float = 0.0
    """How long the control plane may hold back its word that nothing changed (a long poll); 0: it answers at once."""
    drain_timeout_s: float = 20.0
    require_sandbox: bool = False
    audit_ship_s: float = 1.0
    audit_durability: str = "spool"
    """`spool`: a statement is complete when its record is on the node's disk; `store`: when it is in the store."""
    audit_store_wait_s: float = 60.0
    """With `store`: how long a completion waits; then the client is told that the record is not there yet."""
    cache_bytes_max: int = 10 * 1024**3
    cache: Path | None = None
    """Where blocks and spilled rows lie: on a node the encrypted NVMe volume; None: in the home."""
    tls: Path | None = None
    """The folder of certificates and keys; None: in the home."""
    require_encrypted_cache: bool = False
    """Refuse to start when blocks and spilled rows would lie on a volume that is not encrypted."""
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
        if self.audit_durability not in ("spool", "store"):
            raise InvalidRequest("The audit's durability is `spool` or `store`.")
        if not self.control_url.startswith("https://"):
            raise InvalidRequest("The control plane is reached over https:// only.")

    @property
    def tls_dir(self) -> Path:
        """`ca.crt`, `server.crt`, `server.key`, `node.crt`, `node.key`; and `signing.pub`, the rulebook's check."""
        return self.tls or self.home / "tls"

    @property
    def node_dir(self) -> Path:
        """The node's own state: `rulebook.json`, `spool/`; at home also `cache/` and `spill/`."""
        return self.home / "node"

    @property
    def cache_dir(self) -> Path:
        """`cache/` and `spill/`: what holds rows of the customer's tables, and may be lost at any moment."""
        return self.cache or self.node_dir


# ---------------------------------------------------------------- a node in AWS

HOME = "HATIDATA_HOME"
DATA = "HATIDATA_DATA"
ENVIRONMENT = "HATIDATA_ENVIRONMENT"
CONTROL_URL = "HATIDATA_CONTROL_URL"
LISTEN = "HATIDATA_LISTEN"
PORT = "HATIDATA_PORT"
METRICS_LISTEN = "HATIDATA_METRICS_LISTEN"
METRICS_PORT = "HATIDATA_METRICS_PORT"
PROXY_FROM = "HATIDATA_PROXY_FROM"
CACHE = "HATIDATA_CACHE"
CACHE_BYTES_MAX = "HATIDATA_CACHE_BYTES_MAX"
REQUIRE_ENCRYPTED_CACHE = "HATIDATA_REQUIRE_ENCRYPTED_CACHE"
TLS = "HATIDATA_TLS"
QUERIES_MAX = "HATIDATA_QUERIES_MAX"
DRAIN_S = "HATIDATA_DRAIN_S"
AUDIT_SHIP_S = "HATIDATA_AUDIT_SHIP_S"
AUDIT_DURABILITY = "HATIDATA_AUDIT_DURABILITY"
REGION = "HATIDATA_REGION"
AUDIT_BUCKET = "HATIDATA_AUDIT_BUCKET"
IDENTITY_KEY = "HATIDATA_IDENTITY_KEY"
DATA_KEY = "HATIDATA_DATA_KEY"

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class AwsNodeSettings:
    """A node in AWS: what every node is told, and where its audit, its identity and its keys lie.

    The instance profile behind it grants exactly s3:GetObject and s3:ListBucket on the data bucket, s3:PutObject on the
    audit bucket and kms:Decrypt on the customer's key (claim W6.4): nothing here needs more.
    """

    node: NodeSettings
    region: str
    audit_bucket: str
    identity_key: str
    """The object of the data bucket that holds the node's certificates and mask key, sealed under `data_key`."""
    data_key: str
    """ARN of the customer's KMS key."""

    def __post_init__(self) -> None:
        """Refuse what cannot be meant.

        Raises:
            InvalidRequest: data that is no bucket, or a name that is missing.
        """
        if not self.node.data.startswith("s3://"):
            raise InvalidRequest(f"{DATA} is written s3://bucket/prefix on a node in AWS.")
        named = (self.region, self.audit_bucket, self.identity_key, self.data_key)
        for name, value in zip((REGION, AUDIT_BUCKET, IDENTITY_KEY, DATA_KEY), named, strict=True):
            if not value:
                raise InvalidRequest(f"{name} is not set.")

    @property
    def data_bucket(self) -> str:
        """The bucket's name alone."""
        return self.node.data.removeprefix("s3://").partition("/")[0]

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> AwsNodeSettings:
        """The settings in these variables, as `environment` spells them.

        Raises:
            InvalidRequest: a variable is missing, or is not what it should be.
        """

        def given(name: str, read: Callable[[str], _T], default: _T | None = None) -> _T:
            text = environment.get(name, "")
            if not text and default is not None:
                return default
            if not text:
                raise InvalidRequest(f"{name} is not set.", advice="See docs/deploy.md.")
            try:
                return read(text)
            except ValueError:
                raise InvalidRequest(f"{name} is not what it should be.", advice="See docs/deploy.md.") from None

        running_max = given(QUERIES_MAX, _positive, QueryLimits().running_max)
        node = NodeSettings(
            home=given(HOME, Path),
            data=given(DATA, str),
            environment=given(ENVIRONMENT, str),
            control_url=given(CONTROL_URL, str),
            listen=given(LISTEN, str, "0.0.0.0"),  # noqa: S104  behind a load balancer, in private subnets
            port=given(PORT, int, 5439),
            metrics_listen=given(METRICS_LISTEN, str, "0.0.0.0"),  # noqa: S104  as above
            metrics_port=given(METRICS_PORT, int, 9090),
            proxy_from=tuple(part for part in environment.get(PROXY_FROM, "").split(",") if part),
            drain_timeout_s=given(DRAIN_S, _seconds, 120.0),
            require_sandbox=True,
            audit_ship_s=given(AUDIT_SHIP_S, _seconds, 60.0),
            audit_durability=given(AUDIT_DURABILITY, str, "spool"),
            cache_bytes_max=given(CACHE_BYTES_MAX, _positive, 10 * 1024**3),
            cache=given(CACHE, Path),
            tls=given(TLS, Path),
            require_encrypted_cache=given(REQUIRE_ENCRYPTED_CACHE, _yes_or_no, True),
            queries=QueryLimits(running_max=running_max),
        )
        return cls(
            node=node,
            region=given(REGION, str),
            audit_bucket=given(AUDIT_BUCKET, str),
            identity_key=given(IDENTITY_KEY, str),
            data_key=given(DATA_KEY, str),
        )

    def environment(self) -> dict[str, str]:
        """The variables that say the same: what the boot files write for the service. None of them is a secret."""
        node = self.node
        return {
            HOME: str(node.home),
            DATA: node.data,
            ENVIRONMENT: node.environment,
            CONTROL_URL: node.control_url,
            LISTEN: node.listen,
            PORT: str(node.port),
            METRICS_LISTEN: node.metrics_listen,
            METRICS_PORT: str(node.metrics_port),
            PROXY_FROM: ",".join(node.proxy_from),
            DRAIN_S: str(node.drain_timeout_s),
            AUDIT_SHIP_S: str(node.audit_ship_s),
            AUDIT_DURABILITY: node.audit_durability,
            CACHE_BYTES_MAX: str(node.cache_bytes_max),
            CACHE: str(node.cache_dir),
            TLS: str(node.tls_dir),
            REQUIRE_ENCRYPTED_CACHE: "yes" if node.require_encrypted_cache else "no",
            QUERIES_MAX: str(node.queries.running_max),
            REGION: self.region,
            AUDIT_BUCKET: self.audit_bucket,
            IDENTITY_KEY: self.identity_key,
            DATA_KEY: self.data_key,
        }


def _positive(text: str) -> int:
    number = int(text)
    if number <= 0:
        raise ValueError
    return number


def _seconds(text: str) -> float:
    number = float(text)
    if not 0 < number < 86_400:
        raise ValueError
    return number


def _yes_or_no(text: str) -> bool:
    if text not in ("yes", "no"):
        raise ValueError
    return text == "yes"
