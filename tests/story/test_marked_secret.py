"""A marked secret goes through every form and call and is found nowhere (habit 13).

The forms are found on the pages themselves, so a new form is part of the test without a word here.
"""

from __future__ import annotations

import base64
import json
import re
import sqlite3
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import pytest

from tests.institution.site import Institution
from tests.institution.visitors import TokenVisitor, Visitor, run_helper
from tests.story import story as told
from tests.story.story import Story

MARK = "Mark3d-Secret-7f3a"
# what a person types there is meant to be kept and shown to others
KEPT = {"reason", "delegate", "starts", "ends", "q", "ids", "token", "recovery-address"}
KEPT |= {f"own-question-{n}" for n in range(1, 9)} | {f"question-{n}" for n in range(1, 9)}


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Institution]:
    """A running institution whose log is at DEBUG level."""
    institution = Institution.build(tmp_path_factory.mktemp("institution"))
    institution.start()
    yield institution
    institution.stop()


def _forms(page: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Every form of a page: where it goes, and its fields with the mark in all that are typed."""
    for head, body in re.findall(r"(?s)<form\b([^>]*)>(.*?)</form>", page):
        action = re.search(r'action="([^"]*)"', head)
        fields = {}
        for tag in re.findall(r"<(?:input|textarea|select)\b[^>]*>", body):
            name = re.search(r'name="([^"]+)"', tag)
            value = re.search(r'value="([^"]*)"', tag)
            if not name:
                continue
            fixed = 'type="hidden"' in tag or name[1] in KEPT
            fields[name[1]] = unescape(value[1]) if fixed and value else MARK
            if name[1] in KEPT:
                fields[name[1]] = "kept"
        yield (unescape(action[1]) if action else ""), fields


def _fill_all(visitor: Visitor | TokenVisitor, pages: list[str]) -> int:
    sent = 0
    for path in pages:
        for action, fields in _forms(visitor.get(path).text):
            if "logout" in action or "cancel" in action or "delete" in action:
                continue
            answer = visitor.ask(action or path, fields)
            assert answer.status < 500, (path, action, answer.status)
            sent += 1
    return sent


def test_through_every_form_and_call(here: Institution) -> None:
    """Log at DEBUG, mails, audit, every field of the database, arguments: the mark is in none."""
    story = Story(here)
    told.register(story)
    visitor = Visitor(here)
    sent = _fill_all(visitor, ["/", "/login"])
    visitor.log_in("holder")
    page = visitor.send("/", "/reset", reason="blocked")
    found = re.search(r"/reset/([0-9a-f]{32})", page.text)
    assert found
    story.request = found[1]
    where = f"{story.page}/questions"
    sent += _fill_all(visitor, ["/", story.page, where])
    visitor.send(where, where, **told.right_answers(story, visitor.get(where).text))
    sent += _fill_all(visitor, [f"{story.page}/code"])
    sent += _fill_all(TokenVisitor(here, "holder"), ["/", "/profile", "/delegations"])
    sent += _fill_all(TokenVisitor(here, "operator"), ["/office/", "/office/people/1001"])
    assert sent >= 8
    _calls(visitor)
    run_helper(here, "ABCD-2345", here.tokens["holder"].module, [MARK, MARK])
    _assert_nowhere(here)


def _calls(visitor: Visitor) -> None:
    """The helper's calls, well formed and not, with the mark wherever a string may stand."""
    seen = {"serial": MARK, "label": MARK, "user_pin": MARK, "so_pin": MARK}
    proof = {"signature": base64.b64encode(MARK.encode()).decode(), "certificate": "",
             "so_pin_in_force": MARK, "user_pin_set": True}  # fmt: skip
    bodies: dict[str, object] = {
        "claim": {"code": MARK, "public_key": MARK, "helper_version": MARK},
        f"jobs/{'0' * 32}/release": {"nonce": MARK, "token": seen},
        f"jobs/{'0' * 32}/report": {"epoch": 1, "nonce": MARK, "outcome": "done",
                                    "steps": [MARK], "proof": proof},
    }  # fmt: skip
    headers = {
        "Content-Type": "application/json",
        "Authorization": f"Bearer {MARK}",
        "X-Forwarded-For": MARK,
        "User-Agent": MARK,
    }
    for path, body in bodies.items():
        for raw in (json.dumps(body), json.dumps({MARK: body}), MARK):
            answer = visitor.ask(f"/helper/v1/{path}", headers=headers, body=raw.encode())
            assert 400 <= answer.status < 500, (path, answer.status)
    assert visitor.ask(f"/login?next={MARK}", headers={"Cookie": f"x={MARK}"}).status < 500


def _assert_nowhere(here: Institution) -> None:
    places: dict[str, bytes] = {"log": here.log.read_bytes()}
    with sqlite3.connect(here.root / "service.sqlite") as db:
        places["database"] = "\n".join(db.iterdump()).encode()
    for mail in here.mail_directory.glob("*/*.eml"):
        places[f"mail {mail.name}"] = mail.read_bytes()
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        if b"reset.cli" in (line := process.read_bytes()):
            places[f"arguments of {process.parent.name}"] = line
    forms = {MARK.encode(), MARK.encode().hex().encode(), base64.b64encode(MARK.encode())}
    for name, raw in places.items():
        for form in forms:
            at = raw.lower().find(form.lower())
            assert at < 0, f"{name}: …{raw[max(0, at - 80) : at + 40]!r}"
