"""Putting the custodian together inside its own process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from pkcs11_driver.hsm import FIRST, Hsm
from reset.core.policy import Policy
from reset.custodian.keys import hsm_failing_closed
from reset.custodian.ledger import Ledger
from reset.custodian.service import CustodianService
from reset.errors import SettingsRefused
from reset.ports import Clock, Random, SignatureVerifier


def create_keys(module: Path, label: str, pin: str, generation: int, ledger: Path) -> None:
    """Make the keys of a generation inside the HSM, and with the first one the empty ledger.

    Done by hand, so that a lost HSM or ledger is an error and never silently a new one.
    Raises ``Unavailable``, ``SettingsRefused``; ``ValueError`` when the generation has keys.
    """
    with hsm_failing_closed(), Hsm(str(module), pin, label=label, generation=generation) as hsm:
        hsm.create_keys(generation)
    if generation == FIRST:
        Ledger(ledger).close()


@contextmanager
def opened(
    module: Path,
    label: str,
    pin: str,
    generation: int,
    *,
    ledger: Path,
    verifier: SignatureVerifier,
    clock: Clock,
    random: Random,
    policy: Policy,
) -> Iterator[CustodianService]:
    """The custodian while its HSM is open. Raises ``Unavailable``, ``SettingsRefused``."""
    if not ledger.exists():
        raise SettingsRefused(problems=[f"{ledger}: missing: restore it from the backup"])
    with hsm_failing_closed():
        hsm = Hsm(str(module), pin, label=label, generation=generation)
    with hsm, closing(Ledger(ledger)) as opened_ledger:
        with hsm_failing_closed():
            hsm.health()  # a generation without keys is refused here, not at its first use
        yield CustodianService(hsm, opened_ledger, verifier, clock, policy=policy, random=random)
