"""Where the service departs from a rule of others, and who accepted it, by name and date.

Rules (design section 3, S1.70, facts of ASVS 5.0):

1. The register is complete by intention: what is not met stands here, with what stands instead.
2. A threat that a level demands and no proof of the holder answers is exempt only by a row here.
3. An acceptance is the institution's own record: rule, who, on which day, until which day. It
   counts on the days from the first to the last, both included; any other refuses to start.
4. The product invents no acceptance and ships none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date

BELOW = "reset-below-token"


@dataclass(frozen=True)
class Deviation:
    """``rule``: the source; ``says``: what it wants; ``here``: what is done; ``instead``: what
    stands for it; ``threat``: the threat of ``threats`` that is exempt by this row, or empty."""

    rule: str
    says: str
    here: str
    instead: str
    threat: str = ""


DEVIATIONS: Mapping[str, Deviation] = {
    "asvs-6.4.2": Deviation(
        "OWASP ASVS 5.0, 6.4.2 (L1)",
        "no secret questions",
        "questions are asked",
        "they never add a level and never stand alone; the institution wants them (S1.57)",
    ),
    "asvs-6.3.6": Deviation(
        "OWASP ASVS 5.0, 6.3.6 (L3)",
        "mail is no factor",
        "a code to the recovery address counts as *have*",
        "the address was confirmed with the token; another person signs; no second token is at "
        "hand when the only one is blocked",
    ),
    "asvs-6.5.4": Deviation(
        "OWASP ASVS 5.0, 6.5.4 (L2)",
        "one-time codes of at least 20 bits",
        "codes of an authenticator app have 6 digits: 19.9 bits, and 3 of them are good at a time",
        "5 tries a request and 3 requests a day, after password and answers; each step is good "
        "once; common apps show 6 digits whatever they are told",
    ),
    "sp800-63b-4": Deviation(
        "NIST SP 800-63B-4",
        "neither questions nor mail are authenticators",
        "both are asked",
        "as in the two rows above",
    ),
    "fips-201-3": Deviation(
        "FIPS 201-3",
        "a PIN reset needs the holder's biometric or presence",
        "remote reset",
        "the purpose of the product (S1.75); another person vouches; the office remains",
    ),
    "asvs-11.2.3": Deviation(
        "OWASP ASVS 5.0, 11.2.3 (L2)",
        "128 bits of security",
        "RSA-2048 keys on tokens are accepted",
        "tokens in the field have them",
    ),
    "phishing": Deviation(
        "NIST SP 800-63-2, table 11, level 3",
        "a false page learns no lasting secret",
        "password and answers are typed, and a false page can learn them",
        "the token must be in hand, and another person checks and signs this one request",
        threat="phishing",
    ),
    "token-level-4": Deviation(
        "NIST SP 800-63-2, table 6",
        "a validated hardware token with a PIN is worth level 4",
        "a login with the token counts 3, and so does a reset",
        "the service sees no validation of a token; who holds tokens at 4 resets them at the "
        "office (S1.70)",
    ),
    BELOW: Deviation(
        "S1.70, S1.74",
        "a reset is worth what the token is worth",
        'only with `level = 2`, as `code_box = "mailbox"` needs it: one kind less',
        "refused at the start unless the institution accepts it here",
    ),
}
EXEMPT = frozenset(d.threat for d in DEVIATIONS.values() if d.threat)


@dataclass(frozen=True)
class Acceptance:
    """``who`` accepted the deviation ``rule``, from the day ``on`` to the day ``until``."""

    rule: str
    who: str
    on: date
    until: date

    def problem(self, today: date) -> str:
        """Why it does not count on ``today``; empty when it does."""
        checks = (
            (self.rule not in DEVIATIONS, f"not one of {', '.join(DEVIATIONS)}"),
            (len(self.who.strip()) < 3 or not self.who.isprintable(), "who: a person's name"),
            (self.until < self.on, "until: before on"),
            (self.on > today, f"on: {self.on} has not come yet"),
            (self.until < today, f"until: expired on {self.until}"),
        )
        return next((line for broken, line in checks if broken), "")


def acceptance_problems(acceptances: Iterable[Acceptance], today: date) -> list[str]:
    """Why acceptances are refused on ``today``, one line each; one rule is accepted once."""
    lines, seen = [], set[str]()
    for one in acceptances:
        problem = "accepted twice" if one.rule in seen else one.problem(today)
        seen.add(one.rule)
        if problem:
            lines.append(f"acceptance: {one.rule}: {problem}")
    return lines
