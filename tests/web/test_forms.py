"""A form that is sent back names everything that is wrong in it at once (S1.52)."""

from __future__ import annotations

import re

import pytest
from werkzeug.test import TestResponse

from tests.web.world import World


def named(page: TestResponse) -> list[str]:
    """The fields that the summary links to; each has its message beside it and says so."""
    assert page.status_code == 400
    alert = page.text.partition('role="alert"')[2].partition("</div>")[0]
    fields = re.findall(r'<li><a href="#([^"]+)">', alert)
    for field in fields:
        tag = re.search(rf'<input [^>]*id="{field}"[^>]*>', page.text)
        assert tag
        assert 'aria-invalid="true"' in tag[0]
        assert re.search(rf'aria-describedby="[^"]*\b{field}-wrong"', tag[0])
        assert f'<p class="wrong" id="{field}-wrong">' in page.text
    assert page.text.count('aria-invalid="true"') == len(fields)
    return fields


def test_the_login(world: World) -> None:
    visitor = world.visitor()
    assert named(visitor.send("/login", "/login")) == ["pid", "password"]
    assert named(visitor.send("/login", "/login", pid="alice")) == ["password"]
    fields = {"pid": "x" * 129, "password": "x" * 257}
    assert named(visitor.send("/login", "/login", **fields)) == ["pid", "password"]


def test_a_problem_document_names_them_all_too(world: World) -> None:
    visitor = world.visitor()
    fields = {"csrf_token": visitor.token("/login")}
    told = visitor.post("/login", fields, headers={"Accept": "application/problem+json"}).json
    assert (told["field"], told["rule"]) == ("pid", "empty")
    assert [problem["field"] for problem in told["problems"]] == ["pid", "password"]
    assert told["detail"] == "Login name (PID): Please fill this in. Password: Please fill this in."


@pytest.mark.parametrize("others", ["right", "wrong"])
def test_the_questions_name_what_is_empty_and_never_what_is_wrong(
    world: World, others: str
) -> None:
    """One verdict for the set (S1.62): no answer is compared while one is missing."""
    world.enrol()
    visitor = world.logged_in()
    path = world.open_request(visitor)
    right = world.right_answers(path)
    fields = right | {"answer-1": "", "answer-3": " \t"}
    if others == "wrong":
        fields["answer-2"] = "something else"
    page = visitor.send(path, f"{path}/questions", **fields)
    assert named(page) == ["answer-1", "answer-3"]
    assert "Tries left" not in page.text
    wrong = right | {"answer-2": "something else"}
    page = visitor.send(path, f"{path}/questions", **wrong)
    assert page.status_code == 403
    assert "aria-invalid" not in page.text


def test_the_rehearsal(world: World) -> None:
    world.enrol()
    where = "/profile/rehearsal"
    fields = {f"answer-{n}": "" if n in (2, 4, 5) else "no idea" for n in range(1, 6)}
    page = world.holder_of("alice").send(where, where, **fields)
    assert named(page) == ["answer-2", "answer-4", "answer-5"]


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({}, ["delegate", "starts", "ends"]),
        ({"delegate": "u-nobody", "starts": "2030-01-15", "ends": "soon"}, ["delegate", "ends"]),
        ({"delegate": "bob", "starts": "1.2.", "ends": "2030-01-20"}, ["delegate", "starts"]),
        (
            {"delegate": "u-olga", "starts": "9999-12-31", "ends": "9999-12-31"},
            ["starts", "ends"],
        ),
        (
            {"delegate": " ", "starts": "2030-01-20", "ends": "2030-01-15"},
            ["delegate", "ends"],
        ),
    ],
)
def test_a_delegation(world: World, fields: dict[str, str], wrong: list[str]) -> None:
    page = world.holder_of("bob").send("/delegations", "/delegations", **fields)
    assert named(page) == wrong
    for value in filter(str.strip, fields.values()):
        assert f'value="{value}"' in page.text
