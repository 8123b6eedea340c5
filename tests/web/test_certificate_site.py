"""Profile, approvals, delegations, office and audit through their pages."""

from __future__ import annotations

import html
import io
import json
import re
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from pkcs11_driver.helper import link
from reset.errors import CertificateRefused
from tests.web.world import ANSWERS, PEOPLE, QUESTIONS, RECOVERY, Visitor, World


def _profile(**changes: str) -> dict[str, str]:
    fields = {"recovery-address": RECOVERY}
    for n, question in enumerate(QUESTIONS, 1):
        fields |= {f"question-{n}": question, f"answer-{n}": ANSWERS[question]}
    return fields | {name.replace("_", "-"): value for name, value in changes.items()}


# --- the login ---------------------------------------------------------------------
@pytest.mark.parametrize(
    "rule",
    [
        "trust-store",
        "crl-missing",
        "crl-not-yet",
        "crl-stale",
        "ocsp-missing",
        "ocsp-stale",
        "ocsp-unknown",
    ],
)
def test_what_the_service_lacks_is_not_laid_at_the_holders_door(world: World, rule: str) -> None:
    """Peer failure 28: nobody gets in, and nobody is told to fetch another token."""

    def stale(certificate: bytes, at: datetime) -> None:
        raise CertificateRefused(rule=rule)

    world.parts.certificates.verify_client = stale  # type: ignore[method-assign,assignment]
    page = world.holder_of("bob").get("/profile")
    assert page.status_code == 503
    assert page.headers["Retry-After"]
    assert "Nothing is wrong with your token" in page.text
    assert "Plug in" not in page.text


def test_a_certificate_of_somebody_who_left_says_so(world: World) -> None:
    world.flows.login._parts.directory.by_uid = lambda uid: None  # type: ignore[method-assign]
    page = world.holder_of("bob").get("/profile")
    assert page.status_code == 403
    assert "nobody with its UID" in page.text


# --- profile -----------------------------------------------------------------------
def test_registering_confirming_and_deleting(world: World) -> None:
    alice = world.holder_of("alice")
    assert alice.send("/profile", "/profile", **_profile()).status_code == 303
    page = alice.get("/profile").text
    assert "Confirm your recovery address" in page
    code = world.code("address", "u-alice")
    assert alice.send("/profile", "/profile/confirm", code=code).status_code == 303
    assert "You are prepared" in alice.get("/profile").text
    assert "You are prepared" in alice.get("/").text
    deleted = alice.send("/profile", "/profile/delete")
    assert deleted.location == "/profile?notice=profile-deleted"
    assert "Register your questions" in alice.get("/profile").text
    assert alice.send("/profile", "/profile/delete").status_code == 303


def test_every_problem_is_named_at_its_field_and_nothing_typed_is_lost(world: World) -> None:
    alice = world.holder_of("alice")
    fields = _profile(answer_2="ab", recovery_address="alice@uni.example")
    page = alice.send("/profile", "/profile", **fields)
    assert page.status_code == 422
    assert page.headers["Cache-Control"] == "no-store"
    for name in ("answer-2", "recovery-address"):
        assert f'href="#{name}"' in page.text
        assert f'id="{name}-wrong"' in page.text
    assert ANSWERS[QUESTIONS[0]] in page.text
    assert ANSWERS[QUESTIONS[0]] not in alice.get("/profile").text


def test_own_questions_by_the_select_or_directly(world: World) -> None:
    alice = world.holder_of("alice")
    own = "What did the ferryman sing?"
    gate = "Which gate creaked at night?"
    fields = _profile(question_1="own", own_question_1=own, question_2=gate)
    assert alice.send("/profile", "/profile", **fields).status_code == 303
    profile = world.flows.enrol.profile("u-alice")
    assert profile
    assert [a.question for a in profile.answers][:2] == [own, gate]
    assert own in alice.get("/profile").text


def test_an_empty_row_is_told_at_its_own_number(world: World) -> None:
    fields = _profile(question_3="", answer_3="")
    page = world.holder_of("alice").send("/profile", "/profile", **fields)
    assert page.status_code == 422
    assert 'href="#question-3"' in page.text


def test_without_answers_only_the_address_changes(world: World) -> None:
    world.enrol()
    alice = world.holder_of("alice")
    before = world.flows.enrol.profile("u-alice")
    fields = {f"question-{n}": q for n, q in enumerate(QUESTIONS, 1)}
    fields |= {f"answer-{n}": "" for n in range(1, 6)}
    new = "alice@other.example"
    world.watch.at += timedelta(hours=2)
    fields["recovery-address"] = new
    assert alice.send("/profile", "/profile", **fields).status_code == 303
    after = world.flows.enrol.profile("u-alice")
    assert before
    assert after
    assert (after.answers, after.recovery_pending) == (before.answers, new)
    assert after.recovery_address == RECOVERY


def test_a_wrong_confirmation_code_stays_on_the_page(world: World) -> None:
    alice = world.holder_of("alice")
    alice.send("/profile", "/profile", **_profile())
    page = alice.send("/profile", "/profile/confirm", code="00000000")
    assert page.status_code == 403
    assert 'href="#code"' in page.text
    for _ in range(3):
        last = alice.send("/profile", "/profile/code")
    assert last.status_code == 429


# --- approvals ---------------------------------------------------------------------
def _where(path: str) -> str:
    return f"/approvals/{path.split('/')[2]}"


def _upload(visitor: Visitor, where: str, content: bytes) -> object:
    data = {"csrf_token": visitor.token(where), "signature": (io.BytesIO(content), "x.p7s")}
    return visitor.post(f"{where}/signature", data)


def test_the_statement_is_the_same_at_every_reading_and_an_attachment(world: World) -> None:
    world.enrol()
    where = _where(world.asked()[1])
    bob = world.holder_of("bob")
    first, second = bob.get(f"{where}/statement"), bob.get(f"{where}/statement")
    assert first.data == second.data
    assert first.headers["Content-Disposition"].startswith("attachment")


@pytest.mark.parametrize(
    ("content", "status"),
    [(b"", 400), (b"x" * 65_537, 400), (b"junk", 422), (b"signed-carol", 422)],
)
def test_bad_signatures_stay_on_the_page(world: World, content: bytes, status: int) -> None:
    world.enrol()
    where, bob = _where(world.asked()[1]), world.holder_of("bob")
    page = _upload(bob, where, content)
    assert page.status_code == status  # type: ignore[attr-defined]
    assert 'href="#signature"' in page.text  # type: ignore[attr-defined]


def test_signing_or_denying_twice_shows_the_state(world: World) -> None:
    world.enrol()
    where, bob = _where(world.asked()[1]), world.holder_of("bob")
    token = bob.token(where)
    assert bob.send(where, f"{where}/deny", reason="").status_code == 400
    assert bob.send(where, f"{where}/deny", reason="not you").location == f"{where}?notice=denied"
    again = bob.post(f"{where}/deny", {"csrf_token": token, "reason": "x"})
    assert again.location == f"{where}?notice=moved-on"
    assert "not you" in bob.get(where).text
    assert bob.get(f"{where}/helper").location == where  # it reloads itself: no second click


def test_only_named_people_see_a_request(world: World) -> None:
    world.enrol()
    where = _where(world.asked()[1])
    for pid in ("olga", "adam", "alice"):
        other = world.holder_of(pid)
        assert where not in other.get("/approvals").text
        for page in ("", "/statement", "/helper"):
            assert other.get(where + page).status_code == 403
        token = other.token("/profile")
        assert other.post(f"{where}/deny", {"csrf_token": token, "reason": "x"}).status_code == 403


def test_the_pairing_code_for_signing(world: World) -> None:
    world.enrol()
    where, bob = _where(world.asked()[1]), world.holder_of("bob")
    page = bob.get(f"{where}/helper").text
    assert "token-helper" in page
    assert "--server https://public.test" in page
    (address,) = re.findall(r'href="(token-reset:[^"]+)"', page)
    assert link.parse(html.unescape(address), "https://public.test").code


# --- delegations ---------------------------------------------------------------------
def test_delegations_are_granted_shown_and_ended(world: World) -> None:
    world.enrol()
    where, bob = _where(world.asked()[1]), world.holder_of("bob")
    fields = {"delegate": "u-olga", "starts": "2030-01-15", "ends": "2030-01-15"}
    assert bob.send("/delegations", "/delegations", **fields).status_code == 303
    page = bob.get("/delegations").text
    assert "Olga Owen" in page
    assert "2030-01-15 to 2030-01-15" in page
    assert where in world.holder_of("olga").get("/approvals").text
    revoke = page.split('action="/delegations/')[1].split('"')[0]
    assert bob.send("/delegations", f"/delegations/{revoke}").status_code == 303
    assert where not in world.holder_of("olga").get("/approvals").text


def test_nobody_stands_in_twice_on_one_day(world: World) -> None:
    bob = world.holder_of("bob")
    fields = {"delegate": "u-olga", "starts": "2030-01-20", "ends": "2030-01-25"}
    assert bob.send("/delegations", "/delegations", **fields).status_code == 303
    for starts, ends in (("01-15", "01-20"), ("01-21", "01-22"), ("01-25", "01-31")):
        days = {"starts": f"2030-{starts}", "ends": f"2030-{ends}"}
        page = bob.send("/delegations", "/delegations", **fields | days)
        assert page.status_code == 400
        assert "stands in for you already" in page.text
    for change in (
        {"starts": "2030-01-26", "ends": "2030-01-27"},
        {"starts": "2030-01-19", "ends": "2030-01-19"},
        {"delegate": "u-adam"},
    ):
        assert bob.send("/delegations", "/delegations", **fields | change).status_code == 303
    revoke = bob.get("/delegations").text.split('action="/delegations/')
    assert len(revoke) == 5
    principals = [name for name, _ in world.flows.approve.standing_in("u-olga")]
    assert principals == ["Bob Brown"] * 3
    for path in [part.split('"')[0] for part in revoke[1:]]:
        bob.send("/delegations", f"/delegations/{path}")
    assert world.flows.approve.standing_in("u-olga") == []
    assert bob.send("/delegations", "/delegations", **fields).status_code == 303


def test_too_many_delegations_are_refused_with_a_time_to_come_back(world: World) -> None:
    bob, fields = world.holder_of("bob"), {"delegate": "u-olga"}
    for day in range(15, 21):
        days = {"starts": f"2030-01-{day}", "ends": f"2030-01-{day}"}
        page = bob.send("/delegations", "/delegations", **fields, **days)
    assert page.status_code == 429
    assert int(page.headers["Retry-After"]) == 24 * 3600 // 5
    assert "Enough delegations for now" in page.text
    assert "Try again in 5 hours" in page.text
    assert "2030-01-20" not in bob.get("/delegations").text
    assert "2030-01-19" in bob.get("/delegations").text


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"delegate": "u-nobody"}, "delegate"),
        ({"delegate": "u-bob"}, "delegate"),
        ({"starts": "15.1.2030"}, "starts"),
        ({"ends": "2030-01-14"}, "ends"),
        ({"ends": "2031-01-15"}, "ends"),
        ({"ends": "9999-12-31"}, "ends"),
        ({"ends": ""}, "ends"),
    ],
)
def test_bad_delegations_name_their_field(
    shared: World, change: dict[str, str], field: str
) -> None:
    fields = {"delegate": "u-olga", "starts": "2030-01-15", "ends": "2030-01-20"} | change
    page = shared.holder_of("bob").send("/delegations", "/delegations", **fields)
    assert page.status_code == 400
    assert f'href="#{field}"' in page.text


# --- office and audit ------------------------------------------------------------------
OFFICE, LOOK, WHO = "/office/", "/office/look", "/office/person"


def test_what_a_lifted_block_or_a_reset_left_behind_is_not_called_blocked(world: World) -> None:
    """The tag of an older request says what is true now, for the office and for its holder."""
    world.enrol()
    alice, olga, waits = world.logged_in(), world.holder_of("olga"), "with the registration office"
    path = world.open_request(alice)
    wrong = world.right_answers(path) | {"answer-1": "no"}
    for seen in range(3):
        alice.send(path, f"{path}/questions", seen=str(seen), **wrong)
    olga.send(OFFICE, LOOK, uid="u-alice")
    red = f'<span class="tag bad">{waits}</span>'
    assert red in olga.get(WHO).text
    assert red in alice.get("/").text
    ids = ["passport", "national-id"]
    olga.send(WHO, f"{WHO}/lift", uid="u-alice", ids=ids)
    for page in (olga.get(WHO).text, alice.get("/").text):
        assert waits not in page
        assert "tag bad" not in page
        assert '<span class="tag">ended</span>' in page
    assert "the answers were wrong too often" in olga.get(WHO).text
    assert "<h1>This request has ended</h1>" in alice.get(path).text


def test_a_request_that_a_newer_one_replaced_has_ended_on_every_page(world: World) -> None:
    """For its holder and its approver, in the list and on its own page, also far down the list."""
    world.enrol()
    alice, path = world.asked()
    bob, request_id = world.holder_of("bob"), path.split("/")[2]
    with world.parts.store.write() as uow:
        request = uow.requests.get(request_id)
        assert request
        referred = replace(request, state="office", ended_because="so-pin-locked")
        uow.requests.save(referred, expected="waiting_for_approval")
    theirs, waits = "The registration office has to go on", "with the registration office"
    assert waits in alice.get("/").text
    assert f"<h1>{theirs}</h1>" in alice.get(path).text
    assert waits in bob.get(_where(path)).text
    for _ in range(20):  # what a list holds
        newer = world.open_request(alice)
        assert waits not in alice.get("/").text
        page = alice.get(path).text
        assert "<h1>This request has ended</h1>" in page
        assert theirs not in page
        assert '<span class="tag">ended</span>' in bob.get(_where(path)).text
        alice.send(newer, f"{newer}/cancel")
        world.watch.at += timedelta(hours=2)
        alice, bob = world.logged_in(), world.holder_of("bob")


def test_the_office_sees_earlier_checks(world: World) -> None:
    """S1.34: kinds of ids, operator and time."""
    olga = world.holder_of("olga")
    olga.send(OFFICE, LOOK, uid="u-alice")
    assert "Earlier checks of identity" in olga.get(WHO).text
    assert "by Olga Owen" not in olga.get(WHO).text
    olga.send(WHO, f"{WHO}/check", uid="u-alice", ids=["passport", "military-card"])
    page = olga.get(WHO).text
    told = ">2030-01-15 12:00 UTC</time> by Olga Owen<br>"
    assert f'{told}<span class="soft">Military card, Passport</span></li>' in page
    olga.send(OFFICE, LOOK, uid="u-bob")
    assert "by Olga Owen" not in olga.get(WHO).text


def test_the_office_finds_checks_and_lifts(world: World) -> None:
    world.enrol()
    with world.parts.store.write() as uow:
        for _ in range(3):
            uow.tries.reserve("rounds:u-alice", 3)
    olga = world.holder_of("olga")
    assert olga.send(OFFICE, OFFICE, q="a").status_code == 400
    found = olga.send(OFFICE, OFFICE, q="ali").text
    assert 'value="u-alice"' in found
    assert olga.get(WHO).location == OFFICE  # nobody was chosen yet
    assert olga.send(OFFICE, LOOK, uid="u-alice").location == WHO
    page = olga.get(WHO).text
    assert "blocked" in page
    assert RECOVERY not in page
    who = {"uid": "u-alice"}
    one = olga.send(WHO, f"{WHO}/lift", **who, ids=["passport"])
    assert one.status_code == 400
    assert "checked" in one.text
    both = olga.send(WHO, f"{WHO}/lift", **who, ids=["passport", "institution-card"])
    assert both.location == f"{WHO}?notice=block-lifted"
    assert "Record a check of identity" in olga.get(WHO).text
    check = olga.send(WHO, f"{WHO}/check", **who, ids=["passport", "institution-card"])
    assert check.location == f"{WHO}?notice=check-recorded"


def test_a_form_of_the_office_acts_on_whom_it_shows(world: World) -> None:
    """Two tabs: the form names the person, not what the other tab opened meanwhile."""
    olga = world.holder_of("olga")
    olga.send(OFFICE, LOOK, uid="u-alice")
    token = olga.token(WHO)
    olga.send(OFFICE, LOOK, uid="u-bob")
    ids = ["passport", "institution-card"]
    olga.post(f"{WHO}/check", {"csrf_token": token, "uid": "u-alice", "ids": ids})
    entries = [json.loads(e.raw) for e in world.flows.auditing.newest(PEOPLE["adam"], 2)]
    (checked,) = [e for e in entries if e["event"] == "identity-checked"]
    assert checked["facts"]["person"] == "u-alice"
    assert "Alice Adams" in olga.get(WHO).text


def test_the_office_logs_a_person_out_everywhere(world: World) -> None:
    """T22: a stolen computer; the office's own session goes on."""
    alice, at_home, bob = world.logged_in(), world.logged_in(), world.logged_in("bob")
    with_token = world.holder_of("alice")
    with_token.get("/")
    kept = with_token.cookie()
    olga = world.holder_of("olga")
    olga.send(OFFICE, LOOK, uid="u-alice")
    done = olga.send(WHO, f"{WHO}/end-sessions", uid="u-alice")
    assert done.location == f"{WHO}?notice=sessions-ended"
    assert alice.get("/sessions").location.startswith("/login")
    assert at_home.get("/sessions").location.startswith("/login")
    assert bob.get("/sessions").status_code == 200
    with_token.get("/")
    assert with_token.cookie() != kept
    assert olga.get(WHO).status_code == 200


def test_a_search_is_recorded_without_its_words(world: World) -> None:
    world.holder_of("olga").send(OFFICE, OFFICE, q="alice")
    entry = json.loads(world.flows.auditing.newest(PEOPLE["adam"], 1)[0].raw)
    assert (entry["event"], entry["actor"]) == ("person-looked-up", "u-olga")
    assert entry["facts"] == {"search": True, "found": 1}


def test_the_office_reads_plain_words(world: World) -> None:
    world.enrol()
    path = world.asked()[1]
    with world.parts.store.write() as uow:
        request = uow.requests.get(path.split("/")[2])
        assert request
        for because, words in (
            ("answers", "the answers were wrong too often"),
            ("so-pin-locked", "administrator PIN is locked"),
            ("custodian: holder", "refused (holder)"),
            ("approver: not asked", "the approver wrote: “not asked”"),
        ):
            uow.requests.save(replace(request, ended_because=because), expected=request.state)
            template = world.certificate.jinja_env.get_template("_states.html")
            assert words in str(template.make_module().reason(because))  # type: ignore[attr-defined]
    olga = world.holder_of("olga")
    olga.send(OFFICE, LOOK, uid="u-alice")
    page = olga.get(WHO).text
    assert "not asked" in page
    assert "in-use" not in page


def test_nobody_is_the_office_for_themselves(world: World) -> None:
    olga = world.holder_of("olga")
    olga.send(OFFICE, LOOK, uid="u-olga")
    assert "ask a colleague" in olga.get(WHO).text
    fields = {"uid": "u-olga", "ids": ["passport", "institution-card"]}
    assert olga.send(OFFICE, f"{WHO}/check", **fields).status_code == 403
    assert olga.send(OFFICE, LOOK, uid="u-nobody").status_code == 404


def test_auditors_read_the_log(world: World) -> None:
    world.enrol()
    page = world.holder_of("adam").get("/audit").text
    assert "profile-registered" in page


def test_the_home_page_offers_what_the_role_may_do(world: World) -> None:
    offers = {pid: world.holder_of(pid).get("/").text for pid in PEOPLE}
    assert {pid for pid, page in offers.items() if 'href="/office/"' in page} == {"olga"}
    assert {pid for pid, page in offers.items() if 'href="/audit"' in page} == {"adam"}
    assert all('href="/profile"' in page for page in offers.values())


def test_leaving_tells_to_close_the_browser(world: World) -> None:
    bob = world.holder_of("bob")
    assert bob.send("/", "/logout").location == "/left"
    assert "unplug your token" in bob.get("/left").text
