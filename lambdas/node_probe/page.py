"""A node's page of figures: fetched by plain HTTP inside the VPC, and read for what is watched."""

from __future__ import annotations

import http.client
import math

from lambdas.node_probe.settings import METRICS_PORT

TIMEOUT_S = 3.0
PAGE_BYTES_MAX = 1024 * 1024
METRICS = {
    "hatidata_statements_running": "QueriesRunning",
    "hatidata_statements_queued": "QueriesQueued",
    "hatidata_connections": "Connections",
    "hatidata_audit_lag_seconds": "AuditLagSeconds",
    "hatidata_rulebook_age_seconds": "RulebookAgeSeconds",
    "hatidata_cache_evictions": "CacheEvictions",
}
"""Figure of the page (`engine.metrics`) -> metric: those that `lambdas.node_figures` publishes as nodes tell them."""
_FIGURE_MAX = 1e9
"""CloudWatch takes no infinity, which a node without a rulebook tells as its age."""


def address(instance_id: str, region: str) -> str:
    """The name under which the VPC's resolver knows the instance (EC2 User Guide, resource-based hostnames)."""
    return f"{instance_id}.{'ec2.internal' if region == 'us-east-1' else f'{region}.compute.internal'}"


def fetch(host: str, port: int = METRICS_PORT, timeout_s: float = TIMEOUT_S) -> str:
    """The page; empty when the node does not give one in time."""
    connection = http.client.HTTPConnection(host, port, timeout=timeout_s)
    try:
        connection.request("GET", "/metrics")
        answer = connection.getresponse()
        body = answer.read(PAGE_BYTES_MAX + 1)
        return body.decode("utf-8", "replace") if answer.status == 200 and len(body) <= PAGE_BYTES_MAX else ""
    except (OSError, http.client.HTTPException):
        return ""
    finally:
        connection.close()


def figures(page: str) -> dict[str, float]:
    """The watched figures of a page in Prometheus' text format; what is no number is left out."""
    found: dict[str, float] = {}
    for line in page.splitlines():
        name, _, value = line.partition(" ")
        if name in METRICS:
            try:
                number = float(value)
            except ValueError:
                continue
            if not math.isnan(number):
                found[METRICS[name]] = max(-_FIGURE_MAX, min(number, _FIGURE_MAX))
    return found
