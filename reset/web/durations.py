"""How pages write a length of time."""

from __future__ import annotations

from datetime import timedelta

_UNITS = ((86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second"))


def span(length: timedelta | float) -> str:
    """A length of time in its largest fitting unit, rounded up: ``10 minutes``, ``3 days``."""
    seconds = length.total_seconds() if isinstance(length, timedelta) else length
    for size, name in _UNITS:
        if seconds >= size and (size < 86_400 or seconds >= 2 * size):
            count = int(-(-seconds // size))
            return f"{count} {name}" if count == 1 else f"{count} {name}s"
    return "a moment"
