"""The identity profile: stored answers, the ways to get a code, the drawn set.

Rules (S1.44, S1.46, S1.57-S1.61, S1.74):

1. An answer is kept as a record that only the HSM can make; the record binds everything beside it.
2. A recovery address counts once its mailed code came back; until then the one before it stays.
3. A drawn set stays until it is answered; two consecutive sets are never the same.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

Slot = Literal["recovery", "second"]
SLOTS: tuple[Slot, ...] = ("recovery", "second")


@dataclass(frozen=True)
class StoredAnswer:
    """One answer as stored: nothing here opens it without the HMAC key in the HSM.

    ``question``: catalogue id, or the own question's text with ``own`` set; ``version`` counts
    changes; ``parameters``: name of the argon2id setting; ``record``: HMAC over binding and tag.
    """

    question: str
    own: bool
    version: int
    norm_version: int
    parameters: str
    salt: bytes
    record: bytes


@dataclass(frozen=True)
class Profile:
    """The identity profile of one person.

    ``recovery_address`` is confirmed or empty; ``recovery_pending`` waits for its mailed code and
    replaces the other only then, so that a typing slip loses nothing; ``second_address`` and
    ``second_pending`` likewise, and both may stay empty. ``answers_at``: when the answers were
    registered; ``changed_at``: when anything changed last.
    """

    uid: str
    answers: tuple[StoredAnswer, ...]
    recovery_address: str
    recovery_pending: str
    changed_at: datetime
    second_address: str = ""
    second_pending: str = ""
    answers_at: datetime | None = None

    def confirmed(self, slot: Slot) -> str:
        """The confirmed address of a slot, or empty."""
        return self.recovery_address if slot == "recovery" else self.second_address

    def pending(self, slot: Slot) -> str:
        """The address of a slot that waits for its code, or empty."""
        return self.recovery_pending if slot == "recovery" else self.second_pending

    def with_address(self, slot: Slot, confirmed: str, pending: str, at: datetime) -> Profile:
        """The profile with other addresses in one slot."""
        if slot == "recovery":
            return replace(
                self, recovery_address=confirmed, recovery_pending=pending, changed_at=at
            )
        return replace(self, second_address=confirmed, second_pending=pending, changed_at=at)


@dataclass(frozen=True)
class Channels:
    """The ways of one person to get a code.

    ``addresses``: confirmed recovery addresses by slot, masked; ``app``: whether an authenticator
    app counts; ``mailbox``: the policy sends codes to the mailbox that the PID opens (S1.74).
    """

    addresses: tuple[tuple[Slot, str], ...] = ()
    app: bool = False
    mailbox: bool = False

    @property
    def any(self) -> bool:
        """Whether there is a way at all."""
        return self.app or self.mailbox or bool(self.addresses)


def is_within(address: str, domains: Iterable[str]) -> bool:
    """Whether a mailbox is in one of these mail domains (lower case), or below one of them."""
    domain = address.rpartition("@")[2].lower()
    return any(f".{domain}".endswith(f".{one}") for one in domains)


def masked(address: str) -> str:
    """An address as its owner knows it again and nobody else can use it: ``a…@e….org``."""
    local, _, domain = address.rpartition("@")
    return f"{local[:1]}…@{domain[:1]}….{domain.rpartition('.')[2]}"


@dataclass(frozen=True)
class Draw:
    """The set of questions pinned to a person; a later draw differs from it."""

    uid: str
    questions: tuple[str, ...]
    answered_at: datetime | None


def draw(
    questions: Sequence[str],
    last: Draw | None,
    count: int,
    below: Callable[[int], int],
) -> tuple[str, ...]:
    """A random set of ``count`` questions; a pending draw is given again (S1.61).

    ``below(n)`` returns a random integer in 0…n-1. Every set but the last one is equally likely
    (S1.59), in any order.
    """
    if last and last.answered_at is None and set(last.questions) <= set(questions):
        return last.questions
    if count >= len(questions):
        raise RuntimeError("a profile must be larger than a draw")
    before = set(last.questions) if last else set()
    sets = [s for s in itertools.combinations(questions, count) if set(s) != before]
    rest = list(sets[below(len(sets))])
    return tuple(rest.pop(below(len(rest))) for _ in range(count))


def answer_context(uid: str, answer: StoredAnswer, tag: bytes) -> bytes:
    """The bytes whose HMAC is the record: each part length-prefixed, so rows cannot be swapped."""
    parts = (
        uid.encode(),
        answer.question.encode(),
        str(answer.version).encode(),
        str(answer.norm_version).encode(),
        answer.salt,
        answer.parameters.encode(),
        tag,
    )
    return b"ans-v1" + b"".join(len(p).to_bytes(4) + p for p in parts)
