"""`/v1/access-reviews`: each quarter's report of who holds what, signed off line by line (claim H15.6).

Whoever may read the audit may sign, an Auditor too: to vouch changes nothing. Nobody signs his own line.
"""

from __future__ import annotations

import base64
import dataclasses
from typing import Annotated, Any, Literal

from aws_lambda_powertools.event_handler.openapi.params import Body, Path
from pydantic import Field

from governance.access_review import AccessReview, ReviewLine, SignOff, line_id, reviewed
from governance.errors import Conflict, PermissionRefused, StoreUnavailable
from governance.ports import Change, ControlReader
from governance.register import UserRecord
from governance.roles import Role
from lambdas.access_review.task import lines_of, open_review
from lambdas.control_plane.caller import Caller, hidden
from lambdas.control_plane.desk import Desk
from lambdas.control_plane.models import (
    LIMIT_DEFAULT,
    ORGANIZATION_ID,
    Cursor,
    Limit,
    Model,
    Page,
    page,
)
from lambdas.control_plane.resolver import ThreadedResolver

ReviewPath = Annotated[str, Path(pattern=r"^\d{4}-Q[1-4]\.[A-Za-z0-9_.-]{1,64}$")]
NumberPath = Annotated[int, Path(ge=1, le=999_999)]
Note = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f]{0,500}$")]


class Opening(Model):
    """Whose review to open; without an organization the caller's."""

    organization: Annotated[str, Field(pattern=ORGANIZATION_ID)] | None = None


class Verdict(Model):
    """What the reviewer says of a line; `revoke` asks for the access to be taken away, and a note why."""

    decision: Literal["keep", "revoke"]
    note: Note = ""


class ReviewAnswer(Model):
    """A review and how far it is."""

    id: str
    organization: str
    period: str
    opened_at: str
    due_at: str
    since: Annotated[str, Field(description="When the review before opened, or empty")]
    status: Literal["open", "overdue", "done"]
    lines: int
    signed: int
    gone: Annotated[list[str], Field(description="Users who were there at the review before")]


class SignOffAnswer(Model):
    """Who vouched for a line, and the signature over `statement` that shows it."""

    decision: str
    note: str
    reviewer_id: str
    key_id: str
    at: str
    statement: Annotated[str, Field(description="The signed bytes as text: canonical JSON")]
    signature: Annotated[str, Field(description="Base64; by the installation's key")]


class LineAnswer(Model):
    """One user as he was when the review opened."""

    review: str
    number: int
    held: dict[str, Any]
    digest: str
    signed: SignOffAnswer | None
    outstanding: Annotated[bool, Field(description="Whether `revoke` was said and the user still has that role")]


def _answer(review: AccessReview, now: str) -> ReviewAnswer:
    fact = review.stored()
    return ReviewAnswer(**fact, id=review.id, status=review.status(now))  # type: ignore[arg-type]


def _line_answer(line: ReviewLine, user: UserRecord | None) -> LineAnswer:
    said = line.signed
    still = user is not None and user.status == "active" and user.role.value == line.held["role"]
    return LineAnswer(
        review=line.review,
        number=line.number,
        held=dict(line.held),
        digest=line.digest,
        signed=SignOffAnswer(**dataclasses.asdict(said), statement=line.statement(said).decode()) if said else None,
        outstanding=said is not None and said.decision == "revoke" and still,
    )


def register(app: ThreadedResolver, desk: Desk) -> None:
    """Add the routes."""

    @app.get("/v1/access-reviews", tags=["access"], summary="Reviews of the organizations you administer")
    def list_reviews(cursor: Cursor = "", limit: Limit = LIMIT_DEFAULT) -> Page[ReviewAnswer]:
        caller, now = desk.caller, desk.now()
        with desk.store.read() as reader:
            found = reader.every(AccessReview, "")
        items, following = page(found, lambda r: r.id, cursor, limit, where=lambda r: caller.reaches(r.organization))
        return Page(items=[_answer(item, now) for item in items], next=following)

    @app.post("/v1/access-reviews", tags=["access"], summary="Open this quarter's review now", status_code=201)
    def open_now(body: Annotated[Opening | None, Body()] = None) -> ReviewAnswer:
        caller = desk.caller
        organization = (body or Opening()).organization or caller.user.organization
        if not caller.reaches(organization):
            raise hidden("organization")
        return _answer(desk.change(open_review(organization, desk.clock.now())), desk.now())

    @app.get("/v1/access-reviews/<id>/lines", tags=["access"], summary="Who holds what, and what was said of it")
    def list_lines(id: ReviewPath, cursor: Cursor = "", limit: Limit = LIMIT_DEFAULT) -> Page[LineAnswer]:  # noqa: A002
        with desk.store.read() as reader:
            _visible(reader, desk.caller, id)
            items, following = page(lines_of(reader, id), lambda line: line.id, cursor, limit)
            answers = [_line_answer(item, reader.get(UserRecord, "", item.user_id)) for item in items]
        return Page(items=answers, next=following)

    @app.post("/v1/access-reviews/<id>/lines/<number>", tags=["access"], summary="Sign a line off")
    def sign_line(id: ReviewPath, number: NumberPath, body: Annotated[Verdict, Body()]) -> LineAnswer:  # noqa: A002
        caller, signer = desk.caller, desk.signer
        if signer is None:
            raise StoreUnavailable("There is no key to sign with.", advice="Look at the installation's signing key.")
        with desk.store.read() as reader:
            _, line = _signable(reader, caller, id, number)
        said = SignOff(body.decision, body.note, caller.user.id, caller.key.id, desk.now())
        signature = base64.b64encode(signer.sign(line.statement(said))).decode()
        said = dataclasses.replace(said, signature=signature)

        def decide(reader: ControlReader) -> Change[ReviewLine]:
            review, present = _signable(reader, caller, id, number)
            new = dataclasses.replace(present, signed=said)
            further = dataclasses.replace(review, signed=review.signed + 1)
            return Change(new, observations=(new, further), events=(reviewed(review, new, said),))

        done = desk.change(decide)
        with desk.store.read() as reader:
            return _line_answer(done, reader.get(UserRecord, "", done.user_id))


def _visible(reader: ControlReader, caller: Caller, review_id: str) -> AccessReview:
    review = reader.get(AccessReview, "", review_id)
    if review is None or not caller.reaches(review.organization):
        raise hidden("access review")
    return review


def _signable(reader: ControlReader, caller: Caller, review_id: str, number: int) -> tuple[AccessReview, ReviewLine]:
    """A review and a line of it that the caller may sign off now.

    Raises:
        NotFound, PermissionRefused, Conflict.
    """
    review = _visible(reader, caller, review_id)
    line = reader.get(ReviewLine, "", line_id(review_id, number))
    if line is None:
        raise hidden("line")
    if caller.key.agent is not None or caller.key.elevation or caller.user.role is Role.SERVICE_ACCOUNT:
        raise PermissionRefused("Only a person in his own role vouches.", advice="Use a person's own key.")
    if line.user_id == caller.user.id:
        raise PermissionRefused("Nobody signs his own line.", advice="Ask another reviewer.")
    if line.signed is not None:
        raise Conflict("This line is signed already.", advice="What was said stands; change the access itself.")
    return review, line
