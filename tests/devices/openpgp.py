"""An OpenPGP card in software (functional specification 2.1 and 3.4 of the OpenPGP application).

As far as the driver's promises go: PW1 and PW3 with real retry counters, one key with its
certificate. A card of 2.1 signs with its authentication key (RSA-2048, INTERNAL AUTHENTICATE) and
has one certificate, which belongs to that key; one of 3.4 signs with its signature key (P-256,
PSO: COMPUTE DIGITAL SIGNATURE). To a wrong PIN a card says that the security status is not
satisfied, as Gnuk does, or how many tries are left (``Secret.wrong``).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.devices.card import (
    BAD_DATA,
    NO_COMMAND,
    NO_KEY,
    NOT_ALLOWED,
    NOT_FOUND,
    OK,
    TRIES,
    Card,
    Secret,
    tlv,
)

_PREFIX = bytes.fromhex("D27600012401")
_LONGEST = 32
_RSA_2048, _P256 = bytes.fromhex("010800002000"), bytes.fromhex("132A8648CE3D030107")
_SIGNATURE_KEY, _AUTHENTICATION_KEY = 0, 2
# compact TLV: card capabilities with command chaining; life cycle 05, status 9000
_HISTORY = bytes.fromhex("0031C573000080059000")


@dataclass
class OpenPgpCard(Card):
    """One OpenPGP card. ``version`` as (2, 1); ``maker`` the number of the manufacturer."""

    pw1: Secret
    pw3: Secret
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
    certificate: bytes
    version: tuple[int, int]
    maker: int
    number: int
    _verified: frozenset[int] = field(default=frozenset(), init=False)
    _occurrence: int = field(default=0, init=False)

    def holds(self) -> tuple[str, str]:
        """PW1 and PW3."""
        return self.pw1.value.decode(), self.pw3.value.decode()

    def tries(self) -> tuple[int, int]:
        """The tries left of PW1 and PW3."""
        return self.pw1.left, self.pw3.left

    def forget(self) -> None:
        """Nobody is verified any more."""
        self._verified = frozenset()

    def answer(self, instruction: int, p1: int, p2: int, data: bytes) -> bytes:
        """Data and status word for one command."""
        match instruction:
            case 0xA4:
                known = data.startswith(_PREFIX[:5])
                return tlv("6F", tlv("84", self._aid())) + OK if known else NOT_FOUND
            case 0xA5:
                self._occurrence = p1
                return OK
            case 0xCA:
                return self._object(p1 << 8 | p2)
            case 0x47 if p1 == 0x81:
                return self._public_key(data[0])
            case 0x20:
                return self._verify(p1, p2, data)
            case 0x24:
                return self._change(p2, data)
            case 0x2C:
                return self._unblock(p1, data)
            case 0x2A if (p1, p2) == (0x9E, 0x9A):
                return self._sign(_SIGNATURE_KEY, 0x81, data)
            case 0x88:
                return self._sign(_AUTHENTICATION_KEY, 0x82, data)
        return NO_COMMAND

    @property
    def _place(self) -> int:
        """Which of the three keys there is: signature, encryption, authentication."""
        return _AUTHENTICATION_KEY if self.version < (3, 0) else _SIGNATURE_KEY

    def _aid(self) -> bytes:
        return (
            _PREFIX
            + bytes((*self.version,))
            + self.maker.to_bytes(2)
            + self.number.to_bytes(4)
            + b"\0\0"
        )

    def _status(self) -> bytes:
        """PW1 for one signature only, the longest PINs, and the tries: PW1, resetting code, PW3."""
        return bytes((0, *[_LONGEST] * 3, self.pw1.left, 0, self.pw3.left))

    def _object(self, tag: int) -> bytes:
        match tag:
            case 0x004F:
                return self._aid() + OK
            case 0x00C4:
                return self._status() + OK
            case 0x5F52:
                return _HISTORY + OK
            case 0x0065:
                return tlv("65", tlv("5B", b"") + tlv("5F2D", b"en") + tlv("5F35", b"9")) + OK
            case 0x006E:
                return self.begin(self._application())
            case 0x007A:
                return tlv("7A", tlv("93", bytes(3))) + OK
            case 0x7F21:
                # the first one is that of the authentication key, the third of the signature key
                return self.begin(self.certificate if self._occurrence == 2 - self._place else b"")
            case 0x005E | 0x5F50 | 0x0101 | 0x0102 | 0x0103 | 0x0104:
                return OK
        return NO_KEY

    def _application(self) -> bytes:
        capabilities = bytes.fromhex(
            "00000000080000FF0100" if self.version < (3, 0) else "00000000080000FF0000"
        )
        algorithm = _RSA_2048 if isinstance(self.key, rsa.RSAPrivateKey) else _P256
        prints = b"".join((b"\xa5" if place == self._place else b"\0") * 20 for place in range(3))
        inside = tlv("C0", capabilities)
        inside += b"".join(tlv(tag, algorithm) for tag in ("C1", "C2", "C3"))
        inside += tlv("C4", self._status()) + tlv("C5", prints)
        inside += tlv("C6", bytes(60)) + tlv("CD", bytes(12))
        return tlv("6E", tlv("4F", self._aid()) + tlv("5F52", _HISTORY) + tlv("73", inside))

    def _public_key(self, template: int) -> bytes:
        if template != (0xB6, 0xB8, 0xA4)[self._place]:
            return NO_KEY
        if isinstance(self.key, rsa.RSAPrivateKey):
            numbers = self.key.public_key().public_numbers()
            inside = tlv("81", numbers.n.to_bytes(256)) + tlv("82", numbers.e.to_bytes(3))
        else:
            point = self.key.public_key().public_bytes(
                Encoding.X962, PublicFormat.UncompressedPoint
            )
            inside = tlv("86", point)
        return self.begin(tlv("7F49", inside))

    def _verify(self, how: int, reference: int, pin: bytes) -> bytes:
        """``how`` is 0xFF to log out."""
        secret = {0x81: self.pw1, 0x82: self.pw1, 0x83: self.pw3}.get(reference)
        if secret is None:
            return NO_KEY
        if how == 0xFF:
            self._verified -= {reference}
            return OK
        if not pin:
            return OK if reference in self._verified else secret.told()
        self._verified -= {reference}
        status = secret.compare(pin)
        if status == OK:
            self._verified |= {reference}
        return status

    def _change(self, reference: int, data: bytes) -> bytes:
        """The card knows where the old PIN ends and the new one begins."""
        secret, shortest = {0x81: (self.pw1, 6), 0x83: (self.pw3, 8)}.get(reference, (None, 0))
        if secret is None:
            return NO_KEY
        old, new = data[: len(secret.value)], data[len(secret.value) :]
        status = secret.compare(old)
        if status == OK:
            if not shortest <= len(new) <= _LONGEST:
                return BAD_DATA
            secret.value = new
        return status

    def _unblock(self, by: int, new: bytes) -> bytes:
        """By PW3, verified before; this card has no resetting code."""
        if by != 2 or 0x83 not in self._verified:
            return NOT_ALLOWED
        if not 6 <= len(new) <= _LONGEST:
            return BAD_DATA
        self.pw1.value, self.pw1.left = new, TRIES
        self._verified -= {0x81, 0x82}
        return OK

    def _sign(self, place: int, reference: int, data: bytes) -> bytes:
        if place != self._place:
            return NO_KEY
        if reference not in self._verified:
            return NOT_ALLOWED
        # one VERIFY is good for one signature with the signature key
        self._verified -= {0x81}
        if isinstance(self.key, rsa.RSAPrivateKey):
            # a DigestInfo of SHA-256, 19 bytes before the digest (RFC 8017 section 9.2)
            digest = data[19:]
            return self.begin(self.key.sign(digest, padding.PKCS1v15(), Prehashed(hashes.SHA256())))
        signature = self.key.sign(data, ec.ECDSA(Prehashed(hashes.SHA256())))
        return self.begin(b"".join(n.to_bytes(32) for n in decode_dss_signature(signature)))
