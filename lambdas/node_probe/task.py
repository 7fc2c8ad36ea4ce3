"""One run: every node of the group is asked at once; who answers is alive, and what it says is published."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from governance.node_ports import NodeGroup
from lambdas.node_probe.page import figures

NODES_MAX = 200
"""Twice what a deployment may have (`cdk_app.settings`)."""
AT_ONCE = 25


def probe(group: NodeGroup, name: str, page_of: Callable[[str], str]) -> list[dict[str, float]]:
    """The figures of each node that answers, and last how many did; `page_of` gives an instance's page or nothing.

    Raises:
        HookFailed: the group cannot be asked.
    """
    nodes = group.serving(name)[:NODES_MAX]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        told = [found for found in map(figures, pool.map(page_of, nodes)) if found]
    return [*told, {"NodesAlive": float(len(told))}]
