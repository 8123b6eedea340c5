"""Putting the custodian together inside its own process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from pkcs11_driver.hsm import Hsm
from reset.core.policy import Policy
from reset.custodian.keys import hsm_failing_closed
from reset.custodian.ledger import Ledger
from reset.custodian.service import CustodianService
from reset.ports import Clock, Random, SignatureVerifier


def create_keys(module: Path, label: str, pin: str, generation: int) -> None:
    """Make the keys of a generation inside the HSM.

    Done once and by hand, so that a lost HSM is an error and never silently a new set of keys.
    Raises ``Unavailable``; ``ValueError`` when the generation has keys.
    """
    with hsm_failing_closed(), Hsm(str(module), pin, label=label, generation=generation) as hsm:
        hsm.create_keys(generation)


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
    with hsm_failing_closed():
        hsm = Hsm(str(module), pin, label=label, generation=generation)
    with hsm, closing(Ledger(ledger)) as opened_ledger:
        yield CustodianService(hsm, opened_ledger, verifier, clock, policy=policy, random=random)
