"""The whole way, from registration to a token that works again (S1.37-S1.69, S1.84-S1.96)."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

from reset.flows.checkpointing import Checkpointing
from tests.flows.model_token import NEW_PIN, Helper, ModelToken, follow
from tests.flows.world import (
    HOLDER,
    REPRESENTATIVE,
    SECOND,
    SUPERVISOR,
    World,
    mail_of,
    recovery_of,
    serial_of,
)


def test_from_a_blocked_token_to_a_working_one(world: World) -> None:
    token = ModelToken.of(world)
    first = token.so_pin
    request = world.open()
    assert world.progress(request).step == "questions"
    world.answer(request)
    assert world.progress(request).step == "code"
    assert world.confirm(request).state == "waiting_for_approval"
    assert world.progress(request).step == "wait"
    assert world.sign(request).state == "ready"
    assert world.progress(request).step == "code"
    world.clock.move(timedelta(hours=2))
    assert world.progress(request).step == "code"
    world.log_in()
    assert world.confirm(request).state == "ready"
    assert world.progress(request).step == "helper"
    helper = Helper(world, token, world.code(request))
    assert helper.run().state == "done"
    assert world.progress(request).step == "done"

    assert (token.user_pin, token.user_wrong, token.so_wrong) == (NEW_PIN, 0, 0)  # S1.26
    assert token.so_pin != first
    assert world.so_pins(token.serial)[2] == token.so_pin  # never lost, never the old one
    with world.database.read() as uow:
        registered = uow.tokens.get(token.serial)
        operation = uow.operations.of_request(request.id)
        approval = uow.approvals.of_request(request.id)
    assert registered
    assert registered.so_version == 2
    assert operation
    assert (operation.state, operation.tries_spent, operation.settled) == ("done", 0, True)
    assert approval
    assert approval.used_at
    assert world.spent(f"rounds:{HOLDER}") == 0
    counts = Counter(entry["event"] for entry in world.events())
    once = ("request-opened", "answers-right", "approver-asked", "approved", "helper-claimed",
            "custody-intent", "custody-sent", "custody-done", "reset-done")  # fmt: skip
    assert {name: counts[name] for name in once} == dict.fromkeys(once, 1)
    assert counts["code-sent"] == counts["code-right"] == 4  # two addresses, two confirmations


def test_every_mail_goes_to_its_box(world: World) -> None:
    """S1.48, S1.90, S1.92, S1.103; code mails to the recovery address alone (S1.74)."""
    follow(world, world.open(), ModelToken.of(world))
    world.upkeep.deliver()
    boxes = {(mail.subject, mail.to) for mail in world.mailer.sent}
    code = "Your code for resetting your token PIN"
    own, away = mail_of(HOLDER), recovery_of(HOLDER)
    asked = "Holly Holder asks you to approve a PIN reset"
    assert boxes == {
        ("Somebody asked to reset the PIN of your token", own),
        ("Somebody asked to reset the PIN of your token", away),
        (code, away),
        (asked, mail_of(SUPERVISOR)),
        (asked, mail_of(REPRESENTATIVE)),
        ("Your PIN reset was approved: go on now", own),
        ("Your PIN reset was approved: go on now", away),
        ("The PIN of your token was reset", own),
        ("The PIN of your token was reset", away),
        ("The PIN reset that you approved is done", mail_of(SUPERVISOR)),
    }
    with world.database.read() as uow:
        assert uow.outbox.waiting() == 0


def test_a_second_reset_works_afterwards(world: World) -> None:
    token = ModelToken.of(world)
    assert follow(world, world.open(), token) == "done"
    pins = [token.so_pin]
    token.user_wrong = 10
    first = world.recover.overview(HOLDER).requests[0]
    again = world.open()
    assert again.id != first.id
    assert set(again.questions) != set(first.questions)  # S1.59
    assert follow(world, again, token) == "done"
    assert token.so_pin not in pins
    assert set(world.so_pins(token.serial)) == {1, 2, 3}
    assert token.worst == 0
    assert len(world.named("custody-done")) == 2
    assert world.escrow.check() == len(world.dump()["escrow"])


def test_two_holders_do_not_meet(world: World) -> None:
    one, two = world.open(HOLDER), world.open(SECOND)
    assert follow(world, two, ModelToken.of(world, SECOND)) == "done"
    assert world.progress(one).step == "questions"
    assert follow(world, one, ModelToken.of(world, HOLDER)) == "done"
    assert {s for s, v, _ in world.dump()["escrow"] if v == 2} == {
        serial_of(HOLDER),
        serial_of(SECOND),
    }


def test_the_log_gets_a_checkpoint(world: World) -> None:
    follow(world, world.open(), ModelToken.of(world))
    count = world.auditing.verify()
    made = Checkpointing(world.parts).make()
    assert made is not None
    assert made.note.splitlines()[:2] == ["reset.example/audit", str(count[0])]
    assert world.auditing.verify() == (count[0], 1)
