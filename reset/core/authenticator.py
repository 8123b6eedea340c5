"""Codes of an authenticator app: RFC 6238 with SHA-1, 6 digits and steps of 30 seconds.

Rules (S1.72, S1.74; decision 0033):

1. The secret is nowhere in the database: the HMAC key in the HSM makes it anew each time, from
   person and enrolment.
2. An app counts once one of its codes was confirmed; until then the one before it stays.
3. A time step is used once, ever, and no earlier one after it.
4. A phone's clock may be one step off in each direction.

Other settings do not work: Google Authenticator and others ignore the parameters for the digest,
the digits and the period, and show six digits of SHA-1 all the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

DIGITS = 6
PERIOD = 30  # seconds
DRIFT = 1  # steps
SECRET_LENGTH = 20  # bytes, as long as the digest (RFC 4226, R6)


@dataclass(frozen=True)
class Authenticator:
    """One enrolment. ``id``: its nonce, 32 random hex characters; ``last_step``: the newest time
    step that a code was taken for, 0 before the first."""

    id: str
    uid: str
    started_at: datetime
    confirmed: bool = False
    last_step: int = 0


def secret_context(authenticator: Authenticator) -> bytes:
    """The bytes whose HMAC gives the secret."""
    parts = (authenticator.uid.encode(), authenticator.id.encode())
    return b"totp-secret 1" + b"".join(len(p).to_bytes(4) + p for p in parts)


def secret(tag: bytes) -> bytes:
    """The secret from a 32-byte HMAC tag."""
    return tag[:SECRET_LENGTH]


def steps(at: datetime) -> range:
    """The time steps whose codes are taken at ``at`` (aware UTC)."""
    now = int(at.timestamp()) // PERIOD
    return range(now - DRIFT, now + DRIFT + 1)
