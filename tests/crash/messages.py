"""Every call of the helper, and what the way between helper and service can do to it.

A whole reset by the real helper at the real service, in which one message suffers one fault; then
what a person does (a new code, the helper again); then ``Scene.prove``.

The helper never asks for the state by itself, so in its row somebody with its secret does. A lease
is not waited for, it is written into the past: the helper's own clock does not save it then.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from tests.crash.proxy import Passage, Proxy, Reply
from tests.crash.scene import Scene

TIMES = 4  # the helper sends a message so often before it gives up


class Way:
    """What happens to one message; each public method is a fault, its docstring says which."""

    def __init__(self, scene: Scene, proxy: Proxy) -> None:
        self.scene = scene
        self.proxy = proxy

    def lost(self, message: Passage) -> Reply | None:
        """the service never sees it"""
        return None

    def always_lost(self, message: Passage) -> Reply | None:
        """the service never sees it, however often it is sent"""
        self.proxy.arm(message.call, self.always_lost)
        return None

    def unanswered(self, message: Passage) -> Reply | None:
        """the answer is lost"""
        message.deliver()
        return None

    def never_answered(self, message: Passage) -> Reply | None:
        """the answer is lost, however often it is sent"""
        self.proxy.arm(message.call, self.never_answered)
        return self.unanswered(message)

    def twice(self, message: Passage) -> Reply | None:
        """it arrives twice at the same time"""
        one, other = message.deliver_at_once()
        assert one.status == other.status == 200, (one, other)
        return other

    def late(self, message: Passage) -> Reply | None:
        """the lease is over before it arrives"""
        self.scene.lapse()
        return message.deliver()

    def answered_late(self, message: Passage) -> Reply | None:
        """the lease is over before the answer arrives"""
        answer = message.deliver()
        self.scene.lapse()
        return answer

    def overtaken(self, message: Passage) -> Reply | None:
        """another helper begins and ends before it arrives"""
        self._another_helper()
        return message.deliver()

    def answer_overtaken(self, message: Passage) -> Reply | None:
        """another helper begins and ends before the answer arrives"""
        answer = message.deliver()
        self._another_helper()
        return answer

    def behind_the_next(self, message: Passage) -> Reply | None:
        """it arrives once more, behind the helper's next message"""
        following = {"claim": "release", "release": "report"}[message.call]
        self.proxy.arm(following, lambda later: self._in_front_of(later, message))
        return message.deliver()

    def behind_another_order(self, message: Passage) -> Reply | None:
        """it arrives once more, behind the order for the next helper"""
        self.proxy.arm("release", lambda later: self._in_front_of(later, message))
        return message.deliver()

    def asked_between(self, message: Passage) -> Reply | None:
        """asked for twice at a time, before and after an order"""
        state = replace(
            message,
            call="state",
            method="GET",
            path=message.path.removesuffix("/release"),
            body=b"",
        )
        before = self._asked(state)
        answer = message.deliver()
        assert self._asked(state) != before
        return answer

    def _another_helper(self) -> None:
        self.scene.lapse()
        assert self.scene.helper() == 0

    @staticmethod
    def _in_front_of(later: Passage, message: Passage) -> Reply:
        answer = later.deliver()
        message.deliver()
        return answer

    def _asked(self, state: Passage) -> bytes:
        entries = self.scene.row("select count(*) from audit_entries")
        one, other = state.deliver_at_once()
        assert one == other
        assert one.status == 200
        assert self.scene.row("select count(*) from audit_entries") == entries
        return one.body


@dataclass(frozen=True)
class Case:
    """A call, its fault, and what is expected.

    ``exits``: of the helper that it happens to. ``orders``: how many were made for the end, which
    is always ``done``. ``ignored``: reports that counted nothing. ``strikes``: how many messages
    suffered. ``point``: where the token's process dies in the first run, so that its report is
    unclear.
    """

    call: str
    fault: Callable[[Way, Passage], Reply | None]
    exits: int
    orders: int = 1
    ignored: int = 0
    strikes: int = 1
    point: str = ""

    def __str__(self) -> str:
        return f"{self.call}: {self.fault.__doc__}"


UNCLEAR = "token.set-so-pin.after:1"
CASES = (
    Case("claim", Way.lost, exits=1),
    Case("claim", Way.unanswered, exits=1),
    Case("claim", Way.twice, exits=0),
    Case("claim", Way.overtaken, exits=1),
    Case("claim", Way.answer_overtaken, exits=1),
    Case("claim", Way.behind_the_next, exits=0, strikes=2),
    Case("release", Way.lost, exits=0),
    Case("release", Way.always_lost, exits=1, strikes=TIMES),
    Case("release", Way.unanswered, exits=0),
    Case("release", Way.never_answered, exits=1, orders=2, strikes=TIMES),
    Case("release", Way.twice, exits=0),
    Case("release", Way.answered_late, exits=0),
    Case("release", Way.overtaken, exits=1),
    Case("release", Way.answer_overtaken, exits=1, orders=2, ignored=1),
    Case("release", Way.behind_the_next, exits=0, strikes=2),
    Case("release", Way.behind_another_order, exits=1, orders=2, strikes=2, point=UNCLEAR),
    Case("report", Way.lost, exits=0),
    Case("report", Way.unanswered, exits=0),
    Case("report", Way.twice, exits=0),
    Case("report", Way.late, exits=0),
    Case("report", Way.overtaken, exits=1, orders=2, ignored=1),
    Case("report", Way.behind_another_order, 1, orders=2, ignored=1, strikes=2, point=UNCLEAR),
    Case("state", Way.asked_between, exits=0),
)


def play(scene: Scene, proxy: Proxy, case: Case) -> None:
    """One case. Raises ``AssertionError``."""
    way = Way(scene, proxy)
    scene.restore("ready")
    proxy.forget()
    proxy.arm("release" if case.call == "state" else case.call, lambda m: case.fault(way, m))
    scene.start()
    exits = scene.helper(case.point, proxy.url)
    end = scene.recover(case.point, proxy.url if case.point else "")
    assert proxy.broke == []
    assert proxy.struck == case.strikes, f"{proxy.struck} strikes; {proxy.passed}"
    assert (exits, end) == (case.exits, "done")
    assert scene.row("select epoch from operations") == (case.orders,)
    assert len(scene.entries("report-ignored")) == case.ignored
    scene.prove(end)
