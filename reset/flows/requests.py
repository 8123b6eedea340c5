"""How every flow moves a request: by the one table, and only from the state that it was read in."""

from __future__ import annotations

from dataclasses import replace

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
