"""The approval as CMS SignedData (RFC 5652), signed by a key on a token.

Detached, DER, one signer named by issuer and serial number, only the signer's certificate, SHA-256.
Signed attributes, in DER order: contentType = ``STATEMENT_OID``, messageDigest. There is no
signingTime: nobody may rely on a time that the signer chose.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from asn1crypto import cms, x509
from asn1crypto.algos import DigestAlgorithm, SignedDigestAlgorithm

from pkcs11_driver.errors import CertificateNotFound
from pkcs11_driver.operations import Signed
from pkcs11_driver.wire import STATEMENT_OID


def signed_statement(statement: bytes, sign: Callable[[bytes], Signed]) -> bytes:
    """The detached SignedData over ``statement``, in DER.

    ``sign`` gets the DER of the signed attributes as a SET OF (RFC 5652 section 5.4) and signs
    them with SHA-256; its certificate names the signer.
    Raises ``CertificateNotFound`` when ``sign`` has no certificate, and what ``sign`` raises.
    """
    attributes = cms.CMSAttributes(
        [
            cms.CMSAttribute({"type": "content_type", "values": [STATEMENT_OID]}),
            cms.CMSAttribute(
                {"type": "message_digest", "values": [hashlib.sha256(statement).digest()]}
            ),
        ]
    )
    signed = sign(attributes.dump())
    if not signed.certificate:
        raise CertificateNotFound
    return _signed_data(attributes, signed)


def _signed_data(attributes: cms.CMSAttributes, signed: Signed) -> bytes:
    certificate = x509.Certificate.load(signed.certificate)
    digest = DigestAlgorithm({"algorithm": "sha256"})
    signer = cms.SignerInfo(
        {
            "version": "v1",
            "sid": cms.SignerIdentifier(
                name="issuer_and_serial_number",
                value=cms.IssuerAndSerialNumber(
                    {
                        "issuer": certificate.issuer,
                        "serial_number": certificate.serial_number,
                    }
                ),
            ),
            "digest_algorithm": digest,
            "signed_attrs": attributes,
            "signature_algorithm": SignedDigestAlgorithm({"algorithm": signed.algorithm}),
            "signature": signed.signature,
        }
    )
    data = cms.SignedData(
        {
            # version 3 whenever the content is not id-data (RFC 5652 section 5.1)
            "version": "v3",
            "digest_algorithms": [digest],
            "encap_content_info": {"content_type": STATEMENT_OID},
            "certificates": [certificate],
            "signer_infos": [signer],
        }
    )
    return bytes(cms.ContentInfo({"content_type": "signed_data", "content": data}).dump())
