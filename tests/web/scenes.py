"""Every page of both sites, by ``template variant``, from real requests."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta

from reset.core.custody import Operation
from reset.core.tokens import Token
from tests.institution.phone import Phone
from tests.web.world import ANSWERS, PASSWORD, QUESTIONS, RECOVERY, World

ID = "0a" * 16


def every_page(world: World) -> dict[str, str]:
    """The HTML of all pages."""
    scenes = (_before, _more_ways, _questions, _after, _token_pages)
    return {name: page for scene in scenes for name, page in scene(world).items()}


def _before(world: World) -> dict[str, str]:
    visitor, pages = world.visitor(), {}
    pages["home start"] = visitor.get("/").text
    pages["home left"] = visitor.get("/?notice=logged-out").text
    pages["login empty"] = visitor.get("/login").text
    wrong = visitor.send("/login", "/login", pid="alice", password="x")
    pages["login wrong"] = wrong.text
    pages["error 404"] = visitor.get("/nowhere").text
    pages["error too-old"] = visitor.post("/login", {}).text
    pages["overview no-questions"] = world.logged_in().get("/").text
    alice = world.holder_of("alice")
    pages["certificate_home new"] = alice.get("/").text
    pages["profile new"] = alice.get("/profile").text
    bad = {f"question-{n}": q for n, q in enumerate(QUESTIONS, 1)}
    bad |= {f"answer-{n}": "ab" for n in range(1, 6)} | {"recovery-address": "alice@uni.example"}
    pages["profile refused"] = alice.send("/profile", "/profile", **bad).text
    pages["profile checked-some"] = alice.send("/profile", "/profile/check", **bad).text
    good = bad | {f"answer-{n}": ANSWERS[q] for n, q in enumerate(QUESTIONS, 1)}
    good |= {"recovery-address": RECOVERY}
    pages["profile checked-good"] = alice.send("/profile", "/profile/check", **good).text
    pages["profile more"] = alice.send("/profile", "/profile/check", more="1", **good).text
    alice.send("/profile", "/profile", **good)
    pages["profile pending"] = alice.get("/profile?notice=profile-saved").text
    pages["profile wrong-code"] = alice.send("/profile", "/profile/confirm", code="123").text
    world.watch.at += timedelta(hours=2)
    alice.send("/profile", "/profile/code")
    code = world.code("address", "u-alice")
    alice.send("/profile", "/profile/confirm", code=code)
    pages["profile done"] = alice.get("/profile?notice=address-confirmed").text
    pages["certificate_home ready"] = alice.get("/").text
    return pages


def _more_ways(world: World) -> dict[str, str]:
    """A rehearsal, a second address, an app, and the choice at a reset."""
    alice, pages = world.holder_of("alice"), {}
    where = "/profile/rehearsal"
    pages["rehearsal empty"] = alice.get(where).text
    wrong = {f"answer-{n}": "no idea" for n in range(1, 6)}
    pages["rehearsal wrong"] = alice.send(where, where, **wrong).text
    for _ in range(world.settings.policy.rehearsals_per_hour):
        pages["rehearsal spent"] = alice.send(where, where, **wrong).text
    world.watch.at += timedelta(hours=2)
    right = {f"answer-{n}": ANSWERS[q] for n, q in enumerate(QUESTIONS, 1)}
    assert alice.send(where, where, **right).status_code == 303
    pages["rehearsal again"] = alice.get(where).text
    bad = alice.send("/profile", "/profile/second", **{"second-address": RECOVERY})
    pages["profile second-refused"] = bad.text
    alice.send("/profile", "/profile/second", **{"second-address": "alice@other.example"})
    pages["profile second-pending"] = alice.get("/profile?notice=second-saved").text
    code = world.code("second-address", "u-alice")
    alice.send("/profile", "/profile/second/confirm", **{"second-code": code})
    pages["app none"] = alice.get("/profile/app").text
    shown = alice.send("/profile/app", "/profile/app").text
    pages["app picture"] = shown
    pages["app waits"] = alice.send(
        "/profile/app", "/profile/app/confirm", **{"app-code": "123"}
    ).text
    code = phone_of(shown).code(world.watch.at)
    alice.send("/profile/app", "/profile/app/confirm", **{"app-code": code})
    pages["profile three-ways"] = alice.get("/profile?notice=app-registered").text
    pages["app registered"] = alice.get("/profile/app").text
    visitor = world.logged_in()
    path = world.open_request(visitor)
    world.answer_questions(visitor, path)
    pages["request ways"] = visitor.get(path).text
    pages["code ways"] = visitor.get(f"{path}/code").text
    wrong = {"app-code": "000000"}
    pages["code app-wrong"] = visitor.send(f"{path}/code", f"{path}/code", **wrong).text
    alice.send("/profile", "/profile/second/remove")
    pages["code app-and-mail"] = visitor.get(f"{path}/code").text
    visitor.send(path, f"{path}/cancel")
    alice.send("/profile/app", "/profile/app/remove")
    world.watch.at += timedelta(hours=2)
    return pages


def phone_of(page: str) -> Phone:
    """An app into which the key of this page was typed."""
    found = re.search(r'<code class="address">([A-Z2-7 ]+)</code>', page)
    assert found
    return Phone.typed(found[1])


def _questions(world: World) -> dict[str, str]:
    visitor, pages = world.logged_in(), {}
    pages["overview ready"] = visitor.get("/").text
    path = world.open_request(visitor)
    pages["overview running"] = visitor.get("/").text
    pages["request questions"] = visitor.get(path).text
    pages["questions empty"] = visitor.get(f"{path}/questions").text
    wrong = world.right_answers(path) | {"answer-1": "no"}
    pages["questions wrong"] = visitor.send(path, f"{path}/questions", **wrong).text
    world.answer_questions(visitor, path)
    pages["request code"] = visitor.get(f"{path}?notice=answers-right").text
    visitor.send(path, f"{path}/code/send")
    pages["code empty"] = visitor.get(f"{path}/code?notice=code-sent").text
    pages["code wrong"] = visitor.send(path, f"{path}/code", code="00000000").text
    visitor.send(path, f"{path}/code", code=world.code("reset", path.split("/")[2]))
    pages["request wait"] = visitor.get(path).text
    bob, where = world.holder_of("bob"), f"/approvals/{path.split('/')[2]}"
    pages["certificate_home waiting"] = bob.get("/").text
    pages["approvals some"] = bob.get("/approvals").text
    pages["approval waiting"] = bob.get(where).text
    pages["approval_helper code"] = bob.get(f"{where}/helper").text
    pages["approval refused"] = bob.send(where, f"{where}/deny", reason=" ").text
    world.watch.at += timedelta(minutes=1)
    world.flows.approve.sign(world.parts.person("u-bob"), path.split("/")[2], b"signed-bob")
    pages["approval done"] = bob.get(f"{where}?notice=approved").text
    pages["approvals none"] = bob.get("/approvals").text
    pages["request fresh-code"] = visitor.get(path).text
    world.enter_code(visitor, path)
    pages["request helper"] = visitor.get(path).text
    pages["helper code"] = visitor.get(f"{path}/helper").text
    _claim(world, path)
    pages["helper words"] = visitor.get(f"{path}/helper").text
    return pages


def _claim(world: World, path: str) -> None:
    with world.parts.store.write() as uow:
        job = uow.jobs.newest(path.split("/")[2], "u-alice", "reset")
        assert job
        uow.jobs.claim(replace(job, claimed_at=world.watch.at, public_key=bytes(32),
                               secret_hash="0" * 64))  # fmt: skip


def _after(world: World) -> dict[str, str]:
    visitor, pages = world.logged_in(), {}
    with world.parts.store.read() as uow:
        request = uow.requests.of_holder("u-alice")[0]
    path = f"/reset/{request.id}"
    ends = {
        "done": "", "denied": "approver: I do not know of this", "expired": "time",
        "cancelled": "holder", "office": "so-pin-locked",
    }  # fmt: skip
    for state, because in ends.items():
        with world.parts.store.write() as uow:
            now = uow.requests.get(request.id)
            assert now
            moved = replace(now, state=state, ended_because=because)
            uow.requests.save(moved, expected=now.state)
        pages[f"request {state}"] = visitor.get(path).text
    pages["overview over"] = visitor.get("/").text
    with world.parts.store.write() as uow:
        uow.tokens.put(Token("99001", "u-alice", "Smart card", "in-use", "yubikey", b"", "", 1))
    pages["overview two"] = visitor.get("/").text
    pages["overview choose"] = visitor.send("/", "/reset").text
    with world.parts.store.write() as uow:
        for _ in range(3):
            uow.tries.reserve("rounds:u-alice", 3)
    pages["overview blocked"] = visitor.get("/").text
    world.watch.at += timedelta(minutes=20)
    pages["login ended"] = visitor.get("/login?next=" + path + "&notice=session-ended").text
    assert PASSWORD not in "".join(pages.values())
    return pages


def _token_pages(world: World) -> dict[str, str]:
    pages = {}
    bob, olga = world.holder_of("bob"), world.holder_of("olga")
    fields = {"delegate": "u-olga", "starts": "2030-01-15", "ends": "2030-01-31"}
    pages["delegations none"] = bob.get("/delegations").text
    pages["delegations wrong"] = bob.send("/delegations", "/delegations", delegate="x").text
    bob.send("/delegations", "/delegations", **fields)
    pages["delegations some"] = bob.get("/delegations?notice=delegated").text
    pages["error forbidden"] = bob.get("/office/").text
    pages["office empty"] = olga.get("/office/").text
    office, where = "/office/", "/office/person"
    pages["office found"] = olga.send(office, office, q="al").text
    pages["office short"] = olga.send(office, office, q="a").text
    olga.send(office, "/office/look", uid="u-alice")
    pages["office_person blocked"] = olga.get(where).text
    pages["office_person wrong"] = olga.send(
        where, f"{where}/lift", uid="u-alice", ids=["passport"]
    ).text
    with world.parts.store.write() as uow:
        request = uow.requests.of_holder("u-alice")[0].id
        approval = uow.approvals.of_request(request)
        assert approval
        steps = ("so-login", "user-pin-unclear")
        found = Operation(ID, request, approval.id, "99001", "office", 1, 2, 1, 1, steps=steps)
        uow.operations.add(found)
    pages["office_person open"] = olga.get(where).text
    olga.send(where, f"{where}/check", uid="u-alice", ids=["passport", "national-id"])
    pages["office_person checked"] = olga.get(f"{where}?notice=check-recorded").text
    olga.send(office, "/office/look", uid="u-olga")
    pages["office_person self"] = olga.get(where).text
    pages["sessions one"] = bob.get("/sessions").text
    world.logged_in("bob")
    pages["sessions two"] = bob.get("/sessions?notice=session-is-ended").text
    pages["audit some"] = world.holder_of("adam").get("/audit").text
    pages["left once"] = bob.get("/left").text
    return pages
