"""Every error has its page and its problem document; nothing else ever shows."""

from __future__ import annotations

import inspect

import pytest

from reset import errors
from reset.errors import ResetError
from reset.web.error_pages import words_for
from reset.web.error_texts import LABELS, RULES, WORDS
from tests.web.world import World

CLASSES = [
    found for _, found in inspect.getmembers(errors, inspect.isclass)
    if issubclass(found, ResetError)
]  # fmt: skip


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_every_error_renders_as_page_and_as_problem(shared: World, kind: type[ResetError]) -> None:
    data = {"retry_after": 90, "rule": "x", "problems": [], "serial": "<b>1</b>", "part": "y"}

    def fail(**_: object) -> None:
        raise kind(**data)

    shared.flows.login.with_password = lambda *_: fail()  # type: ignore[method-assign,assignment,return-value]
    fields = {"pid": "alice", "password": "x"}
    page = shared.visitor().send("/login", "/login", **fields)
    if kind is errors.LoginNeeded:
        assert page.status_code == 303
        return
    words = WORDS[kind.code]
    assert page.status_code == words.status
    assert "<b>1</b>" not in page.text
    assert "registration office" in page.text.lower()
    assert page.headers["Retry-After"] == "90"
    visitor = shared.visitor()
    problem = visitor.post(
        "/login",
        {"csrf_token": visitor.token("/login"), **fields},
        headers={"Accept": "application/problem+json"},
    )
    assert problem.content_type == "application/problem+json"
    assert problem.status_code == words.status
    told = problem.json
    assert (told["type"], told["status"], told["title"]) == (kind.code, words.status, words.title)
    assert told["detail"]
    assert told["retry_after"] == 90


def test_every_class_has_an_entry_and_every_variant_a_base() -> None:
    assert {kind.code for kind in CLASSES} <= WORDS.keys()
    assert {code.partition(":")[0] for code in WORDS} <= WORDS.keys()


@pytest.mark.parametrize("code", WORDS)
def test_words_say_what_happened_and_what_to_do(code: str) -> None:
    base, _, variant = code.partition(":")
    words = words_for(base, {"reason": variant, "rounds_left": 2, "retry_after": 61})
    assert 400 <= words.status < 600
    for sentence in (words.title, words.happened, words.then):
        assert sentence
        assert "{" not in sentence
        assert "None" not in sentence


def test_rules_and_labels_are_words() -> None:
    assert all(text.endswith(".") for text in RULES.values())
    assert all(LABELS.values())


def test_an_unforeseen_error_shows_a_number_and_nothing_else(world: World) -> None:
    def fail(*_: object) -> None:
        raise ValueError("secret detail")

    world.flows.login.with_password = fail  # type: ignore[method-assign,assignment]
    page = world.visitor().send("/login", "/login", pid="alice", password="x")
    assert page.status_code == 500
    assert "secret detail" not in page.text
    assert "Traceback" not in page.text
    assert "recorded as number" in page.text


def test_errors_of_the_web_server_have_pages_too(world: World) -> None:
    visitor = world.visitor()
    assert visitor.get("/nowhere").status_code == 404
    wrong = visitor.get("/reset")
    assert wrong.status_code == 405
    assert "POST" in wrong.headers["Allow"]
    problem = visitor.get("/nowhere", headers={"Accept": "application/json"})
    assert (problem.status_code, problem.json["type"]) == (404, "not-found")
    helper = visitor.get("/helper/v1/nowhere")
    assert (helper.status_code, helper.content_type) == (404, "application/problem+json")


def test_a_failing_session_store_still_gets_a_page(world: World) -> None:
    visitor = world.logged_in()

    def away(*_: object) -> None:
        raise errors.Unavailable(part="database")

    world.flows.sessions.load = away  # type: ignore[method-assign,assignment]
    page = visitor.get("/")
    assert page.status_code == 503
    assert "does not answer" in page.text


def test_a_missing_part_says_when_to_come_back(world: World) -> None:
    visitor = world.logged_in()

    def away(*_: object) -> None:
        raise errors.Unavailable(part="database")

    world.flows.sessions.load = away  # type: ignore[method-assign,assignment]
    for accept in ("text/html", "application/problem+json"):
        refused = visitor.get("/", headers={"Accept": accept})
        assert (refused.status_code, refused.headers["Retry-After"]) == (503, "300")
        assert "about 5 minutes" in refused.text
    assert refused.json["retry_after"] == 300
