"""The same decisions about people on the other store: what tests of this folder show on SQLite holds on DynamoDB."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from aws.control_table import DynamoControlStore
from lambdas.control_plane.bootstrap import bootstrap
from lambdas.control_plane.handler import make_handler
from local.signing import HomeSigner
from tests.control_plane import test_access_reviews, test_elevations, test_invitations, test_usage
from tests.control_plane.conftest import Api, RecordedSearch, StoppedClock
from tests.support.aws import control_stores


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    with control_stores() as open_:
        store, clock, search = open_(), StoppedClock(), RecordedSearch()
        key = bootstrap(
            store,
            environment="production",
            organization_id="1",
            organization_name="Acme",
            owner_email="olga@acme.example",
            clock=clock,
        )
        handler = make_handler(store, clock, queries=search, signer=HomeSigner(tmp_path))
        yield Api(handler, key, store, clock, search, folder=tmp_path)


@pytest.mark.parametrize(
    "shown",
    [
        test_elevations.test_h15_5_suspension_demotion_and_removal_end_what_is_lent,
        test_invitations.test_an_address_is_invited_once_at_a_time_and_a_user_not_again,
        test_access_reviews.test_h15_6_the_next_quarter_opens_by_schedule_and_says_what_has_changed,
        test_usage.test_quotas_are_set_told_to_nodes_and_counted_over_all_of_them,
    ],
)
def test_what_holds_on_sqlite_holds_on_dynamodb(api: Api, shown: Callable[[Api], None]) -> None:
    assert isinstance(api.store, DynamoControlStore)
    shown(api)
