"""A person who came by single sign-on: what the pages say of that login, whatever it is worth."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import quote

import pytest

from reset.core.assurance import LOGINS
from reset.core.policy import Policy
from reset.flows.login import Login
from reset.ports import Attempt
from tests.web.test_worth import why, words
from tests.web.world import PEOPLE, Visitor, World, make_world

LEAVE = "/login/single-sign-on"
Make = Callable[[int], World]


class Campus:
    """A provider that names Alice; the real one is in tests/adapters and tests/story."""

    def address(self, attempt: Attempt) -> str:
        return f"https://campus.test/?state={quote(attempt.state)}"

    def redeem(self, code: str, attempt: Attempt, at: datetime) -> str:
        return "alice"

    def check(self) -> Mapping[str, str]:
        return {}


@pytest.fixture
def make(database_template: Path, tmp_path: Path) -> Make:
    """An institution with a single sign-on that is worth so much."""

    def made(level: int) -> World:
        policy = Policy(logins={**LOGINS, "sso": level})
        bare = make_world(database_template, tmp_path, policy=policy)
        parts = replace(bare.parts, sign_on=Campus())
        # the directory in memory has nothing to note
        parts.directory.keep = lambda uid: None  # type: ignore[method-assign]
        flows = replace(bare.flows, login=Login(parts))
        settings = replace(bare.settings, sign_on="Campus login")
        return World(parts, flows, settings, bare.watch, bare.vault)

    return made


def signed_on(world: World) -> Visitor:
    visitor = world.visitor()
    state = visitor.get(LEAVE).location.partition("state=")[2]
    assert visitor.get(f"{LEAVE}/back?code=x&state={state}").location == "/"
    return visitor


def test_a_link_of_another_site_logs_nobody_out(make: Make) -> None:
    """Leaving for the provider ends the session; such a link leads to the login page."""
    visitor = signed_on(make(1))
    elsewhere = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "document"}
    assert visitor.get(LEAVE, headers=elsewhere).location == "/login?next=/"
    assert visitor.get("/sessions").status_code == 200
    assert visitor.get(LEAVE).location.startswith("https://campus.test/")
    assert visitor.get("/sessions").status_code == 303


def test_the_list_of_sessions_tells_it_from_a_password(make: Make) -> None:
    world = make(1)
    visitor = signed_on(world)
    world.logged_in()
    world.holder_of("alice").get("/")
    ways = re.findall(r"with your ([a-z -]+), from", visitor.get("/sessions").text)
    assert ways[0] == "single sign-on"
    assert sorted(ways) == ["password", "single sign-on", "token"]


def test_worth_one_it_stands_where_a_password_stands(make: Make) -> None:
    world = make(1)
    world.enrol()
    visitor = signed_on(world)
    path = world.open_request(visitor)
    world.answer_questions(visitor, path)
    world.enter_code(visitor, path)
    assert why(visitor, path)[0] == "2 of 3"
    text = words(visitor, path)
    assert "Your single sign-on and your answers are both things that you know" in text
    assert "Your single sign-on does not open it" in text
    assert "password" not in text.partition("What you know")[2].partition("Who vouches")[0]


def test_worth_two_it_is_both_kinds_and_a_code_adds_none(make: Make) -> None:
    """The page says what ``core.assurance`` counts."""
    world = make(2)
    world.enrol()
    visitor = signed_on(world)
    path = world.open_request(visitor)
    assert why(visitor, path) == (
        "2 of 3", {"What you know and have": "begun", "Who vouches for you": "missing"}
    )  # fmt: skip
    world.answer_questions(visitor, path)
    world.enter_code(visitor, path)
    count, kinds = why(visitor, path)
    assert (count, kinds["What you know and have"]) == ("2 of 3", "done")
    text = words(visitor, path)
    assert "Your single sign-on showed two kinds by itself" in text
    assert "counts as a second kind" not in text
    assert "together they count once" not in text


def test_the_whole_way_to_a_pairing_code(make: Make) -> None:
    world = make(2)
    world.enrol()
    visitor = signed_on(world)
    path = world.open_request(visitor)
    world.answer_questions(visitor, path)
    world.enter_code(visitor, path)
    world.watch.at += timedelta(minutes=1)
    world.flows.approve.sign(PEOPLE["bob"], path.split("/")[2], b"signed-bob")
    world.watch.at += timedelta(minutes=1)
    world.enter_code(visitor, path)
    assert why(visitor, path)[0] == "3 of 3"
    assert "pairing code" in words(visitor, f"{path}/helper").lower()


def test_leaving_for_it_ends_the_login_of_now_and_the_log_says_so(make: Make) -> None:
    world = make(1)
    visitor = world.logged_in()
    kept = visitor.cookie()
    visitor.get(LEAVE)
    visitor.client.set_cookie("__Host-public", kept, domain="public.test", secure=True)
    assert "Is your token blocked?" in visitor.get("/").text
    with world.parts.store.read() as uow:
        assert [e for e in uow.audit.entries() if b'"logout"' in e.raw]
