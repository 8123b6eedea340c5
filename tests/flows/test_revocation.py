"""When sources are asked, and when somebody is told (reset/flows/revocation.py)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import pytest

from reset.errors import CertificateRefused, ResetError, Unavailable
from reset.flows.revocation import RETRY, TELL, RevocationKeeping
from reset.ports import RevocationSource, RevocationStanding
from tests.flows.world import World

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
LIST = RevocationSource("issuing.crl", "http://pki.example/issuing.crl")
OTHER = RevocationSource("root.crl", "http://pki.example/root.crl")
FIRST = RevocationSource("one.ocsp", "http://ocsp.example", b"one")
SECOND = RevocationSource("two.ocsp", "http://ocsp.example", b"two")


class Files:
    """Sources that fail as a test says; what was asked of them, and about whom."""

    def __init__(self) -> None:
        self.fails: dict[str, ResetError] = {}
        self.asked: list[str] = []
        self.about: Sequence[bytes] = ()
        self.rows: list[RevocationStanding] = []
        self.left = 10 * DAY

    def sources(self, certificates: Sequence[bytes]) -> list[RevocationSource]:
        self.about = certificates
        return [LIST, OTHER, FIRST, SECOND]

    def refresh(self, source: RevocationSource, now: Callable[[], datetime]) -> datetime:
        self.asked.append(source.name)
        if source.name in self.fails:
            raise self.fails[source.name]
        return now() + self.left

    def standing(self, certificates: Sequence[bytes], at: datetime) -> list[RevocationStanding]:
        return self.rows

    def taken(self) -> list[str]:
        """What was asked since the last look."""
        found, self.asked = self.asked, []
        return found


@pytest.fixture
def files() -> Files:
    return Files()


@pytest.fixture
def keeping(world: World, files: Files) -> RevocationKeeping:
    return RevocationKeeping(world.parts, files, every=HOUR, notice=DAY)


ALL = [LIST.name, OTHER.name, FIRST.name, SECOND.name]


def test_each_source_is_asked_at_once_and_then_every_hour(
    world: World, files: Files, keeping: RevocationKeeping
) -> None:
    assert (keeping.run_once(), files.taken()) == (4, ALL)
    world.clock.move(HOUR - timedelta(seconds=1))
    assert (keeping.run_once(), files.taken()) == (0, [])
    world.clock.move(timedelta(seconds=1))
    assert (keeping.run_once(), files.taken()) == (4, ALL)


@pytest.mark.parametrize(
    ("left", "next_one"),
    [(3 * HOUR, HOUR), (HOUR, HOUR / 2), (RETRY, RETRY), (-HOUR, RETRY)],
)
def test_what_ends_sooner_is_asked_sooner(
    world: World, files: Files, keeping: RevocationKeeping, left: timedelta, next_one: timedelta
) -> None:
    files.left = left
    keeping.run_once()
    files.taken()
    world.clock.move(next_one - timedelta(seconds=1))
    keeping.run_once()
    assert files.taken() == []
    world.clock.move(timedelta(seconds=1))
    keeping.run_once()
    assert files.taken() == ALL


def test_what_is_refused_is_asked_again_soon_and_holds_nobody_up(
    world: World, files: Files, keeping: RevocationKeeping
) -> None:
    files.fails = {FIRST.name: CertificateRefused(rule="ocsp-missing")}
    keeping.run_once()
    assert files.taken() == ALL
    world.clock.move(RETRY)
    files.fails = {}
    keeping.run_once()
    assert files.taken() == [FIRST.name]
    world.clock.move(RETRY)
    keeping.run_once()
    assert files.taken() == []


def test_a_responder_that_does_not_answer_is_left_alone_for_a_while(
    world: World, files: Files, keeping: RevocationKeeping
) -> None:
    files.fails = {FIRST.name: Unavailable(part="ocsp.example", why="TimeoutError")}
    keeping.run_once()
    assert files.taken() == ALL[:3]  # the second certificate would only wait as long
    keeping.run_once()
    assert files.taken() == []
    files.fails = {}
    world.clock.move(RETRY)
    keeping.run_once()
    assert files.taken() == ALL[2:]


def test_certificates_in_use_are_asked_about(
    world: World, files: Files, keeping: RevocationKeeping
) -> None:
    with world.database.read() as uow:
        tokens = uow.tokens.every()
    keeping.run_once()
    assert sorted(files.about) == sorted(one.certificate for one in tokens)
    assert len(files.about) > 3


def test_asking_about_one_certificate(files: Files, keeping: RevocationKeeping) -> None:
    keeping.ask_about(b"two")
    keeping.ask_about(b"three")
    assert files.taken() == [SECOND.name]
    files.fails = {FIRST.name: Unavailable(part="ocsp.example")}
    with pytest.raises(Unavailable):
        keeping.ask_about(b"one")


# since and until, in hours from now, and whether somebody is told, with a day's notice
ENDS = [
    (-24, 24 * 6, False),
    (-24 * 6, 24, False),
    (-24 * 6, 23, True),
    (-24 * 6, -1, True),
    (-18, 6, False),  # made daily: a quarter of its day is enough
    (-19, 5, True),
    (-0.5, 0.5, False),
    (-0.8, 0.2, True),
    (None, None, True),
]


@pytest.mark.parametrize(("since", "until", "told"), ENDS)
def test_somebody_is_told_in_time(
    world: World,
    files: Files,
    keeping: RevocationKeeping,
    caplog: pytest.LogCaptureFixture,
    since: float | None,
    until: float | None,
    told: bool,
) -> None:
    now = world.clock.now()
    dates = [None if one is None else now + one * HOUR for one in (since, until)]
    files.rows = [RevocationStanding("crl", "CN=Issuing", *dates)]
    with caplog.at_level(logging.WARNING, "reset.flows.revocation"):
        for _ in range(3):
            keeping.run_once()
    lines = [r for r in caplog.records if "crl of CN=Issuing" in r.getMessage()]
    assert len(lines) == told
    world.clock.move(TELL)
    keeping.run_once()
    assert keeping.standing() == files.rows
    if told:
        lines = [r for r in caplog.records if "crl of CN=Issuing" in r.getMessage()]
        assert len(lines) == 2


def test_a_failure_is_said_with_its_reason(
    files: Files, keeping: RevocationKeeping, caplog: pytest.LogCaptureFixture
) -> None:
    files.fails = {
        LIST.name: CertificateRefused(rule="crl-older", source=LIST.name),
        OTHER.name: Unavailable(part="pki.example", why="status 404"),
    }
    keeping.run_once()
    assert "not taken from http://pki.example/issuing.crl" in caplog.text
    assert "rule=crl-older" in caplog.text
    assert "status 404" in caplog.text


def test_the_world_of_the_other_tests_is_in_order(world: World) -> None:
    """With the real adapter: the authority's lists, and no responder."""
    rows = world.revocation.standing()
    assert [one.kind for one in rows] == ["crl", "crl"]
    assert not any(world.revocation.ends_soon(one) for one in rows)
