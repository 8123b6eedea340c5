"""What holds for every route: guards, headers, hosts, cookies, form tokens, sessions."""

from __future__ import annotations

import logging
import re
from datetime import timedelta

import pytest
from flask import Flask

from reset.web import forms, guards
from tests.web.world import PASSWORD, PUBLIC, ClientSocket, World

INVENTORY = {
    "public": {
        "GET /static/<path:filename>": "open",
        "GET /": "anyone",
        "GET /login": "anyone",
        "POST /login": "anyone",
        "GET /login/single-sign-on": "anyone",
        "GET /login/single-sign-on/back": "anyone",
        "POST /logout": "anyone",
        "GET /sessions": "login",
        "POST /sessions/end": "login",
        "POST /sessions/end-others": "login",
        "POST /reset": "login",
        "GET /reset/<random:request_id>": "login",
        "GET /reset/<random:request_id>/questions": "login",
        "POST /reset/<random:request_id>/questions": "login",
        "GET /reset/<random:request_id>/code": "login",
        "POST /reset/<random:request_id>/code": "login",
        "POST /reset/<random:request_id>/code/send": "login",
        "POST /reset/<random:request_id>/helper": "login",
        "GET /reset/<random:request_id>/helper": "login",
        "POST /reset/<random:request_id>/cancel": "login",
        "POST /helper/v1/claim": "open",
        "POST /helper/v1/jobs/<random:job>/release": "bearer",
        "POST /helper/v1/jobs/<random:job>/report": "bearer",
        "GET /helper/v1/jobs/<random:job>": "bearer",
        "GET /helper/v1/openapi.json": "open",
        "GET /healthz": "open",
        "GET /readyz": "open",
        "GET /metrics": "metrics",
        "GET /audit/checkpoints": "open",
    },
    "certificate": {
        "GET /static/<path:filename>": "open",
        "GET /": "certificate",
        "POST /logout": "certificate",
        "GET /left": "open",
        "GET /profile": "certificate",
        "POST /profile": "certificate",
        "POST /profile/confirm": "certificate",
        "POST /profile/code": "certificate",
        "POST /profile/delete": "certificate",
        "POST /profile/check": "certificate",
        "POST /profile/second": "certificate",
        "POST /profile/second/confirm": "certificate",
        "POST /profile/second/code": "certificate",
        "POST /profile/second/remove": "certificate",
        "GET /profile/app": "certificate",
        "POST /profile/app": "certificate",
        "POST /profile/app/confirm": "certificate",
        "POST /profile/app/remove": "certificate",
        "GET /profile/rehearsal": "certificate",
        "POST /profile/rehearsal": "certificate",
        "GET /approvals": "certificate",
        "GET /approvals/<random:request_id>": "certificate",
        "GET /approvals/<random:request_id>/statement": "certificate",
        "POST /approvals/<random:request_id>/signature": "certificate",
        "POST /approvals/<random:request_id>/deny": "certificate",
        "GET /approvals/<random:request_id>/helper": "certificate",
        "POST /approvals/<random:request_id>/helper": "certificate",
        "GET /delegations": "certificate",
        "POST /delegations": "certificate",
        "POST /delegations/<random:delegation_id>/revoke": "certificate",
        "GET /office/": "office",
        "POST /office/": "office",
        "POST /office/look": "office",
        "GET /office/person": "office",
        "POST /office/person/check": "office",
        "POST /office/person/lift": "office",
        "POST /office/person/end-sessions": "office",
        "GET /sessions": "certificate",
        "POST /sessions/end": "certificate",
        "POST /sessions/end-others": "certificate",
        "GET /audit": "auditor",
    },
}
ID = "0" * 32


def _app(world: World, name: str) -> Flask:
    return world.public if name == "public" else world.certificate


def _fill(rule: str) -> str:
    return re.sub(r"<path:[^>]+>", "style.css", re.sub(r"<\w+:[^>]+>", ID, rule))


@pytest.mark.parametrize("name", INVENTORY)
def test_every_route_has_the_guard_of_the_inventory(shared: World, name: str) -> None:
    app = _app(shared, name)
    found = {
        f"{method} {rule.rule}": guards.guard_of(app, rule.endpoint)
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert found == INVENTORY[name]


def test_an_application_with_an_unguarded_view_is_refused(world: World) -> None:
    world.public.view_functions["public.home"] = lambda: "open door"
    with pytest.raises(KeyError):
        guards.check_declared(world.public)


@pytest.mark.parametrize("line", [k for k, g in INVENTORY["public"].items() if g == "login"])
def test_password_pages_ask_for_the_login(shared: World, line: str) -> None:
    """T8: questions only after the password."""
    method, rule = line.split()
    visitor = shared.visitor()
    ask = visitor.get if method == "GET" else visitor.post
    assert ask(_fill(rule)).location.startswith("/login")
    problem = ask(_fill(rule), headers={"Accept": "application/json"})
    assert (problem.status_code, problem.json["type"]) == (401, "login-needed")


@pytest.mark.parametrize("line", [k for k, g in INVENTORY["certificate"].items() if g != "open"])
@pytest.mark.parametrize("shown", ["", "certificate-mallory", "none"])
def test_certificate_pages_need_a_known_certificate(shared: World, line: str, shown: str) -> None:
    """Peer failure 29, T11, T12."""
    method, rule = line.split()
    extra = {"werkzeug.socket": ClientSocket(shown.encode())} if shown != "none" else {}
    visitor = shared.holder_of("bob")
    visitor.extra = extra
    ask = visitor.get if method == "GET" else visitor.post
    forged = {"X-SSL-Client-Cert": "certificate-bob", "SSL_CLIENT_CERT": "certificate-bob"}
    assert ask(_fill(rule), headers=forged).status_code == 403


@pytest.mark.parametrize(
    "line", [k for k, g in INVENTORY["certificate"].items() if g in ("office", "auditor")]
)
def test_role_pages_refuse_everybody_else(shared: World, line: str) -> None:
    """T19: the help desk has no page of its own."""
    method, rule = line.split()
    visitor = shared.holder_of("bob")
    assert (visitor.get if method == "GET" else visitor.post)(_fill(rule)).status_code == 403


@pytest.mark.parametrize("line", [k for k, g in INVENTORY["public"].items() if g == "bearer"])
def test_helper_pages_need_a_secret(shared: World, line: str) -> None:
    method, rule = line.split()
    visitor = shared.visitor()
    for header in ({}, {"Authorization": "Basic eDp4"}, {"Authorization": "Bearer " + "x" * 43}):
        ask = visitor.get if method == "GET" else visitor.post
        options = {} if method == "GET" else {"json": {}}
        answer = ask(_fill(rule), headers=header, **options)
        assert answer.status_code in (400, 403)
        assert answer.content_type == "application/problem+json"
        assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize("name", INVENTORY)
def test_no_route_of_one_site_exists_on_the_other(shared: World, name: str) -> None:
    own = {line.split()[1] for line in INVENTORY[name]}
    for other in INVENTORY.keys() - {name}:
        for line in INVENTORY[other]:
            rule = line.split()[1]
            if rule not in own:
                visitor = shared.visitor() if name == "public" else shared.holder_of("bob")
                assert visitor.get(_fill(rule)).status_code == 404, rule


def test_every_answer_carries_the_headers(world: World) -> None:
    """Peer failure 35."""
    for visitor, path in (
        (world.visitor(), "/"),
        (world.visitor(), "/login"),
        (world.visitor(), "/nowhere"),
        (world.visitor(), "/helper/v1/openapi.json"),
        (world.holder_of("bob"), "/profile"),
    ):
        headers = visitor.get(path).headers
        assert headers["Cache-Control"] == "no-store"
        assert headers["Content-Security-Policy"].startswith("default-src 'none'; style-src 'self'")
        assert headers["Strict-Transport-Security"] == "max-age=31536000; includeSubDomains"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "same-origin"
        assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
        assert "Permissions-Policy" in headers
    with world.visitor().get("/static/style.css") as sheet:
        assert "max-age=3600" in sheet.headers["Cache-Control"]


@pytest.mark.parametrize("host", ["evil.test", "public.test.evil.test", "public.test:444", ""])
def test_only_the_configured_host_is_answered(shared: World, host: str) -> None:
    """Peer failure 21."""
    visitor = shared.visitor()
    answer = visitor.get("/login", headers={"Host": host})
    assert answer.status_code == 400
    assert "evil" not in answer.text
    forwarded = visitor.get("/login", headers={"X-Forwarded-Host": "evil.test"})
    assert forwarded.status_code == 200
    assert "evil" not in forwarded.text


ODD_PATHS = [
    "/./login",
    "//login",
    "/login/",
    "/LOGIN",
    "/login;x",
    "/%2e/login",
    "/login%2f",
    "/x/../login",
]


@pytest.mark.parametrize("path", [*ODD_PATHS, f"/reset//{ID}", "/audit"])
def test_odd_paths_find_nothing(shared: World, path: str) -> None:
    """Peer failures 13 and 14."""
    visitor = shared.visitor()
    visitor.extra = {"PATH_INFO": path}
    assert visitor.get("/").status_code == 404


def test_a_form_without_its_token_changes_nothing(world: World) -> None:
    world.enrol()
    visitor = world.logged_in()
    for data in ({}, {"csrf_token": ""}, {"csrf_token": "x"}):
        page = visitor.post("/reset", data)
        assert page.status_code == 400
        assert "The page was open too long" in page.text
    stranger = world.visitor()
    assert stranger.post("/login", {"pid": "alice", "password": PASSWORD}).status_code == 400
    assert visitor.post("/reset", json={"token": "x"}).status_code == 400


@pytest.mark.parametrize("name", INVENTORY)
def test_every_form_needs_its_token(shared: World, name: str) -> None:
    """But for the helper's API, which reads no cookie."""
    visitor = shared.logged_in() if name == "public" else shared.holder_of("olga")
    forms_ = [line.split()[1] for line in INVENTORY[name] if line.startswith("POST")]
    for rule in forms_:
        if not rule.startswith("/helper/"):
            answer = visitor.post(_fill(rule), {}, headers={"Accept": "application/json"})
            assert (answer.status_code, answer.json["type"]) == (400, "page-too-old"), rule


def test_another_visitors_form_token_is_worth_nothing(world: World) -> None:
    world.enrol()
    foreign = world.logged_in("bob").token("/")
    assert world.logged_in().post("/reset", {"csrf_token": foreign}).status_code == 400


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.test"},
        {"Origin": "null"},
        {"Origin": "http://public.test"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_a_form_from_elsewhere_is_refused(shared: World, headers: dict[str, str]) -> None:
    visitor = shared.visitor()
    fields = {"csrf_token": visitor.token("/login"), "pid": "alice", "password": PASSWORD}
    assert visitor.post("/login", fields, headers=headers).status_code == 400
    own = {"Origin": PUBLIC, "Sec-Fetch-Site": "same-origin"}
    assert visitor.post("/login", fields, headers=own).status_code == 303


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"},
        {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "object"},
    ],
)
def test_another_site_reads_nothing_with_the_visitors_certificate(
    world: World, headers: dict[str, str]
) -> None:
    """The browser shows the certificate by itself, and what is read stands in the log."""
    world.enrol()
    _, path = world.asked()
    where = f"/approvals/{path.split('/')[2]}/statement"
    bob = world.holder_of("bob")

    def entries() -> int:
        with world.parts.store.read() as uow:
            return len(list(uow.audit.entries()))

    before = entries()
    assert bob.get(where, headers=headers).status_code == 400
    assert entries() == before
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert bob.get(where, headers={**link, "Sec-Fetch-Dest": "document"}).status_code == 200


def test_the_login_tells_unknown_from_wrong_in_nothing(world: World) -> None:
    answers = []
    for pid, password in (("alice", "wrong password"), ("nobody", PASSWORD)):
        answer = world.visitor().send("/login", "/login", pid=pid, password=password)
        body = re.sub(r'value="[^"]+"|[0-9a-f]{12}', "", answer.text)
        names = sorted(answer.headers.keys())
        answers.append((answer.status_code, body, names, len(answer.text) - len(pid)))
    assert answers[0] == answers[1]
    assert answers[0][0] == 401


@pytest.mark.parametrize(
    "target",
    ["https://evil.test", "//evil.test", "/\\evil.test", "/logout", "/login", "/reset/x", "%0d%0a"],
)
def test_the_login_leads_to_no_other_place(shared: World, target: str) -> None:
    visitor = shared.visitor()
    assert "evil" not in visitor.get(f"/login?next={target}").text
    fields = {"pid": "alice", "password": PASSWORD, "next": target}
    assert visitor.send("/login", "/login", **fields).location == "/"


def test_the_login_leads_back_to_the_request(world: World) -> None:
    visitor = world.visitor()
    where = visitor.get(f"/reset/{ID}/code").location
    assert where == f"/login?next=%2Freset%2F{ID}%2Fcode"
    assert f'value="/reset/{ID}/code"' in visitor.get(where).text


def test_a_site_without_single_sign_on_offers_none(world: World) -> None:
    visitor = world.visitor()
    assert "single-sign-on" not in visitor.get("/login").text
    assert visitor.get("/login/single-sign-on").status_code == 404
    assert visitor.get("/login/single-sign-on/back?code=x&state=y").status_code == 401


@pytest.mark.parametrize(
    "data",
    [
        {"pid": ["alice", "bob"], "password": PASSWORD},
        {"pid": "alice", "password": [PASSWORD, PASSWORD]},
        {"pid": "alice\0", "password": PASSWORD},
        {"pid": "", "password": PASSWORD},
        {"pid": " ", "password": PASSWORD},
        {"pid": "alice", "password": ""},
        {"pid": "alice", "password": "x" * 257},
        {"pid[]": "alice", "password": PASSWORD},
    ],
)
def test_odd_login_fields_are_bad_input(shared: World, data: dict[str, object]) -> None:
    visitor = shared.visitor()
    answer = visitor.post("/login", {"csrf_token": visitor.token("/login"), **data})
    assert answer.status_code == 400
    assert visitor.cookie().startswith("visitor-")


def test_a_query_twice_is_bad_input(world: World) -> None:
    """Peer failure 18."""
    assert world.holder_of("olga").get("/office/?q=al&q=bo").status_code == 400


def test_bodies_are_bounded(world: World) -> None:
    visitor = world.visitor()
    fields = {"csrf_token": visitor.token("/login"), "pid": "alice", "password": "x" * 80_000}
    assert visitor.post("/login", fields).status_code == 413
    big = visitor.post("/helper/v1/claim", json={"code": "x" * 140_000})
    assert (big.status_code, big.json["type"]) == (413, "too-large")


def test_a_field_is_bounded_before_anything_reads_it(world: World) -> None:
    """Normal forms of long texts take seconds, and before the login nobody is slowed down."""
    visitor, limit = world.visitor(), forms.FIELD_LIMIT
    fields = {"csrf_token": visitor.token("/login"), "password": PASSWORD}
    answer = visitor.post("/login", {**fields, "pid": "alice", "next": "x" * (limit + 1)})
    assert answer.status_code == 400
    assert visitor.get(f"/?notice={'x' * (limit + 1)}").status_code == 400
    assert visitor.get(f"/?notice={'x' * limit}").status_code == 200
    assert visitor.post("/login", {**fields, "x" * (limit + 1): "y"}).status_code == 400


def test_no_secret_of_a_request_reaches_the_log(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.enrol()
    secret = "canary-7f3a9c"
    with caplog.at_level(logging.DEBUG):
        visitor = world.visitor()
        visitor.send("/login", "/login", pid=secret, password=secret)
        visitor.get(f"/login?next={secret}", headers={"Cookie": f"x={secret}"})
        visitor = world.logged_in()
        path = world.open_request(visitor)
        visitor.send(path, f"{path}/questions", **{f"answer-{n}": secret for n in (1, 2, 3)})
        visitor.post("/helper/v1/claim", json={"code": secret, "public_key": secret})
        visitor.get(f"/{secret}")
        world.flows.login.person = lambda uid: 1 / len(uid[:0])  # type: ignore[method-assign,assignment,return-value]
        assert visitor.get("/").status_code == 500
    assert caplog.records
    assert secret not in caplog.text
    assert "event='failure'" in caplog.text


def test_metrics_are_for_loopback_or_the_token(world: World) -> None:
    visitor = world.visitor()
    assert visitor.get("/metrics").status_code == 200
    assert visitor.get("/metrics", headers={"X-Forwarded-For": "127.0.0.1"}).status_code == 403
    for address in ("192.0.2.7", "", None):
        visitor.extra = {"REMOTE_ADDR": address}
        assert visitor.get("/metrics").status_code == 403
    object.__setattr__(world.settings, "metrics_token", "metrics-secret")
    assert visitor.get("/metrics").status_code == 403
    good = {"Authorization": "Bearer metrics-secret"}
    assert visitor.get("/metrics", headers=good).status_code == 200
    assert "metrics-secret" not in repr(world.settings)


def test_metrics_say_how_long_revocation_is_known(world: World) -> None:
    visitor = world.visitor()
    lines = visitor.get("/metrics").text.splitlines()
    name = "reset_revocation_end_timestamp_seconds"
    assert f'{name}{{issuer="CN=Root CA",kind="crl"}} 1.924992e+09' in lines
    assert f'{name}{{issuer="CN=Issuing CA",kind="ocsp"}} 0.0' in lines
    world.flows.revocation.standing = lambda: world.vault.health() and []  # type: ignore[method-assign]
    world.vault.gone = True  # whatever it needs is away: all else is still told
    text = visitor.get("/metrics").text
    assert "reset_requests_total" in text
    assert f"{name}{{" not in text


def test_probes_answer_by_address_and_fail_closed(world: World) -> None:
    visitor = world.visitor()
    by_address = {"Host": "10.0.0.1"}
    assert visitor.get("/healthz", headers=by_address).status_code == 200
    assert visitor.get("/readyz", headers=by_address).status_code == 200
    world.vault.gone = True
    assert visitor.get("/readyz").status_code == 503
    assert visitor.get("/healthz").status_code == 200


# --- gates ---------------------------------------------------------------------------------
# of each route about a request: the gate or proof before it, and what a password alone gets there
GATES = {
    "GET /reset/<random:request_id>": ("", 200, ""),
    "GET /reset/<random:request_id>/questions": ("", 200, ""),
    "POST /reset/<random:request_id>/questions": ("a round", 403, "answers-wrong"),
    "GET /reset/<random:request_id>/code": ("answers", 303, ""),
    "POST /reset/<random:request_id>/code": ("answers", 409, "proofs-missing"),
    "POST /reset/<random:request_id>/code/send": ("answers", 409, "proofs-missing"),
    "GET /reset/<random:request_id>/helper": ("release", 409, "state-conflict"),
    "POST /reset/<random:request_id>/helper": ("", 303, ""),
    "POST /reset/<random:request_id>/cancel": ("", 303, ""),
}


def test_the_gate_of_every_route_about_a_request(world: World) -> None:
    """T1, peer failures 5 and 14: no route is without its line, and a password opens no gate."""
    assert {line for line in INVENTORY["public"] if "/<random:request_id>" in line} == set(GATES)
    world.enrol()
    visitor = world.logged_in()
    path = world.open_request(visitor)
    token = visitor.token(path)
    fields = {"csrf_token": token, "code": "12345678"} | {f"answer-{n}": "no" for n in (1, 2, 3)}
    json = {"Accept": "application/problem+json"}
    for line, (_, status, code) in GATES.items():
        method, rule = line.split()
        where = rule.replace("/reset/<random:request_id>", path)
        ask = visitor.get if method == "GET" else visitor.post
        answer = ask(where, headers=json, **({} if method == "GET" else {"data": fields}))
        assert (answer.status_code, (answer.json or {}).get("type", "")) == (status, code), line


def test_a_block_shuts_every_gate(world: World) -> None:
    """Peer failure 5: a second way in that does not look at the block."""
    world.enrol()
    visitor, path = world.approved()
    world.watch.at += timedelta(minutes=1)
    with world.parts.store.write() as uow:
        for _ in range(world.settings.policy.failed_rounds):
            uow.tries.reserve("rounds:u-alice", 99)
    fields = {"csrf_token": visitor.token(path), "code": "12345678", "app-code": "123456"}
    json = {"Accept": "application/problem+json"}
    for step in ("questions", "code", "code/send"):
        for names in ({"code"}, {"app-code"}):
            data = {k: v for k, v in fields.items() if k in {"csrf_token", *names}}
            answer = visitor.post(f"{path}/{step}", data | {"answer-1": "x"}, headers=json)
            assert answer.json["type"] == "self-service-blocked", step
    assert visitor.get(f"{path}/helper", headers=json).status_code == 409
