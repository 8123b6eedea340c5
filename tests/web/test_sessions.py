"""Sessions: cookies, new identifiers, ends, and what binds them."""

from __future__ import annotations

from datetime import timedelta

from flask_login import encode_cookie

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
