"""The authenticator app: begun with the certificate, confirmed, each step once (decision 0033)."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from reset.core.assurance import METHODS
from reset.errors import (
    BadInput,
    CodeDead,
    CodeWrong,
    NoProfile,
    ProofsMissing,
    ResetError,
    SelfServiceBlocked,
    StateConflict,
    Unavailable,
)
from reset.flows.authenticators import code_at
from tests.custodian.scene import SoftKeys
from tests.flows.model_token import ModelToken, follow
from tests.flows.world import (
    HOLDER,
    HOUR,
    MINUTE,
    SECOND,
    STRANGER,
    World,
    by_password,
    mail_of,
    recovery_of,
)
from tests.institution.phone import Phone

STEP = timedelta(seconds=30)


def scan(world: World, uid: str = HOLDER, slow: int = 0) -> Phone:
    return Phone(world.authenticators.begin(world.person(uid)).uri, slow)


def add(world: World, uid: str = HOLDER) -> Phone:
    phone = scan(world, uid)
    world.authenticators.confirm(uid, phone.code(world.clock.now()))
    world.upkeep.deliver()
    world.mailer.sent.clear()
    world.clock.move(HOUR)
    return phone


def answered(world: World, uid: str = HOLDER) -> str:
    request = world.open(uid)
    world.answer(request)
    return request.id


def enter(world: World, request_id: str, code: str, seen: int | None = None) -> object:
    return world.recover.enter_app_code(
        HOLDER, request_id, code, by_password(world.clock.now()), seen
    )


def refusal(world: World, request_id: str, code: str) -> ResetError:
    with pytest.raises(ResetError) as refused:
        enter(world, request_id, code)
    return refused.value


def wrong_for(phone: Phone, at: datetime) -> str:
    """A code of none of the steps around ``at``."""
    near = {phone.code(at + n * STEP) for n in range(-3, 4)}
    return next(code for code in (f"{n:06d}" for n in range(10)) if code not in near)


# --- the codes themselves ---------------------------------------------------------------------
@pytest.mark.parametrize(
    ("seconds", "code"),
    [
        (59, "94287082"),
        (1111111109, "07081804"),
        (1111111111, "14050471"),
        (1234567890, "89005924"),
        (2000000000, "69279037"),
        (20000000000, "65353130"),
    ],
)
def test_the_vectors_of_the_rfc(seconds: int, code: str) -> None:
    """RFC 6238, appendix B, SHA-1: of its eight digits the last six."""
    assert code_at(b"12345678901234567890", seconds // 30) == code[2:]


# --- registering ------------------------------------------------------------------------------
def test_an_app_counts_once_a_code_of_it_came_back(world: World) -> None:
    phone = scan(world)
    assert world.authenticators.waits(HOLDER)
    assert not world.enrol.channels(HOLDER).app
    world.authenticators.confirm(HOLDER, phone.code(world.clock.now()))
    assert world.enrol.channels(HOLDER).app
    assert not world.authenticators.waits(HOLDER)
    world.upkeep.deliver()
    assert {m.to for m in world.mailer.sent} == {mail_of(HOLDER), recovery_of(HOLDER)}
    assert "authenticator app was registered" in world.mailer.sent[-1].body
    assert world.named("app-registered")[-1]["actor"] == HOLDER


def test_what_the_app_is_told(world: World) -> None:
    """By picture or by hand, it is one key; the name is that of the institution."""
    enrolment = world.authenticators.begin(world.person(HOLDER))
    now = world.clock.now()
    scanned, typed = Phone(enrolment.uri), Phone.typed(enrolment.key)
    assert scanned.code(now) == typed.code(now)
    assert scanned.issuer.endswith("token reset")
    assert scanned.account.endswith(":holly")
    assert len(enrolment.key) == 32  # 160 bits
    assert enrolment.key not in repr(enrolment)


def test_each_beginning_has_another_key_and_ends_the_one_before(world: World) -> None:
    first, second = scan(world), scan(world)
    now = world.clock.now()
    assert first.key != second.key
    if first.code(now) not in {second.code(now + n * STEP) for n in (-1, 0, 1)}:
        with pytest.raises(CodeWrong):
            world.authenticators.confirm(HOLDER, first.code(now))
    world.authenticators.confirm(HOLDER, second.code(now))


def test_a_picture_is_good_for_a_short_time(world: World) -> None:
    phone = scan(world)
    world.clock.move(world.policy.code_age)
    assert not world.authenticators.waits(HOLDER)
    with pytest.raises(CodeDead):
        world.authenticators.confirm(HOLDER, phone.code(world.clock.now()))


def test_confirming_is_bounded_too(world: World) -> None:
    phone = scan(world)
    code = phone.code(world.clock.now())
    for left in (4, 3, 2, 1, 0):
        with pytest.raises(CodeWrong) as refused:
            world.authenticators.confirm(HOLDER, wrong_for(phone, world.clock.now()))
        assert refused.value.data == {"tries_left": left, "channel": "app"}
    with pytest.raises(CodeDead):
        world.authenticators.confirm(HOLDER, code)
    again = scan(world)  # the person stands here with a certificate: no dead end
    world.authenticators.confirm(HOLDER, again.code(world.clock.now()))


def test_only_a_profile_gets_an_app(world: World) -> None:
    with pytest.raises(NoProfile):
        world.authenticators.begin(world.person(STRANGER))
    with pytest.raises(NoProfile):
        world.authenticators.remove(HOLDER)
    with pytest.raises(CodeDead):
        world.authenticators.confirm(HOLDER, "123456")


def test_an_app_is_replaced_only_by_one_that_works(world: World) -> None:
    old = add(world)
    new = scan(world)
    request = answered(world)
    enter(world, request, old.code(world.clock.now()))  # the new one waits: the old one counts
    world.recover.cancel(HOLDER, request)
    new = scan(world)
    world.authenticators.confirm(HOLDER, new.code(world.clock.now()))
    world.clock.move(HOUR)
    request = answered(world)
    assert isinstance(refusal(world, request, old.code(world.clock.now())), CodeWrong)
    enter(world, request, new.code(world.clock.now()))


def test_removing_is_told_and_final(world: World) -> None:
    phone = add(world)
    request = answered(world)
    world.upkeep.deliver()
    world.mailer.sent.clear()
    world.authenticators.remove(HOLDER)
    world.upkeep.deliver()
    assert {m.to for m in world.mailer.sent} == {mail_of(HOLDER), recovery_of(HOLDER)}
    error = refusal(world, request, phone.code(world.clock.now()))
    assert (type(error), error.data) == (CodeDead, {"why": "no-app"})
    assert not world.dump()["authenticators"]


def test_a_deleted_profile_takes_its_app_along(world: World) -> None:
    add(world)
    scan(world)
    world.enrol.delete(HOLDER)
    assert world.dump()["authenticators"] == []
    assert not world.enrol.channels(HOLDER).app


# --- at a reset -------------------------------------------------------------------------------
def test_the_whole_way_with_the_app_and_no_mailed_code(world: World) -> None:
    """An independent channel of kind have: it opens both gates."""
    phone = add(world)
    request_id = answered(world)
    enter(world, request_id, phone.code(world.clock.now()))
    request = world.request(request_id)
    assert request.state == "waiting_for_approval"
    world.sign(request)
    world.clock.move(STEP)
    enter(world, request_id, phone.code(world.clock.now()))
    assert follow(world, request, ModelToken.of(world)) == "done"
    methods = [row for row in world.dump()["proofs"] if "code-app" in row]
    assert len(methods) == 2
    assert METHODS["code-app"].kind == METHODS["code-recovery"].kind == "have"
    assert not [e for e in world.named("code-sent") if e["facts"]["purpose"] == "reset"]


def test_no_address_is_needed_where_an_app_counts(world: World) -> None:
    world.enrol.delete(HOLDER)
    world.enrol.register(world.person(HOLDER), world.chosen(HOLDER), recovery_of(HOLDER))
    assert world.recover.overview(HOLDER).missing == "recovery-address"
    phone = add(world)
    assert world.recover.overview(HOLDER).missing == ""
    request = answered(world)
    with pytest.raises(NoProfile):
        world.recover.send_code(HOLDER, request, by_password(world.clock.now()))
    enter(world, request, phone.code(world.clock.now()))


@pytest.mark.parametrize(
    ("slow", "good"), [(0, True), (30, True), (-30, True), (60, False), (-60, False)]
)
def test_a_clock_may_be_one_step_off(world: World, slow: int, good: bool) -> None:
    phone = add(world)
    phone.slow = slow
    request = answered(world)
    code = phone.code(world.clock.now())
    if good:
        enter(world, request, code)
    else:
        assert isinstance(refusal(world, request, code), CodeWrong)


def test_a_code_is_used_once_and_none_before_it(world: World) -> None:
    """Peer failures 7 and 8: in this request and in every later one, after a restart as well."""
    phone = add(world)
    request, start = answered(world), world.clock.now()
    code, before = phone.code(start), phone.code(start - STEP)
    enter(world, request, f" {code[:3]} {code[3:]} ")
    world.recover.cancel(HOLDER, request)
    request = answered(world)
    for used in (code, f"{code[:3]}-{code[3:]}", before):
        error = refusal(world, request, used)
        assert type(error) is CodeWrong, used
        assert set(error.data) == {"tries_left", "channel"}  # as any wrong one
    enter(world, request, phone.code(start + STEP))  # a phone that is a little fast


def test_the_code_that_confirmed_the_app_is_used_as_well(world: World) -> None:
    phone = scan(world)
    code = phone.code(world.clock.now())
    request = answered(world)
    world.authenticators.confirm(HOLDER, code)
    assert isinstance(refusal(world, request, code), CodeWrong)


def test_mail_and_app_share_the_tries_of_a_request(world: World) -> None:
    """Peer failure 3."""
    phone = add(world)
    request, now = answered(world), world.clock.now()
    world.recover.send_code(HOLDER, request, by_password(now))
    mailed = world.code_mailed(recovery_of(HOLDER))
    wrong_mailed = f"{(int(mailed) + 1) % 10**8:08d}"
    wrong = wrong_for(phone, now)
    for left in (4, 3):
        assert refusal(world, request, wrong).data == {"tries_left": left, "channel": "app"}
    for left in (2, 1):
        with pytest.raises(CodeWrong) as refused:
            world.recover.enter_code(HOLDER, request, wrong_mailed, by_password(now))
        assert refused.value.data == {"tries_left": left}
    error = refusal(world, request, wrong)
    assert (type(error), error.data) == (CodeDead, {"why": "tries"})
    ended = world.request(request)
    assert (ended.state, ended.ended_because) == ("cancelled", "code-tries")
    assert isinstance(refusal(world, request, phone.code(now)), StateConflict)


def test_before_the_questions_a_code_is_not_even_looked_at(world: World) -> None:
    """Right and wrong look alike to somebody who has the password alone."""
    phone = add(world)
    request = world.open()
    before = world.dump()
    now = world.clock.now()
    for typed in (phone.code(now), wrong_for(phone, now)):
        error = refusal(world, request.id, typed)
        assert isinstance(error, ProofsMissing)
    assert world.dump() == before


def test_a_block_stops_the_app_too(world: World) -> None:
    """Peer failure 5."""
    phone = add(world)
    world.put_token(HOLDER, serial="T2")
    asked = world.open(serial="T2")
    request = world.open(serial="THOLDER")
    world.answer(request)
    for _ in range(3):
        with pytest.raises(ResetError):
            world.recover.answer(HOLDER, asked.id, ["nonsense"] * 3, by_password(world.clock.now()))
    assert isinstance(refusal(world, request.id, phone.code(world.clock.now())), SelfServiceBlocked)


def test_nobody_elses_app_counts(world: World) -> None:
    """Peer failure 15: bound to person and enrolment."""
    add(world)
    theirs = add(world, SECOND)
    request = answered(world)
    assert isinstance(refusal(world, request, theirs.code(world.clock.now())), CodeWrong)


def test_a_swapped_row_makes_another_secret(world: World) -> None:
    """T4: a DBA who copies an enrolment to another person gains nothing."""
    theirs = add(world, SECOND)
    with world.database.write() as uow:
        known = uow.authenticators.get(SECOND, confirmed=True)
        assert known
        uow.authenticators.remove(SECOND)
        uow.authenticators.begin(replace(known, uid=HOLDER, confirmed=False))
        assert uow.authenticators.confirm(HOLDER, known.id, known.last_step)
    request = answered(world)
    assert isinstance(refusal(world, request, theirs.code(world.clock.now())), CodeWrong)


def test_the_database_alone_makes_no_code(world: World) -> None:
    """T4: with another HMAC key in the HSM the very same rows are another secret."""
    phone = add(world)

    class OtherKeys(SoftKeys):
        def hmac(self, message: bytes) -> bytes:
            return super().hmac(b"another key" + message)

    request = answered(world)
    world.parts.custodian.inner._keys = OtherKeys()
    assert isinstance(refusal(world, request, phone.code(world.clock.now())), CodeWrong)


@pytest.mark.parametrize(
    "typed", ["", "12345", "1234567", "abcdef", "１２３４５６", "1" * 65, "+12345"]
)
def test_typing_slips_cost_no_try(world: World, typed: str) -> None:
    add(world)
    request = answered(world)
    before = world.dump()
    error = refusal(world, request, typed)
    assert isinstance(error, BadInput)
    assert error.data["field"] == "app-code"
    assert world.dump() == before


def test_a_second_click_costs_no_try(world: World) -> None:
    phone = add(world)
    request = answered(world)
    wrong = wrong_for(phone, world.clock.now())
    with pytest.raises(CodeWrong):
        enter(world, request, wrong, 0)
    with pytest.raises(StateConflict):
        enter(world, request, wrong, 0)
    assert world.spent(f"code:reset:{request}") == 1


@pytest.mark.parametrize("right", [True, False])
def test_an_outage_costs_no_try_and_tells_nothing(world: World, right: bool) -> None:
    phone = add(world)
    request = answered(world)
    now = world.clock.now()
    typed = phone.code(now) if right else wrong_for(phone, now)
    world.faults.reset()
    world.faults.away = 0
    assert isinstance(refusal(world, request, typed), Unavailable)
    assert world.spent(f"code:reset:{request}") == 0


def test_the_time_is_the_servers_own(world: World) -> None:
    """ASVS 6.5.8: an old code does not come back with the hour."""
    phone = add(world)
    request = answered(world)
    code = phone.code(world.clock.now())
    world.clock.move(2 * MINUTE)
    assert isinstance(refusal(world, request, code), CodeWrong)
