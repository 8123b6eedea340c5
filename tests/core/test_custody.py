"""SO PINs are never lost and their tries never burnt (promise 3, S1.25-S1.29, R1-R9).

The machine below plays orders, faults and reports in any sequence against a model of a token that
counts wrong SO PINs and blocks after 15 (S1.19), and against one that blocks after 3.
"""

from __future__ import annotations

import typing
from dataclasses import dataclass, replace
from datetime import date
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from pkcs11_driver import wire
from pkcs11_driver.families import FAMILIES
from reset.core import custody
from reset.core.custody import (
    Event,
    Operation,
    State,
    advance,
    affordable,
    candidates,
    cost,
    tries_after,
    tries_unsent,
)
from reset.core.policy import Policy
from reset.errors import StateConflict

STATES = typing.get_args(State)
EVENTS = typing.get_args(Event)

EXPECTED = {
    "intent": {"send": "sent", "budget-over": "office"},
    "sent": {
        "withdraw": "withdrawn",
        "lease-over": "unknown",
        "proven": "done",
        "open": "unknown",
        "refused": "office",
    },
    "unknown": {
        "send": "sent",
        "budget-over": "office",
        "proven": "done",
        "open": "unknown",
        "refused": "office",
    },
    # a report that comes late is still heard
    "office": {"proven": "done", "open": "office", "refused": "office"},
    # no SO PIN ever left: nothing can come after it
    "withdrawn": {},
    "done": {},
}


def operation(**changed: typing.Any) -> Operation:
    base = Operation("op", "request", "approval", "A1", "intent", 4, 5)
    return replace(base, **changed)


def test_the_expectation_speaks_of_every_state_and_event() -> None:
    assert set(EXPECTED) == set(STATES)
    assert {event for row in EXPECTED.values() for event in row} == set(EVENTS)


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("event", EVENTS)
def test_every_state_with_every_event(state: State, event: Event) -> None:
    if event in EXPECTED[state]:
        assert advance(state, event) == EXPECTED[state][event]
        return
    with pytest.raises(StateConflict) as caught:
        advance(state, event)
    assert caught.value.data == {"state": state, "event": event}


def test_only_done_and_withdrawn_are_resolved() -> None:
    """One unresolved operation per token: until it ends, nothing else happens on it (R9)."""
    assert {"done", "withdrawn"} == custody.SETTLED
    assert set(STATES) - custody.SETTLED == custody.UNRESOLVED


def test_withdrawn_is_reached_only_from_sent_and_left_never() -> None:
    """Where a helper may have told something, only the token's own outcome counts."""
    entries = [pair for pair, after in custody.TRANSITIONS.items() if after == "withdrawn"]
    assert entries == [("sent", "withdraw")]
    assert not [state for state, _ in custody.TRANSITIONS if state in custody.SETTLED]
    assert "withdraw" not in custody.OUTCOMES.values(), "no helper can say so"


def test_every_outcome_of_the_helper_has_a_meaning_and_only_done_is_proven() -> None:
    """R7: whatever is not a proven end or a refused SO PIN leaves the outcome open."""
    told = set(typing.get_args(wire.Outcome)) - {"signed"}
    assert set(custody.OUTCOMES) == told
    assert {o for o, event in custody.OUTCOMES.items() if event == "proven"} == {"done"}
    refused = {o for o, event in custody.OUTCOMES.items() if event == "refused"}
    assert refused == {"so-pin-refused", "so-pin-locked"}
    assert set(custody.OUTCOMES.values()) <= {"proven", "open", "refused"}


# --- candidates and budget -------------------------------------------------------------
def test_the_first_order_tries_the_active_so_pin_only() -> None:
    assert candidates(operation(epoch=0)) == (4,)


@given(st.integers(1, 100), st.integers(1, 100), st.integers(0, 15))
def test_a_resumed_order_tries_pending_then_active(epoch: int, active: int, spent: int) -> None:
    """R1, R8: never a third candidate, and pending first: SetPIN may have happened."""
    op = operation(
        epoch=epoch, active_version=active, pending_version=active + 1, tries_spent=spent
    )
    assert candidates(op) == (active + 1, active)


@given(st.integers(0, 20), st.integers(0, 15), st.integers(1, 10), st.booleans())
def test_an_order_is_affordable_while_all_its_tries_fit(
    epoch: int, spent: int, limit: int, fits: bool
) -> None:
    """R3, S1.28: reserved before it leaves, so the whole order must fit."""
    tries = (1 if epoch == 0 else 2) - (1 if fits else 0)
    op = operation(epoch=epoch, tries_spent=spent, fits=fits)
    assert cost(op) == tries
    assert affordable(op, limit) == (spent + tries <= limit)


STEPS = st.lists(
    st.sampled_from(
        ["so-login", "so-pin-incorrect", "user-pin-set", "so-pin-unclear", "so-pin-proven", "x", ""]
    ),
    max_size=6,
).map(tuple)


@given(st.integers(0, 15), st.integers(0, 9), STEPS)
def test_only_a_login_that_worked_gives_tries_back(
    spent: int, epoch: int, steps: tuple[str, ...]
) -> None:
    """S1.25, R3: anything else may have burnt a try on the token without a trace."""
    left = tries_after(operation(tries_spent=spent, epoch=epoch), steps)
    assert left == (0 if "so-login" in steps else spent)


@pytest.mark.parametrize(
    "steps",
    [
        (),  # the device died in C_Login: perhaps after it had counted
        ("so-pin-incorrect",),  # the first SO PIN was wrong, the device died at the second
        ("so-pin-incorrect", "so-pin-incorrect"),
        ("so-login-refused",),
    ],
)
def test_a_report_without_a_good_login_leaves_the_debit(steps: tuple[str, ...]) -> None:
    assert tries_after(operation(tries_spent=3, epoch=2), steps) == 3


@given(st.integers(1, 9), st.integers(0, 15), st.binary(max_size=3), st.booleans())
def test_an_order_that_was_never_made_costs_no_try(
    epoch: int, before: int, order: bytes, fits: bool
) -> None:
    """Only the debit of this order comes back, and none of it once the order exists."""
    debit = (1 if epoch == 1 else 2) - (1 if fits else 0)
    spent = before + debit
    sent = operation(state="sent", epoch=epoch, tries_spent=spent, order=order, fits=fits)
    assert tries_unsent(sent) == (before + debit if order else before)


def test_tries_never_fall_below_zero() -> None:
    assert tries_unsent(operation(state="sent", epoch=2, tries_spent=1)) == 0


# --- the whole protocol against a model token --------------------------------------------
class Died(Exception):
    """The device or the helper died at this call; its effect may have happened."""


class Incorrect(Exception):
    pass


FAULTS = st.dictionaries(
    st.sampled_from(
        ["login-0", "login-1", "init", "prove", "login-again", "set", "login-next", "report"]
    ),
    st.sampled_from(["before", "after"]),
    max_size=3,
)


@dataclass
class ModelToken:
    """A token with an SO PIN (named by its version) and the counter of S1.19, S1.25; ``tries``:
    after how many wrong ones it is locked."""

    so_pin: int
    tries: int
    wrong: int = 0
    most: int = 0

    def login(self, so_pin: int) -> None:
        assert self.wrong < self.tries, "the token is dead"
        if so_pin != self.so_pin:
            self.wrong += 1
            self.most = max(self.most, self.wrong)
            raise Incorrect
        self.wrong = 0


@dataclass
class Run:
    """One run of the helper: the calls of the driver in its order, with faults."""

    token: ModelToken
    faults: dict[str, str]

    def call(self, name: str, effect: typing.Callable[[], None] = lambda: None) -> None:
        if self.faults.get(name) == "before":
            raise Died
        try:
            effect()
        finally:
            if self.faults.get(name) == "after":
                raise Died

    def order(self, tried: tuple[int, ...], following: int) -> tuple[str, tuple[str, ...]]:
        """Outcome and steps as the helper reports them."""
        steps: list[str] = []
        for index, so_pin in enumerate(tried):
            try:
                self.call(f"login-{index}", partial(self.token.login, so_pin))
            except Incorrect:
                steps.append("so-pin-incorrect")
                continue
            except Died:
                return "untouched", tuple(steps)
            steps.append("so-login")
            return self.change(so_pin, following, steps), tuple(steps)
        return "so-pin-refused", tuple(steps)

    def change(self, so_pin: int, following: int, steps: list[str]) -> str:
        try:
            self.call("init")
            steps.append("user-pin-set")
            self.call("prove")
        except Died:
            return "unknown"
        if so_pin == following:
            return "done"
        try:
            self.call("login-again", partial(self.token.login, so_pin))
        except Died:
            return "rotation-due"
        try:
            self.call("set", partial(setattr, self.token, "so_pin", following))
            steps.append("so-pin-set")
        except Died:
            steps.append("so-pin-unclear")
            if self.token.tries == 3:  # the driver leaves it to the next order
                return "unknown"
        try:
            self.call("login-next", partial(self.token.login, following))
        except (Died, Incorrect):
            return "unknown"
        steps.append("so-pin-proven")
        return "done"  # the login shows it, whatever SetPIN said


class Protocol(RuleBasedStateMachine):
    """Any sequence of orders, faults, lost and late reports; every request ends somewhere."""

    family = FAMILIES["etoken"]

    @initialize()
    def enrolled(self) -> None:
        self.limit = Policy().so_budget(self.family)
        self.token = ModelToken(1, self.family.so_tries)
        self.op = operation(active_version=1, pending_version=2)
        self.report: tuple[int, str, tuple[str, ...]] | None = None
        self.fruitless = 0
        self.known = False

    @precondition(lambda self: self.op.state in ("intent", "unknown"))
    @rule(faults=FAULTS)
    def order(self, faults: dict[str, str]) -> None:
        if not affordable(self.op, self.limit):
            self.op = replace(self.op, state=advance(self.op.state, "budget-over"))
            return
        tried = candidates(self.op)
        assert len(tried) <= 2
        self.send(b"sealed")
        self.fruitless += 1
        outcome, steps = Run(self.token, faults).order(tried, self.op.pending_version)
        self.report = None if "report" in faults else (self.op.epoch, outcome, steps)

    def send(self, sealed: bytes) -> None:
        """Debit and bind an order; ``sealed`` is empty while the custodian has made none."""
        self.op = replace(
            self.op,
            state=advance(self.op.state, "send"),
            tries_spent=self.op.tries_spent + cost(self.op),
            epoch=self.op.epoch + 1,
            order=sealed,
            orders=self.op.orders + bool(sealed),
        )

    @precondition(lambda self: self.op.state in ("intent", "unknown"))
    @rule()
    def custodian_does_not_answer(self) -> None:
        if affordable(self.op, self.limit):
            before = self.op.tries_spent
            self.send(b"")
            self.order_lost_on_the_way()
            assert self.op.tries_spent == before

    @precondition(lambda self: self.op.state in ("intent", "unknown") and not self.op.orders)
    @rule()
    def custodian_refuses_for_good(self) -> None:
        if affordable(self.op, self.limit):
            self.send(b"")
            self.op = replace(self.op, state=advance(self.op.state, "withdraw"))

    @precondition(lambda self: self.op.state == "sent")
    @rule()
    def order_lost_on_the_way(self) -> None:
        self.op = replace(
            self.op,
            state=advance(self.op.state, "lease-over"),
            tries_spent=tries_unsent(self.op),
        )

    @precondition(lambda self: self.report and self.op.state not in custody.SETTLED)
    @rule()
    def report_arrives(self) -> None:
        assert self.report is not None
        epoch, outcome, steps = self.report
        if epoch != self.op.epoch or self.op.state == "intent":
            return  # R5: not the epoch in force
        event = custody.OUTCOMES[outcome]
        # the service is the only one who changes this token: one of the two always fits
        assert event != "refused"
        before = self.op
        self.op = replace(
            before,
            state=advance(before.state, event),
            tries_spent=tries_after(before, steps),
            fits=before.fits or "so-login" in steps,
        )
        if "so-login" in steps:
            self.fruitless = 0

    @precondition(lambda self: self.op.state == "office")
    @rule()
    def no_order_leaves_office(self) -> None:
        with pytest.raises(StateConflict):
            advance(self.op.state, "send")

    @precondition(lambda self: self.op.state in custody.SETTLED)
    @rule()
    def next_reset(self) -> None:
        done, pending = self.op.state == "done", self.op.pending_version
        active = pending if done else self.op.active_version
        self.known = done or self.known
        self.op = operation(active_version=active, pending_version=pending + 1, fits=self.known)
        self.report, self.fruitless = None, 0

    @precondition(lambda self: self.op.state in custody.SETTLED)
    @rule(event=st.sampled_from(EVENTS))
    def nothing_leaves_an_end(self, event: Event) -> None:
        with pytest.raises(StateConflict):
            advance(self.op.state, event)

    @invariant()
    def the_so_pin_is_known(self) -> None:
        if self.op.state == "done":
            assert self.token.so_pin == self.op.pending_version
        if self.op.state == "withdrawn":
            assert self.token.so_pin == self.op.active_version
        assert self.token.so_pin in (self.op.active_version, self.op.pending_version)

    @invariant()
    def tries_are_never_burnt(self) -> None:
        assert self.token.most <= self.limit

    @invariant()
    def orders_are_bounded(self) -> None:
        # 1 + 2 + 2 + 2 tries of 7, or 0 + 1 + 1 …: then people go on
        most = 1 + self.limit if self.op.fits else 1 + (self.limit - 1) // 2
        assert self.fruitless <= most

    def teardown(self) -> None:
        """Once the faults stop, one order ends it."""
        if self.op.state == "sent":
            self.order_lost_on_the_way()
        if self.op.state in ("intent", "unknown"):
            self.order({})
        if self.op.state == "sent":
            self.report_arrives()
        assert self.op.state in ("done", "office", "withdrawn")
        self.the_so_pin_is_known()
        self.tries_are_never_burnt()


class FewTries(Protocol):
    family = FAMILIES["yubikey"]


@pytest.mark.parametrize("protocol", [Protocol, FewTries])
def test_any_sequence_of_orders_faults_and_reports(protocol: type[Protocol]) -> None:
    """I1-I3 of the rotation protocol, with the limits of 7 of 15 and 1 of 3 (S1.28)."""
    run_state_machine_as_test(
        protocol,
        settings=settings(max_examples=100, stateful_step_count=25, deadline=None),
    )


@given(
    st.lists(FAULTS, max_size=30),
    st.integers(3, 7),
    st.sampled_from(sorted(FAMILIES)),
    st.sampled_from([1, 9]),
)
def test_with_any_acceptable_limit_the_office_keeps_its_tries(
    runs: list[dict[str, str]], so_tries: int, name: str, so_pin: int
) -> None:
    """S1.28: orders whose reports are all lost stop in time, and the office can go on; also where
    the SO PIN that was imported (1) is not the token's (9)."""
    policy, family = Policy(so_tries=so_tries), FAMILIES[name]
    assert policy.problems(date(2026, 3, 4)) == []
    limit = policy.so_budget(family)
    token, op = ModelToken(so_pin, family.so_tries), operation(active_version=1, pending_version=2)
    orders = 0
    for faults in runs:
        if not affordable(op, limit):
            break
        tried = candidates(op)
        Run(token, faults).order(tried, 2)
        op = replace(op, epoch=op.epoch + 1, tries_spent=op.tries_spent + cost(op))
        orders += 1
    assert orders <= 1 + (limit - 1) // 2
    assert token.most <= limit
    assert family.so_tries - token.most >= 2
    assert token.so_pin in (so_pin, 2)
