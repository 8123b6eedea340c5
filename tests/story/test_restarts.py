"""The story with a restart of the whole service between every two steps.

Between them, whatever was used before the restart is used once more (peer failure 8): the mailed
code, the pairing codes, the approver's signature.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from tests.institution.tokens import Answer
from tests.institution.visitors import TokenVisitor, Visitor, run_helper, words_of
from tests.story import story as told
from tests.story.story import STEPS, Step, Story

POLICY = "code_sends_per_hour = 10"  # the story asks for codes of two requests


def mailed_code_again(story: Story) -> str:
    """The code of step 3, where the page wants a fresh one before the SO PIN is released."""
    browser, right = Visitor(story.institution), _events(story, "code-right")
    browser.log_in("holder")
    page = browser.send(f"{story.page}/code", f"{story.page}/code", code=story.codes[-1])
    assert page.status == 410, words_of(page.text)
    assert "Each code is good once" in words_of(page.text)
    assert _events(story, "code-right") == right
    assert not _shows_pairing_code(browser.get(f"{story.page}/helper").text)
    return "refused, and nothing is shown by it"


def approvers_pairing_code_again(story: Story) -> str:
    """Another helper with the code that the approver's helper had."""
    token = story.institution.tokens["supervisor"]
    _refused_by_the_service(story, ["yes", token.user_pin])
    return "refused"


def signature_again(story: Story) -> str:
    """The file with the approver's signature, for the request that it approved."""
    approved = _events(story, "approved")
    page = _upload(story, _signature(story))
    assert page.status == 200, words_of(page.text)  # a second click shows where it stands
    assert (_events(story, "approved"), _approvals(story)) == (approved, 1)
    return "the request is approved once"


def holders_pairing_code_again(story: Story) -> str:
    """The pairing code and the mailed codes of a reset that is done."""
    pin = f"New-{story.new_pin}"
    _refused_by_the_service(story, [pin, pin])
    browser, right = Visitor(story.institution), _events(story, "code-right")
    browser.log_in("holder")
    for code in story.codes:
        browser.send(story.page, f"{story.page}/code", code=code)
    assert _events(story, "code-right") == right
    return "refused"


def signature_for_another_request(story: Story) -> str:
    """The holder asks once more; the file with the signature of before approves nothing."""
    signature = _signature(story)
    told.ask(story)
    page = _upload(story, signature)
    assert page.status == 422, words_of(page.text)
    assert "Nothing was approved" in words_of(page.text)
    assert (_events(story, "approved"), _approvals(story)) == (1, 1)
    return "refused: it is over another statement"


AGAIN: dict[Step, tuple[Step, ...]] = {
    told.approve: (mailed_code_again, approvers_pairing_code_again, signature_again),
    told.set_new_pin: (holders_pairing_code_again, signature_again),
    STEPS[-1][1]: (signature_for_another_request,),
}
PLAYED = [
    played
    for title, step in STEPS
    for played in ((title, step), *((again.__name__, again) for again in AGAIN.get(step, ())))
]


@pytest.mark.parametrize(("title", "step"), PLAYED, ids=[title for title, _ in PLAYED])
def test_step_after_a_restart(story: Story, title: str, step: Step) -> None:
    """Nothing of a request lives in a process, neither what is good nor what was used."""
    if step is not STEPS[0][1]:
        before = story.institution.process("serve").pid
        story.institution.restart()
        assert story.institution.process("serve").pid != before
    assert step(story)


def _refused_by_the_service(story: Story, typed: list[str]) -> None:
    """A helper with the newest pairing code gets no job."""
    claimed = _events(story, "helper-claimed")
    part = "supervisor" if len(story.pairing_codes) == 1 else "holder"
    module = story.institution.tokens[part].module
    done = run_helper(story.institution, story.pairing_codes[-1], module, typed)
    assert (done.returncode, _events(story, "helper-claimed")) == (1, claimed)
    assert "The pairing code is wrong, used or too old." in done.stderr, done.stderr


def _upload(story: Story, signature: bytes) -> Answer:
    file = story.institution.root / "again.p7s"
    file.write_bytes(signature)
    where = f"/approvals/{story.request}"
    browser = TokenVisitor(story.institution, "supervisor")
    return browser.send(where, f"{where}/signature", files={"signature": file})


def _signature(story: Story) -> bytes:
    """What the approver's token has signed, as a CMS file."""
    query = "select signature from approvals where request_id = ?"
    return bytes(_one(story, query, story.request))


def _approvals(story: Story) -> int:
    return int(_one(story, "select count(*) from approvals"))


def _events(story: Story, name: str) -> int:
    query = "select count(*) from audit_entries where cast(raw as text) like ?"
    return int(_one(story, query, f'%"event":"{name}"%'))


def _one(story: Story, query: str, *values: str) -> bytes:
    with closing(sqlite3.connect(story.institution.root / "service.sqlite")) as database:
        found: bytes = database.execute(query, values).fetchone()[0]
    return found


def _shows_pairing_code(page: str) -> bool:
    try:
        told.pairing_code(page)
    except AssertionError:
        return False
    return True
