"""OCSP responses of the institution's authority, good by default."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID

from tests.institution.authority import (
    ISSUING,
    ROOT,
    SLACK,
    Authority,
    PrivateKey,
    Profile,
    software_key,
    utc_now,
)


@dataclass(frozen=True)
class Signer:
    """Who signs responses: a certificate, its key, and whether it comes with the response."""

    certificate: x509.Certificate
    key: PrivateKey
    enclosed: bool = True


def delegate(authority: Authority, profile: Profile | None = None, kind: str = "p256") -> Signer:
    """A responder that the issuing CA made one, and whose revocation nobody has to ask for."""
    right = Profile(
        purposes=[ExtendedKeyUsageOID.OCSP_SIGNING],
        uids=(),
        crl_url=None,
        extra=[(x509.OCSPNoCheck(), False)],
    )
    key = software_key(kind)
    der = authority.issue_person(
        uid="", name="Responder", public_key=key.public_key(), profile=profile or right
    )
    return Signer(x509.load_der_x509_certificate(der), key)


@dataclass(frozen=True)
class Answer:
    """How a response looks; each default is right.

    ``signer``: None for the CA itself. ``starts`` and ``ends``: relative to now. ``of``: the CA
    that the response names, the certificate's own by default. ``extra``: extensions with critical.
    """

    status: ocsp.OCSPCertStatus = ocsp.OCSPCertStatus.GOOD
    signer: Signer | None = None
    starts: timedelta = -SLACK
    ends: timedelta | None = timedelta(days=1)
    naming: hashes.HashAlgorithm = field(default_factory=hashes.SHA1)
    by_name: bool = False
    serial_number: int | None = None
    of: x509.Certificate | None = None
    extra: tuple[tuple[x509.ExtensionType, bool], ...] = ()

    def about(self, authority: Authority, der: bytes) -> bytes:
        """The response about a certificate of the authority, DER."""
        certificate = x509.load_der_x509_certificate(der)
        which = ROOT if certificate.issuer == authority.certificate(ROOT).subject else ISSUING
        issuer = self.of or authority.certificate(which)
        signer = self.signer or Signer(authority.certificate(which), authority._key(which), False)
        now: datetime = utc_now()
        revoked = self.status is ocsp.OCSPCertStatus.REVOKED
        asked = ocsp.OCSPRequestBuilder().add_certificate(certificate, issuer, self.naming).build()
        builder = ocsp.OCSPResponseBuilder().add_response_by_hash(
            asked.issuer_name_hash,
            asked.issuer_key_hash,
            self.serial_number or certificate.serial_number,
            self.naming,
            self.status,
            now + self.starts,
            None if self.ends is None else now + self.ends,
            now - SLACK if revoked else None,
            x509.ReasonFlags.key_compromise if revoked else None,
        )
        form = ocsp.OCSPResponderEncoding.NAME if self.by_name else ocsp.OCSPResponderEncoding.HASH
        builder = builder.responder_id(form, signer.certificate)
        if signer.enclosed:
            builder = builder.certificates([signer.certificate])
        for value, critical in self.extra:
            builder = builder.add_extension(value, critical)
        ed25519 = type(signer.key).__name__.startswith("Ed25519")
        signed = builder.sign(signer.key, None if ed25519 else hashes.SHA256())
        return signed.public_bytes(serialization.Encoding.DER)
