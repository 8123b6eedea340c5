"""What proofs amount to: methods of one kind never add, stale ones do not count (S2.6-S2.8)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reset.core.assurance import (
    CAP,
    METHODS,
    Gate,
    Proof,
    Requirement,
    attained,
    fresh,
    standing,
)
from reset.core.policy import Policy

NOW = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
POLICY = Policy()

methods = st.sampled_from(sorted(METHODS))
ages = st.integers(-60 * 24 * 10, 60 * 24 * 10).map(lambda minutes: timedelta(minutes=minutes))
proofs = st.builds(lambda method, age: Proof(method, NOW - age), methods, ages)
some = st.lists(proofs, max_size=8)


def made(*methods: str, ago: timedelta = MINUTE) -> list[Proof]:
    return [Proof(method, NOW - ago) for method in methods]


@pytest.mark.parametrize(
    ("shown", "level"),
    [
        ((), 0),
        (("password",), 1),
        (("password", "answers"), 1),  # both know (S1.71 holds for confidence, not for level)
        (("password", "answers", "code-mailbox"), 1),  # the same PID opens the mailbox (S1.74)
        (("password", "answers", "code-recovery"), 2),
        (("password", "answers", "code-recovery", "approval"), 3),
        (("password", "answers", "code-mailbox", "approval"), 2),
        (("password", "approval"), 2),
        (("password", "password"), 1),
        (("password", "approval", "approval"), 2),
        (("password", "code-recovery", "code-recovery"), 2),
        (("certificate",), 3),
        (("certificate", "code-recovery"), 3),  # both have
        (("certificate", "password"), 4),
        (("certificate", "password", "approval"), 4),
        # nothing of this is a login (S2.34)
        (("answers",), 0),
        (("approval",), 0),
        (("answers", "code-recovery", "approval"), 0),
    ],
)
def test_worked_examples(shown: tuple[str, ...], level: int) -> None:
    assert attained(made(*shown)) == level


@given(some, st.randoms())
def test_order_never_matters(shown: list[Proof], random: object) -> None:
    mixed = list(shown)
    random.shuffle(mixed)  # type: ignore[attr-defined]
    assert attained(mixed) == attained(shown)
    for gate in (POLICY.ask, POLICY.release, POLICY.resume):
        assert standing(gate, mixed, NOW) == standing(gate, shown, NOW)


@given(some, proofs)
def test_a_further_proof_never_lowers_the_level(shown: list[Proof], more: Proof) -> None:
    assert attained([*shown, more]) >= attained(shown)


@given(some, proofs, st.sampled_from([POLICY.ask, POLICY.release, POLICY.resume]))
def test_a_further_proof_never_closes_a_gate(shown: list[Proof], more: Proof, gate: Gate) -> None:
    """A newer approval asks for a newer code; nothing else takes anything away."""
    before, after = standing(gate, shown, NOW), standing(gate, [*shown, more], NOW)
    if more.method != "approval":
        assert set(after.missing) <= set(before.missing)
        assert after.level >= before.level


@given(some, methods)
def test_a_second_proof_of_a_kind_adds_nothing(shown: list[Proof], method: str) -> None:
    """S2.7: the same kind shares the same weakness."""
    kinds = {METHODS[p.method].kind for p in shown}
    if METHODS[method].kind in kinds and not METHODS[method].login_level:
        assert attained([*shown, *made(method)]) == attained(shown)


@given(some)
def test_the_level_is_bounded_and_nothing_without_a_login(shown: list[Proof]) -> None:
    assert 0 <= attained(shown) <= CAP == 4
    if not any(METHODS[p.method].login_level for p in shown):
        assert attained(shown) == 0


@given(some, st.lists(proofs.map(lambda p: Proof(p.method, NOW + MINUTE)), max_size=4))
def test_proofs_from_the_future_change_nothing(shown: list[Proof], future: list[Proof]) -> None:
    shown = [p for p in shown if p.at <= NOW]
    for gate in (POLICY.ask, POLICY.release, POLICY.resume):
        assert standing(gate, [*shown, *future], NOW) == standing(gate, shown, NOW)


@given(some)
def test_stale_proofs_change_nothing(shown: list[Proof]) -> None:
    """S2.9: what is older than its limit is as if it had never been shown."""
    gate = POLICY.ask
    limits = {m: r.max_age for r in gate.requirements for m in r.methods}
    young = [p for p in shown if p.method in limits and NOW - p.at < limits[p.method]]
    assert standing(gate, shown, NOW) == standing(gate, young, NOW)


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
    assert (here.missing, here.level, here.open) == ((), 1, False)
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


def test_an_unknown_method_is_our_own_bug() -> None:
    with pytest.raises(KeyError):
        attained(made("password", "magic"))
