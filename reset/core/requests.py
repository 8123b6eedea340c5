"""The states of a reset request and its one transition table.

Rules:

1. A request moves only by ``advance``; a pair that is not in ``TRANSITIONS`` is refused.
2. Storage moves it by ``UPDATE … WHERE state = expected``; no row is a conflict.
3. From ``executing`` on, nothing but the outcome on the token ends it: an SO PIN may have left.
   ``withdraw`` is for an operation whose order the custodian never made.
4. ``done``, ``denied``, ``expired`` and ``cancelled`` are ends. ``office`` waits for the office
   alone; a late report that proves the reset still ends it in ``done``.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from reset.errors import StateConflict

State = Literal[
    "collecting",
    "waiting_for_approval",
    "ready",
    "executing",
    "done",
    "denied",
    "expired",
    "cancelled",
    "office",
]
Event = Literal[
    "prove", "ask", "approve", "deny", "cancel", "expire", "execute", "finish", "refer", "withdraw"
]

TRANSITIONS: dict[tuple[State, Event], State] = {
    ("collecting", "prove"): "collecting",
    ("collecting", "ask"): "waiting_for_approval",
    ("collecting", "cancel"): "cancelled",
    ("collecting", "expire"): "expired",
    ("collecting", "refer"): "office",
    ("waiting_for_approval", "prove"): "waiting_for_approval",
    ("waiting_for_approval", "approve"): "ready",
    ("waiting_for_approval", "deny"): "denied",
    ("waiting_for_approval", "cancel"): "cancelled",
    ("waiting_for_approval", "expire"): "expired",
    ("waiting_for_approval", "refer"): "office",
    ("ready", "prove"): "ready",
    ("ready", "execute"): "executing",
    ("ready", "deny"): "denied",
    ("ready", "cancel"): "cancelled",
    ("ready", "expire"): "expired",
    ("ready", "refer"): "office",
    ("executing", "prove"): "executing",
    ("executing", "finish"): "done",
    ("executing", "refer"): "office",
    ("executing", "withdraw"): "cancelled",
    ("office", "finish"): "done",
}
OPEN: frozenset[State] = frozenset({"collecting", "waiting_for_approval", "ready", "executing"})
ENDS: frozenset[State] = frozenset({"done", "denied", "expired", "cancelled", "office"})


@dataclass(frozen=True)
class Request:
    """One reset of one token for one holder. Times are aware UTC.

    ``questions`` is the pinned draw; ``nonce`` goes into the statement; ``expires_at`` is the end
    of the present state; ``reason`` is what the holder tells the approver; ``ended_because`` a
    stable word for the end.
    """

    id: str
    uid: str
    token_serial: str
    state: State
    created_at: datetime
    changed_at: datetime
    expires_at: datetime
    nonce: str
    reason: str
    questions: tuple[str, ...]
    asked_at: datetime | None = None
    ended_because: str = ""


def advance(state: State, event: Event) -> State:
    """The state after ``event``. Raises ``StateConflict`` for a pair outside the table."""
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        raise StateConflict(state=state, event=event) from None


def with_office(
    requests: Sequence[Request], *, blocked: bool, unresolved: Collection[str]
) -> frozenset[str]:
    """Those requests in ``office`` for which that is still true now; the others are left behind.

    ``requests``: one holder's, newest first; ``blocked``: whether self-service is, for that holder;
    ``unresolved``: ids of requests whose operation is open. A lifted block frees what ended with
    wrong answers (S1.64); a newer request for the token is there only because the older one did
    not stand in its way. Returns their ids.
    """
    waiting, taken_up = set(), set[str]()
    for request in requests:
        freed = request.ended_because == "answers" and not blocked
        over = freed or request.token_serial in taken_up
        if request.state == "office" and (request.id in unresolved or not over):
            waiting.add(request.id)
        taken_up.add(request.token_serial)
    return frozenset(waiting)
