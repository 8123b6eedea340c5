"""A few faults of messages and of the token; ``scripts/crash-matrix --faults`` has all."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.crash import messages, removals
from tests.crash.messages import Case, Way
from tests.crash.proxy import Proxy
from tests.crash.removals import Removal
from tests.crash.scene import Scene

# what arrives twice at once is in tests/flows/test_parallel.py as well
MESSAGES = {
    ("claim", Way.unanswered),
    ("release", Way.answer_overtaken),
    ("report", Way.unanswered),
    ("report", Way.overtaken),
    ("report", Way.behind_another_order),
    ("state", Way.asked_between),
}
REMOVALS = {
    ("after Login 1",),
    ("after InitPIN 1",),
    ("after SetPIN 1",),
    ("after SetPIN 1", "before Login 4"),
}


@pytest.fixture(scope="module")
def proxy(scene: Scene) -> Iterator[Proxy]:
    with Proxy(scene.here) as made:
        yield made


@pytest.mark.parametrize(
    "case", [c for c in messages.CASES if (c.call, c.fault) in MESSAGES], ids=str
)
def test_a_message(scene: Scene, proxy: Proxy, case: Case) -> None:
    messages.play(scene, proxy, case)


@pytest.mark.parametrize("case", [c for c in removals.CASES if c.calls in REMOVALS], ids=str)
def test_the_token(scene: Scene, case: Removal) -> None:
    removals.play(scene, case)


def test_every_fault_has_its_cases() -> None:
    faults = {name for name in vars(Way) if not name.startswith("_")}
    assert {case.fault.__name__ for case in messages.CASES} == faults
    assert {case.call for case in messages.CASES} == {"claim", "release", "report", "state"}
    assert {(c.call, c.fault) for c in messages.CASES} >= MESSAGES
    assert {c.calls for c in removals.CASES} >= REMOVALS
