"""Threats to authentication, what is done against each, and from which level on it must be met.

Rules (S2.3-S2.5, S2.22-S2.24):

1. The threats are those that X.1254 names for the authentication phase; its general row, several
   factors, is the rule of kinds in ``assurance``.
2. A level stands only where a source states one: NIST SP 800-63-2, table 11. Where it states none,
   ``level`` is None, no gate demands it, and the documentation shows it all the same.
3. The man in the middle has two rows, as there: weak resistance lets a careful person notice him,
   strong resistance leaves him nothing to pass on (section 8.2.2).
4. A technique is listed only if the service does it; no threat counts as met by intention.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Threat:
    """``words``: what the attacker does; ``level``: from which on it must be met, or None."""

    words: str
    level: int | None


THREATS: Mapping[str, Threat] = {
    "online-guessing": Threat("guesses at the service", 1),
    "offline-guessing": Threat("guesses on a stolen copy of what the service stores", None),
    "duplication": Threat("copies what the holder has", None),
    "phishing": Threat("learns a lasting secret by a false page", 3),
    "eavesdropping": Threat("listens on the network and uses it later", 2),
    "replay": Threat("sends again what was sent before", 1),
    "session-hijacking": Threat("takes over a session after the login", 2),
    "man-in-the-middle": Threat("stands between, and a careful holder can notice it", 2),
    "man-in-the-middle-strong": Threat("stands between, and passes on what the holder types", 4),
    "theft": Threat("steals what the holder has", None),
    "spoofing": Threat("puts up a false program, or a false holder before a sensor", None),
}


@dataclass(frozen=True)
class Technique:
    """``words``: what the service does; ``against``: names of threats (SP 800-63-2, table 5 and
    section 8.2.2)."""

    words: str
    against: frozenset[str]


def _technique(words: str, *against: str) -> Technique:
    return Technique(words, frozenset(against))


TECHNIQUES: Mapping[str, Technique] = {
    "server-tls": _technique(
        "TLS with the site's certificate, and nothing without it",
        "eavesdropping", "replay", "man-in-the-middle",
    ),
    "bound-session": _technique(
        "a session of random bytes that ends early, changes at every step up, and belongs to one "
        "site; every form is bound to it",
        "session-hijacking",
    ),
    "counted-tries": _technique(
        "each try is counted before it is looked at; failures slow down or end it",
        "online-guessing",
    ),
    "keyed-hash": _technique(
        "stored as argon2id under a key that never leaves the HSM", "offline-guessing"
    ),
    "derived-code": _technique(
        "made anew from a key in the HSM when it is sent or checked; not stored",
        "offline-guessing",
    ),
    "one-time": _technique(
        "good once, for minutes, for one request", "replay", "eavesdropping"
    ),
    "other-channel": _technique("reaches the holder by another way", "eavesdropping"),
    "other-kind-first": _technique(
        "asked for only after something that the holder knows: worth nothing alone", "theft"
    ),
    "hardware-key": _technique(
        "a key that was made on a token and never leaves it", "duplication", "offline-guessing"
    ),
    "pin-locked": _technique("the token works with its PIN only, and blocks", "theft"),
    "signed-challenge": _technique(
        "a signature over bytes of this one occasion; no secret is shown to anybody",
        "online-guessing", "replay", "eavesdropping", "phishing",
    ),
    "mutual-tls": _technique(
        "TLS in which the token signs the very connection",
        "session-hijacking", "man-in-the-middle", "man-in-the-middle-strong",
    ),
}  # fmt: skip


def resisted(techniques: Iterable[str]) -> frozenset[str]:
    """The threats that at least one of ``techniques`` answers."""
    return frozenset().union(*(TECHNIQUES[name].against for name in techniques))


def demanded(level: int) -> frozenset[str]:
    """The threats that must be met at ``level`` (SP 800-63-2, table 11)."""
    return frozenset(n for n, t in THREATS.items() if t.level is not None and t.level <= level)
