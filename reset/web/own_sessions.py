"""Where a person is logged in, on both sites, and how to end each of these sessions (ASVS 7.4)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from flask import Blueprint, render_template
from flask.typing import ResponseReturnValue

from reset.errors import NotFound
from reset.ports import Session
from reset.web.forms import text
from reset.web.guards import Guard, guard
from reset.web.paths import go
from reset.web.sessions import current, login_of
from reset.web.site import flows, person

# the first word found names it: other browsers say "Chrome" and "Safari" as well
_BROWSERS = {
    "Edg": "Edge", "OPR/": "Opera", "Firefox/": "Firefox", "Chrome/": "Chrome",
    "Safari/": "Safari",
}  # fmt: skip
_SYSTEMS = {
    "Android": "Android", "iPhone": "iPhone", "iPad": "iPad", "Windows": "Windows",
    "Mac OS": "macOS", "Linux": "Linux",
}  # fmt: skip


@dataclass(frozen=True)
class Line:
    """One session for its person; ``here``: the one that shows the page; ``by``: the method of
    its login."""

    handle: str
    here: bool
    by: str
    browser: str
    address: str
    created_at: datetime
    seen_at: datetime


def browser_of(agent: str) -> str:
    """The browser and its system, from the ``User-Agent`` header, as people call them."""
    browser = next(
        (name for word, name in _BROWSERS.items() if word in agent), "An unknown browser"
    )
    system = next((name for word, name in _SYSTEMS.items() if word in agent), "")
    return f"{browser} on {system}" if system else browser


def _line(one: Session, here: Session) -> Line:
    return Line(
        handle=one.handle,
        here=one.handle == here.handle,
        by="certificate" if one.site == "certificate" else login_of(one),
        browser=browser_of(one.agent),
        address=one.address,
        created_at=one.created_at,
        seen_at=one.seen_at,
    )


def blueprint(kind: Guard) -> Blueprint:
    """The pages for one site, behind its guard."""
    made = Blueprint("own_sessions", __name__)

    @made.get("/sessions")
    @guard(kind)
    def listed() -> ResponseReturnValue:
        """Every live session of the person, this one first."""
        here = current()
        lines = [_line(one, here) for one in flows().sessions.of_person(person().uid)]
        lines.sort(key=lambda line: not line.here)
        return render_template("sessions.html", lines=lines)

    @made.post("/sessions/end")
    @guard(kind)
    def end_one() -> ResponseReturnValue:
        """End the session named by ``session``; a second click finds it ended."""
        try:
            flows().sessions.end_one(person().uid, text("session"))
        except NotFound:
            return go("own_sessions.listed", "session-was-ended")
        return go("own_sessions.listed", "session-is-ended")

    @made.post("/sessions/end-others")
    @guard(kind)
    def end_others() -> ResponseReturnValue:
        """End all but this one."""
        flows().sessions.end_others(person().uid, current())
        return go("own_sessions.listed", "others-are-ended")

    return made
