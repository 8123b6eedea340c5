"""The keys in the HSM, as the custodian uses them, and its failures as refusals of the service."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from pkcs11_driver.errors import DriverError
from reset.errors import Unavailable


class Keys(Protocol):
    """What ``pkcs11_driver.hsm.Hsm`` offers; the secret halves never leave it (design 5)."""

    def seal(self, plaintext: bytes, context: bytes) -> bytes:
        """Encrypt under the newest wrapping key, bound to ``context``."""

    def open(self, sealed: bytes, context: bytes) -> bytes:
        """Decrypt. Raises ``pkcs11_driver.hsm.SealBroken``."""

    def is_newest(self, sealed: bytes) -> bool:
        """Whether the newest wrapping key made this."""

    def hmac(self, message: bytes) -> bytes:
        """HMAC-SHA-256, 32 bytes."""

    def sign(self, message: bytes) -> bytes:
        """Ed25519, 64 bytes."""

    def signing_public_key(self) -> bytes:
        """The raw public half of ``sign``."""

    def health(self) -> None:
        """Use each key once; raises what the HSM answers."""


@contextmanager
def hsm_failing_closed() -> Iterator[None]:
    """Turns any failure of the HSM into ``Unavailable(part="hsm")`` with its code."""
    try:
        yield
    except DriverError as error:
        raise Unavailable(part="hsm", why=error.code) from None


def so_pin_context(serial: str, version: int) -> bytes:
    """The additional data that binds a sealed SO PIN to its token and version."""
    name = serial.encode()
    return b"token-reset so-pin 1" + len(name).to_bytes(4) + name + version.to_bytes(8)
