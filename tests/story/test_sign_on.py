"""A login by the institution's single sign-on, at a running service and a real provider."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from urllib.parse import urlsplit

import pytest

from tests.institution.ports import free_port
from tests.institution.provider import CLIENT, SECRET, Provider
from tests.institution.site import Institution
from tests.institution.visitors import Visitor, words_of
from tests.story.story import Story, register

LEAVE = "/login/single-sign-on"
BACK = f"{LEAVE}/back"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Institution, Provider]]:
    here = Institution.build(tmp_path_factory.mktemp("site") / "institution")
    people = {p.pid: p.password for p in here.people.values()} | {"stranger": "word"}
    provider = Provider(
        here.root / "provider", here.authority, free_port(), people,
        here.public_url + BACK,
    )  # fmt: skip
    secret = here.root / "secrets" / "client-secret"
    secret.touch(mode=0o600)
    secret.write_text(SECRET)
    with here.config.open("a") as config:
        config.write(
            f'\n[single_sign_on]\nname = "Campus login"\nissuer = "{provider.issuer}"\n'
            f'client_id = "{CLIENT}"\nclient_secret_file = "{secret}"\n'
            f'ca_file = "{provider.anchors}"\n'
        )
    here.start()
    yield here, provider
    here.stop()
    provider.stop()


def sent_to(visitor: Visitor, path: str = LEAVE) -> str:
    answer = visitor.ask(path)
    assert answer.status == 303, answer.text
    return str(answer.header("location"))


def come_back(
    place: tuple[Institution, Provider], visitor: Visitor, pid: str, path: str = LEAVE
) -> str:
    """The path that the provider sends the browser to."""
    here, provider = place
    known = {p.pid: p.password for p in here.people.values()} | {"stranger": "word"}
    back = provider.browser().log_in(
        sent_to(visitor, path), pid, known[pid], here.public_url + BACK
    )
    parts = urlsplit(back)
    return f"{parts.path}?{parts.query}"


def entries(here: Institution) -> list[dict[str, object]]:
    with closing(sqlite3.connect(here.root / "service.sqlite")) as db:
        return [json.loads(raw) for (raw,) in db.execute("select raw from audit_entries")]


def test_the_login_page_offers_it_and_it_logs_in(place: tuple[Institution, Provider]) -> None:
    here, _ = place
    visitor, holder = Visitor(here), here.people["holder"]
    assert "Log in with Campus login" in visitor.get("/login").text
    answer = visitor.ask(come_back(place, visitor, holder.pid))
    assert (answer.status, answer.header("location")) == (303, "/")
    assert holder.name in visitor.get("/").text
    logins = [e for e in entries(here) if e["event"] == "login"]
    assert logins[-1]["actor"] == holder.uid
    assert logins[-1]["facts"]["by"] == "single-sign-on"  # type: ignore[index]


def test_it_leads_back_to_the_page_that_asked(place: tuple[Institution, Provider]) -> None:
    here, _ = place
    visitor, request = Visitor(here), "/reset/" + "0" * 32
    back = come_back(place, visitor, here.people["holder"].pid, f"{LEAVE}?next={request}")
    assert visitor.ask(back).header("location") == request


@pytest.mark.parametrize("target", ["https://evil.example/", "//evil.example", "/office/"])
def test_and_to_no_other_place(place: tuple[Institution, Provider], target: str) -> None:
    here, _ = place
    visitor = Visitor(here)
    back = come_back(place, visitor, here.people["holder"].pid, f"{LEAVE}?next={target}")
    assert visitor.ask(back).header("location") == "/"


def test_somebody_who_is_not_known_here(place: tuple[Institution, Provider]) -> None:
    here, _ = place
    visitor = Visitor(here)
    answer = visitor.ask(come_back(place, visitor, "stranger"))
    assert answer.status == 403
    assert "not known" in answer.text or "nobody with that login name" in answer.text
    refused = [e for e in entries(here) if e["event"] == "login-refused"]
    assert refused[-1]["facts"]["rule"] == "person"  # type: ignore[index]


def test_an_answer_in_another_browser_logs_nobody_in(place: tuple[Institution, Provider]) -> None:
    """T22, login CSRF: the attacker's answer in the victim's browser, and the other way round."""
    here, _ = place
    attacker, victim = Visitor(here), Visitor(here)
    back = come_back(place, attacker, here.people["holder"].pid)
    sent_to(victim)
    for browser in (victim, Visitor(here)):
        answer = browser.ask(back)
        assert answer.status == 401
        assert here.people["holder"].name not in browser.get("/").text
    assert attacker.ask(back).status == 303  # it was not spent by them


def test_an_answer_is_good_once_and_for_one_attempt(place: tuple[Institution, Provider]) -> None:
    here, _ = place
    visitor = Visitor(here)
    back = come_back(place, visitor, here.people["holder"].pid)
    sent_to(visitor)  # a second attempt in the same browser
    assert visitor.ask(back).status == 401
    back = come_back(place, visitor, here.people["holder"].pid)
    assert visitor.ask(back).status == 303
    assert visitor.ask(back).status == 401


@pytest.mark.parametrize(
    "query", ["", "?code=x", "?state=x", "?code=x&state=", "?error=access_denied&state=x",
              "?code=" + "x" * 3000 + "&state=x", "?state=%00&code=x"],
)  # fmt: skip
def test_odd_answers_are_refused(place: tuple[Institution, Provider], query: str) -> None:
    visitor = Visitor(place[0])
    sent_to(visitor)
    assert visitor.ask(BACK + query).status in (400, 401)


def test_a_denied_login_is_told(place: tuple[Institution, Provider]) -> None:
    here, _ = place
    visitor = Visitor(here)
    state = sent_to(visitor).partition("state=")[2].partition("&")[0]
    answer = visitor.ask(f"{BACK}?error=access_denied&state={state}")
    assert answer.status == 401
    assert "Try it again" in answer.text


def test_a_reset_begins_with_it(place: tuple[Institution, Provider]) -> None:
    """It is a proof of its own, and the page says what it is worth."""
    here, _ = place
    register(Story(here))
    visitor = Visitor(here)
    visitor.ask(come_back(place, visitor, here.people["holder"].pid))
    page = words_of(visitor.send("/", "/reset", reason="blocked").text)
    assert "Your single sign-on and your answers are both things that you know" in page
    assert "1 of 3" in page
    with closing(sqlite3.connect(here.root / "service.sqlite")) as db:
        assert db.execute("select method from proofs").fetchall() == [("sso",)]


def test_doctor_asks_the_provider(place: tuple[Institution, Provider]) -> None:
    here, provider = place
    assert f"single-sign-on {provider.issuer}: ok" in here.command("doctor")
    wrong = here.root / "wrong.toml"
    wrong.write_text(here.config.read_text().replace(provider.issuer, f"{provider.issuer}/other"))
    wrong.chmod(0o600)
    refused = here.try_command("doctor", config=wrong)
    assert refused.returncode == 1
    assert "part=single-sign-on" in refused.stderr


def test_no_secret_in_any_log(place: tuple[Institution, Provider]) -> None:
    here, _ = place
    assert SECRET not in here.log.read_text()
