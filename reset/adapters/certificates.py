"""Whose certificate is this, and may it act here: strict checks, then the path to an anchor.

Rules (S1.95, S5.1, T12; RFC 5280 section 6), each refused with its own word:

1. ``trust-store``: anchors, intermediates and CRLs are configured files, read again when they
   change; one that is missing, empty or unreadable refuses everybody (``trust``).
2. ``malformed``: at most 16 KiB of DER, which an encoder would make again, no extension twice.
3. ``key-size``: RSA of 2048 bits and more, P-256, P-384, P-521, or Ed25519 but for the eight
   keys by which anybody could sign.
4. ``ca``, ``key-usage``, ``eku``: an end entity's certificate, issued for this use, and by CAs
   that are not limited to others.
5. ``uid``: exactly one UID in the subject: the person.
6. ``chain``, ``expired``, ``not-yet-valid``, ``policy``: a path to a configured anchor at the
   given time (``paths``).
7. ``revoked``, ``crl-missing``, ``crl-not-yet``, ``crl-stale``, ``ocsp-missing``,
   ``ocsp-stale``, ``ocsp-unknown``: each certificate below the anchor is shown not to be revoked
   (``revocation``).

A certificate's key, name or serial number alone proves nothing: only the path does.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from reset.adapters.paths import PathValidator
from reset.adapters.strict import check_signature, extension, parse, public_key
from reset.adapters.trust import TrustStore
from reset.core.identities import Subject
from reset.errors import CertificateRefused, SignatureRefused

_UID = re.compile(r"\S(.{0,62}\S)?")


@dataclass(frozen=True)
class Usage:
    """What a certificate must be issued for: one of ``key_usages`` and one of ``purposes``.

    ``key_usages`` are attribute names of ``cryptography.x509.KeyUsage``.
    """

    key_usages: frozenset[str]
    purposes: frozenset[x509.ObjectIdentifier]


CLIENT_LOGIN = Usage(frozenset({"digital_signature"}), frozenset({ExtendedKeyUsageOID.CLIENT_AUTH}))


# --- one certificate ------------------------------------------------------------------
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
        self._paths = PathValidator(store, policy_oid=policy_oid)

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
        self._store.material()  # files that cannot be used refuse before anything else
        certificate = parse(der)
        public_key(certificate)
        for rule, holds in _USAGE_RULES:
            if not holds(certificate, usage):
                raise CertificateRefused(rule=rule)
        uid = _uid(certificate)
        if not _may_issue(self._paths.validate(der, at), usage):
            raise CertificateRefused(rule="eku", certificate="ca")
        return Subject(
            uid=uid,
            subject=certificate.subject.rfc4514_string(),
            issuer=certificate.issuer.rfc4514_string(),
            serial_number=str(certificate.serial_number),
            fingerprint=fingerprint(der),
            certificate=der,
        )


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


def _may_issue(path: Sequence[x509.Certificate], usage: Usage) -> bool:
    """Every CA below the anchor that names purposes shares one with the person's certificate."""
    purposes = set(usage.purposes)
    for certificate in path[1:]:
        named = extension(certificate, x509.ExtendedKeyUsage)
        if named is not None and ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE not in named:
            purposes &= set(named)
    return bool(purposes)


_USAGE_RULES: tuple[tuple[str, Callable[[x509.Certificate, Usage], bool]], ...] = (
    ("ca", _end_entity),
    ("key-usage", _key_usage),
    ("eku", _purpose),
)
