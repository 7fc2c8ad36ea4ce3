"""One run: every organization has its review of the quarter, and what was lent and is over says so (H15.4, H15.6).

A lent role ends by the clock everywhere; marking it is for the chain, the webhooks and the lists. Whatever is done, a
second run finds it done.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from governance.access_report import Holdings, opened
from governance.access_review import AccessReview, ReviewLine, period_of, review_id
from governance.admin_event import INSTALLATION, Attribution
from governance.elevation import Elevation, elevation_event
from governance.errors import Conflict, NotFound, Refusal
from governance.ports import Change, Clock, ControlReader, ControlStore
from governance.register import Environment, KeyRecord, KeyUse, Organization, UserRecord
from governance.timestamp import stamp
from governance.webhook_outbox import telling

_LOG = logging.getLogger("hatidata.access_review")
_CHUNK = 500


@dataclass
class Report:
    """What a run did."""

    opened: list[str] = field(default_factory=list)
    """Ids of reviews."""
    overdue: list[str] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    """Ids of access requests."""
    failed: list[str] = field(default_factory=list)
    """What could not be done now; the next run tries again."""

    def figures(self) -> dict[str, float]:
        """Counts by the names of the alarms' metrics."""
        return {
            "AccessReviewsOverdue": len(self.overdue),
            "LentRolesEnded": len(self.ended),
            "AccessReviewFailed": len(self.failed),
        }


def run(store: ControlStore, clock: Clock) -> Report:
    """Do what is due."""
    report = Report()
    with store.read() as reader:
        environments = [environment.name for environment in reader.every(Environment, "")]
        reviews = {review.id: review for review in reader.every(AccessReview, "")}
        firms = [firm.id for firm in reader.every(Organization, "") if firm.status == "active"]
    for environment in environments:
        try:
            report.ended += end_elapsed(store, clock, environment)
        except Refusal as refusal:
            _failed(report, environment, refusal)
    for firm in firms:
        name = review_id(period_of(clock.now()), firm)
        if name not in reviews:
            try:
                store.change(Attribution(INSTALLATION, stamp(clock.now())), open_review(firm, clock.now()))
                report.opened.append(name)
            except Refusal as refusal:
                _failed(report, name, refusal)
    now = stamp(clock.now())
    report.overdue += sorted(review.id for review in reviews.values() if review.status(now) == "overdue")
    return report


def open_review(organization: str, now: datetime) -> Callable[[ControlReader], Change[AccessReview]]:
    """What opens the review of the present quarter.

    It raises NotFound when there is no such organization, Conflict when it was opened before.
    """

    def decide(reader: ControlReader) -> Change[AccessReview]:
        if reader.get(Organization, "", organization) is None:
            raise NotFound("There is no such organization.")
        earlier = [each for each in reader.every(AccessReview, "") if each.organization == organization]
        before = max(earlier, key=lambda each: each.opened_at, default=None)
        if before is not None and before.period == period_of(now):
            raise Conflict("This quarter's review was opened before.", advice="Sign its lines off.")
        lines_before = lines_of(reader, before.id) if before else []
        review, lines = opened(organization, now, holdings(reader, organization), before, lines_before)
        return Change(review, observations=(review, *lines))

    return decide


def end_elapsed(store: ControlStore, clock: Clock, environment: str) -> list[str]:
    """Write down which grants and requests the clock has ended; their ids."""
    attribution = Attribution(INSTALLATION, stamp(clock.now()))

    def steps(reader: ControlReader) -> list[tuple[Elevation, Elevation]]:
        found = reader.every(Elevation, environment)
        return [(old, new) for old in found if (new := old.elapsed(attribution.at)) is not None]

    def decide(reader: ControlReader) -> Change[list[str]]:
        over = steps(reader)
        return Change(
            [new.id for _, new in over],
            observations=tuple(new for _, new in over),
            events=tuple(elevation_event(old, new) for old, new in over),
        )

    with store.read() as reader:  # most runs find nothing, and need no transaction to see it
        if not steps(reader):
            return []
    return store.change(attribution, telling(attribution, decide))


def holdings(reader: ControlReader, organization: str) -> Holdings:
    """What the register holds of an organization."""
    environments = [environment.name for environment in reader.every(Environment, "")]
    return Holdings(
        users=[user for user in reader.every(UserRecord, "") if user.organization == organization],
        keys=[
            key for name in environments for key in reader.every(KeyRecord, name) if key.organization == organization
        ],
        used={(name, use.id): use.at for name in environments for use in reader.every(KeyUse, name)},
        elevations=[
            each
            for name in environments
            for each in reader.every(Elevation, name)
            if each.organization == organization and each.starts_at
        ],
    )


def lines_of(reader: ControlReader, review: str) -> list[ReviewLine]:
    """A review's lines, in order."""
    lines: list[ReviewLine] = []
    after = f"{review}/"
    while found := reader.page(ReviewLine, "", after=after, limit=_CHUNK):
        mine = [line for line in found if line.review == review]
        lines += mine
        if len(mine) < len(found):
            break
        after = found[-1].id
    return lines


def _failed(report: Report, name: str, refusal: Refusal) -> None:
    _LOG.error("%s: %s", name, refusal.code)
    report.failed.append(name)
