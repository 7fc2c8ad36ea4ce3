"""Nodes' figures read at their own door: of those that answer in time; whoever does not is missed, and keeps nobody."""

from __future__ import annotations

import http.server
import json
import math
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from aws.termination_hook import GroupHook
from engine.metrics import NodeMetrics
from governance.errors import InvalidRequest
from governance.node_ports import HookFailed
from lambdas.node_figures.settings import METRICS as AS_TOLD
from lambdas.node_probe import handler as door
from lambdas.node_probe.page import METRICS, PAGE_BYTES_MAX, address, fetch, figures
from lambdas.node_probe.settings import NodeProbeSettings
from lambdas.node_probe.task import probe


@contextmanager
def serving(body: Callable[[], bytes], status: int = 200) -> Iterator[int]:
    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = body()
            self.send_response(status if self.path == "/metrics" else 404)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            try:
                self.wfile.write(content)
            except OSError:
                return

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join(10)


def page() -> bytes:
    metrics = NodeMetrics()
    metrics.running.set(7)
    metrics.audit_lag.set(1.5)
    metrics.rulebook_age.set(math.inf)
    metrics.cache_evictions.set(12)
    return metrics.render()


def test_h10_a_nodes_own_page_gives_the_figures_that_are_watched() -> None:
    with serving(page) as port:
        found = figures(fetch("127.0.0.1", port))
    assert found == {
        "QueriesRunning": 7.0, "QueriesQueued": 0.0, "Connections": 0.0, "AuditLagSeconds": 1.5,
        "RulebookAgeSeconds": 1e9, "CacheEvictions": 12.0,
    }  # fmt: skip
    assert set(METRICS.values()) == set(AS_TOLD.values()), "the alarms are the same wherever figures come from"


def test_a_page_that_is_refused_too_long_or_no_page_says_nothing() -> None:
    with serving(page, status=500) as port:
        assert fetch("127.0.0.1", port) == ""
    with serving(lambda: b"x" * (PAGE_BYTES_MAX + 2)) as port:
        assert fetch("127.0.0.1", port) == ""
    assert figures('hatidata_connections twelve\nhatidata_connections NaN\nhatidata_connections{a="b"} 1\n') == {}


def test_a_node_that_does_not_answer_is_given_up_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        assert fetch("127.0.0.1", port, timeout_s=0.2) == ""
    assert fetch("127.0.0.1", port, timeout_s=0.2) == "", "nobody listens"


class Group:
    def __init__(self, *nodes: str) -> None:
        self.nodes = list(nodes)

    def serving(self, group: str) -> list[str]:
        assert group == "hatidata-nodes"
        return self.nodes


def test_h10_whoever_answers_is_alive_and_published() -> None:
    pages = {"i-1": page().decode(), "i-2": "", "i-3": page().decode()}
    told = probe(Group(*pages), "hatidata-nodes", pages.__getitem__)
    assert [found.get("QueriesRunning") for found in told] == [7.0, 7.0, None]
    assert told[-1] == {"NodesAlive": 2.0}
    assert probe(Group(), "hatidata-nodes", pages.__getitem__) == [{"NodesAlive": 0.0}], "nobody is told too"


def test_a_nodes_name_is_its_id_in_the_vpcs_own_zone() -> None:
    assert address("i-0123456789abcdef0", "ap-southeast-1") == "i-0123456789abcdef0.ap-southeast-1.compute.internal"
    assert address("i-0123456789abcdef0", "us-east-1") == "i-0123456789abcdef0.ec2.internal"


def grouped(*states: str) -> dict[str, Any]:
    instances = [
        {
            "InstanceId": f"i-{number}", "LifecycleState": state, "AvailabilityZone": "a", "HealthStatus": "Healthy",
            "ProtectedFromScaleIn": False,
        }
        for number, state in enumerate(states)
    ]  # fmt: skip
    return {"AutoScalingGroups": [{
        "AutoScalingGroupName": "g", "MinSize": 1, "MaxSize": 2, "DesiredCapacity": 1, "DefaultCooldown": 1,
        "AvailabilityZones": ["a"], "HealthCheckType": "ELB", "CreatedTime": "2026-11-22T00:00:00Z",
        "Instances": instances,
    }]}  # fmt: skip


def test_the_group_says_who_serves() -> None:
    client = boto3.client("autoscaling", region_name="eu-central-1", aws_access_key_id="x", aws_secret_access_key="x")
    with Stubber(client) as stubber:
        stubber.add_response("describe_auto_scaling_groups", grouped("InService", "Terminating:Wait", "Pending"))
        assert GroupHook(client).serving("g") == ["i-0"]
        stubber.add_client_error("describe_auto_scaling_groups", "Throttling")
        with pytest.raises(HookFailed):
            GroupHook(client).serving("g")


def test_the_door_writes_one_line_for_each_node(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = NodeProbeSettings("hatidata-nodes", "staging")
    assert NodeProbeSettings.from_environment(settings.environment()) == settings
    with pytest.raises(InvalidRequest, match="HATIDATA_GROUP"):
        NodeProbeSettings.from_environment({})
    for name, value in {**settings.environment(), "AWS_REGION": "eu-central-1"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(door, "GroupHook", lambda _client: Group("i-1", "i-2"))
    monkeypatch.setattr(door, "client", lambda service, region: None)
    monkeypatch.setattr(door, "fetch", lambda host: page().decode() if host.startswith("i-1.") else "")
    assert door.handler({}, None) == {"nodes": 1}
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["Environment"] for line in lines] == ["staging", "staging"]
    assert (lines[0]["QueriesRunning"], lines[1]["NodesAlive"]) == (7.0, 1.0)
