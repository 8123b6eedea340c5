"""What nginx and the applications make of odd requests: paths, bodies, hosts, floods, the log."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import pytest
from flask import Flask

from reset import bootstrap, config
from reset.web import guards
from reset.web.forms import FORM_LIMIT, HELPER_LIMIT
from tests.institution.proxied import Proxied
from tests.institution.visitors import Visitor
from tests.proxy.asking import Line, Reply, ask, context, new_source

ID = "0" * 32
SITES = ("public", "certificate")


@pytest.fixture(scope="session")
def applications(here: Proxied) -> dict[str, Flask]:
    """Both applications, for their lists of routes."""
    service = bootstrap.service(config.load(here.config))
    return {
        "public": bootstrap.public_site(service),
        "certificate": bootstrap.certificate_site(service),
    }


def _routes(app: Flask, *without: guards.Guard) -> Iterator[tuple[str, str]]:
    """Method and path of every route, but for those with one of these guards."""
    for rule in app.url_map.iter_rules():
        if guards.guard_of(app, rule.endpoint) not in without:
            path = re.sub(r"<\w+:[^>]+>", ID, rule.rule.replace("<path:filename>", "style.css"))
            for method in sorted((rule.methods or set()) & {"GET", "POST"}):
                yield method, path


# --- paths -----------------------------------------------------------------------------
def _tricks(path: str) -> list[str]:
    """Other spellings of a path, that some filter or other has taken for a harmless one."""
    middle = path[:1] + path[1:].replace("/", "%2f", 1) if "/" in path[1:] else path + "%2f"
    return [
        "/." + path, "/" + path, "//" + path, "/%2e" + path, "/%2e%2e" + path, "/x/.." + path,
        "/public/..;" + path, "/static/.." + path, "/static/..%2f" + path[1:],
        "/static/%2e%2e" + path, "/healthz/.." + path, "/healthz;/.." + path, "/;x" + path,
        "/%252e" + path, "/%5c.." + path, path + "/.", path + "/", path + ".", path + ";x",
        path + ";.css", path + "%00", path + "%20", path + "%2f", path + "/x/..", middle,
        path.upper() if path.upper() != path else path + "%0a",
        "https://localhost/healthz/.." + path,
    ]  # fmt: skip


def _refused(reply: Reply) -> bool:
    """Neither the page nor a way to it: refused, not found, or led to the login."""
    if reply.status == 303:
        return reply.header("location").startswith("/login")
    return reply.status in (400, 401, 403, 404, 405, 421)


def test_no_spelling_of_a_path_opens_a_page_without_the_login(
    here: Proxied, applications: dict[str, Flask]
) -> None:
    """Peer failures 13 and 14."""
    routes = list(_routes(applications["public"], "open", "anyone"))
    assert len(routes) > 10
    for method, path in routes:
        with Line(here, "public", context(here)) as line:
            for target in (path, *_tricks(path)):
                reply = line.ask(method, target)
                assert _refused(reply), (method, target, reply)


def test_no_spelling_of_a_path_opens_a_page_without_the_certificate(
    here: Proxied, applications: dict[str, Flask]
) -> None:
    """Peer failures 13 and 14."""
    seen = {(403, True), (400, False)}  # nginx's own page, or a target that it cannot read
    with Line(here, "certificate", context(here)) as line:
        for method, path in _routes(applications["certificate"]):
            for target in (path, *_tricks(path)):
                reply = line.ask(method, target)
                assert (reply.status, "Plug in your token" in reply.text) in seen, (method, target)


def test_no_spelling_of_a_path_opens_a_page_without_the_role(
    here: Proxied, applications: dict[str, Flask]
) -> None:
    """Peer failures 13 and 14.

    The plain path opens it for the one who has the role: what is tried here does exist.
    """
    routes = list(_routes(applications["certificate"], "open", "certificate"))
    assert ("GET", "/audit") in routes
    with Line(here, "certificate", context(here, "supervisor")) as line:
        for method, path in routes:
            for target in (path, *_tricks(path)):
                assert _refused(line.ask(method, target)), (method, target)
    for path in ("/audit", "/office/"):
        assert ask(here, "certificate", path, part="operator").status == 200


def test_a_page_has_one_spelling(here: Proxied) -> None:
    """Also for the one who may see it."""
    with Line(here, "certificate", context(here, "operator")) as line:
        for path in ("/audit", "/profile", "/approvals"):
            assert line.ask("GET", path).status == 200
            for target in _tricks(path):
                assert line.ask("GET", target).status in (400, 404), target


def test_the_routers_own_redirect_stays_on_the_site(here: Proxied) -> None:
    forged = [("X-Forwarded-Proto", "http"), ("X-Forwarded-Host", "evil.test")]
    reply = ask(here, "certificate", "/office", part="operator", headers=forged)
    assert (reply.status, reply.header("location")) == (308, f"{here.certificate_url}/office/")


# --- caches ----------------------------------------------------------------------------
def test_nothing_but_static_files_is_kept_by_a_cache(
    here: Proxied, applications: dict[str, Flask]
) -> None:
    """Peer failure 35."""
    for site in SITES:
        with Line(here, site, context(here, "operator")) as line:
            for method, path in _routes(applications[site]):
                reply = line.ask(method, path)
                kept = "public, max-age=3600" if path.startswith("/static/") else "no-store"
                assert reply.all("cache-control") == [kept], (method, path, reply)


def test_what_nginx_or_gunicorn_answer_is_not_kept_either(here: Proxied) -> None:
    long = "/" + "a" * 9000
    for target, host in (("/", "evil.test"), (long, None), ("/" + "a" * 17_000, None)):
        reply = ask(here, "public", target, host=host)
        assert reply.status in (414, 421)
        assert reply.all("cache-control") == ["no-store"]


# --- bodies ----------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("target", "limit", "kind"),
    [
        ("/login", FORM_LIMIT, "text/html"),
        ("/helper/v1/claim", HELPER_LIMIT, "application/problem+json"),
    ],
)
def test_a_body_has_a_limit_and_never_reaches_a_disk(
    here: Proxied, target: str, limit: int, kind: str
) -> None:
    """Peer failure 34."""
    fits = ask(here, "public", target, method="POST", body=b"x" * limit)
    assert fits.status in (400, 415)
    big = ask(here, "public", target, method="POST", body=b"x" * (limit + 1))
    assert (big.status, big.header("content-type").partition(";")[0]) == (413, kind)
    assert big.header("cache-control") == "no-store"
    assert "temporary file" not in here.error_log.read_text()
    written = [f for f in here.nginx.glob("*/**/*") if f.is_file()]
    assert written == []


# --- hosts -----------------------------------------------------------------------------
@pytest.mark.parametrize("site", SITES)
def test_only_the_sites_own_name_is_answered(here: Proxied, site: str) -> None:
    """Peer failure 21."""
    own = f"localhost:{here.ports[site]}"
    other = f"localhost:{here.ports['public' if site == 'certificate' else 'certificate']}"
    for target, host in (
        ("/", "evil.test"), ("https://evil.test/", own), ("/", ""), ("/", "localhost:1"),
        ("/", other), ("https://localhost/", "evil.test"), ("/", f"{own}.evil.test"),
    ):  # fmt: skip
        reply = ask(here, site, target, host=host, part="operator")
        assert reply.status in (400, 421), (target, host, reply)
        assert "evil" not in reply.text + str(reply.headers)
    twice = ask(here, site, "/", part="operator", headers=[("Host", "evil.test")])
    assert twice.status == 400


def test_no_forwarded_host_counts(here: Proxied) -> None:
    """Peer failure 21."""
    forged = [(name, "evil.test") for name in ("X-Forwarded-Host", "X-Forwarded-Server", "X-Host")]
    forged += [("Forwarded", "host=evil.test"), ("X-Forwarded-Prefix", "/evil.test"),
               ("X-Forwarded-Port", "666"), ("X-Original-URL", "/evil.test"),
               ("X-Rewrite-URL", "/evil.test")]  # fmt: skip
    for target, status in (("/", 200), (f"/reset/{ID}", 303), ("/helper/v1/openapi.json", 200)):
        reply = ask(here, "public", target, headers=forged)
        assert reply.status == status
        assert "evil" not in reply.text + str(reply.headers)
        assert ":666" not in reply.text + str(reply.headers)


# --- floods ----------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("target", "kind"),
    [
        ("/login", "text/html"),
        ("/%6cogin", "text/html"),
        (f"/reset/{ID}/questions", "text/html"),
        (f"/reset/{ID}/code", "text/html"),
        (f"/reset/{ID}/code/send", "text/html"),
        ("/helper/v1/claim", "application/problem+json"),
    ],
)
def test_guessing_from_one_address_is_stopped_in_words(
    here: Proxied, target: str, kind: str
) -> None:
    source = new_source()

    def post() -> Reply:
        return ask(here, "public", target, method="POST", body=b"x=y", source=source)

    assert {post().status for _ in range(30)} <= {303, 400, 415}
    # more come through the slower they are sent, one in two seconds
    last = next((reply for _ in range(300) if (reply := post()).status == 429), None)
    assert last, "never stopped"
    assert (last.status, last.header("content-type").partition(";")[0]) == (429, kind)
    assert (last.header("retry-after"), last.header("cache-control")) == ("60", "no-store")
    assert "ait a minute" in last.text
    assert ask(here, "public", target, method="POST", body=b"x=y").status != 429
    assert ask(here, "public", "/login", source=source).status == 200, "reading is not guessing"


# --- the log, measurements -------------------------------------------------------------
def test_the_access_log_holds_no_query_and_no_header(here: Proxied) -> None:
    marked = "marked-7f3a9c"
    headers = [("Cookie", f"x={marked}"), ("User-Agent", marked), ("Referer", f"https://{marked}/"),
               ("Authorization", f"Bearer {marked}")]  # fmt: skip
    source = new_source()
    ask(here, "public", f"/login?next={marked}", headers=headers, source=source)
    ask(here, "public", "/login", method="POST", body=marked.encode(), source=source)
    end = time.monotonic() + 60
    while here.access_log.read_text().count(source) < 2 and time.monotonic() < end:
        time.sleep(0.05)
    lines = [line for line in here.access_log.read_text().splitlines() if source in line]
    assert len(lines) == 2
    assert '"GET /login" 200' in lines[0]
    assert marked not in here.access_log.read_text()
    assert marked not in here.log.read_text()


def test_measurements_need_the_token_and_cover_both_sites(here: Proxied) -> None:
    assert ask(here, "public", "/metrics").status == 403
    bearer = (here.root / "secrets" / "metrics-token").read_text()
    for site in SITES:
        ask(here, site, "/", part="operator")
    text = ask(here, "public", "/metrics", headers=[("Authorization", f"Bearer {bearer}")]).text
    for site in SITES:
        assert re.search(rf'reset_requests_total{{[^}}]*site="{site}"', text), text


def test_the_service_says_what_it_is_and_no_more(here: Proxied) -> None:
    for target in ("/", "/nowhere", "/" + "a" * 9000):
        reply = ask(here, "public", target, headers=[("Accept-Encoding", "gzip, br")])
        assert reply.header("server") == "nginx"
        assert reply.header("content-encoding") == "", "compression tells of secrets (BREACH)"
    assert Visitor(here).get("/healthz").status == 200
