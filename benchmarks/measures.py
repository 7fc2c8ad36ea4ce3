"""What is measured, and how: in turn (A B A B ...), best and median, wall seconds and server CPU seconds."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from benchmarks import data, processes, readers
from benchmarks.wire import Client, Door


@dataclass(frozen=True)
class Server:
    """A running server and the root of its processes."""

    name: str
    door: Door
    pid: int
    table: str
    """How lineitem is called there."""


@dataclass
class Runs:
    """Repeated measurements of one thing on one server."""

    wall_s: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)
    first_ms: list[float] = field(default_factory=list)

    @property
    def best_s(self) -> float:
        """Least wall seconds."""
        return min(self.wall_s)

    @property
    def median_s(self) -> float:
        """Median wall seconds."""
        return statistics.median(self.wall_s)


def drains(servers: list[Server], make: Callable[[Client, Server], bytes], repeat: int) -> Mapping[str, Runs]:
    """A full read of lineitem from each server in turn, `repeat` times, after one that does not count."""
    found = {server.name: Runs() for server in servers}
    for turn in range(repeat + 1):
        for server in servers:
            with Client(server.door) as client:
                cpu, began = processes.cpu_s(server.pid), time.perf_counter()
                drained = client.drain(make(client, server))
                wall = time.perf_counter() - began
            if drained.rows != data.ROWS:
                raise RuntimeError(f"{server.name} sent {drained.rows} rows")
            if turn:
                runs = found[server.name]
                runs.wall_s.append(wall)
                runs.cpu_s.append(processes.cpu_s(server.pid) - cpu)
                runs.first_ms.append(drained.first_s * 1000)
    return found


def reads(servers: list[Server], reader: str, repeat: int) -> Mapping[str, Runs]:
    """The same by one of `readers.READERS`."""
    found = {server.name: Runs() for server in servers}
    for turn in range(repeat + 1):
        for server in servers:
            cpu = processes.cpu_s(server.pid)
            wall = readers.read(reader, server.door, server.table, data.ROWS)
            if turn:
                found[server.name].wall_s.append(wall)
                found[server.name].cpu_s.append(processes.cpu_s(server.pid) - cpu)
    return found


@dataclass(frozen=True)
class Latency:
    """Round trips, sorted, and the server's CPU for each."""

    ms: list[float]
    cpu_ms: float

    @property
    def p50_ms(self) -> float:
        """The median."""
        return statistics.median(self.ms)

    @property
    def p99_ms(self) -> float:
        """What 99 of 100 stay below."""
        return self.ms[int(len(self.ms) * 0.99)]


def latencies(servers: list[Server], sql: str, count: int, rounds: int = 5) -> Mapping[str, Latency]:
    """Round trips of `sql` (simple query) on one connection each, servers in turn by rounds."""
    found: dict[str, list[float]] = {server.name: [] for server in servers}
    cpu: dict[str, float] = dict.fromkeys(found, 0.0)
    clients = {server.name: Client(server.door) for server in servers}
    try:
        for server in servers:
            for _ in range(30):
                clients[server.name].answer(clients[server.name].simple(sql))
        for _ in range(rounds):
            for server in servers:
                client = clients[server.name]
                request = client.simple(sql)
                cpu[server.name] -= processes.cpu_s(server.pid)
                for _ in range(count // rounds):
                    began = time.perf_counter()
                    client.answer(request)
                    found[server.name].append((time.perf_counter() - began) * 1000)
                cpu[server.name] += processes.cpu_s(server.pid)
    finally:
        for client in clients.values():
            client.close()
    return {name: Latency(sorted(values), cpu[name] * 1000 / len(values)) for name, values in found.items()}


@dataclass(frozen=True)
class Memory:
    """Resident MB of a server before and while a result streams."""

    before_mb: float
    early_mb: float
    peak_mb: float
    wall_s: float
    rows: int


def streaming_memory(server: Server, ten_table: str) -> Memory:
    """Ten times lineitem (10,000,000 rows) from one server, memory sampled."""
    with Client(server.door) as client:
        client.drain(client.simple(f"SELECT * FROM {server.table}"))  # warm: caches filled, workers started
        before = processes.resident_mb(server.pid)
        began = time.perf_counter()
        with processes.watched_memory(server.pid) as watched:
            drained = client.drain(client.simple(f"SELECT l.* FROM {ten_table} t CROSS JOIN {server.table} l"))
        wall = time.perf_counter() - began
    early = watched.samples[: max(1, len(watched.samples) // 5)]
    return Memory(before, max(early), max(watched.samples), wall, drained.rows)


@dataclass(frozen=True)
class Idle:
    """What idle sessions cost a server, and what coming in takes."""

    each_kb: float
    connect_ms: list[float]
    """Sorted; TCP, TLS and a key that was verified before."""
    cpu_ms: float
    """Server CPU of coming in."""


def idle_sessions(server: Server, count: int) -> Idle:
    """Connect `count` clients one after another and leave them idle; the memory is the node's own process."""
    clients: list[Client] = []
    try:
        clients += [Client(server.door) for _ in range(20)]
        before, cpu = processes.resident_mb(server.pid, alone=True), processes.cpu_s(server.pid)
        took: list[float] = []
        for _ in range(count):
            began = time.perf_counter()
            clients.append(Client(server.door))
            took.append((time.perf_counter() - began) * 1000)
        cpu = processes.cpu_s(server.pid) - cpu
        grown = processes.resident_mb(server.pid, alone=True) - before
    finally:
        for client in clients:
            client.close()
    return Idle(grown * 1024 / count, sorted(took), cpu * 1000 / count)
