"""Escrow, HMAC and checkpoints: each rule of reset/custodian/service.py outside a release."""

from __future__ import annotations

import secrets
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from reset.core.merkle import Tree, consistency
from reset.custodian.service import HMAC_ALARM, SO_PIN_ALPHABET
from tests.custodian.scene import HOLDER, LEAVES, SO_PIN, Case, body, proof, rule_of


# --- escrow -----------------------------------------------------------------------------
def test_fresh_so_pins(case: Case) -> None:
    pins = set()
    for _ in range(3):
        one = Case(case.custodian, case.institution, case.clock)
        order = one.order()
        opened = one.opened(case.custodian.release(order), order)
        pins |= {*opened.candidates, opened.next_so_pin}
    assert len(pins) == 6
    assert all(len(p) == 20 and set(p) <= set(SO_PIN_ALPHABET) for p in pins)


def test_an_imported_so_pin_is_released(case: Case) -> None:
    case.imported()
    order = case.order()
    assert case.opened(case.custodian.release(order), order).candidates == (SO_PIN,)


def test_store_again_gives_what_the_journal_has(case: Case) -> None:
    sealed = case.imported()
    assert case.imported() == sealed
    assert case.stored(1) == sealed
    assert rule_of(lambda: case.imported("Another-SO-PIN")) == "stored-differently"


@pytest.mark.parametrize("so_pin", ["abc", "x" * 256, "with\nline", "\0\0\0\0"])
def test_no_token_would_take_it(case: Case, so_pin: str) -> None:
    assert rule_of(lambda: case.imported(so_pin)) == "so-pin"


def test_envelopes_and_names(case: Case) -> None:
    other = X25519PrivateKey.generate().public_key().public_bytes_raw()
    assert rule_of(lambda: case.imported(key=other)) == "envelope"
    assert rule_of(lambda: case.imported(serial="another")) == "envelope"
    store = case.custodian.store
    assert rule_of(lambda: store(case.serial, 1, b"", HOLDER, "etoken")) == "envelope"
    assert rule_of(lambda: case.stored(0)) == "version"
    assert rule_of(lambda: store("", 1, None, HOLDER, "etoken")) == "serial"


def test_fingerprints_find_equal_so_pins(case: Case) -> None:
    other = Case(case.custodian, case.institution)
    third = Case(case.custodian, case.institution)
    seen = [
        one.custodian.check(one.serial, 1, one.imported(pin))
        for one, pin in ((case, SO_PIN), (other, SO_PIN), (third, SO_PIN + "2"))
    ]
    assert seen[0] == seen[1] != seen[2]


# --- HMAC and checkpoints ---------------------------------------------------------------
def test_hmac_limits_and_domain(case: Case) -> None:
    assert len(case.custodian.hmac(bytes(8192))) == 32
    assert rule_of(lambda: case.custodian.hmac(bytes(8193))) == "hmac-size"
    guess = b"token-reset so-pin fingerprint 1" + SO_PIN.encode()
    assert rule_of(lambda: case.custodian.hmac(guess)) == "hmac-domain"


def test_many_hmac_calls_raise_an_alarm(case: Case, caplog: pytest.LogCaptureFixture) -> None:
    at = case.clock.now()
    case.clock.now = lambda: at  # type: ignore[method-assign]
    for _ in range(HMAC_ALARM):
        case.custodian.hmac(b"m")
    assert case.custodian.health()["hmac-alarm"] == "no"
    case.custodian.hmac(b"m")
    assert case.custodian.health()["hmac-alarm"] == "yes"
    assert len(caplog.records) == 1


def test_checkpoints_neither_shrink_nor_fork(case: Case) -> None:
    sign, size = case.custodian.sign_checkpoint, case.custodian.checkpoint_size
    five = body(5)
    assert size("log.invalid/a") == 0
    assert sign(five, []) == sign(five, [])
    assert size("log.invalid/a") == 5
    assert rule_of(lambda: sign(body(9), [])) == "checkpoint-fork"
    assert rule_of(lambda: sign(body(9), proof(4, 9))) == "checkpoint-fork"
    sign(body(9), proof(5, 9))
    sign(body(1, origin="log.invalid/b"), [])
    assert rule_of(lambda: sign(body(8), proof(8, 9))) == "checkpoint-size"
    assert rule_of(lambda: sign(body(9, secrets.token_bytes(32)), [])) == "checkpoint-fork"
    assert (size("log.invalid/a"), size("log.invalid/b"), size("log.invalid")) == (9, 1, 0)


def test_a_rewritten_log_is_not_signed_however_long_it_has_grown(case: Case) -> None:
    """Whoever rewrites the whole chain and lets it grow cannot show that it is the same log."""
    case.custodian.sign_checkpoint(body(5), [])
    forged = [secrets.token_bytes(32), *LEAVES[1:]]
    way = consistency(Tree(forged[:5]), forged[5:12])
    assert rule_of(
        lambda: case.custodian.sign_checkpoint(body(12, Tree(forged[:12]).root()), way)
    ) == "checkpoint-fork"  # fmt: skip


def test_nothing_is_signed_for_another_time(case: Case) -> None:
    for shift in (timedelta(minutes=6), timedelta(minutes=-6)):
        late = body(1, at=case.clock.now() + shift)
        assert rule_of(lambda late=late: case.custodian.sign_checkpoint(late, [])) == (
            "checkpoint-time"
        )


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\n",
        body(1)[:-1],
        body(1) + b"\n",
        body(1).replace(b"log.", b"log "),
        body(1).replace(b"log.", b"log+"),
        body(1).replace(b"\n1\n", b"\n01\n"),
        body(1).replace(b"\n1\n", b"\n-1\n"),
        body(1).replace(b"\n1\n", "\n١\n".encode()),
        body(1).replace(b"\n1\n", b"\n1\r\n"),
        body(1).replace(b"=\nchain", b"\nchain"),
        body(1).replace(b"number 1", b"number 0"),
        body(1).replace(b"previous ", b"before "),
        body(1).replace(b"\n1\n", b"\n1\nx\n"),
        body(1) + b"x\n",
        body(1) + b"x" * 4096 + b"\n",
        b"\xff" + body(1),
        b"log.invalid/a\n1\n",
        b"format: token-reset-approval/1\naction: reset-user-pin\n",
    ],
)
def test_nothing_but_a_checkpoint_is_signed(case: Case, raw: bytes) -> None:
    assert rule_of(lambda: case.custodian.sign_checkpoint(raw, [])) == "checkpoint-form"
