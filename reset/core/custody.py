"""SO-PIN versions and operations: what may be sent to a token, and what is known afterwards.

Rules (R1-R9 of the rotation protocol, S1.28, S1.29):

1. The pending SO PIN is sealed and committed with the intent, before a byte leaves.
2. Never a third candidate: an order carries the active version, or pending and active.
3. A resumed order starts with the pending version: SetPIN may have happened.
4. Tries are debited before the order leaves and credited when a login is known to have worked.
   An order may cost a try for each of its candidates; one less once a login with the token's SO
   secret is known to have worked (``fits``), for then one of the two is right.
5. Any outcome but a proven end is ``unknown``, never failed; only an order resolves it.
6. A report counts only under the epoch and nonce in force.
7. ``office`` when the budget is spent, the token refused every candidate, or nobody asked for an
   order while one could be resumed: people go on.
8. ``withdrawn`` when the custodian refuses for good and no order was ever made: no SO PIN left,
   the token is free, and a new request needs a new approval.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from reset.errors import StateConflict

State = Literal["intent", "sent", "unknown", "done", "office", "withdrawn"]
Event = Literal["send", "lease-over", "proven", "open", "refused", "budget-over", "withdraw"]

TRANSITIONS: dict[tuple[State, Event], State] = {
    ("intent", "send"): "sent",
    ("intent", "budget-over"): "office",
    ("sent", "withdraw"): "withdrawn",
    ("sent", "lease-over"): "unknown",
    ("sent", "proven"): "done",
    ("sent", "open"): "unknown",
    ("sent", "refused"): "office",
    ("unknown", "send"): "sent",
    ("unknown", "budget-over"): "office",
    ("unknown", "proven"): "done",
    ("unknown", "open"): "unknown",
    ("unknown", "refused"): "office",
    ("office", "proven"): "done",
    ("office", "open"): "office",
    ("office", "refused"): "office",
}
SETTLED: frozenset[State] = frozenset({"done", "withdrawn"})
# those that wait for an order
RESUMABLE: frozenset[State] = frozenset(s for s, event in TRANSITIONS if event == "send")
UNRESOLVED: frozenset[State] = frozenset({"intent", "sent", "unknown", "office"})

# what a helper's outcome means for the operation; "done" counts only with a verified proof
OUTCOMES: dict[str, Event] = {
    "done": "proven",
    "rotation-due": "open",
    "unknown": "open",
    "untouched": "open",
    "so-pin-refused": "refused",
    "so-pin-locked": "refused",
}


@dataclass(frozen=True)
class Operation:
    """One custody operation on one token.

    ``active_version`` is in force before it, ``pending_version`` after it; ``tries_spent`` of the
    SO budget; ``epoch`` counts orders; ``nonce`` and ``job_id`` bind the order in force to one
    helper run; ``order`` is its ciphertext, empty until the custodian has made it;
    ``orders`` how many were made over all epochs; ``lease_until`` aware UTC; ``settled``: the
    custodian knows of the end; ``fits``: the active or the pending version is known to be right.
    """

    id: str
    request_id: str
    approval_id: str
    token_serial: str
    state: State
    active_version: int
    pending_version: int
    tries_spent: int = 0
    epoch: int = 0
    nonce: str = ""
    job_id: str = ""
    order: bytes = b""
    orders: int = 0
    lease_until: datetime | None = None
    steps: tuple[str, ...] = ()
    settled: bool = False
    fits: bool = False


def advance(state: State, event: Event) -> State:
    """The state after ``event``. Raises ``StateConflict`` for a pair outside the table."""
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        raise StateConflict(state=state, event=event) from None


def candidates(operation: Operation) -> tuple[int, ...]:
    """The escrow versions that the next order tries, in this order (rule 3)."""
    if operation.epoch == 0:
        return (operation.active_version,)
    return (operation.pending_version, operation.active_version)


def cost(operation: Operation) -> int:
    """How many wrong tries the next order may bring (rule 4)."""
    return len(candidates(operation)) - operation.fits


def affordable(operation: Operation, limit: int) -> bool:
    """Whether the next order stays inside the budget of SO tries."""
    return operation.tries_spent + cost(operation) <= limit


def tries_unsent(operation: Operation) -> int:
    """The spent tries when the lease ends: an order that was never made cost the token none."""
    if operation.order:
        return operation.tries_spent
    debit = cost(replace(operation, epoch=operation.epoch - 1))
    return max(0, operation.tries_spent - debit)


def tries_after(operation: Operation, steps: tuple[str, ...]) -> int:
    """The spent tries after a report: only a correct SO login zeroes the token's own counter
    (S1.25); a report that tells of none may still have spent one."""
    return 0 if "so-login" in steps else operation.tries_spent
