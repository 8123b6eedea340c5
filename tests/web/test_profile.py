"""The profile's pages: checking before saving, further ways to a code, the rehearsal."""

from __future__ import annotations

import html
import re
from dataclasses import replace
from datetime import timedelta

import pytest

from reset.core.policy import Policy
from reset.errors import Unavailable
from reset.flows.enrol import Enrol
from reset.flows.recover import Recover
from tests.institution.phone import Phone
from tests.web.scenes import phone_of
from tests.web.world import ANSWERS, QUESTIONS, RECOVERY, Visitor, World

OTHER = "alice@other.example"


def filled(**changes: str) -> dict[str, str]:
    """The fields of a good registration, with changes."""
    fields = {"recovery-address": RECOVERY}
    for n, question in enumerate(QUESTIONS, 1):
        fields |= {f"question-{n}": question, f"answer-{n}": ANSWERS[question]}
    return fields | {name.replace("_", "-"): value for name, value in changes.items()}


def dump(world: World) -> list[object]:
    with world.parts.store.read() as uow:
        code = uow.codes.newest("address", "u-alice")
        return [uow.profiles.get("u-alice"), uow.audit.head(), uow.outbox.waiting(), code]


def flat(page: str) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page)).split())


# --- checking --------------------------------------------------------------------------
def test_checking_says_what_is_fine_and_what_is_not_and_keeps_it_all(world: World) -> None:
    """S1.43, S1.52: by field what, why and what to do; nothing typed is lost (decision 0010)."""
    alice = world.holder_of("alice")
    fields = filled(answer_2="qwerty", answer_3="Paris")
    page = alice.send("/profile", "/profile/check", **fields)
    assert page.status_code == 200
    assert page.headers["Cache-Control"] == "no-store"
    assert 'id="answer-2-wrong"' in page.text
    assert 'id="answer-3-wrong"' in page.text
    for name in ("answer-1", "answer-4", "answer-5", "recovery-address"):
        assert f'id="{name}-good"' in page.text, name
        assert f'id="{name}-wrong"' not in page.text, name
    words = flat(page.text)
    assert "guessers try those first. Use a real answer." in words
    assert "Say it more exactly, or choose another question." in words
    assert "nothing is saved yet" in words
    for value in fields.values():
        assert html.escape(value) in page.text or f'value="{value}" selected' in page.text


def test_a_common_answer_is_refused_however_it_is_written(world: World) -> None:
    """S1.43."""
    written = ("１２ １２ １２", "HAUPT-STRASSE", "Mállorca", "Schaefer", " the  Witch! ")
    common = {f"answer_{n}": answer for n, answer in enumerate(written, 1)}
    page = world.holder_of("alice").send("/profile", "/profile", **filled(**common))
    assert page.status_code == 422
    assert flat(page.text).count("Many people give this answer") >= len(written)
    for n in range(1, 6):
        assert f'id="answer-{n}-wrong"' in page.text
    assert world.flows.enrol.profile("u-alice") is None


def test_checking_stores_counts_hashes_and_compares_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It works without the custodian, as often as anybody likes, and is no oracle."""
    world.enrol()
    alice = world.holder_of("alice")
    token = alice.token("/profile")
    before = dump(world)
    monkeypatch.setattr(world.parts.hasher, "tag", None, raising=False)
    world.vault.gone = True
    right = alice.post("/profile/check", {"csrf_token": token, **filled()})
    others = {f"answer-{n}": f"some other thing {n}" for n in range(1, 6)}
    other = alice.post("/profile/check", {"csrf_token": token, **filled() | others})
    for _ in range(20):
        assert alice.post("/profile/check", {"csrf_token": token, **filled()}).status_code == 200
    assert dump(world) == before

    def bare(page: str) -> str:
        page = re.sub(r'name="csrf_token" value="[^"]*"', "", page)  # it holds the second
        return re.sub(r"my own answer \dx|some other thing \d", "", page)

    assert bare(right.text) == bare(other.text)  # what is registered makes no difference


def test_when_all_is_fine_it_is_saved_from_the_top(world: World) -> None:
    alice = world.holder_of("alice")
    page = alice.send("/profile", "/profile/check", **filled()).text
    assert "Everything can be used" in page
    assert '<button form="questions">Save now</button>' in page
    assert page.count('id="questions"') == 1
    assert world.flows.enrol.profile("u-alice") is None
    assert alice.send("/profile", "/profile", **filled()).status_code == 303


def test_an_unfinished_form_is_told_what_is_missing(world: World) -> None:
    fields = {"question-1": "first-phone", "answer-1": "482913", "recovery-address": ""}
    fields |= {f"question-{n}": "" for n in range(2, 6)} | {f"answer-{n}": "" for n in range(2, 6)}
    page = world.holder_of("alice").send("/profile", "/profile/check", **fields)
    assert page.status_code == 200
    assert 'id="answer-1-good"' in page.text
    for n in range(2, 6):
        assert f'id="question-{n}-wrong"' in page.text
        assert f'id="answer-{n}-wrong"' not in page.text
    assert 'id="recovery-address-wrong"' in page.text


def test_enter_does_no_harm(world: World) -> None:
    """A browser sends a form by its first button: that one must be the check."""
    world.enrol()
    for pid in ("alice", "bob"):
        page = world.holder_of(pid).get("/profile").text
        (form,) = re.findall(r'(?s)<form[^>]* id="questions".*?</form>', page)
        first = re.findall(r"<button[^>]*>", form)[0]
        assert 'formaction="/profile/check"' in first
        assert "name=" not in first


def test_more_rows_as_many_as_there_are_questions(world: World) -> None:
    alice, fields = world.holder_of("alice"), filled()
    rows = 5
    while True:
        page = alice.send("/profile", "/profile/check", more="1", **fields).text
        found = len(re.findall(r'<select id="question-\d+"', page))
        if found == rows:
            break
        rows = found
        fields |= {f"question-{rows}": "", f"answer-{rows}": ""}
        assert 'class="faults"' not in page
        assert ANSWERS[QUESTIONS[0]] in page
    assert rows == 15  # 13 of the list and 2 of one's own
    assert "Add one more question" not in page
    fields |= {"question-6": "neighbour", "answer-6": "Kirnbauer"}
    assert alice.send("/profile", "/profile", **fields).status_code == 303
    profile = world.flows.enrol.profile("u-alice")
    assert profile
    assert len(profile.answers) == 6


def test_the_own_institution_is_no_answer(world: World) -> None:
    object.__setattr__(world.parts, "institution", "University of Example")
    page = world.holder_of("alice").send(
        "/profile", "/profile/check", **filled(answer_1="University")
    )
    assert "This is the name of the institution" in flat(page.text)


# --- the second address --------------------------------------------------------------------
def test_a_second_address_from_adding_to_removing(world: World) -> None:
    world.enrol()
    alice = world.holder_of("alice")
    world.watch.at += timedelta(hours=2)
    added = alice.send("/profile", "/profile/second", **{"second-address": OTHER})
    assert added.location == "/profile?notice=second-saved"
    assert "Confirm your second recovery address" in alice.get("/profile").text
    wrong = alice.send("/profile", "/profile/second/confirm", **{"second-code": "00000000"})
    assert wrong.status_code == 403
    assert 'href="#second-code"' in wrong.text
    assert alice.send("/profile", "/profile/second/code").location == "/profile?notice=code-sent"
    code = world.code("second-address", "u-alice")
    done = alice.send("/profile", "/profile/second/confirm", **{"second-code": code})
    assert done.location == "/profile?notice=second-confirmed"
    assert world.flows.enrol.channels("u-alice").addresses[1][0] == "second"
    gone = alice.send("/profile", "/profile/second/remove")
    assert gone.location == "/profile?notice=second-removed"
    assert alice.send("/profile", "/profile/second/remove").location == "/profile"


def test_a_refused_second_address_stays_in_its_field(world: World) -> None:
    world.enrol()
    page = world.holder_of("alice").send(
        "/profile", "/profile/second", **{"second-address": "alice@uni.example"}
    )
    assert page.status_code == 422
    assert 'href="#second-address"' in page.text
    assert 'value="alice@uni.example"' in page.text
    assert "<details open>" in page.text
    assert "Remove the second address" not in page.text  # there is none


# --- the app ---------------------------------------------------------------------------------
def with_app(world: World) -> Phone:
    alice = world.holder_of("alice")
    phone = phone_of(alice.send("/profile/app", "/profile/app").text)
    code = phone.code(world.watch.at)
    done = alice.send("/profile/app", "/profile/app/confirm", **{"app-code": code})
    assert done.location == "/profile?notice=app-registered"
    world.watch.at += timedelta(minutes=1)
    return phone


def test_the_secret_is_in_one_answer_only(world: World) -> None:
    world.enrol()
    alice = world.holder_of("alice")
    shown = alice.send("/profile/app", "/profile/app")
    assert shown.headers["Cache-Control"] == "no-store"
    key = re.search(r'<code class="address">([A-Z2-7 ]+)</code>', shown.text)
    assert key
    assert shown.text.count("<svg") == 1
    assert "otpauth" not in shown.text  # no link carries it
    assert "style=" not in shown.text
    wrong = alice.send("/profile/app", "/profile/app/confirm", **{"app-code": "1"})
    assert wrong.status_code == 400
    for page in (alice.get("/profile/app"), alice.get("/profile"), alice.get("/"), wrong):
        assert key[1] not in page.text
        assert key[1].replace(" ", "") not in page.text
        assert "<svg" not in page.text
    assert "Begin anew" in wrong.text


def test_the_app_at_a_reset_and_its_end(world: World) -> None:
    world.enrol()
    phone = with_app(world)
    visitor = world.logged_in()
    path = world.open_request(visitor)
    assert "app" not in flat(visitor.get(path).text).split()  # a password alone tells nothing of it
    world.answer_questions(visitor, path)
    assert "authenticator app" in visitor.get(path).text
    page = visitor.get(f"{path}/code").text
    assert 'name="app-code"' in page
    assert 'name="code"' in page
    wrong = visitor.send(f"{path}/code", f"{path}/code", **{"app-code": "000000"})
    assert wrong.status_code == 403
    assert 'href="#app-code"' in wrong.text
    assert "Wait until the app shows the next code" in flat(wrong.text)
    code = phone.code(world.watch.at)
    right = visitor.send(f"{path}/code", f"{path}/code", **{"app-code": code})
    assert right.location == f"{path}?notice=code-right"
    assert "Waiting for the approval" in visitor.get(path).text
    alice = world.holder_of("alice")
    assert (
        alice.send("/profile/app", "/profile/app/remove").location == "/profile?notice=app-removed"
    )
    assert alice.send("/profile/app", "/profile/app/remove").location == "/profile"


def test_with_the_app_alone_no_mail_is_offered(world: World) -> None:
    world.enrol()
    with_app(world)
    with world.parts.store.write() as uow:
        profile = uow.profiles.get("u-alice")
        assert profile
        uow.profiles.put(profile.with_address("recovery", "", "", world.watch.at))
    visitor = world.logged_in()
    path = world.open_request(visitor)
    world.answer_questions(visitor, path)
    assert "Type the code that your authenticator app shows" in flat(visitor.get(path).text)
    page = visitor.get(f"{path}/code").text
    assert 'name="app-code"' in page
    assert 'name="code"' not in page
    assert "Send" not in page.split("The steps")[0]
    assert visitor.send(path, f"{path}/code/send").status_code == 409


def test_no_app_without_questions(world: World) -> None:
    page = world.holder_of("bob").send("/profile/app", "/profile/app")
    assert page.status_code == 409
    assert "<svg" not in page.text


def test_a_profile_that_is_too_small_by_now_is_not_called_prepared(world: World) -> None:
    """The policy asks more than it did: both sites say the same of one profile."""
    world.enrol()
    stricter = Policy(questions_asked=5, questions_minimum=7)
    parts = replace(world.parts, policy=stricter)
    flows = replace(world.flows, enrol=Enrol(parts), recover=Recover(parts))
    settings = replace(world.settings, policy=stricter)
    later = World(parts, flows, settings, world.watch, world.vault)
    for page in ("/", "/profile"):
        assert "You are prepared" not in later.holder_of("alice").get(page).text
    text = flat(later.holder_of("alice").get("/profile").text)
    assert "More questions are needed by now: at least 7." in text
    assert "You have not registered enough questions" in later.logged_in().get("/").text


def test_an_address_that_counts_no_more_is_told(world: World) -> None:
    """S1.74: the holder reads why, and what to do."""
    world.enrol()
    parts = replace(world.parts, mail_domains=frozenset({"elsewhere.example"}))
    enrol, recover = Enrol(parts), Recover(parts)
    flows = replace(world.flows, enrol=enrol, recover=recover)
    later = World(parts, flows, world.settings, world.watch, world.vault)
    text = flat(later.holder_of("alice").get("/profile").text)
    assert "You are prepared" not in text
    assert "does not count any more: your login opens this mailbox, too" in text
    assert "You have no recovery address that counts" in later.logged_in().get("/").text


# --- choosing ----------------------------------------------------------------------------------
@pytest.fixture
def two_ways(world: World) -> World:
    """A holder with two addresses."""
    world.enrol()
    world.watch.at += timedelta(hours=2)
    alice = world.holder_of("alice")
    alice.send("/profile", "/profile/second", **{"second-address": OTHER})
    code = world.code("second-address", "u-alice")
    alice.send("/profile", "/profile/second/confirm", **{"second-code": code})
    world.watch.at += timedelta(hours=2)
    return world


def newest_box(world: World) -> str:
    with world.parts.store.read() as uow:
        return str([m.box for m in uow.outbox.due(world.watch.at, 50) if m.code_id][-1])


def test_the_holder_chooses_among_masked_addresses(two_ways: World) -> None:
    world = two_ways
    visitor = world.logged_in()
    path = world.open_request(visitor)
    shown = [visitor.get(path).text]
    world.answer_questions(visitor, path)
    page = visitor.get(f"{path}/code").text
    assert ">a…@e….example</span></button>" in page
    assert ">a…@o….example</span></button>" in page
    for slot in ("second", "recovery"):
        sent = visitor.send(f"{path}/code", f"{path}/code/send", channel=slot)
        assert sent.location == f"{path}/code?notice=code-sent"
        assert newest_box(world) == slot
    shown += [page, visitor.get(path).text]
    assert not [text for text in shown if RECOVERY in text or OTHER in text]
    assert "…@" not in shown[0]  # before the questions nothing of them is told


@pytest.mark.parametrize("field", ["code", "app-code"])
@pytest.mark.parametrize("typed", ["", "1", "12345678"])
def test_no_way_is_told_before_the_answers_are_right(
    two_ways: World, field: str, typed: str
) -> None:
    """A password alone shows neither a masked address nor who has an app."""
    visitor = two_ways.logged_in()
    path = two_ways.open_request(visitor)
    page = visitor.send(path, f"{path}/code", **{field: typed})
    assert page.status_code == 409
    for told in ("…@", "uthenticator", "Send a code to"):
        assert told not in flat(page.text)


@pytest.mark.parametrize("channel", ["directory", "second-pending", "former", "x" * 300, "2"])
def test_no_other_box_can_be_named(two_ways: World, channel: str) -> None:
    """Peer failure 20."""
    world = two_ways
    visitor = world.logged_in()
    path = world.open_request(visitor)
    world.answer_questions(visitor, path)
    page = visitor.send(f"{path}/code", f"{path}/code/send", channel=channel)
    assert page.status_code == 400
    with world.parts.store.read() as uow:
        assert uow.codes.newest("reset", path.split("/")[2]) is None


# --- the rehearsal -----------------------------------------------------------------------------
def rehearse(visitor: Visitor, **answers: str) -> object:
    where = "/profile/rehearsal"
    fields = {f"answer-{n}": ANSWERS[q] for n, q in enumerate(QUESTIONS, 1)}
    changed = {name.replace("_", "-"): value for name, value in answers.items()}
    return visitor.send(where, where, **fields | changed)


def test_a_rehearsal_gives_one_verdict_and_keeps_nothing_typed(world: World) -> None:
    world.enrol()
    alice = world.holder_of("alice")
    first = rehearse(alice, answer_1="wrong thing")
    last = rehearse(alice, answer_5="wrong thing")
    assert first.status_code == last.status_code == 422  # type: ignore[attr-defined]

    def bare(page: object) -> str:
        text = re.sub(r'name="csrf_token" value="[^"]*"', "", page.text)  # type: ignore[attr-defined]
        return re.sub(r"Tries left in this hour: \d", "", text)

    assert bare(first) == bare(last)
    assert "wrong thing" not in bare(first)
    assert ANSWERS[QUESTIONS[1]] not in bare(first)
    right = rehearse(alice)
    assert right.location == "/profile?notice=rehearsal-right"  # type: ignore[attr-defined]
    assert "Your answers were right last on 2030-01-15" in flat(alice.get("/profile").text)


def test_rehearsals_end_for_an_hour(world: World) -> None:
    world.enrol()
    alice = world.holder_of("alice")
    for _ in range(world.settings.policy.rehearsals_per_hour):
        rehearse(alice, answer_1="wrong thing")
    last = rehearse(alice)
    assert last.status_code == 429  # type: ignore[attr-defined]
    assert int(last.headers["Retry-After"]) == 3601  # type: ignore[attr-defined]
    assert "Nothing is blocked" in last.text  # type: ignore[attr-defined]


def test_a_rehearsal_needs_a_profile(world: World) -> None:
    page = world.holder_of("bob").get("/profile/rehearsal")
    assert page.status_code == 409


@pytest.mark.parametrize(
    ("ask", "path"),
    [("get", "/profile/rehearsal"), ("post", "/profile/app"), ("post", "/profile/second")],
)
def test_whoever_has_a_token_that_works_is_not_sent_to_the_office(
    world: World, ask: str, path: str
) -> None:
    """S1.52: the way on is two clicks away."""
    visitor = world.holder_of("bob")
    fields = {"csrf_token": visitor.token("/profile"), "second-address": OTHER}
    page = visitor.get(path) if ask == "get" else visitor.post(path, fields)
    assert page.status_code == 409
    text = flat(page.text)
    assert "Register your questions first" in text
    assert "Go to the registration office in person" not in text


def test_no_code_is_asked_for_where_no_address_waits(world: World) -> None:
    visitor = world.holder_of("bob")
    for path in ("/profile/code", "/profile/second/code"):
        page = visitor.send("/profile", path)
        assert page.status_code == 400
        assert "No address waits to be confirmed." in page.text


def test_a_form_that_an_outage_refuses_says_when_to_come_back(world: World) -> None:
    visitor = world.holder_of("alice")
    fields = filled()
    token = visitor.token("/profile")
    world.vault.gone = True
    page = visitor.post("/profile", {"csrf_token": token, **fields})
    assert (page.status_code, page.headers["Retry-After"]) == (503, "300")
    assert fields["answer-1"] in page.text  # nothing typed is lost


def test_an_outage_is_told_and_costs_nothing(world: World) -> None:
    world.enrol()
    alice = world.holder_of("alice")
    token = alice.token("/profile/rehearsal")
    world.vault.gone = True
    fields = {f"answer-{n}": ANSWERS[q] for n, q in enumerate(QUESTIONS, 1)}
    page = alice.post("/profile/rehearsal", {"csrf_token": token, **fields})
    assert page.status_code == 503
    with pytest.raises(Unavailable):
        world.vault.hmac(b"")
    world.vault.gone = False
    assert rehearse(alice).status_code == 303  # type: ignore[attr-defined]
