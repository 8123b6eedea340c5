"""A real OpenID Connect provider (django-oauth-toolkit) in a process of its own, over TLS.

``Provider`` starts and asks it. The module itself serves what a JSON file names: ``port``,
``certificate``, ``key`` (TLS), ``signing_key`` (PEM), ``directory`` for its database, ``clients``
(``id``, ``secret``, ``redirect``) and ``people`` (``pid``, ``password``). It prints ``ready``.
"""

from __future__ import annotations

import html
import http.cookiejar
import json
import re
import secrets
import ssl
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.institution.authority import Authority

CLIENT, SECRET = "token-reset", "a secret that both have"
ROOT = Path(__file__).parents[2]

LOGIN_PAGE = """<!doctype html><title>Log in</title><form method="post">{% csrf_token %}
{{ form.as_p }}<button>Log in</button></form>"""


class Provider:
    """A running provider at ``https://localhost:PORT/o`` that knows people by PID and password."""

    def __init__(
        self, directory: Path, authority: Authority, port: int, people: Mapping[str, str],
        redirect: str,
    ) -> None:  # fmt: skip
        directory.mkdir(exist_ok=True)
        self.issuer = f"https://localhost:{port}/o"
        self.anchors = authority.anchors_pem
        self.signing_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        signing = directory / "signing.pem"
        signing.write_bytes(
            self.signing_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        )
        certificate, key = authority.issue_server(("localhost",))
        told = {
            "port": port,
            "certificate": str(certificate),
            "key": str(key),
            "signing_key": str(signing),
            "directory": str(directory),
            "clients": [{"id": CLIENT, "secret": SECRET, "redirect": redirect}],
            "people": [{"pid": pid, "password": password} for pid, password in people.items()],
        }
        file = directory / "provider.json"
        file.write_text(json.dumps(told), encoding="utf-8")
        with (directory / "provider.log").open("w") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.institution.provider", str(file)],
                cwd=ROOT, stdout=subprocess.PIPE, stderr=log, text=True,
            )  # fmt: skip
        assert self._process.stdout
        assert self._process.stdout.readline() == "ready\n", (
            directory / "provider.log"
        ).read_text()

    def stop(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
        if self._process.stdout:
            self._process.stdout.close()

    def browser(self) -> Browser:
        """Somebody's browser at the provider."""
        return Browser(self.anchors)


class _Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        return None


class Browser:
    """Cookies and forms at the provider; ``log_in`` ends where the provider sends it."""

    def __init__(self, anchors: Path) -> None:
        context = ssl.create_default_context(cafile=str(anchors))
        self._opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}),
            urllib.request.HTTPSHandler(context=context),
            urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()),
            _Stay(),
        )

    def ask(self, url: str, form: Mapping[str, str] | None = None) -> tuple[int, str, str]:
        """Status, place and text of one answer."""
        data = urllib.parse.urlencode(form).encode() if form is not None else None
        request = urllib.request.Request(url, data, {"Referer": url})
        try:
            with self._opener.open(request, timeout=20) as reply:
                return reply.status, "", reply.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                place = urllib.parse.urljoin(url, error.headers.get("Location", ""))
                return error.code, place, error.read().decode(errors="replace")

    def log_in(self, address: str, pid: str, password: str, home: str) -> str:
        """From the address that the service names to where it is sent back, below ``home``."""
        status, place, text = self.ask(address)
        for _ in range(8):
            if place.startswith(home):
                return place
            if status in (302, 303):
                address = place
                status, place, text = self.ask(address)
                continue
            token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', text)
            assert token, (status, text)
            form = {"username": pid, "password": password, "csrfmiddlewaretoken": token[1]}
            following = urllib.parse.parse_qs(urllib.parse.urlsplit(address).query).get("next")
            if following:
                form["next"] = html.unescape(following[0])
            status, place, text = self.ask(address, form)
            assert status == 302, text
        raise AssertionError("the provider sends nobody back")


def configure(told: dict[str, Any]) -> None:
    """Django with the provider and a login page, nothing else."""
    import django
    from django.conf import settings

    settings.configure(
        DEBUG=False,
        SECRET_KEY=secrets.token_hex(32),
        ALLOWED_HOSTS=["localhost"],
        ROOT_URLCONF="tests.institution.provider_urls",
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.sqlite3",
                "NAME": f"{told['directory']}/provider.sqlite",
            }
        },
        INSTALLED_APPS=[
            "django.contrib.auth",
            "django.contrib.contenttypes",
            "django.contrib.sessions",
            "oauth2_provider",
        ],
        MIDDLEWARE=[
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.middleware.csrf.CsrfViewMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
        ],
        TEMPLATES=[
            {
                "BACKEND": "django.template.backends.django.DjangoTemplates",
                "OPTIONS": {
                    "loaders": [
                        (
                            "django.template.loaders.locmem.Loader",
                            {"registration/login.html": LOGIN_PAGE},
                        )
                    ]
                },
            }
        ],
        PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
        LOGIN_URL="/login/",
        SESSION_COOKIE_SECURE=True,
        CSRF_COOKIE_SECURE=True,
        OAUTH2_PROVIDER={
            "OIDC_ENABLED": True,
            "OIDC_RSA_PRIVATE_KEY": Path(told["signing_key"]).read_text(),
            "OAUTH2_VALIDATOR_CLASS": "tests.institution.provider_urls.Validator",
            "SCOPES": {"openid": "who you are", "profile": "your login name"},
            "PKCE_REQUIRED": True,
            "ALLOWED_REDIRECT_URI_SCHEMES": ["https"],
        },
        USE_TZ=True,
    )
    django.setup()


def fill(told: dict[str, Any]) -> None:
    """Tables, people and clients."""
    from django.contrib.auth.models import User
    from django.core.management import call_command
    from oauth2_provider.models import Application

    call_command("migrate", verbosity=0)
    for person in told["people"]:
        User.objects.create_user(person["pid"], password=person["password"])
    for client in told["clients"]:
        Application.objects.create(
            client_id=client["id"],
            client_secret=client["secret"],
            redirect_uris=client["redirect"],
            client_type=Application.CLIENT_CONFIDENTIAL,
            authorization_grant_type=Application.GRANT_AUTHORIZATION_CODE,
            algorithm=Application.RS256_ALGORITHM,
            skip_authorization=True,
        )


def main() -> None:
    """Serve until killed."""
    told = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    configure(told)
    fill(told)
    from django.core.wsgi import get_wsgi_application
    from werkzeug.serving import make_server

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(told["certificate"], told["key"])
    server = make_server(
        "127.0.0.1", told["port"], get_wsgi_application(), threaded=True, ssl_context=context
    )
    print("ready", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
