"""The approval statement's exact bytes, its expiry, and who may sign (S1.94-S1.96, S1.101)."""

from __future__ import annotations

import contextlib
import unicodedata
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reset.core.approvals import (
    FIELDS,
    LIMIT,
    NOBODY,
    Delegation,
    Statement,
    acting_for,
    check_fresh,
    one_line,
    parse,
    render,
)
from reset.errors import NoApprover, SelfApproval, StatementRefused

NOW = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)

STATEMENT = Statement(
    format="token-reset-approval/1",
    action="reset-user-pin",
    request="5f0c",
    token_serial="A1B2C3",
    holder_uid="u-1001",
    holder_name="Zoë Ångström",
    approver_uid="u-2002",
    approver_name="李 小龍",
    acting_for="-",
    reason="token blocked",
    requested_at=NOW,
    valid_until=NOW + 3 * DAY,
    nonce="00ff",
    service="https://pin.example.edu",
    decision="approve",
)
RAW = render(STATEMENT)
EXPECTED = """\
format: token-reset-approval/1
action: reset-user-pin
request: 5f0c
token-serial: A1B2C3
holder-uid: u-1001
holder-name: Zoë Ångström
approver-uid: u-2002
approver-name: 李 小龍
acting-for: -
reason: token blocked
requested-at: 2026-03-04T12:00:00Z
valid-until: 2026-03-07T12:00:00Z
nonce: 00ff
service: https://pin.example.edu
decision: approve
"""
FREE = (
    *("request", "token_serial", "holder_uid", "holder_name", "approver_uid", "approver_name"),
    *("acting_for", "reason", "nonce", "service"),
)

nasty = st.text(
    st.characters() | st.sampled_from("\n\r\0:\u2028\u2029\u0085\u202e\u2066\u200b\ufeff "),
    max_size=60,
)
times = st.integers(-(10**9), 10**9).map(lambda seconds: NOW + timedelta(seconds=seconds))


def statements(text: st.SearchStrategy[str]) -> st.SearchStrategy[Statement]:
    free: dict[str, st.SearchStrategy[Any]] = dict.fromkeys(FREE, text)
    return st.builds(
        lambda **values: replace(STATEMENT, **values), requested_at=times, valid_until=times, **free
    )


def rule(raw: bytes) -> object:
    with pytest.raises(StatementRefused) as caught:
        parse(raw)
    return caught.value.data["rule"]


# --- bytes -------------------------------------------------------------------------------
def test_the_exact_bytes() -> None:
    """Somebody signs these: they never change without a new version of the format."""
    assert EXPECTED.encode() == RAW
    assert parse(RAW) == STATEMENT


@given(statements(nasty.map(one_line)))
def test_what_is_rendered_is_read_again(statement: Statement) -> None:
    assert parse(render(statement)) == statement


@given(statements(nasty))
def test_no_value_makes_another_line_or_field(statement: Statement) -> None:
    """Newlines, bidirectional controls and control characters in a name stay in its line."""
    raw = render(statement)
    lines = raw.decode().split("\n")
    assert [line.partition(": ")[0] for line in lines[:-1]] == list(FIELDS)
    assert lines[-1] == ""
    for line in lines:
        assert len(line.splitlines()) <= 1
        assert not [c for c in line if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp")]
    again = parse(raw)
    assert render(again) == raw
    for f in fields(Statement):
        if f.name not in FREE:
            assert getattr(again, f.name) == getattr(statement, f.name)


@given(statements(nasty.map(one_line)), statements(nasty.map(one_line)))
def test_different_statements_have_different_bytes(one: Statement, other: Statement) -> None:
    assert (render(one) == render(other)) == (one == other)


@given(st.integers(0, len(RAW) - 1), st.integers(1, 255))
def test_no_changed_byte_goes_unnoticed(position: int, change: int) -> None:
    raw = bytearray(RAW)
    raw[position] ^= change
    with contextlib.suppress(StatementRefused):
        assert parse(bytes(raw)) != STATEMENT


def test_no_single_change_of_any_byte_goes_unnoticed() -> None:
    for position in range(len(RAW)):
        for kept in (RAW[:position] + RAW[position + 1 :], RAW[:position] + b" " + RAW[position:]):
            with contextlib.suppress(StatementRefused):
                assert parse(kept) != STATEMENT


LINES = EXPECTED.splitlines(keepends=True)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\n",
        RAW[:-1],
        RAW + b"\n",
        RAW + b"x",
        RAW + b"more: x\n",
        RAW + b"\0",
        RAW + RAW,
        b"\n" + RAW,
        b" " + RAW,
        b"\xef\xbb\xbf" + RAW,
        RAW.replace(b"\n", b"\r\n"),
        RAW.replace(b"\n", b"\r"),
        RAW.replace(b": ", b":"),
        RAW.replace(b": ", b":  "),
        RAW.replace(b"reason: token", b"reason: token "),
        RAW.replace(b"blocked\n", b"blocked \n"),
        RAW.replace(b"blocked\n", b"blocked\t\n"),
        RAW.replace(b"token blocked", b""),
        RAW.replace(b"reason", b"Reason"),
        RAW.replace(b"blocked", b"\xff"),
        RAW.replace(b"blocked", b"\xc0\x80"),
        RAW.replace(b"blocked", b"\xed\xa0\x80"),
        RAW.replace(b"blocked", b"a\0b"),
        RAW.replace(b"blocked", "\u202ea".encode()),
        RAW.replace("ë".encode(), "e\u0308".encode()),
        EXPECTED.encode("utf-16"),
        RAW.replace(b"12:00:00Z", b"12:00:00+00:00"),
        RAW.replace(b"2026-03-04T", b"2026-3-4T"),
        RAW.replace(b"2026-03-04T", b"2026-02-30T"),
        RAW.replace(b"2026-03-04T", "2026-03-0\u0664T".encode()),
        RAW.replace(b"T12:00:00Z", b"T12:00:00.5Z"),
        RAW.replace(b"T12:00:00Z", b"t12:00:00z"),
        RAW.replace(b"token blocked", b"x" * 201),
        RAW.replace(b"token blocked", b"x" * LIMIT),
        b"x" * 1_000_000,
        b": \n" * 15,
        bytes(range(256)),
    ],
)
def test_other_bytes_are_malformed(raw: bytes) -> None:
    assert raw != RAW
    assert rule(raw) == "malformed"


@pytest.mark.parametrize("number", range(len(LINES)))
def test_a_missing_repeated_or_moved_field_is_malformed(number: int) -> None:
    missing = LINES[:number] + LINES[number + 1 :]
    repeated = LINES[: number + 1] + LINES[number:]
    moved = [*missing[:5], LINES[number], *missing[5:]] if number != 5 else LINES[::-1]
    for lines in (missing, repeated, moved):
        assert rule("".join(lines).encode()) == "malformed"


@given(st.binary(max_size=400) | st.text(max_size=200).map(lambda t: t.encode("utf-8", "replace")))
def test_any_bytes_are_refused_or_what_render_makes(raw: bytes) -> None:
    with contextlib.suppress(StatementRefused):
        assert render(parse(raw)) == raw


@pytest.mark.parametrize(
    "changed",
    [
        {"format": "token-reset-approval/2"},
        {"action": "reset-so-pin"},
        {"decision": "deny"},
        {"decision": "-"},
        {"action": "Reset-user-pin"},
    ],
)
def test_another_decision_is_no_approval(changed: dict[str, Any]) -> None:
    assert rule(render(replace(STATEMENT, **changed))) == "not-an-approval"


def test_times_are_utc_in_whole_seconds() -> None:
    east = NOW.astimezone(timezone(timedelta(hours=5, minutes=30)))
    assert render(replace(STATEMENT, requested_at=east)) == RAW
    assert render(replace(STATEMENT, requested_at=NOW + timedelta(microseconds=999_999))) == RAW


def test_a_real_statement_is_far_below_the_limit() -> None:
    texts: dict[str, Any] = dict.fromkeys(FREE, "漢" * 500)
    longest = replace(STATEMENT, **texts)
    assert len(render(longest)) < LIMIT
    assert len(RAW) < 1_000


# --- one line ----------------------------------------------------------------------------
@given(nasty, st.integers(1, 40))
def test_a_line_is_stable_short_and_never_empty(text: str, limit: int) -> None:
    line = one_line(text, limit)
    assert one_line(line, limit) == line
    assert 1 <= len(line) <= limit
    assert line == line.strip()
    line.encode()


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", NOBODY),
        (" \n\t", NOBODY),
        ("\u202e\u200b", NOBODY),
        ("a\nholder-uid: u-9", "a holder-uid: u-9"),
        ("a\r\n\r\nb", "a b"),
        ("Ann\u202egnaW", "Ann gnaW"),
        ("\u2067x\u2069", "x"),
        ("e\u0308", "ë"),
        ("a\ud800b", "a b"),
        ("x" * 500, "x" * 200),
        ("a\u17b4b\u17b5c", "a b c"),
        ("a\ufe00b\ufe0fc", "a b c"),
        ("a\U000e0100b\U000e01efc", "a b c"),
        ("u-1\U000e0101", "u-1"),
        ("\u3164\u2800\u17b4\U000e0100", NOBODY),
    ],
)
def test_a_text_as_one_harmless_line(text: str, line: str) -> None:
    assert one_line(text) == line


@given(nasty)
def test_two_spellings_of_one_uid_are_one_person_in_the_statement(dirt: str) -> None:
    """S1.96: nobody becomes somebody else by invisible characters around a UID."""
    hidden = "".join(c for c in dirt if unicodedata.category(c) in ("Cc", "Cf", "Zs", "Zl", "Zp"))
    raw = render(replace(STATEMENT, approver_uid=hidden + STATEMENT.holder_uid + hidden))
    assert parse(raw).approver_uid == parse(raw).holder_uid


# --- expiry ------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("at", "good"),
    [
        (NOW - SECOND, False),
        (NOW, True),
        (NOW + DAY, True),
        (STATEMENT.valid_until - timedelta(microseconds=1), True),
        (STATEMENT.valid_until, False),
        (STATEMENT.valid_until + DAY, False),
    ],
)
def test_a_statement_counts_from_the_request_to_its_end(at: datetime, good: bool) -> None:
    """S1.94."""
    if good:
        check_fresh(STATEMENT, at)
        return
    with pytest.raises(StatementRefused) as caught:
        check_fresh(STATEMENT, at)
    span = "2026-03-04T12:00:00Z to 2026-03-07T12:00:00Z"
    assert caught.value.data == {"rule": "expired", "span": span}


def test_a_statement_that_ends_before_it_begins_never_counts() -> None:
    never = replace(STATEMENT, valid_until=NOW)
    for at in (NOW - SECOND, NOW, NOW + SECOND):
        with pytest.raises(StatementRefused):
            check_fresh(never, at)


# --- who may sign ------------------------------------------------------------------------
def granted(principal: str, delegate: str, **changed: Any) -> Delegation:
    base = Delegation("d", principal, delegate, NOW - DAY, NOW + DAY)
    return replace(base, **changed)


def test_a_person_named_by_the_directory_signs_in_their_own_name() -> None:
    """S1.85."""
    assert acting_for("boss", "holder", ["rep", "boss"], [], NOW) == NOBODY
    assert acting_for("boss", "holder", ["boss"], [granted("rep", "boss")], NOW) == NOBODY


def test_a_delegate_signs_for_the_principal() -> None:
    """S1.101: both names are in the record."""
    assert acting_for("deputy", "holder", ["boss"], [granted("boss", "deputy")], NOW) == "boss"


@pytest.mark.parametrize(
    "delegation",
    [
        granted("boss", "deputy", ends=NOW),
        granted("boss", "deputy", starts=NOW + SECOND),
        granted("boss", "deputy", revoked_at=NOW - SECOND),
        granted("boss", "deputy", revoked_at=NOW + DAY),
        granted("boss", "deputy", starts=NOW + DAY, ends=NOW - DAY),
        granted("boss", "somebody"),
        granted("stranger", "deputy"),
        granted("deputy", "boss"),
        granted("holder", "deputy"),
    ],
)
def test_no_other_delegation_counts(delegation: Delegation) -> None:
    with pytest.raises(NoApprover):
        acting_for("deputy", "holder", ["boss"], [delegation], NOW)


def test_a_delegation_counts_from_its_first_moment_to_before_its_last() -> None:
    period = granted("boss", "deputy", starts=NOW, ends=NOW + DAY)
    assert acting_for("deputy", "holder", ["boss"], [period], NOW) == "boss"
    last = NOW + DAY - timedelta(microseconds=1)
    assert acting_for("deputy", "holder", ["boss"], [period], last) == "boss"
    for at in (NOW - SECOND, NOW + DAY):
        with pytest.raises(NoApprover):
            acting_for("deputy", "holder", ["boss"], [period], at)


def test_delegations_do_not_chain() -> None:
    chain = [granted("boss", "deputy"), granted("deputy", "friend")]
    with pytest.raises(NoApprover):
        acting_for("friend", "holder", ["boss"], chain, NOW)


def test_the_holder_as_principal_is_ignored_and_another_one_still_found() -> None:
    """Even when the directory names the holder as their own supervisor."""
    named = ["holder", "boss"]
    own = granted("holder", "deputy")
    with pytest.raises(NoApprover):
        acting_for("deputy", "holder", named, [own], NOW)
    assert acting_for("deputy", "holder", named, [own, granted("boss", "deputy")], NOW) == "boss"


def test_a_stranger_is_refused() -> None:
    for named in ([], ["boss"]):
        with pytest.raises(NoApprover):
            acting_for("stranger", "holder", named, [], NOW)


people = st.sampled_from(["a", "b", "c", "d"])
delegations = st.lists(
    st.builds(
        Delegation,
        id=st.just("d"),
        principal_uid=people,
        delegate_uid=people,
        starts=st.sampled_from([NOW - DAY, NOW, NOW + SECOND]),
        ends=st.sampled_from([NOW - SECOND, NOW, NOW + DAY]),
        revoked_at=st.none() | st.just(NOW),
    ),
    max_size=6,
)


@given(people, st.lists(people, max_size=4), delegations)
def test_nobody_approves_their_own_request(
    holder: str, named: list[str], granted_: list[Delegation]
) -> None:
    """S1.96: whatever the directory names and whoever delegates."""
    with pytest.raises(SelfApproval):
        acting_for(holder, holder, named, granted_, NOW)


@given(people, people, st.lists(people, max_size=4), delegations)
def test_who_may_approve_is_named_or_holds_a_delegation_of_somebody_named(
    approver: str, holder: str, named: list[str], granted_: list[Delegation]
) -> None:
    try:
        principal = acting_for(approver, holder, named, granted_, NOW)
    except (SelfApproval, NoApprover):
        return
    assert approver != holder != principal
    if principal == NOBODY:
        assert approver in named
        return
    assert principal in named
    assert any(
        (d.principal_uid, d.delegate_uid, d.revoked_at) == (principal, approver, None)
        and d.starts <= NOW < d.ends
        for d in granted_
    )
