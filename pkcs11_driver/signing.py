"""The holder's key and certificate on a token, in a session where the user is logged in.

Formats of a signature, by the key's type:

- RSA: PKCS #1 v1.5 over SHA-256 (``sha256_rsa``), by CKM_SHA256_RSA_PKCS, or by CKM_RSA_PKCS over
  the DigestInfo (RFC 8017 section 9.2) where the module does not hash.
- EC: ECDSA over SHA-256 (``sha256_ecdsa``), by CKM_ECDSA, as DER ``Ecdsa-Sig-Value`` (X9.62).
"""

from __future__ import annotations

import hashlib
import typing
from collections.abc import Iterator
from dataclasses import dataclass

import pkcs11
from asn1crypto.algos import DigestAlgorithm, DigestInfo
from pkcs11 import Attribute, KeyType, Mechanism, ObjectClass
from pkcs11.exceptions import (
    AttributeSensitive,
    AttributeTypeInvalid,
    FunctionFailed,
    FunctionNotSupported,
    MechanismInvalid,
)
from pkcs11.types import SignMixin
from pkcs11.util.ec import encode_ecdsa_signature

from pkcs11_driver.errors import CertificateNotFound, KeyNotFound

SIGNING_KEYS = {KeyType.RSA: "sha256_rsa", KeyType.EC: "sha256_ecdsa"}
# an attribute that this object does not have; python-pkcs11 also says so by CKR_FUNCTION_FAILED
_UNREADABLE = (
    AttributeSensitive,
    AttributeTypeInvalid,
    FunctionFailed,
    KeyError,
    NotImplementedError,
    ValueError,
)


@dataclass(frozen=True)
class Signed:
    """``signature`` in the format of ``algorithm`` (module docstring); ``certificate`` DER, empty
    when the key has none; ``algorithm``: ``sha256_rsa`` or ``sha256_ecdsa``."""

    signature: bytes
    certificate: bytes
    algorithm: str


def certificates(session: pkcs11.Session) -> tuple[tuple[bytes, bytes], ...]:
    """The X.509 certificates that the session may see, as pairs of key identifier and DER."""
    found = list(session.get_objects({Attribute.CLASS: ObjectClass.CERTIFICATE}))
    pairs = [(_read(item, Attribute.ID), _read(item, Attribute.VALUE)) for item in found]
    return tuple((bytes(key_id or b""), bytes(der)) for key_id, der in pairs if der)


def sign(session: pkcs11.Session, user_pin: str, data: bytes, key_id: bytes | None) -> Signed:
    """Sign ``data`` with the holder's key: the one with ``key_id``, or the only signing key that
    has a certificate.

    ``user_pin`` answers keys that ask for it at each use (CKA_ALWAYS_AUTHENTICATE).
    Raises ``KeyNotFound``, ``CertificateNotFound``, ``PKCS11Error``.
    """
    key, certificate = _choose(session, key_id)
    kind = _read(key, Attribute.KEY_TYPE)
    # the option is passed only where it is needed: modules may refuse the second login
    again = {"pin": user_pin} if _read(key, Attribute.ALWAYS_AUTHENTICATE) else {}
    make = _sign_rsa if kind == KeyType.RSA else _sign_ec
    return Signed(make(key, data, again), certificate, SIGNING_KEYS[kind])


def _choose(session: pkcs11.Session, key_id: bytes | None) -> tuple[typing.Any, bytes]:
    of_key = dict(certificates(session))
    keys = [(bytes(_read(key, Attribute.ID) or b""), key) for key in _signing_keys(session)]
    found = [found_id.hex() for found_id, _ in keys]
    if key_id is not None:
        fitting = [(found_id, key) for found_id, key in keys if found_id == key_id]
    else:
        fitting = [(found_id, key) for found_id, key in keys if found_id in of_key]
        if keys and not fitting:
            raise CertificateNotFound
    if len(fitting) != 1:
        raise KeyNotFound(found)
    found_id, key = fitting[0]
    return key, of_key.get(found_id, b"")


def _signing_keys(session: pkcs11.Session) -> Iterator[typing.Any]:
    # the search ends before attributes are read: a session does one operation at a time
    for key in list(session.get_objects({Attribute.CLASS: ObjectClass.PRIVATE_KEY})):
        # a module that does not tell CKA_SIGN may still sign
        may_sign = _read(key, Attribute.SIGN) is not False
        if may_sign and _read(key, Attribute.KEY_TYPE) in SIGNING_KEYS:
            yield key


def _read(item: typing.Any, attribute: Attribute) -> typing.Any:  # noqa: ANN401
    try:
        return item[attribute]
    except _UNREADABLE:
        return None


def _sign_rsa(key: SignMixin, data: bytes, again: dict[str, str]) -> bytes:
    try:
        return key.sign(data, mechanism=Mechanism.SHA256_RSA_PKCS, **again)
    except (MechanismInvalid, FunctionNotSupported):
        info = DigestInfo(
            {
                "digest_algorithm": DigestAlgorithm({"algorithm": "sha256"}),
                "digest": hashlib.sha256(data).digest(),
            }
        )
        return key.sign(info.dump(), mechanism=Mechanism.RSA_PKCS, **again)


def _sign_ec(key: SignMixin, data: bytes, again: dict[str, str]) -> bytes:
    raw = key.sign(hashlib.sha256(data).digest(), mechanism=Mechanism.ECDSA, **again)
    return encode_ecdsa_signature(raw)
