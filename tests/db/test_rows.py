"""Every repository gives back what it was given, and finds what its port says."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from cryptography import x509
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from reset import ports
from reset.core.assurance import Proof
from reset.core.identities import IdentityCheck, Person, tidy_pid
from reset.db.store import SqlStore
from reset.db.tables import outbox
from reset.errors import BadInput, StateConflict
from tests.db.examples import (
    ANSWER,
    APP,
    APPROVAL,
    CODE,
    DELEGATION,
    DRAW,
    HOUR,
    MAIL,
    MINUTE,
    NOW,
    PERSON,
    PROFILE,
    REQUEST,
    SESSION,
    TOKEN,
)
from tests.institution.authority import Authority, software_key

# a store outlives the examples: each of them writes the same rows again
MANY = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)
TIMES = st.timedeltas(timedelta(days=-10_000), timedelta(days=10_000)).map(lambda t: NOW + t)


def test_store_keeps_the_port(store: SqlStore) -> None:
    as_port: ports.Store = store
    with as_port.read() as uow:
        assert uow.people.by_uid("u1") is None
    store.ping()


# --- people and tokens --------------------------------------------------------------
def test_person_comes_back(store: SqlStore) -> None:
    with store.write() as uow:
        uow.people.put(PERSON, "hash")
        uow.people.put(replace(PERSON, name="Bo", roles=frozenset(), active=False), "hash 2")
    with store.read() as uow:
        found = uow.people.by_uid("u1")
        assert found == replace(PERSON, name="Bo", roles=frozenset(), active=False)
        assert uow.people.by_pid("alice") == (found, "hash 2")
        assert uow.people.by_pid("bob") is None
        assert uow.people.by_uid("u9") is None


@pytest.mark.parametrize("typed", ["ALICE", " alice\t", "a\u200blice", "\uff21lice", "al\ufe0fice"])
def test_every_way_to_write_a_login_finds_its_person(store: SqlStore, typed: str) -> None:
    with store.write() as uow:
        uow.people.put(PERSON, "hash")
        assert uow.people.by_pid(typed) == (PERSON, "hash")


@given(st.text())
def test_normal_form_of_a_login_is_stable(text: str) -> None:
    tidy = tidy_pid(text)
    assert tidy_pid(tidy) == tidy
    assert tidy_pid(f" {text}\u200b") == tidy


def test_dotless_i_is_another_login() -> None:
    assert tidy_pid("m\u0131ke") != tidy_pid("MIKE")


@pytest.mark.parametrize(
    ("person", "field", "rule"),
    [
        (replace(PERSON, uid="u2", pid="ALICE "), "pid", "taken"),
        (replace(PERSON, pid="bob"), "uid", "taken"),
        (replace(PERSON, uid="u2", pid=" \u200b"), "pid", "empty"),
        (replace(PERSON, uid=""), "uid", "empty"),
    ],
)
def test_login_and_uid_belong_to_one_person(
    store: SqlStore, person: Person, field: str, rule: str
) -> None:
    with store.write() as uow:
        uow.people.put(PERSON, "hash")
        with pytest.raises(BadInput) as refused:
            uow.people.put(person, "other")
        assert refused.value.data == {"field": field, "rule": rule}
    with store.read() as uow:
        assert uow.people.by_pid("alice") == (PERSON, "hash")


def test_search_folds_case_and_takes_wildcards_as_letters(store: SqlStore) -> None:
    with store.write() as uow:
        uow.people.put(PERSON, "")
        uow.people.put(Person("u%_", "bob", "Bob 100%", "bob_b@example.org"), "")
        uow.people.put(Person("u4", "carl", "Carl", "c@example.org", active=False), "")
    with store.read() as uow:

        def found(text: str) -> list[str]:
            return [person.uid for person in uow.people.search(text)]

        assert found("ÄNGSTR") == ["u1"]
        assert found("100%") == found("b_B") == found("U%_") == ["u%_"]
        assert found("%") == ["u%_"]
        assert found("EXAMPLE.org") == ["u1", "u%_", "u4"]
        assert found("Alice\nalice") == found("") == found(" \n") == found("/") == []
        assert found("x" * 100_000) == []


def test_search_stops_at_twenty(store: SqlStore) -> None:
    with store.write() as uow:
        for number in range(25):
            uow.people.put(Person(f"u{number}", f"p{number:02}", "Same", ""), "")
        assert [p.pid for p in uow.people.search("same")] == [f"p{n:02}" for n in range(20)]


def test_the_entry_of_a_uid_is_noted_once(store: SqlStore) -> None:
    with store.write() as uow:
        assert uow.people.entry_of("u1") is None
        uow.people.keep_entry("u1", "aa")
        uow.people.keep_entry("u1", "bb")
        uow.people.keep_entry("u2", "aa")
        assert (uow.people.entry_of("u1"), uow.people.entry_of("u2")) == ("aa", "aa")
        assert uow.people.forget_entry("u1")
        assert not uow.people.forget_entry("u1")
        assert (uow.people.entry_of("u1"), uow.people.entry_of("u2")) == (None, "aa")


def test_token_comes_back(store: SqlStore) -> None:
    other = replace(TOKEN, serial="T0", state="dead", so_version=0)
    with store.write() as uow:
        uow.tokens.put(TOKEN)
        uow.tokens.put(other)
        uow.tokens.put(replace(TOKEN, serial="T2", holder_uid="u2"))
        uow.tokens.put(replace(TOKEN, so_version=2))
    with store.read() as uow:
        assert uow.tokens.get("T1") == replace(TOKEN, so_version=2)
        assert uow.tokens.get("T9") is None
        assert uow.tokens.of_holder("u1") == [other, replace(TOKEN, so_version=2)]
        assert [token.serial for token in uow.tokens.every()] == ["T0", "T1", "T2"]


# --- profiles -----------------------------------------------------------------------
def test_profile_is_replaced_as_a_whole(store: SqlStore) -> None:
    smaller = replace(PROFILE, answers=(replace(ANSWER, version=2),), recovery_pending="")
    with store.write() as uow:
        uow.profiles.put(PROFILE)
        assert uow.profiles.get("u1") == PROFILE
        uow.profiles.put(replace(PROFILE, answers=PROFILE.answers[::-1]))
        assert uow.profiles.get("u1") == replace(PROFILE, answers=PROFILE.answers[::-1])
        uow.profiles.put(smaller)
    with store.read() as uow:
        assert uow.profiles.get("u1") == smaller
        assert uow.profiles.get("u2") is None


def test_deleting_a_profile_leaves_nothing_of_it(store: SqlStore) -> None:
    with store.write() as uow:
        uow.profiles.put(PROFILE)
        uow.profiles.put(replace(PROFILE, uid="u2"))
        uow.profiles.put_draw(DRAW)
        uow.profiles.delete("u1")
    with store.write() as uow:
        assert uow.profiles.get("u1") is None
        assert uow.profiles.draw_of("u1") is None
        assert uow.profiles.get("u2") == replace(PROFILE, uid="u2")
        uow.profiles.put(replace(PROFILE, answers=()))
        assert uow.profiles.get("u1") == replace(PROFILE, answers=())


@MANY
@given(questions=st.lists(TEXT, min_size=1).map(tuple), at=st.none() | TIMES)
def test_draw_comes_back(store: SqlStore, questions: tuple[str, ...], at: datetime | None) -> None:
    draw = replace(DRAW, questions=questions, answered_at=at)
    with store.write() as uow:
        uow.profiles.put_draw(draw)
    with store.read() as uow:
        assert uow.profiles.draw_of("u1") == draw


# --- requests -----------------------------------------------------------------------
@MANY
@given(reason=TEXT, because=TEXT, at=TIMES, asked=st.none() | TIMES, late=st.integers(0, 10**12))
def test_request_comes_back(
    store: SqlStore, reason: str, because: str, at: datetime, asked: datetime | None, late: int
) -> None:
    request = replace(
        REQUEST, reason=reason, ended_because=because, created_at=at,
        changed_at=at + timedelta(microseconds=late), asked_at=asked,
    )  # fmt: skip
    with store.write() as uow:
        if uow.requests.get("r1") is None:
            uow.requests.add(REQUEST)
        uow.requests.save(request, "collecting")
    with store.read() as uow:
        assert uow.requests.get("r1") == request
        assert uow.requests.open_of_token("T1") == request


def test_times_of_another_zone_come_back_in_utc(store: SqlStore) -> None:
    east = NOW.astimezone(timezone(timedelta(hours=5, minutes=30)))
    with store.write() as uow:
        uow.requests.add(replace(REQUEST, created_at=east, changed_at=east))
        found = uow.requests.get("r1")
        assert found == REQUEST
        assert found.created_at.tzinfo is UTC


def test_naive_time_is_our_own_bug(store: SqlStore) -> None:
    with pytest.raises(RuntimeError, match="naive"), store.write() as uow:
        uow.requests.opened_since("u1", NOW.replace(tzinfo=None), answered=False)


@pytest.mark.parametrize("text", ["r\0", "\ud800"])
def test_text_that_a_database_cannot_keep_is_bad_input(store: SqlStore, text: str) -> None:
    with pytest.raises(BadInput), store.read() as uow:
        uow.requests.get(text)


def test_one_open_request_per_token(store: SqlStore) -> None:
    with store.write() as uow:
        uow.requests.add(REQUEST)
        with pytest.raises(StateConflict) as refused:
            uow.requests.add(replace(REQUEST, id="r2"))
        assert refused.value.data["state"] == "collecting"
        uow.requests.add(replace(REQUEST, id="r3", token_serial="T2"))
        uow.requests.save(replace(REQUEST, state="cancelled"), "collecting")
        uow.requests.add(replace(REQUEST, id="r4"))
    with store.read() as uow:
        assert uow.requests.get("r2") is None
        assert [r.id for r in uow.requests.of_holder("u1")] == ["r4", "r3", "r1"]
        assert [r.id for r in uow.requests.of_holder("u1", limit=1)] == ["r4"]


def test_request_moves_only_from_the_expected_state(store: SqlStore) -> None:
    with store.write() as uow:
        uow.requests.add(REQUEST)
        with pytest.raises(StateConflict) as refused:
            uow.requests.save(replace(REQUEST, state="done"), "executing")
        assert refused.value.data["state"] == "collecting"
        with pytest.raises(StateConflict):
            uow.requests.save(replace(REQUEST, id="r9"), "collecting")
        assert uow.requests.get("r1") == REQUEST


def test_requests_are_found_by_state_and_time(store: SqlStore) -> None:
    asked = replace(REQUEST, asked_at=NOW, uid="u2")
    with store.write() as uow:
        uow.requests.add(REQUEST)
        uow.requests.add(replace(asked, id="r2", token_serial="T2", state="ready"))
        uow.requests.add(
            replace(REQUEST, id="r3", token_serial="T3", state="executing", expires_at=NOW)
        )
        uow.requests.add(replace(REQUEST, id="r4", token_serial="T4", state="done"))
        assert [r.id for r in uow.requests.in_state("ready")] == ["r2"]
        # what is executing never expires
        assert [r.id for r in uow.requests.overdue(NOW + HOUR)] == ["r1", "r2"]
        assert uow.requests.overdue(NOW + HOUR - timedelta(microseconds=1)) == []
        before = NOW - timedelta(microseconds=1)
        assert uow.requests.opened_since("u1", before, answered=False) == 3
        assert uow.requests.opened_since("u1", NOW, answered=False) == 0


def test_only_requests_with_right_answers_are_counted(store: SqlStore) -> None:
    """A stranger who opens requests and cannot answer takes none of the holder's."""
    before = NOW - timedelta(microseconds=1)
    with store.write() as uow:
        for number in range(1, 4):
            uow.requests.add(replace(REQUEST, id=f"r{number}", token_serial=f"T{number}"))
        uow.requests.add(replace(REQUEST, id="r4", token_serial="T4", uid="u2"))
        for request, method in (("r1", "code-recovery"), ("r2", "answers"), ("r2", "approval")):
            uow.requests.add_proof(request, Proof(method, NOW))
        uow.requests.add_proof("r4", Proof("answers", NOW))
        assert uow.requests.opened_since("u1", before, answered=False) == 3
        assert uow.requests.opened_since("u1", before, answered=True) == 1
        assert uow.requests.opened_since("u1", NOW, answered=True) == 0
        assert uow.requests.opened_since("u3", before, answered=True) == 0


def test_proofs_keep_their_order(store: SqlStore) -> None:
    shown = [Proof("password", NOW), Proof("answers", NOW), Proof("approval", NOW, "u2")]
    with store.write() as uow:
        uow.requests.add(REQUEST)
        for proof in shown:
            uow.requests.add_proof("r1", proof)
    with store.read() as uow:
        assert uow.requests.proofs("r1") == shown
        assert uow.requests.proofs("r2") == []


# --- codes, approvals ---------------------------------------------------------------
def test_codes_are_used_once_and_the_newest_counts(store: SqlStore) -> None:
    second = replace(CODE, id="c2")
    with store.write() as uow:
        uow.codes.add(CODE)
        uow.codes.add(second)
        uow.codes.add(replace(CODE, id="c3", purpose="address", method="address", about="u1"))
        assert uow.codes.get("c1") == CODE
        assert uow.codes.get("c9") is None
        assert uow.codes.newest("reset", "r1") == second
        assert uow.codes.newest("reset", "r2") is None
        assert uow.codes.use("c2", NOW + MINUTE)
        assert not uow.codes.use("c2", NOW + MINUTE)
        assert not uow.codes.use("c9", NOW)
        assert uow.codes.get("c2") == replace(second, used_at=NOW + MINUTE)
        assert uow.codes.sent_since("u1", NOW - MINUTE) == [NOW, NOW, NOW]
        assert uow.codes.sent_since("u1", NOW) == []


def test_approval_counts_once(store: SqlStore) -> None:
    with store.write() as uow:
        uow.requests.add(REQUEST)
        uow.approvals.add(APPROVAL)
        with pytest.raises(StateConflict):
            uow.approvals.add(replace(APPROVAL, id="a2"))
        assert uow.approvals.of_request("r1") == APPROVAL
        assert uow.approvals.of_request("r2") is None
        assert uow.approvals.use("a1", NOW)
        assert not uow.approvals.use("a1", NOW)
        assert uow.approvals.of_request("r1") == replace(APPROVAL, used_at=NOW)


def test_delegation_is_revoked_by_its_principal_once(store: SqlStore) -> None:
    with store.write() as uow:
        uow.approvals.add_delegation(DELEGATION)
        assert uow.approvals.delegations_of("u2") == [DELEGATION]
        assert uow.approvals.delegations_to("u3") == [DELEGATION]
        assert uow.approvals.delegations_to("u2") == uow.approvals.delegations_of("u3") == []
        assert not uow.approvals.revoke_delegation("d1", "u3", NOW)
        assert uow.approvals.revoke_delegation("d1", "u2", NOW)
        assert not uow.approvals.revoke_delegation("d1", "u2", NOW + MINUTE)
        assert uow.approvals.delegations_of("u2") == [replace(DELEGATION, revoked_at=NOW)]


def test_checks_of_identity_are_told_newest_first_and_bounded(store: SqlStore) -> None:
    first = IdentityCheck("u1", "u2", ("driving-licence", "passport"), NOW)
    made = [first, replace(first, operator_uid="u3"), replace(first, at=NOW + MINUTE)]
    with store.write() as uow:
        for check in (*made, replace(first, uid="u4")):
            uow.identity_checks.add(check)
    with store.read() as uow:
        assert uow.identity_checks.of_person("u1", 9) == made[::-1]
        assert uow.identity_checks.of_person("u1", 2) == made[:0:-1]
        assert uow.identity_checks.of_person("u2", 9) == []


# --- outbox, sessions ---------------------------------------------------------------
def test_mail_waits_until_it_is_sent(store: SqlStore) -> None:
    second = replace(MAIL, id="m2", facts={"ä": "\0\n"})
    with store.write() as uow:
        uow.outbox.add(MAIL)
        uow.outbox.add(second)
        assert uow.outbox.due(NOW - MINUTE, 10) == []
        assert uow.outbox.due(NOW, 10) == [MAIL, second]
        assert uow.outbox.due(NOW, 1) == [MAIL]
        uow.outbox.put_off("m1", NOW + MINUTE)
        assert uow.outbox.due(NOW, 10) == [second]
        uow.outbox.sent("m2", NOW)
        assert uow.outbox.due(NOW + HOUR, 10) == [replace(MAIL, tries=1)]
        assert uow.outbox.waiting() == 1


def test_idle_and_old_sessions_are_purged(store: SqlStore) -> None:
    with store.write() as uow:
        uow.sessions.put(SESSION)
        uow.sessions.put(replace(SESSION, data="{}", seen_at=NOW + MINUTE))
        uow.sessions.put(replace(SESSION, key="idle", seen_at=NOW - HOUR))
        uow.sessions.put(replace(SESSION, key="old", created_at=NOW - 9 * HOUR))
        uow.sessions.put(replace(SESSION, key="ended"))
        uow.sessions.delete("ended")
        assert uow.sessions.purge(NOW - MINUTE, NOW - 8 * HOUR) == 2
        assert uow.sessions.purge(NOW - MINUTE, NOW - 8 * HOUR) == 0
    with store.read() as uow:
        assert uow.sessions.get("k1") == replace(SESSION, data="{}", seen_at=NOW + MINUTE)
        assert uow.sessions.get("idle") is uow.sessions.get("old") is None
        assert uow.sessions.get("ended") is None


# --- authenticators, rehearsals, reminders -------------------------------------------
def test_the_second_address_comes_back(store: SqlStore) -> None:
    both = replace(PROFILE, second_address="e@f", second_pending="g@h")
    with store.write() as uow:
        uow.profiles.put(both)
        assert uow.profiles.get("u1") == both
        assert uow.profiles.second_address("u1") == "e@f"
        assert uow.profiles.second_address("u9") == ""


def test_an_app_waits_beside_the_one_that_counts(store: SqlStore) -> None:
    second, third = replace(APP, id="b" * 32), replace(APP, id="c" * 32)
    with store.write() as uow:
        uow.profiles.put(PROFILE)
        uow.authenticators.begin(APP)
        assert uow.authenticators.get("u1", confirmed=False) == APP
        assert uow.authenticators.get("u1", confirmed=True) is None
        assert not uow.authenticators.use(APP.id, 7)  # it does not count yet
        assert not uow.authenticators.confirm("u2", APP.id, 7)
        assert uow.authenticators.confirm("u1", APP.id, 7)
        assert not uow.authenticators.confirm("u1", APP.id, 8)
        uow.authenticators.begin(second)
        uow.authenticators.begin(third)
        assert uow.authenticators.get("u1", confirmed=False) == third
        counts = uow.authenticators.get("u1", confirmed=True)
        assert counts == replace(APP, confirmed=True, last_step=7)
        assert not uow.authenticators.confirm("u1", second.id, 9)
        assert uow.authenticators.confirm("u1", third.id, 9)
        assert not uow.authenticators.use(APP.id, 10)  # replaced
        assert uow.authenticators.remove("u1")
        assert not uow.authenticators.remove("u1")


def test_a_time_step_is_used_once_and_none_before_it(store: SqlStore) -> None:
    with store.write() as uow:
        uow.profiles.put(PROFILE)
        uow.authenticators.begin(APP)
        uow.authenticators.confirm("u1", APP.id, 7)
        steps = [uow.authenticators.use(APP.id, step) for step in (7, 6, 8, 8, 7, 10, 9)]
        assert steps == [False, False, True, False, False, True, False]


def test_a_profile_takes_all_of_it_along(store: SqlStore) -> None:
    with store.write() as uow:
        uow.profiles.put(PROFILE)
        uow.authenticators.begin(APP)
        uow.rehearsals.note_right("u1", NOW)
        uow.profiles.put(replace(PROFILE, changed_at=NOW + HOUR))  # a change keeps it
        assert uow.authenticators.get("u1", confirmed=False) == APP
        assert uow.rehearsals.right_at("u1") == NOW
        uow.profiles.delete("u1")
        assert uow.authenticators.get("u1", confirmed=False) is None
        assert uow.rehearsals.right_at("u1") is None


def test_rehearsals_are_counted_from_the_first_of_an_hour(store: SqlStore) -> None:
    with store.write() as uow:
        uow.profiles.put(PROFILE)
        assert uow.rehearsals.since("u1") is None

        def reserve(at: datetime) -> int | None:
            return uow.rehearsals.reserve("u1", 2, at, at - HOUR)

        assert [reserve(NOW), reserve(NOW + MINUTE), reserve(NOW + 2 * MINUTE)] == [1, 2, None]
        assert uow.rehearsals.since("u1") == NOW
        uow.rehearsals.give_back("u1")
        assert reserve(NOW + 3 * MINUTE) == 2
        assert reserve(NOW + HOUR - MINUTE) is None
        assert reserve(NOW + HOUR) == 1
        assert uow.rehearsals.since("u1") == NOW + HOUR
        for _ in range(3):
            uow.rehearsals.give_back("u1")
        uow.rehearsals.note_right("u1", NOW)
        assert reserve(NOW + HOUR) == 1  # never below none spent
        assert uow.rehearsals.right_at("u1") == NOW


def test_a_mark_moves_forward_only(store: SqlStore) -> None:
    with store.write() as uow:
        assert uow.reminders.mark("rehearsal", "u1", NOW, NOW - HOUR)
        assert not uow.reminders.mark("rehearsal", "u1", NOW + MINUTE, NOW)
        assert uow.reminders.mark("rehearsal", "u1", NOW + HOUR, NOW + MINUTE)
        assert uow.reminders.mark("rehearsal", "u2", NOW, NOW - HOUR)
        assert uow.reminders.mark("certificate", "u1", NOW, NOW)
        assert not uow.reminders.mark("certificate", "u1", NOW, NOW)


def test_who_is_due_a_reminder(store: SqlStore) -> None:
    """The newest of registration, success and reminder counts, each by itself."""
    old, before = NOW - 2 * HOUR, NOW - HOUR
    with store.write() as uow:
        for uid in ("u1", "u2", "u3", "u4"):
            uow.profiles.put(replace(PROFILE, uid=uid, answers_at=old))
        uow.profiles.put(replace(PROFILE, uid="u5", answers_at=NOW))
        uow.rehearsals.note_right("u2", NOW)
        uow.rehearsals.note_right("u3", old)
        uow.reminders.mark("rehearsal", "u4", NOW, NOW)
        uow.reminders.mark("certificate", "u1", NOW, NOW)
        assert sorted(uow.reminders.rehearsals_due(before, NOW, 9)) == ["u1", "u3"]
        assert len(uow.reminders.rehearsals_due(before, NOW, 1)) == 1
        assert uow.reminders.rehearsals_due(old, NOW, 9) == []
        uow.reminders.mark("missed", "u3", NOW - MINUTE, NOW)
        assert sorted(uow.reminders.rehearsals_due(before, NOW, 9)) == ["u1", "u3"]
        assert uow.reminders.rehearsals_due(before, NOW - MINUTE, 9) == ["u1"]


def test_which_certificates_end(store: SqlStore, tmp_path: Path) -> None:
    """The end is read from the certificate when the token is stored; junk has none."""
    authority = Authority.create(tmp_path / "ca")
    made = authority.issue_person(uid="u1", name="A", public_key=software_key().public_key())
    end = x509.load_der_x509_certificate(made).not_valid_after_utc
    with store.write() as uow:
        for serial, state in (("T1", "in-use"), ("T2", "in-use"), ("T3", "retired")):
            uow.tokens.put(replace(TOKEN, serial=serial, state=state, certificate=made))
        uow.tokens.put(replace(TOKEN, serial="T4", certificate=b"none"))

        def ending(after: datetime, until: datetime, limit: int = 9, missed: datetime = NOW) -> (
            list[ports.Ending]
        ):  # fmt: skip
            return uow.reminders.certificates_ending(after, until, missed, limit)

        both = [ports.Ending(serial, "u1", end) for serial in ("T1", "T2")]
        assert ending(end - HOUR, end) == both
        assert ending(end - HOUR, end, 1) == both[:1]
        assert ending(end, end + HOUR) == ending(end - 2 * HOUR, end - HOUR) == []
        uow.reminders.mark("certificate", "T1", end, end)
        assert ending(end - HOUR, end) == both[1:]
        uow.reminders.mark("missed", "u1", NOW - MINUTE, NOW)
        assert ending(end - HOUR, end) == both[1:]
        assert ending(end - HOUR, end, missed=NOW - MINUTE) == []
        uow.tokens.put(replace(TOKEN, serial="T2", certificate=b""))
        assert ending(end - HOUR, end) == []


def test_an_address_that_only_a_mail_has_kept_is_forgotten_with_it(store: SqlStore) -> None:
    former = replace(MAIL, box="former", address="old@example.org")
    with store.write() as uow:
        uow.outbox.add(former)
        assert uow.outbox.due(NOW, 10) == [former]
        uow.outbox.put_off("m1", NOW)
        assert uow.outbox.due(NOW, 10) == [replace(former, tries=1)]
        uow.outbox.sent("m1", NOW)
        kept = uow.outbox._connection.execute(select(outbox.c.address)).scalars().all()  # type: ignore[attr-defined]
        assert kept == [""]
    assert "old@example.org" not in repr(former)


def test_a_session_is_ended_under_whatever_key_it_has(store: SqlStore) -> None:
    with store.write() as uow:
        uow.sessions.put(SESSION)
        moved = replace(SESSION, key="k2", data="[]")
        assert uow.sessions.renew(SESSION.key, moved)
        assert uow.sessions.of_person(SESSION.uid) == [moved]
        assert not uow.sessions.renew(SESSION.key, moved)
        uow.sessions.keep("k2", "{}")
        uow.sessions.keep("gone", "{}")
        assert uow.sessions.of_person(SESSION.uid) == [replace(moved, data="{}")]
        uow.sessions.end(SESSION.handle)
        assert uow.sessions.of_person(SESSION.uid) == []
