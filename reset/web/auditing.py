"""The newest entries of the audit log, for auditors; its checkpoints, for any witness."""

from __future__ import annotations

import base64
import json
from datetime import datetime

from flask import Blueprint, jsonify, render_template, request
from flask.typing import ResponseReturnValue

from reset.core.deviations import DEVIATIONS
from reset.errors import BadInput
from reset.web.guards import guard
from reset.web.site import flows, person, site

blueprint = Blueprint("auditing", __name__)
checkpoints_blueprint = Blueprint("checkpoints", __name__)


@blueprint.get("/audit")
@guard("auditor")
def newest() -> ResponseReturnValue:
    """The entries as they are stored, newest first, and the deviations that are accepted now."""
    entries = [
        (e.number, json.loads(e.raw), e.chain.hex()) for e in flows().auditing.newest(person())
    ]
    shown = [(number, datetime.fromisoformat(e["at"]), e, chain) for number, e, chain in entries]
    accepted = [(one, DEVIATIONS[one.rule]) for one in site().settings.policy.acceptances]
    return render_template("audit.html", entries=shown, accepted=accepted)


@checkpoints_blueprint.get("/audit/checkpoints")
@guard("open")
def checkpoints() -> ResponseReturnValue:
    """Signed checkpoints after number ``after`` with their consistency proofs: no entries."""
    after = request.args.get("after", "0")
    if not (after.isascii() and after.isdigit() and len(after) < 18):
        raise BadInput(field="after", rule="a number")
    newest, found = flows().auditing.checkpoints(int(after))
    offered = [
        {"note": one.note, "proof": [base64.b64encode(node).decode() for node in one.nodes()]}
        for one in found
    ]
    return jsonify(newest=newest, checkpoints=offered)
