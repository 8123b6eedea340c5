"""The certificate site's entrance: where one is, what one may do here, and how to leave."""

from __future__ import annotations

from flask import Blueprint, render_template
from flask.typing import ResponseReturnValue

from reset.web.guards import guard
from reset.web.paths import go
from reset.web.sessions import end
from reset.web.site import flows, person, token

blueprint = Blueprint("certificate", __name__)


@blueprint.get("/")
@guard("certificate")
def home() -> ResponseReturnValue:
    """What this person may do, by role, and what waits."""
    uid = person().uid
    return render_template(
        "certificate_home.html",
        token=token(),
        profile=flows().enrol.profile(uid),
        missing=flows().enrol.missing(uid),
        waiting=len(flows().approve.waiting(uid)),
    )


@blueprint.post("/logout")
@guard("certificate")
def logout() -> ResponseReturnValue:
    """Delete the session; the TLS connection ends only with the browser or the token."""
    end()
    return go("certificate.left")


@blueprint.get("/left")
@guard("open")
def left() -> ResponseReturnValue:
    """How to end the certificate login for good."""
    return render_template("left.html")
