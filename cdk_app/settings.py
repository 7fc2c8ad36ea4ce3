"""What a deployment is told: a frozen dataclass per subject, read from one TOML file, refused when it cannot be meant.

Nothing is looked up while synthesizing: whatever AWS would have to be asked for stands in the file
(`cdk_app/deployment.example.toml` explains each line).
"""

from __future__ import annotations

import dataclasses
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv4Network, ip_network
from pathlib import Path
from typing import Any, TypeVar

from governance.errors import InvalidRequest

S = TypeVar("S")

_ACCOUNT = re.compile(r"\A[0-9]{12}\Z")
_REGION = re.compile(r"\A[a-z]{2}(?:-[a-z]+)+-[0-9]\Z")
_NAME = re.compile(r"\A[a-z][a-z0-9-]{2,19}\Z")
_BUCKET = re.compile(r"\A[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]\Z")
_HOST = re.compile(r"\A(?=.{4,253}\Z)(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63}\Z")
_INSTANCE = re.compile(r"\A[a-z][a-z0-9-]*\.[a-z0-9]+\Z")
_GRAVITON_NVME = re.compile(r"\A[a-z]+[0-9]+gd?[a-z]*\.|\Ai[a-z0-9]*g[a-z]*\.")
_SERVICE_NAME = re.compile(r"\Acom\.amazonaws\.vpce\.[a-z0-9-]+\.vpce-svc-[0-9a-f]{8,17}\Z")
_PREFIX = re.compile(r"\A(?:[A-Za-z0-9_.=-]+/)*\Z")
"""Fewer signs than S3 takes: nodes are told it in a file that a shell reads too (`cdk_app.node_files`)."""

CLIENT_PORT = 5439
METRICS_PORT = 9090
ADMIN_PORT = 8080
"""The control plane for holders of a bearer key."""
NODE_PORT = 8443
"""The control plane for nodes, by mutual TLS."""


class ControlPlaneMode(StrEnum):
    """Where the control plane runs."""

    OWN = "own"
    """In this account: functions, load balancers and the endpoint service are created."""
    ELSEWHERE = "elsewhere"
    """In another account: nodes reach it by the name of its endpoint service; data, audit and its search stay here."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where it is deployed and what it is called."""

    account: str
    region: str
    zones: tuple[str, ...]
    """Two or more availability zones of the region, by name."""
    name: str = "hatidata"
    """Prefix of every name; two deployments in one account differ by it."""
    environment: str = "production"

    def __post_init__(self) -> None:
        _match(_ACCOUNT, self.account, "place.account", "an account id has 12 digits")
        _match(_REGION, self.region, "place.region", "write it as ap-southeast-1")
        _match(_NAME, self.name, "place.name", "3 to 20 lower-case letters, digits and hyphens")
        _match(_NAME, self.environment, "place.environment", "3 to 20 lower-case letters, digits and hyphens")
        if len(set(self.zones)) < 2 or len(set(self.zones)) != len(self.zones):
            raise _wrong("place.zones", "two or more different zones are needed (claim W7.1)")
        for zone in self.zones:
            if not re.fullmatch(re.escape(self.region) + "[a-z]", zone):
                raise _wrong("place.zones", f"every zone lies in {self.region}")


@dataclass(frozen=True, slots=True)
class Network:
    """The VPC, and who may come in."""

    client_cidrs: tuple[str, ...]
    """Networks whose PostgreSQL clients are admitted to port 5439 (claim W1.8)."""
    monitoring_cidrs: tuple[str, ...]
    """Networks that may read port 9090 (claim W1.9)."""
    admin_cidrs: tuple[str, ...]
    """Networks that may reach the control plane's API on port 8080 (claim H9)."""
    s3_prefix_list: str
    """Id of the region's managed prefix list of S3: security groups let nodes out to nothing wider."""
    dynamodb_prefix_list: str
    cidr: str = "10.80.0.0/16"
    """Of the VPC that is created; of no meaning when `vpc_id` is given."""
    vpc_id: str = ""
    """An existing VPC; then `subnet_ids` and `route_table_ids` name its isolated subnets, one per zone."""
    vpc_cidr: str = ""
    """The existing VPC's range."""
    subnet_ids: tuple[str, ...] = ()
    route_table_ids: tuple[str, ...] = ()
    webhook_cidrs: tuple[str, ...] = ()
    """Private networks in which webhooks' receivers listen on port 443."""
    webhooks_outside: bool = False
    """Deliver webhooks from outside the VPC, to public addresses: the one function that then runs there holds no data
    of the lake or the audit. Without this and without `webhook_cidrs` webhooks wait and are not delivered."""
    client_principals: tuple[str, ...] = ()
    """ARNs that may connect to the endpoint service on 5439 from other VPCs."""

    def __post_init__(self) -> None:
        for label in ("client_cidrs", "monitoring_cidrs", "admin_cidrs"):
            cidrs = getattr(self, label)
            if not cidrs:
                raise _wrong(f"network.{label}", "name at least one network")
            for cidr in cidrs:
                network = _cidr(f"network.{label}", cidr)
                if network.prefixlen < 8:
                    raise _wrong(f"network.{label}", "a network wider than /8 is no allow-list")
        for label in ("s3_prefix_list", "dynamodb_prefix_list"):
            _match(re.compile(r"\Apl-[0-9a-f]{8,17}\Z"), getattr(self, label), f"network.{label}", "write it as pl-...")
        for cidr in self.webhook_cidrs:
            if not _cidr("network.webhook_cidrs", cidr).is_private:
                raise _wrong("network.webhook_cidrs", "private networks; for public receivers set webhooks_outside")
        if self.webhook_cidrs and self.webhooks_outside:
            raise _wrong("network.webhooks_outside", "receivers are either inside or outside")
        if not 16 <= _cidr("network.cidr", self.cidr).prefixlen <= 24:
            raise _wrong("network.cidr", "a VPC is between /16 and /24 here")
        given = (bool(self.vpc_id), bool(self.vpc_cidr), bool(self.subnet_ids), bool(self.route_table_ids))
        if any(given) and not all(given):
            raise _wrong("network.vpc_id", "an existing VPC needs vpc_id, vpc_cidr, subnet_ids and route_table_ids")
        if self.vpc_id:
            _match(re.compile(r"\Avpc-[0-9a-f]{8,17}\Z"), self.vpc_id, "network.vpc_id", "write it as vpc-...")
            _cidr("network.vpc_cidr", self.vpc_cidr)
        for principal in self.client_principals:
            _arn("network.client_principals", principal, "iam")


@dataclass(frozen=True, slots=True)
class Data:
    """The lake and the audit."""

    bucket: str = ""
    """An existing bucket of the customer's; empty: one is created."""
    key_arn: str = ""
    """The customer-managed key an existing bucket is encrypted with; a created bucket gets one of its own."""
    prefix: str = ""
    """Where the tables lie in the bucket; empty or ending in a slash."""
    audit_retention_years: int = 7
    """Claim W5.2 says seven; more is allowed, less is not."""

    def __post_init__(self) -> None:
        if self.bucket:
            _match(_BUCKET, self.bucket, "data.bucket", "not a bucket's name")
        if bool(self.bucket) != bool(self.key_arn):
            raise _wrong("data.key_arn", "an existing bucket and its customer-managed key are given together (W2.4)")
        if self.key_arn:
            _arn("data.key_arn", self.key_arn, "kms")
            if ":key/" not in self.key_arn:
                raise _wrong("data.key_arn", "name the key itself, not an alias")
        _match(_PREFIX, self.prefix, "data.prefix", "a folder path that ends in a slash")
        if not 7 <= self.audit_retention_years <= 100:
            raise _wrong("data.audit_retention_years", "7 to 100")

    @property
    def audit_retention_days(self) -> int:
        """At least so many calendar years in days: seven hold at most two leap days."""
        return self.audit_retention_years * 365 + -(-self.audit_retention_years // 4)


@dataclass(frozen=True, slots=True)
class Nodes:
    """The query nodes."""

    instance_type: str = "r8gd.2xlarge"
    """Graviton with NVMe instance storage (a type ending in `gd`, or of the i family)."""
    nodes_min: int = 2
    nodes_max: int = 6
    queries_per_node: int = 60
    """Running queries per node that scaling aims at; a node runs at most 100 at once (claim W1.11)."""
    root_gb: int = 64
    """The encrypted EBS volume that holds the system and the audit spool."""
    ami_id: str = ""
    """The customer's own image; empty: the image pipeline bakes one."""
    drain_timeout_s: int = 300
    """How long a terminating node may finish queries and ship its audit spool."""

    def __post_init__(self) -> None:
        _match(_INSTANCE, self.instance_type, "nodes.instance_type", "not an instance type")
        family = self.instance_type.split(".")[0]
        if not _GRAVITON_NVME.match(self.instance_type) or not (family.endswith("gd") or family.startswith("i")):
            raise _wrong("nodes.instance_type", "a Graviton type with NVMe instance storage, such as r8gd.2xlarge")
        if not 1 <= self.nodes_min <= self.nodes_max <= 100:
            raise _wrong("nodes.nodes_min", "1 <= nodes_min <= nodes_max <= 100")
        if not 1 <= self.queries_per_node <= 100:
            raise _wrong("nodes.queries_per_node", "1 to 100")
        if not 32 <= self.root_gb <= 1024:
            raise _wrong("nodes.root_gb", "32 to 1024")
        if self.ami_id:
            _match(re.compile(r"\Aami-[0-9a-f]{8,17}\Z"), self.ami_id, "nodes.ami_id", "write it as ami-...")
        if not 30 <= self.drain_timeout_s <= 3600:
            raise _wrong("nodes.drain_timeout_s", "30 to 3600")


@dataclass(frozen=True, slots=True)
class ControlPlane:
    """The control plane and how it is reached."""

    domain: str
    """The name that its certificate carries and nodes call; a private zone answers for it inside the VPC."""
    mode: ControlPlaneMode = ControlPlaneMode.OWN
    certificate_arn: str = ""
    """Own: the ACM certificate of `domain`."""
    trust_bucket: str = ""
    """Own: the bucket that holds `trust_key`, the PEM bundle of the authorities that sign nodes' certificates."""
    trust_key: str = ""
    service_name: str = ""
    """Elsewhere: `com.amazonaws.vpce.<region>.vpce-svc-...`."""
    node_principals: tuple[str, ...] = ()
    """Own: ARNs in other accounts whose nodes may connect to the endpoint service."""

    def __post_init__(self) -> None:
        _match(_HOST, self.domain, "control_plane.domain", "a host name in lower case")
        if self.mode is ControlPlaneMode.OWN:
            _arn("control_plane.certificate_arn", self.certificate_arn, "acm")
            _match(_BUCKET, self.trust_bucket, "control_plane.trust_bucket", "not a bucket's name")
            if not self.trust_key.endswith(".pem"):
                raise _wrong("control_plane.trust_key", "the object's key, ending in .pem")
            if self.service_name:
                raise _wrong("control_plane.service_name", "only for a control plane elsewhere")
        else:
            _match(_SERVICE_NAME, self.service_name, "control_plane.service_name", "com.amazonaws.vpce.<region>....")
            if self.certificate_arn or self.trust_bucket or self.trust_key or self.node_principals:
                raise _wrong("control_plane.mode", "a control plane elsewhere has its certificates there")
        for principal in self.node_principals:
            _arn("control_plane.node_principals", principal, "iam")


@dataclass(frozen=True, slots=True)
class Safety:
    """Who may break the glass, and who is told."""

    break_glass_role_arn: str
    """The one role that may bypass retention or schedule the deletion of a key; guard it with MFA."""
    alarm_emails: tuple[str, ...] = ()
    """Addresses subscribed to the alarm topic; each confirms by itself."""

    def __post_init__(self) -> None:
        _arn("safety.break_glass_role_arn", self.break_glass_role_arn, "iam")
        if ":role/" not in self.break_glass_role_arn:
            raise _wrong("safety.break_glass_role_arn", "a role, not a user or the root")
        for email in self.alarm_emails:
            _match(re.compile(r"\A[^@\s]{1,64}@[^@\s]{1,255}\Z"), email, "safety.alarm_emails", "not an address")


@dataclass(frozen=True, slots=True)
class Deployment:
    """The whole of a deployment's settings."""

    place: Place
    network: Network
    control_plane: ControlPlane
    safety: Safety
    data: Data = field(default_factory=Data)
    nodes: Nodes = field(default_factory=Nodes)

    def __post_init__(self) -> None:
        if self.network.vpc_id and not (
            len(self.network.subnet_ids) == len(self.network.route_table_ids) == len(self.place.zones)
        ):
            raise _wrong("network.subnet_ids", "one subnet and one route table per zone, in the order of the zones")
        for label, arn in (
            ("safety.break_glass_role_arn", self.safety.break_glass_role_arn),
            ("data.key_arn", self.data.key_arn),
        ):
            if arn and arn.split(":")[4] != self.place.account:
                raise _wrong(label, "it lies in the account that is deployed to")
        for label, arn in (
            ("data.key_arn", self.data.key_arn),
            ("certificate_arn", self.control_plane.certificate_arn),
        ):
            if arn and arn.split(":")[3] != self.place.region:
                raise _wrong(label, "it lies in the region that is deployed to (claim W1.5)")

    @property
    def own_control_plane(self) -> bool:
        """Whether the control plane is part of this deployment."""
        return self.control_plane.mode is ControlPlaneMode.OWN

    @property
    def data_bucket(self) -> str:
        """The name of the bucket the lake lies in."""
        return self.data.bucket or self.bucket("data")

    def bucket(self, purpose: str) -> str:
        """The name of a bucket that is created: known before it exists, so that key policies can name it."""
        return f"{self.place.name}-{purpose}-{self.place.account}-{self.place.region}"

    def name(self, purpose: str) -> str:
        """The name of a thing of this deployment."""
        return f"{self.place.name}-{purpose}"


def read_deployment(path: Path) -> Deployment:
    """The settings in a TOML file.

    Raises:
        InvalidRequest: the file cannot be read, or does not say what it must, or says what cannot be meant.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        raise InvalidRequest(f"The deployment's settings cannot be read: {path.name}.") from None
    except tomllib.TOMLDecodeError as error:
        raise InvalidRequest(f"{path.name} is not TOML: {error}.") from None
    return deployment_of(document)


def deployment_of(document: Mapping[str, Any]) -> Deployment:
    """The settings in a document of tables and values.

    Raises:
        InvalidRequest: an unknown or missing name, a wrong type, or a value that cannot be meant.
    """
    parts: dict[str, type[Any]] = {
        "place": Place, "network": Network, "data": Data, "nodes": Nodes,
        "control_plane": ControlPlane, "safety": Safety,
    }  # fmt: skip
    for name in document:
        if name not in parts:
            raise _wrong(name, f"there is no such table; there are {', '.join(parts)}")
    return Deployment(**{name: _part(name, kind, document.get(name, {})) for name, kind in parts.items()})


def _part(table: str, kind: type[S], values: Any) -> S:
    if not isinstance(values, Mapping):
        raise _wrong(table, "a table is expected")
    fields = {item.name: item for item in dataclasses.fields(kind)}  # type: ignore[arg-type]
    given: dict[str, Any] = {}
    for name, value in values.items():
        if name not in fields:
            raise _wrong(f"{table}.{name}", f"there is no such setting; there are {', '.join(fields)}")
        given[name] = _value(f"{table}.{name}", str(fields[name].type), value)
    for name, item in fields.items():
        if name not in given and item.default is dataclasses.MISSING:
            raise _wrong(f"{table}.{name}", "it must be given")
    return kind(**given)


def _value(label: str, kind: str, value: Any) -> Any:
    match kind:
        case "str" if isinstance(value, str):
            return value
        case "bool" if isinstance(value, bool):
            return value
        case "int" if isinstance(value, int) and not isinstance(value, bool):
            return value
        case "tuple[str, ...]" if isinstance(value, list) and all(isinstance(item, str) for item in value):
            return tuple(value)
        case "ControlPlaneMode" if value in set(ControlPlaneMode):
            return ControlPlaneMode(value)
    raise _wrong(label, "a value of another type is expected")


def _match(pattern: re.Pattern[str], text: str, label: str, advice: str) -> None:
    if not pattern.match(text):
        raise _wrong(label, advice)


def _arn(label: str, text: str, service: str) -> None:
    if not re.fullmatch(rf"arn:aws:{service}:[a-z0-9-]*:[0-9]{{12}}:[A-Za-z0-9+=,.@_/:-]+", text):
        raise _wrong(label, f"an ARN of {service} is expected")


def _cidr(label: str, text: str) -> IPv4Network:
    try:
        network = ip_network(text)
    except ValueError:
        raise _wrong(label, "write networks as 10.0.0.0/8") from None
    if not isinstance(network, IPv4Network):
        raise _wrong(label, "IPv4 networks only: the VPC has no IPv6")
    return network


def _wrong(label: str, advice: str) -> InvalidRequest:
    return InvalidRequest(
        f"The deployment's setting {label} cannot be used.", advice=f"{advice[0].upper()}{advice[1:]}."
    )
