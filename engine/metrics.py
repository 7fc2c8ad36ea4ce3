"""Figures of a node for Prometheus: counts, times and states; never a name, a text or a value from a query."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)

OUTCOMES = ("succeeded", "denied", "failed", "cancelled", "timed_out", "client_gone")


class NodeMetrics:
    """The node's registry and its instruments; labels are bound once, so a statement costs a few increments."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        r = self.registry
        statements = Counter("hatidata_statements", "Statements by outcome.", ["outcome"], registry=r)
        self.statements = {name: statements.labels(name) for name in OUTCOMES}
        self.statement_seconds = Histogram(
            "hatidata_statement_seconds", "Seconds from a statement's arrival to its end.", buckets=_BUCKETS, registry=r
        )
        self.queue_seconds = Histogram(
            "hatidata_queue_seconds", "Seconds a statement waited for a slot.", buckets=_BUCKETS, registry=r
        )
        self.refusals = Counter("hatidata_refusals", "Refusals by stable code.", ["code"], registry=r)
        self.rows = Counter("hatidata_rows_returned", "Rows sent to clients.", registry=r)
        self.bytes = Counter("hatidata_bytes_returned", "Bytes of rows sent to clients.", registry=r)
        cache = Counter("hatidata_statements_by_cache", "Statements by cache status.", ["status"], registry=r)
        self.cache = {name: cache.labels(name) for name in ("hit", "partial", "miss", "none")}
        read = Counter("hatidata_bytes_read", "Bytes of tables for statements, by source.", ["source"], registry=r)
        self.bytes_from = {name: read.labels(name) for name in ("cache", "store")}
        self.connections = Gauge("hatidata_connections", "Authenticated connections.", registry=r)
        self.half_open = Gauge("hatidata_connections_half_open", "Connections not authenticated yet.", registry=r)
        self.refused_connections = Counter(
            "hatidata_connections_refused", "Connections refused, by stable code.", ["code"], registry=r
        )
        self.authentications = Counter("hatidata_authentications", "Authentications.", ["result"], registry=r)
        self.running = Gauge("hatidata_statements_running", "Statements that hold a slot.", registry=r)
        self.queued = Gauge("hatidata_statements_queued", "Statements waiting for a slot.", registry=r)
        self.resting = Gauge("hatidata_statements_resting", "Statements whose client has not asked on.", registry=r)
        self.rulebook_age = Gauge("hatidata_rulebook_age_seconds", "Seconds since it was confirmed.", registry=r)
        self.rulebook_version = Gauge("hatidata_rulebook_version", "Version of the rulebook in force.", registry=r)
        self.audit_lag = Gauge("hatidata_audit_lag_seconds", "Age of the oldest record not shipped.", registry=r)
        self.audit_spool_bytes = Gauge("hatidata_audit_spool_bytes", "Bytes in the audit spool.", registry=r)
        self.cache_bytes = Gauge("hatidata_cache_bytes", "Bytes of blocks on the cache volume.", registry=r)
        self.cache_evictions = Gauge("hatidata_cache_evictions", "Blocks thrown out of the cache.", registry=r)
        self.workers_lost = Gauge("hatidata_workers_lost", "Query processes killed or crashed.", registry=r)
        self.incidents = Counter("hatidata_incidents", "Faults that no refusal foresaw.", registry=r)

    def render(self) -> bytes:
        """The text format."""
        return generate_latest(self.registry)
