"""EXPLAIN for those who manage policies, and EXPLAIN POLICY for everybody: what was decided, and why.

EXPLAIN POLICY [FOR KEY 'name' | FOR USER 'e-mail'] [USING DRAFT number] <statement>
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from engine.pipeline.authorize import manages_policies
from engine.pipeline.relation import SecuredTable
from engine.pipeline.splice import Segments
from engine.pipeline.text_gate import Token, scan
from governance.audit_record import PolicyVerdict
from governance.errors import NotFound, PermissionRefused, Refusal, SyntaxRefused
from governance.permissions import reaches_all
from governance.policies import SHARED
from governance.policy_versions import Drafted
from governance.principals import Principal
from governance.rulebook import Key, Rulebook
from governance.scopes import BUNDLES
from governance.sql_literals import identifier, text_literal

_COLUMNS = ("section", "policy", "kind", "table", "column", "effect", "reason", "detail")
_NUMBER_DIGITS_MAX = 12
_FORMATS = frozenset({"json", "text", "html", "graphviz", "yaml", "mermaid"})


@dataclass(frozen=True, slots=True)
class Request:
    """What EXPLAIN POLICY asks: a statement, and as whom (None: as oneself)."""

    text: str
    subject: Principal | None
    about: str
    manager: bool
    drafted: Drafted | None = None
    """Under which draft; None: under the law in force."""
    everywhere: bool = False
    """Whether whoever asks administers every organization."""


def is_explain_policy(text: str) -> bool:
    """Whether the text begins with EXPLAIN POLICY."""
    head = text.lstrip()[:8].lower()
    if not head.startswith("explain"):
        return False
    tokens = scan(text)
    return len(tokens) > 1 and tokens[0].text.lower() == "explain" and tokens[1].text.lower() == "policy"


def _words(tokens: Sequence[Token], at: int, *words: str) -> bool:
    return [t.text.lower() for t in tokens[at : at + len(words)]] == list(words)


def draft_named(text: str) -> int | None:
    """The number of the draft that an EXPLAIN POLICY asks for; None when it asks for none, or not in due form."""
    if not is_explain_policy(text):
        return None
    tokens = scan(text)
    at = 5 if _words(tokens, 2, "for", "key") or _words(tokens, 2, "for", "user") else 2
    return _draft_number(tokens, at)


def _draft_number(tokens: Sequence[Token], at: int) -> int | None:
    if not _words(tokens, at, "using", "draft") or len(tokens) < at + 3:
        return None
    digits = tokens[at + 2].text
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) <= _NUMBER_DIGITS_MAX else None


def read(text: str, principal: Principal, rulebook: Rulebook, drafted: Drafted | None = None) -> Request:
    """The request in a text that begins with EXPLAIN POLICY; `drafted` is the draft it names, when there is one.

    Raises:
        PermissionRefused: it asks about someone else, without the right to manage policies.
        NotFound: there is no such key, user or draft of the organization.
        SyntaxRefused, StatementRefused: it is not well formed.
    """
    tokens = scan(text)
    manager = manages_policies(principal)
    at, subject, about = 2, None, "oneself"
    for kind in ("key", "user"):
        if _words(tokens, at, "for", kind):
            if not manager:
                raise PermissionRefused("Only roles that manage policies may explain them for someone else.")
            if len(tokens) < at + 3 or tokens[at + 2].kind not in ("string", "word", "quoted"):
                raise SyntaxRefused("A name in quotes is expected here.", position=tokens[at].start + 1)
            name = tokens[at + 2]
            wanted = name.text[1:-1].replace("''", "'") if name.kind == "string" else name.name
            subject = _subject(kind, wanted, principal, rulebook)
            about, at = f"{kind} {wanted[:64]}", at + 3
            break
    if _words(tokens, at, "using", "draft"):
        if not manager:
            raise PermissionRefused("Only roles that manage policies may explain under a draft.")
        number = _draft_number(tokens, at)
        if number is None:
            raise SyntaxRefused("A draft's number is expected here.", position=tokens[at].start + 1)
        if drafted is None or drafted.number != number or not _reaches(principal, drafted):
            raise NotFound("There is no such draft.")
        about, at = f"{about} under draft {number}", at + 3
    else:
        drafted = None
    if at >= len(tokens):
        raise SyntaxRefused("A statement is expected after EXPLAIN POLICY.")
    return Request(text[tokens[at].start :], subject, about, manager, drafted, _everywhere(principal))


def _everywhere(principal: Principal) -> bool:
    return reaches_all(principal.role, principal.scopes, operator=principal.operator)


def _reaches(principal: Principal, drafted: Drafted) -> bool:
    """Whether every policy of the draft is the principal's to administer, as the control plane judges it."""
    mine = {principal.organization, SHARED} if principal.operator else {principal.organization}
    return _everywhere(principal) or drafted.organizations <= mine


def _subject(kind: str, wanted: str, principal: Principal, rulebook: Rulebook) -> Principal:
    """Names are unique in an organization only: one's own go first, others' are for who administers them all."""
    subjects: Iterable[Principal | None]
    if kind == "key":
        keys = (k for k in rulebook.keys if wanted in (k.id, k.name))
        subjects = (rulebook.principal(key, source_ip=principal.source_ip) for key in keys)
    else:
        users = (u for u in rulebook.users if wanted in (u.id, u.email))
        explained = (Key("explain", "explain", "", "", user.id, BUNDLES["read_only"]) for user in users)
        subjects = (rulebook.principal(key, source_ip=principal.source_ip) for key in explained)
    found = [s for s in subjects if s is not None]
    mine = [s for s in found if s.organization == principal.organization]
    reached = mine or (found if _everywhere(principal) else [])
    if not reached:
        raise NotFound(f"There is no such {kind}.")
    return reached[0]


def plain_explain(text: str, tokens: tuple[Token, ...], principal: Principal) -> tuple[str, str, tuple[Token, ...]]:
    """The prefix of a plain EXPLAIN, the statement behind it, and its tokens.

    Raises:
        PermissionRefused: plans show estimates of hidden rows, so only roles that manage policies may see them.
    """
    if not manages_policies(principal):
        raise PermissionRefused(
            "EXPLAIN is for roles that manage policies: plans tell about hidden rows.", advice="Use EXPLAIN POLICY."
        )
    at = 1
    if _words(tokens, at, "analyze"):
        at += 1
    elif len(tokens) > 4 and _words(tokens, at, "(", "format") and tokens[3].text.lower() in _FORMATS:
        at = 5 if tokens[4].text == ")" else at
    if at >= len(tokens) or tokens[at].text.lower() == "explain":
        raise SyntaxRefused("A statement is expected after EXPLAIN.")
    start = tokens[at].start
    behind, rest = text[start:], scan(text[start:])
    return " ".join(t.text for t in tokens[:at]) + " ", behind, rest


def check_plan(secured: Iterable[SecuredTable], principal: Principal, rulebook: Rulebook) -> None:
    """A plan of a filtered table that several organizations share counts the rows of all of them.

    Raises:
        PermissionRefused: the principal manages the policies of one organization only.
    """
    if principal.operator:
        return
    if any(t.condition and rulebook.owner_of(t.table.name.schema) == SHARED for t in secured):
        raise PermissionRefused(
            "EXPLAIN of a filtered table in a shared schema is for the operator: plans tell about everybody's rows.",
            advice="Use EXPLAIN POLICY.",
        )


def report(
    verdicts: Sequence[PolicyVerdict],
    secured: Sequence[SecuredTable],
    segments: Segments,
    refusal: Refusal | None,
    *,
    manager: bool,
    everywhere: bool,
) -> str:
    """The answer as a SELECT over VALUES of text literals; filters and the governed SQL for managers only.

    A refusal's inner reason tells whether a foreign table exists, so who administers all is told it, nobody else.
    """
    rows: list[tuple[str, ...]] = [
        ("verdict", v.policy, v.kind, v.table, v.column, v.effect, v.reason if manager else "", "") for v in verdicts
    ]
    for table in secured:
        name = str(table.table.name)
        if manager and table.condition:
            rows.append(("row_filter", "", "row_filter", name, "", "applied", "", table.condition))
        rows += [
            ("masked_column", mask.name, "mask", name, column, "applied", mask.function.value if manager else "", "")
            for column, mask in table.masks.items()
        ]
    if refusal is not None:
        reason = refusal.reason if manager and everywhere else refusal.message
        rows.append(("refusal", "", refusal.code, "", "", "denied", reason, refusal.advice))
    if manager and segments:
        sql = "".join(s if isinstance(s, str) else identifier(str(s)) for s in segments)
        rows.append(("governed_sql", "", "", "", "", "", "", sql))
    values = ", ".join("(" + ", ".join(text_literal(value) for value in row) + ")" for row in rows)
    columns = ", ".join(identifier(c) for c in _COLUMNS)
    if not rows:
        return f"SELECT {', '.join(f'NULL::VARCHAR AS {identifier(c)}' for c in _COLUMNS)} WHERE FALSE"
    return f"SELECT * FROM (VALUES {values}) AS policy({columns})"
