"""A disk that is full, under the database or under the custodian's ledger, at each message."""

from __future__ import annotations

import json

import pytest

from tests.crash.proxy import Passage, Proxy, Reply
from tests.crash.scene import Scene
from tests.institution.disk import SmallDisk
from tests.institution.visitors import Visitor, words_of

CALLS = ("claim", "release", "report")


@pytest.mark.parametrize(
    ("where", "part", "statuses", "exits"),
    [
        # a claim is sent once, so the first run ends with it
        ("data", "database", {"claim": 503, "release": 503, "report": 503}, [1, 0]),
        # the end is proven without the custodian, which is told when it has room again
        ("custodian", "ledger", {"claim": 200, "release": 503, "report": 200}, [0]),
    ],
)
def test_a_full_disk_refuses_cleanly_and_the_same_run_goes_on(
    scene: Scene, where: str, part: str, statuses: dict[str, int], exits: list[int]
) -> None:
    scene.restore("ready")
    answers: dict[str, Reply] = {}
    with SmallDisk(scene.here.root / where) as disk, Proxy(scene.here) as proxy:

        def full(message: Passage) -> Reply:
            disk.fill()
            answers[message.call] = message.deliver()
            assert scene.row("select count(*) from approvals where used_at is not null") == (
                scene.row("select count(*) from operations")
            )
            disk.free()
            return answers[message.call]

        try:
            for call in CALLS:
                proxy.arm(call, full)
            scene.start()
            assert [scene.helper(server=proxy.url) for _ in exits] == exits
            assert proxy.broke == []
            assert scene.recover() == "done"
            assert scene.row("select epoch from operations") == (1,)
            scene.prove("done")
        finally:
            scene.here.stop("serve")
    assert {call: answer.status for call, answer in answers.items()} == statuses
    for answer in answers.values():
        if answer.status == 503:
            told = json.loads(answer.body)
            assert (answer.kind, answer.retry_after) == ("application/problem+json", "300")
            assert (told["type"], told["part"], told["why"]) == ("unavailable", part, "SQLITE_FULL")


def test_people_are_told_in_plain_words(scene: Scene) -> None:
    scene.restore("ready")
    with SmallDisk(scene.here.root / "data") as disk:
        try:
            scene.start()
            disk.fill()
            refused = Visitor(scene.here).log_in("holder")
            assert (refused.status, refused.header("Retry-After")) == (503, "300")
            assert "try again in about 5 minutes" in words_of(refused.text)
            disk.free()
            assert Visitor(scene.here).log_in("holder").status == 200
        finally:
            scene.here.stop("serve")
