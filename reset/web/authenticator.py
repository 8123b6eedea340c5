"""The authenticator app: its picture, its first code, its end."""

from __future__ import annotations

import segno
from flask import Blueprint, render_template
from flask.typing import ResponseReturnValue
from markupsafe import Markup

from reset.errors import BadInput, CodeDead, CodeWrong, NoProfile
from reset.flows.authenticators import Enrolment
from reset.web.forms import again, text
from reset.web.guards import guard
from reset.web.paths import go
from reset.web.site import flows, person

blueprint = Blueprint("authenticator", __name__)


def _context(enrolment: Enrolment | None = None) -> dict[str, object]:
    uid = person().uid
    key = enrolment.key if enrolment else ""
    return {
        "registered": flows().enrol.channels(uid).app,
        "waits": flows().authenticators.waits(uid),
        "picture": _picture(enrolment.uri) if enrolment else "",
        "key": " ".join(key[n : n + 4] for n in range(0, len(key), 4)),
    }


def _picture(uri: str) -> Markup:
    """The QR code as inline SVG: no other resource is fetched, no style or script is in it."""
    code = segno.make(uri, error="m", micro=False)
    # dark on light in every colour scheme, or phones cannot read it
    svg = code.svg_inline(
        scale=5, border=4, dark="#000", light="#fff", svgclass="qr", omitsize=True
    )
    return Markup(svg)  # noqa: S704  made from numbers; no text of anybody stands in it


@blueprint.get("/profile/app")
@guard("certificate")
def show() -> ResponseReturnValue:
    """What an app is good for, and where the registration stands; never a secret."""
    return render_template("app.html", **_context())


@blueprint.post("/profile/app")
@guard("certificate")
def begin() -> ResponseReturnValue:
    """Show the secret of a new registration: in this answer only, which no cache keeps."""
    return render_template("app.html", **_context(flows().authenticators.begin(person())))


@blueprint.post("/profile/app/confirm")
@guard("certificate")
def confirm() -> ResponseReturnValue:
    """Confirm the app by one of its codes."""
    try:
        flows().authenticators.confirm(person().uid, text("app-code"))
    except (BadInput, CodeDead, CodeWrong) as refused:
        return again("app.html", refused, "app-code", **_context())
    return go("enrol.profile", "app-registered")


@blueprint.post("/profile/app/remove")
@guard("certificate")
def remove() -> ResponseReturnValue:
    """Remove the app; a second click finds it gone."""
    try:
        flows().authenticators.remove(person().uid)
    except NoProfile:
        return go("enrol.profile")
    return go("enrol.profile", "app-removed")
