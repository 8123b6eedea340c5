"""What every ``ports.Custodian`` does: in this process, and over the socket with a SoftHSM."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from reset.errors import EscrowDamaged, ReleaseRefused
from reset.ports import Escrowed, ReleaseOrder
from tests.custodian.conftest import Process
from tests.custodian.scene import (
    SO_PIN,
    Case,
    Institution,
    ShiftedClock,
    body,
    proof,
    service,
)


@pytest.fixture(params=["direct", "socket"])
def token(
    request: pytest.FixtureRequest, tmp_path: Path, institution: Institution
) -> Iterator[Case]:
    """A token and its approval at either custodian."""
    if request.param == "socket":
        process: Process = request.getfixturevalue("process")
        yield Case(process.client(), institution)
        return
    custodian, ledger = service(tmp_path / "own", institution, ShiftedClock())
    yield Case(custodian, institution)
    ledger.close()


def test_a_whole_operation(token: Case) -> None:
    token.imported()
    first = token.order()
    opened = token.opened(token.custodian.release(first), first)
    assert opened.candidates == (SO_PIN,)
    second = token.order(2)
    resumed = token.opened(token.custodian.release(second), second)
    assert resumed.candidates == (opened.next_so_pin, SO_PIN)
    assert resumed.next_so_pin == opened.next_so_pin
    token.custodian.settle(token.operation, token.serial, False)
    token.custodian.settle(token.operation, token.serial, True)
    with pytest.raises(ReleaseRefused) as refused:
        token.custodian.release(token.order(3))
    assert refused.value.data == {"rule": "closed"}


def test_refusals_carry_rule_and_cause(token: Case) -> None:
    token.approve()
    with pytest.raises(ReleaseRefused) as refused:
        token.custodian.release(token.order(signature=b"no"))
    assert set(refused.value.data) == {"rule", "why"}
    assert refused.value.data["rule"] == "signature"


def test_escrow(token: Case) -> None:
    sealed = token.imported()
    assert token.stored(1) == sealed
    again = token.custodian.rewrap(token.serial, 1, sealed)
    assert again == sealed  # under the newest key already
    assert token.stored(1) == again
    check = token.custodian.check
    assert check(token.serial, 1, sealed) == check(token.serial, 1, again)
    for serial, version in ((token.serial, 2), ("other", 1)):
        for call in (check, token.custodian.rewrap):
            with pytest.raises(EscrowDamaged) as damaged:
                call(serial, version, sealed)
            assert damaged.value.data == {"serial": serial, "version": version}


def test_what_the_ledger_holds(token: Case) -> None:
    assert token.custodian.escrowed(token.serial) == Escrowed(0, False, ())
    one, order = token.imported(), token.order()
    two = order.pending[1]
    assert token.custodian.escrowed(token.serial) == Escrowed(0, False, ((1, one), (2, two)))
    token.custodian.release(order)
    assert token.custodian.escrowed(token.serial).unsettled
    token.custodian.settle(token.operation, token.serial, True)
    assert token.custodian.escrowed(token.serial) == Escrowed(2, False, ((1, one), (2, two)))
    with pytest.raises(ReleaseRefused) as refused:
        token.corrected("Another-SO-PIN")  # the token has one that nobody knows
    assert refused.value.data == {"rule": "released"}


def test_a_wrong_import_is_corrected(token: Case) -> None:
    token.imported("A-wrong-SO-PIN")
    assert token.corrected("A-right-SO-PIN")[0] == 2
    with pytest.raises(ReleaseRefused) as refused:
        token.stored(2)
    assert refused.value.data == {"rule": "corrected"}


def test_keys(token: Case) -> None:
    origin, key = f"{token.serial}.invalid", token.custodian.checkpoint_key()
    for old, size in ((0, 3), (3, 8)):
        text = body(size, origin=origin)
        signature = token.custodian.sign_checkpoint(text, proof(old, size))
        Ed25519PublicKey.from_public_bytes(key).verify(signature, text)
        assert token.custodian.checkpoint_size(origin) == size
    assert token.custodian.hmac(b"m") == token.custodian.hmac(b"m") != token.custodian.hmac(b"n")
    assert len(token.custodian.import_key()) == 32
    assert token.custodian.health()["hsm"] == "ok"


def test_twenty_at_once_and_one_operation_wins(process: Process, institution: Institution) -> None:
    token = Case(process.client(), institution)
    orders = [token.order(operation_id=f"{token.serial}-{n % 2}") for n in range(20)]

    def ask(order: ReleaseOrder) -> str:
        try:
            token.opened(process.client().release(order), order)
            return order.operation_id
        except ReleaseRefused as refused:
            return str(refused.data["rule"])

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(ask, orders))
    winners = {answer for answer in answers if answer != "approval-used"}
    assert len(winners) == 1
    assert winners <= {f"{token.serial}-0", f"{token.serial}-1"}
    assert answers.count("approval-used") == 10
