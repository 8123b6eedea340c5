"""The path from a certificate to one of the institution's anchors, at a given time.

Rules (S1.95, T12; RFC 5280 section 6), each refused with its own word:

1. ``chain``, ``expired``, ``not-yet-valid``: pyhanko-certvalidator builds and validates a path
   to a configured anchor, with configured certificates between; the anchor is in its own dates.
2. Every certificate below the anchor passes ``revocation``, whether or not it names a CRL or a
   responder. The path builder is asked nothing about it: it takes a list that never ends, lets a
   revocation with a later date pass, and reads every list anew each time.
3. ``policy``: where the institution configured a certificate policy, the whole path carries it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import datetime, timedelta
from itertools import pairwise

from asn1crypto import x509 as asn1_x509
from cryptography import x509
from pyhanko_certvalidator import (
    CertificateValidator,
    PKIXValidationParams,
    ValidationContext,
    errors,
)
from pyhanko_certvalidator.authority import AuthorityWithCert
from pyhanko_certvalidator.path import ValidationPath

from reset.adapters import revocation
from reset.adapters.strict import extension
from reset.adapters.trust import Material, TrustStore
from reset.errors import CertificateRefused

# the first that matches counts
_PATH_RULES: tuple[tuple[type[Exception], str], ...] = (
    (errors.ExpiredError, "expired"),
    (errors.NotYetValidError, "not-yet-valid"),
    (Exception, "chain"),
)


class PathValidator:
    """Validates paths.

    Parameters: ``store``; ``policy_oid``, a certificate policy that every accepted path carries.
    """

    def __init__(self, store: TrustStore, *, policy_oid: str | None = None) -> None:
        self._store = store
        self._policy_oid = policy_oid
        self._parameters = PKIXValidationParams(
            user_initial_policy_set=frozenset({policy_oid or "any_policy"})
        )

    def validate(self, der: bytes, at: datetime) -> list[x509.Certificate]:
        """A good path from an anchor to the certificate ``der`` at ``at`` (aware), both included.

        Raises ``CertificateRefused`` with the rule that is broken.
        """
        material = self._store.material()
        path = self._path(der, material, at)
        _check_anchor(path, at)
        chain = [_parsed(one) for one in path.iter_certs(include_root=True)]
        for issuer, certificate in pairwise(chain):
            evidence = self._store.evidence(material, certificate, issuer)
            revocation.check(certificate, issuer, evidence, at)
        self._check_policy(chain[-1], path)
        return chain

    def _path(self, der: bytes, material: Material, at: datetime) -> ValidationPath:
        try:
            context = ValidationContext(
                trust_roots=_loaded(material.anchors),
                other_certs=_loaded(material.intermediates),
                moment=at,
                allow_fetching=False,
                revocation_mode="none",
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


def _parsed(certificate: asn1_x509.Certificate) -> x509.Certificate:
    """As the rules below the path read it, which are stricter than the path builder."""
    if certificate.serial_number < 1:  # RFC 5280 section 4.1.2.2; no list can name it
        raise CertificateRefused(rule="chain", why="serial number")
    return x509.load_der_x509_certificate(certificate.dump())


def _loaded(ders: Iterable[bytes]) -> list[asn1_x509.Certificate]:
    return [asn1_x509.Certificate.load(der) for der in ders]


def _check_anchor(path: ValidationPath, at: datetime) -> None:
    """RFC 5280 leaves an anchor's own dates to the application: an expired one vouches no more."""
    anchor = path.trust_anchor.authority
    if not isinstance(anchor, AuthorityWithCert):
        raise CertificateRefused(rule="chain")
    if not anchor.certificate.not_valid_before <= at <= anchor.certificate.not_valid_after:
        raise CertificateRefused(rule="expired", certificate="anchor")
