"""Single sign-on at the institution's provider: off to it, and back.

State, nonce and PKCE verifier of an attempt are derived from the visitor's form token, which lies
in a ``__Host-`` cookie and is made anew for each attempt: nothing is stored, and an answer for
another browser or another attempt fits none of them.
"""

from __future__ import annotations

import base64
import hashlib
import hmac

from flask import Blueprint, redirect, request, url_for
from flask.typing import ResponseReturnValue

from reset.errors import SignOnRefused, SlowDown, Unavailable
from reset.ports import Attempt
from reset.web.forms import again
from reset.web.guards import guard
from reset.web.headers import from_here
from reset.web.paths import safe_next
from reset.web.sessions import address, begin, new_visitor, visitor_token
from reset.web.site import flows, site

blueprint = Blueprint("sign_on", __name__)
BACK = "/login/single-sign-on/back"
_CODE_LIMIT = 2048  # characters


@blueprint.get("/login/single-sign-on")
@guard("anyone")
def leave() -> ResponseReturnValue:
    """Send the browser to the provider; ``next`` is a local path of a closed list.

    Leaving ends the session, so a link of another site leads to the login page only.
    """
    where = safe_next(request.args.get("next", ""))
    if not from_here():
        return redirect(url_for("public.login_form", next=where), 303)
    return redirect(flows().login.sign_on_address(_attempt(new_visitor(), where)), 303)


@blueprint.get(BACK)
@guard("anyone")
def back() -> ResponseReturnValue:
    """The provider's answer: ``code`` and ``state``, or ``error``."""
    token = visitor_token()
    where = safe_next(request.args.get("state", "").partition(".")[2])
    try:
        attempt = _attempt(token, where)
        if not token or not hmac.compare_digest(
            request.args.get("state", "").encode(), attempt.state.encode()
        ):
            raise SignOnRefused(rule="state")
        code = request.args.get("code", "")
        if not code or len(code) > _CODE_LIMIT:
            raise SignOnRefused(rule="provider")
        found = flows().login.with_sign_on(code, attempt, address())
    except (SignOnRefused, SlowDown, Unavailable) as refused:
        return again("login.html", refused, "pid", next=where, pid="")
    begin(found, "sso")
    return redirect(where, 303)


def _attempt(token: str, where: str) -> Attempt:
    """The attempt of one visitor who wants to ``where``."""

    def made(purpose: str) -> str:
        key = site().settings.secret_key
        digest = hmac.digest(key, f"sign-on 1|{purpose}|{token}|{where}".encode(), hashlib.sha256)
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()

    return Attempt(f"{made('state')}.{where}", made("nonce"), made("verifier"))
