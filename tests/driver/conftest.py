"""Tokens with a key and a certificate, as their holders have them."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import NameOID

from tests.institution import tokens
from tests.institution.tokens import KeyKind, MadeToken

USER_PIN = "Old-User-PIN-1"
SO_PIN = "Old-Admin-PIN-1"
NEXT_SO_PIN = "Next-Admin-PIN-2"
NEW_PIN = "New-User-PIN-2"
OTHER_SO_PIN = "Other-Admin-PIN-3"
SECRETS = (USER_PIN, SO_PIN, NEXT_SO_PIN, NEW_PIN, OTHER_SO_PIN)


@dataclass(frozen=True)
class Holder:
    """A made token, and the certificate on it in DER."""

    made: MadeToken
    certificate: bytes

    @property
    def at(self) -> tuple[str, str]:
        """Module and serial, as the driver's functions take them."""
        return str(self.made.module), self.made.serial


def issue(spki: bytes, name: str = "Holder") -> bytes:
    """A certificate in DER for a public key, issued by a throw-away authority."""
    authority = ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Test authority")]))
        .public_key(serialization.load_der_public_key(spki))  # type: ignore[arg-type]
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=30))
        .sign(authority, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.DER)


def verify(certificate: bytes, signature: bytes, data: bytes) -> None:
    """Check a signature in the formats that ``signing`` names. Raises InvalidSignature."""
    key = x509.load_der_x509_certificate(certificate).public_key()
    if isinstance(key, rsa.RSAPublicKey):
        key.verify(signature, data, padding.PKCS1v15(), hashes.SHA256())
    else:
        assert isinstance(key, ec.EllipticCurvePublicKey)
        key.verify(signature, data, ec.ECDSA(hashes.SHA256()))


def equip(made: MadeToken, kind: KeyKind = "p256", key_id: bytes = b"\x01") -> Holder:
    """Put a key and its certificate on a token."""
    certificate = issue(tokens.make_key(made, kind=kind, key_id=key_id))
    tokens.store_certificate(made, certificate, key_id)
    return Holder(made, certificate)


@pytest.fixture
def made(tmp_path: Path) -> MadeToken:
    """A token without a key."""
    return tokens.make_token(tmp_path / "token", label="Holder", user_pin=USER_PIN, so_pin=SO_PIN)


@pytest.fixture
def holder(made: MadeToken) -> Holder:
    """A token with a P-256 key and its certificate."""
    return equip(made)


@pytest.fixture
def blocked(holder: Holder) -> Holder:
    """A token whose user PIN is blocked."""
    assert tokens.wrong_logins(holder.made, 10)[-1] == "CKR_PIN_INCORRECT"
    return holder


def order(**changed: object) -> dict[str, object]:
    """The keyword arguments of a reset, with changes."""
    usual: dict[str, object] = {
        "style": "so_init_pin",
        "candidates": (SO_PIN,),
        "next_so_pin": NEXT_SO_PIN,
        "new_user_pin": NEW_PIN,
        "challenge": b"challenge of the service",
    }
    return {**usual, **changed}
