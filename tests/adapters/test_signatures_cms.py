"""Each rule of reset/adapters/signatures_cms.py, broken alone by a really signed message."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from asn1crypto import cms, core, parser, tsp
from asn1crypto import crl as asn1_crl
from asn1crypto import x509 as asn1_x509
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.ocsp import OCSPCertStatus
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given, settings
from hypothesis import strategies as st

from pkcs11_driver.wire import STATEMENT_OID
from reset.adapters.signatures_cms import CmsVerifier
from reset.adapters.trust import TrustStore, response_name
from reset.errors import CertificateRefused, SignatureRefused
from tests.institution.answering import Answer
from tests.institution.authority import (
    Authority,
    PrivateKey,
    Profile,
    key_pem,
    software_key,
    utc_now,
)

DAY = timedelta(days=1)
STATEMENT = b"format: token-reset-approval/1\naction: reset-user-pin\nrequest: 4711\n"
KEYS = {k: software_key(k) for k in ("rsa2048", "rsa1024", "p256", "p384", "p521", "ed25519")}
HASHES: dict[str, hashes.HashAlgorithm] = {
    "sha1": hashes.SHA1(),
    "sha256": hashes.SHA256(),
    "sha384": hashes.SHA384(),
    "sha512": hashes.SHA512(),
}


def _same(part: object) -> None:
    """The default edit: none."""


@dataclass(frozen=True)
class Recipe:
    """How a message is made; each default is right, each other value breaks one rule."""

    certificate: bytes
    kind: str = "p256"
    digest: str = "sha256"
    algorithm: str | None = None
    statement: bytes = STATEMENT
    content: bytes | None = None
    content_type: str = STATEMENT_OID
    by_key_id: bool = False
    more_certificates: Sequence[bytes] = ()
    attributes: Callable[[list[cms.CMSAttribute]], None] = _same
    signer: Callable[[cms.SignerInfo], None] = _same
    signed: Callable[[cms.SignedData], None] = _same
    more_attributes: Sequence[tuple[str, core.Asn1Value]] = field(default=())


def make(recipe: Recipe) -> bytes:
    """The message, DER; ``signer`` and ``signed`` change it after it is signed."""
    values = [
        ("content_type", cms.ContentType(recipe.content_type)),
        ("message_digest", hashlib.new(recipe.digest, recipe.statement).digest()),
        *recipe.more_attributes,
    ]
    found = [cms.CMSAttribute({"type": name, "values": [value]}) for name, value in values]
    recipe.attributes(found)
    attributes = cms.CMSAttributes(found)
    names, algorithm = sign(KEYS[recipe.kind], attributes.dump(), recipe.digest)
    certificate = asn1_x509.Certificate.load(recipe.certificate)
    signer = cms.SignerInfo(
        {
            "version": "v3" if recipe.by_key_id else "v1",
            "sid": _sid(certificate, recipe.by_key_id),
            "digest_algorithm": {"algorithm": recipe.digest},
            "signed_attrs": attributes,
            "signature_algorithm": {"algorithm": recipe.algorithm or algorithm},
            "signature": names,
        }
    )
    recipe.signer(signer)
    content: dict[str, object] = {"content_type": recipe.content_type}
    if recipe.content is not None:
        content["content"] = recipe.content
    bag = [recipe.certificate, *recipe.more_certificates]
    signed = cms.SignedData(
        {
            "version": "v3",
            "digest_algorithms": [{"algorithm": recipe.digest}],
            "encap_content_info": content,
            "certificates": [
                cms.CertificateChoices("certificate", asn1_x509.Certificate.load(der))
                for der in bag
            ],
            "signer_infos": [signer],
        }
    )
    recipe.signed(signed)
    info = cms.ContentInfo({"content_type": "signed_data", "content": signed})
    made: bytes = info.dump()
    return made


def _sid(certificate: asn1_x509.Certificate, by_key_id: bool) -> cms.SignerIdentifier:
    if by_key_id:
        return cms.SignerIdentifier("subject_key_identifier", certificate.key_identifier)
    named = {"issuer": certificate.issuer, "serial_number": certificate.serial_number}
    return cms.SignerIdentifier("issuer_and_serial_number", named)


def sign(key: PrivateKey, data: bytes, digest: str) -> tuple[bytes, str]:
    """The signature and the usual name of its algorithm."""
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(data, padding.PKCS1v15(), HASHES[digest]), f"{digest}_rsa"
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return key.sign(data, ec.ECDSA(HASHES[digest])), f"{digest}_ecdsa"
    return key.sign(data), "ed25519"


@dataclass(frozen=True)
class Office:
    """An authority, a verifier that trusts it, and one certificate for each kind of key."""

    authority: Authority
    verifier: CmsVerifier
    at: datetime
    of: dict[str, bytes]

    def refused(self, signature: bytes, statement: bytes = STATEMENT) -> str:
        with pytest.raises((SignatureRefused, CertificateRefused)) as caught:
            self.verifier.verify_approval(statement, signature, self.at)
        return f"{caught.value.code.split('-')[0]} {caught.value.data['rule']}"


def open_office(directory: Path) -> Office:
    authority = Authority.create(directory)
    store = TrustStore([authority.anchors_pem], authority.crl_files, [authority.intermediates_pem])
    of = {kind: certify(authority, kind) for kind in KEYS}
    return Office(authority, CmsVerifier(store), utc_now(), of)


def certify(authority: Authority, kind: str = "p256", profile: Profile | None = None) -> bytes:
    return authority.issue_person(
        uid="u200", name="Bo Approver", public_key=KEYS[kind].public_key(), profile=profile
    )


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Office:
    return open_office(tmp_path_factory.mktemp("pki"))


@pytest.fixture
def own_office(tmp_path: Path) -> Office:
    """One that a test may change."""
    return open_office(tmp_path / "own")


def pem(label: str, der: bytes) -> bytes:
    body = base64.encodebytes(der).decode()
    return f"-----BEGIN {label}-----\n{body}-----END {label}-----\n".encode()


# --- the right ones -------------------------------------------------------------------
GOOD: dict[str, dict[str, object]] = {
    "RSA": {"kind": "rsa2048"},
    "RSA, SHA-512": {"kind": "rsa2048", "digest": "sha512"},
    "RSA, plain name": {"kind": "rsa2048", "algorithm": "rsassa_pkcs1v15"},
    "P-256": {"kind": "p256"},
    "P-384": {"kind": "p384", "digest": "sha384"},
    "Ed25519": {"kind": "ed25519", "digest": "sha512"},
    "with content": {"content": STATEMENT},
    "by key identifier": {"by_key_id": True},
}


@pytest.mark.parametrize("recipe", GOOD.values(), ids=GOOD.keys())
def test_a_good_signature_names_its_signer(office: Office, recipe: dict[str, object]) -> None:
    der = office.of[str(recipe.get("kind", "p256"))]
    made = make(Recipe(der, **recipe))  # type: ignore[arg-type]
    windows = pem("CMS", made).replace(b"\n", b"\r\n")
    for form in (made, pem("CMS", made), pem("PKCS7", made), windows):
        subject = office.verifier.verify_approval(STATEMENT, form, office.at)
        assert (subject.uid, subject.certificate) == ("u200", der)


def test_more_attributes_and_certificates_do_no_harm(office: Office) -> None:
    issuer = office.authority.certificate().public_bytes(serialization.Encoding.DER)
    recipe = Recipe(
        office.of["p256"],
        more_certificates=[issuer, office.of["rsa2048"], office.of["p384"]],
        more_attributes=[
            ("signing_time", cms.Time(name="utc_time", value=office.at - 900 * DAY)),
            ess(office.of["p256"]),
        ],
    )
    assert office.verifier.verify_approval(STATEMENT, make(recipe), office.at).uid == "u200"


@pytest.mark.parametrize("usage", ["digital_signature", "content_commitment"])
@pytest.mark.parametrize(
    "purpose", [ExtendedKeyUsageOID.EMAIL_PROTECTION, ExtendedKeyUsageOID.CLIENT_AUTH]
)
def test_each_usage_of_the_allow_list(
    office: Office, usage: str, purpose: x509.ObjectIdentifier
) -> None:
    der = certify(office.authority, "p256", Profile(purposes=[purpose], key_usages=[usage]))
    assert office.verifier.verify_approval(STATEMENT, make(Recipe(der)), office.at).uid == "u200"


@pytest.mark.parametrize("kind", ["rsa2048", "p256"])
@pytest.mark.parametrize(
    "options",
    [
        ["-nosmimecap", "-outform", "DER"],
        ["-nosmimecap", "-outform", "PEM"],
        ["-outform", "DER", "-nodetach"],
        ["-outform", "DER", "-keyid", "-md", "sha384"],
        ["-outform", "DER", "-cades", "-certfile", "chain"],
    ],
    ids=" ".join,
)
def test_signed_by_openssl(office: Office, tmp_path: Path, kind: str, options: list[str]) -> None:
    pem_of = x509.load_der_x509_certificate(office.of[kind]).public_bytes
    (tmp_path / "signer").write_bytes(pem_of(serialization.Encoding.PEM))
    (tmp_path / "key").write_bytes(key_pem(KEYS[kind]))
    (tmp_path / "chain").write_bytes(office.authority.intermediates_pem.read_bytes())
    (tmp_path / "statement").write_bytes(STATEMENT)
    command = "openssl cms -sign -binary -in statement -signer signer -inkey key -out signature"
    subprocess.run(
        [*command.split(), "-econtent_type", STATEMENT_OID, *options], cwd=tmp_path, check=True
    )
    signature = (tmp_path / "signature").read_bytes()
    assert office.verifier.verify_approval(STATEMENT, signature, office.at).uid == "u200"
    assert office.refused(signature, STATEMENT + b"x: y\n").startswith("signature ")


# --- one rule broken by the message ---------------------------------------------------
def ess(certificate: bytes, digest: str = "sha256") -> tuple[str, core.Asn1Value]:
    named = tsp.ESSCertIDv2(
        {
            "hash_algorithm": {"algorithm": digest},
            "cert_hash": hashlib.new(digest, certificate).digest(),
        }
    )
    return "signing_certificate_v2", tsp.SigningCertificateV2({"certs": [named]})


def twice(attributes: list[cms.CMSAttribute]) -> None:
    attributes.append(cms.CMSAttribute({"type": "message_digest", "values": [b"\x01" * 32]}))


def two_values(attributes: list[cms.CMSAttribute]) -> None:
    attributes[1]["values"].append(b"\x01" * 32)


def drop_attribute(place: int) -> Callable[[list[cms.CMSAttribute]], None]:
    return lambda attributes: attributes.__delitem__(place)


def set_attribute(place: int, value: object) -> Callable[[list[cms.CMSAttribute]], None]:
    def edit(attributes: list[cms.CMSAttribute]) -> None:
        attributes[place]["values"] = [value]

    return edit


def set_part(name: str, value: object) -> Callable[[core.Sequence], None]:
    return lambda part: part.__setitem__(name, value)


def drop_part(name: str) -> Callable[[core.Sequence], None]:
    return lambda part: part.__delitem__(name)


def two_signers(signed: cms.SignedData) -> None:
    signed["signer_infos"].append(signed["signer_infos"][0].copy())


def no_signer(signed: cms.SignedData) -> None:
    signed["signer_infos"] = []


def sign_content(signer: cms.SignerInfo) -> None:
    """A valid signature without signed attributes (RFC 5652 section 5.4)."""
    del signer["signed_attrs"]
    signer["signature"], _ = sign(KEYS["p256"], STATEMENT, "sha256")


def other_type(signed: cms.SignedData) -> None:
    signed["encap_content_info"] = {"content_type": "1.2.3.4"}


def other_choice(signed: cms.SignedData) -> None:
    other = {"other_cert_format": "1.2.3", "other_cert": core.Null()}
    signed["certificates"].append(cms.CertificateChoices("other", other))


UNSIGNED = [cms.CMSAttribute({"type": "1.2.3.4", "values": [core.Null()]})]
WRONG_SHA256 = hashlib.sha256(b"another statement").digest()

BAD: dict[str, tuple[str, dict[str, object]]] = {
    "id-data": ("content-type", {"content_type": "1.2.840.113549.1.7.1"}),
    "another content type": ("content-type", {"content_type": "1.2.3.4"}),
    "content type differs in the attribute": (
        "content-type",
        {"attributes": set_attribute(0, "1.2.840.113549.1.7.1")},
    ),
    "content type differs outside": ("content-type", {"signed": other_type}),
    "another content": ("content", {"content": STATEMENT + b"\n"}),
    "empty content": ("content", {"content": b""}),
    "no signed attributes": ("signed-attributes", {"signer": sign_content}),
    "an attribute type twice": ("attributes", {"attributes": twice}),
    "an attribute with two values": ("attributes", {"attributes": two_values}),
    "no content type attribute": ("attributes", {"attributes": drop_attribute(0)}),
    "no message digest attribute": ("attributes", {"attributes": drop_attribute(1)}),
    "another message digest": ("message-digest", {"attributes": set_attribute(1, WRONG_SHA256)}),
    "unsigned attribute": ("unsigned-attributes", {"signer": set_part("unsigned_attrs", UNSIGNED)}),
    "SHA-1": ("digest", {"digest": "sha1"}),
    "digests differ": (
        "digest",
        {"signed": set_part("digest_algorithms", [{"algorithm": "sha512"}])},
    ),
    "two digests": (
        "digest",
        {
            "signed": set_part(
                "digest_algorithms", [{"algorithm": "sha256"}, {"algorithm": "sha512"}]
            )
        },
    ),
    "no digests": ("digest", {"signed": set_part("digest_algorithms", [])}),
    "algorithm of another key": ("algorithm", {"algorithm": "sha256_rsa"}),
    "algorithm of another digest": ("algorithm", {"algorithm": "sha384_ecdsa"}),
    "Ed25519 with SHA-256": ("algorithm", {"kind": "ed25519"}),
    "P-521": ("algorithm", {"kind": "p521", "digest": "sha512"}),
    "RSA-PSS": ("algorithm", {"kind": "rsa2048", "algorithm": "rsassa_pss"}),
    "no signature": ("signature", {"signer": set_part("signature", b"")}),
    "signed by another key": (
        "signature",
        {"signer": set_part("signature", sign(software_key(), b"x", "sha256")[0])},
    ),
    "two signers": ("signers", {"signed": two_signers}),
    "no signer": ("signers", {"signed": no_signer}),
    "no certificates": ("certificates", {"signed": drop_part("certificates")}),
    "another kind of certificate": ("certificates", {"signed": other_choice}),
    "version 1": ("version", {"signed": set_part("version", "v1")}),
    "signer version 3": ("version", {"signer": set_part("version", "v3")}),
}


@pytest.mark.parametrize(("rule", "recipe"), BAD.values(), ids=BAD.keys())
def test_a_message_that_breaks_one_rule(
    office: Office, rule: str, recipe: dict[str, object]
) -> None:
    der = office.of[str(recipe.get("kind", "p256"))]
    made = make(Recipe(der, **recipe))  # type: ignore[arg-type]
    assert office.refused(made) == f"signature {rule}"


def test_another_statement(office: Office) -> None:
    made = make(Recipe(office.of["p256"]))
    assert office.refused(made, STATEMENT.replace(b"4711", b"4712")) == "signature message-digest"
    with_content = make(Recipe(office.of["p256"], content=STATEMENT))
    assert office.refused(with_content, STATEMENT + b" ") == "signature content"
    assert office.refused(made, b"") == "signature statement-form"


def test_a_crl_inside(office: Office) -> None:
    raw = x509.load_pem_x509_crl(office.authority.crl_files[1].read_bytes())
    crl = asn1_crl.CertificateList.load(raw.public_bytes(serialization.Encoding.DER))
    inside = [cms.RevocationInfoChoice("crl", crl)]
    made = make(Recipe(office.of["p256"], signed=set_part("crls", inside)))
    assert office.refused(made) == "signature crls"


def test_forged_attributes(office: Office) -> None:
    """Peer failure 37: signedAttrs dropped, their DER put forward as the content."""
    kept: list[bytes] = []

    def forge(signer: cms.SignerInfo) -> None:
        kept.append(b"\x31" + signer["signed_attrs"].dump()[1:])
        del signer["signed_attrs"]

    detached = make(Recipe(office.of["p256"], signer=forge))
    content = kept.pop()
    attached = make(Recipe(office.of["p256"], content=content, signer=forge))
    certificate = x509.load_der_x509_certificate(office.of["p256"])
    for made in (detached, attached):
        assert office.refused(made, content) == "signature statement-form"
        assert office.refused(made) in ("signature signed-attributes", "signature content")
    signature = cms.ContentInfo.load(detached)["content"]["signer_infos"][0]["signature"].native
    key = certificate.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    key.verify(signature, content, ec.ECDSA(hashes.SHA256()))  # the attack itself is sound


def test_a_signature_over_a_set_as_statement(office: Office) -> None:
    """Peer failure 37."""
    statement = cms.CMSAttributes(UNSIGNED).dump()
    made = make(Recipe(office.of["p256"], statement=statement))
    assert office.refused(made, statement) == "signature statement-form"


def test_encoding(office: Office) -> None:
    der = make(Recipe(office.of["p256"]))
    set_of = cms.ContentInfo.load(der)["content"]["signer_infos"][0]["signed_attrs"]
    first, second = (attribute.dump() for attribute in set_of)
    bad = {
        "empty": b"",
        "indefinite length": b"\x30\x80" + der[4:] + b"\x00\x00",
        "length in three bytes": b"\x30\x83\x00" + der[2:],
        "trailing byte": der + b"\x00",
        "cut": der[:-1],
        "twice": der + der,
        "attributes in another order": der.replace(first + second, second + first),
        "PEM with another label": pem("CERTIFICATE", der),
        "PEM with two blocks": pem("CMS", der) + pem("CMS", der),
        "PEM with text before": b"hello\n" + pem("CMS", der),
        "PEM with trailing DER": pem("CMS", der + b"\x00"),
        "PEM labels differ": pem("CMS", der).replace(b"END CMS", b"END PKCS7"),
        "PEM without padding": pem("CMS", der + b"\x00").replace(b"=", b""),
    }
    assert {name: office.refused(raw) for name, raw in bad.items()} == dict.fromkeys(
        bad, "signature encoding"
    )


def test_another_cms_type(office: Office) -> None:
    data = cms.ContentInfo({"content_type": "data", "content": STATEMENT}).dump()
    assert office.refused(data) == "signature encoding"
    signed, enveloped = (cms.ContentType(name).dump() for name in ("signed_data", "enveloped_data"))
    made = make(Recipe(office.of["p256"])).replace(signed, enveloped, 1)
    assert office.refused(made) == "signature signed-data"


def test_sizes(office: Office) -> None:
    big = core.OctetString(b"\x00" * 65_536)
    made = make(Recipe(office.of["p256"], more_attributes=[("1.2.3.4", big)]))
    assert office.refused(made) == "signature size"
    four_more = [office.of[kind] for kind in ("rsa2048", "rsa1024", "p384", "ed25519")]
    made = make(Recipe(office.of["p256"], more_certificates=four_more))
    assert office.refused(made) == "signature certificates"


# --- the signer's certificate ---------------------------------------------------------
def test_signer_named_by_no_certificate_or_by_two(office: Office) -> None:
    stranger = asn1_x509.Certificate.load(office.of["p384"])
    made = make(Recipe(office.of["p256"], signer=set_part("sid", _sid(stranger, False))))
    assert office.refused(made) == "signature signer-certificate"
    again = certify(office.authority)  # the same key, so the same key identifier
    made = make(Recipe(office.of["p256"], by_key_id=True, more_certificates=[again]))
    assert office.refused(made) == "signature signer-certificate"
    made = make(Recipe(office.of["p256"], more_certificates=[office.of["p256"]]))
    assert office.refused(made) == "signature signer-certificate"


def test_ess_names_another_certificate(office: Office) -> None:
    for value in (ess(office.of["p384"]), ess(office.of["p256"], "sha1")):
        made = make(Recipe(office.of["p256"], more_attributes=[value]))
        assert office.refused(made) == "signature signing-certificate"


@pytest.mark.parametrize(
    ("rule", "profile"),
    [
        ("expired", Profile(starts=-2 * DAY, ends=-DAY)),
        ("not-yet-valid", Profile(starts=DAY)),
        ("eku", Profile(purposes=[ExtendedKeyUsageOID.CODE_SIGNING])),
        ("eku", Profile(purposes=())),
        ("key-usage", Profile(key_usages=["key_encipherment"])),
        ("key-usage", Profile(key_usages=())),
        ("ca", Profile(ca=True)),
        ("uid", Profile(uids=())),
        ("uid", Profile(uids=("u100", "u200"))),
    ],
)
def test_a_certificate_that_breaks_one_rule(office: Office, rule: str, profile: Profile) -> None:
    made = make(Recipe(certify(office.authority, "p256", profile)))
    assert office.refused(made) == f"certificate {rule}"


def test_a_claimed_signing_time_revives_no_expired_certificate(office: Office) -> None:
    der = certify(office.authority, "p256", Profile(starts=-9 * DAY, ends=-DAY))
    then = cms.Time(name="utc_time", value=office.at - 2 * DAY)
    made = make(Recipe(der, more_attributes=[("signing_time", then)]))
    assert office.refused(made) == "certificate expired"


def test_a_weak_key(office: Office) -> None:
    made = make(Recipe(office.of["rsa1024"], kind="rsa1024"))
    assert office.refused(made) == "certificate key-size"


def test_another_authority_with_the_same_names(office: Office, own_office: Office) -> None:
    """The same key, name and serial number, certified by somebody else (CVE-2025-6037)."""
    serial = x509.load_der_x509_certificate(office.of["p256"]).serial_number
    copy = certify(own_office.authority, "p256", Profile(serial_number=serial))
    chain = own_office.authority.certificate().public_bytes(serialization.Encoding.DER)
    made = make(Recipe(copy, more_certificates=[chain]))
    assert office.refused(made) == "certificate chain"
    assert own_office.verifier.verify_approval(STATEMENT, made, own_office.at).uid == "u200"


@pytest.mark.parametrize("url", ["http://pki.invalid/issuing.crl", None])
def test_a_revoked_signer(own_office: Office, url: str | None) -> None:
    der = certify(own_office.authority, "p256", Profile(crl_url=url))
    made = make(Recipe(der))
    own_office.verifier.verify_approval(STATEMENT, made, own_office.at)
    own_office.authority.revoke(der)
    assert own_office.refused(made) == "certificate revoked"


def test_stale_and_missing_crls(own_office: Office) -> None:
    made = make(Recipe(own_office.of["p256"]))
    authority = own_office.authority
    partial = TrustStore(
        [authority.anchors_pem], authority.crl_files[:1], [authority.intermediates_pem]
    )
    with pytest.raises(CertificateRefused) as caught:
        CmsVerifier(partial).verify_approval(STATEMENT, made, own_office.at)
    assert caught.value.data["rule"] == "crl-missing"
    authority.refresh_crls(days=-1)
    assert own_office.refused(made) == "certificate crl-stale"
    authority.crl_files[1].unlink()
    assert own_office.refused(made) == "certificate trust-store"


def test_a_signer_whose_ca_is_asked_by_ocsp(own_office: Office) -> None:
    """No answer, a good one, one that revokes; the CA's list is not on file."""
    authority, der = own_office.authority, own_office.of["p256"]
    directory, made = authority.directory / "answers", make(Recipe(der))
    directory.mkdir()
    store = TrustStore(
        [authority.anchors_pem],
        authority.crl_files[:1],
        [authority.intermediates_pem],
        ocsp_issuers=[authority.intermediates_pem],
        responses=[directory],
    )
    asked = replace(own_office, verifier=CmsVerifier(store))
    assert asked.refused(made) == "certificate ocsp-missing"
    file = directory / response_name(x509.load_der_x509_certificate(der))
    file.write_bytes(Answer().about(authority, der))
    assert asked.verifier.verify_approval(STATEMENT, made, own_office.at).uid == "u200"
    file.write_bytes(Answer(status=OCSPCertStatus.REVOKED).about(authority, der))
    assert asked.refused(made) == "certificate revoked"


def test_the_configured_policy_is_asked_of_signers(office: Office) -> None:
    authority = office.authority
    store = TrustStore([authority.anchors_pem], authority.crl_files, [authority.intermediates_pem])
    with pytest.raises(CertificateRefused) as caught:
        CmsVerifier(store, policy_oid="1.2.3.4").verify_approval(
            STATEMENT, make(Recipe(office.of["p256"])), office.at
        )
    assert caught.value.data["rule"] == "policy"


# --- the worst messages of 64 KiB are answered quickly ---------------------------------
def many_ess(office: Office) -> bytes:
    """asn1crypto's forced re-encoding takes minutes for this one."""
    digest = hashlib.sha256(office.of["p256"]).digest()
    named = parser.emit(0, 1, 16, core.OctetString(digest).dump())
    value = parser.emit(0, 1, 16, parser.emit(0, 1, 16, named * 1_600))
    more = [("signing_certificate_v2", tsp.SigningCertificateV2.load(value))]
    return make(Recipe(office.of["p256"], more_attributes=more))


def many_attributes(office: Office) -> bytes:
    more = [(f"1.2.{n}", core.Null()) for n in range(3, 4_500)]
    return make(Recipe(office.of["p256"], more_attributes=more))


def many_digests(office: Office) -> bytes:
    digests = [{"algorithm": f"1.2.{n}"} for n in range(3, 6_000)]
    return make(Recipe(office.of["p256"], signed=set_part("digest_algorithms", digests)))


def many_values(office: Office) -> bytes:
    def fill(attributes: list[cms.CMSAttribute]) -> None:
        found = cms.CMSAttribute({"type": "1.2.3"})
        found["values"] = [core.Integer(n) for n in range(13_000)]
        attributes.append(found)

    return make(Recipe(office.of["p256"], attributes=fill))


def deep(office: Office) -> bytes:
    value = b"\x05\x00"
    while len(value) < 60_000:
        value = parser.emit(0, 1, 16, value)
    nested = core.Any.load(value)
    return make(Recipe(office.of["p256"], more_attributes=[("1.2.3", nested)]))


@pytest.mark.parametrize(
    "worst", [many_ess, many_attributes, many_digests, many_values, deep], ids=lambda f: f.__name__
)
def test_no_message_takes_long(office: Office, worst: Callable[[Office], bytes]) -> None:
    made = worst(office)
    assert 40_000 < len(made) <= 65_536
    started = time.process_time()  # its own work, not that of others beside it
    with contextlib.suppress(SignatureRefused):
        office.verifier.verify_approval(STATEMENT, made, office.at)
    assert time.process_time() - started < 2


# --- whatever comes in ----------------------------------------------------------------
@dataclass(frozen=True)
class Target:
    office: Office
    forms: tuple[bytes, ...]


@pytest.fixture(scope="module")
def target(office: Office) -> Target:
    plain = Recipe(office.of["p256"], more_attributes=[ess(office.of["p256"])])
    attached = Recipe(office.of["rsa2048"], kind="rsa2048", content=STATEMENT)
    by_key = Recipe(office.of["ed25519"], kind="ed25519", digest="sha512", by_key_id=True)
    return Target(office, tuple(make(recipe) for recipe in (plain, attached, by_key)))


def change(data: st.DataObject, raw: bytes) -> bytes:
    changed = bytearray(raw)
    changed[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    return bytes(changed)


@settings(max_examples=600, deadline=None)
@given(data=st.data())
def test_any_changed_byte_of_the_signature_is_refused(target: Target, data: st.DataObject) -> None:
    target.office.refused(change(data, data.draw(st.sampled_from(target.forms))))


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_any_changed_byte_of_the_statement_is_refused(target: Target, data: st.DataObject) -> None:
    changed = change(data, STATEMENT)
    assert target.office.refused(data.draw(st.sampled_from(target.forms)), changed).startswith(
        "signature "
    )


@settings(max_examples=300, deadline=None)
@given(raw=st.binary(max_size=300), statement=st.binary(max_size=100))
def test_random_bytes_are_refused(target: Target, raw: bytes, statement: bytes) -> None:
    target.office.refused(raw, statement)
    target.office.refused(pem("CMS", raw), statement)
    target.office.refused(target.forms[0], statement)


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_cut_and_joined_messages_are_refused(target: Target, data: st.DataObject) -> None:
    raw = data.draw(st.sampled_from(target.forms))
    start, end = sorted(data.draw(st.tuples(*[st.integers(0, len(raw))] * 2)))
    target.office.refused(raw[:start] + data.draw(st.binary(max_size=8)) + b"\x00" + raw[end:])


def test_a_naive_time_is_our_own_mistake(target: Target) -> None:
    with pytest.raises(RuntimeError):
        target.office.verifier.verify_approval(
            STATEMENT, target.forms[0], target.office.at.replace(tzinfo=None)
        )
