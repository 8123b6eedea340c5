"""Single sign-on against a real OpenID Connect provider, and against one that lies."""

from __future__ import annotations

import base64
import dataclasses
import hmac
import http.server
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey

from reset.adapters import sign_on_oidc
from reset.adapters.sign_on_oidc import FRESH, OidcSignOn
from reset.errors import SignOnRefused, Unavailable
from reset.ports import Attempt
from tests.institution.authority import Authority
from tests.institution.ports import free_port
from tests.institution.provider import CLIENT, SECRET, Provider

HOME = "https://localhost:9/login/single-sign-on/back"
ATTEMPT = Attempt("the-state./", "the-nonce", "v" * 43)
CLAIM = {"pid_claim": "preferred_username"}


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.create(tmp_path_factory.mktemp("ca"))


# --- a real provider -----------------------------------------------------------------
@pytest.fixture(scope="module")
def provider(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provider]:
    port = free_port()
    running = Provider(tmp_path_factory.mktemp("op"), authority, port, {"holly": "right"}, HOME)
    yield running
    running.stop()


@pytest.fixture
def sign_on(provider: Provider) -> OidcSignOn:
    return OidcSignOn(provider.issuer, CLIENT, SECRET, HOME, **CLAIM, ca_file=str(provider.anchors))


def code_for(provider: Provider, sign_on: OidcSignOn, attempt: Attempt = ATTEMPT) -> str:
    place = provider.browser().log_in(sign_on.address(attempt), "holly", "right", HOME)
    query = parse_qs(urlsplit(place).query)
    assert query["state"] == [attempt.state]
    return query["code"][0]


def rule_of(act: Callable[[], object]) -> str:
    with pytest.raises(SignOnRefused) as refused:
        act()
    return str(refused.value.data["rule"])


def test_who_logged_in(provider: Provider, sign_on: OidcSignOn) -> None:
    assert sign_on.redeem(code_for(provider, sign_on), ATTEMPT, now()) == "holly"


def test_a_code_is_good_once(provider: Provider, sign_on: OidcSignOn) -> None:
    code = code_for(provider, sign_on)
    sign_on.redeem(code, ATTEMPT, now())
    assert rule_of(lambda: sign_on.redeem(code, ATTEMPT, now())) == "code"


@pytest.mark.parametrize(
    ("changed", "rule"), [({"verifier": "w" * 43}, "code"), ({"nonce": "another"}, "id-token")]
)
def test_a_code_of_another_attempt(
    provider: Provider, sign_on: OidcSignOn, changed: dict[str, str], rule: str
) -> None:
    other = dataclasses.replace(ATTEMPT, **changed)
    code = code_for(provider, sign_on)
    assert rule_of(lambda: sign_on.redeem(code, other, now())) == rule


def test_a_code_that_the_provider_never_gave(sign_on: OidcSignOn) -> None:
    assert rule_of(lambda: sign_on.redeem("x" * 30, ATTEMPT, now())) == "code"


def test_a_login_of_long_ago(provider: Provider, sign_on: OidcSignOn) -> None:
    """Looked at later, the login is old, and so is the token."""
    code = code_for(provider, sign_on)
    assert rule_of(lambda: sign_on.redeem(code, ATTEMPT, now() + FRESH)) == "not-fresh"


def test_each_attempt_asks_for_the_password_again(provider: Provider, sign_on: OidcSignOn) -> None:
    """``prompt=login``: a session at the provider that somebody left open opens nothing here."""
    browser = provider.browser()
    browser.log_in(sign_on.address(ATTEMPT), "holly", "right", HOME)
    status, place, text = browser.ask(sign_on.address(ATTEMPT))
    while status in (302, 303):
        assert not place.startswith(HOME)
        status, place, text = browser.ask(place)
    assert 'name="password"' in text


def test_a_wrong_secret_of_the_client(provider: Provider, sign_on: OidcSignOn) -> None:
    other = OidcSignOn(
        provider.issuer, CLIENT, "another", HOME, **CLAIM, ca_file=str(provider.anchors)
    )
    code = code_for(provider, sign_on)
    assert rule_of(lambda: other.redeem(code, ATTEMPT, now())) == "code"


def test_a_provider_that_nobody_vouches_for(provider: Provider, tmp_path: Path) -> None:
    stranger = Authority.create(tmp_path / "other").anchors_pem
    other = OidcSignOn(provider.issuer, CLIENT, SECRET, HOME, **CLAIM, ca_file=str(stranger))
    with pytest.raises(Unavailable):
        other.address(ATTEMPT)


def test_nobody_listens(authority: Authority) -> None:
    port = free_port()
    other = OidcSignOn(
        f"https://localhost:{port}", CLIENT, SECRET, HOME, **CLAIM,
        ca_file=str(authority.anchors_pem),
    )  # fmt: skip
    with pytest.raises(Unavailable):
        other.address(ATTEMPT)


def test_one_that_is_silent_holds_up_one_visitor_and_not_all(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else whoever clicks on the link often enough holds every thread of the public site."""
    monkeypatch.setattr(sign_on_oidc, "SECONDS", 0.5)
    at = [0.0]
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        asking = OidcSignOn(
            f"https://localhost:{port}", CLIENT, SECRET, HOME, **CLAIM,
            ca_file=str(authority.anchors_pem), clock=lambda: at[0],
        )  # fmt: skip

        def visit(_: int) -> None:
            with pytest.raises(Unavailable):
                asking.address(ATTEMPT)

        with ThreadPoolExecutor(8) as many:
            list(many.map(visit, range(8)))
        assert connections(silent) == 1
        at[0] += sign_on_oidc.REST
        visit(9)
        assert connections(silent) == 1


def connections(server: socket.socket) -> int:
    """How many have come since the last look."""
    server.setblocking(False)
    found = 0
    with suppress(BlockingIOError):
        while True:
            server.accept()[0].close()
            found += 1
    return found


# --- one that lies -------------------------------------------------------------------
KEY = RSAKey.generate_key(2048, {"kid": "k1"})
OTHER_KEY = RSAKey.generate_key(2048, {"kid": "k1"})


class Liar:
    """Answers what the test puts into it: ``metadata``, ``token``, ``keys``, ``redirect``."""

    def __init__(self, port: int) -> None:
        self.issuer = f"https://localhost:{port}"
        self.metadata: dict[str, Any] = {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/keys",
        }
        self.claims: dict[str, Any] = {
            "iss": self.issuer, "sub": "1", "aud": CLIENT, "nonce": ATTEMPT.nonce,
            "iat": int(now().timestamp()), "exp": int(now().timestamp()) + 300,
            "auth_time": int(now().timestamp()), "preferred_username": "holly",
        }  # fmt: skip
        self.header: dict[str, Any] = {"alg": "RS256", "kid": "k1"}
        self.key: Any = KEY
        self.redirect = False
        self.id_token: object = None

    def answer(self, path: str) -> tuple[int, object]:
        """Status and body."""
        if self.redirect:
            return 302, {}
        if path == "/.well-known/openid-configuration":
            return 200, self.metadata
        if path == "/keys":
            return 200, {"keys": [KEY.as_dict(private=False)]}
        token = self.id_token or jwt.encode(
            self.header, self.claims, self.key, [self.header["alg"]]
        )
        return 200, {"access_token": "a", "token_type": "Bearer", "id_token": token}


@contextmanager
def serving(liar: Liar, port: int, authority: Authority) -> Iterator[None]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", "0")))
            status, body = liar.answer(self.path)
            raw = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(raw)))
            if status == 302:
                self.send_header("Location", f"{liar.issuer}/elsewhere")
            self.end_headers()
            self.wfile.write(raw)

        do_POST = do_GET

        def log_message(self, *_: object) -> None:
            """Nothing is printed."""

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue_server(("localhost",)))
    with http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield
        server.shutdown()
        thread.join()


@pytest.fixture
def liar(authority: Authority) -> Iterator[Liar]:
    port = free_port()
    made = Liar(port)
    with serving(made, port, authority):
        yield made


def asked(liar: Liar, authority: Authority) -> OidcSignOn:
    return OidcSignOn(
        liar.issuer, CLIENT, SECRET, HOME, **CLAIM, ca_file=str(authority.anchors_pem)
    )


def test_a_good_token_is_taken(liar: Liar, authority: Authority) -> None:
    assert asked(liar, authority).redeem("c", ATTEMPT, now()) == "holly"


OLD, SOON = timedelta(hours=-1), timedelta(hours=1)  # from now


@pytest.mark.parametrize(
    ("claim", "value", "rule"),
    [
        ("iss", "https://evil.example", "id-token"),
        ("iss", None, "id-token"),
        ("aud", "another-client", "id-token"),
        ("aud", [CLIENT, "another-client"], "id-token"),  # without azp
        ("aud", None, "id-token"),
        ("azp", "another-client", "id-token"),
        ("nonce", "another", "id-token"),
        ("nonce", None, "id-token"),
        ("exp", OLD, "id-token"),
        ("exp", None, "id-token"),
        ("iat", SOON, "id-token"),
        ("iat", None, "id-token"),
        ("sub", None, "id-token"),
        ("auth_time", None, "no-time"),
        ("auth_time", "now", "id-token"),
        ("auth_time", True, "no-time"),
        ("auth_time", 10**18, "not-fresh"),
        ("auth_time", -(10**18), "not-fresh"),
        ("auth_time", OLD, "not-fresh"),
        ("auth_time", SOON, "not-fresh"),
        ("preferred_username", None, "no-name"),
        ("preferred_username", "", "no-name"),
        ("preferred_username", ["holly"], "no-name"),
    ],
)
def test_a_claim_that_does_not_fit(
    liar: Liar, authority: Authority, claim: str, value: object, rule: str
) -> None:
    if isinstance(value, timedelta):
        value = int((now() + value).timestamp())
    liar.claims[claim] = value
    if value is None:
        del liar.claims[claim]
    assert rule_of(lambda: asked(liar, authority).redeem("c", ATTEMPT, now())) == rule


@pytest.mark.parametrize(("told", "rule"), [("two", ""), ("one", "acr"), (None, "acr")])
def test_a_class_of_authentication_is_demanded(
    liar: Liar, authority: Authority, told: str | None, rule: str
) -> None:
    """What makes a single sign-on worth 2 must be shown by it."""
    sign_on = OidcSignOn(
        liar.issuer, CLIENT, SECRET, HOME, **CLAIM, acr="two", ca_file=str(authority.anchors_pem)
    )
    assert "acr_values=two" in sign_on.address(ATTEMPT)
    if told:
        liar.claims["acr"] = told
    if rule:
        assert rule_of(lambda: sign_on.redeem("c", ATTEMPT, now())) == rule
    else:
        assert sign_on.redeem("c", ATTEMPT, now()) == "holly"


def test_a_token_signed_by_another_key(liar: Liar, authority: Authority) -> None:
    liar.key = OTHER_KEY
    assert rule_of(lambda: asked(liar, authority).redeem("c", ATTEMPT, now())) == "id-token"


@pytest.mark.parametrize("key", [KEY.as_pem(private=False), SECRET.encode()], ids=["pem", "secret"])
def test_a_shared_key(liar: Liar, authority: Authority, key: bytes) -> None:
    """HS256, with bytes that everybody can fetch or that the client has (CVE-2016-5431)."""
    header = {"alg": "HS256", "kid": "k1"}
    parts = [base64url(json.dumps(part).encode()) for part in (header, liar.claims)]
    mac = hmac.digest(key, ".".join(parts).encode(), "sha256")
    liar.id_token = ".".join([*parts, base64url(mac)])
    assert rule_of(lambda: asked(liar, authority).redeem("c", ATTEMPT, now())) == "id-token"


def base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


@pytest.mark.parametrize("token", ["", "a.b.c", "eyJhbGciOiJub25lIn0.e30.", 7, ["x"], {}])
def test_what_is_no_token(liar: Liar, authority: Authority, token: object) -> None:
    liar.id_token = token or "."
    assert rule_of(lambda: asked(liar, authority).redeem("c", ATTEMPT, now())) == "id-token"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("issuer", "https://evil.example"),
        ("token_endpoint", "http://localhost/token"),
        ("jwks_uri", None),
        ("authorization_endpoint", 7),
    ],
)
def test_metadata_that_does_not_fit(
    liar: Liar, authority: Authority, name: str, value: object
) -> None:
    liar.metadata[name] = value
    with pytest.raises(Unavailable):
        asked(liar, authority).address(ATTEMPT)


def test_redirects_are_not_followed(liar: Liar, authority: Authority) -> None:
    liar.redirect = True
    with pytest.raises(Unavailable):
        asked(liar, authority).address(ATTEMPT)


def test_no_secret_is_shown(provider: Provider, sign_on: OidcSignOn) -> None:
    assert SECRET not in repr(sign_on)
    assert SECRET not in sign_on.address(ATTEMPT)
    assert ATTEMPT.verifier not in sign_on.address(ATTEMPT)
    assert ATTEMPT.verifier not in repr(ATTEMPT)
