"""The worker: mail at least once, expiry, leases (design 8, S1.48, S1.90, S1.92)."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from reset.core.policy import RESUME_AGE
from reset.errors import Busy, ResetError, Unavailable
from reset.flows.upkeep import Upkeep
from tests.flows.model_token import Helper, ModelToken, follow
from tests.flows.world import (
    DAY,
    HOLDER,
    HOUR,
    MINUTE,
    SECOND,
    Died,
    World,
    away,
    by_password,
    mail_of,
    recovery_of,
)


def waiting(world: World) -> int:
    with world.database.read() as uow:
        return uow.outbox.waiting()


def test_mail_is_tried_again_later_and_later(world: World) -> None:
    world.open()
    assert waiting(world) == 2
    world.mailer.away = 2
    assert world.upkeep.deliver() == 0
    assert waiting(world) == 2
    assert world.upkeep.deliver() == 0  # not at once
    world.mailer.away = 10_000
    tries, start = 0, world.clock.now()
    while world.clock.now() - start < DAY:
        world.clock.move(MINUTE)
        before = world.mailer.away
        world.upkeep.deliver()
        tries += before - world.mailer.away
    assert 30 <= tries <= 2 * 40  # about an hour apart in the end, never in a hot loop
    world.mailer.away = 0
    world.clock.move(2 * HOUR)
    assert world.upkeep.deliver() == 2
    assert waiting(world) == 0
    assert world.upkeep.deliver() == 0


@pytest.mark.parametrize("fault", [Unavailable(part="directory"), Busy(retry_after=5)])
def test_a_directory_that_cannot_answer_holds_up_its_mail_alone(
    world: World, fault: ResetError
) -> None:
    class Away:
        def by_uid(self, uid: str) -> object:
            if uid == HOLDER:
                raise fault
            return world.directory.by_uid(uid)

    world.open()
    world.open(SECOND)
    Upkeep(replace(world.parts, directory=Away())).deliver()  # type: ignore[arg-type]
    assert {mail.to for mail in world.mailer.sent} == {mail_of(SECOND), recovery_of(SECOND)}
    assert waiting(world) == 2


def test_a_worker_that_dies_after_sending_sends_again_with_the_same_id(world: World) -> None:
    world.open()
    world.faults.reset(2)  # the mails are taken; dies before the first is written off
    with pytest.raises(Died):
        world.upkeep.deliver()
    world.faults.reset()
    assert len(world.mailer.sent) == 1
    assert waiting(world) == 2
    world.clock.move(5 * MINUTE)
    assert world.upkeep.deliver() == 2
    ids = [mail.message_id for mail in world.mailer.sent]
    assert len(ids) == 3
    assert len(set(ids)) == 2  # at least once; the mailbox sees that it is the same


def test_a_mail_belongs_to_the_change_that_it_tells_of(world: World) -> None:
    person, now = world.person(HOLDER), world.clock.now()
    world.faults.reset(0)
    world.faults.strike = away
    with pytest.raises(Unavailable):
        world.recover.open(person, by_password(now), None, "")
    world.faults.reset()
    assert waiting(world) == 0
    assert world.dump()["requests"] == []


def test_a_code_that_is_over_is_not_mailed(world: World) -> None:
    request = world.open()
    world.answer(request)
    world.recover.send_code(HOLDER, request.id, by_password(world.clock.now()))
    world.mailer.away = 10
    world.upkeep.deliver()
    world.mailer.away = 0
    world.clock.move(world.policy.code_age)
    world.upkeep.deliver()
    assert not [mail for mail in world.mailer.sent if "your code is" in mail.body]
    assert waiting(world) == 0


def test_a_code_mail_waits_for_the_custodian(world: World) -> None:
    request = world.open()
    world.upkeep.deliver()
    world.answer(request)
    world.recover.send_code(HOLDER, request.id, by_password(world.clock.now()))
    world.faults.reset()
    world.faults.away = 0
    assert world.upkeep.deliver() == 0
    assert waiting(world) == 1
    world.faults.reset()
    world.clock.move(MINUTE)
    assert world.code_mailed(recovery_of(HOLDER))


def test_the_address_is_the_one_of_the_moment_of_sending(world: World) -> None:
    """Peer failure 20."""
    world.open()
    world.put_person(HOLDER, mail="moved@inst.example")
    world.upkeep.deliver()
    assert world.mailer.to("moved@inst.example")
    assert not world.mailer.to(mail_of(HOLDER))


def test_a_person_who_left_gets_nothing(world: World) -> None:
    world.open()
    world.put_person(HOLDER, active=False)
    assert world.upkeep.deliver() == 2
    assert world.mailer.sent == []


@pytest.mark.parametrize("state", ["collecting", "waiting_for_approval", "ready"])
def test_requests_expire(world: World, state: str) -> None:
    request = world.open() if state == "collecting" else world.waiting()
    if state == "ready":
        world.sign(request)
    assert world.request(request).state == state
    end = world.request(request).expires_at
    world.clock.move(end - world.clock.now() - timedelta(seconds=1))
    assert world.upkeep.expire() == 0
    world.clock.move(timedelta(seconds=1))
    assert world.upkeep.expire() == 1
    ended = world.request(request)
    assert (ended.state, ended.ended_because) == ("expired", "time")
    assert world.upkeep.expire() == 0
    assert world.progress(request).step == "ended"
    world.upkeep.deliver()
    assert "expired" in world.mailer.to(mail_of(HOLDER))[-1].subject
    world.open()  # the token is free for a new one


def test_an_executing_request_never_ends_by_time(world: World) -> None:
    """core.requests, rule 3: an SO PIN may have left."""
    request, token = world.ready(), ModelToken.of(world)
    Helper(world, token, world.code(request)).release()
    world.clock.move(20 * DAY)
    world.upkeep.run_once()
    assert world.request(request).state == "executing"
    assert follow(world, request, token) == "done"


def test_a_lease_that_is_over_is_noticed(world: World) -> None:
    request, token = world.ready(), ModelToken.of(world)
    Helper(world, token, world.code(request)).release()
    assert world.upkeep.settle() == 0
    world.clock.move(world.policy.lease)
    assert world.upkeep.settle() == 1
    assert world.upkeep.settle() == 0
    with world.database.read() as uow:
        found = uow.operations.of_request(request.id)
    assert found
    assert found.state == "unknown"
    assert world.named("custody-unknown")[-1]["facts"]["outcome"] == "lease-over"


@pytest.mark.parametrize("sent", [True, False])
def test_an_operation_that_nobody_resumes_goes_to_the_office(world: World, sent: bool) -> None:
    """Every operation ends in bounded time: when no order can resume it, people go on."""
    request, token = world.ready(), ModelToken.of(world)
    helper = Helper(world, token, world.code(request))
    helper.claim()
    if sent:
        helper.release()
    else:
        world.faults.reset(4)  # asked, the pending SO PIN stored, the intent committed
        with pytest.raises(Died):
            helper.release()
        world.faults.reset()
    with world.database.read() as uow:
        found = uow.operations.of_request(request.id)
    assert found
    assert found.state == ("sent" if sent else "intent")
    world.clock.move(RESUME_AGE - HOUR)
    world.upkeep.settle()
    assert world.request(request).state == "executing"
    world.clock.move(HOUR)
    assert world.upkeep.settle() == 1
    assert world.upkeep.settle() == 0
    assert world.request(request).state == "office"
    assert world.request(request).ended_because == "recovery-over"
    assert world.named("custody-office")[-1]["facts"]["because"] == "recovery-over"
    if sent:
        helper.work()
        assert helper.report().state == "done", "a late report that proves the reset still counts"


def test_expiry_and_an_order_at_the_same_time(world: World) -> None:
    """Whoever commits first wins; the other changes nothing."""
    request = world.ready()
    helper = Helper(world, ModelToken.of(world), world.code(request))
    helper.claim()
    with world.database.read() as uow:
        overdue = uow.requests.get(request.id)
    assert overdue
    helper.release()
    world.clock.move(4 * DAY)
    assert world.upkeep.expire() == 0
    assert world.request(request).state == "executing"


def test_a_mail_that_never_gets_through_is_given_up_on_record(world: World) -> None:
    """S1.48, S1.92: who was never told stands in the log, not in silence."""
    world.open()
    world.mailer.away = 10_000
    for _ in range(60):
        world.clock.move(HOUR)
        world.upkeep.deliver()
    assert waiting(world) == 0
    given_up = world.named("mail-given-up")
    assert [(e["facts"]["person"], e["facts"]["box"]) for e in given_up] == [
        (HOLDER, "directory"),
        (HOLDER, "recovery"),
    ]
    assert world.mailer.sent == []
