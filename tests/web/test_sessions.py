"""Sessions: cookies, new identifiers, ends, and what binds them."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import Any

import pytest
from flask_login import encode_cookie

from reset.web.own_sessions import browser_of
from tests.web.world import PASSWORD, ClientSocket, Visitor, World


def test_cookies_are_host_bound_and_closed(world: World) -> None:
    answer = world.visitor().send("/login", "/login", pid="alice", password=PASSWORD)
    cookie = answer.headers["Set-Cookie"]
    assert cookie.startswith("__Host-public=")
    for part in ("Secure", "HttpOnly", "Path=/", "SameSite=Lax"):
        assert part in cookie
    assert "Domain" not in cookie
    strict = world.holder_of("bob").get("/").headers["Set-Cookie"]
    assert strict.startswith("__Host-certificate=")
    assert "SameSite=Strict" in strict


def test_a_step_up_under_way_does_not_outlive_the_end_of_its_session(world: World) -> None:
    """T22: the owner logs out everywhere while the thief's answers are being compared."""
    world.enrol()
    thief = world.logged_in()
    path = world.open_request(thief)
    compare = world.flows.recover.answer

    def ended_meanwhile(*given: Any) -> Any:
        made = compare(*given)
        for one in world.flows.sessions.of_person("u-alice"):
            world.flows.sessions.end_one("u-alice", one.handle)
        return made

    world.flows.recover.answer = ended_meanwhile  # type: ignore[method-assign]
    assert world.answer_questions(thief, path).location.startswith("/login")
    assert thief.get(path).location.startswith("/login")


def test_a_planted_session_is_not_taken_over(world: World) -> None:
    visitor = world.visitor()
    planted = "ab" * 32
    visitor.client.set_cookie("__Host-public", planted, domain="public.test", secure=True)
    visitor.send("/login", "/login", pid="alice", password=PASSWORD)
    assert visitor.cookie() != planted
    visitor.client.set_cookie("__Host-public", planted, domain="public.test", secure=True)
    assert "Alice" not in visitor.get("/").text


def test_each_step_up_gets_a_new_identifier_and_the_old_one_dies(world: World) -> None:
    world.enrol()
    visitor = world.visitor()
    visitor.token("/login")
    seen = [visitor.cookie()]
    visitor.send("/login", "/login", pid="alice", password=PASSWORD)
    seen.append(visitor.cookie())
    path = world.open_request(visitor)
    world.answer_questions(visitor, path)
    seen.append(visitor.cookie())
    world.enter_code(visitor, path)
    seen.append(visitor.cookie())
    assert len(set(seen)) == 4
    for old in seen[:3]:
        thief = world.visitor()
        thief.client.set_cookie("__Host-public", old, domain="public.test", secure=True)
        assert thief.get(path).location.startswith("/login")


def test_logout_ends_the_session_in_the_database(world: World) -> None:
    visitor = world.logged_in()
    kept = visitor.cookie()
    assert visitor.send("/", "/logout").location == "/?notice=logged-out"
    assert visitor.cookie() == ""
    visitor.client.set_cookie("__Host-public", kept, domain="public.test", secure=True)
    assert "Is your token blocked?" in visitor.get("/").text


def test_sessions_end_idle_and_absolutely(world: World) -> None:
    visitor = world.logged_in()
    world.watch.at += timedelta(minutes=16)
    assert "Is your token blocked?" in visitor.get("/").text
    visitor = world.logged_in()
    for _ in range(33):
        world.watch.at += timedelta(minutes=14)
        visitor.get("/")
    assert "Your tokens" in visitor.get("/").text
    for _ in range(2):
        world.watch.at += timedelta(minutes=14)
        visitor.get("/")
    assert "Is your token blocked?" in visitor.get("/").text


def test_a_remember_cookie_logs_nobody_in(world: World) -> None:
    with world.public.app_context():
        forged = encode_cookie("u-alice")
    visitor = world.visitor()
    visitor.client.set_cookie("remember_token", forged, domain="public.test", secure=True)
    assert "Is your token blocked?" in visitor.get("/").text


def test_the_certificate_session_is_bound_to_its_certificate(world: World) -> None:
    bob = world.holder_of("bob")
    token, cookie = bob.token("/profile"), bob.cookie()
    other = Visitor(bob.client, bob.base, {"werkzeug.socket": ClientSocket(b"certificate-carol")})
    assert other.post("/profile/delete", {"csrf_token": token}).status_code == 400
    assert other.cookie() != cookie
    assert "Carol" in other.get("/").text


def test_a_certificate_session_is_recorded_once(world: World) -> None:
    bob = world.holder_of("bob")
    for _ in range(3):
        bob.get("/")
    with world.parts.store.read() as uow:
        events = [e for e in uow.audit.entries() if b"certificate-login" in e.raw]
    assert len(events) == 1


def test_a_visitor_costs_no_row(world: World) -> None:
    visitor = world.visitor()
    for _ in range(3):
        visitor.get("/login")
    assert visitor.cookie().startswith("visitor-")
    with world.parts.store.write() as uow:
        late = world.watch.at + timedelta(days=1)
        assert uow.sessions.purge(late, late) == 0


# --- one's own sessions ------------------------------------------------------------------
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"


def _handles(page: str) -> list[str]:
    return re.findall(r'name="session" value="([0-9a-f]{32})"', page)


def test_a_person_sees_all_sessions_and_ends_one(world: World) -> None:
    here, there = world.logged_in(), world.visitor()
    there.client.environ_base["HTTP_USER_AGENT"] = FIREFOX
    there.send("/login", "/login", pid="alice", password=PASSWORD)
    with_token = world.holder_of("alice")
    assert "this one" in with_token.get("/sessions").text
    page = here.get("/sessions").text
    assert page.count("this one") == 1
    assert "Firefox on Linux" in page
    assert "with your token" in page
    handles = _handles(page)
    assert len(handles) == 2  # the one that shows the page has no button
    assert here.send("/sessions", "/sessions/end", session=handles[0]).status_code == 303
    assert here.send("/sessions", "/sessions/end", session=handles[1]).status_code == 303
    assert there.get("/sessions").location.startswith("/login")
    assert _handles(here.get("/sessions").text) == []


def test_a_second_click_finds_the_session_ended(world: World) -> None:
    here = world.logged_in()
    world.logged_in()
    (handle,) = _handles(here.get("/sessions").text)
    token = here.token("/sessions")
    for notice in ("session-is-ended", "session-was-ended"):
        ended = here.post("/sessions/end", {"csrf_token": token, "session": handle})
        assert ended.location == f"/sessions?notice={notice}"


def test_everywhere_else_leaves_this_one(world: World) -> None:
    here, others = world.logged_in(), [world.logged_in() for _ in range(2)]
    bob = world.logged_in("bob")
    assert here.send("/sessions", "/sessions/end-others").status_code == 303
    assert here.get("/sessions").status_code == 200
    assert bob.get("/sessions").status_code == 200
    assert all(o.get("/sessions").location.startswith("/login") for o in others)


def test_nobody_ends_another_persons_session(world: World) -> None:
    """Peer failure 25: the handle of somebody else's session is worth nothing."""
    alice, bob = world.logged_in(), world.logged_in("bob")
    world.logged_in()
    (handle,) = _handles(alice.get("/sessions").text)
    answer = bob.send("/sessions", "/sessions/end", session=handle)
    assert answer.location == "/sessions?notice=session-was-ended"
    assert _handles(alice.get("/sessions").text) == [handle]
    entries = [json.loads(e.raw) for e in world.flows.auditing.newest(world.parts.person("u-adam"))]
    assert "session-ended" not in {e["event"] for e in entries}


def test_a_step_up_keeps_the_handle_and_the_old_cookie_dies(world: World) -> None:
    world.enrol()
    visitor, other = world.logged_in(), world.logged_in()
    before = _handles(other.get("/sessions").text)
    world.answer_questions(visitor, world.open_request(visitor))
    assert _handles(other.get("/sessions").text) == before
    other.send("/sessions", "/sessions/end", session=before[0])
    assert visitor.get("/sessions").location.startswith("/login")


def test_no_page_of_sessions_shows_what_a_cookie_is_made_of(world: World) -> None:
    visitor = world.logged_in()
    with world.parts.store.read() as uow:
        keys = [s.key for s in uow.sessions.of_person("u-alice")]
    page = visitor.get("/sessions").text
    assert visitor.cookie() not in page
    assert not [key for key in keys if key in page]


@pytest.mark.parametrize(
    ("agent", "name"),
    [
        (FIREFOX, "Firefox on Linux"),
        ("Mozilla/5.0 (Windows NT 10.0) Chrome/130.0 Safari/537.36 Edg/130.0", "Edge on Windows"),
        ("Mozilla/5.0 (Linux; Android 14) Chrome/130.0 Mobile Safari/537.36", "Chrome on Android"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Safari/604", "Safari on iPhone"),
        ("curl/8", "An unknown browser"),
        ("", "An unknown browser"),
        ("<script>alert(1)</script>", "An unknown browser"),
    ],
)
def test_browsers_are_named_as_people_call_them(agent: str, name: str) -> None:
    assert browser_of(agent) == name
