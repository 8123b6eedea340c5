"""Bad input, end to end: each gets a sentence that says what to do, and nothing is half done."""

from __future__ import annotations

import re
import secrets
import sqlite3
import time
from pathlib import Path

import pytest

from tests.institution.site import Institution, code_in
from tests.institution.tokens import Answer, add_second_token, pkcs11_tool_login, tries_left
from tests.institution.visitors import (
    TokenVisitor,
    Visitor,
    run_helper,
    sign_statement,
    words_of,
)
from tests.story import story as told
from tests.story.story import Story, pairing_code

POLICY = "code_sends_per_hour = 10"  # these people make more mistakes than one hour allows
CODE_MAIL = "Your code for resetting"
PAIRING_CODE = r"\b[2-9A-HJ-NP-Z]{4}-[2-9A-HJ-NP-Z]{4}\b"


def _open_request(story: Story) -> Visitor:
    """A holder who is logged in with a fresh request in ``story.request``."""
    browser = Visitor(story.institution)
    browser.log_in("holder")
    page = browser.send("/", "/reset", reason="blocked")
    found = re.search(r"/reset/([0-9a-f]{32})", page.text)
    assert found, words_of(page.text)
    story.request = found[1]
    return browser


def _spent(here: Institution, like: str) -> int:
    with sqlite3.connect(here.root / "service.sqlite") as db:
        row = db.execute("select coalesce(sum(spent),0) from tries where key like ?", (like,))
        return int(row.fetchone()[0])


def _state(here: Institution, request: str) -> str:
    with sqlite3.connect(here.root / "service.sqlite") as db:
        return str(db.execute("select state from requests where id=?", (request,)).fetchone()[0])


def test_unknown_user_and_wrong_password_look_alike(story: Story) -> None:
    """Status, words and headers are the same (T34)."""
    here = story.institution
    answers = []
    for pid, password in (("nobody", "some password"), (here.people["holder"].pid, "wrong one")):
        visitor = Visitor(here)
        page = visitor.send("/login", "/login", pid=pid, password=password)
        words = words_of(page.text).replace(pid, "PID")
        names = sorted(name for name, _ in page.headers)
        answers.append((page.status, words, names))
    assert answers[0] == answers[1]
    assert "Traceback" not in answers[0][1]


def test_steps_in_the_wrong_order(story: Story) -> None:
    """Every later step without the earlier ones is refused or led back, never done."""
    told.register(story)
    here = story.institution
    stranger = Visitor(here)
    for path in ("", "/questions", "/code", "/helper"):
        answer = stranger.ask(f"/reset/{'0' * 32}{path}")
        assert answer.status in (302, 303), (path, answer.status)
        assert "/login" in str(answer.header("location"))
    browser = _open_request(story)
    page = browser.get(f"{story.page}/helper")
    assert not re.search(PAIRING_CODE, words_of(page.text))
    token = told_csrf(browser, story)
    for path, form in (
        ("/code/send", {}),
        ("/code", {"code": "12345678"}),
    ):
        answer = browser.ask(story.page + path, {"csrf_token": token, **form})
        assert answer.status < 500, path
    assert here.count(here.people["holder"].recovery, CODE_MAIL) == 0
    assert _state(here, story.request) == "collecting"


def told_csrf(browser: Visitor, story: Story) -> str:
    """A form token of this session."""
    found = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', browser.get(story.page).text)
    assert found
    return found[1]


def test_wrong_answers_cost_a_round_and_empty_ones_nothing(story: Story) -> None:
    """One verdict for the set, no word on which one (design section 4)."""
    browser = Visitor(story.institution)
    browser.log_in("holder")
    where = f"{story.page}/questions"
    page = browser.get(where).text
    right = told.right_answers(story, page)
    empty = browser.send(where, where, **{**right, "answer_2": ""})
    assert _spent(story.institution, "rounds:%") == 0
    assert "answer" in words_of(empty.text).lower()
    wrong = browser.send(where, where, **{**right, "answer_2": "not this one"})
    assert _spent(story.institution, "rounds:%") == 1
    assert "2" in words_of(wrong.text)
    assert told.right_answers(story, browser.get(where).text).keys() == right.keys()
    done = browser.send(where, where, **right)
    assert done.status == 200
    assert _spent(story.institution, "rounds:%") == 1, "given back what this round took"
    # browser back and sent again: the page as it is now, nothing counted
    again = browser.ask(where, {"csrf_token": told_csrf(browser, story), **_dashed(right)})
    assert again.status in (302, 303)
    assert _spent(story.institution, "rounds:%") == 1


def _dashed(form: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in form.items()}


def _fresh_code(story: Story, browser: Visitor) -> str:
    """Have a code sent for the request; the code in the mail."""
    here, box = story.institution, story.institution.people["holder"].recovery
    known = here.count(box, CODE_MAIL)
    page = browser.send(f"{story.page}/code", f"{story.page}/code/send")
    assert page.status == 200, words_of(page.text)
    return code_in(here.wait_for_mail(box, CODE_MAIL, known=known))


def test_a_code_of_another_request_is_refused(story: Story) -> None:
    """The unused code of a cancelled request opens nothing in the next one."""
    here = story.institution
    browser = Visitor(here)
    browser.log_in("holder")
    earlier, cancelled = _fresh_code(story, browser), story.request
    browser.send(story.page, f"{story.page}/cancel")
    assert _state(here, cancelled) == "cancelled"
    browser = _open_request(story)
    assert story.request != cancelled
    where = f"{story.page}/questions"
    page = browser.send(where, where, **told.right_answers(story, browser.get(where).text))
    assert page.status == 200, words_of(page.text)
    where = f"{story.page}/code"
    page = browser.send(where, where, code=earlier)
    assert page.status == 410, "no code of this request is open"
    assert _fresh_code(story, browser) != earlier
    page = browser.send(where, where, code=earlier)
    assert page.status == 403
    assert "Tries left: 4" in words_of(page.text)
    assert _state(here, story.request) == "collecting"


def test_a_wrong_code_costs_a_try(story: Story) -> None:
    """It says how many tries are left; a new code restores none. Blanks in a right one are fine."""
    here = story.institution
    browser = Visitor(here)
    browser.log_in("holder")
    code = _fresh_code(story, browser)
    wrong = str((int(code) + 1) % 10**8).zfill(8)
    where = f"{story.page}/code"
    page = browser.send(where, where, code=wrong)
    assert "Tries left: 3" in words_of(page.text)
    page = browser.send(where, where, code=f" {code[:4]} {code[4:]} ")
    assert page.status == 200
    assert _state(here, story.request) == "waiting_for_approval"
    again = browser.ask(where, {"csrf_token": told_csrf(browser, story), "code": code})
    assert again.status == 303, "the page shows where the request stands"
    assert _state(here, story.request) == "waiting_for_approval"


def test_holder_cannot_approve(story: Story) -> None:
    """Supervisor and holder are different persons (S1.96)."""
    holder = TokenVisitor(story.institution, "holder")
    assert holder.get(f"/approvals/{story.request}").status == 403
    assert story.request not in holder.get("/approvals").text


def _upload(story: Story, signature: bytes, scratch: Path) -> Answer:
    """The supervisor uploads a signature file for the request."""
    file = scratch / "statement.p7s"
    file.write_bytes(signature)
    where = f"/approvals/{story.request}"
    supervisor = TokenVisitor(story.institution, "supervisor")
    return supervisor.send(where, f"{where}/signature", files={"signature": file})


def _statement(story: Story) -> bytes:
    supervisor = TokenVisitor(story.institution, "supervisor")
    return supervisor.get(f"/approvals/{story.request}/statement").body


def _approvals(here: Institution) -> int:
    with sqlite3.connect(here.root / "service.sqlite") as db:
        return int(db.execute("select count(*) from approvals").fetchone()[0])


def test_a_file_that_is_no_signature_is_refused(story: Story, tmp_path: Path) -> None:
    """With what to do; the request goes on waiting."""
    page = _upload(story, b"\x30\x03\x02\x01\x01", tmp_path)
    assert page.status == 422, words_of(page.text)
    assert "is no valid signature" in words_of(page.text)
    assert _state(story.institution, story.request) == "waiting_for_approval"


def test_a_signature_over_an_altered_statement_is_refused(story: Story, tmp_path: Path) -> None:
    """A real one by the supervisor's token, for another token; the page shows the broken rule."""
    here, statement = story.institution, _statement(story)
    right, other = (here.tokens[part].serial.encode() for part in ("holder", "operator"))
    altered = statement.replace(right, other)
    assert altered != statement
    page = _upload(story, sign_statement(here, "supervisor", altered), tmp_path)
    assert page.status == 422, words_of(page.text)
    assert "(message-digest)" in words_of(page.text)
    assert _state(here, story.request) == "waiting_for_approval"
    assert _approvals(here) == 0


def test_the_same_signer_over_the_very_statement_is_accepted(story: Story, tmp_path: Path) -> None:
    """The control: made and uploaded in the same way."""
    here = story.institution
    page = _upload(story, sign_statement(here, "supervisor", _statement(story)), tmp_path)
    assert page.status == 200, words_of(page.text)
    assert _state(here, story.request) == "ready"
    assert _approvals(here) == 1


def test_a_used_code_is_dead(story: Story) -> None:
    """The code that led to the approver does not count again after the approval."""
    here, holder = story.institution, story.institution.people["holder"]
    browser = Visitor(here)
    browser.log_in("holder")
    used = code_in(here.wait_for_mail(holder.recovery, CODE_MAIL))
    page = browser.send(f"{story.page}/code", f"{story.page}/code", code=used)
    assert page.status == 410, words_of(page.text)
    assert not re.search(PAIRING_CODE, words_of(browser.get(f"{story.page}/helper").text))


@pytest.fixture(scope="module")
def confirmed(story: Story) -> Visitor:
    """The browser in which the holder has typed a code after the approval."""
    browser = Visitor(story.institution)
    browser.log_in("holder")
    told.enter_code(story, browser)
    return browser


@pytest.fixture
def code(story: Story, confirmed: Visitor) -> str:
    """A pairing code of the approved request."""
    return pairing_code(confirmed.get(f"{story.page}/helper").text)


def _expire_jobs(here: Institution) -> None:
    """As if the earlier pairing codes had run out."""
    with sqlite3.connect(here.root / "service.sqlite", timeout=10) as db:
        db.execute("update jobs set outcome='gone' where outcome=''")


NEW = f"Fine-{secrets.token_hex(4)}"


@pytest.mark.parametrize(
    ("plugged", "word"),
    [
        ("supervisor", "not plugged in"),
        ("nothing", "not plugged in"),
        ("missing.so", "missing.so"),
    ],
)
def test_wrong_token_no_token_wrong_module(
    story: Story, code: str, plugged: str, word: str, tmp_path: Path
) -> None:
    """The helper says what it saw, and no try is spent on any token."""
    here = story.institution
    module = tmp_path / plugged
    if plugged == "supervisor":
        module = here.tokens["supervisor"].module
    elif plugged == "nothing":
        module = here.root / "hsm" / "softhsm2.so"  # a module without our token
    done = run_helper(here, code, module, [NEW, NEW])
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1, done.stderr
    assert word.lower() in (done.stdout + done.stderr).lower()
    assert tries_left(here.tokens["supervisor"]) == (10, 15)
    assert tries_left(here.tokens["holder"])[1] == 15
    assert _state(here, story.request) == "ready"
    _expire_jobs(here)


def test_helper_twice_with_one_code_and_a_second_token(story: Story, code: str) -> None:
    """The right token of two is found; the code is worth nothing afterwards."""
    here = story.institution
    token = here.tokens["holder"]
    second = add_second_token(token, label="another one", user_pin="Another-pin-1")
    done = run_helper(here, code, token.module, [NEW, NEW])
    assert done.returncode == 0, done.stdout + done.stderr
    assert pkcs11_tool_login(token, None, NEW) == "ok"
    assert pkcs11_tool_login(second, None, "Another-pin-1") == "ok"
    again = run_helper(here, code, token.module, [NEW, NEW])
    assert again.returncode == 1
    assert "code" in again.stderr
    assert pkcs11_tool_login(token, None, NEW) == "ok"


def test_a_revoked_certificate_is_turned_away(story: Story) -> None:
    """The CRL is read again when it changes; no restart is needed."""
    here = story.institution
    operator = TokenVisitor(here, "operator")
    assert operator.get("/profile").status == 200
    here.authority.revoke(here.certificate("operator"))
    time.sleep(0.1)
    page = operator.get("/profile")
    assert page.status == 403, page.status
    assert "revoked" in words_of(page.text).lower()
