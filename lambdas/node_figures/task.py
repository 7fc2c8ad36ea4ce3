"""One run: the last figures of every node that is alive, under the metrics' names, and how many nodes there are."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from governance.ports import Clock, ControlStore
from governance.register import Environment, NodeFigures
from governance.timestamp import parse
from lambdas.node_figures.settings import METRICS

FRESH_FOR = timedelta(seconds=90)
"""A node tells its figures every 10 seconds; what is older is of a node that is gone or cut off."""
NODES_MAX = 1000


@dataclass(frozen=True, slots=True)
class Told:
    """The metrics of one node, or (with an empty `node`) of an environment."""

    environment: str
    node: str
    figures: dict[str, float]


def read_figures(store: ControlStore, clock: Clock) -> list[Told]:
    """What there is to publish now: one entry per node that is alive, and one per environment.

    Raises:
        StoreUnavailable: the register cannot be read.
    """
    now, told = clock.now(), []
    with store.read() as reader:
        names = [environment.name for environment in reader.every(Environment, "")]
    for name in names:
        with store.read() as reader:
            nodes = reader.page(NodeFigures, name, after="", limit=NODES_MAX)
        alive = [each for each in nodes if now - parse(each.at) <= FRESH_FOR]
        for each in alive:
            figures = {METRICS[figure]: float(value) for figure, value in each.figures if figure in METRICS}
            if figures:
                told.append(Told(name, each.node, figures))
        told.append(Told(name, "", {"NodesAlive": float(len(alive))}))
    return told
