"""The public site's entrance: start page, password login, logout."""

from __future__ import annotations

from flask import Blueprint, g, redirect, render_template, request
from flask.typing import ResponseReturnValue

from reset.core.identities import PID_LIMIT
from reset.errors import BadInput, Busy, LoginRefused, SlowDown
from reset.web.forms import again, text
from reset.web.guards import guard
from reset.web.paths import go, safe_next
from reset.web.sessions import address, begin, end
from reset.web.site import flows, person

blueprint = Blueprint("public", __name__)


@blueprint.get("/")
@guard("anyone")
def home() -> ResponseReturnValue:
    """What this is and where to begin; after the login: tokens and requests."""
    if g.get("person") is None:
        return render_template("home.html")
    overview = flows().recover.overview(person().uid)
    return render_template("overview.html", overview=overview, reason="")


@blueprint.get("/login")
@guard("anyone")
def login_form() -> ResponseReturnValue:
    """The login page; ``next`` is a local path of a closed list."""
    return render_template("login.html", next=safe_next(request.args.get("next", "")), pid="")


@blueprint.post("/login")
@guard("anyone")
def login() -> ResponseReturnValue:
    """PID and password. Unknown name and wrong password are answered alike.

    A refused form comes back with the name as it was typed, known or not, never the password.
    """
    where, pid = safe_next(text("next")), text("pid")
    try:
        found = flows().login.with_password(pid, text("password"), address())
    except (BadInput, LoginRefused, SlowDown, Busy) as refused:
        return again("login.html", refused, "pid", next=where, pid=pid[:PID_LIMIT])
    begin(found, "password")
    return redirect(where, 303)


@blueprint.post("/logout")
@guard("anyone")
def logout() -> ResponseReturnValue:
    """End the session in the database; the cookie is worth nothing afterwards."""
    end()
    return go("public.home", "logged-out")
