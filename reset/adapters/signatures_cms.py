"""The approver's signature over the statement: a CMS SignedData, checked rule by rule.

The message is taken apart strictly with asn1crypto, and the signature is verified with
``cryptography`` directly over the signed attributes; no CMS library's own verification is in
between, because those accept what the rules below refuse (eprint 2023/1801). The signer's path is
``CertificateVerifier``'s. One verifier serves the web side and, by injection, the custodian.

Rules (S1.95, S1.86, T15, T16; RFC 5652 section 5), each refused with its own word:

1. ``size``, ``encoding``: at most 64 KiB; one PEM block (CMS, PKCS7) or DER that an encoder would
   make again, so in DER order and without trailing bytes.
2. ``statement-form``: the statement is never itself a DER SET, so no signature over attributes
   can pass as one over content, nor the other way.
3. ``signed-data``, ``version``: SignedData with the version numbers that RFC 5652 demands.
4. ``content-type``: the product's own content type, outside and in the signed attributes.
5. ``content``: detached, or the very statement.
6. ``crls``, ``certificates``: no CRLs; one to four certificates; only the signer's is used.
7. ``signers``, ``signer-certificate``: exactly one signer, and exactly one certificate that is
   the signer's.
8. ``signed-attributes``, ``unsigned-attributes``, ``attributes``: signed ones present, each type
   once with one value, content type and message digest among them; no unsigned ones.
9. ``digest``, ``message-digest``: SHA-256, SHA-384 or SHA-512, and the statement's.
10. ``signing-certificate``: where ESS names the signer's certificate, it is this one (RFC 5035).
11. ``algorithm``: fits the key and the digest: RSA PKCS#1 v1.5, ECDSA on P-256 or P-384, Ed25519
    with SHA-512 (RFC 8419).
12. ``signature``: valid.

Then every rule of ``certificates`` at the time of the check, as ``CertificateRefused``; the
signing time that a signer claims counts for nothing.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from asn1crypto import core, parser, tsp
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from pkcs11_driver.wire import STATEMENT_OID
from reset.adapters import strict
from reset.adapters.certificates import CertificateVerifier, Usage
from reset.adapters.trust import TrustStore
from reset.core.identities import Subject
from reset.errors import CertificateRefused, SignatureRefused

SIGNATURE_LIMIT = 65_536  # bytes
CERTIFICATES_LIMIT = 4
SIGNED_DATA = "1.2.840.113549.1.7.2"
CONTENT_TYPE = "1.2.840.113549.1.9.3"
MESSAGE_DIGEST = "1.2.840.113549.1.9.4"
SIGNING_CERTIFICATE = "1.2.840.113549.1.9.16.2.47"  # ESS, version 2
APPROVAL = Usage(
    frozenset({"digital_signature", "content_commitment"}),
    frozenset({ExtendedKeyUsageOID.EMAIL_PROTECTION, ExtendedKeyUsageOID.CLIENT_AUTH}),
)

_PEM = re.compile(
    rb"\s*-----BEGIN (CMS|PKCS7)-----\r?\n([A-Za-z0-9+/=\r\n]+)-----END \1-----\s*", re.ASCII
)
_DIGESTS: dict[str, hashes.HashAlgorithm] = {
    "sha256": hashes.SHA256(),
    "sha384": hashes.SHA384(),
    "sha512": hashes.SHA512(),
}
_SET = (0, 1, 17)  # universal, constructed, SET
_STATEMENT_TYPE = core.ObjectIdentifier(STATEMENT_OID).dump()


class CmsVerifier:
    """Verifies approvals.

    Parameters: ``store``; ``policy_oid``, a certificate policy that signers' paths carry.
    """

    def __init__(self, store: TrustStore, *, policy_oid: str | None = None) -> None:
        self._certificates = CertificateVerifier(store, policy_oid=policy_oid)

    def verify_approval(self, statement: bytes, signature: bytes, at: datetime) -> Subject:
        """Who signed ``statement``, by a certificate that is valid at ``at`` (aware).

        Parameters: ``signature``, CMS as DER or PEM.
        Raises ``SignatureRefused`` and ``CertificateRefused`` with the rule that is broken. That
        the signer is the person whom the statement names is the caller's to check.
        """
        if at.tzinfo is None:
            raise RuntimeError("verification needs an aware time")
        try:
            message = _Message(statement, _parse(signature))
            for rule, holds in _RULES:
                if not holds(message):
                    raise SignatureRefused(rule=rule)
            signer = message.candidates[0].public_bytes(Encoding.DER)
            return self._certificates.verify(signer, at, APPROVAL)
        except (SignatureRefused, CertificateRefused):
            raise
        except Exception as error:  # the verifier's edge fails closed
            raise SignatureRefused(rule="malformed") from error


# --- taking the message apart -------------------------------------------------------------
# asn1crypto's own CMS types parse every known value inside, and their forced re-encoding takes
# exponential time beside default values; these types stop where a rule compares bytes.
def _sequence(*fields: tuple[object, ...]) -> type[core.Sequence]:
    return type("_Sequence", (core.Sequence,), {"_fields": list(fields)})


def _set_of(child: type[core.Asn1Value]) -> type[core.SetOf]:
    return type("_SetOf", (core.SetOf,), {"_child_spec": child})


def _optional(tag: int) -> dict[str, object]:
    return {"implicit": tag, "optional": True}


_ANY_SET = _set_of(core.Any)
_ATTRIBUTES = _set_of(_sequence(("type", core.ObjectIdentifier), ("values", _ANY_SET)))
_CONTENT = _sequence(
    ("type", core.ObjectIdentifier),
    ("content", core.OctetString, {"explicit": 0, "optional": True}),
)
_NAMED = _sequence(("issuer", core.Any), ("serial_number", core.Integer))
_SID = type(
    "_Sid",
    (core.Choice,),
    {"_alternatives": [("named", _NAMED), ("key_id", core.OctetString, {"implicit": 0})]},
)
_SIGNER = _sequence(
    ("version", core.Integer),
    ("sid", _SID),
    ("digest_algorithm", core.Any),
    ("signed_attributes", _ATTRIBUTES, _optional(0)),
    ("signature_algorithm", core.Any),
    ("signature", core.OctetString),
    ("unsigned_attributes", _ATTRIBUTES, _optional(1)),
)
_SIGNED_DATA = _sequence(
    ("version", core.Integer),
    ("digest_algorithms", _ANY_SET),
    ("content", _CONTENT),
    ("certificates", _ANY_SET, _optional(0)),
    ("crls", _ANY_SET, _optional(1)),
    ("signers", _set_of(_SIGNER)),
)
_INFO = _sequence(("type", core.ObjectIdentifier), ("content", _SIGNED_DATA, {"explicit": 0}))


def _parse(raw: bytes) -> core.Sequence:
    if len(raw) > SIGNATURE_LIMIT:
        raise SignatureRefused(rule="size", limit=SIGNATURE_LIMIT)
    try:
        if armour := _PEM.fullmatch(raw):
            raw = base64.b64decode(re.sub(rb"[\r\n]", b"", armour[2]), validate=True)
        info = _INFO.load(raw, strict=True)
        same = info.dump(force=True) == raw
    except Exception as error:  # unknown bytes: whatever the parser raises refuses
        raise SignatureRefused(rule="encoding") from error
    if not same:
        raise SignatureRefused(rule="encoding")
    return info


@dataclass(frozen=True)
class _Message:
    """The parts of a message; a part may be used once the rules above it in ``_RULES`` hold."""

    statement: bytes
    info: core.Sequence

    @property
    def signed(self) -> core.Sequence:
        return self.info["content"]

    @property
    def signer(self) -> core.Sequence:
        return self.signed["signers"][0]

    @property
    def digest(self) -> str:
        """The name of the signer's digest, empty for one that is not allowed."""
        return _DIGEST_NAMES.get(self.signer["digest_algorithm"].dump(), "")

    @cached_property
    def candidates(self) -> list[x509.Certificate]:
        """The certificates in the bag that the signer's identifier names."""
        sid = self.signer["sid"].dump()
        bag = [strict.parse(choice.dump()) for choice in self.signed["certificates"]]
        return [one for one in bag if sid in _identifiers_of(one)]

    @cached_property
    def key(self) -> strict.PublicKey:
        return strict.public_key(self.candidates[0])

    def attribute(self, oid: str) -> bytes | None:
        """The single value of a signed attribute, DER."""
        for attribute in self.signer["signed_attributes"]:
            if attribute["type"].dotted == oid:
                return bytes(attribute["values"][0].dump())
        return None


def _identifiers_of(certificate: x509.Certificate) -> set[bytes]:
    """Both forms of SignerIdentifier for a certificate (RFC 5652 section 5.3), DER."""
    serial = core.Integer(certificate.serial_number).dump()
    found = {parser.emit(0, 1, 16, certificate.issuer.public_bytes() + serial)}
    key_id = strict.extension(certificate, x509.SubjectKeyIdentifier)
    return found | ({parser.emit(2, 0, 0, key_id.digest)} if key_id else set())


# --- algorithm identifiers: compared byte by byte, so no parameter is ever interpreted ----
def _identifiers(*oids: str, null: bool = True) -> frozenset[bytes]:
    """The DER of each algorithm without parameters and, where ``null``, with the NULL ones."""
    bodies = [core.ObjectIdentifier(oid).dump() for oid in oids]
    bodies += [body + core.Null().dump() for body in bodies if null]
    return frozenset(bytes((0x30, len(body))) + body for body in bodies)


_RSA_ENCRYPTION = "1.2.840.113549.1.1.1"
_DIGEST_IDENTIFIERS = {
    "sha256": _identifiers("2.16.840.1.101.3.4.2.1"),
    "sha384": _identifiers("2.16.840.1.101.3.4.2.2"),
    "sha512": _identifiers("2.16.840.1.101.3.4.2.3"),
}
_ECDSA = {
    "sha256": _identifiers("1.2.840.10045.4.3.2", null=False),
    "sha384": _identifiers("1.2.840.10045.4.3.3", null=False),
    "sha512": _identifiers("1.2.840.10045.4.3.4", null=False),
}
_SIGNATURE_IDENTIFIERS: dict[str, dict[str, frozenset[bytes]]] = {  # by key, then digest
    "rsa": {
        "sha256": _identifiers(_RSA_ENCRYPTION, "1.2.840.113549.1.1.11"),
        "sha384": _identifiers(_RSA_ENCRYPTION, "1.2.840.113549.1.1.12"),
        "sha512": _identifiers(_RSA_ENCRYPTION, "1.2.840.113549.1.1.13"),
    },
    "secp256r1": _ECDSA,
    "secp384r1": _ECDSA,
    "ed25519": {"sha512": _identifiers("1.3.101.112", null=False)},
}


_DIGEST_NAMES = {der: name for name, ders in _DIGEST_IDENTIFIERS.items() for der in ders}


def _key_name(key: strict.PublicKey) -> str:
    if isinstance(key, rsa.RSAPublicKey):
        return "rsa"
    return key.curve.name if isinstance(key, ec.EllipticCurvePublicKey) else "ed25519"


# --- the rules, each a rule word and whether it holds -------------------------------------
def _statement_form(message: _Message) -> bool:
    try:
        return bool(message.statement) and parser.parse(message.statement)[:3] != _SET
    except ValueError:
        return True


def _version(message: _Message) -> bool:
    """RFC 5652 sections 5.1 and 5.3: 3 for a content type other than id-data; 1 or 3 by sid."""
    return message.signed["version"].native == 3 and all(
        signer["version"].native == (1 if signer["sid"].name == "named" else 3)
        for signer in message.signed["signers"]
    )


def _content(message: _Message) -> bool:
    content = message.signed["content"]["content"]
    return _absent(content) or bytes(content) == message.statement


def _certificates(message: _Message) -> bool:
    """Plain certificates only: every other choice of CertificateChoices is tagged."""
    found = message.signed["certificates"]
    return (
        not _absent(found)
        and 0 < len(found) <= CERTIFICATES_LIMIT
        and all(choice.dump()[:1] == b"\x30" for choice in found)
    )


def _attributes(message: _Message) -> bool:
    found = message.signer["signed_attributes"]
    types = {attribute["type"].dotted for attribute in found}
    return (
        len(types) == len(found)
        and all(len(attribute["values"]) == 1 for attribute in found)
        and types >= {CONTENT_TYPE, MESSAGE_DIGEST}
    )


def _digest(message: _Message) -> bool:
    named = [_DIGEST_NAMES.get(one.dump()) for one in message.signed["digest_algorithms"]]
    return bool(message.digest) and named == [message.digest]


def _message_digest(message: _Message) -> bool:
    expected = hashlib.new(message.digest, message.statement).digest()
    return bool(message.attribute(MESSAGE_DIGEST) == parser.emit(0, 0, 4, expected))


def _signing_certificate(message: _Message) -> bool:
    value = message.attribute(SIGNING_CERTIFICATE)
    if value is None:
        return True
    named = tsp.SigningCertificateV2.load(value, strict=True)["certs"][0]
    digest = named["hash_algorithm"]["algorithm"].native
    fingerprint = hashlib.new(digest, message.candidates[0].public_bytes(Encoding.DER)).digest()
    return digest in _DIGESTS and bytes(named["cert_hash"]) == fingerprint


def _algorithm(message: _Message) -> bool:
    by_digest = _SIGNATURE_IDENTIFIERS.get(_key_name(message.key), {})
    used = message.signer["signature_algorithm"].dump()
    return used in by_digest.get(message.digest, frozenset())


def _signature(message: _Message) -> bool:
    """RFC 5652 section 5.4: over the attributes as SET OF, not as they are tagged inside."""
    attributes = b"\x31" + message.signer["signed_attributes"].dump()[1:]
    value = message.signer["signature"].native
    try:
        strict.check_signature(message.key, value, attributes, _DIGESTS[message.digest])
    except InvalidSignature:
        return False
    return True


def _absent(part: core.Asn1Value) -> bool:
    return isinstance(part, core.Void)


_RULES: tuple[tuple[str, Callable[[_Message], bool]], ...] = (
    ("statement-form", _statement_form),
    ("signed-data", lambda m: m.info["type"].dotted == SIGNED_DATA),
    ("version", _version),
    ("content-type", lambda m: m.signed["content"]["type"].dotted == STATEMENT_OID),
    ("content", _content),
    ("crls", lambda m: _absent(m.signed["crls"])),
    ("certificates", _certificates),
    ("signers", lambda m: len(m.signed["signers"]) == 1),
    ("signer-certificate", lambda m: len(m.candidates) == 1),
    ("signed-attributes", lambda m: not _absent(m.signer["signed_attributes"])),
    ("unsigned-attributes", lambda m: _absent(m.signer["unsigned_attributes"])),
    ("attributes", _attributes),
    ("content-type", lambda m: m.attribute(CONTENT_TYPE) == _STATEMENT_TYPE),
    ("digest", _digest),
    ("message-digest", _message_digest),
    ("signing-certificate", _signing_certificate),
    ("algorithm", _algorithm),
    ("signature", _signature),
)
