"""The holder reads what is done, what is missing and why; auditors read who accepted what."""

from __future__ import annotations

import html
import re
from datetime import date, timedelta
from pathlib import Path

import pytest

from reset.core.deviations import BELOW, Acceptance
from reset.core.policy import Policy
from reset.core.registration import Chosen
from tests.web.world import ANSWERS, PEOPLE, Visitor, World, make_world

MAILBOX = Policy(
    code_box="mailbox",
    level=2,
    acceptances=(Acceptance(BELOW, "Carol Clark", date(2030, 1, 1), date(2030, 12, 31)),),
)
TOGETHER = (
    "Your password and your answers are both things that you know, so together they count once."
)


@pytest.fixture
def by_mailbox(database_template: Path, tmp_path: Path) -> World:
    """An institution whose codes go to the mailbox that the login opens."""
    return make_world(database_template, tmp_path, policy=MAILBOX)


def why(visitor: Visitor, path: str) -> tuple[str, dict[str, str]]:
    """The count, and the standing of each kind, as the page shows them."""
    text = visitor.get(path).text
    count = re.search(r"So far you have (\d of \d)", text)
    kinds = re.findall(r"<strong>(W[^<]*)</strong> <span class=\"tag[^>]*>([^<]*)<", text)
    return count[1] if count else "", dict(kinds)


def words(visitor: Visitor, path: str) -> str:
    return html.unescape(re.sub(r"<[^>]+>|\s+", " ", visitor.get(path).text))


def test_what_is_done_and_missing_along_the_way(world: World) -> None:
    world.enrol()
    visitor = world.logged_in()
    path = world.open_request(visitor)
    kinds = ("What you know", "What you have", "Who vouches for you")

    def standing() -> tuple[str, list[str]]:
        count, found = why(visitor, path)
        assert tuple(found) == kinds
        return count, list(found.values())

    assert standing() == ("1 of 3", ["begun", "missing", "missing"])
    assert "Still to come: your answers." in words(visitor, path)
    assert TOGETHER in words(visitor, path)
    world.answer_questions(visitor, path)
    assert standing() == ("1 of 3", ["done", "missing", "missing"])
    world.enter_code(visitor, path)
    assert standing() == ("2 of 3", ["done", "done", "missing"])
    assert "Your password does not open it" in words(visitor, path)
    world.watch.at += timedelta(minutes=1)
    world.flows.approve.sign(PEOPLE["bob"], path.split("/")[2], b"signed-bob")
    assert standing() == ("2 of 3", ["done", "needed again", "done"])
    assert "Please show again: the code to your recovery address." in words(visitor, path)
    world.watch.at += timedelta(minutes=1)
    world.enter_code(visitor, path)
    assert standing() == ("3 of 3", ["done", "done", "done"])


def test_what_grows_old_while_the_approver_is_asked_is_not_asked_for_now(world: World) -> None:
    world.enrol()
    _, path = world.asked()
    world.watch.at += timedelta(hours=5)
    visitor = world.logged_in()
    assert why(visitor, path)[1]["What you have"] == "needed again"
    text = words(visitor, path)
    assert "after the approval we ask again for the code to your recovery address." in text
    assert "Please show again" not in text


def test_a_request_that_is_over_explains_nothing(world: World) -> None:
    world.enrol()
    visitor = world.logged_in()
    path = world.open_request(visitor)
    visitor.send(path, f"{path}/cancel")
    assert why(visitor, path) == ("", {})


def test_a_code_to_the_own_mailbox_is_no_kind_of_its_own(by_mailbox: World) -> None:
    """S1.74: the page says so, and that the approval makes the difference."""
    by_mailbox.flows.enrol.register(PEOPLE["alice"], chosen(), "")
    visitor = by_mailbox.logged_in()
    path = by_mailbox.open_request(visitor)
    by_mailbox.answer_questions(visitor, path)
    assert why(visitor, path) == (
        "1 of 2", {"What you know": "begun", "Who vouches for you": "missing"}
    )  # fmt: skip
    text = words(visitor, path)
    assert "We send a code to the mailbox that you have here." in text
    assert (
        "Your password, your answers and the code to your mailbox are all things that you know, "
        "so together they count once." in text
    )
    by_mailbox.enter_code(visitor, path)
    assert why(visitor, path)[0] == "1 of 2"
    by_mailbox.flows.approve.sign(PEOPLE["bob"], path.split("/")[2], b"signed-bob")
    by_mailbox.watch.at += timedelta(minutes=1)
    by_mailbox.enter_code(visitor, path)
    assert why(visitor, path)[0] == "2 of 2"
    assert "pairing code" in words(visitor, path)


def chosen() -> list[Chosen]:
    return [Chosen(question, answer) for question, answer in ANSWERS.items()]


def test_no_recovery_address_is_asked_for_where_none_is_used(by_mailbox: World) -> None:
    alice = by_mailbox.holder_of("alice")
    assert "recovery" not in alice.get("/profile").text
    fields = {f"question-{n}": q for n, q in enumerate(ANSWERS, 1)}
    fields |= {f"answer-{n}": a for n, a in enumerate(ANSWERS.values(), 1)}
    assert alice.send("/profile", "/profile", **fields).status_code == 303
    assert "You are prepared" in alice.get("/profile").text
    assert "You are prepared: 5 questions are registered." in words(alice, "/")


def test_auditors_see_who_accepted_what(world: World, by_mailbox: World) -> None:
    assert "Nobody has accepted any" in world.holder_of("adam").get("/audit").text
    text = words(by_mailbox.holder_of("adam"), "/audit")
    assert "reset-below-token : S1.70, S1.74, a reset is worth what the token is worth." in text
    assert "Carol Clark, 2030-01-01 to 2030-12-31" in text
