"""What a reset needs: every limit and age of the service in one frozen object.

Defaults are those of design section 4. ``problems`` says why a policy is not acceptable; nothing
can be configured below "another person signed" (S1.84, S1.86).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

from pkcs11_driver.wire import PinRules
from reset.core.assurance import CODES, Gate, Requirement
from reset.core.requests import State

HARD_SO_LIMIT = 15  # S1.19: the token locks its SO PIN for ever
RESUME_AGE = timedelta(days=30)  # how long an unknown outcome may still be resolved by an order


@dataclass(frozen=True)
class Policy:
    """Limits: counts, ages (timedelta) and the PIN rules."""

    questions_minimum: int = 5
    questions_asked: int = 3
    own_questions_maximum: int = 2
    answer_minimum: int = 3
    failed_rounds: int = 3
    code_digits: int = 8
    code_age: timedelta = timedelta(minutes=10)
    code_tries: int = 5
    code_sends_per_hour: int = 3
    pairing_age: timedelta = timedelta(minutes=10)
    pairing_tries: int = 5
    job_age: timedelta = timedelta(minutes=30)
    requests_per_day: int = 3
    request_age: timedelta = timedelta(hours=24)
    approval_age: timedelta = timedelta(hours=72)
    password_max_age: timedelta = timedelta(minutes=30)
    answers_max_age: timedelta = timedelta(hours=96)
    code_max_age: timedelta = timedelta(minutes=30)
    level: int = 3
    pin: PinRules = field(default_factory=PinRules)
    so_tries: int = 7
    lease: timedelta = timedelta(seconds=120)
    releases_per_hour: int = 60
    releases_per_approval: int = 8
    session_idle: timedelta = timedelta(minutes=15)
    session_absolute: timedelta = timedelta(hours=8)
    login_slow_after: int = 5
    login_slow_longest: timedelta = timedelta(minutes=5)

    @property
    def ask(self) -> Gate:
        """The gate before the approver is asked."""
        return Gate(
            "ask",
            (
                Requirement("password", ("password",), self.password_max_age),
                Requirement("answers", ("answers",), self.answers_max_age),
                Requirement("code", CODES, self.code_max_age),
            ),
            self.level - 1,
        )

    @property
    def release(self) -> Gate:
        """The gate before the SO PIN leaves: all fresh again, and an approval."""
        return self._release("release", self.approval_age)

    @property
    def resume(self) -> Gate:
        """The gate before an order is repeated: the approval was spent by this very operation."""
        return self._release("resume", RESUME_AGE)

    def _release(self, name: str, approval_age: timedelta) -> Gate:
        return Gate(
            name,
            (
                Requirement("password", ("password",), self.password_max_age),
                Requirement("answers", ("answers",), self.answers_max_age + self.approval_age),
                Requirement("code", CODES, self.code_max_age, after_approval=True),
                Requirement("approval", ("approval",), approval_age),
            ),
            self.level,
        )

    def gate(self, state: State) -> Gate:
        """The gate that a request in ``state`` stands at."""
        return {"ready": self.release, "executing": self.resume}.get(state, self.ask)

    def problems(self) -> list[str]:
        """Why this policy is refused, one line each; empty when it is acceptable."""
        checks = (
            (self.level < 3, "level: below 3 no other person's signature would count"),
            (self.level > 3, "level: above 3 no set of proofs would be enough"),
            (self.questions_asked < 3, "questions_asked: at least 3"),
            (
                self.questions_minimum <= self.questions_asked,
                "questions_minimum: must be larger than questions_asked (S1.60)",
            ),
            (self.own_questions_maximum < 0, "own_questions_maximum: not below 0"),
            (self.answer_minimum < 3, "answer_minimum: at least 3"),
            (not 1 <= self.failed_rounds <= 10, "failed_rounds: 1 to 10"),
            (not 8 <= self.code_digits <= 12, "code_digits: 8 to 12"),
            (self.code_age > timedelta(hours=1), "code_age: at most 60 minutes (S1.73)"),
            (not 1 <= self.code_tries <= 10, "code_tries: 1 to 10"),
            (not 1 <= self.code_sends_per_hour <= 10, "code_sends_per_hour: 1 to 10"),
            (self.pairing_age > timedelta(hours=1), "pairing_age: at most 60 minutes"),
            (not 1 <= self.pairing_tries <= 10, "pairing_tries: 1 to 10"),
            (self.requests_per_day < 1, "requests_per_day: at least 1"),
            (self.pin.minimum < 8, "pin.minimum: at least 8 (S1.12)"),
            (self.pin.maximum < self.pin.minimum, "pin.maximum: not below pin.minimum"),
            (not 3 <= self.pin.classes <= 4, "pin.classes: 3 or 4 (S1.13)"),
            (
                not 3 <= self.so_tries < HARD_SO_LIMIT - 4,
                f"so_tries: 3 to {HARD_SO_LIMIT - 5}, the office needs tries too (S1.28)",
            ),
            (
                not timedelta(seconds=30) <= self.lease <= timedelta(minutes=10),
                "lease: 30 seconds to 10 minutes",
            ),
            (self.releases_per_hour < 1, "releases_per_hour: at least 1"),
            (self.releases_per_approval < 1, "releases_per_approval: at least 1"),
            (self.session_idle > self.session_absolute, "session_idle: above session_absolute"),
            (self.session_absolute > timedelta(hours=12), "session_absolute: at most 12 hours"),
        )
        lines = [line for broken, line in checks if broken]
        ages = [n for n, v in vars(self).items() if isinstance(v, timedelta) and v <= timedelta()]
        return lines + [f"{name}: must be longer than nothing" for name in ages]
