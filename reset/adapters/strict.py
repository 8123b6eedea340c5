"""One certificate, taken apart strictly: its DER, its key, and a signature by a key.

What stands here knows of no trust: any certificate, key and signature may come in.
"""

from __future__ import annotations

from typing import TypeVar

from asn1crypto import x509 as asn1_x509
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from reset.errors import CertificateRefused

CERTIFICATE_LIMIT = 16_384  # bytes
RSA_BITS = range(2048, 8193)
CURVES = ("secp256r1", "secp384r1", "secp521r1")

# Ed25519: y of the eight points of small order; with one as a key anybody signs for its holder
_FIELD = 2**255 - 19
_ORDER_8 = 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826
_SMALL_ORDER = frozenset({0, 1, _FIELD - 1, _ORDER_8, _FIELD - _ORDER_8})

PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey
_Extension = TypeVar("_Extension", bound=x509.ExtensionType)


def parse(der: bytes) -> x509.Certificate:
    """Read one certificate strictly (RFC 5280 section 4.1, X.690 section 10).

    Raises ``CertificateRefused(rule="malformed")``: too large, not DER, trailing bytes, an
    extension twice, or two signature algorithms that differ.
    """
    if len(der) > CERTIFICATE_LIMIT:
        raise CertificateRefused(rule="malformed", limit=CERTIFICATE_LIMIT)
    try:
        certificate = x509.load_der_x509_certificate(der)
        certificate.extensions  # noqa: B018 - parsed on access: one extension twice raises here
        # never asn1crypto's dump(force=True) on foreign bytes: exponential beside default values
        whole = asn1_x509.Certificate.load(der, strict=True)
        inside = whole["tbs_certificate"]["signature"].dump()
        same = certificate.public_bytes(Encoding.DER) == der
        same = same and whole["signature_algorithm"].dump() == inside
        # a signature that ends in zero bits also verifies with those bits called unused
        if not same or whole["signature_value"].contents[:1] != b"\x00":
            raise ValueError("not what an encoder would make")
    except Exception as error:  # unknown bytes: whatever the parsers raise refuses
        raise CertificateRefused(rule="malformed") from error
    return certificate


def public_key(certificate: x509.Certificate) -> PublicKey:
    """The certificate's key. Raises ``CertificateRefused(rule="key-size")`` for any other kind."""
    try:
        key = certificate.public_key()
    except Exception as error:  # unknown algorithms and bad points alike
        raise CertificateRefused(rule="key-size") from error
    if (
        (isinstance(key, rsa.RSAPublicKey) and key.key_size in RSA_BITS)
        or (isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in CURVES)
        or (isinstance(key, ed25519.Ed25519PublicKey) and not _has_small_order(key))
    ):
        return key
    raise CertificateRefused(rule="key-size")


def _has_small_order(key: ed25519.Ed25519PublicKey) -> bool:
    y = int.from_bytes(key.public_bytes_raw(), "little") & (2**255 - 1)
    return y % _FIELD in _SMALL_ORDER


def extension(
    holder: x509.Certificate | x509.CertificateRevocationList, kind: type[_Extension]
) -> _Extension | None:
    """The value of an extension, None without it."""
    try:
        return holder.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def check_signature(
    key: PublicKey, signature: bytes, data: bytes, digest: hashes.HashAlgorithm
) -> None:
    """One signature: RSA PKCS#1 v1.5 or ECDSA over ``digest``, or Ed25519 over ``data`` itself.

    Raises ``cryptography.exceptions.InvalidSignature``.
    """
    if isinstance(key, rsa.RSAPublicKey):
        key.verify(signature, data, padding.PKCS1v15(), digest)
    elif isinstance(key, ec.EllipticCurvePublicKey):
        key.verify(signature, data, ec.ECDSA(digest))
    else:
        key.verify(signature, data)
