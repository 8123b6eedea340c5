"""Signature values that a lax verifier takes, where approvals and proofs are checked.

Peer failure 38 (CVE-2022-24771 to -24773) and its like for ECDSA. Each forged RSA block is raised
to the private exponent, so that only the strictness of the encoding stands between it and
acceptance.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import pytest
from asn1crypto import cms
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)

from reset.adapters.certificates import CertificateVerifier
from reset.adapters.signatures_cms import CmsVerifier
from reset.adapters.trust import TrustStore
from reset.errors import SignatureRefused
from tests.adapters.test_signatures_cms import KEYS, STATEMENT, Recipe, certify, make
from tests.institution.authority import Authority, utc_now

CHALLENGE = b"challenge of this operation"
RSA, EC = KEYS["rsa2048"], KEYS["p256"]
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551  # of P-256
SIZE = 256  # bytes of the modulus
SHA256 = bytes.fromhex("3031300d060960864801650304020105000420")
Forge = Callable[[bytes], bytes]


@dataclass(frozen=True)
class Desk:
    """Where both kinds of signature are checked, with a certificate for each key."""

    approvals: CmsVerifier
    proofs: CertificateVerifier
    of: dict[str, bytes]
    at: datetime

    def takes(self, kind: str, forge: Forge) -> list[bool]:
        """Whether it is taken as an approval, and as a proof; ``forge`` is given what to sign."""
        forged = Recipe(self.of[kind], kind=kind, signer=replaced(forge))
        return [
            taken(lambda: self.approvals.verify_approval(STATEMENT, make(forged), self.at)),
            taken(lambda: self.proofs.verify_proof(self.of[kind], CHALLENGE, forge(CHALLENGE))),
        ]


def taken(check: Callable[[], object]) -> bool:
    try:
        check()
    except SignatureRefused as refused:
        if refused.data["rule"] not in ("signature", "proof"):
            raise
        return False
    return True


def replaced(forge: Forge) -> Callable[[cms.SignerInfo], None]:
    def edit(signer: cms.SignerInfo) -> None:
        signer["signature"] = forge(signer["signed_attrs"].untag().dump())

    return edit


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    authority = Authority.create(tmp_path_factory.mktemp("pki"))
    store = TrustStore([authority.anchors_pem], authority.crl_files, [authority.intermediates_pem])
    of = {kind: certify(authority, kind) for kind in ("rsa2048", "p256")}
    return Desk(CmsVerifier(store), CertificateVerifier(store), of, utc_now())


# --- RSA ------------------------------------------------------------------------------
def power(block: bytes) -> int:
    """The signature whose encryption block is ``block``."""
    assert isinstance(RSA, rsa.RSAPrivateKey)
    numbers = RSA.private_numbers()
    return pow(int.from_bytes(block), numbers.d, numbers.public_numbers.n)


def modulus() -> int:
    assert isinstance(RSA, rsa.RSAPrivateKey)
    return RSA.public_key().public_numbers().n


def block(data: bytes, *, info: bytes = SHA256, kind: int = 1, fill: int = 0xFF) -> bytes:
    """A full block (RFC 8017 section 9.2), right by default."""
    end = b"\x00" + info + hashlib.sha256(data).digest()
    return b"\x00" + bytes([kind]) + bytes([fill]) * (SIZE - 2 - len(end)) + end


def with_garbage(data: bytes) -> bytes:
    """Eight bytes of padding, then the digest, then what makes a cube root possible."""
    start = b"\x00\x01" + b"\xff" * 8 + b"\x00" + SHA256 + hashlib.sha256(data).digest()
    return start + b"\x00" * (SIZE - len(start))


def garbage_inside(data: bytes) -> bytes:
    """As parameters of the digest's name, where they are never compared."""
    start = b"\x00\x01" + b"\xff" * 8 + b"\x00"
    digest = b"\x04\x20" + hashlib.sha256(data).digest()
    junk_length = SIZE - len(start) - len(digest) - 4 - 4 - 11 - 4
    name = bytes.fromhex("0609608648016503040201")
    algorithm = name + b"\x04\x82" + junk_length.to_bytes(2) + b"\x00" * junk_length
    info = b"\x30\x82" + len(algorithm).to_bytes(2) + algorithm + digest
    return start + b"\x30\x82" + len(info).to_bytes(2) + info


def gap_in_the_padding(data: bytes) -> bytes:
    good = bytearray(block(data))
    good[100] = 0xFE
    return bytes(good)


def with_another_digest(data: bytes) -> bytes:
    start = b"\x00" + bytes.fromhex("3021300906052b0e03021a05000414") + hashlib.sha1(data).digest()
    return b"\x00\x01" + b"\xff" * (SIZE - 2 - len(start)) + start


BLOCKS: dict[str, Forge] = {
    "garbage after the digest": with_garbage,
    "garbage inside the name of the digest": garbage_inside,
    "no NULL": lambda d: block(d, info=bytes.fromhex("302f300b0609608648016503040201") + b"\x04 "),
    "NULL of one byte": lambda d: block(
        d, info=bytes.fromhex("3032300e06096086480165030402010501000420")
    ),
    "long form of a length": lambda d: block(
        d, info=bytes.fromhex("308131300d060960864801650304020105000420")
    ),
    "indefinite length": lambda d: block(
        d, info=bytes.fromhex("3080300d060960864801650304020105000420")
    ),
    "the name of SHA-512": lambda d: block(
        d, info=bytes.fromhex("3031300d060960864801650304020305000420")
    ),
    "SHA-1": with_another_digest,
    "no name of a digest": lambda d: block(d, info=b""),
    "encryption's padding": lambda d: block(d, kind=2, fill=0xAA),
    "padding of kind 0": lambda d: block(d, kind=0, fill=0x00),
    "a gap in the padding": gap_in_the_padding,
    "a block without its first zero": lambda d: block(d)[1:] + b"\x00",
}


@pytest.mark.parametrize("forge", BLOCKS.values(), ids=BLOCKS.keys())
def test_a_forged_rsa_block(desk: Desk, forge: Forge) -> None:
    assert len(forge(b"")) == SIZE
    assert desk.takes("rsa2048", lambda data: power(forge(data)).to_bytes(SIZE)) == [False, False]


FRAMES: dict[str, Callable[[int], bytes]] = {
    "a byte too long": lambda value: value.to_bytes(SIZE + 1),
    "plus the modulus": lambda value: (value + modulus()).to_bytes(SIZE + 1),
    "zero": lambda value: bytes(SIZE),
    "one": lambda value: (1).to_bytes(SIZE),
    "the modulus": lambda value: modulus().to_bytes(SIZE),
    "nothing": lambda value: b"",
}


@pytest.mark.parametrize("frame", FRAMES.values(), ids=FRAMES.keys())
def test_an_rsa_value_out_of_its_bounds(desk: Desk, frame: Callable[[int], bytes]) -> None:
    assert desk.takes("rsa2048", lambda data: frame(power(block(data)))) == [False, False]


def test_the_right_block_is_taken(desk: Desk) -> None:
    """Else the tests above would show nothing."""
    assert desk.takes("rsa2048", lambda data: power(block(data)).to_bytes(SIZE)) == [True, True]


# --- ECDSA ----------------------------------------------------------------------------
def values(data: bytes) -> tuple[int, int]:
    assert isinstance(EC, ec.EllipticCurvePrivateKey)
    return decode_dss_signature(EC.sign(data, ec.ECDSA(hashes.SHA256())))


def der(*numbers: bytes, length: bytes = b"") -> bytes:
    body = b"".join(b"\x02" + bytes([len(n)]) + n for n in numbers)
    return b"\x30" + (length or bytes([len(body)])) + body


def positive(number: int) -> bytes:
    """The contents of an INTEGER, as short as can be."""
    return number.to_bytes(number.bit_length() // 8 + 1)


PAIRS: dict[str, Callable[[int, int], bytes]] = {
    "zeros": lambda r, s: encode_dss_signature(0, 0),
    "r zero": lambda r, s: encode_dss_signature(0, s),
    "s zero": lambda r, s: encode_dss_signature(r, 0),
    "ones": lambda r, s: encode_dss_signature(1, 1),
    "r plus the order": lambda r, s: encode_dss_signature(r + ORDER, s),
    "s plus the order": lambda r, s: encode_dss_signature(r, s + ORDER),
    "r the order": lambda r, s: encode_dss_signature(ORDER, s),
    "r negative": lambda r, s: der((-r).to_bytes(33, signed=True), positive(s)),
    "s negative": lambda r, s: der(positive(r), (s - ORDER).to_bytes(33, signed=True)),
    "zeros before r": lambda r, s: der(b"\x00\x00" + positive(r), positive(s)),
    "long form of a length": lambda r, s: b"\x30\x81" + encode_dss_signature(r, s)[1:],
    "indefinite length": lambda r, s: b"\x30\x80" + encode_dss_signature(r, s)[2:] + b"\x00\x00",
    "a byte behind": lambda r, s: encode_dss_signature(r, s) + b"\x00",
    "a third number": lambda r, s: der(positive(r), positive(s), b"\x00"),
    "one number": lambda r, s: der(positive(r)),
    "raw": lambda r, s: r.to_bytes(32) + s.to_bytes(32),
    "swapped": lambda r, s: encode_dss_signature(s, r),
}


@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS.keys())
def test_a_forged_ecdsa_value(desk: Desk, pair: Callable[[int, int], bytes]) -> None:
    assert desk.takes("p256", lambda data: pair(*values(data))) == [False, False]


def test_the_twin_of_an_ecdsa_value_is_the_same_approval(desk: Desk) -> None:
    """Anybody can make (r, n-s) of (r, s). Nothing goes by the bytes of a signature: an approval is
    spent by its statement, so the twin gains nothing."""

    def twin(data: bytes) -> bytes:
        r, s = values(data)
        return encode_dss_signature(r, ORDER - s)

    assert desk.takes("p256", twin) == [True, True]
