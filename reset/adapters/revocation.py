"""Whether a certificate is revoked: CRLs and OCSP responses, checked by ourselves.

Rules (S1.95, T12; RFC 5280 section 6.3, RFC 6960 section 3.2), each refused with its own word:

1. What is on file for the issuer must all show the certificate good: its CRL, where there is one
   or no responder is asked for; its OCSP response, where one is asked for or there is one.
2. ``revoked``: any list or answer that counts names the certificate, for whatever reason and from
   whatever date; an entry that ends a hold counts as one that revokes.
3. ``crl-missing``: a list counts if the key that signed the certificate signed it, too, with a
   digest that we allow; if it is complete for certificates of this kind: neither indirect, nor for
   some reasons only, nor for another distribution point; and without a critical extension that we
   do not know. One that announces deltas counts together with a delta that fits.
4. ``ocsp-missing``: an answer counts if it is about this certificate alone, and if the issuer
   signed it, or somebody whom the issuer made a responder, whose own certificate is valid and,
   unless the issuer waived that, on no list.
5. ``crl-not-yet``, ``crl-stale``, ``ocsp-stale``: it is in force at the given time; one without an
   end never is. An OCSP response of a later time counts as none.
6. ``ocsp-unknown``: the responder does not know the certificate.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID

from reset.adapters import strict
from reset.adapters.strict import extension
from reset.adapters.trust import RESPONSE_LIMIT, Evidence
from reset.errors import CertificateRefused

Crl = x509.CertificateRevocationList
RESPONDERS_LIMIT = 4  # certificates in one response
DIGESTS = (hashes.SHA256, hashes.SHA384, hashes.SHA512)
# they only name the issuer in a response; every responder knows SHA-1 (RFC 5019 section 2.1.1)
_NAMING = (hashes.SHA1, *DIGESTS)
_KNOWN_CRITICAL = (x509.IssuingDistributionPoint, x509.CRLNumber, x509.DeltaCRLIndicator)


def check(
    certificate: x509.Certificate, issuer: x509.Certificate, evidence: Evidence, at: datetime
) -> None:
    """Nothing on file says that ``certificate`` is revoked at ``at``, and enough says it is not.

    ``issuer``: the CA above it in a validated path. Raises ``CertificateRefused``.
    """
    answers = [one for raw in evidence.responses if (one := answer(raw, certificate, issuer))]
    answered = evidence.responder or bool(answers)
    if not answered or any(one.issuer == issuer.subject for one in evidence.lists):
        _check_lists(certificate, issuer, evidence.lists, at)
    if answered:
        statuses = {one.certificate_status for one in in_force(answers, issuer, evidence.lists, at)}
        if ocsp.OCSPCertStatus.REVOKED in statuses:
            raise CertificateRefused(rule="revoked")
        if statuses != {ocsp.OCSPCertStatus.GOOD}:
            raise CertificateRefused(rule="ocsp-unknown")


class _Dated(Protocol):
    @property
    def next_update_utc(self) -> datetime | None: ...


# --- lists --------------------------------------------------------------------------------
def is_signed(crl: Crl, issuer: x509.Certificate) -> bool:
    """Whether this CA signed this list, and may (RFC 5280 section 6.3.3 f, g)."""
    try:
        usage = extension(issuer, x509.KeyUsage)
        digest = crl.signature_hash_algorithm  # None: the key fixes it
        return (
            crl.issuer == issuer.subject
            and (usage is None or usage.crl_sign)
            and (digest is None or isinstance(digest, DIGESTS))
            and crl.is_signature_valid(strict.public_key(issuer))
        )
    except Exception:  # noqa: BLE001 - a list that cannot be verified does not count
        return False


def _check_lists(
    certificate: x509.Certificate, issuer: x509.Certificate, lists: Sequence[Crl], at: datetime
) -> None:
    counting = [one for one in lists if _covers(one, certificate) and is_signed(one, issuer)]
    whole = [one for one in counting if not extension(one, x509.DeltaCRLIndicator)]
    if not whole:
        raise CertificateRefused(rule="crl-missing")
    if all(one.last_update_utc > at for one in whole):
        raise CertificateRefused(rule="crl-not-yet")
    current = [one for one in counting if one.last_update_utc <= at and _not_over(one, at)]
    complete = [one for one in current if one in whole]
    deltas = [one for one in current if one not in whole]
    if not complete:
        raise CertificateRefused(rule="crl-stale")
    if not any(_has_its_delta(one, certificate, deltas) for one in complete):
        raise CertificateRefused(rule="crl-missing", list="delta")
    serial = certificate.serial_number
    if any(one.get_revoked_certificate_by_serial_number(serial) for one in current):
        raise CertificateRefused(rule="revoked")


def _covers(crl: Crl, certificate: x509.Certificate) -> bool:
    """Whether the list is meant to name this certificate if it is revoked, whatever for."""
    critical = (one.value for one in crl.extensions if one.critical)
    if not all(isinstance(value, _KNOWN_CRITICAL) for value in critical):
        return False
    scope = extension(crl, x509.IssuingDistributionPoint)
    if scope is None:
        return True
    constraints = extension(certificate, x509.BasicConstraints)
    is_ca = bool(constraints and constraints.ca)
    if (
        scope.indirect_crl
        or scope.only_some_reasons
        or scope.only_contains_attribute_certs
        or (scope.only_contains_user_certs if is_ca else scope.only_contains_ca_certs)
        or scope.relative_name
    ):
        return False
    return scope.full_name is None or not _points(certificate).isdisjoint(scope.full_name)


def _points(certificate: x509.Certificate) -> set[x509.GeneralName]:
    """The names of the distribution points where the issuer itself lists the certificate."""
    found = extension(certificate, x509.CRLDistributionPoints) or ()
    return {name for point in found if not point.crl_issuer for name in point.full_name or ()}


def _has_its_delta(crl: Crl, certificate: x509.Certificate, deltas: Sequence[Crl]) -> bool:
    """RFC 5280 section 5.2.4: the same scope, and made on top of this list or an older one."""
    if not extension(crl, x509.FreshestCRL) and not extension(certificate, x509.FreshestCRL):
        return True
    number, scope = extension(crl, x509.CRLNumber), extension(crl, x509.IssuingDistributionPoint)
    return any(
        number is not None
        and (base := extension(delta, x509.DeltaCRLIndicator)) is not None
        and base.crl_number <= number.crl_number
        and extension(delta, x509.IssuingDistributionPoint) == scope
        for delta in deltas
    )


def _not_over(dated: _Dated, at: datetime) -> bool:
    return dated.next_update_utc is not None and at <= dated.next_update_utc


# --- answers of a responder ---------------------------------------------------------------
def answer(
    raw: bytes, certificate: x509.Certificate, issuer: x509.Certificate
) -> ocsp.OCSPResponse | None:
    """The response, if it is about this certificate and nothing else (RFC 6960 section 4.1.1)."""
    try:
        response = ocsp.load_der_ocsp_response(raw) if len(raw) <= RESPONSE_LIMIT else None
        if response is None or response.response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
            return None
        naming = response.hash_algorithm
        builder = ocsp.OCSPRequestBuilder().add_certificate(certificate, issuer, naming)
        asked = builder.build()
    except Exception:  # noqa: BLE001 - a file that is no answer counts as none
        return None
    about = (response.serial_number, response.issuer_name_hash, response.issuer_key_hash)
    same = about == (asked.serial_number, asked.issuer_name_hash, asked.issuer_key_hash)
    return response if same and isinstance(naming, _NAMING) else None


def in_force(
    answers: Sequence[ocsp.OCSPResponse],
    issuer: x509.Certificate,
    lists: Sequence[Crl],
    at: datetime,
) -> list[ocsp.OCSPResponse]:
    """Those of ``answers`` that count at ``at``, whatever they say; never none.

    Raises ``CertificateRefused``: ``ocsp-missing``, ``ocsp-stale``.
    """
    counting = [one for one in answers if _authentic(one, issuer, lists, at)]
    started = [one for one in counting if one.this_update_utc <= at]
    if not started:
        raise CertificateRefused(rule="ocsp-missing")
    found = [one for one in started if _not_over(one, at)]
    if not found:
        raise CertificateRefused(rule="ocsp-stale")
    return found


def _authentic(
    response: ocsp.OCSPResponse, issuer: x509.Certificate, lists: Sequence[Crl], at: datetime
) -> bool:
    """Signed by the issuer, or by a responder of its own (RFC 6960 section 4.2.2.2)."""
    try:
        known = not any(one.critical for one in (*response.extensions, *response.single_extensions))
        signers = (issuer, *response.certificates)
        named = [one for one in signers if _is_named(one, response)]
    except Exception:  # noqa: BLE001 - an answer that cannot be taken apart does not count
        return False
    few = len(signers) <= 1 + RESPONDERS_LIMIT
    return known and few and any(_signed_answer(response, s, issuer, lists, at) for s in named)


def _signed_answer(
    response: ocsp.OCSPResponse,
    signer: x509.Certificate,
    issuer: x509.Certificate,
    lists: Sequence[Crl],
    at: datetime,
) -> bool:
    try:
        if signer != issuer:
            _check_responder(signer, issuer, lists, at)
        digest = response.signature_hash_algorithm  # None: the key fixes it
        if digest is not None and not isinstance(digest, DIGESTS):
            return False
        key, data = strict.public_key(signer), response.tbs_response_bytes
        strict.check_signature(key, response.signature, data, digest or hashes.SHA512())
    except Exception:  # noqa: BLE001 - an answer that cannot be verified does not count
        return False
    return True


def _is_named(signer: x509.Certificate, response: ocsp.OCSPResponse) -> bool:
    """Whether the response says that this is who signed it."""
    if response.responder_name is not None:
        return signer.subject == response.responder_name
    key_id = x509.SubjectKeyIdentifier.from_public_key(strict.public_key(signer))
    return key_id.digest == response.responder_key_hash


def _check_responder(
    signer: x509.Certificate, issuer: x509.Certificate, lists: Sequence[Crl], at: datetime
) -> None:
    """The issuer itself made it a responder; anything else raises."""
    strict.parse(signer.public_bytes(Encoding.DER))
    purposes = extension(signer, x509.ExtendedKeyUsage)
    usage = extension(signer, x509.KeyUsage)
    unknown = [
        one
        for one in signer.extensions
        if one.critical and isinstance(one.value, x509.UnrecognizedExtension)
    ]
    digest = signer.signature_hash_algorithm
    signer.verify_directly_issued_by(issuer)
    if not (
        purposes
        and ExtendedKeyUsageOID.OCSP_SIGNING in purposes
        and (usage is None or usage.digital_signature)
        and (digest is None or isinstance(digest, DIGESTS))
        and not unknown
        and signer.not_valid_before_utc <= at <= signer.not_valid_after_utc
    ):
        raise ValueError("no responder")
    if extension(signer, x509.OCSPNoCheck) is None:
        _check_lists(signer, issuer, lists, at)
