"""People at a browser, without one: forms are read from the pages and sent back.

``Visitor`` is somebody on the public site; ``TokenVisitor`` on the certificate site, where TLS is
done with the key on the token.
"""

from __future__ import annotations

import base64
import http.cookiejar
import json
import os
import re
import ssl
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from html import unescape
from pathlib import Path

from tests.institution.site import Institution
from tests.institution.tokens import Answer, curl_with_token


def csrf_of(page: str) -> str:
    """The ``csrf_token`` of the first form. Raises ``ValueError``."""
    found = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', page)
    if not found:
        raise ValueError("no form on this page")
    return unescape(found[1])


def words_of(page: str) -> str:
    """The text of a page without its tags, blanks folded."""
    body = re.sub(r"(?s)<(style|head)\b.*?</\1>", " ", page)
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", body)).split())


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        return None


class Visitor:
    """Somebody with a browser on the public site."""

    def __init__(self, institution: Institution) -> None:
        self.institution = institution
        self.base = institution.public_url
        context = ssl.create_default_context(cafile=str(institution.authority.anchors_pem))
        self.cookies = http.cookiejar.CookieJar()
        self._opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}),
            urllib.request.HTTPSHandler(context=context),
            urllib.request.HTTPCookieProcessor(self.cookies),
            _NoRedirect(),
        )

    def ask(
        self,
        path: str,
        form: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> Answer:
        """One request, as it is; redirects are not followed."""
        data = urllib.parse.urlencode(form).encode() if form is not None else body
        request = urllib.request.Request(
            urllib.parse.urljoin(self.base, path),
            data,
            {"Accept": "text/html", "Referer": self.base + path, **(headers or {})},
        )
        try:
            with self._opener.open(request, timeout=30) as reply:
                return _answer(reply.status, reply.headers, reply.read())
        except urllib.error.HTTPError as error:
            with error:
                return _answer(error.code, error.headers, error.read())

    def get(self, path: str) -> Answer:
        """A page, redirects followed."""
        answer = self.ask(path)
        for _ in range(5):
            target = answer.header("location")
            if answer.status not in (302, 303) or not target:
                return answer
            answer = self.ask(target)
        raise RuntimeError("too many redirects")

    def send(self, page: str, path: str, **form: str) -> Answer:
        """Fill in the form of ``page`` and send it to ``path``; a redirect is followed."""
        token = csrf_of(self.get(page).text)
        answer = self.ask(path, {"csrf_token": token, **_fields(form)})
        target = answer.header("location")
        return self.get(target) if answer.status in (302, 303) and target else answer

    def log_in(self, part: str) -> Answer:
        """Log in with PID and password; the page after it."""
        someone = self.institution.people[part]
        return self.send("/login", "/login", pid=someone.pid, password=someone.password)


class TokenVisitor:
    """Somebody at the certificate site with a token plugged in."""

    def __init__(self, institution: Institution, part: str, pin: str | None = None) -> None:
        self.institution = institution
        self.token = institution.tokens[part]
        self.pin = pin
        self._jar = self.token.directory / "cookies.txt"

    def ask(
        self,
        path: str,
        form: Mapping[str, str] | None = None,
        files: Mapping[str, Path] | None = None,
    ) -> Answer:
        """One request with the certificate and key of the token."""
        return curl_with_token(
            self.token,
            self.institution.certificate_url + path,
            ca=self.institution.authority.anchors_pem,
            cert_pem=self.token.directory / "certificate.pem",
            pin=self.pin,
            form=form,
            files=files,
            headers={"Accept": "text/html", "Referer": self.institution.certificate_url + path},
            cookies=self._jar,
        )

    def get(self, path: str) -> Answer:
        """A page."""
        return self.ask(path)

    def send(
        self, page: str, path: str, files: Mapping[str, Path] | None = None, **form: str
    ) -> Answer:
        """Fill in the form of ``page`` and send it to ``path``; a redirect is followed."""
        token = csrf_of(self.get(page).text)
        answer = self.ask(path, {"csrf_token": token, **_fields(form)}, files)
        target = answer.header("location")
        if answer.status not in (302, 303) or not target:
            return answer
        return self.get(urllib.parse.urlsplit(target).path)


def run_helper(
    institution: Institution,
    code: str,
    module: Path | Sequence[Path],
    lines: Sequence[str],
    dies: str = "",
) -> subprocess.CompletedProcess[str]:
    """The helper as its own process; ``lines`` are what the person types; ``dies``: the crash point
    at which it does."""
    modules = [module] if isinstance(module, Path) else module
    return subprocess.run(
        [
            *(sys.executable, "-m", "pkcs11_driver.helper", code),
            *("--server", institution.public_url),
            *("--ca", str(institution.authority.anchors_pem)),
            *(word for m in modules for word in ("--module", str(m))),
        ],
        input="".join(f"{line}\n" for line in lines),
        env={**os.environ, "FAILPOINTS": dies},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )


_SIGNING = """
import base64, json, sys
from pkcs11_driver.helper.cms import signed_statement
from pkcs11_driver.operations import sign

told = json.load(sys.stdin)
statement = base64.b64decode(told["statement"])
sys.stdout.buffer.write(
    signed_statement(
        statement,
        lambda data: sign(told["module"], told["serial"], user_pin=told["pin"], data=data),
    )
)
"""


def sign_statement(institution: Institution, part: str, statement: bytes) -> bytes:
    """The CMS signature by a person's token over any bytes, as the helper makes it for its job."""
    token = institution.tokens[part]
    told = {
        "module": str(token.module),
        "serial": token.serial,
        "pin": token.user_pin,
        "statement": base64.b64encode(statement).decode(),
    }
    done = subprocess.run(
        [sys.executable, "-c", _SIGNING],
        input=json.dumps(told).encode(),
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def _fields(form: Mapping[str, str]) -> dict[str, str]:
    """Keyword arguments as field names: ``answer_1`` is ``answer-1``."""
    return {name.replace("_", "-"): value for name, value in form.items()}


def _answer(status: int, headers: object, body: bytes) -> Answer:
    items = tuple((k.lower(), v) for k, v in headers.items())  # type: ignore[attr-defined]
    return Answer(status, items, body)
