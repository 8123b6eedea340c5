"""The helper speaks to the service it was given, over verified TLS, and to nobody else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from pkcs11_driver import wire
from pkcs11_driver.helper.client import (
    AnswerGarbled,
    CertificateRefused,
    Client,
    ProtocolDiffers,
    ServiceRefused,
    ServiceUnreachable,
)
from tests.driver.service import Answer, Asked, problem, serve

CLAIM = wire.Claim("ABCDEFGH", b"k" * 32, "1")
CLAIMED = wire.Claimed("job-1", "secret-1", "reset", "S1", wire.PinRules(), b"c", "a b c")
REPORT = wire.Report(1, "n", "done", (), wire.Proof())
STATE = wire.JobState("done", "done")
RELEASE = wire.Release("n", wire.TokenSeen("S1", "L", "ok", "ok"))
RELEASED = wire.Released(1, "s", b"x", 60)


def client(url: str, ca: Path | None) -> tuple[Client, list[float]]:
    pauses: list[float] = []
    return Client(url, str(ca) if ca else None, pause=pauses.append), pauses


def always(answer: Answer) -> Callable[[Asked], Answer]:
    return lambda _: answer


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:1",
        "http://service.test",
        "ftp://service.test",
        "service.test",
        "https://",
        "https://user@service.test",
        "https://service.test/?a=b",
        "https://service.test:port",
    ],
)
def test_only_https_addresses(url: str) -> None:
    """Peer failure 31."""
    with pytest.raises(ValueError):
        Client(url)


def test_unreadable_authorities(tmp_path: Path) -> None:
    (tmp_path / "empty.pem").write_text("")
    for name in ("missing.pem", "empty.pem"):
        with pytest.raises(ValueError, match="cannot read"):
            Client("https://service.test", str(tmp_path / name))


def test_the_calls_of_a_job(tmp_path: Path) -> None:
    answers = {
        "/base/helper/v1/claim": CLAIMED,
        "/base/helper/v1/jobs/job-1/release": RELEASED,
        "/base/helper/v1/jobs/job-1/report": STATE,
        "/base/helper/v1/jobs/job-1": STATE,
    }
    with serve(tmp_path, lambda asked: Answer(wire.to_json(answers[asked.path]))) as service:
        ours, _ = client(service.url + "/base/", service.ca)
        assert ours.claim(CLAIM) == CLAIMED
        assert ours.release(CLAIMED, RELEASE) == RELEASED
        assert ours.report(CLAIMED, REPORT) == STATE
        assert ours.state(CLAIMED) == STATE
    first, *later = service.asked
    assert (first.authorization, first.body) == (None, wire.to_json(CLAIM))
    assert {asked.authorization for asked in later} == {"Bearer secret-1"}
    assert [asked.method for asked in service.asked] == ["POST", "POST", "POST", "GET"]


def test_a_certificate_that_nobody_trusts_is_refused(tmp_path: Path) -> None:
    """Peer failure 31."""
    with serve(tmp_path, always(Answer(wire.to_json(CLAIMED)))) as service:
        ours, pauses = client(service.url, None)
        with pytest.raises(CertificateRefused, match="Nothing was sent"):
            ours.claim(CLAIM)
        with pytest.raises(CertificateRefused):
            ours.report(CLAIMED, REPORT)
    assert (service.asked, pauses) == ([], [])


def test_a_certificate_for_another_name_is_refused(tmp_path: Path) -> None:
    """Peer failure 31."""
    handler = always(Answer(wire.to_json(CLAIMED)))
    with serve(tmp_path, handler, name="other.test") as service:
        ours, _ = client(service.url, service.ca)
        with pytest.raises(CertificateRefused):
            ours.claim(CLAIM)
    assert service.asked == []


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(tmp_path: Path, status: int) -> None:
    """Peer failure 31."""
    answer = Answer(b"", status, "text/html", {"Location": "/elsewhere"})
    with serve(tmp_path, always(answer)) as service:
        ours, _ = client(service.url, service.ca)
        with pytest.raises(AnswerGarbled, match="never followed"):
            ours.report(CLAIMED, REPORT)
    assert [asked.path for asked in service.asked] == ["/helper/v1/jobs/job-1/report"]


def test_a_refusal_carries_the_services_sentence_and_data(tmp_path: Path) -> None:
    answer = problem(409, "lease-running", "Still running.", retry_after=7, other="x")
    with serve(tmp_path, always(answer)) as service:
        ours, _ = client(service.url, service.ca)
        with pytest.raises(ServiceRefused) as caught:
            ours.state(CLAIMED)
    refusal = caught.value
    assert (refusal.code, refusal.title, refusal.status) == ("lease-running", "Still running.", 409)
    assert refusal.retry_after == 7
    assert refusal.data == {"retry_after": 7, "other": "x"}
    assert str(refusal) == "Still running."


def test_a_sentence_cannot_drive_the_terminal(tmp_path: Path) -> None:
    answer = problem(403, "refused", "No.\x1b[2J\nReally \u202eon")
    with serve(tmp_path, always(answer)) as service:
        ours, _ = client(service.url, service.ca)
        with pytest.raises(ServiceRefused) as caught:
            ours.state(CLAIMED)
    assert str(caught.value) == "No.\\x1b[2J Really \\u202eon"


@pytest.mark.parametrize(
    "answer",
    [
        Answer(b"<html>", 200, "text/html"),
        Answer(b"<html>", 404, "text/html"),
        Answer(b"no json"),
        Answer([]),
        Answer({"state": "done"}),
        Answer({"state": "done", "next": "done", "more": 1}),
        Answer(b" " * 300_000),
        Answer(b"[" * 100_000),
    ],
)
def test_other_answers_are_not_understood(tmp_path: Path, answer: Answer) -> None:
    with serve(tmp_path, always(answer)) as service:
        ours, _ = client(service.url, service.ca)
        with pytest.raises(AnswerGarbled):
            ours.state(CLAIMED)
    assert len(service.asked) == 1


@pytest.mark.parametrize("field", ["job", "secret"])
def test_a_job_that_would_break_a_header_is_not_understood(tmp_path: Path, field: str) -> None:
    answer = Answer({**wire.to_json(CLAIMED), field: "a\r\nX: y"})
    with serve(tmp_path, always(answer)) as service:
        ours, _ = client(service.url, service.ca)
        with pytest.raises(AnswerGarbled):
            ours.claim(CLAIM)


@pytest.mark.parametrize("key_id", ["0", "0g", "zz", "AB", "01 ", "01\n", "0x01", "00" * 65])
def test_a_key_that_is_not_hexadecimal_is_not_understood(tmp_path: Path, key_id: str) -> None:
    answer = Answer(wire.to_json(replace(CLAIMED, key_id=key_id)))
    with serve(tmp_path, always(answer)) as service:
        ours, _ = client(service.url, service.ca)
        with pytest.raises(AnswerGarbled, match="key"):
            ours.claim(CLAIM)


@pytest.mark.parametrize(
    "changed",
    [{"minimum": 7}, {"minimum": -1}, {"classes": 2}, {"maximum": 7}, {"minimum": 9, "maximum": 8}],
)
def test_weaker_pin_rules_are_refused(tmp_path: Path, changed: dict[str, int]) -> None:
    """S1.12-S1.15 hold at the holder's computer, whatever the service says."""
    weaker = replace(CLAIMED, pin_rules=replace(wire.PinRules(), **changed))  # type: ignore[arg-type]
    with serve(tmp_path, always(Answer(wire.to_json(weaker)))) as service:
        ours, _ = client(service.url, service.ca)
        with pytest.raises(AnswerGarbled, match="weaker PIN"):
            ours.claim(CLAIM)


def test_a_named_key_and_stricter_pin_rules_are_taken(tmp_path: Path) -> None:
    stricter = wire.PinRules(minimum=12, classes=4)
    for told in (
        replace(CLAIMED, pin_rules=wire.PinRules(minimum=8, maximum=8)),  # a PIV card
        replace(CLAIMED, key_id="0a" * 64),
        replace(CLAIMED, key_id="01", pin_rules=stricter),
    ):
        with serve(tmp_path, always(Answer(wire.to_json(told)))) as service:
            ours, _ = client(service.url, service.ca)
            assert ours.claim(CLAIM) == told


@pytest.mark.parametrize("value", [-1, 86_400, 1e300, float("inf"), float("nan"), "7", None])
def test_a_wait_that_makes_no_sense_is_not_told(value: object) -> None:
    refusal = ServiceRefused("lease-running", "Wait.", "", {"retry_after": value}, 409)
    assert refusal.retry_after is None


def test_a_lost_connection_is_tried_again(tmp_path: Path) -> None:
    answers = [Answer(drop=True), Answer(b"", 503, "text/html"), Answer(wire.to_json(STATE))]
    with serve(tmp_path, lambda _: answers.pop(0)) as service:
        ours, pauses = client(service.url, service.ca)
        assert ours.report(CLAIMED, REPORT) == STATE
    assert pauses == [1.0, 2.0]
    assert len({str(asked.body) for asked in service.asked}) == 1


def test_a_part_that_is_away_for_a_moment_is_waited_for(tmp_path: Path) -> None:
    away = problem(503, "unavailable", "Not complete.", retry_after=300)
    answers = [away, away, Answer(wire.to_json(RELEASED)), *[away] * 4]
    with serve(tmp_path, lambda _: answers.pop(0)) as service:
        ours, pauses = client(service.url, service.ca)
        assert ours.release(CLAIMED, RELEASE) == RELEASED
        assert pauses == [1.0, 2.0]
        with pytest.raises(ServiceRefused):
            ours.release(CLAIMED, RELEASE)
    assert answers == []
    assert len({str(asked.body) for asked in service.asked}) == 1


def test_a_refusal_is_not_asked_for_again(tmp_path: Path) -> None:
    """Nor is one that has the same status."""
    answer = problem(503, "release-refused", "Not released.")
    with serve(tmp_path, always(answer)) as service:
        ours, pauses = client(service.url, service.ca)
        with pytest.raises(ServiceRefused):
            ours.release(CLAIMED, RELEASE)
        assert (len(service.asked), pauses) == (1, [])


def test_but_not_for_ever_and_never_for_a_claim(tmp_path: Path) -> None:
    with serve(tmp_path, always(Answer(drop=True))) as service:
        ours, pauses = client(service.url, service.ca)
        with pytest.raises(ServiceUnreachable):
            ours.claim(CLAIM)
        assert (len(service.asked), pauses) == (1, [])
        with pytest.raises(ServiceUnreachable):
            ours.report(CLAIMED, REPORT)
        assert (len(service.asked), len(pauses)) == (5, 3)


@pytest.mark.parametrize(("theirs", "words"), [("0", "too old"), ("", "too old"), ("2", "newer")])
def test_another_protocol_is_refused(tmp_path: Path, theirs: str, words: str) -> None:
    answer = Answer({**wire.to_json(CLAIMED), "protocol": theirs})
    with serve(tmp_path, always(answer)) as service:
        ours, _ = client(service.url, service.ca)
        with pytest.raises(ProtocolDiffers, match=words):
            ours.claim(CLAIM)


def test_a_service_that_does_not_name_its_protocol_speaks_the_first(tmp_path: Path) -> None:
    body = {k: v for k, v in wire.to_json(CLAIMED).items() if k != "protocol"}
    with serve(tmp_path, always(Answer(body))) as service:
        ours, _ = client(service.url, service.ca)
        assert ours.claim(CLAIM).protocol == "1"
