"""How every flow moves a request: by the one table, and only from the state that it was read in;
whether a person is blocked, and which requests still wait for the office."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import takewhile

from reset.core import requests
from reset.core.requests import Event, Request, advance
from reset.flows.parts import Parts
from reset.ports import UnitOfWork


def move(parts: Parts, uow: UnitOfWork, request: Request, event: Event) -> Request:
    """Move ``request``, with whatever else was changed in it, and store it; the moved one.

    Raises ``StateConflict`` for a pair outside the table, or when somebody was faster.
    """
    moved = replace(request, state=advance(request.state, event), changed_at=parts.clock.now())
    uow.requests.save(moved, expected=request.state)
    return moved


def rounds_key(uid: str) -> str:
    """The counter of failed rounds: per person, over all requests and sessions (S1.65)."""
    return f"rounds:{uid}"


def blocked(parts: Parts, uow: UnitOfWork, uid: str) -> bool:
    """Whether self-service is blocked for a person."""
    return uow.tries.spent(rounds_key(uid)) >= parts.policy.failed_rounds


def with_office(uow: UnitOfWork, found: Sequence[Request], *, blocked: bool) -> frozenset[str]:
    """Those of one holder's requests, newest first, that only the office can go on with now."""
    serials = {request.token_serial for request in found if request.state == "office"}
    operations = (uow.operations.unresolved_of(serial) for serial in sorted(serials))
    unresolved = {operation.request_id for operation in operations if operation}
    return requests.with_office(found, blocked=blocked, unresolved=unresolved)


def waits_for_office(parts: Parts, uow: UnitOfWork, request: Request) -> bool:
    """Whether only the office can go on with this one now."""
    if request.state != "office":
        return False
    # the list is bounded: an old one may not be in it
    listed = uow.requests.of_holder(request.uid)
    newer = takewhile(lambda other: other.id != request.id, listed)
    closed = blocked(parts, uow, request.uid)
    return request.id in with_office(uow, [*newer, request], blocked=closed)
