"""Picks the adapters of the custodian and puts it together.

By itself: no other process of the service loads the PKCS#11 code, and the one that opens SO PINs
loads no code of web, database, mail or directory.
"""

from __future__ import annotations

import os

from reset.adapters.signatures_cms import CmsVerifier
from reset.adapters.system import SystemClock, SystemRandom
from reset.adapters.trust import TrustStore
from reset.config import CustodianSettings
from reset.custodian import process, server


def create_custodian_keys(settings: CustodianSettings) -> None:
    """Make the keys of the settings' generation inside the HSM. Raises ``Unavailable``."""
    os.environ.update(settings.hsm.environment)
    pin = settings.pin().get_secret_value()
    hsm = settings.hsm
    process.create_keys(hsm.module, hsm.token_label, pin, hsm.generation, settings.ledger)


def run_custodian(settings: CustodianSettings) -> None:
    """Be the custodian until SIGTERM. Raises ``SettingsRefused``, ``Unavailable``."""
    server.harden()
    os.environ.update(settings.hsm.environment)
    hsm = settings.hsm
    trust = settings.trust
    trusted = TrustStore(
        trust.anchors, trust.crls, trust.intermediates,
        ocsp_issuers=trust.ocsp_issuers, responses=trust.responses,
    )  # fmt: skip
    opened = process.opened(
        hsm.module,
        hsm.token_label,
        settings.pin().get_secret_value(),
        hsm.generation,
        ledger=settings.ledger,
        verifier=CmsVerifier(trusted, policy_oid=trust.policy_oid or None),
        clock=SystemClock(),
        random=SystemRandom(),
        policy=settings.policy.policy(),
    )
    server.serve(opened, settings.socket, allowed_uids=settings.allowed_uids, tell_ready=True)
