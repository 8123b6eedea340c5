"""The system's clock and its random source."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime


class SystemClock:
    def now(self) -> datetime:
        """Now, aware UTC."""
        return datetime.now(UTC)


class SystemRandom:
    def below(self, limit: int) -> int:
        """A random integer in 0…limit-1."""
        return secrets.randbelow(limit)

    def token(self, size: int) -> bytes:
        """``size`` random bytes."""
        return secrets.token_bytes(size)
