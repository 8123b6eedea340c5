"""Pairing codes, and a helper that does not come back (design 4, rotation rule R4)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pkcs11_driver import wire
from reset.errors import (
    BadInput,
    JobRefused,
    PairingCodeRefused,
    ProofsMissing,
    ResetError,
    SlowDown,
    StateConflict,
)
from tests.flows.model_token import ADDRESS, Helper, ModelToken
from tests.flows.world import (
    HOLDER,
    SECOND,
    SECOND_TIME,
    SUPERVISOR,
    World,
    by_password,
    serial_of,
)

KEY = bytes(range(32))


def claim(world: World, code: str, key: bytes = KEY, address: str = ADDRESS) -> wire.Claimed:
    return world.pair.claim(wire.Claim(code, key, "1.0"), address)


def turned(code: str) -> str:
    """Another code with the same public part."""
    last = wire.CODE_ALPHABET[(wire.CODE_ALPHABET.index(code[-1]) + 1) % len(wire.CODE_ALPHABET)]
    return code[:-1] + last


def test_a_reload_shows_the_same_code_until_it_is_claimed(world: World) -> None:
    request = world.ready()
    code = world.code(request)
    assert world.code(request) == code
    assert len(world.named("pairing-code-shown")) == 1
    claimed = claim(world, code)
    shown = world.pair.for_reset(HOLDER, request.id, by_password(world.clock.now()))
    assert (shown.code, shown.words) == ("", claimed.words)
    assert claimed.words == wire.confirmation_words(claimed.job, KEY)
    assert claimed.token_serial == serial_of(HOLDER)
    assert claimed.pin_rules == world.policy.pin


def test_only_the_session_in_which_the_mailed_code_was_typed_sees_it(world: World) -> None:
    """T1, T22: somebody with the password waits in vain for a code that the holder types."""
    request = world.ready()
    code = world.code(request)
    elsewhere = replace(by_password(world.log_in()), detail="another session")
    with pytest.raises(ProofsMissing) as refused:
        world.pair.for_reset(HOLDER, request.id, elsewhere)
    assert refused.value.data["missing"] == ["code"]
    assert world.recover.progress(HOLDER, request.id, elsewhere).step == "code"
    world.recover.enter_code(HOLDER, request.id, world.send(request), elsewhere)
    assert world.pair.for_reset(HOLDER, request.id, elsewhere).code == code


def test_neither_code_nor_secret_is_stored(world: World) -> None:
    request = world.ready()
    code = wire.tidy_code(world.code(request))
    claimed = claim(world, code)
    rows = str(world.dump())
    assert code not in rows
    assert code[wire.SELECTOR_LENGTH :] not in rows
    assert claimed.secret not in rows


@pytest.mark.parametrize("form", ["{0}", " {0} ", "{1}", "{2}"])
def test_a_code_may_be_typed_as_people_do(world: World, form: str) -> None:
    code = world.code(world.ready())
    claim(world, form.format(code, code.lower(), code.replace("-", "\u2013")))


def test_the_same_helper_may_ask_again_and_another_may_not(world: World) -> None:
    code = world.code(world.ready())
    first = claim(world, code)
    assert claim(world, code) == first
    with pytest.raises(PairingCodeRefused):
        claim(world, code, b"another helper's key, 32 bytes!!")
    assert world.named("pairing-code-refused")[-1]["facts"]["why"] == "used"
    assert len(world.named("helper-claimed")) == 1
    assert world.custody.state(first.job, first.secret).state == "ready"


def test_wrong_unknown_expired_and_malformed_are_alike(world: World) -> None:
    """Peer failure 12."""
    code = world.code(world.ready())
    unknown = "".join("Z" if c != "Z" else "Y" for c in code[:3]) + code[3:]
    seen = set()
    for typed in (turned(code), unknown, "", "short", code + "A", "????-????", "x" * 10_000):
        with pytest.raises(PairingCodeRefused) as refused:
            claim(world, typed)
        seen.add((str(refused.value), repr(refused.value), str(refused.value.data)))
    world.clock.move(world.policy.pairing_age)
    with pytest.raises(PairingCodeRefused) as refused:
        claim(world, code)
    seen.add((str(refused.value), repr(refused.value), str(refused.value.data)))
    assert len(seen) == 1


@pytest.mark.parametrize("key", [b"", b"k" * 31, b"k" * 33])
def test_a_helpers_key_has_32_bytes(world: World, key: bytes) -> None:
    """Another one costs no try, and the code stays good."""
    code = world.code(world.ready())
    for _ in range(world.policy.pairing_tries + 1):
        with pytest.raises(BadInput):
            claim(world, code, key)
    assert claim(world, code).kind == "reset"


def test_five_guesses_then_the_code_is_dead_and_the_page_shows_another(world: World) -> None:
    request = world.ready()
    code = world.code(request)
    for n in range(world.policy.pairing_tries):
        with pytest.raises(PairingCodeRefused):
            claim(world, turned(code), address=f"198.51.100.{n}")
    with pytest.raises(PairingCodeRefused):
        claim(world, code, address="198.51.100.99")
    again = world.code(request)
    assert again != code
    assert claim(world, again).kind == "reset"


def test_guesses_from_one_address_slow_down(world: World) -> None:
    for _ in range(world.policy.login_slow_after + 1):
        with pytest.raises(PairingCodeRefused):
            claim(world, "2222-2222")
    with pytest.raises(SlowDown):
        claim(world, "2222-2222")
    claim(world, world.code(world.ready()), address="192.0.2.77")


def test_one_ipv6_network_is_one_address(world: World) -> None:
    for n in range(world.policy.login_slow_after + 1):
        with pytest.raises(PairingCodeRefused):
            claim(world, "2222-2222", address=f"2001:db8:0:1::{n}")
    with pytest.raises(SlowDown):
        claim(world, "2222-2222", address="2001:db8:0:1:ffff::1")


def test_a_dead_code_is_slowed_down_like_an_unknown_one(world: World) -> None:
    """Each refusal is an entry of the log, which nobody may fill without a login."""
    code = world.code(world.ready())
    for _ in range(world.policy.pairing_tries + world.policy.login_slow_after + 1):
        with pytest.raises(PairingCodeRefused):
            claim(world, turned(code))
    with pytest.raises(SlowDown):
        claim(world, turned(code))


def test_a_helper_stopped_before_the_order_holds_nobody_up_for_long(world: World) -> None:
    """The helper says "get a new code to start again": there is one, within the age of a code."""
    request = world.ready()
    claim(world, world.code(request))
    world.clock.move(world.policy.pairing_age)
    assert world.code(request)


def test_a_helper_that_dies_with_its_order_holds_nobody_up_after_its_lease(world: World) -> None:
    request = world.ready()
    token = ModelToken.of(world)
    dead = Helper(world, token, world.code(request))
    dead.release()
    assert world.code(request) == ""
    world.clock.move(world.policy.lease - SECOND_TIME)
    assert world.code(request) == ""
    world.clock.move(SECOND_TIME)
    assert Helper(world, token, world.code(request)).run().state == "done"
    assert token.worst == 1  # the pending one was tried first and did not fit (R8)


def test_a_reported_end_offers_a_new_code_at_once(world: World) -> None:
    request = world.ready()
    helper = Helper(world, ModelToken.of(world), world.code(request), pulled="before")
    assert helper.run().next == "again"
    assert world.code(request)


@pytest.mark.parametrize("secret", ["", "x", "wrong secret", "\u00e4" * 43])
def test_the_jobs_secret_is_needed_for_everything(world: World, secret: str) -> None:
    request = world.ready()
    helper = Helper(world, ModelToken.of(world), world.code(request))
    helper.release()
    report = helper.work()
    assert helper.claimed
    seen = wire.TokenSeen(helper.token.serial, "", "locked", "ok")
    before = world.dump()
    for job in (helper.claimed.job, "0" * 32):
        for call in (
            lambda j=job: world.custody.release(j, secret, wire.Release(helper.nonce, seen)),
            lambda j=job: world.custody.report(j, secret, report),
            lambda j=job: world.custody.state(j, secret),
        ):
            with pytest.raises(JobRefused) as refused:
                call()
            assert refused.value.data == {"reason": "secret"}
    assert world.dump() == before


def test_an_unclaimed_job_has_no_secret(world: World) -> None:
    request = world.ready()
    world.code(request)
    job = world.dump()["jobs"][0][1]
    for secret in ("", "0" * 64):
        with pytest.raises(JobRefused):
            world.custody.state(job, secret)


def test_a_job_ends_by_age(world: World) -> None:
    request = world.ready()
    helper = Helper(world, ModelToken.of(world), world.code(request))
    helper.claim()
    world.clock.move(world.policy.job_age)
    with pytest.raises(JobRefused) as refused:
        helper.release()
    assert refused.value.data == {"reason": "ended"}


@pytest.mark.parametrize("nonce", ["", "0" * 15, "0" * 129, "\u00fc" * 32, "0" * 31 + "\n"])
def test_a_nonce_has_a_size(world: World, nonce: str) -> None:
    helper = Helper(world, ModelToken.of(world), world.code(world.ready()))
    claimed = helper.claim()
    seen = wire.TokenSeen(helper.token.serial, "", "locked", "ok")
    with pytest.raises(JobRefused):
        world.custody.release(claimed.job, claimed.secret, wire.Release(nonce, seen))


# --- the approver's helper ------------------------------------------------------------------
def approving(world: World) -> tuple[object, wire.Claimed]:
    request = world.waiting()
    world.clock.move(SECOND_TIME)
    shown = world.pair.for_approval(world.person(SUPERVISOR), request.id, serial_of(SUPERVISOR))
    return request, claim(world, shown.code)


def signed(claimed: wire.Claimed, signature: bytes, outcome: str = "signed") -> wire.Report:
    return wire.Report(0, "n" * 32, outcome, (), wire.Proof(signature=signature))  # type: ignore[arg-type]


def test_the_approver_signs_with_the_helper(world: World) -> None:
    request, claimed = approving(world)
    statement = world.approve.statement(world.person(SUPERVISOR), request.id)
    assert (claimed.kind, claimed.challenge) == ("approve", statement)
    assert claimed.token_serial == serial_of(SUPERVISOR)
    report = signed(claimed, world.papers.sign(claimed.challenge, SUPERVISOR))
    for _ in range(2):
        state = world.custody.report(claimed.job, claimed.secret, report)
        assert (state.state, state.next) == ("ready", "done")
    assert len(world.named("approved")) == 1


def test_the_approvers_job_releases_nothing(world: World) -> None:
    _, claimed = approving(world)
    seen = wire.TokenSeen(serial_of(SUPERVISOR), "", "ok", "ok")
    with pytest.raises(JobRefused) as refused:
        world.custody.release(claimed.job, claimed.secret, wire.Release("n" * 32, seen))
    assert refused.value.data == {"reason": "kind"}
    assert world.dump()["operations"] == []


@pytest.mark.parametrize("outcome", ["untouched", "signed"])
def test_an_approver_who_did_not_succeed_gets_a_new_code_at_once(
    world: World, outcome: str
) -> None:
    request, claimed = approving(world)
    report = signed(claimed, b"no signature", outcome)
    if outcome == "signed":
        with pytest.raises(ResetError) as refused:
            world.custody.report(claimed.job, claimed.secret, report)
        assert refused.value.code == "signature-refused"
    else:
        assert world.custody.report(claimed.job, claimed.secret, report).next == "again"
    person = world.person(SUPERVISOR)
    assert world.pair.for_approval(person, request.id, serial_of(SUPERVISOR)).code
    assert world.request(request).state == "waiting_for_approval"


def test_only_an_approver_gets_a_pairing_code(world: World) -> None:
    request = world.waiting()
    for uid in (HOLDER, SECOND):
        with pytest.raises(ResetError) as refused:
            world.pair.for_approval(world.person(uid), request.id, serial_of(uid))
        assert refused.value.code in ("self-approval", "no-approver")
    world.sign(request)
    with pytest.raises(StateConflict):
        world.pair.for_approval(world.person(SUPERVISOR), request.id, serial_of(SUPERVISOR))


def test_codes_of_two_requests_do_not_mix(world: World) -> None:
    one, two = world.ready(HOLDER), world.ready(SECOND)
    first, second = world.code(one), world.code(two)
    mixed = wire.tidy_code(first)[:3] + wire.tidy_code(second)[3:]
    with pytest.raises(PairingCodeRefused):
        claim(world, mixed)
    assert claim(world, first).token_serial == serial_of(HOLDER)
    assert claim(world, second).token_serial == serial_of(SECOND)
