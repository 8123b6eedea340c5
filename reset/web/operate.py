"""The registration office: find a person, see what happened, record a check, lift a block."""

from __future__ import annotations

from flask import Blueprint, render_template, request, session
from flask.typing import ResponseReturnValue

from reset.errors import BadInput, NotFound
from reset.flows.operate import CHECKS_SHOWN, ID_KINDS
from reset.web.forms import again, text
from reset.web.guards import guard
from reset.web.paths import go
from reset.web.sessions import remember
from reset.web.site import flows, person

blueprint = Blueprint("operate", __name__, url_prefix="/office")
_LOOKED_AT = "office-person"  # in the session: a UID never stands in an address


@blueprint.get("/")
@guard("office")
def search_form() -> ResponseReturnValue:
    """The search page."""
    return render_template("office.html", q="", found=None)


@blueprint.post("/")
@guard("office")
def search() -> ResponseReturnValue:
    """What was found for ``q``; a form, so that no name stands in an address or its logs."""
    q = text("q")
    try:
        found = flows().operate.find(person(), q)
    except BadInput as refused:
        return again("office.html", refused, "q", q=q, found=None)
    return render_template("office.html", q=q, found=found)


@blueprint.post("/look")
@guard("office")
def choose() -> ResponseReturnValue:
    """Open the page of the person named by ``uid``; the session remembers who it is."""
    found = flows().login.person(text("uid"))
    if found is None:
        raise NotFound(what="person")
    remember(_LOOKED_AT, found.uid)
    return go("operate.look")


@blueprint.get("/person")
@guard("office")
def look() -> ResponseReturnValue:
    """Everything the office needs to help one person; the look is recorded."""
    uid = session.get(_LOOKED_AT)
    if not uid:
        return go("operate.search_form")
    return render_template("office_person.html", **_context(uid))


def _context(uid: str) -> dict[str, object]:
    dossier = flows().operate.dossier(person(), uid)
    return {
        "dossier": dossier,
        "id_kinds": ID_KINDS,
        "checks_shown": CHECKS_SHOWN,
        "chosen": request.form.getlist("ids"),
    }


def _done(uid: str, notice: str) -> ResponseReturnValue:
    """Back to the page of whom the form named: another tab may have opened somebody else."""
    remember(_LOOKED_AT, uid)
    return go("operate.look", notice)


@blueprint.post("/person/check")
@guard("office")
def check() -> ResponseReturnValue:
    """Record that the person stood here with two kinds of photo id."""
    uid = text("uid")
    try:
        flows().operate.record_check(person(), uid, request.form.getlist("ids"))
    except BadInput as refused:
        return again("office_person.html", refused, "ids", **_context(uid))
    return _done(uid, "check-recorded")


@blueprint.post("/person/lift")
@guard("office")
def lift() -> ResponseReturnValue:
    """Lift the block of self-service after such a check."""
    uid = text("uid")
    try:
        flows().operate.lift_block(person(), uid, request.form.getlist("ids"))
    except BadInput as refused:
        return again("office_person.html", refused, "ids", **_context(uid))
    return _done(uid, "block-lifted")


@blueprint.post("/person/end-sessions")
@guard("office")
def end_sessions() -> ResponseReturnValue:
    """Log the person out everywhere: a computer or password was stolen (T22)."""
    uid = text("uid")
    flows().sessions.end_all(person(), uid)
    return _done(uid, "sessions-ended")
