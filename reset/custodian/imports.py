"""SO PINs on their way in: the key that they are sealed to, and what opens with it."""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from pkcs11_driver import envelope as hpke
from pkcs11_driver.families import Family
from pkcs11_driver.hsm import SealBroken
from reset.custodian.keys import Keys, hsm_failing_closed
from reset.custodian.ledger import Ledger
from reset.custodian.orders import refuse
from reset.errors import Unavailable

_CONTEXT = b"token-reset import key 1"


class ImportKey:
    """The X25519 key in the ledger, sealed by the HSM; its private half is in memory while used."""

    def __init__(self, keys: Keys, ledger: Ledger) -> None:
        """Makes the key at the first start; later, sees that HSM and ledger belong together.

        Raises ``Unavailable``.
        """
        self._keys = keys
        self._ledger = ledger
        with ledger.write():
            if ledger.import_key() is None:
                raw = X25519PrivateKey.generate().private_bytes_raw()
                with hsm_failing_closed():
                    ledger.set_import_key(keys.seal(raw, _CONTEXT))
        self._pair()

    def public(self) -> bytes:
        """The raw public half."""
        return self._pair().public_key().public_bytes_raw()

    def opened(self, serial: str, family: Family, envelope: bytes) -> str:
        """The SO PIN in an envelope for this token of this family.

        Raises ``ReleaseRefused``: ``envelope``; ``so-pin`` when no such token can have it.
        """
        context = hpke.import_context(serial, family.name)
        try:
            so_pin = hpke.open_sealed(envelope, self._pair(), context).decode()
        except hpke.EnvelopeRefused:
            refuse("envelope")
        except UnicodeDecodeError:
            refuse("so-pin")
        if not family.takes(so_pin):
            refuse("so-pin")
        return so_pin

    def _pair(self) -> X25519PrivateKey:
        with self._ledger.write():
            sealed = self._ledger.import_key()
        if sealed is None:
            raise RuntimeError("the import key is made at the start")
        try:
            with hsm_failing_closed():
                raw = self._keys.open(sealed, _CONTEXT)
        except SealBroken:
            raise Unavailable(part="import-key") from None
        return X25519PrivateKey.from_private_bytes(raw)
