"""What proofs amount to: methods of one kind never add, stale ones do not count (S2.6-S2.8)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reset.core.assurance import (
    CAP,
    CODES,
    KINDS,
    LOGINS,
    METHODS,
    RECORDED,
    USUAL,
    Gate,
    Proof,
    Requirement,
    amr,
    attained,
    covered,
    fresh,
    standing,
)
from reset.core.policy import Policy
from reset.core.threats import demanded

NOW = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
POLICY = Policy()

methods = st.sampled_from(sorted(METHODS))
ages = st.integers(-60 * 24 * 10, 60 * 24 * 10).map(lambda minutes: timedelta(minutes=minutes))
proofs = st.builds(lambda method, age: Proof(method, NOW - age), methods, ages)
some = st.lists(proofs, max_size=8)
gates = st.sampled_from([POLICY.ask, POLICY.release, POLICY.resume])


def gate_of(*needed: tuple[str, ...], level: int) -> Gate:
    """A gate before a token; one requirement for each choice of methods."""
    requirements = tuple(Requirement(choice[0], choice, MINUTE) for choice in needed)
    return Gate("here", requirements, level, releases=True)


def made(*methods: str, ago: timedelta = MINUTE) -> list[Proof]:
    return [Proof(method, NOW - ago) for method in methods]


# --- what sets of proofs amount to ----------------------------------------------------
WORKED = {
    "nothing": ((), 0),
    "a password alone": (("password",), 1),
    # S1.71 holds for confidence, not for the level
    "password and questions stay at 1": (("password", "answers"), 1),
    # S1.74: the same PID opens the mailbox
    "a code to the PID's own mailbox stays at 1": (("password", "answers", "code-mailbox"), 1),
    "an independent code makes 2": (("password", "answers", "code-recovery"), 2),
    "an app's code makes 2": (("password", "answers", "code-app"), 2),
    "two independent codes are one kind": (
        ("password", "answers", "code-app", "code-recovery"), 2,
    ),
    "app and signature make 3": (("password", "answers", "code-app", "approval"), 3),
    "the supervisor's signature makes 3": (
        ("password", "answers", "code-recovery", "approval"), 3,
    ),
    "own mailbox and signature make 2": (("password", "answers", "code-mailbox", "approval"), 2),
    "a signature without a code makes 2": (("password", "approval"), 2),
    "the same method twice adds nothing": (("password", "password"), 1),
    "two signatures are one kind": (("password", "approval", "approval"), 2),
    "two codes are one kind": (("password", "code-recovery", "code-recovery"), 2),
    "the channel adds nothing": (("password", "tls"), 1),
    "the channel adds nothing to a certificate": (("certificate", "tls"), 3),
    "the token's certificate is worth 3": (("certificate",), 3),
    "certificate and code are both had": (("certificate", "code-recovery"), 3),
    "certificate and password make 4": (("certificate", "password"), 4),
    # conflict 4, row 15 of B.2: a hard token with questions reaches 4 by the rule of kinds
    "certificate and questions make 4": (("certificate", "answers"), 4),
    "nothing goes above 4": (("certificate", "password", "approval"), 4),
    # nothing of this is a login (S2.34)
    "answers are no login": (("answers",), 0),
    "a signature is no login": (("approval",), 0),
    "no login, no level": (("answers", "code-recovery", "approval"), 0),
    "a line is no login": (("tls",), 0),
}  # fmt: skip


@pytest.mark.parametrize(("shown", "level"), WORKED.values(), ids=WORKED)
def test_worked_example(shown: tuple[str, ...], level: int) -> None:
    assert attained(shown) == level


names = st.lists(methods, max_size=8)


@given(names, st.randoms())
def test_order_never_matters(shown: list[str], random: Random) -> None:
    mixed = list(shown)
    random.shuffle(mixed)
    assert attained(mixed) == attained(shown)
    assert amr(mixed) == amr(shown)


@given(some, st.randoms(), gates)
def test_order_never_matters_at_a_gate(shown: list[Proof], random: Random, gate: Gate) -> None:
    mixed = list(shown)
    random.shuffle(mixed)
    assert standing(gate, mixed, NOW) == standing(gate, shown, NOW)


@given(names, methods, st.integers(0, 100))
def test_a_further_success_never_lowers_the_level(
    shown: list[str], more: str, context: int
) -> None:
    after = [*shown, more]
    assert attained(after, context=context) >= attained(shown, context=context)
    assert covered(after) >= covered(shown)


@given(some, proofs, gates)
def test_a_further_proof_never_closes_a_gate(shown: list[Proof], more: Proof, gate: Gate) -> None:
    """A newer approval asks for a newer code; nothing else takes anything away."""
    before, after = standing(gate, shown, NOW), standing(gate, [*shown, more], NOW)
    if more.method != "approval":
        assert set(after.missing) <= set(before.missing)
        assert after.uncovered <= before.uncovered
        assert after.level >= before.level


@given(names, methods)
def test_a_second_success_of_a_kind_adds_nothing(shown: list[str], method: str) -> None:
    """S2.7, T36: the same kind shares the same weakness."""
    kinds = {METHODS[name].kind for name in shown}
    if METHODS[method].kind in kinds and method not in LOGINS:
        assert attained([*shown, method]) == attained(shown)


@given(names)
def test_the_level_is_bounded_and_nothing_without_a_login(shown: list[str]) -> None:
    assert 0 <= attained(shown) <= CAP == 4
    assert bool(attained(shown)) == any(name in LOGINS for name in shown)


def test_what_a_login_is_worth_is_the_policys_to_say() -> None:
    """A provider that shows two kinds, and no kind counts a second time beside it."""
    strong = LOGINS | {"sso": 2}
    assert attained(("sso", "answers", "code-recovery"), LOGINS) == 2
    assert attained(("sso",), strong) == 2
    assert attained(("sso", "answers", "code-recovery", "code-app"), strong) == 2
    assert attained(("sso", "answers", "code-recovery", "approval"), strong) == 3
    assert attained(("certificate",), {"password": 1}) == 0


# --- context (S2.15) ---------------------------------------------------------------------
@given(names, st.integers(0, 100))
def test_circumstances_take_at_most_one_level_and_never_add(shown: list[str], context: int) -> None:
    plain, judged = attained(shown), attained(shown, context=context)
    assert judged == (max(0, plain - 1) if context < USUAL else plain)


@given(names, st.integers(0, 100), st.integers(0, 100))
def test_better_circumstances_never_lower(shown: list[str], one: int, other: int) -> None:
    low, high = sorted((one, other))
    assert attained(shown, context=low) <= attained(shown, context=high)


# --- ages --------------------------------------------------------------------------------
@given(some, st.lists(proofs.map(lambda p: Proof(p.method, NOW + MINUTE)), max_size=4))
def test_proofs_from_the_future_change_nothing(shown: list[Proof], future: list[Proof]) -> None:
    shown = [p for p in shown if p.at <= NOW]
    for gate in (POLICY.ask, POLICY.release, POLICY.resume):
        assert standing(gate, [*shown, *future], NOW) == standing(gate, shown, NOW)


@given(some)
def test_stale_proofs_change_nothing(shown: list[Proof]) -> None:
    """S2.9: what is older than its limit counts as if it had never been shown."""
    gate = POLICY.ask
    limits = {m: r.max_age for r in gate.requirements for m in r.methods}
    young = [p for p in shown if p.method in limits and NOW - p.at < limits[p.method]]
    assert replace(standing(gate, shown, NOW), again=()) == standing(gate, young, NOW)


def test_the_age_limit_is_exact() -> None:
    need = Requirement("password", ("password",), timedelta(minutes=30))
    old = Proof("password", NOW - timedelta(minutes=30))
    young = Proof("password", old.at + timedelta(microseconds=1))
    assert fresh(need, [old, young, Proof("password", NOW)], NOW) == [young, Proof("password", NOW)]


# --- the gates -----------------------------------------------------------------------
def test_the_approver_is_asked_after_password_answers_and_recovery_code() -> None:
    shown = made("password", "answers", "code-recovery")
    assert standing(POLICY.ask, shown, NOW).open
    for number, name in enumerate(("password", "answers", "code")):
        here = standing(POLICY.ask, [p for i, p in enumerate(shown) if i != number], NOW)
        assert not here.open
        assert here.missing == (name,)


def test_a_code_to_the_own_mailbox_opens_no_gate() -> None:
    """S1.74: a mailbox that the PID opens is no independent layer."""
    shown = made("password", "answers", "code-mailbox")
    here = standing(POLICY.ask, shown, NOW)
    assert (here.missing, here.level, here.open) == (("code",), 1, False)
    later = [*made("approval", ago=2 * MINUTE), *shown]
    assert not standing(POLICY.release, later, NOW).open


def test_a_certificate_login_stands_in_for_nothing_at_the_gates() -> None:
    here = standing(POLICY.ask, made("certificate"), NOW)
    assert (here.missing, here.level) == (("password", "answers", "code"), 0)


def test_a_code_from_before_the_approval_does_not_count_at_the_release() -> None:
    shown = [*made("password", "answers"), *made("code-recovery", ago=3 * MINUTE)]
    approval = made("approval", ago=2 * MINUTE)
    here = standing(POLICY.release, [*shown, *approval], NOW)
    assert (here.missing, here.open) == (("code",), False)
    again = [*shown, *approval, *made("code-recovery")]
    assert standing(POLICY.release, again, NOW).open


def test_an_approval_from_the_future_takes_no_code_away() -> None:
    shown = [*made("approval", ago=2 * MINUTE), *made("password", "answers", "code-recovery")]
    assert standing(POLICY.release, [*shown, Proof("approval", NOW + MINUTE)], NOW).open


def test_two_days_later_the_holder_logs_in_and_confirms_a_code_only() -> None:
    """Design section 3: the questions are not asked again."""
    earlier = made("password", "answers", "code-recovery", ago=timedelta(days=2, hours=1))
    shown = [*earlier, *made("approval", ago=timedelta(days=2))]
    assert standing(POLICY.release, shown, NOW).missing == ("password", "code")
    assert standing(POLICY.release, [*shown, *made("password", "code-recovery")], NOW).open


def test_an_old_approval_opens_the_release_no_more() -> None:
    """S1.94: it expires; an order that is repeated for a spent one may still go on."""
    shown = made("password", "answers", "code-recovery")
    late = [*shown, *made("approval", ago=POLICY.approval_age)]
    assert standing(POLICY.release, late, NOW).missing == ("approval",)
    assert standing(POLICY.resume, late, NOW).open


@given(some)
def test_no_gate_to_the_token_opens_without_an_approval(shown: list[Proof]) -> None:
    """Promise 2: whatever else was shown."""
    alone = [p for p in shown if p.method != "approval"]
    for gate in (POLICY.release, POLICY.resume):
        here = standing(gate, alone, NOW)
        assert not here.open
        assert "approval" in here.missing


def test_what_does_not_count_any_more_is_told_from_what_never_came() -> None:
    shown = [*made("password", ago=timedelta(hours=1)), *made("answers")]
    here = standing(POLICY.ask, shown, NOW)
    assert (here.missing, here.again) == (("password", "code"), ("password",))
    later = standing(POLICY.release, [*made("password", ago=-MINUTE)], NOW)
    assert later.again == ()  # the future is not the past


def test_an_unknown_method_is_our_own_bug() -> None:
    with pytest.raises(KeyError):
        attained(("password", "magic"))


# --- threats (S2.22) ------------------------------------------------------------------------
def test_the_holders_own_proofs_cover_what_the_gates_demand() -> None:
    for gate in (POLICY.ask, POLICY.release, POLICY.resume):
        own = [m for r in gate.requirements for m in r.methods if m != "approval"]
        assert gate.must_cover <= covered(own)


def test_a_gate_stays_shut_while_a_demanded_threat_is_unanswered() -> None:
    """Level 4 wants a holder that leaves nothing to pass on: only the certificate does."""
    logins = {"password": 3, "certificate": 3}
    gate = replace(
        gate_of(("password", "certificate"), CODES, ("approval",), level=4), logins=logins
    )
    typed = standing(gate, made("password", "code-recovery", "approval", ago=0 * MINUTE), NOW)
    assert (typed.missing, typed.level) == ((), 4)
    assert typed.uncovered == {"man-in-the-middle-strong"}
    assert not typed.open
    signed = standing(gate, made("certificate", "code-mailbox", "approval", ago=0 * MINUTE), NOW)
    assert signed.uncovered == frozenset()
    assert signed.open


@given(names)
def test_what_somebody_else_vouches_for_covers_nothing_of_the_holders(shown: list[str]) -> None:
    assert covered([*shown, "approval"]) == covered(shown)


def test_phishing_is_answered_by_the_certificate_alone() -> None:
    """T21. Why the register has a row for it, and the gate at 3 does not demand it."""
    typed = [m for m in RECORDED if m != "certificate"]
    assert "phishing" in demanded(3) - covered(typed)
    assert "phishing" in covered(["certificate"])
    assert "phishing" not in POLICY.release.must_cover


# --- a gate is judged before it is used ---------------------------------------------------------
UNSAFE = {
    "no second person": gate_of(("password",), ("code-recovery",), level=2),
    "no second person in every way": gate_of(("certificate",), ("approval", "password"), level=3),
    "a way below the level": gate_of(("password",), CODES, ("approval",), level=3),
    "no login": gate_of(("answers",), ("approval",), level=1),
    "a threat left open": replace(
        gate_of(("password",), ("code-recovery",), ("approval",), level=4), logins={"password": 3}
    ),
}  # fmt: skip
REASONS = {
    "no second person": "no second person",
    "no second person in every way": "no second person",
    "a way below the level": "password + code-mailbox + approval reach 2, not 3",
    "no login": "answers + approval reach 0, not 1",
    "a threat left open": "leave unanswered: man-in-the-middle-strong",
}


@pytest.mark.parametrize("name", UNSAFE)
def test_an_unsafe_gate_is_refused_with_its_reason(name: str) -> None:
    (line,) = UNSAFE[name].problems()
    assert REASONS[name] in line


def test_the_gates_of_the_default_policy_are_safe() -> None:
    assert [g.problems() for g in (POLICY.ask, POLICY.release, POLICY.resume)] == [[], [], []]
    assert not POLICY.ask.releases
    assert POLICY.release.releases
    assert POLICY.resume.releases


# --- amr (RFC 8176) --------------------------------------------------------------------------
# IANA, Authentication Method Reference Values: RFC 8176, section 2, and pop of OpenID's EAP
REGISTERED = frozenset(
    "face fpt geo hwk iris kba mca mfa otp pin pop pwd rba retina sc sms swk tel user vbm "
    "wia".split()
)


@given(names)
def test_only_registered_values(shown: list[str]) -> None:
    assert set(amr(shown)) <= REGISTERED
    assert list(amr(shown)) == sorted(set(amr(shown)))


@given(names)
def test_mfa_means_two_kinds_of_the_holders_own(shown: list[str]) -> None:
    kinds = {METHODS[name].kind for name in shown} & {"know", "have", "are"}
    assert ("mfa" in amr(shown)) == (len(kinds) > 1)


@pytest.mark.parametrize(
    ("shown", "values"),
    [
        ((), ()),
        (("password",), ("pwd",)),
        (("password", "answers"), ("kba", "pwd")),
        (("password", "code-mailbox"), ("otp", "pwd")),  # neither factor nor channel of its own
        (("password", "code-recovery"), ("mca", "mfa", "otp", "pwd")),
        (("certificate",), ("hwk", "pin")),
        (("password", "approval"), ("pwd",)),  # no value says that somebody else signed
        (("tls",), ()),
    ],
)
def test_the_crosswalk(shown: tuple[str, ...], values: tuple[str, ...]) -> None:
    assert amr(shown) == values


# --- the tables hold together ------------------------------------------------------------------
def test_methods_name_known_kinds_and_proofs_are_only_of_kinds_that_add() -> None:
    assert {m.kind for m in METHODS.values()} <= set(KINDS)
    assert {name for name, kind in KINDS.items() if not kind.adds} == {"channel", "context"}
    assert [name for name, kind in KINDS.items() if not kind.own] == ["vouch"]
    assert set(METHODS) - set(RECORDED) == {"tls"}
    assert set(CODES) < set(RECORDED)
    assert set(LOGINS) < set(RECORDED)
