"""The registration office: find a person, see what happened, record a check, lift a block."""

from __future__ import annotations

from flask import Blueprint, render_template, request
from flask.typing import ResponseReturnValue

from reset.errors import BadInput
from reset.flows.operate import ID_KINDS
from reset.web.forms import again
from reset.web.guards import guard
from reset.web.paths import go
from reset.web.site import flows, person

blueprint = Blueprint("operate", __name__, url_prefix="/office")


@blueprint.get("/")
@guard("office")
def search() -> ResponseReturnValue:
    """The search page, and what was found for ``q``."""
    if "q" not in request.args:
        return render_template("office.html", q="", found=None)
    q = request.args["q"]
    try:
        found = flows().operate.find(person(), q)
    except BadInput as refused:
        return again("office.html", refused, "q", q=q, found=None)
    return render_template("office.html", q=q, found=found)


@blueprint.get("/people/<name:uid>")
@guard("office")
def look(uid: str) -> ResponseReturnValue:
    """Everything the office needs to help one person; the look is recorded."""
    return render_template("office_person.html", **_context(uid))


def _context(uid: str) -> dict[str, object]:
    dossier = flows().operate.dossier(person(), uid)
    return {"dossier": dossier, "id_kinds": ID_KINDS, "chosen": request.form.getlist("ids")}


@blueprint.post("/people/<name:uid>/check")
@guard("office")
def check(uid: str) -> ResponseReturnValue:
    """Record that the person stood here with two kinds of photo id."""
    try:
        flows().operate.record_check(person(), uid, request.form.getlist("ids"))
    except BadInput as refused:
        return again("office_person.html", refused, "ids", **_context(uid))
    return go("operate.look", "check-recorded", uid=uid)


@blueprint.post("/people/<name:uid>/lift")
@guard("office")
def lift(uid: str) -> ResponseReturnValue:
    """Lift the block of self-service after such a check."""
    try:
        flows().operate.lift_block(person(), uid, request.form.getlist("ids"))
    except BadInput as refused:
        return again("office_person.html", refused, "ids", **_context(uid))
    return go("operate.look", "block-lifted", uid=uid)
