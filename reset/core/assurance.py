"""Methods, kinds, and what a set of proofs amounts to.

Rules (design section 3, S2.6-S2.8):

1. A method is of one kind; two methods of one kind never add (S2.7).
2. Attained level = level of the login + one for each *new* kind among fresh successes, at most 4.
3. Password and answers are both ``know``: together they stay at 1.
4. A code to a mailbox that the same PID opens is ``know`` as well; a code to the recovery address,
   registered and confirmed under certificate login, is ``have`` (S1.74).
5. The channel (TLS) adds nothing; stale proofs add nothing; order never matters.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

CAP = 4


@dataclass(frozen=True)
class Method:
    """``login_level``: the level that a login with this method starts at; 0: it is no login."""

    kind: str
    login_level: int = 0


METHODS = {
    "password": Method("know", login_level=1),
    "answers": Method("know"),
    "code-recovery": Method("have"),
    "code-mailbox": Method("know"),
    "certificate": Method("have", login_level=3),
    "approval": Method("vouch"),
}
CODES = ("code-recovery", "code-mailbox")


@dataclass(frozen=True)
class Proof:
    """One success: by which method, when (aware UTC), and what it was about (no secret)."""

    method: str
    at: datetime
    detail: str = ""


@dataclass(frozen=True)
class Requirement:
    """One of ``methods``, not older than ``max_age``; ``after_approval``: nor than the approval."""

    name: str
    methods: tuple[str, ...]
    max_age: timedelta
    after_approval: bool = False


@dataclass(frozen=True)
class Gate:
    """What must be shown before a step, and the level that it must amount to."""

    name: str
    requirements: tuple[Requirement, ...]
    level: int


def fresh(requirement: Requirement, proofs: Iterable[Proof], at: datetime) -> list[Proof]:
    """The proofs that satisfy ``requirement`` at ``at``. A proof from the future never does."""
    proofs = tuple(proofs)
    approved = max((p.at for p in proofs if p.method == "approval" and p.at <= at), default=None)
    return [
        p
        for p in proofs
        if p.method in requirement.methods
        and at - requirement.max_age < p.at <= at
        and not (requirement.after_approval and approved is not None and p.at < approved)
    ]


def attained(proofs: Iterable[Proof]) -> int:
    """The level that proofs amount to; the caller passes only fresh ones.

    The login among them sets the base; without a login the level is 0.
    """
    methods = [METHODS[p.method] for p in proofs]
    login = max(methods, key=lambda m: m.login_level, default=None)
    if login is None or not login.login_level:
        return 0
    kinds = {m.kind for m in methods} - {login.kind}
    return min(CAP, login.login_level + len(kinds))


@dataclass(frozen=True)
class Standing:
    """Where a request stands at a gate: names of missing requirements, level, level needed."""

    missing: tuple[str, ...]
    level: int
    needed: int

    @property
    def open(self) -> bool:
        """Whether the gate lets the request pass."""
        return not self.missing and self.level >= self.needed


def standing(gate: Gate, proofs: Iterable[Proof], at: datetime) -> Standing:
    """What ``proofs`` show at ``gate`` at the time ``at``."""
    proofs = tuple(proofs)
    counted = {r.name: fresh(r, proofs, at) for r in gate.requirements}
    missing = tuple(name for name, found in counted.items() if not found)
    level = attained(p for found in counted.values() for p in found)
    return Standing(missing, level, gate.level)
