"""How the service writes a time for people."""

from __future__ import annotations

from datetime import UTC, datetime


def show(at: datetime) -> str:
    """A time as pages and mails say it: to the minute, UTC."""
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")


def show_day(at: datetime) -> str:
    """The day alone, UTC."""
    return at.astimezone(UTC).strftime("%Y-%m-%d")
