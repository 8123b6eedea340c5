"""Orders and reports, honest and not (rotation rules R1-R9, promises 2 to 4, T10)."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from sqlalchemy import delete, update

from pkcs11_driver import envelope, wire
from reset.core.custody import Operation
from reset.core.policy import Policy
from reset.core.requests import Request
from reset.db.engine import make_engine
from reset.db.tables import escrow
from reset.errors import (
    Busy,
    JobRefused,
    LeaseRunning,
    OfficeOnly,
    OperationUnresolved,
    ReleaseRefused,
    ResetError,
    StaleReport,
    StateConflict,
    Unavailable,
    WrongToken,
)
from reset.flows.custody import Custody
from reset.flows.escrow import EscrowKeeping
from reset.ports import ReleaseOrder
from tests.flows.model_token import Helper, ModelToken, follow
from tests.flows.world import (
    HOLDER,
    HOUR,
    SECOND,
    SECOND_TIME,
    SUPERVISOR,
    World,
    by_password,
    mail_of,
    serial_of,
    so_pin_of,
)


@pytest.fixture
def request_(world: World) -> Request:
    return world.ready()


@pytest.fixture
def token(world: World) -> ModelToken:
    return ModelToken.of(world)


@pytest.fixture
def helper(world: World, request_: Request, token: ModelToken) -> Helper:
    return Helper(world, token, world.code(request_))


def operation(world: World, request: Request) -> Operation:
    with world.database.read() as uow:
        found = uow.operations.of_request(request.id)
    assert found
    return found


def new_helper(world: World, request: Request, token: ModelToken) -> Helper:
    """Another run after the lease."""
    world.clock.move(world.policy.lease)
    return Helper(world, token, world.code(request))


# --- orders -------------------------------------------------------------------------------
def test_the_first_order_has_one_candidate_and_later_ones_two(
    world: World, request_: Request, token: ModelToken, helper: Helper
) -> None:
    """R1, R2, R8."""
    first = helper.order()
    assert first.candidates == (so_pin_of(token.serial),)
    again = new_helper(world, request_, token)
    second = again.order()
    assert second.candidates == (first.next_so_pin, so_pin_of(token.serial))
    assert second.next_so_pin == first.next_so_pin
    assert set(world.so_pins(token.serial)) == {1, 2}
    assert (operation(world, request_).epoch, operation(world, request_).tries_spent) == (2, 3)


def test_the_same_nonce_gets_the_same_order(helper: Helper) -> None:
    """R4: a lost reply is asked for again."""
    first = helper.release()
    helper.released = None
    assert helper.release() == first


def test_only_the_helpers_own_key_opens_the_order(helper: Helper) -> None:
    helper.release()
    helper.key = X25519PrivateKey.generate()
    with pytest.raises(envelope.EnvelopeRefused):
        helper.order()


def test_a_second_run_waits_for_the_lease(
    world: World, request_: Request, token: ModelToken, helper: Helper
) -> None:
    """R4: also under the same job, with another nonce (a helper started twice)."""
    helper.release()
    claimed, nonce = helper.claim(), helper.nonce
    twin = Helper(world, token, helper.code, key=helper.key)
    assert twin.claim() == claimed
    with pytest.raises(LeaseRunning) as refused:
        twin.release()
    assert refused.value.data == {"retry_after": 121}
    assert operation(world, request_).nonce == nonce
    world.clock.move(world.policy.lease)
    assert twin.run().state == "done"


def test_a_late_helper_is_inert(
    world: World, request_: Request, token: ModelToken, helper: Helper
) -> None:
    """The order of an old epoch does nothing here: its report is recorded and ignored (R5)."""
    helper.release()
    fresh = new_helper(world, request_, token)
    fresh.release()
    late = helper.work()
    assert late.epoch == 1
    with pytest.raises(StaleReport) as refused:
        helper.report()
    assert refused.value.data == {"epoch": 2}
    assert world.named("report-ignored")[-1]["facts"]["epoch"] == 1
    assert operation(world, request_).state == "sent"
    # what it did to the token is found by the order in force: no SO PIN is lost
    assert fresh.run().state == "done"
    assert token.worst == 0


@pytest.mark.parametrize(
    "change", [{"epoch": 0}, {"epoch": 2}, {"nonce": "0" * 32}, {"nonce": ""}, {"nonce": "\u00e4"}]
)
def test_a_report_counts_only_under_epoch_and_nonce(
    world: World, request_: Request, helper: Helper, change: dict[str, object]
) -> None:
    helper.changes = change
    with pytest.raises(StaleReport):
        helper.run()
    assert operation(world, request_).state == "sent"
    assert len(world.named("report-ignored")) == 1
    assert world.request(request_).state == "executing"


def test_a_report_of_another_job_counts_nothing(
    world: World, request_: Request, helper: Helper
) -> None:
    """Peer failure 15: somebody else's job, with this operation's epoch and nonce."""
    helper.release()
    told = helper.work()
    other = world.ready(SECOND)
    theirs = Helper(world, ModelToken.of(world, SECOND), world.code(other))
    theirs.release()
    assert theirs.claimed
    with pytest.raises(StaleReport):
        world.custody.report(theirs.claimed.job, theirs.claimed.secret, told)
    with pytest.raises(JobRefused):
        world.custody.report(helper.claim().job, theirs.claimed.secret, told)
    assert operation(world, request_).state == operation(world, other).state == "sent"


def test_a_helper_that_asks_after_another_one_has_finished(
    world: World, request_: Request, token: ModelToken, helper: Helper
) -> None:
    """It hears that this is over; nobody is sent to the office with a token that works."""
    helper.claim()
    world.clock.move(world.policy.pairing_age)
    assert Helper(world, token, world.code(request_)).run().state == "done"
    with pytest.raises(StateConflict) as refused:
        helper.release()
    assert refused.value.data == {"state": "done", "event": "send"}
    assert operation(world, request_).state == "done"


def test_a_report_before_any_order(world: World, request_: Request, helper: Helper) -> None:
    claimed = helper.claim()
    told = wire.Report(0, "", "done", (), wire.Proof())
    with pytest.raises(ResetError):
        world.custody.report(claimed.job, claimed.secret, told)
    assert world.request(request_).state == "ready"


def test_a_repeated_report_has_one_effect(world: World, request_: Request, helper: Helper) -> None:
    """S1.26, R5; also long after."""
    first = helper.run()
    world.upkeep.deliver()
    before, mails = world.dump(), len(world.mailer.sent)
    for _ in range(3):
        assert helper.report() == first
        world.clock.move(HOUR)
    assert world.dump() == before
    world.upkeep.deliver()
    assert len(world.mailer.sent) == mails


def test_a_report_after_the_lease_counts(world: World, request_: Request, helper: Helper) -> None:
    """The epoch in force is what counts, not the clock: the token is as it says."""
    helper.release()
    helper.work()
    world.clock.move(2 * world.policy.lease)
    world.upkeep.settle()
    assert operation(world, request_).state == "unknown"
    assert helper.report().state == "done"


# --- liars ----------------------------------------------------------------------------------
LIES = {
    "no proof": lambda p: wire.Proof(so_pin_in_force="next", user_pin_set=True),
    "a bit": lambda p: replace(p, signature=p.signature[:-1] + bytes([p.signature[-1] ^ 1])),
    "no user PIN": lambda p: replace(p, user_pin_set=False),
    "old SO PIN": lambda p: replace(p, so_pin_in_force="candidate-0"),
    "unknown SO PIN": lambda p: replace(p, so_pin_in_force="unknown"),
}


@pytest.mark.parametrize("lie", LIES)
def test_done_is_believed_only_with_the_proof(
    world: World, request_: Request, token: ModelToken, helper: Helper, lie: str
) -> None:
    """Promise 4."""
    helper.release()
    honest = helper.work()
    helper.message = replace(honest, proof=LIES[lie](honest.proof))
    state = helper.report()
    assert (state.state, state.next) == ("executing", "again")
    assert operation(world, request_).state == "unknown"
    assert len(world.named("proof-refused")) == 1
    assert world.named("custody-done") == []
    assert follow(world, request_, token) == "done"


def test_a_proof_by_another_key_or_for_another_job(
    world: World, request_: Request, token: ModelToken, helper: Helper
) -> None:
    """S5.11, peer failure 15: the certificate on file decides, not the one in the report."""
    token.key = world.institute.members[SECOND][0]
    helper.release()
    told = helper.work()
    certificate = world.institute.members[SECOND][1]
    helper.message = replace(told, proof=replace(told.proof, certificate=certificate))
    assert helper.report().next == "again"
    token.key = world.institute.members[HOLDER][0]
    again = new_helper(world, request_, token)
    again.release()
    honest = again.work()
    old = token.sign(token.user_pin, helper.claim().challenge)
    again.message = replace(honest, proof=replace(honest.proof, signature=old))
    assert again.report().next == "again"
    assert len(world.named("proof-refused")) == 2
    assert follow(world, request_, token) == "done"


def test_a_late_proof_still_ends_an_office_case(
    world: World, request_: Request, helper: Helper
) -> None:
    helper.release()
    honest = helper.work()
    helper.message = replace(honest, outcome="so-pin-refused", steps=())
    assert helper.report().next == "office"
    helper.message = honest
    assert helper.report().state == "done"
    assert world.request(request_).state == "done"


# --- the office -------------------------------------------------------------------------------
@pytest.mark.parametrize("wrong", [0, 14])
def test_a_token_that_refuses_every_so_pin_goes_to_the_office(
    world: World, request_: Request, token: ModelToken, helper: Helper, wrong: int
) -> None:
    token.so_pin = "set by somebody else"
    helper.claim()
    helper.release()
    token.so_wrong = 15 if wrong else 0  # it locked itself meanwhile
    state = helper.run()
    assert (state.state, state.next) == ("office", "office")
    assert operation(world, request_).state == "office"
    assert world.request(request_).ended_because == ("so-pin-locked" if wrong else "so-pin-refused")
    with pytest.raises(OperationUnresolved):
        world.open()
    world.upkeep.deliver()
    assert "registration office" in world.mailer.to(mail_of(HOLDER))[-1].subject
    assert world.progress(request_).step == "office"


@pytest.mark.parametrize(("wrong", "flag"), [(14, "final-try"), (15, "locked")])
def test_a_token_near_its_end_gets_no_order(
    world: World, request_: Request, token: ModelToken, helper: Helper, wrong: int, flag: str
) -> None:
    """S1.28, S1.29, T9, T10: before a try is spent, and with an order out as well."""
    token.so_wrong = wrong
    with pytest.raises(OfficeOnly) as refused:
        helper.release()
    assert refused.value.data == {"reason": f"so-pin-{flag}"}
    assert world.request(request_).state == "office"
    assert world.dump()["operations"] == []
    assert token.so_wrong == wrong


def test_the_flag_is_looked_at_again_on_a_later_run(
    world: World, request_: Request, token: ModelToken, helper: Helper
) -> None:
    helper.release()
    again = new_helper(world, request_, token)
    token.so_wrong = 14
    with pytest.raises(OfficeOnly):
        again.release()
    assert operation(world, request_).state == "office"
    assert world.request(request_).state == "office"


def test_the_budget_stops_at_seven_of_fifteen(
    world: World, request_: Request, token: ModelToken, helper: Helper
) -> None:
    """R3, T10: 1 + 2 + 2 + 2, and then the office."""
    helper.release()
    for spent in (3, 5, 7):
        run = new_helper(world, request_, token)
        run.release()
        assert operation(world, request_).tries_spent == spent
        world.clock.move(10 * world.policy.lease)
        world.log_in()
        world.clock.move(HOUR)
        world.confirm(request_)
    last = new_helper(world, request_, token)
    with pytest.raises(OfficeOnly) as refused:
        last.release()
    assert refused.value.data == {"reason": "tries"}
    assert operation(world, request_).state == "office"
    assert world.named("custody-office")[-1]["facts"]["because"] == "tries"


def test_a_login_that_worked_gives_the_tries_back(
    world: World, request_: Request, token: ModelToken, helper: Helper
) -> None:
    """S1.25."""
    helper.pulled = "before"
    helper.run()
    assert operation(world, request_).tries_spent == 0
    run = new_helper(world, request_, token)
    run.pulled = "after"
    run.run()
    assert operation(world, request_).tries_spent == 0
    assert follow(world, request_, token) == "done"


# --- the wrong token, and one that is gone ----------------------------------------------------
@pytest.mark.parametrize("serial", ["", "T-OTHER", serial_of(SECOND)])
def test_another_token_gets_no_order(
    world: World, request_: Request, helper: Helper, serial: str
) -> None:
    """T18, T20: nothing is spent for it."""
    claimed = helper.claim()
    seen = wire.TokenSeen(serial, "", "locked", "locked")  # nor does its flag harm the right one
    before = world.dump()
    with pytest.raises((WrongToken, ResetError)):
        world.custody.release(claimed.job, claimed.secret, wire.Release("n" * 32, seen))
    assert world.dump() == before
    assert helper.run().state == "done"


@pytest.mark.parametrize("change", [{"state": "retired"}, {"holder_uid": SECOND}])
def test_a_token_that_was_taken_from_the_holder(
    world: World, request_: Request, helper: Helper, change: dict[str, str]
) -> None:
    """S1.82, T20: retired or handed on between the approval and the order."""
    helper.claim()
    world.put_token(HOLDER, **change)
    with pytest.raises(OfficeOnly) as refused:
        helper.release()
    assert refused.value.data == {"reason": "token-withdrawn"}
    assert world.dump()["operations"] == []
    assert world.request(request_).state == "office"


# --- the custodian ------------------------------------------------------------------------------
class Refusing:
    """A custodian that refuses to release, by one rule."""

    def __init__(self, inner: object, rule: str) -> None:
        self.inner, self.rule = inner, rule

    def __getattr__(self, name: str) -> object:
        return getattr(self.inner, name)

    def release(self, order: object) -> bytes:
        raise ReleaseRefused(rule=self.rule)


def test_a_refusal_before_any_order_frees_the_token(
    world: World, request_: Request, helper: Helper
) -> None:
    """No SO PIN left the custodian, so nothing keeps the holder from starting again."""
    custodian = world.parts.custodian
    real = custodian.inner
    custodian.inner = Refusing(real, "expired")
    with pytest.raises(ReleaseRefused) as refused:
        helper.release()
    assert refused.value.data == {"rule": "withdrawn", "why": "expired"}  # waiting helps nobody
    assert operation(world, request_).state == "withdrawn"
    assert world.request(request_).ended_because == "withdrawn"
    assert world.named("release-refused")[-1]["facts"]["rule"] == "expired"
    custodian.inner = real
    world.clock.move(timedelta(hours=1))  # for the codes of another request
    again = world.ready()
    assert Helper(world, ModelToken.of(world), world.code(again)).run().state == "done"


class NotStoring(Refusing):
    """A custodian that refuses to store the next SO PIN, by one rule."""

    def store(self, *_: object) -> bytes:
        raise ReleaseRefused(rule=self.rule)


def test_a_refusal_to_store_is_recorded_and_spends_nothing(
    world: World, request_: Request, helper: Helper
) -> None:
    """A ledger of before, for one: with `escrow restore` the same approval goes on."""
    custodian = world.parts.custodian
    real = custodian.inner
    custodian.inner = NotStoring(real, "version")
    with pytest.raises(ReleaseRefused):
        helper.release()
    told = world.named("release-refused")[-1]["facts"]
    assert told == {"request": request_.id, "rule": "version", "why": ""}
    assert world.request(request_).state == "ready"
    custodian.inner = real
    assert helper.run().state == "done"


class AnswerLost(Refusing):
    """A custodian that books an order, and whose answer never comes."""

    def release(self, order: ReleaseOrder) -> bytes:
        self.inner.release(order)  # type: ignore[attr-defined]
        raise Unavailable(part=self.rule)


def test_a_withdrawn_operation_puts_no_so_pin_in_force(
    world: World, request_: Request, token: ModelToken, helper: Helper
) -> None:
    """The custodian has booked an order that nobody ever got: the token kept its SO PIN."""
    custodian = world.parts.custodian
    real = custodian.inner
    custodian.inner = AnswerLost(real, "custodian")
    with pytest.raises(Unavailable):
        helper.release()
    world.clock.move(world.policy.lease + timedelta(minutes=1))
    custodian.inner = Refusing(real, "signature")
    world.pair.again(HOLDER, request_.id, "reset")
    with pytest.raises(ReleaseRefused):
        Helper(world, token, world.code(request_)).release()
    assert operation(world, request_).state == "withdrawn"
    custodian.inner = real
    held = real.escrowed(token.serial)
    assert (held.proven, held.unsettled) == (0, False)
    keeping = EscrowKeeping(world.parts)
    keeping.check()
    keeping.restore()
    world.clock.move(timedelta(hours=1))  # for the codes of another request
    again = Helper(world, token, world.code(world.ready()))
    assert again.order().candidates == (so_pin_of(token.serial),)
    assert again.run().state == "done"
    assert token.worst == 0


def test_a_refusal_after_an_order_leads_to_the_office(
    world: World, request_: Request, helper: Helper
) -> None:
    helper.release()
    world.clock.move(world.policy.lease + timedelta(minutes=1))
    custodian = world.parts.custodian
    custodian.inner = Refusing(custodian.inner, "sealed")
    world.pair.again(HOLDER, request_.id, "reset")
    with pytest.raises(OfficeOnly) as refused:  # whoever waits and tries again waits in vain
        Helper(world, ModelToken.of(world), world.code(request_)).release()
    assert refused.value.data == {"reason": "custodian: sealed"}
    assert operation(world, request_).state == "office"
    assert world.request(request_).ended_because == "custodian: sealed"


def test_no_order_after_the_request_went_to_the_office(
    world: World, request_: Request, helper: Helper
) -> None:
    helper.release()
    world.clock.move(world.policy.lease + timedelta(minutes=1))
    code = world.send(request_)
    for n in range(1, 6):
        wrong = f"{(int(code) + n) % 10**8:08d}"
        with pytest.raises(ResetError):
            world.recover.enter_code(HOLDER, request_.id, wrong, by_password(world.clock.now()))
    assert world.request(request_).state == "office"
    helper.nonce, helper.released = "f" * 32, None
    with pytest.raises(OfficeOnly):
        helper.release()


@pytest.mark.parametrize("rule", ["releases-per-hour", "crl-not-yet"])
def test_what_passes_by_itself_only_makes_people_wait(
    world: World, request_: Request, helper: Helper, rule: str
) -> None:
    """Design 5: a full hour or a CRL of tomorrow is no reason to send anybody to the office."""
    custodian = world.parts.custodian
    real = custodian.inner
    custodian.inner = Refusing(real, rule)
    with pytest.raises(ReleaseRefused):
        helper.release()
    assert world.request(request_).state == "executing"
    custodian.inner = real
    assert helper.run().state == "done"


def test_the_custodian_caps_what_the_service_asks_for(world: World) -> None:
    """The real rule has the name that the flow lets pass."""
    custodian = world.parts.custodian.inner
    custodian._policy = replace(Policy(), releases_per_hour=1)
    first = world.ready(HOLDER)
    assert Helper(world, ModelToken.of(world), world.code(first)).run().state == "done"
    second = world.ready(SECOND)
    helper = Helper(world, ModelToken.of(world, SECOND), world.code(second))
    with pytest.raises(ReleaseRefused):
        helper.release()
    assert world.request(second).state == "executing"
    world.clock.move(HOUR + SECOND_TIME)
    assert follow(world, second, helper.token) == "done"


def test_an_end_that_the_custodian_missed_is_told_later(
    world: World, request_: Request, helper: Helper
) -> None:
    world.faults.reset()
    helper.claim()
    helper.release()
    helper.work()
    world.faults.reset()
    world.faults.away = 0  # the very next call is settle
    assert helper.report().state == "done"
    assert not operation(world, request_).settled
    assert world.upkeep.settle() == 1
    assert operation(world, request_).settled
    assert world.upkeep.settle() == 0


def test_escrow_that_is_missing_leads_to_the_office(
    world: World, request_: Request, helper: Helper
) -> None:
    """No order without every SO PIN that may be in force."""
    engine = make_engine(world.place.url)
    with engine.begin() as connection:
        connection.execute(delete(escrow).where(escrow.c.serial == serial_of(HOLDER)))
    engine.dispose()
    with pytest.raises(OfficeOnly) as refused:
        helper.release()
    assert refused.value.data == {"reason": "escrow"}
    assert world.request(request_).state == "office"


def test_swapped_escrow_opens_nothing(world: World, request_: Request, helper: Helper) -> None:
    """S1.9: sealed SO PINs are bound to serial and version; a DBA cannot exchange rows."""
    with world.database.read() as uow:
        other = uow.escrow.get(serial_of(SECOND), 1)
    engine = make_engine(world.place.url)
    with engine.begin() as connection:
        row = update(escrow).where(escrow.c.serial == serial_of(HOLDER))
        connection.execute(row.values(sealed=other))
    engine.dispose()
    with pytest.raises(ReleaseRefused) as refused:
        helper.release()
    assert refused.value.data == {"rule": "withdrawn", "why": "sealed"}


def test_without_the_custodian_there_is_no_page_with_a_code(
    world: World, request_: Request
) -> None:
    world.faults.reset()
    world.faults.away = 0
    with pytest.raises(Unavailable):
        world.code(request_)
    assert world.code(request_)


@pytest.mark.parametrize("fault", [Unavailable(part="directory"), Busy(retry_after=5)])
def test_a_proven_reset_is_done_while_the_directory_is_away(
    world: World, request_: Request, helper: Helper, fault: ResetError
) -> None:
    """The token has changed for good: what names its people in a mail must not undo that."""

    class Away:
        def by_uid(self, uid: str) -> None:
            raise fault

    helper.claim()
    helper.release()
    helper.work()
    away = replace(world.parts, directory=Away())  # type: ignore[arg-type]
    world.custody = Custody(away, world.approve)
    assert helper.report().state == "done"
    assert operation(world, request_).settled
    world.upkeep.deliver()
    mail = world.mailer.to(mail_of(HOLDER))[-1]
    assert "was reset" in mail.subject
    assert f"approved by {SUPERVISOR}" in mail.body
