"""What nodes tell the control plane becomes metrics; a node that fell silent is not published as if it lived."""

from __future__ import annotations

import json

from cdk_app.figures import FIGURES
from lambdas.figures import metrics_line
from lambdas.node_figures.settings import METRICS, NodeFiguresSettings
from lambdas.node_figures.task import Told, read_figures
from tests.control_plane.conftest import Api


def tell(api: Api, node: str, **figures: float) -> None:
    body = {"environment": "production", "node": node, "figures": figures}
    assert api.node("PUT", "/v1/nodes/figures", body).status == 200


def of(told: list[Told], environment: str = "production") -> dict[str, dict[str, float]]:
    return {each.node: each.figures for each in told if each.environment == environment}


def test_each_node_that_lives_is_published_under_the_names_of_the_metrics(api: Api) -> None:
    tell(api, "node-a", running=7, queued=1, audit_lag_s=0.5, cache_blocks=9)
    told = of(read_figures(api.store, api.clock))
    assert [figures for node, figures in told.items() if node] == [
        {"QueriesRunning": 7.0, "QueriesQueued": 1.0, "AuditLagSeconds": 0.5}
    ]
    assert told[""] == {"NodesAlive": 1.0}


def test_a_node_that_fell_silent_is_left_out_and_missed(api: Api) -> None:
    tell(api, "node-a", running=7)
    api.clock.forward(seconds=91)
    assert of(read_figures(api.store, api.clock)) == {"": {"NodesAlive": 0.0}}


def test_h10_a_line_is_what_cloudwatch_takes_for_metrics(api: Api) -> None:
    tell(api, "node-a", running=7)
    (told,) = [each for each in read_figures(api.store, api.clock) if each.figures.get("QueriesRunning")]
    line = json.loads(metrics_line(told.figures, told.environment, api.clock.now()))
    (directive,) = line["_aws"]["CloudWatchMetrics"]
    assert directive["Dimensions"] == [["Environment"]]
    assert {each["Name"] for each in directive["Metrics"]} <= set(line)
    assert line["Environment"] == "production"


def test_every_figure_that_is_watched_is_published_by_somebody() -> None:
    """An alarm on a metric that nobody publishes never rings."""
    from lambdas.access_review.task import Report as AccessReview
    from lambdas.audit_tiering.task import Summary as Tiering
    from lambdas.chain_checkpoint.task import Report as Checkpoint
    from lambdas.key_expiry.task import Report as Expiry
    from lambdas.key_rotation.task import Report as Rotation
    from lambdas.luks_erase.task import Summary as Ends
    from lambdas.webhook_delivery.task import Report as Delivery

    published = {*METRICS.values(), "NodesAlive"}
    for report in (AccessReview(), Tiering(), Checkpoint(), Expiry(), Rotation(), Ends(), Delivery()):
        published |= set(report.figures())
    assert {watched.figure for watched in FIGURES} - published == set()


def test_the_settings_say_what_they_were_told() -> None:
    settings = NodeFiguresSettings(table="hatidata-control")
    assert NodeFiguresSettings.from_environment(settings.environment()) == settings
