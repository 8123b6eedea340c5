"""A part is away while a message is at work: room on a disk, the custodian, its HSM.

The message is refused cleanly, and the same run of the helper goes on when the part is back.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.crash.messages import TIMES
from tests.crash.proxy import Passage, Proxy, Reply
from tests.crash.scene import Scene
from tests.devices.machine import until
from tests.institution.disk import SmallDisk
from tests.institution.softhsm import hanging
from tests.institution.visitors import Visitor, words_of

# while it is open, a part is away
Away = Callable[[], AbstractContextManager[None]]


@contextlib.contextmanager
def full_disk(scene: Scene, directory: str) -> Iterator[Away]:
    with SmallDisk(scene.here.root / directory) as disk:

        @contextlib.contextmanager
        def away() -> Iterator[None]:
            disk.fill()
            try:
                yield
            finally:
                disk.free()

        try:
            yield away
        finally:
            scene.here.stop("serve")


@contextlib.contextmanager
def killed_custodian(scene: Scene) -> Iterator[Away]:
    """It cannot be started again meanwhile."""

    @contextlib.contextmanager
    def away() -> Iterator[None]:
        with moved(scene.here.custodian_config):
            scene.kill_custodian()
            yield

    yield away


@contextlib.contextmanager
def lost_hsm(scene: Scene) -> Iterator[Away]:
    yield lambda: moved(scene.here.root / "hsm" / "store")


@contextlib.contextmanager
def moved(path: Path) -> Iterator[None]:
    """The file or directory is not at its place."""
    aside = path.with_name(f"{path.name}-aside")
    path.rename(aside)
    try:
        yield
    finally:
        aside.rename(path)


@dataclass(frozen=True)
class Part:
    """What is away, the name that the answers have for it, and the status of each call. ``runs`` of
    the helper: a claim is sent once, so one that is refused ends its run."""

    absence: Callable[[Scene], AbstractContextManager[Away]]
    name: str
    claim: int
    release: int
    report: int

    @property
    def runs(self) -> list[int]:
        return [0] if self.claim == 200 else [1, 0]


PARTS = {
    "full database": Part(lambda s: full_disk(s, "data"), "database", 503, 503, 503),
    # an end is proven without the custodian; it is told when it is back
    "full ledger": Part(lambda s: full_disk(s, "custodian"), "ledger", 200, 503, 200),
    "custodian killed": Part(killed_custodian, "custodian", 503, 503, 200),
    "HSM lost": Part(lost_hsm, "hsm", 503, 503, 200),
}


@pytest.mark.parametrize("part", PARTS.values(), ids=PARTS)
def test_a_part_is_away_at_each_message(scene: Scene, part: Part) -> None:
    scene.restore("ready")
    answers: dict[str, Reply] = {}
    with part.absence(scene) as away, Proxy(scene.here) as proxy:

        def without_it(message: Passage) -> Reply:
            with away():
                answers[message.call] = message.deliver()
                spent = scene.row("select count(*) from approvals where used_at is not null")
                assert spent == scene.row("select count(*) from operations")
            return answers[message.call]

        for call in ("claim", "release", "report"):
            proxy.arm(call, without_it)
        scene.start()
        assert [scene.helper(server=proxy.url) for _ in part.runs] == part.runs
        assert proxy.broke == []
        assert scene.recover() == "done"
        assert scene.row("select epoch from operations") == (1,)
        scene.prove("done")
    statuses = {call: answer.status for call, answer in answers.items()}
    assert statuses == {"claim": part.claim, "release": part.release, "report": part.report}
    for answer in answers.values():
        if answer.status == 503:
            told = json.loads(answer.body)
            assert (answer.kind, answer.retry_after) == ("application/problem+json", "300")
            assert (told["type"], told["part"]) == ("unavailable", part.name)


def test_people_are_told_in_plain_words(scene: Scene) -> None:
    scene.restore("ready")
    with full_disk(scene, "data") as away:
        scene.start()
        with away():
            refused = Visitor(scene.here).log_in("holder")
        assert (refused.status, refused.header("Retry-After")) == (503, "300")
        assert "try again in about 5 minutes" in words_of(refused.text)
        assert Visitor(scene.here).log_in("holder").status == 200


def test_an_hsm_that_hangs_holds_nothing_else_up(scene: Scene) -> None:
    """Not even when the new custodian hangs, too: the sites answer, and ``serve`` can be ended."""
    scene.restore("ready")
    scene.start()
    with hanging(scene.here.root / "hsm" / "store"):
        assert Visitor(scene.here).log_in("holder").status == 503
        until(lambda: "custodian ended with 1, started again" in scene.here.log.read_text())
        assert Visitor(scene.here).get("/").status == 200
        serve = scene.here.process("serve")
        serve.terminate()
        assert serve.wait(60) == 0
    scene.start()
    assert Visitor(scene.here).log_in("holder").status == 200


def test_an_order_that_was_never_made_costs_no_try(scene: Scene) -> None:
    """The custodian dies when it is asked, and stays away until the helper has given up."""
    scene.restore("ready")
    scene.start("custodian.release.before:1")
    with contextlib.ExitStack() as until_the_end, Proxy(scene.here) as proxy:

        def not_again(message: Passage) -> Reply:
            until_the_end.enter_context(moved(scene.here.custodian_config))
            return message.deliver()

        proxy.arm("release", not_again)
        assert scene.helper(server=proxy.url) == 1
        assert proxy.passed.count("release") == TIMES
        assert "does not answer" in scene.said.read_text().splitlines()[-1]
        order = scene.row('select state, tries_spent, length("order") from operations')
        assert order == ("sent", 1, 0)
    assert scene.recover() == "done"
    assert [facts["tries"] for facts in scene.entries("custody-sent")] == [1, 2]
    scene.prove("done")
