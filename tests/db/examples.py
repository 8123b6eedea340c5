"""One good row of each kind, and a clock; tests change what they are about with ``replace``."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from reset.core.approvals import Approval, Delegation
from reset.core.authenticator import Authenticator
from reset.core.codes import MailCode
from reset.core.custody import Operation
from reset.core.identities import Person
from reset.core.profile import Draw, Profile, StoredAnswer
from reset.core.requests import Request
from reset.core.tokens import Job, Token
from reset.ports import Mail, Session, UnitOfWork

NOW = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)

PERSON = Person(
    "u1", "Alice", "Alice Ängström", "alice@example.org", "u2", "", frozenset({"office"})
)
TOKEN = Token("T1", "u1", "blue", "in-use", "etoken", b"\x30\x00certificate", "0a", 1)
ANSWER = StoredAnswer("first-phone", False, 1, 1, "a2-19", b"salt", b"record")
PROFILE = Profile(
    "u1",
    (ANSWER, StoredAnswer("Who? Ω", True, 2, 1, "a2-19", b"s2", b"r2")),
    "a@b",
    "c@d",
    NOW,
    answers_at=NOW,
)
APP = Authenticator("a" * 32, "u1", NOW)
DRAW = Draw("u1", ("first-phone", "Who? Ω"), None)
REQUEST = Request(
    "r1", "u1", "T1", "collecting", NOW, NOW, NOW + HOUR, "n1", "blocked", ("first-phone",)
)
CODE = MailCode("c1", "u1", "reset", "r1", "code-recovery", NOW)
APPROVAL = Approval("a1", "r1", "u2", "-", b"statement", b"signature", NOW, NOW + HOUR)
DELEGATION = Delegation("d1", "u2", "u3", NOW, NOW + HOUR)
JOB = Job("j1", "reset", "u1", "r1", "T1", "ABC", b"challenge", NOW)
OPERATION = Operation("o1", "r1", "a1", "T1", "intent", 1, 2)
MAIL = Mail("m1", "u1", "directory", "reset-code", {"token": "blue"}, "c1", NOW)
SESSION = Session("k1", "public", "u1", '{"csrf":"x"}', NOW, NOW, "h1", "192.0.2.1", "Firefox/1")


class Watch:
    """A clock that stands still."""

    def __init__(self) -> None:
        self.at = NOW

    def now(self) -> datetime:
        """The time that the test has set."""
        return self.at


def lay_ground(uow: UnitOfWork) -> None:
    """What an operation refers to: a request, its approval and a job."""
    uow.requests.add(REQUEST)
    uow.approvals.add(APPROVAL)
    uow.jobs.add(JOB)
