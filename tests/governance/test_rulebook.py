"""The rulebook's JSON form: nothing is lost, the ETag moves with the law and not with the time."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from governance.audit_choice import AuditChoice, CustomPattern, SqlForm
from governance.errors import InvalidRequest
from governance.policies import (
    AppliesTo,
    Audience,
    Condition,
    Effect,
    Mask,
    MaskFunction,
    MinimumGroup,
    Policy,
    RowFilter,
    TimeWindow,
    View,
)
from governance.principals import DIALECTS, Agent
from governance.quota import Quota
from governance.roles import Role
from governance.rulebook import Key, Limits, Rulebook, User, decode, decode_policy, encode, encode_policy
from governance.scopes import Scope
from governance.tables import TableName

NAMES = st.text(alphabet="abcXYZ_é 7", min_size=1, max_size=8)
ROLES = st.frozensets(st.sampled_from(Role), max_size=3)
TABLES = st.builds(TableName, NAMES, NAMES)
TEXTS = st.lists(NAMES, max_size=3).map(tuple)
APPLIES = st.builds(AppliesTo, st.sampled_from(Audience), TEXTS, TEXTS)
POLICIES: st.SearchStrategy[Policy] = st.one_of(
    st.builds(RowFilter, NAMES, NAMES, TABLES, NAMES, ROLES, APPLIES, st.booleans()),
    st.builds(
        Mask,
        NAMES,
        NAMES,
        TABLES,
        NAMES,
        st.sampled_from(MaskFunction),
        st.integers(0, 9),
        st.booleans(),
        ROLES,
        APPLIES,
    ),
    st.builds(
        Condition,
        NAMES,
        NAMES,
        st.sampled_from(Effect),
        TEXTS,
        TEXTS,
        ROLES,
        TEXTS,
        TEXTS,
        TEXTS,
        st.sampled_from(Audience),
        TEXTS,
        st.none() | st.builds(TimeWindow, NAMES, st.integers(0, 1439), st.integers(0, 1439)),
        st.booleans(),
    ),
    st.builds(MinimumGroup, NAMES, NAMES, TABLES, st.integers(2, 99), ROLES, APPLIES),
)
QUOTAS = st.builds(Quota, st.integers(0, 9), st.integers(0, 9))
BOOKS = st.builds(
    Rulebook,
    environment=NAMES,
    version=st.integers(0, 10**9),
    issued_at=st.just("2026-11-22T03:00:00.000000Z"),
    operator_organization=NAMES,
    organizations=st.lists(st.tuples(NAMES, NAMES), max_size=3).map(tuple),
    schemas=st.lists(st.tuples(NAMES, NAMES), max_size=3).map(tuple),
    users=st.lists(
        st.builds(User, NAMES, NAMES, NAMES, st.sampled_from(Role), st.just((("region", "emea"),)), st.booleans()),
        max_size=3,
    ).map(tuple),
    keys=st.lists(
        st.builds(
            Key,
            id=NAMES,
            name=NAMES,
            prefix=NAMES,
            hash=NAMES,
            user_id=NAMES,
            scopes=st.frozensets(st.sampled_from(Scope)),
            agent=st.none() | st.builds(Agent, NAMES, NAMES, NAMES),
            networks=st.just(("10.0.0.0/8",)),
            allowed_tables=TEXTS,
            expires_at=st.sampled_from(("", "2027-01-01T00:00:00.000000Z")),
            dialect=st.sampled_from(DIALECTS),
            role=st.none() | st.sampled_from(Role),
            quota=QUOTAS,
        ),
        max_size=3,
    ).map(tuple),
    policies=st.lists(POLICIES, max_size=4).map(tuple),
    views=st.lists(st.builds(View, NAMES, TABLES, NAMES), max_size=2).map(tuple),
    limits=st.builds(Limits, cache_generation=st.integers(0, 9)),
    mask_key_id=st.sampled_from(("", "k1")),
    quotas=st.lists(st.tuples(NAMES, QUOTAS), max_size=2).map(tuple),
    audit=st.builds(AuditChoice, st.sampled_from(SqlForm), st.just((CustomPattern("STAFF", "S[0-9]+"),))),
)


@given(BOOKS)
def test_what_is_encoded_decodes_the_same(book: Rulebook) -> None:
    assert decode(encode(book)) == book


@given(POLICIES)
def test_a_policy_decodes_the_same(policy: Policy) -> None:
    assert decode_policy(encode_policy(policy)) == policy


@given(BOOKS)
def test_the_etag_moves_with_the_law_and_not_with_the_time(book: Rulebook) -> None:
    later = dataclasses.replace(book, issued_at="2027-01-01T00:00:00.000000Z")
    assert later.etag == book.etag
    assert dataclasses.replace(book, version=book.version + 1).etag != book.etag
    more = dataclasses.replace(book.limits, cache_generation=book.limits.cache_generation + 1)
    assert dataclasses.replace(book, limits=more).etag != book.etag


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b'{"format":2}', b'{"format":1}', b"\xff", b"null"])
def test_what_is_no_rulebook_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidRequest):
        decode(data)
