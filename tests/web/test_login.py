"""The login page: what it gives back, and that it tells nobody who has an account."""

from __future__ import annotations

import html
import re

import pytest

from reset.core.identities import PID_LIMIT
from tests.web.world import World

Answer = tuple[int, dict[str, str], str]


def refused(world: World, pid: str, password: str) -> Answer:
    """Status, headers and text of a refused login, without what is random in each."""
    answer = world.visitor().send("/login", "/login", pid=pid, password=password)
    headers = {name: value for name, value in answer.headers if name != "Set-Cookie"}
    return (
        answer.status_code,
        headers,
        re.sub(r'(name="csrf_token" value=)"[^"]+"', r"\1", answer.text),
    )


def echoed(text: str) -> str:
    """The value of the field of the login name, as it stands in the page."""
    found = re.search(r'<input type="text" id="pid" name="pid"(?: value="([^"]*)")?', text)
    assert found
    return found[1] or ""


def without_name(answer: Answer, pid: str) -> Answer:
    """The answer as if nothing had been typed."""
    status, headers, text = answer
    length = str(int(headers["Content-Length"]) - len(f' value="{pid}"'))
    return status, headers | {"Content-Length": length}, text.replace(f' value="{pid}"', "", 1)


@pytest.mark.parametrize(("word", "status"), [("wrong", 401), ("", 400), ("x" * 257, 400)])
def test_nobody_learns_who_has_an_account(world: World, word: str, status: int) -> None:
    """T34: prepared, blocked, without a profile, unknown: one answer but for the typed name."""
    world.enrol("alice")
    with world.parts.store.write() as uow:
        for _ in range(3):
            uow.tries.reserve("rounds:u-carol", 3)
    bare = []
    for pid in ("alice", "carol", "bob", "nobody", "a.very.long.name"):
        answer = refused(world, pid, word)
        assert echoed(answer[2]) == pid
        bare.append(without_name(answer, pid))
    assert bare[0][0] == status
    assert bare[1:] == bare[:1] * 4


def test_the_wait_is_answered_alike_too(world: World) -> None:
    bare = []
    for pid in ("alice", "nobody"):
        for _ in range(world.settings.policy.login_slow_after + 1):
            refused(world, pid, "wrong")
        answer = refused(world, pid, "wrong")
        assert echoed(answer[2]) == pid
        bare.append(without_name(answer, pid))
    assert bare[0][0] == 429
    assert bare[0] == bare[1]


@pytest.mark.parametrize(
    "pid", ["Alice ", "o'b<i>\"&", "ａｌｉｃｅ", '"><script>alert(1)</script>']
)
def test_the_name_comes_back_as_it_was_typed(world: World, pid: str) -> None:
    _, _, text = refused(world, pid, "the password")
    assert html.unescape(echoed(text)) == pid
    assert "<script" not in text
    assert "the password" not in text


def test_the_name_that_comes_back_is_bounded(world: World) -> None:
    _, _, text = refused(world, "x" * 4000, "wrong")
    assert echoed(text) == "x" * PID_LIMIT
    assert echoed(world.visitor().get("/login?pid=alice").text) == ""
