"""The newest entries of the audit log, for auditors."""

from __future__ import annotations

import json

from flask import Blueprint, render_template
from flask.typing import ResponseReturnValue

from reset.web.guards import guard
from reset.web.site import flows, person

blueprint = Blueprint("auditing", __name__)


@blueprint.get("/audit")
@guard("auditor")
def newest() -> ResponseReturnValue:
    """The entries as they are stored, newest first."""
    entries = flows().auditing.newest(person())
    shown = [(entry.number, json.loads(entry.raw), entry.chain.hex()) for entry in entries]
    return render_template("audit.html", entries=shown)
