"""Who is on the certificate site: only whom nginx and the application both verified."""

from __future__ import annotations

import json
import os
import pwd
import sqlite3
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from reset.web.proxy import HEADER_LIMIT
from tests.institution.authority import Authority, key_pem, software_key
from tests.institution.proxied import USER, Proxied
from tests.institution.visitors import TokenVisitor, words_of
from tests.proxy.asking import (
    CERTIFICATE,
    FOR,
    VERIFIED,
    Headers,
    ask,
    ask_socket,
    context,
    escaped,
    new_source,
    said_by_nginx,
)

SPELLINGS = (
    "X-SSL-Client-Cert", "x-ssl-client-cert", "X_SSL_Client_Cert", "X-SSL_Client-Cert",
    "X_SSL_CLIENT_CERT", "HTTP_X_SSL_CLIENT_CERT", "SSL-Client-Cert", "SSL_CLIENT_CERT",
)  # fmt: skip


def _presenting(here: Proxied, directory: Path, authority: Authority, *, revoked: bool) -> (
    ssl.SSLContext
):  # fmt: skip
    """TLS with a certificate in the supervisor's name, issued by ``authority``."""
    someone, key = here.people["supervisor"], software_key()
    der = authority.issue_person(uid=someone.uid, name=someone.name, public_key=key.public_key())
    if revoked:
        authority.revoke(der)
    pem = x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM)
    (directory / "shown.pem").write_bytes(pem + authority.intermediates_pem.read_bytes())
    (directory / "shown.key").write_bytes(key_pem(key))
    made = context(here)
    made.load_cert_chain(directory / "shown.pem", directory / "shown.key")
    return made


def _events(here: Proxied) -> list[dict[str, object]]:
    with sqlite3.connect(here.root / "service.sqlite") as database:
        rows = database.execute("select raw from audit_entries order by number").fetchall()
    return [json.loads(bytes(raw)) for (raw,) in rows]


def test_the_key_on_the_token_opens_the_certificate_site(here: Proxied) -> None:
    page = TokenVisitor(here, "holder").get("/")
    assert page.status == 200
    assert here.people["holder"].name in page.text


def test_the_log_holds_the_address_that_nginx_saw(here: Proxied) -> None:
    forged = [("X-Forwarded-For", "203.0.113.9"), ("Forwarded", "for=203.0.113.9")]
    source = new_source()
    assert (
        ask(here, "certificate", "/", part="operator", headers=forged, source=source).status == 200
    )
    newest = [e for e in _events(here) if e["event"] == "certificate-login"][-1]
    assert source in json.dumps(newest)
    assert "203.0.113.9" not in json.dumps(_events(here))


def test_without_a_certificate_a_page_says_what_to_do(here: Proxied) -> None:
    reply = ask(here, "certificate", "/profile")
    assert reply.status == 403
    assert "Plug in your token" in reply.text
    assert reply.header("cache-control") == "no-store"
    assert not reply.all("set-cookie")


def test_a_certificate_of_another_authority_is_refused(here: Proxied, tmp_path: Path) -> None:
    """Though its authority has the same name, and the certificate the same UID."""
    foreign = Authority.create(tmp_path / "foreign")
    reply = ask(here, "certificate", "/", tls=_presenting(here, tmp_path, foreign, revoked=False))
    assert reply.status == 403
    assert "Your certificate was not accepted" in reply.text
    assert "show this page to the help desk" in reply.text


def test_a_revoked_certificate_is_refused_by_nginx(here: Proxied, tmp_path: Path) -> None:
    revoked = _presenting(here, tmp_path, here.authority, revoked=True)
    here.restart_nginx()  # it reads CRLs when it starts
    reply = ask(here, "certificate", "/", tls=revoked)
    assert (reply.status, "was revoked, or is not from" in reply.text) == (403, True)
    assert "ssl_client_verify" not in reply.text


@pytest.fixture
def laxer(here: Proxied) -> Iterator[Proxied]:
    """For one test, that starts nginx anew with weaker settings."""
    yield here
    here.restart_nginx()


def test_what_nginx_lets_pass_the_application_refuses(laxer: Proxied, tmp_path: Path) -> None:
    """Without its CRLs, and with a foreign authority in its list."""
    foreign = Authority.create(tmp_path / "foreign")
    wider = tmp_path / "wider.pem"
    own = laxer.client_ca.read_bytes()
    wider.write_bytes(own + foreign.anchors_pem.read_bytes())
    replaced = {"ssl_crl ": "#ssl_crl ", str(laxer.client_ca): str(wider)}
    laxer.restart_nginx(replaced)
    assert ask(laxer, "certificate", "/", part="operator").status == 200
    revoked = _presenting(laxer, tmp_path, laxer.authority, revoked=True)
    reply = ask(laxer, "certificate", "/", tls=revoked)
    assert (reply.status, "Your certificate was revoked" in reply.text) == (403, True)
    stranger = _presenting(laxer, tmp_path, foreign, revoked=False)
    reply = ask(laxer, "certificate", "/", tls=stranger)
    assert (reply.status, "cannot be used here (chain)" in reply.text) == (403, True)


def test_what_nginx_did_not_verify_opens_nothing(laxer: Proxied, tmp_path: Path) -> None:
    """Not even the certificate of a person, where nginx is told to let every one pass."""
    unrelated = Authority.create(tmp_path / "unrelated").anchors_pem
    replaced = {"ssl_verify_client on": "ssl_verify_client optional_no_ca"}
    replaced |= {str(laxer.client_ca): str(unrelated), "ssl_crl ": "#ssl_crl "}
    laxer.restart_nginx(replaced)
    reply = ask(laxer, "certificate", "/", part="operator")
    assert (reply.status, "cannot be used here (header)" in reply.text) == (403, True)
    reply = ask(laxer, "certificate", "/")
    assert (reply.status, "No certificate was shown" in reply.text) == (403, True)


@pytest.mark.parametrize("name", SPELLINGS)
def test_a_forged_header_makes_nobody_somebody(here: Proxied, name: str) -> None:
    """Once or twice, on both sites, with and without an own certificate (peer failure 29)."""
    forged = [(name, escaped(here, "operator")), ("X-SSL-Client-Verify", "SUCCESS")]
    operator, supervisor = (here.people[part].name for part in ("operator", "supervisor"))
    for headers in (forged, [*forged, *forged]):
        assert ask(here, "certificate", "/audit", headers=headers).status == 403
        page = ask(here, "certificate", "/", part="supervisor", headers=headers)
        assert page.status == 200
        assert supervisor in page.text
        assert operator not in page.text
        assert ask(here, "certificate", "/audit", part="supervisor", headers=headers).status == 403
        start = ask(here, "public", "/", headers=headers)
        assert (start.status, operator in start.text) == (200, False)
        assert ask(here, "public", "/audit", headers=headers).status == 404


# --- past nginx ------------------------------------------------------------------------
def _past_nginx(here: Proxied, site: str, target: str, headers: Headers) -> int:
    host = f"localhost:{here.ports[site]}"
    return ask_socket(here.sockets / f"{site}.socket", target, host, headers).status


def test_what_nginx_sends_is_believed_on_the_certificate_sites_socket_alone(here: Proxied) -> None:
    said = said_by_nginx(here, "operator")
    assert _past_nginx(here, "certificate", "/audit", said) == 200
    assert _past_nginx(here, "public", "/audit", said) == 404
    host = f"localhost:{here.ports['public']}"
    start = ask_socket(here.sockets / "public.socket", "/", host, said)
    assert (start.status, here.people["operator"].name in start.text) == (200, False)


def _odd_headers(good: str) -> dict[str, Headers]:
    pem, other = CERTIFICATE, "X_SSL_Client_Cert"
    return {
        "not verified": [FOR, (pem, good)],
        "verification failed": [FOR, ("X-SSL-Client-Verify", "FAILED:expired"), (pem, good)],
        "verified twice": [FOR, VERIFIED, VERIFIED, (pem, good)],
        "no certificate": [FOR, VERIFIED],
        "empty": [FOR, VERIFIED, (pem, "")],
        "twice": [FOR, VERIFIED, (pem, good), (pem, good)],
        "twice, once empty": [FOR, VERIFIED, (pem, ""), (pem, good)],
        "joined by a comma": [FOR, VERIFIED, (pem, f"{good},{good}")],
        "an underscore besides": [FOR, VERIFIED, (pem, good), (other, good)],
        "an underscore instead": [FOR, VERIFIED, (other, good)],
        "two certificates": [FOR, VERIFIED, (pem, good + good)],
        "escaped twice": [FOR, VERIFIED, (pem, quote(good))],
        "lower-case escapes": [FOR, VERIFIED, (pem, good.replace("%0A", "%0a"))],
        "not escaped": [FOR, VERIFIED, (pem, good.replace("%20", " "))],
        "something before": [FOR, VERIFIED, (pem, "a" + good)],
        "cut off": [FOR, VERIFIED, (pem, good[: len(good) // 2])],
        "not UTF-8": [FOR, VERIFIED, (pem, "%ff%fe")],
        "too long": [FOR, VERIFIED, (pem, good + "A" * HEADER_LIMIT)],
        "no address": [VERIFIED, (pem, good)],
        "not an address": [("X-Forwarded-For", "localhost"), VERIFIED, (pem, good)],
    }  # fmt: skip


@pytest.mark.parametrize("name", _odd_headers(""))
def test_anything_but_exactly_that_is_refused(here: Proxied, name: str) -> None:
    headers = _odd_headers(escaped(here, "operator"))[name]
    assert _past_nginx(here, "certificate", "/audit", headers) in (400, 403, 431)


def test_no_other_os_user_reaches_the_sockets(here: Proxied) -> None:
    """Only the group of nginx may pass to them."""
    if os.geteuid() != 0:
        pytest.skip("only root can act as another user")
    program = (
        "import os, socket, sys\n"
        "path, uid, gid = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])\n"
        "os.setgroups([]); os.setgid(gid); os.setuid(uid)\n"
        "with socket.socket(socket.AF_UNIX) as s: s.connect(path)\n"
    )

    def connect(uid: int, gid: int, site: str) -> subprocess.CompletedProcess[str]:
        words = [str(here.sockets / f"{site}.socket"), str(uid), str(gid)]
        command = [sys.executable, "-c", program, *words]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    nginx, nobody = pwd.getpwnam(USER), pwd.getpwnam("nobody")
    for site in ("public", "certificate"):
        assert connect(nginx.pw_uid, nginx.pw_gid, site).returncode == 0
        refused = connect(nobody.pw_uid, nobody.pw_gid, site)
        assert refused.returncode != 0
        assert "PermissionError" in refused.stderr


def test_the_page_of_a_certificate_is_never_that_of_another(here: Proxied) -> None:
    """A session cookie of one certificate is worth nothing with another one."""
    first = ask(here, "certificate", "/", part="operator")
    cookie = first.header("set-cookie").partition(";")[0]
    assert cookie.startswith("__Host-certificate=")
    page = ask(here, "certificate", "/", part="supervisor", headers=[("Cookie", cookie)])
    assert here.people["supervisor"].name in words_of(page.text)
    assert here.people["operator"].name not in words_of(page.text)
