"""What a reset needs: every limit and age of the service in one frozen object.

Defaults are those of design section 4. ``problems`` says why a policy is not acceptable; nothing
can be configured below "another person signed" (S1.84, S1.86), and nothing below the worth of the
token that is given back without an acceptance by name and date (S1.70).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Literal

from pkcs11_driver.families import FAMILIES, Family
from pkcs11_driver.wire import PinRules
from reset.core.assurance import CAP, CODES, LOGINS, METHODS, Gate, Requirement
from reset.core.catalogue import offered
from reset.core.deviations import BELOW, Acceptance, acceptance_problems
from reset.core.requests import State

CodeBox = Literal["recovery", "mailbox"]
PID_LOGINS = ("password", "sso")  # what opens a session on the public site
_LOGIN_CAPS: Mapping[str, int] = {"password": 1, "sso": 2}

SO_TRIES_MOST = max(family.so_budget for family in FAMILIES.values())
DAY = timedelta(days=1)
RESUME_AGE = timedelta(days=30)  # how long an unknown outcome may still be resolved by an order

# where a mailed code goes, and the method that it proves
CODE_BOXES: Mapping[CodeBox, tuple[str, str]] = {
    "recovery": ("recovery", "code-recovery"),
    "mailbox": ("directory", "code-mailbox"),
}


@dataclass(frozen=True)
class Policy:
    """Limits: counts, ages (timedelta) and the PIN rules.

    ``code_box``: where mailed codes go; ``logins``: the level that a login with each method starts
    at; ``acceptances``: deviations that the institution accepts.
    """

    questions_minimum: int = 5
    questions_asked: int = 3
    predefined_minimum: int = 3
    own_questions_maximum: int = 2
    answer_minimum: int = 3
    failed_rounds: int = 3
    rehearsals_per_hour: int = 5
    code_digits: int = 8
    code_age: timedelta = timedelta(minutes=10)
    code_tries: int = 5
    code_sends_per_hour: int = 3
    pairing_age: timedelta = timedelta(minutes=10)
    pairing_tries: int = 5
    job_age: timedelta = timedelta(minutes=30)
    requests_per_day: int = 3
    delegations_per_day: int = 5  # granted by one person at once, then one in that part of a day
    request_age: timedelta = timedelta(hours=24)
    approval_age: timedelta = timedelta(hours=72)
    password_max_age: timedelta = timedelta(minutes=30)
    answers_max_age: timedelta = timedelta(hours=96)
    code_max_age: timedelta = timedelta(minutes=30)
    level: int = 3
    code_box: CodeBox = "recovery"
    logins: Mapping[str, int] = field(default_factory=lambda: LOGINS)
    acceptances: tuple[Acceptance, ...] = ()
    pin: PinRules = field(default_factory=PinRules)
    so_tries: int = 7
    lease: timedelta = timedelta(seconds=120)
    releases_per_hour: int = 60
    releases_per_approval: int = 8
    session_idle: timedelta = timedelta(minutes=15)
    session_absolute: timedelta = timedelta(hours=8)
    login_slow_after: int = 5
    login_slow_longest: timedelta = timedelta(minutes=5)
    address_failures: int = 100  # wrong passwords from one network at once, then one in ``every``
    address_failure_every: timedelta = timedelta(seconds=10)

    @property
    def delegation_every(self) -> timedelta:
        """How long it takes until one more delegation may be granted."""
        return DAY / self.delegations_per_day

    @property
    def codes(self) -> tuple[str, ...]:
        """The methods that count as the code: one that the PID opens only where codes go there."""
        return tuple(m for m in CODES if m != "code-mailbox" or self.code_box == "mailbox")

    @property
    def ask(self) -> Gate:
        """The gate before the approver is asked."""
        return Gate(
            "ask",
            (
                Requirement("password", PID_LOGINS, self.password_max_age),
                Requirement("answers", ("answers",), self.answers_max_age),
                Requirement("code", self.codes, self.code_max_age),
            ),
            self.level - 1,
            self.logins,
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
                Requirement("password", PID_LOGINS, self.password_max_age),
                Requirement("answers", ("answers",), self.answers_max_age + self.approval_age),
                Requirement("code", self.codes, self.code_max_age, after_approval=True),
                Requirement("approval", ("approval",), approval_age),
            ),
            self.level,
            self.logins,
            releases=True,
        )

    def gate(self, state: State) -> Gate:
        """The gate that a request in ``state`` stands at."""
        return {"ready": self.release, "executing": self.resume}.get(state, self.ask)

    def so_budget(self, family: Family) -> int:
        """The SO tries that may be spent of a token of this family (S1.28)."""
        return min(self.so_tries, family.so_budget)

    def unmet(self, family: Family) -> str:
        """Why no PIN of a token of this family keeps the rules, and what to do; else empty."""
        rules, takes = family.pin_rules(self.pin), family.pin_bytes
        if rules.minimum <= rules.maximum:
            return ""
        return (
            f"tokens of the family {family.name} take PINs of {takes[0]} to {takes[-1]} characters,"
            f" the policy wants {self.pin.minimum} to {self.pin.maximum}: change pin.minimum or"
            " pin.maximum"
        )

    def accepted(self, rule: str) -> bool:
        """Whether the institution accepts this deviation."""
        return any(one.rule == rule for one in self.acceptances)

    def problems(self, today: date) -> list[str]:
        """Why this policy is refused on ``today``, one line each; empty when it is acceptable."""
        return [*self._worth_problems(today), *self._limit_problems()]

    def _worth_problems(self, today: date) -> list[str]:
        token = LOGINS["certificate"]  # no policy makes the token worth less
        checks = (
            (self.level < 2, "level: below 2 no other person's signature would count"),
            (
                self.level < token and not self.accepted(BELOW),
                f"level: {self.level} is below {token}, what the token is worth (S1.70): it needs "
                f"an acceptance of {BELOW}, by name and date",
            ),
            (
                any(
                    name not in METHODS or not 1 <= level <= CAP
                    or level > _LOGIN_CAPS.get(name, CAP)
                    for name, level in self.logins.items()
                ),
                f"logins: known methods at 1 to {CAP}, a password at 1, a single sign-on at 2",
            ),
        )  # fmt: skip
        return [
            *(line for broken, line in checks if broken),
            *(line for gate in (self.ask, self.release) for line in gate.problems()),
            *acceptance_problems(self.acceptances, today),
        ]

    def _limit_problems(self) -> list[str]:
        checks = (
            (self.questions_asked < 3, "questions_asked: at least 3"),
            (
                self.questions_minimum <= self.questions_asked,
                "questions_minimum: must be larger than questions_asked (S1.60)",
            ),
            (self.own_questions_maximum < 0, "own_questions_maximum: not below 0"),
            (
                not 0 <= self.predefined_minimum <= len(offered()),
                f"predefined_minimum: 0 to {len(offered())}, so many are offered",
            ),
            (
                self.questions_minimum > len(offered()) + self.own_questions_maximum,
                "questions_minimum: more than are offered and may be own",
            ),
            (self.answer_minimum < 3, "answer_minimum: at least 3"),
            (not 1 <= self.failed_rounds <= 10, "failed_rounds: 1 to 10"),
            (not 1 <= self.rehearsals_per_hour <= 10, "rehearsals_per_hour: 1 to 10"),
            (not 8 <= self.code_digits <= 12, "code_digits: 8 to 12"),
            (self.code_age > timedelta(hours=1), "code_age: at most 60 minutes (S1.73)"),
            (not 1 <= self.code_tries <= 10, "code_tries: 1 to 10"),
            (not 1 <= self.code_sends_per_hour <= 10, "code_sends_per_hour: 1 to 10"),
            (self.pairing_age > timedelta(hours=1), "pairing_age: at most 60 minutes"),
            (not 1 <= self.pairing_tries <= 10, "pairing_tries: 1 to 10"),
            (
                not 1 <= self.requests_per_day <= 10,
                "requests_per_day: 1 to 10, each brings new tries at a code",
            ),
            (
                not 1 <= self.delegations_per_day <= 20,
                "delegations_per_day: 1 to 20, each is mailed to a colleague",
            ),
            (self.approval_age > timedelta(days=7), "approval_age: at most 7 days"),
            (self.pin.minimum < 8, "pin.minimum: at least 8 (S1.12)"),
            (self.pin.maximum < self.pin.minimum, "pin.maximum: not below pin.minimum"),
            (not 3 <= self.pin.classes <= 4, "pin.classes: 3 or 4 (S1.13)"),
            (
                not 3 <= self.so_tries <= SO_TRIES_MOST,
                f"so_tries: 3 to {SO_TRIES_MOST}, half of them are the office's (S1.28)",
            ),
            (
                not timedelta(seconds=30) <= self.lease <= timedelta(minutes=10),
                "lease: 30 seconds to 10 minutes",
            ),
            (
                not 1 <= self.releases_per_hour <= 1000,
                "releases_per_hour: 1 to 1000, a cap that nobody reaches is none",
            ),
            (self.releases_per_approval < 1, "releases_per_approval: at least 1"),
            (self.address_failures < 10, "address_failures: at least 10, people share addresses"),
            (self.session_idle > timedelta(hours=1), "session_idle: at most 60 minutes"),
            (self.session_absolute > timedelta(hours=12), "session_absolute: at most 12 hours"),
        )
        lines = [line for broken, line in checks if broken]
        ages = [n for n, v in vars(self).items() if isinstance(v, timedelta) and v <= timedelta()]
        return lines + [f"{name}: must be longer than nothing" for name in ages]
