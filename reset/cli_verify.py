"""Operator commands that verify offline what the service accepted, by the service's own code.

``verify-approval`` checks in this order what service and custodian check of an approval as such:

1. The statement is one, and approves (``core.approvals.parse``).
2. The holder neither approves nor is the one acted for (S1.96).
3. It is fresh at the given time (S1.94).
4. The signature is good over these bytes, by a certificate that is good then (S1.95).
5. The signer is the approver whom the statement names, and not the holder
   (``core.approvals.check_signer``).

The custodian calls the same functions. The service makes the statement itself, for the person who
is logged in, and compares the signer with that person, so that its refusal names nobody else.

What only the service's database and directory know is not asked here: whether the certificate was
enrolled, whether the approver was entitled, whether the approval was used before.
"""

from __future__ import annotations

import argparse
import functools
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from reset.adapters import armour
from reset.adapters.armour import Unusable
from reset.adapters.certificates import CLIENT_LOGIN, CertificateVerifier
from reset.adapters.signatures_cms import APPROVAL, CmsVerifier
from reset.adapters.trust import TrustStore
from reset.cli_audit import read
from reset.core import approvals
from reset.core.approvals import Statement
from reset.core.identities import Subject
from reset.errors import CertificateRefused, ResetError

Arguments = argparse.Namespace
FILES = (
    ("--anchors", True, "root certificates"),
    ("--intermediates", False, "certificates of issuing CAs"),
    ("--crl", True, "a CRL; one of each CA in the path is needed"),
    ("--ocsp", False, "an OCSP response; its certificate then needs no CRL"),
)
USAGES = {"client": CLIENT_LOGIN, "approval": APPROVAL}
SUBJECT = 1_000  # characters that are shown of one

# what each rule asks for; the rules are those of the modules that refuse by them
EXPECTED = {
    "statement-refused": {
        "malformed": "a statement, byte by byte as the service made it",
        "not-an-approval": f"{approvals.FORMAT} {approvals.ACTION} {approvals.DECISION}",
        "expired": "a time from requested-at on and before valid-until",
    },
    "self-approval": {
        "approver": "an approver who is not the holder",
        "acting-for": "acting-for: -, or somebody who is not the holder",
        "signer": "the signature of the approver, not of the holder",
    },
    "signature-refused": {
        "signer": "the signature of the approver whom the statement names",
        "size": "at most 64 KiB",
        "encoding": "one CMS signature, whole, in DER or one PEM block without text around it",
        "malformed": "a CMS signature",
        "statement-form": "a statement that is text",
        "signed-data": "CMS SignedData",
        "version": "the version numbers of RFC 5652",
        "content-type": "the product's own content type",
        "content": "no content, or the very statement",
        "crls": "no CRLs in the signature",
        "certificates": "one to four plain certificates in the signature",
        "signers": "exactly one signer",
        "signer-certificate": "exactly one certificate of the signer",
        "signed-attributes": "signed attributes",
        "unsigned-attributes": "no unsigned attributes",
        "attributes": "content type and message digest, each attribute once with one value",
        "digest": "SHA-256, SHA-384 or SHA-512",
        "message-digest": "a signature over this very statement",
        "signing-certificate": "the certificate that the signer named",
        "algorithm": "an algorithm that fits key and digest",
        "signature": "a signature by the signer's key",
    },
    "certificate-refused": {
        "trust-store": "whole files of CA certificates, CRLs and OCSP responses",
        "malformed": "one X.509 certificate, DER or PEM, at most 16 KiB",
        "key-size": "RSA from 2048 to 8192 bits, P-256, P-384, P-521 or Ed25519",
        "ca": "the certificate of a person, not of a CA",
        "key-usage": "digitalSignature, or nonRepudiation for an approval",
        "eku": "clientAuth, or emailProtection for an approval",
        "uid": "exactly one UID in the subject",
        "chain": "a path to one of the anchors",
        "expired": "certificates and an anchor that are valid at that time",
        "not-yet-valid": "certificates that are valid at that time",
        "revoked": "certificates that are on no list",
        "crl-missing": "a complete CRL of each CA in the path, signed by that CA",
        "crl-not-yet": "a CRL that begins before that time",
        "crl-stale": "a CRL that ends after that time",
        "ocsp-missing": "an OCSP response that counts, of before that time",
        "ocsp-stale": "an OCSP response that ends after that time",
        "ocsp-unknown": "an OCSP response that knows the certificate",
    },
}


def _explained(command: Callable[[Arguments], None], arguments: Arguments) -> None:
    """Run a command; its refusal says what was ``expected``, too."""
    try:
        command(arguments)
    except ResetError as refused:
        words = EXPECTED.get(refused.code, {}).get(str(refused.data.get("rule")))
        if words:
            refused.data["expected"] = words
        raise


def _verify_certificate(arguments: Arguments) -> None:
    verifier = CertificateVerifier(_store(arguments))
    try:
        der = armour.certificate(read(arguments.file))
    except Unusable as error:
        raise CertificateRefused(
            rule="malformed", file=arguments.file.name, why=str(error)
        ) from None
    subject = verifier.verify(der, arguments.at, USAGES[arguments.usage])
    print(f"good at {_shown(arguments.at)}: {_person(subject)}")


def _verify_approval(arguments: Arguments) -> None:
    raw, signature = read(arguments.statement), read(arguments.file)
    statement = approvals.parse(raw)
    approvals.check_apart(statement)
    approvals.check_fresh(statement, arguments.at)
    signer = CmsVerifier(_store(arguments)).verify_approval(raw, signature, arguments.at)
    approvals.check_signer(statement, signer.uid)
    print(f"good at {_shown(arguments.at)}: signed by {_person(signer)}")
    for name, value in _told(statement):
        print(f"{name}: {value}")


def _told(statement: Statement) -> tuple[tuple[str, str], ...]:
    since, until = statement.requested_at, statement.valid_until
    return (
        ("approver", f"UID {statement.approver_uid}, {statement.approver_name}"),
        ("acting for", statement.acting_for),
        ("holder", f"UID {statement.holder_uid}, {statement.holder_name}"),
        ("token", statement.token_serial),
        ("request", statement.request),
        ("service", statement.service),
        ("valid", f"from {_shown(since)} until before {_shown(until)}"),
    )


def _person(subject: Subject) -> str:
    # a name with line feeds could write lines of its own
    return f"UID {subject.uid}, {approvals.one_line(subject.subject, SUBJECT)}"


def _store(arguments: Arguments) -> TrustStore:
    return TrustStore(
        arguments.anchors, arguments.crl, arguments.intermediates, responses=arguments.ocsp
    )


def _shown(at: datetime) -> str:
    return f"{at:%F %T} UTC"


def _time(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        form = "2030-01-31T12:00:00 (UTC) or 2030-01-31T12:00:00+01:00"
        raise argparse.ArgumentTypeError(f"expected a time as {form}, not {text!r}") from None


def add_arguments(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the commands by ``add(names, action, about, settings=…)``."""
    for name, action, verified in (
        ("verify-certificate", _verify_certificate, "a person's certificate"),
        ("verify-approval", _verify_approval, "an approval: statement and signature"),
    ):
        about = f"verify {verified} offline, with the service's own rules"
        verify = add(name, functools.partial(_explained, action), about, settings=False)
        for option, needed, what in FILES:
            verify.add_argument(
                option,
                metavar="FILE",
                type=Path,
                action="append",
                default=None if needed else [],
                required=needed,
                help=f"{what}, PEM or DER; may be repeated",
            )
        verify.add_argument("--at", type=_time, required=True, help="ISO 8601, UTC without offset")
        if name == "verify-approval":
            verify.add_argument(
                "--statement", type=Path, required=True, help="the file that was signed"
            )
            verify.add_argument("file", type=Path, help="its signature, PEM or DER")
        else:
            verify.add_argument(
                "--usage", choices=tuple(USAGES), default="client", help="what it is used for"
            )
            verify.add_argument("file", type=Path, help="the certificate, PEM or DER")
