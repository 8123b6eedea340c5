"""The holder's way through the pages, and every wrong turn on it."""

from __future__ import annotations

import base64
import io
import re
from dataclasses import replace
from datetime import timedelta

import pytest

from tests.web.world import RECOVERY, Visitor, World


def test_the_whole_way_from_login_to_a_proven_reset(world: World) -> None:
    world.enrol()
    visitor, path = world.asked()
    assert "Bob Brown" in visitor.get(path).text
    approver, request_id = world.holder_of("bob"), path.split("/")[2]
    where = f"/approvals/{request_id}"
    assert request_id in approver.get("/approvals").text
    statement = approver.get(f"{where}/statement")
    assert statement.content_type == "text/plain; charset=utf-8"
    assert f"request: {request_id}\n" in statement.text
    upload = {"csrf_token": approver.token(where), "signature": (_file(b"signed-bob"), "s.p7s")}
    assert approver.post(f"{where}/signature", upload).status_code == 303
    world.watch.at += timedelta(minutes=1)
    visitor.send(path, f"{path}/code/send")
    visitor.send(path, f"{path}/code", code=world.code("reset", request_id))
    page = visitor.get(f"{path}/helper").text
    job = _claim(world, page)
    state = _report(world, job, _release(world, job))
    assert state == {"state": "done", "next": "done"}
    assert "Your token works again" in visitor.get(path).text
    assert visitor.get(f"{path}/helper").location.startswith(path)


def test_a_second_browser_with_the_password_shows_no_pairing_code(world: World) -> None:
    """T1, T22: the holder has typed the code in the first one."""
    world.enrol()
    visitor, path = world.approved()
    world.watch.at += timedelta(minutes=1)
    world.enter_code(visitor, path)
    code = _code_on(visitor.get(f"{path}/helper").text)
    other = world.logged_in()
    assert other.get(f"{path}/helper").location.startswith(f"{path}?notice=step-needed")
    assert code not in other.get(path).text
    assert f"{path}/code" in other.get(path).text


def test_a_wrong_key_costs_neither_a_try_nor_the_code(world: World) -> None:
    """A helper with a fault of its own can be mended and used with the same code."""
    world.enrol()
    visitor, path = world.approved()
    world.watch.at += timedelta(minutes=1)
    world.enter_code(visitor, path)
    page = visitor.get(f"{path}/helper").text
    for length in (0, 31, 33) * 4:  # more than the code has tries
        key = base64.b64encode(bytes(length)).decode()
        body = {"code": _code_on(page), "public_key": key, "helper_version": "1"}
        answer = world.visitor().post("/helper/v1/claim", json=body)
        assert (answer.status_code, answer.json["type"]) == (400, "bad-input")
        assert answer.json["field"] == "message.public_key"
    assert _code_on(visitor.get(f"{path}/helper").text) == _code_on(page)
    assert _claim(world, page)["kind"] == "reset"


def _file(content: bytes) -> object:
    return io.BytesIO(content)


def _code_on(page: str) -> str:
    found = re.search(r">([2-9A-Z]{4}-[2-9A-Z]{4})<", page)
    assert found
    return found[1]


def _claim(world: World, page: str) -> dict[str, str]:
    key = base64.b64encode(bytes(32)).decode()
    body = {"code": _code_on(page), "public_key": key, "helper_version": "1"}
    answer = world.visitor().post("/helper/v1/claim", json=body)
    assert answer.status_code == 200, answer.text
    return dict(answer.json)


def _release(world: World, job: dict[str, str]) -> int:
    seen = {"serial": job["token_serial"], "label": "x", "user_pin": "locked", "so_pin": "ok"}
    answer = world.visitor().post(
        f"/helper/v1/jobs/{job['job']}/release",
        json={"nonce": "ab" * 16, "token": seen},
        headers={"Authorization": f"Bearer {job['secret']}"},
    )
    assert answer.status_code == 200, answer.text
    return int(answer.json["epoch"])


def _report(world: World, job: dict[str, str], epoch: int) -> object:
    proof = {
        "signature": base64.b64encode(b"proof").decode(),
        "so_pin_in_force": "next",
        "user_pin_set": True,
    }
    body = {"epoch": epoch, "nonce": "ab" * 16, "outcome": "done", "steps": ["so-login"]}
    answer = world.visitor().post(
        f"/helper/v1/jobs/{job['job']}/report",
        json={**body, "proof": proof},
        headers={"Authorization": f"Bearer {job['secret']}"},
    )
    assert answer.status_code == 200, answer.text
    return answer.json


def test_wrong_answers_are_counted_and_not_told_apart(world: World) -> None:
    world.enrol()
    visitor = world.logged_in()
    path = world.open_request(visitor)
    wrong = world.right_answers(path) | {"answer-2": "something else"}
    page = visitor.send(path, f"{path}/questions", **wrong)
    assert page.status_code == 403
    assert "Tries left: 2" in page.text
    assert "something else" not in page.text
    visitor.send(path, f"{path}/questions", **wrong)
    last = visitor.send(path, f"{path}/questions", **wrong)
    assert last.status_code == 403
    assert "registration office" in last.text
    assert "The registration office has to go on" in visitor.get(path).text


def test_a_step_done_twice_leads_back_to_the_request(world: World) -> None:
    world.enrol()
    visitor = world.logged_in()
    path = world.open_request(visitor)
    token = visitor.token(path)
    answers = {"csrf_token": token, **world.right_answers(path)}
    assert visitor.post(f"{path}/questions", answers).location == f"{path}?notice=answers-right"
    again = visitor.post(f"{path}/questions", answers)
    assert (again.status_code, again.location) == (303, f"{path}?notice=moved-on")
    assert "already done" in visitor.get(again.location).text
    as_json = visitor.post(f"{path}/questions", answers, headers={"Accept": "application/json"})
    assert (as_json.status_code, as_json.json["type"]) == (409, "state-conflict")


@pytest.mark.parametrize("step", ["code", "code/send"])
def test_a_later_step_without_the_earlier_ones_is_refused(world: World, step: str) -> None:
    world.enrol()
    visitor = world.logged_in()
    path = world.open_request(visitor)
    answer = visitor.send(path, f"{path}/{step}", code="12345678")
    assert answer.status_code in (409, 410)
    assert visitor.get(f"{path}/helper").location == path
    assert visitor.get(f"{path}/code").location == path


def test_a_wrong_code_is_named_at_its_field(world: World) -> None:
    world.enrol()
    visitor = world.logged_in()
    path = world.open_request(visitor)
    world.answer_questions(visitor, path)
    page = visitor.send(path, f"{path}/code/send")
    assert page.location == f"{path}/code?notice=code-sent"
    right = world.code("reset", path.split("/")[2])
    wrong = f"{(int(right) + 1) % 10**8:08d}"
    page = visitor.send(path, f"{path}/code", code=wrong)
    assert page.status_code == 403
    assert 'href="#code"' in page.text
    assert 'aria-invalid="true"' in page.text
    assert visitor.send(path, f"{path}/code", code="1234").status_code == 400


def test_codes_per_hour_are_told_with_the_time_to_wait(world: World) -> None:
    world.enrol()
    visitor = world.logged_in()
    path = world.open_request(visitor)
    world.answer_questions(visitor, path)
    for _ in range(3):
        last = visitor.send(path, f"{path}/code/send")
    assert last.status_code == 429
    assert int(last.headers["Retry-After"]) > 0
    assert "minutes" in last.text


def test_the_waiting_page_reloads_without_keeping_the_session_alive(world: World) -> None:
    world.enrol()
    visitor, path = world.asked()
    page = visitor.get(path).text
    assert f'content="10; url={path}?refresh=1"' in page
    assert 'http-equiv="refresh"' not in visitor.get(f"{path}?still=1").text
    for _ in range(4):
        world.watch.at += timedelta(minutes=5)
        last = visitor.get(f"{path}?refresh=1")
    assert last.location.startswith("/login")


def test_an_old_login_is_asked_again_and_leads_back(world: World) -> None:
    world.enrol()
    visitor = world.logged_in()
    path = world.open_request(visitor)
    for _ in range(4):
        world.watch.at += timedelta(minutes=10)
        page = visitor.get(path).text
    assert f"/login?next={path}" in page


def test_other_peoples_requests_do_not_exist(world: World) -> None:
    world.enrol()
    _, path = world.asked()
    other = world.logged_in("carol")
    token = other.token("/")
    for page in ("", "/questions", "/code", "/helper"):
        assert other.get(path + page).status_code == 404
    for step in ("questions", "code", "code/send", "cancel"):
        fields = {"csrf_token": token, "code": "12345678", "answer-1": "x"}
        assert other.post(f"{path}/{step}", fields).status_code in (404, 410)


def test_cancel_and_its_end_page(world: World) -> None:
    world.enrol()
    visitor = world.logged_in()
    path = world.open_request(visitor)
    assert visitor.send(path, f"{path}/cancel").location == f"{path}?notice=cancelled"
    assert "You cancelled it" in visitor.get(path).text


@pytest.mark.parametrize(
    ("because", "words"),
    [
        ("withdrawn", "could not be carried out"),
        ("approver-changed", "may no longer do so"),
        ("code-tries", "wrong too often"),
    ],
)
def test_an_end_that_the_holder_did_not_choose_says_whose_it_was(
    world: World, because: str, words: str
) -> None:
    world.enrol()
    visitor = world.logged_in()
    path = world.open_request(visitor)
    with world.parts.store.write() as uow:
        request = uow.requests.get(path.split("/")[2])
        assert request
        ended = replace(request, state="cancelled", ended_because=because)
        uow.requests.save(ended, expected="collecting")
    page = visitor.get(path).text
    assert "You cancelled it" not in page
    assert words in page


def test_a_deleted_profile_ends_the_request_and_offers_no_new_one(world: World) -> None:
    world.enrol()
    visitor = world.logged_in()
    path = world.open_request(visitor)
    world.holder_of("alice").send("/profile", "/profile/delete")
    page = visitor.get(path).text
    assert "This request was cancelled" in page
    assert "were deleted with your token certificate" in page
    assert "Begin again" not in page


def test_no_page_of_the_holder_shows_the_recovery_address(world: World) -> None:
    world.enrol()
    visitor = world.logged_in()
    path = world.open_request(visitor)
    pages = [visitor.get("/").text, visitor.get(path).text]
    world.answer_questions(visitor, path)
    visitor.send(path, f"{path}/code/send")
    pages += [visitor.get(path).text, visitor.get(f"{path}/code").text]
    assert not [page for page in pages if RECOVERY in page]


def test_without_questions_the_office_is_named(world: World) -> None:
    visitor: Visitor = world.logged_in()
    page = visitor.get("/").text
    assert "You have not registered enough questions" in page
    refused = visitor.post("/reset", {"csrf_token": visitor.token("/")})
    assert refused.status_code == 409
    assert "registration office" in refused.text
