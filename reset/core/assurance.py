"""Methods, kinds, and what a set of proofs amounts to.

Rules (design section 3, S2.6-S2.8):

1. A method is of one kind; two methods of one kind never add (S2.7).
2. Attained level = level of the login + one for each *new* kind among fresh successes, at most 4.
   What a login starts at is the policy's to say; one worth 2 is two kinds by itself (know, have).
3. Password and answers are both ``know``: together they stay at 1.
4. A code to a mailbox that the same PID opens is ``know`` as well; a code to a recovery address, or
   of an authenticator app, registered and confirmed under certificate login, is ``have`` (S1.74).
5. The channel (TLS) adds nothing; stale proofs add nothing; order never matters.
6. A context score may take a level away; it never adds one (S2.15).
7. A gate of level N lets nobody pass whose own proofs leave a threat that N demands unanswered
   (S2.22); what another person vouches for answers none of them.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from reset.core.deviations import EXEMPT
from reset.core.threats import demanded, resisted

CAP = 4
USUAL = 50  # a context score (0 strange to 100 as always) below this takes one level away


@dataclass(frozen=True)
class Kind:
    """``adds``: counts as a kind of its own; ``own``: shown by the holder, not by somebody else."""

    words: str
    adds: bool
    own: bool


KINDS: Mapping[str, Kind] = {
    "know": Kind("something that the holder knows", adds=True, own=True),
    "have": Kind("something that the holder has", adds=True, own=True),
    "are": Kind("something that the holder is", adds=True, own=True),
    "vouch": Kind("another person, who signs", adds=True, own=False),
    "channel": Kind("the line", adds=False, own=True),
    "context": Kind("the circumstances", adds=False, own=True),
}


@dataclass(frozen=True)
class Method:
    """``techniques``: names in ``threats``; ``amr``: values of RFC 8176 that say the same."""

    kind: str
    techniques: tuple[str, ...]
    amr: tuple[str, ...] = ()


METHODS: Mapping[str, Method] = {
    "password": Method("know", ("counted-tries",), ("pwd",)),
    "sso": Method("know", ()),  # how the provider counts tries is not ours to say
    "answers": Method("know", ("counted-tries", "keyed-hash"), ("kba",)),
    "code-recovery": Method(
        "have",
        ("counted-tries", "derived-code", "one-time", "other-channel", "other-kind-first"),
        ("mca", "otp"),
    ),
    "code-app": Method(
        "have", ("counted-tries", "derived-code", "one-time", "other-kind-first"), ("otp",)
    ),
    "code-mailbox": Method("know", ("counted-tries", "derived-code", "one-time"), ("otp",)),
    "certificate": Method(
        "have", ("hardware-key", "pin-locked", "signed-challenge", "mutual-tls"), ("hwk", "pin")
    ),
    "approval": Method("vouch", ("hardware-key", "pin-locked", "signed-challenge")),
    "tls": Method("channel", ("server-tls", "bound-session")),
}
MAILED = ("code-recovery", "code-mailbox")
CODES = (*MAILED, "code-app")
RECORDED = tuple(name for name, m in METHODS.items() if KINDS[m.kind].adds)  # become proofs
LOGINS: Mapping[str, int] = {"password": 1, "sso": 1, "certificate": 3}
TWO = {"know", "have"}  # the kinds of a login that its provider made with two


@dataclass(frozen=True)
class Proof:
    """One success: by which method, when (aware UTC), and its detail (no secret): the handle of the
    session for what the holder shows, the approver's UID for an approval."""

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
    """What must be shown before a step, and the level that it must amount to.

    ``logins``: the level at which a login with each method starts; ``releases``: an SO PIN leaves
    behind it.
    """

    name: str
    requirements: tuple[Requirement, ...]
    level: int
    logins: Mapping[str, int] = field(default_factory=lambda: LOGINS)
    releases: bool = False

    @property
    def must_cover(self) -> frozenset[str]:
        """The threats that the holder's own proofs must answer here."""
        return demanded(self.level) - EXEMPT

    def problems(self) -> list[str]:
        """Why this gate is unsafe or lets nobody pass, one line each; every way is tried."""
        lines = []
        vouched = any({METHODS[m].kind for m in r.methods} == {"vouch"} for r in self.requirements)
        if self.releases and not vouched:
            lines.append(f"{self.name}: no second person (S1.84)")
        for way in itertools.product(*(r.methods for r in self.requirements)):
            named, level = " + ".join(way), attained(way, self.logins)
            if level < self.level:
                lines.append(f"level: at {self.name}, {named} reach {level}, not {self.level}")
            left = ", ".join(sorted(self.must_cover - covered(way)))
            if left:
                lines.append(f"{self.name}: {named} leave unanswered: {left} (S2.22)")
        return lines


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


def attained(methods: Iterable[str], logins: Mapping[str, int] = LOGINS, context: int = 100) -> int:
    """The level that successes amount to; the caller passes only the methods of fresh ones.

    The login among them sets the base; without a login the level is 0. ``context``: a score from
    0 (strange) to 100 (as always); below ``USUAL`` it takes one level away, else it does nothing.
    """
    methods = tuple(methods)
    login = max(methods, key=lambda name: logins.get(name, 0), default="")
    if not logins.get(login):
        return 0
    shown = TWO if logins[login] == len(TWO) else {METHODS[login].kind}
    kinds = {METHODS[name].kind for name in methods} - shown
    level = min(CAP, logins[login] + sum(KINDS[kind].adds for kind in kinds))
    return level - 1 if context < USUAL else level


def covered(methods: Iterable[str]) -> frozenset[str]:
    """The threats that the holder's own ``methods`` answer, over the channel of the service."""
    channel = (name for name, m in METHODS.items() if m.kind == "channel")
    own = (METHODS[name] for name in (*methods, *channel) if KINDS[METHODS[name].kind].own)
    return resisted(name for method in own for name in method.techniques)


def amr(methods: Iterable[str]) -> tuple[str, ...]:
    """The same in values of RFC 8176, sorted; ``mfa`` for two kinds of the holder's own.

    What another person vouches for has no value there.
    """
    named = [METHODS[name] for name in methods]
    factors = {m.kind for m in named if KINDS[m.kind].adds and KINDS[m.kind].own}
    values = {value for m in named for value in m.amr}
    return tuple(sorted(values | ({"mfa"} if len(factors) > 1 else set())))


@dataclass(frozen=True)
class Standing:
    """Where a request stands at a gate: names of missing requirements, level, level needed.

    ``again``: those of the missing that were shown before, and do not count any more;
    ``uncovered``: threats that the proofs leave unanswered.
    """

    missing: tuple[str, ...]
    level: int
    needed: int
    again: tuple[str, ...] = ()
    uncovered: frozenset[str] = frozenset()

    @property
    def open(self) -> bool:
        """Whether the gate lets the request pass."""
        return not self.missing and not self.uncovered and self.level >= self.needed


def standing(
    gate: Gate, proofs: Iterable[Proof], at: datetime, login: Proof | None = None
) -> Standing:
    """What ``proofs`` show at ``gate`` at the time ``at``.

    ``login``: the one that began the session which asks. It counts as well, and a code only where
    it was typed in this session: a password alone gains nothing from it (T1, T22).
    """
    proofs = tuple(p for p in (*proofs, *([login] if login else ())) if p.at <= at)
    own = [p for p in proofs if not login or p.method not in CODES or p.detail == login.detail]
    counted = {r.name: fresh(r, own, at) for r in gate.requirements}
    methods = {p.method for found in counted.values() for p in found}
    missing = [r for r in gate.requirements if not counted[r.name]]
    return Standing(
        missing=tuple(r.name for r in missing),
        level=attained(methods, gate.logins),
        needed=gate.level,
        again=tuple(r.name for r in missing if any(p.method in r.methods for p in proofs)),
        uncovered=gate.must_cover - covered(methods),
    )
