"""Whose certificate is this, and may it act here: strict checks, then the path to an anchor.

Rules (S1.95, S5.1, T12; RFC 5280 section 6), each refused with its own word:

1. ``trust-store``: anchors, intermediates and CRLs are configured files, read again when they
   change; one that is missing, empty or unreadable refuses everybody. Nothing is fetched.
2. ``malformed``: at most 16 KiB of DER, which an encoder would make again, no extension twice.
3. ``key-size``: RSA of 2048 bits and more, P-256, P-384, P-521 or Ed25519.
4. ``ca``, ``key-usage``, ``eku``: an end entity's certificate, issued for this use.
5. ``uid``: exactly one UID in the subject: the person.
6. ``chain``, ``expired``, ``not-yet-valid``: a path to a configured anchor at the given time.
7. ``revoked``, ``crl-missing``, ``crl-stale``: every certificate below the anchor is covered by a
   CRL of its issuer that is in force at the given time, whether or not it names a CRL.
8. ``policy``: where the institution configured a certificate policy, the whole path carries it.

A certificate's key, name or serial number alone proves nothing: only the path does.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from asn1crypto import x509 as asn1_x509
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from pyhanko_certvalidator import (
    CertificateValidator,
    PKIXValidationParams,
    ValidationContext,
    errors,
)
from pyhanko_certvalidator.authority import AuthorityWithCert
from pyhanko_certvalidator.path import ValidationPath

from reset.adapters.trust import Material, TrustStore, extension
from reset.core.identities import Subject
from reset.errors import CertificateRefused, SignatureRefused

CERTIFICATE_LIMIT = 16_384  # bytes
RSA_BITS = range(2048, 8193)
CURVES = ("secp256r1", "secp384r1", "secp521r1")

_UID = re.compile(r"\S(.{0,62}\S)?")
PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey


@dataclass(frozen=True)
class Usage:
    """What a certificate must be issued for: one of ``key_usages`` and one of ``purposes``.

    ``key_usages`` are attribute names of ``cryptography.x509.KeyUsage``.
    """

    key_usages: frozenset[str]
    purposes: frozenset[x509.ObjectIdentifier]


CLIENT_LOGIN = Usage(frozenset({"digital_signature"}), frozenset({ExtendedKeyUsageOID.CLIENT_AUTH}))

# the first that matches counts
_PATH_RULES: tuple[tuple[type[Exception], str], ...] = (
    (errors.RevokedError, "revoked"),
    (errors.StaleRevinfoError, "crl-stale"),
    (errors.InsufficientRevinfoError, "crl-missing"),
    (errors.ExpiredError, "expired"),
    (errors.NotYetValidError, "not-yet-valid"),
    (Exception, "chain"),
)


# --- one certificate ------------------------------------------------------------------
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
        or isinstance(key, ed25519.Ed25519PublicKey)
    ):
        return key
    raise CertificateRefused(rule="key-size")


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


def fingerprint(der: bytes) -> str:
    """SHA-256 of the whole certificate, hex: what ``Subject.fingerprint`` is compared with."""
    return hashlib.sha256(der).hexdigest()


def uid_of(der: bytes) -> str:
    """The UID in the subject (0.9.2342.19200300.100.1.1), without any trust in it.

    Raises ``CertificateRefused`` with rule ``malformed`` or ``uid``.
    """
    return _uid(parse(der))


def _uid(certificate: x509.Certificate) -> str:
    found = certificate.subject.get_attributes_for_oid(NameOID.USER_ID)
    value = found[0].value if len(found) == 1 else None
    if not isinstance(value, str) or not _UID.fullmatch(value) or not value.isprintable():
        raise CertificateRefused(rule="uid", count=len(found))
    return value


# --- the verifier -------------------------------------------------------------------------
class CertificateVerifier:
    """Full validation of a person's certificate (T12).

    Parameters: ``store``; ``policy_oid``, a certificate policy that every accepted path carries.
    """

    def __init__(self, store: TrustStore, *, policy_oid: str | None = None) -> None:
        self._store = store
        self._policy_oid = policy_oid
        self._parameters = PKIXValidationParams(
            user_initial_policy_set=frozenset({policy_oid or "any_policy"})
        )

    def verify_client(self, certificate: bytes, at: datetime) -> Subject:
        """The person who logs in with ``certificate`` (DER) at ``at`` (aware).

        Raises ``CertificateRefused`` with the rule that it breaks.
        """
        return self.verify(certificate, at, CLIENT_LOGIN)

    def verify(self, certificate: bytes, at: datetime, usage: Usage) -> Subject:
        """As ``verify_client``, for a certificate that must be issued for ``usage``."""
        if at.tzinfo is None:
            raise RuntimeError("verification needs an aware time")
        try:
            return self._verify(certificate, at, usage)
        except CertificateRefused:
            raise
        except Exception as error:  # the verifier's edge fails closed
            raise CertificateRefused(rule="malformed") from error

    def verify_proof(self, certificate: bytes, challenge: bytes, signature: bytes) -> None:
        """The token's signature over ``challenge`` with the key of the certificate on file.

        RSA PKCS#1 v1.5 with SHA-256, ECDSA with SHA-256 (DER Sig-Value) or Ed25519. The
        certificate's validity is not asked: what counts is the key that was enrolled.
        Raises ``SignatureRefused(rule="proof")``.
        """
        try:
            check_signature(public_key(parse(certificate)), signature, challenge, hashes.SHA256())
        except Exception as error:  # the verifier's edge fails closed
            raise SignatureRefused(rule="proof") from error

    def _verify(self, der: bytes, at: datetime, usage: Usage) -> Subject:
        material = self._store.material()
        certificate = parse(der)
        public_key(certificate)
        for rule, holds in _USAGE_RULES:
            if not holds(certificate, usage):
                raise CertificateRefused(rule=rule)
        uid = _uid(certificate)
        path = self._path(der, material, at)
        _check_anchor(path, at)
        for below in path.iter_certs(include_root=False):
            _check_revocation(below, material, at)
        self._check_policy(certificate, path)
        return Subject(
            uid=uid,
            subject=certificate.subject.rfc4514_string(),
            issuer=certificate.issuer.rfc4514_string(),
            serial_number=str(certificate.serial_number),
            fingerprint=fingerprint(der),
            certificate=der,
        )

    def _path(self, der: bytes, material: Material, at: datetime) -> ValidationPath:
        """RFC 5280 section 6.1. "require": the default modes accept a revoked certificate that
        names no CRL distribution point."""
        try:
            context = ValidationContext(
                trust_roots=_loaded(material.anchors),
                other_certs=_loaded(material.intermediates),
                crls=list(material.crls),
                moment=at,
                allow_fetching=False,
                revocation_mode="require",
                time_tolerance=timedelta(0),
            )
            validator = CertificateValidator(
                asn1_x509.Certificate.load(der),
                validation_context=context,
                pkix_params=self._parameters,
            )
            return asyncio.run(validator.async_validate_path())
        except Exception as error:  # path building leaks TypeError and others
            rule = next(word for kind, word in _PATH_RULES if isinstance(error, kind))
            raise CertificateRefused(rule=rule) from error

    def _check_policy(self, certificate: x509.Certificate, path: ValidationPath) -> None:
        """Named in the certificate itself and valid along the path (RFC 5280 section 6.1.5 g)."""
        if self._policy_oid is None:
            return
        named = extension(certificate, x509.CertificatePolicies) or ()
        valid = path.qualified_policies() or frozenset()
        if self._policy_oid not in {p.policy_identifier.dotted_string for p in named} or (
            self._policy_oid not in {p.user_domain_policy_id for p in valid}
        ):
            raise CertificateRefused(rule="policy", policy=self._policy_oid)


def _loaded(ders: Iterable[bytes]) -> list[asn1_x509.Certificate]:
    return [asn1_x509.Certificate.load(der) for der in ders]


def _check_anchor(path: ValidationPath, at: datetime) -> None:
    """RFC 5280 leaves an anchor's own dates to the application: an expired one vouches no more."""
    anchor = path.trust_anchor.authority
    if not isinstance(anchor, AuthorityWithCert):
        raise CertificateRefused(rule="chain")
    if not anchor.certificate.not_valid_before <= at <= anchor.certificate.not_valid_after:
        raise CertificateRefused(rule="expired", certificate="anchor")


def _check_revocation(certificate: asn1_x509.Certificate, material: Material, at: datetime) -> None:
    """Asked again without the path builder: a CRL of the issuer is in force, none lists it.

    The path builder takes a CRL that never ends, and lets a revocation with a later date pass.
    """
    issuer = x509.load_der_x509_certificate(certificate.dump()).issuer
    in_force = [
        crl
        for crl in material.lists
        if crl.issuer == issuer
        and crl.next_update_utc is not None
        and crl.last_update_utc <= at <= crl.next_update_utc
    ]
    if not in_force:
        raise CertificateRefused(rule="crl-stale")
    serial = certificate.serial_number
    if any(crl.get_revoked_certificate_by_serial_number(serial) for crl in in_force):
        raise CertificateRefused(rule="revoked")


# --- rules of one certificate for one use -------------------------------------------------
def _end_entity(certificate: x509.Certificate, usage: Usage) -> bool:
    constraints = extension(certificate, x509.BasicConstraints)
    key_usage = extension(certificate, x509.KeyUsage)
    return not (constraints and constraints.ca) and not (key_usage and key_usage.key_cert_sign)


def _key_usage(certificate: x509.Certificate, usage: Usage) -> bool:
    found = extension(certificate, x509.KeyUsage)
    return found is not None and any(getattr(found, name) for name in usage.key_usages)


def _purpose(certificate: x509.Certificate, usage: Usage) -> bool:
    found = extension(certificate, x509.ExtendedKeyUsage)
    return found is not None and not usage.purposes.isdisjoint(found)


_USAGE_RULES: tuple[tuple[str, Callable[[x509.Certificate, Usage], bool]], ...] = (
    ("ca", _end_entity),
    ("key-usage", _key_usage),
    ("eku", _purpose),
)
