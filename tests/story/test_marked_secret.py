"""A marked secret goes through every form and call and is found nowhere (habit 13).

The forms are found on the pages themselves, so a new form is part of the test without a word here.
"""

from __future__ import annotations

import base64
import json
import re
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from html import unescape
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from tests.institution.site import Institution
from tests.institution.tokens import Answer
from tests.institution.visitors import TokenVisitor, Visitor, run_helper, words_of
from tests.story import story as told
from tests.story.story import Story, pairing_code

MARK = "Mark3d-Secret-7f3a"
# what a person types there is meant to be kept and shown to others
KEPT = {"reason", "delegate", "starts", "ends", "q", "ids", "token", "recovery-address"}
KEPT |= {"second-address"}
KEPT |= {f"own-question-{n}" for n in range(1, 9)} | {f"question-{n}" for n in range(1, 9)}


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    """A running institution whose log is at DEBUG level, and a registered holder."""
    root = tmp_path_factory.mktemp("institution")
    institution = Institution.build(root, policy="code_sends_per_hour = 10")
    try:
        institution.start()
        begun = Story(institution)
        told.register(begun)
        yield begun
    finally:
        institution.stop()


@pytest.fixture(scope="module")
def upload(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with the mark inside and as its name."""
    file = tmp_path_factory.mktemp("upload") / f"{MARK}.p7s"
    file.write_text(f"-----BEGIN CMS-----\n{MARK}\n-----END CMS-----\n")
    return file


def _forms(page: str) -> Iterator[tuple[str, dict[str, str], list[str]]]:
    """Every form of a page: where it goes, its fields with the mark in all that are typed and in
    one that does not belong there, and the names of its files."""
    for head, body in re.findall(r"(?s)<form\b([^>]*)>(.*?)</form>", page):
        action = re.search(r'action="([^"]*)"', head)
        fields, files = {"surplus": MARK}, []
        for tag in re.findall(r"<(?:input|textarea|select)\b[^>]*>", body):
            name = re.search(r'name="([^"]+)"', tag)
            value = re.search(r'value="([^"]*)"', tag)
            if not name:
                continue
            if 'type="file"' in tag:
                files.append(name[1])
                continue
            fixed = 'type="hidden"' in tag or name[1] in KEPT
            fields[name[1]] = unescape(value[1]) if fixed and value else MARK
            if name[1] in KEPT:
                fields[name[1]] = "kept"
        goals = [action[1] if action else "", *re.findall(r'formaction="([^"]*)"', body)]
        for goal in dict.fromkeys(goals):
            yield unescape(goal), fields, files


def _fill_all(visitor: Visitor | TokenVisitor, pages: list[str], upload: Path) -> list[str]:
    """Send all forms of these pages; where they went."""
    sent = []
    for path in pages:
        for action, fields, files in _forms(visitor.get(path).text):
            if "logout" in action or "cancel" in action or "delete" in action:
                continue
            if isinstance(visitor, TokenVisitor):
                answer = visitor.ask(action or path, fields, dict.fromkeys(files, upload))
            else:
                assert not files, "the public site takes no files"
                answer = visitor.ask(action or path, fields)
            assert answer.status < 500, (path, action, answer.status)
            sent.append(action or path)
    return sent


def _fill_code_page(story: Story, visitor: Visitor, upload: Path) -> list[str]:
    """One of its forms has a code sent: that mail must not be taken for a later one."""
    here, where = story.institution, f"{story.page}/code"
    box, subject = here.people["holder"].recovery, "Your code for resetting"
    known = here.count(box, subject)
    sent = _fill_all(visitor, [where], upload)
    assert f"{where}/send" in sent
    here.wait_for_mail(box, subject, known=known)
    return sent


def test_through_every_form_and_call(story: Story, upload: Path) -> None:
    """Log at DEBUG, mails, audit, every field of the database, arguments: the mark is in none."""
    here = story.institution
    visitor = Visitor(here)
    sent = _fill_all(visitor, ["/", "/login"], upload)
    visitor.log_in("holder")
    page = visitor.send("/", "/reset", reason="blocked")
    found = re.search(r"/reset/([0-9a-f]{32})", page.text)
    assert found
    story.request = found[1]
    where = f"{story.page}/questions"
    sent += _fill_all(visitor, ["/", story.page, where], upload)
    visitor.send(where, where, **told.right_answers(story, visitor.get(where).text))
    sent += _fill_code_page(story, visitor, upload)
    own = ["/", "/profile", "/profile/rehearsal", "/profile/app", "/delegations"]
    sent += _fill_all(TokenVisitor(here, "holder"), own, upload)
    assert {"/profile/check", "/profile/rehearsal", "/profile/app"} <= set(sent)
    operator = TokenVisitor(here, "operator")
    operator.send("/office/", "/office/look", uid=here.people["holder"].uid)
    sent += _fill_all(operator, ["/office/", "/office/person"], upload)
    assert len(sent) >= 8
    _calls(visitor)
    run_helper(here, "ABCD-2345", here.tokens["holder"].module, [MARK, MARK])
    visitor.log_in("holder")  # the last call has lost the session
    told.enter_code(story, visitor)
    _approvals(story, visitor, upload)
    _assert_nowhere(here)


def _approvals(story: Story, visitor: Visitor, upload: Path) -> None:
    """The approver's forms: a signature that is none, then the denial, whose reason is shown."""
    where = f"/approvals/{story.request}"
    sent = _fill_all(TokenVisitor(story.institution, "supervisor"), [where], upload)
    assert {f"{where}/signature", f"{where}/deny"} <= set(sent)
    shown = words_of(visitor.get(story.page).text)
    assert "kept" in shown, shown
    assert MARK not in shown


def test_through_an_approved_request_and_its_job(story: Story, upload: Path) -> None:
    """The form for the code after the approval, and the calls of a helper that has a real job."""
    here = story.institution
    told.ask(story)
    told.approve(story)
    visitor = Visitor(here)
    visitor.log_in("holder")
    assert f"{story.page}/code" in _fill_code_page(story, visitor, upload)
    told.enter_code(story, visitor)
    _fill_all(visitor, [f"{story.page}/helper"], upload)
    _job(story, visitor)
    _assert_nowhere(here)


def _post(visitor: Visitor, path: str, secret: str, body: object) -> Answer:
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {secret}"}
    raw = json.dumps(body).encode()
    return visitor.ask(f"/helper/v1/{path}", headers=headers, body=raw)


def _job(story: Story, visitor: Visitor) -> None:
    """Claim, release and report by hand, as a helper that puts the mark wherever it can."""
    code = pairing_code(visitor.get(f"{story.page}/helper").text)
    key = base64.b64encode(X25519PrivateKey.generate().public_key().public_bytes_raw()).decode()
    claim = {"code": code, "public_key": key, "helper_version": "1"}
    answer = _post(visitor, "claim", "", claim)
    assert answer.status == 200, answer.text
    claimed = json.loads(answer.text)
    secret, nonce = claimed["secret"], secrets.token_hex(16)
    path = f"jobs/{claimed['job']}"
    seen = {"serial": claimed["token_serial"], "label": MARK, "user_pin": "ok", "so_pin": "ok"}
    for status, used, token in (
        (409, nonce, seen | {"serial": MARK}),
        (400, nonce, seen | {"user_pin": MARK}),
        (400, nonce, seen | {"so_pin": MARK}),
        (403, f"{MARK} {MARK}", seen),
        (200, nonce, seen),
    ):
        answer = _post(visitor, f"{path}/release", secret, {"nonce": used, "token": token})
        assert answer.status == status, (used, token, answer.text)
    mark = base64.b64encode(MARK.encode()).decode()
    proof = {"signature": mark, "certificate": mark, "so_pin_in_force": "next",
             "user_pin_set": True}  # fmt: skip
    report = {"epoch": json.loads(answer.text)["epoch"], "nonce": nonce, "outcome": "done",
              "steps": ["so-login"], "proof": proof}  # fmt: skip
    for status, body in (
        (400, report | {"steps": [MARK]}),
        (400, report | {"steps": ["so-login", MARK]}),
        (400, report | {"outcome": MARK}),
        (409, report | {"nonce": MARK}),
        (200, report),
    ):
        answer = _post(visitor, f"{path}/report", secret, body)
        assert answer.status == status, (body, answer.text)
    odd = report | {"proof": proof | {"so_pin_in_force": MARK}}
    assert _post(visitor, f"{path}/report", secret, odd).status < 500


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
    for name in ("service.sqlite", "custodian/ledger.sqlite"):
        with closing(sqlite3.connect(here.root / name)) as db:
            places[name] = "\n".join(db.iterdump()).encode()
    for mail in here.mail_directory.glob("*/*.eml"):
        places[f"mail {mail.name}"] = mail.read_bytes()
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # one that has ended since
            if b"reset.cli" in (line := process.read_bytes()):
                places[f"arguments of {process.parent.name}"] = line
    forms = {MARK.encode(), MARK.encode().hex().encode(), base64.b64encode(MARK.encode())}
    for name, raw in places.items():
        for form in forms:
            at = raw.lower().find(form.lower())
            assert at < 0, f"{name}: …{raw[max(0, at - 80) : at + 40]!r}"
