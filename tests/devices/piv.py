"""A PIV card in software (SP 800-73-4 part 2; Yubico's additions).

As far as the driver's promises go: PIN and PUK with real retry counters, one key, P-256 or
RSA-2048, with its certificate in slot 9A.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

from tests.devices.card import (
    BAD_DATA,
    NO_COMMAND,
    NO_KEY,
    NOT_ALLOWED,
    NOT_FOUND,
    OK,
    TRIES,
    WRONG_LENGTH,
    Card,
    Secret,
    tlv,
)

_SELECTED = bytes.fromhex("61114F0600001000010079074F05A000000308")
_CHUID = bytes.fromhex(
    "5338"
    "3019D4E739DA739CED39CE739D836858210842108421C84210C3EB"
    "3410A1B2C3D4A1B2C3D4A1B2C3D4A1B2C3D4"
    "350832303335303130313E00FE00"
)


@dataclass
class PivCard(Card):
    """One PIV card."""

    pin: Secret
    puk: Secret
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
    certificate: bytes
    yubico: bool
    serial: int = 12345678  # as Yubico's cards tell it; others have the one in their CHUID
    _verified: bool = field(default=False, init=False)

    def holds(self) -> tuple[str, str]:
        """PIN and PUK."""
        pin, puk = (secret.value.rstrip(b"\xff").decode() for secret in (self.pin, self.puk))
        return pin, puk

    def tries(self) -> tuple[int, int]:
        """The tries left of PIN and PUK."""
        return self.pin.left, self.puk.left

    def forget(self) -> None:
        """Nobody is verified any more."""
        self._verified = False

    def answer(self, instruction: int, p1: int, p2: int, data: bytes) -> bytes:
        """Data and status word for one command."""
        match instruction:
            case 0xA4:
                return _SELECTED + OK if data.hex().startswith("a000000308") else NOT_FOUND
            case 0xCB:
                return self._object(data)
            case 0x20:
                return self._verify(p2, data)
            case 0x24:
                return self._change(p2, data)
            case 0x2C:
                return self._unblock(data)
            case 0x87:
                return self._sign(p2, data)
            case 0xFD if self.yubico:
                return bytes((5, 2, 0)) + OK
            case 0xF8 if self.yubico:
                return self.serial.to_bytes(4) + OK
        return NO_COMMAND

    def _object(self, request: bytes) -> bytes:
        tag = request[2:].hex()
        if tag == "5fc102":
            return self.begin(_CHUID)
        if tag == "5fc105":
            end = bytes.fromhex("710100FE00")
            return self.begin(tlv("53", tlv("70", self.certificate) + end))
        return NOT_FOUND

    def _verify(self, reference: int, pin: bytes) -> bytes:
        if reference != 0x80:
            return NO_KEY
        if not pin:
            return OK if self._verified else self.pin.told()
        if len(pin) != 8:
            return WRONG_LENGTH
        status = self.pin.compare(pin)
        self._verified = status == OK
        return status

    def _change(self, reference: int, data: bytes) -> bytes:
        secret = {0x80: self.pin, 0x81: self.puk}.get(reference)
        if secret is None or len(data) != 16:
            return NO_KEY if secret is None else BAD_DATA
        status = secret.compare(data[:8])
        if status == OK:
            secret.value = data[8:]
        return status

    def _unblock(self, data: bytes) -> bytes:
        if len(data) != 16:
            return BAD_DATA
        status = self.puk.compare(data[:8])
        if status == OK:
            self.pin.value, self.pin.left, self._verified = data[8:], TRIES, False
        return status

    def _sign(self, reference: int, data: bytes) -> bytes:
        if reference != 0x9A:
            return NO_KEY
        if not self._verified:
            return NOT_ALLOWED
        # 7C { 82 00, 81 <length> <what is signed> } in either order
        if isinstance(self.key, rsa.RSAPrivateKey):
            block = data[data.index(b"\x81\x82\x01\x00") + 4 :][:256]
            numbers = self.key.private_numbers()
            power = pow(int.from_bytes(block), numbers.d, numbers.public_numbers.n)
            signature = power.to_bytes(256)
        else:
            digest = data[data.index(b"\x81\x20") + 2 :][:32]
            signature = self.key.sign(digest, ec.ECDSA(Prehashed(hashes.SHA256())))
        return self.begin(tlv("7c", tlv("82", signature)))


def padded(pin: str) -> bytes:
    """A PIN or PUK as it lies on the card."""
    return pin.encode().ljust(8, b"\xff")
