"""Who may approve, what the signature must be, and what it is worth later (S1.84-S1.101)."""

from __future__ import annotations

import dataclasses
from datetime import date, timedelta

import pytest

from reset.core import approvals
from reset.core.requests import Request
from reset.errors import (
    BadInput,
    NoApprover,
    NotFound,
    ResetError,
    SelfApproval,
    SignatureRefused,
    StateConflict,
    StatementRefused,
    TooManyDelegations,
)
from tests.flows.model_token import Helper, ModelToken, follow
from tests.flows.world import (
    AUDITOR,
    DAY,
    DEPUTY,
    HOLDER,
    HOUR,
    MINUTE,
    OPERATOR,
    REPRESENTATIVE,
    SECOND,
    STRANGER,
    SUPERVISOR,
    World,
    mail_of,
    recovery_of,
    serial_of,
)
from tests.institution.authority import software_key


def refusal(world: World, request: Request, uid: str, signature: bytes) -> ResetError:
    with pytest.raises(ResetError) as refused:
        world.approve.sign(world.person(uid), request.id, signature)
    assert world.request(request).state == "waiting_for_approval"
    assert world.dump()["approvals"] == []
    return refused.value


def raw(world: World, request: Request, uid: str = SUPERVISOR) -> bytes:
    return approvals.render(world.approve.item(world.person(uid), request.id)[1])


def today(world: World) -> date:
    return world.parts.local.today(world.clock.now())


def test_the_statement_names_everything(world: World) -> None:
    """S1.94."""
    request = world.waiting()
    first = world.approve.statement(world.person(SUPERVISOR), request.id)
    assert world.approve.statement(world.person(SUPERVISOR), request.id) == first
    told = approvals.parse(first)
    assert (told.request, told.token_serial) == (request.id, serial_of(HOLDER))
    assert (told.holder_uid, told.approver_uid, told.acting_for) == (HOLDER, SUPERVISOR, "-")
    assert told.valid_until - told.requested_at == world.policy.approval_age
    assert (told.reason, told.service) == ("blocked in Kyoto", "https://reset.example")
    assert told.nonce == world.request(request).nonce
    assert len(world.named("statement-read")) == 2


@pytest.mark.parametrize("uid", [SUPERVISOR, REPRESENTATIVE])
def test_those_whom_the_directory_names_may_approve(world: World, uid: str) -> None:
    """S1.85."""
    request = world.waiting()
    assert [item.request.id for item in world.approve.waiting(uid)] == [request.id]
    assert world.sign(request, uid).state == "ready"
    assert world.approve.waiting(uid) == []


def test_nobody_approves_their_own_request(world: World) -> None:
    """T15. S1.96, whatever the directory or a delegation says."""
    request = world.waiting()
    world.put_person(HOLDER, supervisor_uid=HOLDER, representative_uid=SUPERVISOR)
    day = today(world)
    world.approve.delegate(world.person(SUPERVISOR), HOLDER, day, day)
    assert world.approve.waiting(HOLDER) == []
    signature = world.papers.sign(raw(world, request), HOLDER)
    assert isinstance(refusal(world, request, HOLDER, signature), SelfApproval)


@pytest.mark.parametrize("uid", [STRANGER, SECOND, OPERATOR, AUDITOR, DEPUTY])
def test_strangers_and_roles_approve_nothing(world: World, uid: str) -> None:
    """T13, T15. S1.95: a role is no relation."""
    request = world.waiting()
    signature = world.papers.sign(raw(world, request), uid)
    assert isinstance(refusal(world, request, uid, signature), NoApprover)
    for call in (
        lambda: world.approve.statement(world.person(uid), request.id),
        lambda: world.approve.deny(world.person(uid), request.id, "no"),
        lambda: world.approve.item(world.person(uid), request.id),
    ):
        with pytest.raises(NoApprover):
            call()
    assert world.approve.waiting(uid) == []


def test_a_request_that_was_not_asked_is_not_there(world: World) -> None:
    request = world.open()
    for request_id in (request.id, "0" * 32):
        with pytest.raises(NotFound):
            world.approve.item(world.person(SUPERVISOR), request_id)


# --- delegation -----------------------------------------------------------------------------
def test_a_delegate_within_the_period(world: World) -> None:
    """S1.100, S1.101: both names stand in the record."""
    day = today(world)
    world.approve.delegate(world.person(SUPERVISOR), DEPUTY, day + DAY, day + DAY)
    request = world.waiting()
    signature = world.papers.sign(raw(world, request), DEPUTY)
    assert isinstance(refusal(world, request, DEPUTY, signature), NoApprover)  # too early
    world.clock.move(DAY)
    assert world.approve.waiting(DEPUTY)[0].acting_for == SUPERVISOR
    world.sign(request, DEPUTY)
    assert world.named("approved")[-1]["facts"]["acting_for"] == SUPERVISOR
    with world.database.read() as uow:
        approval = uow.approvals.of_request(request.id)
    assert approval
    assert (approval.approver_uid, approval.acting_for) == (DEPUTY, SUPERVISOR)
    assert approvals.parse(approval.statement).acting_for == SUPERVISOR
    world.upkeep.deliver()
    assert "approve PIN resets" in world.mailer.to(mail_of(DEPUTY))[0].subject


@pytest.mark.parametrize("end", ["over", "revoked", "principal moved"])
def test_a_delegate_outside_it(world: World, end: str) -> None:
    """T17."""
    day = today(world)
    made = world.approve.delegate(world.person(SUPERVISOR), DEPUTY, day, day)
    request = world.waiting()
    signature = world.papers.sign(raw(world, request, DEPUTY), DEPUTY)
    if end == "over":
        world.clock.move(DAY)
    elif end == "revoked":
        world.approve.revoke(SUPERVISOR, made.id)
    else:
        world.put_person(HOLDER, supervisor_uid="")
    assert isinstance(refusal(world, request, DEPUTY, signature), NoApprover)


def test_delegations_do_not_chain(world: World) -> None:
    """T17."""
    day = today(world)
    world.approve.delegate(world.person(SUPERVISOR), DEPUTY, day, day)
    world.approve.delegate(world.person(DEPUTY), STRANGER, day, day)
    request = world.waiting()
    signature = world.papers.sign(raw(world, request), STRANGER)
    assert isinstance(refusal(world, request, STRANGER, signature), NoApprover)


def test_a_delegation_ends_before_the_release(world: World) -> None:
    """T17."""
    day = today(world)
    made = world.approve.delegate(world.person(SUPERVISOR), DEPUTY, day, day)
    request = world.ready(by=DEPUTY)
    helper = Helper(world, ModelToken.of(world), world.code(request))
    helper.claim()
    world.approve.revoke(SUPERVISOR, made.id)
    with pytest.raises(NoApprover):
        helper.release()
    assert world.dump()["operations"] == []


@pytest.mark.parametrize(
    ("delegate", "first", "last"),
    [
        (SUPERVISOR, timedelta(), DAY),
        ("u-nobody", timedelta(), DAY),
        ("", timedelta(), DAY),
        (DEPUTY, DAY, timedelta()),
        (DEPUTY, -2 * DAY, -DAY),
        (DEPUTY, timedelta(), 92 * DAY),
    ],
)
def test_unusable_delegations(
    world: World, delegate: str, first: timedelta, last: timedelta
) -> None:
    day, before = today(world), world.dump()
    with pytest.raises(BadInput):
        world.approve.delegate(world.person(SUPERVISOR), delegate, day + first, day + last)
    assert world.dump() == before


def test_a_name_of_two_people_is_asked_again(world: World) -> None:
    """One's UID that is another's login name: nobody is put in the place of whom was meant."""
    with world.database.write() as uow:
        uow.people.put(dataclasses.replace(world.person(STRANGER), uid="u-another", pid=DEPUTY), "")
    day = today(world)
    with pytest.raises(BadInput) as refused:
        world.approve.delegate(world.person(SUPERVISOR), DEPUTY, day, day)
    assert refused.value.data["rule"] == "two-people"


def test_only_the_principal_revokes(world: World) -> None:
    day = today(world)
    made = world.approve.delegate(world.person(SUPERVISOR), DEPUTY, day, day)
    for uid in (DEPUTY, STRANGER):
        with pytest.raises(NotFound):
            world.approve.revoke(uid, made.id)
    world.approve.revoke(SUPERVISOR, made.id)
    with pytest.raises(NotFound):
        world.approve.revoke(SUPERVISOR, made.id)
    assert [d.revoked_at is None for d in world.approve.delegations(SUPERVISOR)] == [False]


def told(world: World, uid: str) -> list[str]:
    """The subjects of the mails to somebody since the last look."""
    world.upkeep.deliver()
    found = [mail.subject for mail in world.mailer.to(mail_of(uid))]
    world.mailer.sent.clear()
    return found


def test_a_delegation_is_told_to_both(world: World) -> None:
    """T17: whoever did not grant it reads that it is there."""
    day = today(world)
    world.approve.delegate(world.person(SUPERVISOR), DEPUTY, day, day)
    world.upkeep.deliver()
    assert "Dave Deputy" in world.mailer.to(mail_of(SUPERVISOR))[-1].subject
    assert "Sue Supervisor" in world.mailer.to(mail_of(DEPUTY))[-1].subject


def test_delegations_of_one_person_are_bounded(world: World) -> None:
    """Granted and ended in a loop, they would mail colleagues without end."""
    limit, day = world.policy.delegations_per_day, today(world)

    def grant(uid: str = SUPERVISOR) -> None:
        made = world.approve.delegate(world.person(uid), DEPUTY, day, day + 9 * DAY)
        world.approve.revoke(uid, made.id)

    for _ in range(limit):
        grant()
    before = world.dump()
    with pytest.raises(TooManyDelegations) as refused:
        grant()
    assert world.dump() == before
    every = world.policy.delegation_every
    assert refused.value.data == {"limit": limit, "retry_after": every.total_seconds()}
    assert len(told(world, DEPUTY)) == limit
    grant(REPRESENTATIVE)
    world.clock.move(every)
    grant()
    with pytest.raises(TooManyDelegations):
        grant()
    world.clock.move(DAY)
    for _ in range(limit):
        grant()


def test_a_refused_delegation_costs_nothing(world: World) -> None:
    day = today(world)
    world.approve.delegate(world.person(SUPERVISOR), DEPUTY, day, day)
    before = world.dump()["throttle"]
    for _ in range(world.policy.delegations_per_day):
        with pytest.raises(BadInput):
            world.approve.delegate(world.person(SUPERVISOR), DEPUTY, day, day)
    assert world.dump()["throttle"] == before


def test_who_stands_in_is_asked_too(world: World) -> None:
    """S1.90: the supervisor may be on leave; who stands in at another time is not asked."""
    day = today(world)
    world.approve.delegate(world.person(SUPERVISOR), DEPUTY, day - DAY, day)
    world.approve.delegate(world.person(REPRESENTATIVE), STRANGER, day + DAY, day + 2 * DAY)
    over = world.approve.delegate(world.person(REPRESENTATIVE), OPERATOR, day, day)
    world.approve.revoke(REPRESENTATIVE, over.id)
    world.approve.delegate(world.person(SUPERVISOR), HOLDER, day, day)
    told(world, SUPERVISOR)
    request = world.waiting()
    world.upkeep.deliver()
    asked = [m.to for m in world.mailer.sent if "asks you to approve" in m.subject]
    assert sorted(asked) == sorted(mail_of(u) for u in (SUPERVISOR, REPRESENTATIVE, DEPUTY))
    dossier = world.operate.dossier(world.person(OPERATOR), HOLDER)
    assert [p.uid for p in dossier.approvers] == [SUPERVISOR, REPRESENTATIVE, DEPUTY]
    told(world, SUPERVISOR)
    world.sign(request, DEPUTY)
    assert told(world, SUPERVISOR) == ["Dave Deputy approved a PIN reset in your place"]


def test_who_approves_in_their_own_name_gets_no_such_mail(world: World) -> None:
    request = world.waiting()
    told(world, SUPERVISOR)
    world.sign(request)
    assert told(world, SUPERVISOR) == []


# --- signatures -----------------------------------------------------------------------------
def test_a_signature_over_another_statement(world: World) -> None:
    """T16, peer failures 15 and 26: another request, another approver's, changed by a letter."""
    one, two = world.waiting(HOLDER), world.waiting(SECOND)
    text = raw(world, one)
    others = (
        raw(world, two),
        raw(world, one, REPRESENTATIVE),
        text.replace(b"blocked in Kyoto", b"blocked in Kyot0"),
        text[:-1],
    )
    for other in others:
        error = refusal(world, one, SUPERVISOR, world.papers.sign(other, SUPERVISOR))
        assert isinstance(error, SignatureRefused)
        assert error.data["rule"] == "message-digest"
    assert len(world.named("signature-refused")) == len(others)


def test_a_signature_by_another_person(world: World) -> None:
    request = world.waiting()
    error = refusal(
        world, request, SUPERVISOR, world.papers.sign(raw(world, request), REPRESENTATIVE)
    )
    assert error.data["rule"] == "signer"
    assert world.named("signature-refused")[-1]["facts"]["rule"] == "signer"


def test_a_certificate_that_is_not_the_enrolled_one(world: World) -> None:
    """Peer failure 27: the same person, the same authority, a key that is on no token."""
    request = world.waiting()
    key = software_key("p256")
    certificate = world.authority.issue_person(
        uid=SUPERVISOR, name="Sue Supervisor", public_key=key.public_key()
    )
    papers = dataclasses.replace(world.papers, people={SUPERVISOR: (key, certificate)})
    error = refusal(world, request, SUPERVISOR, papers.sign(raw(world, request), SUPERVISOR))
    assert error.data["rule"] == "not-enrolled"


def test_a_retired_tokens_certificate(world: World) -> None:
    request = world.waiting()
    world.put_token(SUPERVISOR, state="retired")
    signature = world.papers.sign(raw(world, request), SUPERVISOR)
    assert refusal(world, request, SUPERVISOR, signature).data["rule"] == "not-enrolled"


def test_a_revoked_certificate_is_refused_and_recorded(world: World) -> None:
    request = world.waiting()
    signature = world.papers.sign(raw(world, request), SUPERVISOR)
    world.authority.revoke(world.institute.members[SUPERVISOR][1])
    error = refusal(world, request, SUPERVISOR, signature)
    assert (error.code, error.data["rule"]) == ("certificate-refused", "revoked")
    assert world.named("signature-refused")[-1]["facts"] == {
        "request": request.id,
        "rule": "revoked",
    }


@pytest.mark.parametrize("signature", [b"", b"no", b"\0" * 70_000])
def test_no_signature_at_all(world: World, signature: bytes) -> None:
    request = world.waiting()
    assert isinstance(refusal(world, request, SUPERVISOR, signature), SignatureRefused)


def test_signing_twice_is_signing_once(world: World) -> None:
    """Peer failure 16."""
    request = world.waiting()
    world.clock.move(MINUTE)
    signature = world.signature(request)
    person = world.person(SUPERVISOR)
    first = world.approve.sign(person, request.id, signature)
    before = world.dump()
    assert world.approve.sign(person, request.id, signature) == first
    with pytest.raises(StateConflict):  # another signature over the same
        world.approve.sign(person, request.id, world.papers.sign(raw(world, request), SUPERVISOR))
    with pytest.raises(StateConflict):  # the second approver is too late
        world.approve.sign(
            world.person(REPRESENTATIVE),
            request.id,
            world.papers.sign(raw(world, request, REPRESENTATIVE), REPRESENTATIVE),
        )
    assert world.dump() == before


# --- denying, and time ------------------------------------------------------------------------
def test_a_denial_tells_why(world: World) -> None:
    request = world.waiting()
    person = world.person(SUPERVISOR)
    for reason in ("", " \t"):
        with pytest.raises(BadInput):
            world.approve.deny(person, request.id, reason)
    world.approve.deny(person, request.id, "You did\nnot call\u202e me")
    ended = world.request(request)
    assert (ended.state, ended.ended_because) == ("denied", "approver: You did not call me")
    world.upkeep.deliver()
    for address in (mail_of(HOLDER), recovery_of(HOLDER)):
        assert "Reason: You did not call me" in world.mailer.to(address)[-1].body
    with pytest.raises(StateConflict):
        world.approve.deny(person, request.id, "again")
    with pytest.raises(StateConflict):
        world.sign(request)
    assert follow(world, world.open(), ModelToken.of(world)) == "done"


def test_an_approval_can_be_taken_back_until_the_helper_begins(world: World) -> None:
    request = world.waiting()
    world.sign(request)
    world.approve.deny(world.person(SUPERVISOR), request.id, "it was not him who asked")
    assert world.request(request).state == "denied"
    begun = world.ready()
    Helper(world, ModelToken.of(world), world.code(begun)).release()
    with pytest.raises(StateConflict):
        world.approve.deny(world.person(SUPERVISOR), begun.id, "too late")
    assert world.request(begun).state == "executing"


def test_a_request_waits_72_hours(world: World) -> None:
    request = world.waiting()
    asked = world.request(request).asked_at
    assert asked
    signature = world.papers.sign(raw(world, request), SUPERVISOR)
    world.clock.move(72 * HOUR)
    assert world.approve.waiting(SUPERVISOR) == []
    with pytest.raises(StatementRefused) as refused:
        world.approve.sign(world.person(SUPERVISOR), request.id, signature)
    assert refused.value.data["rule"] == "expired"
    assert world.upkeep.expire() == 1
    assert world.request(request).state == "expired"


def test_an_approval_is_worth_nothing_after_72_hours(world: World) -> None:
    """T16."""
    request = world.waiting()
    world.clock.move(71 * HOUR)
    world.sign(request)
    world.clock.move(50 * MINUTE)
    world.log_in()
    world.confirm(request)
    world.clock.move(9 * MINUTE)
    helper = Helper(world, ModelToken.of(world), world.code(request))
    helper.claim()
    world.clock.move(MINUTE)
    with pytest.raises(ResetError) as refused:
        helper.release()
    assert refused.value.code in ("proofs-missing", "state-conflict")
    assert world.dump()["operations"] == []
    world.upkeep.expire()
    assert world.request(request).state == "expired"


def test_an_approval_is_used_once(world: World) -> None:
    """Peer failure 26, T16."""
    request = world.ready()
    assert follow(world, request, ModelToken.of(world)) == "done"
    with world.database.read() as uow:
        approval = uow.approvals.of_request(request.id)
    assert approval
    again = world.waiting()
    with pytest.raises(SignatureRefused):
        world.approve.sign(world.person(SUPERVISOR), again.id, approval.signature)


# --- the approver changes ----------------------------------------------------------------------
@pytest.mark.parametrize("change", ["demoted", "left"])
def test_an_approver_who_no_longer_is_one_at_the_release(world: World, change: str) -> None:
    """S1.95: refused, and the holder can start again at once with whoever may approve now."""
    request = world.ready()
    helper = Helper(world, ModelToken.of(world), world.code(request))
    helper.claim()
    if change == "demoted":
        world.put_person(HOLDER, supervisor_uid=STRANGER)
    else:
        world.put_person(SUPERVISOR, active=False)
    with pytest.raises(NoApprover) as refused:
        helper.release()
    assert refused.value.data == {"reason": "approver-changed"}
    assert world.dump()["operations"] == []
    ended = world.request(request)
    assert (ended.state, ended.ended_because) == ("cancelled", "approver-changed")
    assert world.progress(request).step == "ended"
    assert helper.claimed
    assert world.custody.state(helper.claimed.job, helper.claimed.secret).state == "cancelled"
    again = world.waiting()
    assert world.sign(again, STRANGER if change == "demoted" else REPRESENTATIVE).state == "ready"


def test_an_approver_who_changes_after_the_order_changes_nothing(world: World) -> None:
    """From the intent on only the token's outcome counts: the approval is spent."""
    request = world.ready()
    token = ModelToken.of(world)
    Helper(world, token, world.code(request)).release()
    world.put_person(HOLDER, supervisor_uid=STRANGER)
    world.clock.move(world.policy.lease)
    assert follow(world, request, token) == "done"
