"""Each rule of reset/custodian/service.py, broken alone (design section 5, S1.94 to S1.96)."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from pkcs11_driver.errors import DeviceGone
from reset.core.policy import Policy
from reset.custodian.service import CustodianService
from reset.errors import EscrowDamaged, ReleaseRefused, ResetError, Unavailable
from reset.ports import ReleaseOrder
from tests.custodian.scene import (
    APPROVER,
    HOLDER,
    OTHER,
    SO_PIN,
    Case,
    Institution,
    SoftKeys,
    SystemRandom,
    body,
    rule_of,
    service,
)

DAY = timedelta(days=1)


def refused(case: Case, order: ReleaseOrder) -> str:
    return rule_of(lambda: case.custodian.release(order))


def pair(case: Case, version: int) -> tuple[int, bytes]:
    return version, case.stored(version)


# --- shape ------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("rule", "changes"),
    [
        ("serial", {"token_serial": " T1"}),
        ("serial", {"token_serial": ""}),
        ("order", {"epoch": 0}),
        ("order", {"operation_id": ""}),
        ("order", {"nonce": ""}),
        ("order", {"job_id": "j" * 129}),
        ("helper-key", {"helper_key": b"short"}),
        ("helper-key", {"helper_key": bytes(32)}),
        ("candidates", {"candidates": ()}),
        ("statement", {"statement": b"format: another\n"}),
        ("holder", {"holder_uid": OTHER}),
        ("signature", {"signature": b""}),
    ],
)
def test_an_order_with_one_wrong_field(case: Case, rule: str, changes: dict[str, Any]) -> None:
    assert refused(case, case.order(**changes)) == rule


def test_candidates(case: Case) -> None:
    one, two, three = (pair(case, version) for version in (1, 2, 3))
    for epoch, candidates, pending, rule in (
        (2, (two, one, three), two, "candidates"),  # R1
        (2, (three, one), two, "candidates"),
        (2, (one, two), two, "candidates"),  # R8: pending first
        (1, (two, one), two, "candidates"),  # a first order knows of no pending one
        (2, (two, two), two, "candidates"),
        (1, ((0, one[1]),), two, "candidates"),
        (1, (two,), two, "pending"),
    ):
        order = case.order(epoch, candidates=candidates, pending=pending)
        assert refused(case, order) == rule, (epoch, candidates, pending)


def test_nobody_plants_the_next_so_pin(case: Case) -> None:
    """Neither by an envelope for a later version, nor by going back to an older one."""
    case.imported(version=1)
    assert rule_of(lambda: case.imported(version=2)) == "version"
    one, two, three = (pair(case, version) for version in (1, 2, 3))
    assert refused(case, case.order(candidates=(three,), pending=one)) == "pending"
    assert refused(case, case.order(2, candidates=(one, three), pending=one)) == "candidates"
    sealed = case.order().pending[1]
    foreign = (2, sealed[:-1] + bytes((sealed[-1] ^ 1,)))
    assert refused(case, case.order(pending=foreign)) == "sealed"
    assert case.custodian.release(case.order(candidates=(one,), pending=two))


def test_nobody_plants_it_as_a_correction(case: Case) -> None:
    """A version that came from outside is in force or nothing: no reset ever sets it."""
    case.imported(version=1)
    assert rule_of(lambda: case.corrected("Planted-SO-PIN", OTHER)) == "holder"
    version, planted = case.corrected("Planted-SO-PIN")
    one = (1, case.stored(1))
    order = case.order  # makes version 2, which is refused now
    assert rule_of(order) == "corrected"
    case.approve()
    helper = case.helper.public_key().public_bytes_raw()
    asked = ReleaseOrder(
        case.operation, "job-1", 1, "nonce-1", case.serial, HOLDER, (one,), (version, planted),
        helper, *case.approval,
    )  # fmt: skip
    assert refused(case, asked) == "pending"
    for number in range(4):
        case.corrected(f"Guess-{number}")
    assert rule_of(lambda: case.corrected("Guess-9")) == "corrections"


def test_a_token_belongs_to_one_holder(case: Case) -> None:
    """The custodian keeps the holder itself: the caller's word does not count (promise 2)."""
    case.order()
    assert rule_of(lambda: case.stored(2, OTHER)) == "holder"
    case.approve(uid=HOLDER, approver_uid=HOLDER, holder_uid="somebody-else")
    assert refused(case, case.order(holder_uid="somebody-else")) == "holder"


def test_an_import_is_no_oracle(case: Case) -> None:
    """Five comparisons with a stored SO PIN, then even the right one is refused."""
    case.imported(SO_PIN)
    for number in range(5):
        assert rule_of(lambda n=number: case.imported(f"guess-{n}")) == "stored-differently"
    assert rule_of(lambda: case.imported(SO_PIN)) == "stored-differently"


def test_a_pending_that_is_not_the_one_before(case: Case) -> None:
    one, two = pair(case, 1), pair(case, 2)
    other = Case(case.custodian, case.institution, serial=case.serial)
    again = case.custodian.rewrap(case.serial, 2, two[1])
    order = other.order(2, candidates=(two, one), pending=(2, again))
    assert case.custodian.release(order)  # another sealing of the same one
    assert refused(case, case.order(2, candidates=((2, one[1]), one))) == "sealed"


@pytest.mark.parametrize("swap", ["serial", "version", "bit"])
def test_a_sealed_so_pin_opens_only_in_its_place(case: Case, swap: str) -> None:
    case.order()
    sealed = {
        "serial": case.custodian.store("another", 1, None, HOLDER, "etoken"),
        "version": case.stored(3),
        "bit": bytes([*case.order().pending[1][:-1], case.order().pending[1][-1] ^ 1]),
    }[swap]
    assert refused(case, case.order(candidates=((1, sealed),))) == "sealed"
    assert refused(case, case.order(pending=(2, sealed))) == "sealed"
    with pytest.raises(EscrowDamaged) as damaged:
        case.custodian.check(case.serial, 1, sealed)
    assert damaged.value.data == {"serial": case.serial, "version": 1}


# --- statement and signature ------------------------------------------------------------
@pytest.mark.parametrize(
    ("rule", "changes"),
    [
        ("statement", {"decision": "deny"}),
        ("statement", {"action": "reset-everything"}),
        ("token", {"token_serial": "another"}),
        ("holder", {"holder_uid": OTHER}),
        ("self-approval", {"approver_uid": HOLDER}),
        ("self-approval", {"acting_for": HOLDER}),
        ("signer", {"approver_uid": OTHER}),
    ],
)
def test_a_signed_statement_with_one_wrong_line(
    case: Case, rule: str, changes: dict[str, str]
) -> None:
    case.approve(**changes)
    assert refused(case, case.order()) == rule


def test_signers(case: Case) -> None:
    case.approve(HOLDER)
    assert refused(case, case.order()) == "self-approval"
    case.approve(OTHER)
    assert refused(case, case.order()) == "signer"
    case.approve()
    other = case.approval
    case.approve()
    assert refused(case, case.order(statement=other[0])) == "signature"
    changed = case.approval[0].replace(b"Approver", b"Superior")
    assert refused(case, case.order(statement=changed)) == "signature"


def test_a_revoked_approver(case: Case, tmp_path: Path) -> None:
    own = Institution.create(tmp_path / "authority")
    custodian, ledger = service(tmp_path / "other", own, case.clock)
    mine = Case(custodian, own, case.clock)
    order = mine.order()
    own.authority.revoke(own.people[APPROVER][1])
    assert refused(mine, order) == "signature"
    ledger.close()


# --- time and single use ----------------------------------------------------------------
def test_the_first_release_needs_a_fresh_statement(case: Case) -> None:
    order = case.order()
    for shift in (-timedelta(minutes=3), timedelta(hours=1)):
        case.clock.shift = shift
        assert refused(case, order) == "expired"


def test_a_statement_does_not_live_for_ever(case: Case) -> None:
    case.approve(valid_until=(case.clock.now() + 4 * DAY).replace(microsecond=0))
    assert refused(case, case.order()) == "lifetime"


def test_an_unknown_outcome_is_recovered_after_the_statement_ended(case: Case) -> None:
    case.custodian.release(case.order())
    case.clock.shift = 29 * DAY
    order = case.order(2)
    opened = case.opened(case.custodian.release(order), order)
    assert opened.candidates[0] == opened.next_so_pin
    case.clock.shift = 30 * DAY
    assert refused(case, case.order(3)) == "recovery-over"


def test_one_statement_one_operation(case: Case) -> None:
    case.custodian.release(case.order())
    assert refused(case, case.order(operation_id="another")) == "approval-used"
    case.approve()
    assert refused(case, case.order(2)) == "operation-used"


def test_a_closed_operation_gets_nothing(case: Case) -> None:
    order = case.order()
    case.custodian.release(order)
    case.custodian.settle(case.operation, case.serial, True)
    case.custodian.settle(case.operation, case.serial, False)
    assert refused(case, order) == "closed"
    assert refused(case, case.order(2)) == "closed"


def test_the_versions_of_an_operation_stay(case: Case) -> None:
    case.custodian.release(case.order())
    two, three = pair(case, 2), pair(case, 3)
    assert refused(case, case.order(2, candidates=(three, two), pending=three)) == "versions"


def test_epochs(case: Case) -> None:
    first = case.order()
    case.custodian.release(first)
    again = case.opened(case.custodian.release(first), first)
    assert again.candidates
    for changes in (
        {"nonce": "other"},
        {"job_id": "other"},
        {"helper_key": X25519PrivateKey.generate().public_key().public_bytes_raw()},
    ):
        assert refused(case, case.order(**changes)) == "epoch"
    case.custodian.release(case.order(4))
    assert refused(case, case.order(3)) == "epoch"
    assert refused(case, first) == "epoch"


# --- caps -------------------------------------------------------------------------------
def test_so_tries_are_debited_until_a_login_is_known(case: Case) -> None:
    repeated = case.order()
    for _ in range(20):
        case.custodian.release(repeated)  # counts once
    for epoch in (2, 3, 4):
        case.custodian.release(case.order(epoch))
    assert refused(case, case.order(5)) == "so-tries"
    case.custodian.settle(case.operation, case.serial, False)
    case.custodian.release(case.order(5))


def test_releases_for_one_approval(case: Case) -> None:
    for epoch in range(1, 9):
        case.custodian.release(case.order(epoch))
        case.custodian.settle(case.operation, case.serial, False)
    assert refused(case, case.order(9)) == "releases-per-approval"


def test_releases_in_an_hour(case: Case, tmp_path: Path) -> None:
    """T14."""
    policy = Policy(releases_per_hour=3)
    custodian, ledger = service(tmp_path / "other", case.institution, case.clock, policy)
    cases = [Case(custodian, case.institution, case.clock) for _ in range(4)]
    for one in cases[:3]:
        custodian.release(one.order())
    assert refused(cases[3], cases[3].order()) == "releases-per-hour"
    case.clock.shift = timedelta(minutes=61)
    cases[3].approve()
    assert custodian.release(cases[3].order())
    ledger.close()


def test_settle(case: Case) -> None:
    assert rule_of(lambda: case.custodian.settle("none", case.serial, True)) == "unknown-operation"
    case.custodian.release(case.order())
    assert rule_of(lambda: case.custodian.settle(case.operation, "other", True)) == "token"


def test_a_withdrawn_operation_is_closed_and_proves_nothing(case: Case) -> None:
    """No order left, and no login is known: the tries stay debited, the old SO PIN in force."""
    custodian = case.custodian
    assert rule_of(lambda: custodian.withdraw("none", case.serial)) == "unknown-operation"
    for epoch in (1, 2, 3):
        custodian.release(case.order(epoch))
    assert rule_of(lambda: custodian.withdraw(case.operation, "other")) == "token"
    for _ in range(2):
        custodian.withdraw(case.operation, case.serial)
    assert refused(case, case.order(4)) == "closed"
    held = custodian.escrowed(case.serial)
    assert (held.proven, held.unsettled) == (0, False)
    assert rule_of(lambda: case.corrected("Another-SO-PIN")) == "released"
    later = Case(custodian, case.institution, case.clock, serial=case.serial)
    custodian.release(later.order())  # 5 + 1 of 7
    assert refused(later, later.order(2)) == "so-tries"


def test_a_proven_end_is_not_withdrawn(case: Case) -> None:
    case.custodian.release(case.order())
    case.custodian.settle(case.operation, case.serial, True)
    case.custodian.withdraw(case.operation, case.serial)
    assert case.custodian.escrowed(case.serial).proven == 2


def test_a_late_settle_credits_no_other_operation(case: Case, tmp_path: Path) -> None:
    custodian, ledger = service(
        tmp_path / "other", case.institution, case.clock, Policy(so_tries=3)
    )
    case.custodian = custodian
    case.custodian.release(case.order())
    case.custodian.settle(case.operation, case.serial, True)
    following = Case(case.custodian, case.institution, case.clock, serial=case.serial)
    two, three = pair(case, 2), pair(case, 3)
    for epoch in (1, 2, 3, 4):
        candidates = (two,) if epoch == 1 else (three, two)
        order = following.order(epoch, candidates=candidates, pending=three)
        case.custodian.release(order)
    case.custodian.settle(case.operation, case.serial, True)
    fifth = following.order(5, candidates=(three, two), pending=three)
    assert refused(case, fifth) == "so-tries"  # 0 + 1 + 1 + 1: since the first, one of them fits
    ledger.close()


# --- what it stands on ------------------------------------------------------------------
def test_a_dead_hsm_fails_closed(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    order = case.order()
    assert isinstance(case.custodian, CustodianService)
    keys = case.custodian._keys

    def gone(*_: object) -> bytes:
        raise DeviceGone("CKR_DEVICE_REMOVED")

    for name in ("seal", "open", "hmac", "sign", "signing_public_key", "health"):
        monkeypatch.setattr(keys, name, gone)
    calls: list[Callable[[], object]] = [
        case.custodian.import_key,
        lambda: case.custodian.store("new", 1, None, HOLDER, "etoken"),
        lambda: case.custodian.release(order),
        lambda: case.custodian.hmac(b"m"),
        lambda: case.custodian.check(case.serial, *order.pending),
        lambda: case.custodian.rewrap(case.serial, *order.pending),
        lambda: case.custodian.sign_checkpoint(body(1), []),
        case.custodian.checkpoint_key,
        case.custodian.health,
    ]
    for call in calls:
        with pytest.raises(Unavailable) as unavailable:
            call()
        assert unavailable.value.data["part"] == "hsm"
    monkeypatch.undo()
    assert case.custodian.health()["open-operations"] == "0"


def test_a_locked_ledger_releases_nothing(case: Case) -> None:
    order = case.order()
    assert isinstance(case.custodian, CustodianService)
    case.custodian._ledger.close()
    with pytest.raises(Unavailable) as unavailable:
        case.custodian.release(order)
    assert unavailable.value.data == {"part": "ledger", "why": "ProgrammingError"}


def test_a_ledger_of_another_hsm_does_not_start(case: Case) -> None:
    first = case.custodian
    assert isinstance(first, CustodianService)
    with pytest.raises(Unavailable) as unavailable:
        CustodianService(
            SoftKeys(b"another" + bytes(25)),
            first._ledger,
            first._verifier,
            case.clock,
            policy=Policy(),
            random=SystemRandom(),
        )
    assert unavailable.value.data == {"part": "import-key"}


def test_no_so_pin_in_any_refusal(case: Case) -> None:
    case.imported()
    order = case.order()
    errors: list[ResetError] = []
    for changes in ({"epoch": 0}, {"helper_key": bytes(32)}, {"pending": order.candidates[0]}):
        with pytest.raises(ReleaseRefused) as caught:
            case.custodian.release(dataclasses.replace(order, **changes))
        errors.append(caught.value)
    assert all(
        SO_PIN not in repr(e) + str(e) + repr(e.data) and e.__cause__ is None for e in errors
    )
    assert SO_PIN not in repr(order)


# --- old backups ------------------------------------------------------------------------
def test_a_database_of_yesterday_spends_no_try(case: Case) -> None:
    """It offers an SO PIN that was replaced since: refused before the token sees it."""
    case.custodian.release(case.order())
    case.custodian.settle(case.operation, case.serial, True)
    later = Case(case.custodian, case.institution, case.clock, serial=case.serial)
    assert refused(later, later.order()) == "superseded"
    # the second order of that operation offers the pending version first, which is the one in force
    opened = later.opened(case.custodian.release(later.order(2)), later.order(2))
    assert len(opened.candidates) == 2


def test_a_ledger_of_yesterday_releases_nothing_newer(case: Case, tmp_path: Path) -> None:
    """Until it has learned what it lacks; what it never made it never learns."""
    order = case.order()
    custodian, ledger = service(tmp_path / "old", case.institution, case.clock)
    old = Case(custodian, case.institution, case.clock, serial=case.serial)
    old.approval = case.approval
    with pytest.raises(ReleaseRefused) as told:
        custodian.release(order)
    assert told.value.data == {"rule": "journal"}
    for version, sealed in (*order.candidates, order.pending):
        assert custodian.rewrap(case.serial, version, sealed) == sealed
    assert rule_of(lambda: custodian.release(order)) == "holder"
    custodian.store(case.serial, 1, None, HOLDER, "etoken")
    assert custodian.release(order)
    custodian.store(case.serial, 3, None, HOLDER, "etoken")
    with pytest.raises(EscrowDamaged) as damaged:
        custodian.rewrap(case.serial, 3, case.stored(3))
    assert damaged.value.data["why"] == "stored-differently"
    ledger.close()


def test_rewrapped_between_two_tries(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """The order under the old key and under the new one is the same order and counts once."""
    order = case.order()
    case.custodian.release(order)
    assert isinstance(case.custodian, CustodianService)
    monkeypatch.setattr(case.custodian._keys, "is_newest", lambda sealed: False)
    active, pending = (
        (version, case.custodian.rewrap(case.serial, version, sealed))
        for version, sealed in (*order.candidates, order.pending)
    )
    assert active not in order.candidates
    renewed = case.order(candidates=(active,), pending=pending)
    for one in (renewed, order, renewed) * 4:
        assert case.opened(case.custodian.release(one), one).candidates
    assert case.custodian.health()["releases-last-hour"] == "1"
