"""Every limit has a default that holds and a range; nothing is configurable below a signature.

What a policy is worth, and who accepts it, is judged with the limits (S1.70, S1.74).
"""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pkcs11_driver.families import FAMILIES, Family
from pkcs11_driver.wire import PinRules, broken_pin_rules
from reset.core.assurance import LOGINS, RECORDED, Proof, standing
from reset.core.deviations import BELOW, Acceptance
from reset.core.policy import Policy

NOW = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)
TODAY = NOW.date()
ACCEPTED = Acceptance(BELOW, "Sue Supervisor", date(2026, 1, 1), date(2026, 12, 31))
AGES = [f.name for f in fields(Policy) if isinstance(getattr(Policy(), f.name), timedelta)]
LOGIN_SLOW_AFTER = "login_slow_after"  # any value slows down; none opens anything


def test_the_defaults_are_acceptable() -> None:
    assert Policy().problems(TODAY) == []


def test_the_defaults_are_those_of_the_design() -> None:
    p = Policy()
    assert (p.questions_minimum, p.questions_asked, p.failed_rounds) == (5, 3, 3)
    assert (p.code_digits, p.code_age, p.code_tries) == (8, timedelta(minutes=10), 5)
    assert (p.code_sends_per_hour, p.approval_age) == (3, timedelta(hours=72))
    assert (p.pin.minimum, p.pin.classes, set(p.pin.forbidden)) == (8, 3, set("}]="))
    assert (p.so_tries, FAMILIES["etoken"].so_tries, p.level) == (7, 15, 3)
    assert (p.session_idle, p.session_absolute) == (timedelta(minutes=15), timedelta(hours=8))


BAD: list[tuple[str, Any]] = [
    ("level", 0),
    ("level", 2),
    ("level", 4),  # no set of proofs would be enough
    ("code_box", "mailbox"),  # level 3 is out of reach then
    ("logins", {"password": 2, "certificate": 3}),  # what is only known is worth 1
    ("logins", {"password": 1, "certificate": 5}),
    ("logins", {"password": 1, "certificate": 0}),
    ("logins", {"password": 1, "certificate": 3, "magic": 1}),
    ("acceptances", (replace(ACCEPTED, until=date(2026, 3, 3)),)),
    ("questions_asked", 2),
    ("questions_minimum", 3),
    ("own_questions_maximum", -1),
    ("predefined_minimum", -1),
    ("predefined_minimum", 99),
    ("questions_minimum", 99),  # more than anybody could choose
    ("rehearsals_per_hour", 0),
    ("rehearsals_per_hour", 11),
    ("answer_minimum", 2),
    ("failed_rounds", 0),
    ("failed_rounds", 11),
    ("code_digits", 7),
    ("code_digits", 13),
    ("code_age", timedelta(minutes=61)),
    ("code_tries", 0),
    ("code_tries", 11),
    ("code_sends_per_hour", 0),
    ("code_sends_per_hour", 11),
    ("pairing_age", timedelta(minutes=61)),
    ("pairing_tries", 0),
    ("pairing_tries", 11),
    ("requests_per_day", 0),
    ("requests_per_day", 11),  # each brings new tries at a code
    ("delegations_per_day", 0),
    ("delegations_per_day", 21),  # each is mailed to a colleague
    ("approval_age", timedelta(days=7, seconds=1)),
    ("so_tries", 2),
    ("so_tries", 8),
    ("so_tries", 15),
    ("lease", timedelta(seconds=29)),
    ("lease", timedelta(minutes=11)),
    ("releases_per_hour", 0),
    ("releases_per_hour", 1001),  # a cap that nobody reaches is none
    ("releases_per_approval", 0),
    ("address_failures", 9),
    ("session_idle", timedelta(minutes=61)),
    ("session_absolute", timedelta(hours=13)),
    *((name, timedelta()) for name in AGES),
    *((name, -timedelta(seconds=1)) for name in AGES),
]
# what the line begins with, where it is not the field
NAMED = {"code_box": "level", "acceptances": "acceptance"}
BAD_PIN = [
    ("minimum", 7),
    ("maximum", 7),
    ("classes", 2),
    ("classes", 5),
]


@pytest.mark.parametrize(("name", "value"), BAD)
def test_a_bad_value_is_named(name: str, value: Any) -> None:
    lines = replace(Policy(), **{name: value}).problems(TODAY)
    named = NAMED.get(name, name)
    assert any(line.startswith(f"{named}: ") for line in lines)


@pytest.mark.parametrize(("name", "value"), BAD_PIN)
def test_a_bad_pin_rule_is_named(name: str, value: Any) -> None:
    lines = Policy(pin=replace(PinRules(), **{name: value})).problems(TODAY)
    assert any(line.startswith(f"pin.{name}: ") for line in lines)


def test_every_limit_has_a_bad_value() -> None:
    checked = {name for name, _ in BAD} | {"pin", LOGIN_SLOW_AFTER}
    assert checked == {f.name for f in fields(Policy)}


def test_every_problem_is_told_at_once() -> None:
    lines = Policy(level=1, code_digits=1, so_tries=99, lease=timedelta()).problems(TODAY)
    named = {line.partition(":")[0] for line in lines}
    assert {"level", "code_digits", "so_tries", "lease"} <= named


def test_a_policy_cannot_be_changed_in_place() -> None:
    with pytest.raises(FrozenInstanceError):
        Policy().level = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("questions_minimum", 4),
        ("code_age", timedelta(hours=1)),
        ("so_tries", 3),
        ("so_tries", 7),
        ("code_tries", 1),
        ("own_questions_maximum", 0),
        ("lease", timedelta(seconds=30)),
        ("requests_per_day", 10),
        ("delegations_per_day", 1),
        ("delegations_per_day", 20),
        ("approval_age", timedelta(days=7)),
        ("releases_per_hour", 1000),
        ("session_idle", timedelta(hours=1)),
    ],
)
def test_the_edges_of_the_ranges_are_acceptable(name: str, value: Any) -> None:
    assert replace(Policy(), **{name: value}).problems(TODAY) == []


def test_all_four_classes_may_be_asked_for() -> None:
    assert Policy(pin=PinRules(classes=4, minimum=12)).problems(TODAY) == []


# --- families -----------------------------------------------------------------------------
@pytest.mark.parametrize("family", FAMILIES.values(), ids=list(FAMILIES))
def test_people_keep_more_than_half_of_the_so_tries(family: Family) -> None:
    """S1.28: whatever the policy says."""
    for so_tries in (3, 7):
        budget = Policy(so_tries=so_tries).so_budget(family)
        assert 1 <= budget <= so_tries
        assert 2 * budget < family.so_tries


def test_the_budgets() -> None:
    budgets = {name: Policy().so_budget(family) for name, family in FAMILIES.items()}
    assert budgets == {"etoken": 7, "opencryptoki": 1, "openpgp": 1, "yubikey": 1, "piv": 1}


@pytest.mark.parametrize(
    ("pin", "broken"),
    [
        ("Abcdef12", ()),
        ("Abcdef1", ("too-short",)),
        ("Abcdef123", ("too-long",)),
        ("ÄBcdef12", ("too-long",)),  # nine bytes
        ("12345678", ("classes",)),
    ],
)
def test_a_piv_card_takes_eight_characters_of_the_policys_kind(
    pin: str, broken: tuple[str, ...]
) -> None:
    rules = FAMILIES["yubikey"].pin_rules(Policy().pin)
    assert rules == PinRules(8, 8, 3, "}]=")
    assert broken_pin_rules(pin, rules) == broken


@pytest.mark.parametrize(
    ("pin", "met"),
    [
        (PinRules(), set(FAMILIES)),
        (PinRules(maximum=8), set(FAMILIES)),
        (PinRules(minimum=9), {"etoken", "openpgp"}),
        (PinRules(minimum=33), {"etoken"}),
    ],
)
def test_a_family_that_cannot_keep_the_pin_rules_is_named(pin: PinRules, met: set[str]) -> None:
    policy = Policy(pin=pin)
    assert {name for name, family in FAMILIES.items() if not policy.unmet(family)} == met
    if "yubikey" not in met:
        told = policy.unmet(FAMILIES["yubikey"])
        assert "yubikey take PINs of 6 to 8" in told
        assert f"wants {pin.minimum} to 64" in told
        assert "pin.minimum" in told


# --- nothing below "another person signed" ------------------------------------------------
values: dict[type, st.SearchStrategy[Any]] = {
    str: st.sampled_from(["recovery", "mailbox"]),
    dict: st.just(Policy().logins),
    tuple: st.sampled_from([(), (ACCEPTED,)]),
    int: st.integers(-3, 20),
    timedelta: st.timedeltas(-2 * DAY, 40 * DAY),
    PinRules: st.just(PinRules()),
}
policies = st.fixed_dictionaries(
    {f.name: values[type(getattr(Policy(), f.name))] for f in fields(Policy)}
).map(lambda chosen: Policy(**chosen))
moments = st.integers(-10, 60 * 24 * 40).map(lambda minutes: NOW - timedelta(minutes=minutes))
proofs = st.builds(Proof, st.sampled_from(RECORDED), moments)


@given(policies, st.lists(proofs, max_size=10))
def test_no_policy_at_all_lets_an_so_pin_go_without_an_approval(
    policy: Policy, shown: list[Proof]
) -> None:
    """S1.84, S1.86: not even a policy that would be refused at the start."""
    alone = [p for p in shown if p.method != "approval"]
    for gate in (policy.release, policy.resume):
        assert not standing(gate, alone, NOW).open


@given(policies)
def test_an_acceptable_policy_needs_another_person_and_the_worth_that_was_accepted(
    policy: Policy,
) -> None:
    if policy.problems(TODAY):
        return
    box = "code-mailbox" if policy.code_box == "mailbox" else "code-recovery"
    own = [Proof(m, NOW) for m in ("password", "answers", box)]
    assert standing(policy.ask, own, NOW).open
    assert standing(policy.release, [*own, Proof("approval", NOW)], NOW).open
    assert policy.level == 3 or policy.accepted(BELOW)


@pytest.mark.parametrize(("limit", "value"), [("code_box", "mailbox"), ("level", 2)])
def test_a_reset_below_the_token_needs_an_acceptance(limit: str, value: Any) -> None:
    """S1.70: by name and date; without it the service does not start."""
    policy = replace(Policy(level=2), **{limit: value})
    (line,) = policy.problems(TODAY)
    assert "below 3, what the token is worth" in line
    assert replace(policy, acceptances=(ACCEPTED,)).problems(TODAY) == []


def test_no_policy_makes_the_token_worth_less_to_get_around_it() -> None:
    (line,) = Policy(level=2, logins=LOGINS | {"certificate": 1}).problems(TODAY)
    assert "below 3, what the token is worth" in line


def test_an_acceptance_raises_nothing_above_what_is_reached() -> None:
    """S1.74: the mailbox that the PID opens stays worth nothing, whoever signs for it."""
    lines = Policy(code_box="mailbox", acceptances=(ACCEPTED,)).problems(TODAY)
    assert lines == [
        "level: at ask, password + answers + code-mailbox reach 1, not 2",
        "level: at ask, sso + answers + code-mailbox reach 1, not 2",
        "level: at release, password + answers + code-mailbox + approval reach 2, not 3",
        "level: at release, sso + answers + code-mailbox + approval reach 2, not 3",
    ]


@pytest.mark.parametrize(("name", "level"), [("password", 2), ("sso", 3), ("sso", 0), ("x", 1)])
def test_a_login_is_worth_no_more_than_it_can_show(name: str, level: int) -> None:
    lines = Policy(logins=LOGINS | {name: level}).problems(TODAY)
    assert any(line.startswith("logins: ") for line in lines)


def test_a_single_sign_on_may_be_worth_two() -> None:
    assert Policy(logins=LOGINS | {"sso": 2}).problems(TODAY) == []


def test_nothing_makes_a_second_person_needless() -> None:
    for accepted in ((), (ACCEPTED,)):
        lines = Policy(level=1, code_box="mailbox", acceptances=accepted).problems(TODAY)
        assert "level: below 2 no other person's signature would count" in lines


def test_a_code_that_the_pid_opens_counts_only_where_codes_go_there() -> None:
    mailbox = Policy(code_box="mailbox", level=2, acceptances=(ACCEPTED,))
    assert "code-mailbox" not in Policy().codes
    assert "code-mailbox" in mailbox.codes
    shown = [Proof(m, NOW) for m in ("password", "answers", "code-mailbox", "approval")]
    assert standing(Policy().release, shown, NOW).missing == ("code",)
    here = standing(mailbox.release, shown, NOW)
    assert (here.level, here.open) == (2, True)


def test_each_state_stands_at_its_gate() -> None:
    policy = Policy()
    assert policy.gate("collecting").name == "ask"
    assert policy.gate("ready").name == "release"
    assert policy.gate("executing").name == "resume"
