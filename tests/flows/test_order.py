"""Every step in every state of a request: allowed, or refused with nothing changed.

Peer failures 5, 14 and 16; the habit of the model codebases: each wrong order is tested.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pkcs11_driver import wire
from reset.core.approvals import render
from reset.core.requests import Request
from reset.errors import ProofsMissing, ResetError
from tests.flows.model_token import ADDRESS, Helper, ModelToken
from tests.flows.world import DAY, HOLDER, MINUTE, SUPERVISOR, World, by_password

Step = Callable[[World, Request], object]


def sign(world: World, request: Request) -> object:
    statement = world.approve.item(world.person(SUPERVISOR), request.id)[1]
    signature = world.papers.sign(render(statement), SUPERVISOR)
    return world.approve.sign(world.person(SUPERVISOR), request.id, signature)


def pair(world: World, request: Request) -> object:
    return world.pair.for_reset(HOLDER, request.id, by_password(world.clock.now()))


def approver_pair(world: World, request: Request) -> object:
    return world.pair.for_approval(world.person(SUPERVISOR), request.id, "TSUPER")


def enter(world: World, request: Request) -> object:
    return world.recover.enter_code(HOLDER, request.id, "12345678", by_password(world.clock.now()))


STEPS: dict[str, Step] = {
    "answer": lambda w, r: w.answer(r),
    "send": lambda w, r: w.recover.send_code(HOLDER, r.id, by_password(w.clock.now())),
    "enter": enter,
    "sign": sign,
    "deny": lambda w, r: w.approve.deny(w.person(SUPERVISOR), r.id, "I do not know of it"),
    "approver pairs": approver_pair,
    "pair": pair,
    "cancel": lambda w, r: w.recover.cancel(HOLDER, r.id),
}


def made(world: World, state: str) -> Request:
    """A request in this state, by honest steps."""
    if state == "collecting":
        return world.open()
    if state == "answered":
        request = world.open()
        world.answer(request)
        return request
    if state == "waiting":
        return world.waiting()
    if state == "approved":
        request = world.waiting()
        world.sign(request)
        return request
    if state == "ready":
        return world.ready()
    if state in ("executing", "done"):
        request = world.ready()
        helper = Helper(world, ModelToken.of(world), world.code(request))
        helper.run() if state == "done" else helper.release()
        return request
    if state == "denied":
        request = world.waiting()
        STEPS["deny"](world, request)
        return request
    if state == "cancelled":
        request = world.open()
        world.recover.cancel(HOLDER, request.id)
        return request
    if state == "expired":
        request = world.open()
        world.clock.move(2 * DAY)
        world.upkeep.expire()
        return request
    if state == "blocked":
        request = world.open()
        for _ in range(3):
            with pytest.raises(ResetError):
                world.recover.answer(
                    HOLDER, request.id, ["nonsense"] * 3, by_password(world.clock.now())
                )
        return request
    raise AssertionError(state)


ALLOWED = {
    "collecting": ("answer", "cancel"),
    "answered": ("send", "cancel"),
    "waiting": ("sign", "deny", "approver pairs", "cancel"),
    "approved": ("send", "deny", "cancel"),
    "ready": ("send", "pair", "deny", "cancel"),
    "executing": ("send", "pair"),
    "done": (),
    "denied": (),
    "cancelled": (),
    "expired": (),
    "blocked": (),
}
STATE = {"answered": "collecting", "waiting": "waiting_for_approval", "approved": "ready",
         "blocked": "office"}  # fmt: skip


@pytest.mark.parametrize("state", ALLOWED)
def test_a_step_out_of_order_changes_nothing(world: World, state: str) -> None:
    request = made(world, state)
    assert world.request(request).state == STATE.get(state, state)
    before = world.dump()
    for name, step in STEPS.items():
        if name in ALLOWED[state]:
            continue
        with pytest.raises(ResetError) as refused:
            step(world, request)
        assert refused.value.code in (
            "state-conflict", "proofs-missing", "code-dead", "self-service-blocked", "not-found",
        ), name  # fmt: skip
        assert world.dump() == before, name


@pytest.mark.parametrize(("state", "name"), [(s, n) for s, names in ALLOWED.items() for n in names])
def test_a_step_in_its_order_is_done(world: World, state: str, name: str) -> None:
    request = made(world, state)
    before = world.dump()
    STEPS[name](world, request)
    if (state, name) != ("executing", "pair"):  # only looks: a helper holds the code
        assert world.dump() != before


@pytest.mark.parametrize("end", ["cancelled", "waiting", "denied", "done"])
def test_a_live_code_is_of_no_use_to_a_request_that_has_moved_on(world: World, end: str) -> None:
    """Peer failure 12: not even as an oracle; a wrong one and the right one get the same answer."""
    if end == "cancelled":
        request = world.open()
        world.answer(request)
        code = world.send(request)
        world.recover.cancel(HOLDER, request.id)
    elif end == "waiting":
        request = world.waiting()
        code = world.code_mailed("holly@home.example")
    elif end == "denied":
        request = made(world, "denied")
        code = world.code_mailed("holly@home.example")
    else:
        request = world.ready()
        code = world.send(request)
        Helper(world, ModelToken.of(world), world.code(request)).run()
    before, seen = world.dump(), set()
    for typed in (code, f"{(int(code) + 1) % 10**8:08d}"):
        with pytest.raises(ResetError) as refused:
            world.recover.enter_code(HOLDER, request.id, typed, by_password(world.clock.now()))
        seen.add(str(refused.value))
    assert len(seen) == 1
    assert world.dump() == before


@pytest.mark.parametrize("end", ["cancelled", "expired", "done"])
def test_a_live_pairing_code_is_of_no_use_then_either(world: World, end: str) -> None:
    request = world.ready()
    code = world.code(request)
    second = Helper(world, ModelToken.of(world), code)
    if end == "cancelled":
        second.claim()  # even claimed before
        world.recover.cancel(HOLDER, request.id)
    elif end == "expired":
        world.clock.move(world.policy.approval_age)
        world.upkeep.expire()
    else:
        Helper(world, ModelToken.of(world), code).run()
    with pytest.raises(ResetError) as refused:
        second.release()
    assert refused.value.code in ("state-conflict", "pairing-code-refused", "job-refused")
    assert not [o for o in world.dump()["operations"] if "sent" in o]


def test_two_clicks_on_cancel(world: World) -> None:
    request = world.open()
    world.recover.cancel(HOLDER, request.id)
    with pytest.raises(ResetError):
        world.recover.cancel(HOLDER, request.id)
    assert len(world.named("request-cancelled")) == 1


def test_a_claim_needs_the_gate_that_the_page_needed(world: World) -> None:
    """The proofs may have aged since the code was shown (promise 2)."""
    request = world.ready()
    world.clock.move(25 * MINUTE)
    code = world.code(request)
    world.clock.move(5 * MINUTE)  # the confirmation is now too old
    with pytest.raises(ProofsMissing) as refused:
        world.pair.claim(wire.Claim(code, b"k" * 32, "1"), ADDRESS)
    assert refused.value.data == {"missing": ["code"], "gate": "release"}


def test_a_release_needs_it_again(world: World) -> None:
    request = world.ready()
    world.clock.move(5 * MINUTE)
    helper = Helper(world, ModelToken.of(world), world.code(request))
    helper.claim()
    world.clock.move(25 * MINUTE)
    with pytest.raises(ProofsMissing) as refused:
        helper.release()
    assert refused.value.data == {"missing": ["code"], "gate": "release"}
    assert world.dump()["operations"] == []
