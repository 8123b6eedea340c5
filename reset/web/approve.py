"""The approver's side: requests that wait, their statement, signing, denying, standing in."""

from __future__ import annotations

from datetime import date, datetime

from flask import Blueprint, Response, render_template, request
from flask.typing import ResponseReturnValue

from pkcs11_driver import wire
from reset.core.approvals import Statement
from reset.errors import (
    BadInput,
    CertificateRefused,
    ResetError,
    SignatureRefused,
    StateConflict,
    StatementRefused,
)
from reset.flows.approve import Item
from reset.web import error_pages
from reset.web.forms import again, text
from reset.web.guards import guard
from reset.web.paths import go
from reset.web.site import flows, person, site, token

blueprint = Blueprint("approve", __name__)
REFRESH = 10  # seconds
SIGNATURE_LIMIT = 64 * 1024  # bytes


@blueprint.errorhandler(StateConflict)
def moved_on(error: StateConflict) -> ResponseReturnValue:
    """A second click: show where the request stands instead of an error.

    Who only looks did no step twice, as in ``recover.moved_on``.
    """
    request_id = (request.view_args or {}).get("request_id")
    if request_id is None or error_pages.wants_problem():
        return error_pages.refused(error)
    notice = "moved-on" if request.method == "POST" else ""
    return go("approve.show", notice, request_id=request_id)


@blueprint.get("/approvals")
@guard("certificate")
def waiting() -> ResponseReturnValue:
    """The requests that wait for this person."""
    return render_template("approvals.html", items=flows().approve.waiting(person().uid))


@blueprint.get("/approvals/<random:request_id>")
@guard("certificate")
def show(request_id: str) -> ResponseReturnValue:
    """One request: the statement in words, and the ways to sign or deny it."""
    item, statement = flows().approve.item(person(), request_id)
    return render_template("approval.html", **_page(item, statement, ""))


@blueprint.get("/approvals/<random:request_id>/statement")
@guard("certificate")
def statement(request_id: str) -> ResponseReturnValue:
    """The exact bytes to sign, as a file."""
    raw = flows().approve.statement(person(), request_id)
    response = Response(raw, content_type="text/plain; charset=utf-8")
    response.headers["Content-Disposition"] = f'attachment; filename="approval-{request_id}.txt"'
    return response


def _again(request_id: str, refused: ResetError, field: str, reason: str) -> ResponseReturnValue:
    item, words = flows().approve.item(person(), request_id)
    return again("approval.html", refused, field, **_page(item, words, reason))


def _page(item: Item, statement: Statement, reason: str) -> dict[str, object]:
    return {
        "item": item,
        "statement": statement,
        "reason": reason,
        "content_type": wire.STATEMENT_OID,
    }


@blueprint.post("/approvals/<random:request_id>/signature")
@guard("certificate")
def sign(request_id: str) -> ResponseReturnValue:
    """Take a CMS signature over the statement, DER or PEM, from a file."""
    upload = request.files.get("signature")
    raw = upload.read(SIGNATURE_LIMIT + 1) if upload else b""
    try:
        if not raw:
            raise BadInput(field="signature", rule="empty")
        if len(raw) > SIGNATURE_LIMIT:
            raise BadInput(field="signature", rule="too-large", limit=SIGNATURE_LIMIT // 1024)
        flows().approve.sign(person(), request_id, raw)
    except (BadInput, SignatureRefused, CertificateRefused, StatementRefused) as refused:
        return _again(request_id, refused, "signature", "")
    return go("approve.show", "approved", request_id=request_id)


@blueprint.post("/approvals/<random:request_id>/deny")
@guard("certificate")
def deny(request_id: str) -> ResponseReturnValue:
    """Refuse the request, with the reason that the holder is told."""
    reason = text("reason")
    try:
        flows().approve.deny(person(), request_id, reason)
    except BadInput as refused:
        return _again(request_id, refused, "reason", reason)
    return go("approve.show", "denied", request_id=request_id)


@blueprint.post("/approvals/<random:request_id>/helper")
@guard("certificate")
def new_code(request_id: str) -> ResponseReturnValue:
    """A new pairing code, after a helper was closed."""
    flows().pair.again(person().uid, request_id, "approve")
    return go("approve.helper", request_id=request_id)


@blueprint.get("/approvals/<random:request_id>/helper")
@guard("certificate")
def helper(request_id: str) -> ResponseReturnValue:
    """The pairing code with which the helper signs the statement."""
    pairing = flows().pair.for_approval(person(), request_id, token().serial)
    return render_template(
        "approval_helper.html", pairing=pairing, request_id=request_id, refresh=REFRESH
    )


# --- standing in ---------------------------------------------------------------------------
def _delegations_context(delegate: str = "", starts: str = "", ends: str = "") -> (
    dict[str, object]
):  # fmt: skip
    granted = flows().approve.delegations(person().uid)
    stands_in = flows().approve.standing_in(person().uid)
    local = site().settings.local
    every = (*granted, *(one for _, one in stands_in))
    found = {d.delegate_uid: flows().login.person(d.delegate_uid) for d in granted}
    return {
        "granted": granted,
        "stands_in": stands_in,
        "names": {uid: someone.name if someone else uid for uid, someone in found.items()},
        "days": {d.id: local.days(d.starts, d.ends) for d in every},
        "typed": {"delegate": delegate, "starts": starts, "ends": ends},
    }


@blueprint.get("/delegations")
@guard("certificate")
def delegations() -> ResponseReturnValue:
    """Who may approve in this person's place."""
    return render_template("delegations.html", **_delegations_context())


def _day(field: str) -> date | None:
    """The day that was typed, None when it is none or no calendar reaches the one after it."""
    try:
        typed = datetime.strptime(text(field).strip(), "%Y-%m-%d")  # noqa: DTZ007 - a day alone
    except ValueError:
        return None
    return typed.date() if typed.year < 9000 else None


@blueprint.post("/delegations")
@guard("certificate")
def delegate() -> ResponseReturnValue:
    """Let somebody stand in, from the first to the last day, both included."""
    first, last = _day("starts"), _day("ends")
    try:
        flows().approve.delegate(person(), text("delegate"), first, last)
    except BadInput as refused:
        typed = _delegations_context(text("delegate"), text("starts"), text("ends"))
        return again("delegations.html", refused, "delegate", **typed)
    return go("approve.delegations", "delegated")


@blueprint.post("/delegations/<random:delegation_id>/revoke")
@guard("certificate")
def revoke(delegation_id: str) -> ResponseReturnValue:
    """End a delegation at once."""
    flows().approve.revoke(person().uid, delegation_id)
    return go("approve.delegations", "revoked")
