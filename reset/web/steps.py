"""The holder's way as a list: what is done, what is next, and how long each step takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from reset.core.policy import Policy
from reset.flows.recover import Progress
from reset.web.durations import span


@dataclass(frozen=True)
class Step:
    """One line of the list; ``takes``: how long, for people."""

    name: str
    takes: str
    standing: Literal["done", "current", "to come"]


# the line that is current for each next step; from the approval on, all proofs of the person
# herself are one line, because only what is too old is asked again
_BEFORE = {"login": 0, "questions": 1, "code": 2, "wait": 3}
_AFTER = {"login": 4, "questions": 4, "code": 4, "helper": 5, "done": 6}
_APPROVED = ("ready", "executing", "done")


def steps(here: Progress, policy: Policy) -> list[Step]:
    """The list for a request that is on its way or done; empty when it ended otherwise."""
    state = here.request.state
    current = (_AFTER if state in _APPROVED else _BEFORE).get(here.step)
    if current is None:
        return []
    approver = " or ".join(here.approvers) or "Another person"
    lines = (
        ("Log in", "1 minute"),
        ("Answer your questions", "2 minutes"),
        ("Type a one-time code", "3 minutes"),
        (f"{approver} approves", f"up to {span(policy.approval_age)}; we mail you"),
        ("Confirm that it is you, with a new code", "3 minutes"),
        ("Set your new PIN with the helper", "5 minutes"),
    )
    return [
        Step(name, takes, "done" if n < current else "current" if n == current else "to come")
        for n, (name, takes) in enumerate(lines)
    ]
