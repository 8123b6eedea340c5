"""Many at once: what is compared never exceeds the limit, and everything happens once.

Peer failures 1, 2, 8, 11 and 16, on SQLite and PostgreSQL, with the custodian in its own process.
"""

from __future__ import annotations

import hmac as real_hmac
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from pkcs11_driver import wire
from reset.errors import ResetError
from reset.flows import answers, authenticators, codes, pairing
from reset.flows.reminding import Reminding
from tests.flows.model_token import Helper, ModelToken
from tests.flows.world import (
    DAY,
    DEPUTY,
    HOLDER,
    REPRESENTATIVE,
    SUPERVISOR,
    World,
    by_password,
    serial_of,
)
from tests.institution.phone import Phone

MANY = 60


def at_once(calls: Sequence[Callable[[], Any]]) -> Counter[str]:
    """Run all at the same moment; how often each code of a refusal came, or ``ok``."""
    barrier = threading.Barrier(len(calls))

    def run(call: Callable[[], Any]) -> str:
        barrier.wait()
        try:
            call()
        except ResetError as refused:
            return refused.code
        return "ok"

    with ThreadPoolExecutor(len(calls)) as pool:
        return Counter(pool.map(run, calls))


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each flow compared a secret."""
    counts: Counter[str] = Counter()
    lock = threading.Lock()
    for module in (answers, authenticators, codes, pairing):

        def compare(a: Any, b: Any, name: str = module.__name__) -> bool:
            with lock:
                counts[name] += 1
            return real_hmac.compare_digest(a, b)

        monkeypatch.setattr(module, "hmac", SimpleNamespace(compare_digest=compare))
    return counts


def test_wrong_passwords(busy_world: World) -> None:
    """Of one name from one network no more are looked at than are free, and one beyond them."""
    world = busy_world
    looked = Counter[str]()
    lock, check = threading.Lock(), world.directory.check_password

    def counted(pid: str, password: str) -> object:
        with lock:
            looked[pid] += 1
        return check(pid, password)

    world.directory.check_password = counted  # type: ignore[method-assign,assignment]
    names = ("holly", "HOLLY", " holly", "ho\u00adlly")
    codes_seen = at_once(
        [
            lambda n=n: world.login.with_password(names[n % 4], f"wrong {n}", "192.0.2.9")
            for n in range(MANY)
        ]
    )
    assert set(codes_seen) == {"login-refused", "slow-down"}
    assert looked == {"holly": codes_seen["login-refused"]}
    assert looked["holly"] <= world.policy.login_slow_after + 1


def test_wrong_answers(busy_world: World, compared: Counter[str]) -> None:
    world = busy_world
    request = world.open()
    hashed = world.hasher.count
    now = world.clock.now()
    wrong = ["nonsense", "more nonsense", "even more"]
    ends = at_once(
        [lambda: world.recover.answer(HOLDER, request.id, wrong, by_password(now))] * MANY
    )
    rounds = world.policy.failed_rounds
    assert ends["ok"] == 0
    assert compared[answers.__name__] == world.hasher.count - hashed == 3 * rounds
    assert ends["answers-wrong"] == rounds == world.spent(f"rounds:{HOLDER}")
    assert ends["self-service-blocked"] + ends["state-conflict"] == MANY - rounds
    assert world.request(request).state == "office"
    assert len(world.named("answers-wrong")) == rounds
    assert len(world.named("self-service-blocked")) == 1


def test_a_right_answer_among_wrong_ones(busy_world: World, compared: Counter[str]) -> None:
    """It is no way to more wrong ones: what a right round gives back is its own try."""
    world = busy_world
    request = world.open()
    right, now = world.right(request), world.clock.now()
    wrong = ["nonsense", *right[1:]]
    calls = [
        lambda n=n: world.recover.answer(
            HOLDER, request.id, right if n % 6 == 0 else wrong, by_password(now)
        )
        for n in range(30)
    ]
    ends = at_once(calls)
    assert ends["answers-wrong"] <= world.policy.failed_rounds
    assert ends["answers-wrong"] == world.spent(f"rounds:{HOLDER}")
    # a busy hasher may end a set halfway, and of two right ones at once only one is the proof:
    # neither pays for it
    verdicts = ends["ok"] + ends["answers-wrong"]
    without = ends["busy"] + ends["state-conflict"]
    assert 3 * verdicts <= compared[answers.__name__] <= 3 * (verdicts + without)
    assert set(ends) <= {"ok", "answers-wrong", "self-service-blocked", "state-conflict", "busy"}
    assert len(world.named("answers-right")) == ends["ok"]


def test_wrong_mail_codes(busy_world: World, compared: Counter[str]) -> None:
    world = busy_world
    request = world.open()
    world.answer(request)
    code, now = world.send(request), world.clock.now()
    compared.clear()
    guesses = [f"{(int(code) + n) % 10**8:08d}" for n in range(1, MANY + 1)]
    ends = at_once(
        [
            lambda g=g: world.recover.enter_code(HOLDER, request.id, g, by_password(now))
            for g in guesses
        ]
    )
    assert ends["ok"] == 0
    assert compared[codes.__name__] == world.policy.code_tries
    assert ends["code-wrong"] == world.policy.code_tries - 1
    assert world.spent(f"code:reset:{request.id}") == world.policy.code_tries
    assert world.request(request).ended_because == "code-tries"
    assert len(world.named("request-cancelled")) == 1
    assert len(world.named("code-wrong")) == world.policy.code_tries


def test_the_right_mail_code_many_times(busy_world: World) -> None:
    """One success, one asking of the approver, one mail to them."""
    world = busy_world
    request = world.open()
    world.answer(request)
    code, now = world.send(request), world.clock.now()
    ends = at_once(
        [lambda: world.recover.enter_code(HOLDER, request.id, code, by_password(now))] * 12
    )
    assert ends["ok"] == 1
    assert len(world.named("code-right")) == 3  # two of them confirmed addresses
    assert len(world.named("approver-asked")) == 1
    asked = [row for row in world.dump()["outbox"] if "approver-asked" in row]
    assert len(asked) == 2  # the supervisor and the representative
    assert world.request(request).state == "waiting_for_approval"


def test_sending_codes(busy_world: World) -> None:
    world = busy_world
    request = world.open()
    world.answer(request)
    now = world.clock.now()
    ends = at_once([lambda: world.recover.send_code(HOLDER, request.id, by_password(now))] * 12)
    assert ends["ok"] == world.policy.code_sends_per_hour
    assert ends["code-sends-spent"] == 12 - ends["ok"]


def test_pairing_codes(busy_world: World, compared: Counter[str]) -> None:
    world = busy_world
    code = wire.tidy_code(world.code(world.ready()))
    letters = wire.CODE_ALPHABET
    last = letters.index(code[-1])
    guesses = [
        code[:-2] + letters[(letters.index(code[-2]) + 1 + n // 25) % len(letters)]
        + letters[(last + 1 + n % 25) % len(letters)]
        for n in range(MANY)
    ]  # fmt: skip
    compared.clear()

    def claim(number: int, guess: str) -> object:
        return world.pair.claim(wire.Claim(guess, b"k" * 32, "1"), f"198.51.100.{number}")

    ends = at_once([lambda n=n, g=g: claim(n, g) for n, g in enumerate(guesses)])
    assert ends == {"pairing-code-refused": MANY}
    assert compared[pairing.__name__] == world.policy.pairing_tries


def test_two_helpers_with_the_right_code(busy_world: World) -> None:
    world = busy_world
    code = world.code(world.ready())

    def claim(number: int) -> object:
        key = bytes([number]) * 32
        return world.pair.claim(wire.Claim(code, key, "1"), f"198.51.100.{number}")

    ends = at_once([lambda n=n: claim(n) for n in (1, 2, 3, 4)])
    assert ends == {"ok": 1, "pairing-code-refused": 3}
    assert len(world.named("helper-claimed")) == 1


def test_clicks_on_open(busy_world: World) -> None:
    """Peer failure 16: a double click is one request for everybody who clicked."""
    world = busy_world
    person, now = world.person(HOLDER), world.clock.now()
    opened = []
    ends = at_once(
        [lambda: opened.append(world.recover.open(person, by_password(now), None, "").id)] * 8
    )
    assert ends == {"ok": 8}
    assert len(set(opened)) == 1
    assert len(world.named("request-opened")) == 1


def test_two_approvers_and_two_clicks(busy_world: World) -> None:
    world = busy_world
    request = world.waiting()
    signatures = {uid: world.signature(request, uid) for uid in (SUPERVISOR, REPRESENTATIVE)}
    ends = at_once(
        [
            lambda u=uid: world.approve.sign(world.person(u), request.id, signatures[u])
            for uid in (SUPERVISOR, REPRESENTATIVE) * 3
        ]
    )
    assert ends["ok"] >= 1
    assert set(ends) <= {"ok", "state-conflict"}
    assert len(world.dump()["approvals"]) == 1
    assert len(world.named("approved")) == 1


def test_signing_denying_and_cancelling_at_once(busy_world: World) -> None:
    world = busy_world
    request = world.waiting()
    signature, sue = world.signature(request), world.person(SUPERVISOR)
    ends = at_once(
        [
            lambda: world.approve.sign(sue, request.id, signature),
            lambda: world.approve.deny(sue, request.id, "no"),
            lambda: world.recover.cancel(HOLDER, request.id),
        ]
    )
    state = world.request(request).state
    events = Counter(entry["event"] for entry in world.events())
    if state == "denied":
        assert ends["ok"] == events["denied"] == 1
        assert events["approved"] == events["request-cancelled"] == 0
    else:  # an approved request may still be cancelled
        assert events["denied"] == 0
        assert ends["ok"] == events["approved"] + events["request-cancelled"]
        assert state == ("cancelled" if events["request-cancelled"] else "ready")


def test_the_same_release_many_times(busy_world: World) -> None:
    """One intent, one epoch, one order; the approval is spent once."""
    world = busy_world
    request = world.ready()
    helper = Helper(world, ModelToken.of(world), world.code(request))
    claimed = helper.claim()
    seen = wire.TokenSeen(helper.token.serial, "", "locked", "ok")
    asked = wire.Release("a" * 32, seen)
    ends = at_once([lambda: world.custody.release(claimed.job, claimed.secret, asked)] * 8)
    assert ends == {"ok": 8}
    events = Counter(entry["event"] for entry in world.events())
    assert events["custody-intent"] == events["custody-sent"] == 1
    helper.nonce = "a" * 32
    assert helper.run().state == "done"


def test_the_same_report_many_times(busy_world: World) -> None:
    world = busy_world
    request = world.ready()
    helper = Helper(world, ModelToken.of(world), world.code(request))
    helper.claim()
    helper.release()
    helper.work()
    ends = at_once([helper.report] * 8)
    assert ends == {"ok": 8}
    events = Counter(entry["event"] for entry in world.events())
    assert events["custody-done"] == events["reset-done"] == 1
    done = [row for row in world.dump()["outbox"] if "reset-done" in row]
    assert len(done) == 2
    assert world.so_version(serial_of(HOLDER)) == 2


def test_the_lease_ends_while_a_report_is_at_work(
    busy_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rotation rule R5: the report has the nonce in force, so it counts; the worker was faster."""
    world = busy_world
    request = world.ready()
    helper = Helper(world, ModelToken.of(world), world.code(request))
    helper.release()
    verify = world.parts.certificates.verify_proof
    lapsed = []

    def slowly(*proof: bytes) -> None:
        verify(*proof)
        if not lapsed:
            world.clock.move(world.policy.lease)
            lapsed.append(world.upkeep.settle())

    monkeypatch.setattr(world.parts.certificates, "verify_proof", slowly)
    helper.work()
    assert helper.report().state == "done"
    assert lapsed == [1]
    assert len(world.named("custody-unknown")) == len(world.named("custody-done")) == 1


def test_delegations(busy_world: World) -> None:
    """No more are granted, and mailed, than the policy allows; none twice for the same days."""
    world = busy_world
    limit, who = world.policy.delegations_per_day, world.person(SUPERVISOR)
    today = world.parts.local.today(world.clock.now())

    def grant(day: int) -> None:
        world.approve.delegate(who, DEPUTY, today + day * DAY, today + day * DAY)

    same = at_once([lambda: grant(0)] * 8)
    assert same == {"ok": 1, "bad-input": 7}
    ends = at_once([lambda day=day: grant(day) for day in range(1, 21)])
    assert ends == {"ok": limit - 1, "too-many-delegations": 20 - limit + 1}
    assert len(world.approve.delegations(SUPERVISOR)) == limit
    mails = [row for row in world.dump()["outbox"] if "delegation-granted" in row]
    assert len(mails) == len(world.named("delegation-granted")) == limit


def test_two_workers(busy_world: World) -> None:
    """A mail that one worker has in hand is not taken by another."""
    world = busy_world
    world.waiting()
    world.mailer.sent.clear()
    world.open("u-second")
    assert at_once([world.upkeep.deliver] * 6) == {"ok": 6}
    ids = [mail.message_id for mail in world.mailer.sent]
    assert len(ids) == len(set(ids))


def with_app(world: World) -> Phone:
    phone = Phone(world.authenticators.begin(world.person(HOLDER)).uri)
    now = world.clock.now()
    world.authenticators.confirm(HOLDER, phone.code(now - timedelta(seconds=30)))
    return phone


def test_the_right_app_code_many_times(busy_world: World) -> None:
    """A time step is one success, over threads and connections (peer failure 8)."""
    world = busy_world
    phone = with_app(world)
    request = world.open()
    world.answer(request)
    now = world.clock.now()
    code = phone.code(now)
    ends = at_once(
        [lambda: world.recover.enter_app_code(HOLDER, request.id, code, by_password(now))] * 12
    )
    assert ends["ok"] == 1
    assert set(ends) <= {"ok", "code-dead", "code-wrong", "state-conflict"}
    assert len([e for e in world.named("code-right") if e["facts"].get("app")]) == 1
    assert len(world.named("approver-asked")) == 1
    assert world.request(request).state == "waiting_for_approval"


def test_one_app_code_for_two_requests_at_once(busy_world: World) -> None:
    """Once ever, not once a request."""
    world = busy_world
    phone = with_app(world)
    world.put_token(HOLDER, serial="T2")
    requests = [world.open(serial=serial) for serial in ("T2", serial_of(HOLDER))]
    for request in requests:
        world.answer(request)
    now = world.clock.now()
    code = phone.code(now)
    ends = at_once(
        [
            lambda r=request: world.recover.enter_app_code(HOLDER, r.id, code, by_password(now))
            for request in requests * 4
        ]
    )
    assert ends["ok"] == 1
    states = sorted(world.request(request).state for request in requests)
    assert states.count("waiting_for_approval") == 1


def test_wrong_app_codes(busy_world: World, compared: Counter[str]) -> None:
    world = busy_world
    phone = with_app(world)
    request = world.open()
    world.answer(request)
    now = world.clock.now()
    near = {phone.code(now + timedelta(seconds=30 * n)) for n in range(-2, 4)}
    guesses = [g for g in (f"{n:06d}" for n in range(MANY + 6)) if g not in near][:MANY]
    compared.clear()
    ends = at_once(
        [
            lambda g=g: world.recover.enter_app_code(HOLDER, request.id, g, by_password(now))
            for g in guesses
        ]
    )
    tries = world.policy.code_tries
    assert ends["ok"] == 0
    assert compared[authenticators.__name__] == 3 * tries  # each with the steps of its window
    assert ends["code-wrong"] == tries - 1
    assert world.spent(f"code:reset:{request.id}") == tries
    assert world.request(request).ended_because == "code-tries"


def test_confirming_an_app_many_times(busy_world: World) -> None:
    world = busy_world
    phone = Phone(world.authenticators.begin(world.person(HOLDER)).uri)
    code = phone.code(world.clock.now())
    ends = at_once([lambda: world.authenticators.confirm(HOLDER, code)] * 4)
    assert ends["ok"] == 1
    assert len(world.named("app-registered")) == 1
    assert len(world.dump()["authenticators"]) == 1


def test_rehearsals(busy_world: World, compared: Counter[str]) -> None:
    """Peer failures 1 and 3: this counter holds as the others do."""
    world = busy_world
    compared.clear()
    ends = at_once([lambda: world.rehearse.answer(HOLDER, ["nonsense"] * 5)] * MANY)
    limit = world.policy.rehearsals_per_hour
    verdicts = ends["rehearsal-wrong"]
    assert 1 <= verdicts <= limit
    assert verdicts == len(world.named("rehearsal-wrong"))
    # a busy hasher may end a set halfway: no verdict, and the try is given back
    assert 5 * verdicts <= compared[answers.__name__] <= 5 * (verdicts + ends["busy"])
    assert verdicts + ends["busy"] + ends["rehearsals-spent"] == MANY


def test_many_workers_remind_once(busy_world: World) -> None:
    world = busy_world
    world.clock.move(timedelta(days=366))
    workers = [Reminding(world.parts) for _ in range(6)]
    assert at_once([worker.run_once for worker in workers]) == {"ok": 6}
    reminded = Counter(
        (entry["facts"]["person"], entry["facts"]["of"]) for entry in world.named("reminded")
    )
    assert set(reminded.values()) == {1}
    assert {(HOLDER, "rehearsal"), ("u-second", "rehearsal")} <= set(reminded)


def test_a_step_up_and_the_end_of_all_sessions(busy_world: World) -> None:
    """T22: whichever is first, the session that was to be ended is ended."""
    sessions = busy_world.sessions
    kept = sessions.load(
        sessions.begin("public", HOLDER, "{}", address="192.0.2.1", agent=""), "public"
    )
    assert kept
    for _ in range(20):
        cookie = sessions.begin("public", HOLDER, "{}", address="192.0.2.9", agent="")
        other = sessions.load(cookie, "public")
        assert other
        at_once(
            [lambda o=other: sessions.renew(o, "{}"), lambda: sessions.end_others(HOLDER, kept)]
        )
        assert [one.handle for one in sessions.of_person(HOLDER)] == [kept.handle]
