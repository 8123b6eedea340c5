"""Web sessions: the cookie holds a random id, the database the rest.

Rules (ASVS 7, threats T22):

1. All storing is explicit (``begin``, ``renew``, ``remember``, ``end``); a response does no IO.
2. Every step up (login, answers right, code right) gets a new identifier; the old row is gone.
3. A visitor who is not logged in costs no row: the cookie carries the form token alone. The
   ``__Host-`` prefix keeps any other host from planting one.
4. On the certificate site the person comes from the TLS connection of this very request, which
   ends here or at the proxy; the session only carries the form token and is bound to that
   certificate.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import ssl
from typing import Any, Literal, cast

from flask import Flask, Request, Response, g, request, session
from flask.sessions import SessionInterface, SessionMixin
from flask_login import LoginManager, current_user, login_user

from reset.core.assurance import Proof
from reset.core.identities import Person
from reset.errors import CertificateRefused, LoginNeeded
from reset.ports import Session
from reset.web import proxy
from reset.web.site import SiteName, flows, site

_VISITOR = re.compile(r"visitor-([0-9a-f]{40})")
_STORED = re.compile(r"[0-9a-f]{64}")
_FORM_TOKEN = "csrf_token"  # noqa: S105  Flask-WTF's name in the session


class WebSession(dict[str, Any], SessionMixin):
    """The session of one request. ``cookie``: as the browser sent it; ``row``: once loaded;
    ``send``: the cookie to set, empty to delete it, None to leave it."""

    def __init__(self, cookie: str) -> None:
        super().__init__()
        self.cookie = cookie
        self.row: Session | None = None
        self.send: str | None = None


class CookieSessions(SessionInterface):
    """Reads and sets the cookie of one site, nothing else."""

    def __init__(self, name: SiteName) -> None:
        self._cookie = f"__Host-{name}"
        self._same_site: Literal["Lax", "Strict"] = "Lax" if name == "public" else "Strict"

    def open_session(self, app: Flask, request: Request) -> WebSession:
        """An empty session; ``load`` fills it where a view needs one."""
        return WebSession(request.cookies.get(self._cookie, ""))

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        """Set or delete the cookie."""
        value = cast(WebSession, session).send
        if value is None and _FORM_TOKEN in session and cast(WebSession, session).row is None:
            value = f"visitor-{session[_FORM_TOKEN]}"
            if value == cast(WebSession, session).cookie:
                return
        if value is None:
            return
        response.set_cookie(
            self._cookie, value, max_age=None if value else 0, path="/", secure=True,
            httponly=True, samesite=self._same_site,
        )  # fmt: skip


class Visitor:
    """A person as Flask-Login wants one."""

    is_authenticated = True
    is_active = True
    is_anonymous = False

    def __init__(self, person: Person) -> None:
        self.person = person

    def get_id(self) -> str:
        """The UID, which is never re-used."""
        return self.person.uid


def install(app: Flask) -> None:
    """Put sessions and Flask-Login on ``app``; only the session ever logs anybody in."""
    manager = LoginManager()
    manager.init_app(app, add_context_processor=False)
    manager.session_protection = None
    manager.user_loader(_visitor)
    manager._load_user_from_remember_cookie = lambda cookie: None


def _visitor(uid: str) -> Visitor | None:
    found = flows().login.person(uid)
    return Visitor(found) if found else None


def load() -> None:
    """Find out who makes this request: sets ``g.person``, on the certificate site ``g.token``.

    Raises ``CertificateRefused``, ``Unavailable``.
    """
    if site().name == "certificate":
        _load_certificate()
    else:
        _load_public()


def _load_public() -> None:
    visitor = _VISITOR.fullmatch(_web().cookie)
    if visitor:
        session[_FORM_TOKEN] = visitor[1]
    elif _restore():
        g.person = current_user.person if current_user.is_authenticated else None


def _load_certificate() -> None:
    certificate = proxy.certificate() if site().socket else _peer_certificate()
    login = flows().login.with_certificate(certificate)
    g.person, g.token = login.person, login.token
    bound = hashlib.sha256(certificate).hexdigest()
    row = _restore()
    if row and row.uid == login.person.uid and session.get("certificate") == bound:
        return
    session.clear()
    session["certificate"] = bound
    _begin(login.person.uid)
    flows().login.note_certificate(login, address())


def _peer_certificate() -> bytes:
    """The DER of the client certificate of our own TLS connection."""
    for name in ("werkzeug.socket", "gunicorn.socket"):
        connection = request.environ.get(name)
        if isinstance(connection, ssl.SSLSocket):
            certificate = connection.getpeercert(True)
            if certificate:
                return certificate
    raise CertificateRefused(rule="none")


def _restore() -> Session | None:
    web = _web()
    if not _STORED.fullmatch(web.cookie):
        return None
    web.row = flows().sessions.load(web.cookie, site().name)
    if web.row:
        session.update(json.loads(web.row.data))
        if "refresh" not in request.args:  # a page that reloads itself is no sign of a person
            flows().sessions.touch(web.row)
    return web.row


def begin(person: Person, method: str) -> None:
    """Log ``person`` in under a new identifier, by this method (``core.assurance.METHODS``); the
    session before is worth nothing."""
    session.clear()
    session["login"] = method
    login_user(Visitor(person))
    _begin(person.uid)


def _begin(uid: str) -> None:
    session[_FORM_TOKEN] = secrets.token_hex(20)
    web = _web()
    cookie = flows().sessions.begin(
        site().name,
        uid,
        json.dumps(dict(web)),
        address=address(),
        agent=request.headers.get("User-Agent", ""),
        instead_of=web.cookie if _STORED.fullmatch(web.cookie) else "",
    )
    _send(cookie)


def new_visitor() -> str:
    """Make this browser a visitor with a new form token, which is returned; a login here ends."""
    _leave()
    session[_FORM_TOKEN] = secrets.token_hex(20)
    return visitor_token()


def visitor_token() -> str:
    """The form token of a browser that is not logged in; empty for any other."""
    return "" if _web().row else str(session.get(_FORM_TOKEN, ""))


def renew() -> None:
    """Give a stored session a new identifier after a step up; its absolute age goes on.

    Raises ``LoginNeeded`` when somebody ended it meanwhile.
    """
    _send(flows().sessions.renew(current(), json.dumps(dict(_web()))))


def _send(cookie: str) -> None:
    web = _web()
    web.send, web.row = cookie, flows().sessions.load(cookie, site().name)


def remember(name: str, value: str) -> None:
    """Keep a value in the stored session, so that no address has to carry it."""
    row = current()
    session[name] = value
    flows().sessions.keep(row, json.dumps(dict(_web())))


def current() -> Session:
    """The stored session of this request. Raises ``LoginNeeded``."""
    row = _web().row
    if row is None:
        raise LoginNeeded
    return row


def end() -> None:
    """Log out: the row is deleted, the cookie too."""
    _leave()
    _web().send = ""


def _leave() -> None:
    web = _web()
    if web.row:
        flows().sessions.end(web.row)
    session.clear()
    web.row = None


def login_proof() -> Proof:
    """What began this session, when, and which it is: a session begins with its login."""
    return Proof(session["login"], current().created_at, current().handle)


def login_of(one: Session) -> str:
    """The method that began a stored session of the public site."""
    return str(json.loads(one.data)["login"])


def address() -> str:
    """The client's network address, from our own connection or from the proxy."""
    return request.remote_addr or "unknown"


def _web() -> WebSession:
    return cast(WebSession, session._get_current_object())  # type: ignore[attr-defined]
