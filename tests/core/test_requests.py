"""The states of a reset request (design section 3): every state with every event."""

from __future__ import annotations

import typing
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reset.core.requests import ENDS, OPEN, Event, Request, State, advance, with_office
from reset.errors import StateConflict

STATES = typing.get_args(State)
EVENTS = typing.get_args(Event)

# written from the design, not from the code: state, then what may happen and where it leads
EXPECTED = {
    "collecting": {
        "prove": "collecting",
        "ask": "waiting_for_approval",
        "cancel": "cancelled",
        "expire": "expired",
        "refer": "office",
    },
    "waiting_for_approval": {
        "prove": "waiting_for_approval",
        "approve": "ready",
        "deny": "denied",
        "cancel": "cancelled",
        "expire": "expired",
        "refer": "office",
    },
    "ready": {
        "prove": "ready",
        "execute": "executing",
        "deny": "denied",
        "cancel": "cancelled",
        "expire": "expired",
        "refer": "office",
    },
    # an SO PIN may have left: only the outcome on the token ends it, or the custodian's word that
    # no order was ever made
    "executing": {
        "prove": "executing",
        "finish": "done",
        "refer": "office",
        "withdraw": "cancelled",
    },
    "office": {"finish": "done"},
    "done": {},
    "denied": {},
    "expired": {},
    "cancelled": {},
}


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


def test_open_states_and_ends_part_the_states() -> None:
    assert sorted([*OPEN, *ENDS]) == sorted(STATES)
    assert sorted(ENDS) == ["cancelled", "denied", "done", "expired", "office"]


@given(st.lists(st.sampled_from(EVENTS), max_size=40))
def test_no_sequence_of_events_goes_round_the_rules(events: list[Event]) -> None:
    """S1.56, S1.86, S1.94: no token is touched without approval, and no end is left again."""
    state: State = "collecting"
    seen: list[State] = [state]
    taken: list[Event] = []
    for event in events:
        try:
            after = advance(state, event)
        except StateConflict:
            continue
        taken.append(event)
        if state in ENDS:
            assert (state, event, after) == ("office", "finish", "done")
        if after == "executing":
            assert "ready" in seen
        if after == "ready":
            assert "approve" in taken
        if state == "executing":
            assert after in ("executing", "done", "office", "cancelled")
            assert (after == "cancelled") == (event == "withdraw")
        state = after
        seen.append(state)
    if "approve" not in taken:
        assert "executing" not in seen
        assert "ready" not in seen


@pytest.mark.parametrize("word", ["", "READY", "ready ", "nothing", "execute"])
def test_an_unknown_state_is_a_conflict(word: str) -> None:
    with pytest.raises(StateConflict):
        advance(word, "execute")  # type: ignore[arg-type]


AT = datetime(2030, 1, 15, tzinfo=UTC)


def of(number: str, serial: str, state: State, because: str = "") -> Request:
    return Request(
        number, "u1", serial, state, AT, AT, AT, "n", "blocked", (), ended_because=because
    )


ANSWERS = of("1", "T1", "office", "answers")
LOCKED = of("1", "T1", "office", "so-pin-locked")


@pytest.mark.parametrize(
    ("newer", "old", "blocked", "unresolved", "waits"),
    [
        ([], ANSWERS, True, (), True),
        ([], ANSWERS, False, (), False),  # the office lifted the block (S1.64)
        ([], ANSWERS, False, ("1",), True),  # an SO PIN had left: the token is still closed
        ([], LOCKED, False, (), True),  # no block is in its way, and none was lifted
        ([of("2", "T2", "done")], LOCKED, False, (), True),  # another token
        ([of("2", "T1", "done")], LOCKED, False, (), False),
        ([of("2", "T1", "collecting")], LOCKED, False, (), False),
        ([of("2", "T1", "office", "answers")], ANSWERS, True, (), False),  # the newer one waits
        ([], of("1", "T1", "denied"), True, (), False),
    ],
)
def test_what_still_waits_for_the_office(
    newer: list[Request], old: Request, blocked: bool, unresolved: tuple[str, ...], waits: bool
) -> None:
    found = with_office([*newer, old], blocked=blocked, unresolved=unresolved)
    assert ("1" in found) is waits
    assert ("2" in found) is any(request.state == "office" for request in newer)
