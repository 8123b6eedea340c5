"""Each rule of reset/adapters/revocation.py, broken alone by a really signed list or answer."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from asn1crypto import ocsp as asn1_ocsp
from asn1crypto import x509 as asn1_x509
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given, settings
from hypothesis import strategies as st

from reset.adapters.certificates import CertificateVerifier
from reset.adapters.trust import TrustStore, response_name
from reset.errors import CertificateRefused
from tests.institution.answering import Answer, Signer, delegate
from tests.institution.authority import (
    ISSUING,
    ROOT,
    SLACK,
    Authority,
    Profile,
    software_key,
    utc_now,
)

DAY = timedelta(days=1)
KEY = software_key()
POINT = "http://pki.invalid/issuing.crl"
REVOKED, UNKNOWN = ocsp.OCSPCertStatus.REVOKED, ocsp.OCSPCertStatus.UNKNOWN


def person(authority: Authority, profile: Profile | None = None) -> bytes:
    return authority.issue_person(
        uid="u100", name="Ada Holder", public_key=KEY.public_key(), profile=profile
    )


def verdict(store: TrustStore, der: bytes, at: datetime | None = None) -> str:
    try:
        CertificateVerifier(store).verify_client(der, at or utc_now())
    except CertificateRefused as refused:
        return str(refused.data["rule"])
    return "good"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority.create(tmp_path / "ca")


# --- lists ----------------------------------------------------------------------------
@dataclass(frozen=True)
class Listing:
    """How a CRL of the issuing CA looks; each default is right."""

    number: int | None = 10
    base: int | None = None  # of a delta
    serials: Sequence[int] = ()
    reason: x509.ReasonFlags = x509.ReasonFlags.key_compromise
    starts: timedelta = -SLACK
    ends: timedelta = DAY
    extra: Sequence[tuple[x509.ExtensionType, bool]] = ()
    digest: hashes.HashAlgorithm = field(default_factory=hashes.SHA256)

    def write(
        self, authority: Authority, name: str = "issuing.crl", now: datetime | None = None
    ) -> Path:
        issuer = authority.certificate()
        now = now or utc_now()
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(issuer.subject)
            .last_update(now + self.starts)
            .next_update(now + self.ends)
        )
        extensions = list(self.extra)
        if self.number is not None:
            extensions.append((x509.CRLNumber(self.number), False))
        if self.base is not None:
            extensions.append((x509.DeltaCRLIndicator(self.base), True))
        for value, critical in extensions:
            builder = builder.add_extension(value, critical)
        for serial in self.serials:
            entry = x509.RevokedCertificateBuilder().serial_number(serial)
            entry = entry.revocation_date(now - SLACK)
            entry = entry.add_extension(x509.CRLReason(self.reason), False)
            builder = builder.add_revoked_certificate(entry.build())
        signed = builder.sign(authority._key(ISSUING), self.digest)
        path = authority.directory / name
        path.write_bytes(signed.public_bytes(Encoding.DER))
        return path


def scope(**kinds: object) -> tuple[x509.ExtensionType, bool]:
    usual: dict[str, object] = {
        "full_name": None,
        "relative_name": None,
        "only_contains_user_certs": False,
        "only_contains_ca_certs": False,
        "only_some_reasons": None,
        "indirect_crl": False,
        "only_contains_attribute_certs": False,
    }
    return x509.IssuingDistributionPoint(**usual | kinds), True  # type: ignore[arg-type]


def point(url: str) -> list[x509.GeneralName]:
    return [x509.UniformResourceIdentifier(url)]


FRESHEST = (x509.FreshestCRL([x509.DistributionPoint(point(POINT), None, None, None)]), False)
LISTINGS: dict[str, tuple[str, Listing]] = {
    "as it should be": ("good", Listing()),
    "for people's certificates": ("good", Listing(extra=[scope(only_contains_user_certs=True)])),
    "for its own point": ("good", Listing(extra=[scope(full_name=point(POINT))])),
    "for another point": ("crl-missing", Listing(extra=[scope(full_name=point(POINT + "2"))])),
    "for CAs": ("crl-missing", Listing(extra=[scope(only_contains_ca_certs=True)])),
    "for attributes": ("crl-missing", Listing(extra=[scope(only_contains_attribute_certs=True)])),
    "indirect": ("crl-missing", Listing(extra=[scope(indirect_crl=True)])),
    "for some reasons": (
        "crl-missing",
        Listing(extra=[scope(only_some_reasons=frozenset({x509.ReasonFlags.key_compromise}))]),
    ),
    "with an unknown critical extension": (
        "crl-missing",
        Listing(
            extra=[(x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3"), b"\5\0"), True)]
        ),
    ),
    "with a weak digest": ("crl-missing", Listing(digest=hashes.SHA224())),
    "not yet": ("crl-not-yet", Listing(starts=SLACK)),
    "over": ("crl-stale", Listing(starts=-2 * DAY, ends=-SLACK)),
    "a delta alone": ("crl-missing", Listing(base=9)),
    "announces a delta that is not there": ("crl-missing", Listing(extra=[FRESHEST])),
}


@pytest.mark.parametrize(("rule", "listing"), LISTINGS.values(), ids=LISTINGS.keys())
def test_a_list(authority: Authority, rule: str, listing: Listing) -> None:
    der = person(authority)
    listing.write(authority)
    store = TrustStore([authority.anchors_pem], authority.crl_files, [authority.intermediates_pem])
    assert verdict(store, der) == rule
    if rule == "good":  # and the same list, naming the certificate
        named = replace(listing, serials=[x509.load_der_x509_certificate(der).serial_number])
        named.write(authority)
        assert verdict(store, der) == "revoked"


@pytest.mark.parametrize("reason", x509.ReasonFlags)
def test_every_reason_counts(authority: Authority, reason: x509.ReasonFlags) -> None:
    """The end of a hold, too: a complete list has no such entry, so it is not believed."""
    if reason is x509.ReasonFlags.unspecified:
        reason = x509.ReasonFlags.superseded  # an entry without a reason is in other tests
    der = person(authority)
    serial = x509.load_der_x509_certificate(der).serial_number
    Listing(serials=[serial], reason=reason).write(authority)
    store = TrustStore([authority.anchors_pem], authority.crl_files, [authority.intermediates_pem])
    assert verdict(store, der) == "revoked"


def test_an_old_list_that_is_still_in_force_revokes(authority: Authority) -> None:
    der = person(authority)
    serial = x509.load_der_x509_certificate(der).serial_number
    older = Listing(number=9, starts=-DAY, serials=[serial]).write(authority, "older.crl")
    files = [authority.crl_files[0], Listing().write(authority), older]
    store = TrustStore([authority.anchors_pem], files, [authority.intermediates_pem])
    assert verdict(store, der) == "revoked"


def test_of_lists_before_and_after_the_time_none_is_missing(authority: Authority) -> None:
    """One that is over was there; one that only begins was not, and nor was a delta to it."""
    der = person(authority)
    later = Listing(number=12, starts=SLACK).write(authority, "later.crl")
    over = Listing(number=10, starts=-2 * DAY, ends=-SLACK).write(authority, "over.crl")
    delta = Listing(number=11, base=10).write(authority, "delta.crl")
    for lists, rule in (
        ([later, over], "crl-stale"),
        ([later, delta], "crl-not-yet"),
        ([delta], "crl-missing"),
        ([later, Listing().write(authority)], "good"),
    ):
        files = [authority.crl_files[0], *lists]
        store = TrustStore([authority.anchors_pem], files, [authority.intermediates_pem])
        assert verdict(store, der) == rule


def test_a_list_by_a_certificate_that_may_not_sign_lists(authority: Authority) -> None:
    """The person's own key, under the CA's name."""
    der = person(authority)
    made = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(authority.certificate().subject)
        .last_update(utc_now() - SLACK)
        .next_update(utc_now() + DAY)
        .sign(KEY, hashes.SHA256())
    )
    authority.crl_files[1].write_bytes(made.public_bytes(Encoding.DER))
    store = TrustStore([authority.anchors_pem], authority.crl_files, [authority.intermediates_pem])
    assert verdict(store, der) == "crl-missing"


DELTAS: dict[str, tuple[str, Listing]] = {
    "fits": ("good", Listing(number=11, base=10)),
    "on an older list": ("good", Listing(number=11, base=8)),
    "on a newer list": ("crl-missing", Listing(number=12, base=11)),
    "of another scope": (
        "crl-missing",
        Listing(number=11, base=10, extra=[scope(only_contains_user_certs=True)]),
    ),
    "over": ("crl-missing", Listing(number=11, base=10, starts=-2 * DAY, ends=-SLACK)),
    "complete": ("crl-missing", Listing(number=11, extra=[FRESHEST])),
}


@pytest.mark.parametrize(("rule", "delta"), DELTAS.values(), ids=DELTAS.keys())
def test_a_list_that_announces_deltas_needs_one(
    authority: Authority, rule: str, delta: Listing
) -> None:
    der = person(authority)
    base = Listing(extra=[FRESHEST]).write(authority)
    files = [authority.crl_files[0], base, delta.write(authority, "delta.crl")]
    store = TrustStore([authority.anchors_pem], files, [authority.intermediates_pem])
    assert verdict(store, der) == rule


def test_a_delta_revokes(authority: Authority) -> None:
    der = person(authority)
    serial = x509.load_der_x509_certificate(der).serial_number
    delta = Listing(number=11, base=10, serials=[serial]).write(authority, "delta.crl")
    for base in (Listing(extra=[FRESHEST]), Listing()):
        files = [authority.crl_files[0], base.write(authority), delta]
        store = TrustStore([authority.anchors_pem], files, [authority.intermediates_pem])
        assert verdict(store, der) == "revoked"


def test_a_certificate_that_announces_deltas_needs_one(authority: Authority) -> None:
    der = person(authority, Profile(extra=[FRESHEST]))
    store = TrustStore([authority.anchors_pem], authority.crl_files, [authority.intermediates_pem])
    assert verdict(store, der) == "crl-missing"


# --- answers --------------------------------------------------------------------------
@dataclass(frozen=True)
class Scene:
    """An authority whose issuing CA is asked by OCSP; its own list is not on file."""

    authority: Authority
    der: bytes
    directory: Path
    crls: tuple[Path, ...]

    @property
    def name(self) -> str:
        return response_name(x509.load_der_x509_certificate(self.der))

    def store(self) -> TrustStore:
        return TrustStore(
            [self.authority.anchors_pem],
            self.crls,
            [self.authority.intermediates_pem],
            ocsp_issuers=[self.authority.intermediates_pem],
            responses=[self.directory],
        )

    def verdict(self, answer: Answer | bytes | None, at: datetime | None = None) -> str:
        file = self.directory / self.name
        if answer is not None:
            raw = answer if isinstance(answer, bytes) else answer.about(self.authority, self.der)
            file.write_bytes(raw)
        return verdict(self.store(), self.der, at)


def made_scene(authority: Authority) -> Scene:
    directory = authority.directory / "answers"
    directory.mkdir()
    return Scene(authority, person(authority), directory, authority.crl_files[:1])


@pytest.fixture
def scene(authority: Authority) -> Scene:
    return made_scene(authority)


ANSWERS: dict[str, tuple[str, Answer]] = {
    "good": ("good", Answer()),
    "named by SHA-256": ("good", Answer(naming=hashes.SHA256())),
    "named by SHA-224": ("ocsp-missing", Answer(naming=hashes.SHA224())),
    "signer by its name": ("good", Answer(by_name=True)),
    "revoked": ("revoked", Answer(status=REVOKED)),
    "unknown": ("ocsp-unknown", Answer(status=UNKNOWN)),
    "over": ("ocsp-stale", Answer(starts=-2 * DAY, ends=-SLACK)),
    "without an end": ("ocsp-stale", Answer(ends=None)),
    "not yet": ("ocsp-missing", Answer(starts=SLACK)),
    "of another serial number": ("ocsp-missing", Answer(serial_number=77)),
    "with a nonce": ("good", Answer(extra=((x509.OCSPNonce(b"n" * 16), False),))),
    "with a critical extension": (
        "ocsp-missing",
        Answer(extra=((x509.OCSPNonce(b"n" * 16), True),)),
    ),
}


@pytest.mark.parametrize(("rule", "answer"), ANSWERS.values(), ids=ANSWERS.keys())
def test_an_answer(scene: Scene, rule: str, answer: Answer) -> None:
    assert scene.verdict(answer) == rule


def test_no_answer(scene: Scene) -> None:
    """And a list does not stand in for it."""
    assert scene.verdict(None) == "ocsp-missing"
    both = replace(scene, crls=scene.authority.crl_files)
    assert both.verdict(None) == "ocsp-missing"


def test_answer_and_list_must_both_be_good(scene: Scene) -> None:
    both = replace(scene, crls=scene.authority.crl_files)
    assert both.verdict(Answer()) == "good"
    assert both.verdict(Answer(status=REVOKED)) == "revoked"
    scene.authority.revoke(scene.der)
    assert both.verdict(Answer()) == "revoked"
    scene.authority.refresh_crls(days=-1)
    assert both.verdict(Answer(ends=10 * DAY)) == "crl-stale"


def test_an_answer_for_a_ca_that_needs_none_counts_too(authority: Authority) -> None:
    """A file given on the command line, without any list of the CA."""
    der, file = person(authority), authority.directory / "answer"
    for answer, rule in ((Answer(), "good"), (Answer(status=REVOKED), "revoked")):
        file.write_bytes(answer.about(authority, der))
        store = TrustStore(
            [authority.anchors_pem],
            authority.crl_files[:1],
            [authority.intermediates_pem],
            responses=[file],
        )
        assert verdict(store, der) == rule
    other = person(authority)  # the answer is not about this one
    assert verdict(store, other) == "crl-missing"


def test_no_answer_in_the_directory_stands_in_for_a_list(scene: Scene) -> None:
    """Whoever writes there cannot choose which of the two is asked for."""
    (scene.directory / scene.name).write_bytes(Answer().about(scene.authority, scene.der))
    ca = scene.authority
    for crls, rule in ((scene.crls, "crl-missing"), (ca.crl_files, "good")):
        store = TrustStore(
            [ca.anchors_pem], crls, [ca.intermediates_pem], responses=[scene.directory]
        )
        assert verdict(store, scene.der) == rule


def test_of_another_authority_with_the_same_names(scene: Scene, tmp_path: Path) -> None:
    other = Authority.create(tmp_path / "other")
    forged = Signer(other.certificate(), other._key(ISSUING), enclosed=False)
    assert scene.verdict(Answer(signer=forged)) == "ocsp-missing"
    assert scene.verdict(Answer(signer=forged, by_name=True)) == "ocsp-missing"
    named = Answer(of=other.certificate())  # ours signed, but about the other's certificate
    assert scene.verdict(named) == "ocsp-missing"


def test_the_root_does_not_answer_for_the_issuing_ca(scene: Scene) -> None:
    root = Signer(scene.authority.certificate(ROOT), scene.authority._key(ROOT))
    assert scene.verdict(Answer(signer=root)) == "ocsp-missing"


# --- responders -----------------------------------------------------------------------
NO_CHECK = (x509.OCSPNoCheck(), False)
RIGHT = Profile(
    purposes=[ExtendedKeyUsageOID.OCSP_SIGNING], uids=(), crl_url=None, extra=[NO_CHECK]
)
STRANGE = (x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3"), b"\5\0"), True)
RESPONDERS: dict[str, tuple[str, Profile]] = {
    "right": ("good", RIGHT),
    "for mail, too": (
        "good",
        replace(RIGHT, purposes=[*RIGHT.purposes, ExtendedKeyUsageOID.EMAIL_PROTECTION]),
    ),
    "a person": ("ocsp-missing", replace(RIGHT, purposes=[ExtendedKeyUsageOID.CLIENT_AUTH])),
    "for any purpose": (
        "ocsp-missing",
        replace(RIGHT, purposes=[ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE]),
    ),
    "for no purpose": ("ocsp-missing", replace(RIGHT, purposes=())),
    "may not sign": ("ocsp-missing", replace(RIGHT, key_usages=["key_encipherment"])),
    "over": ("ocsp-missing", replace(RIGHT, starts=-2 * DAY, ends=-DAY)),
    "not yet": ("ocsp-missing", replace(RIGHT, starts=DAY)),
    "of the root": ("ocsp-missing", replace(RIGHT, issuer=ROOT)),
    "unknown critical extension": ("ocsp-missing", replace(RIGHT, extra=[NO_CHECK, STRANGE])),
    "its revocation nowhere": ("ocsp-missing", replace(RIGHT, extra=())),
}


@pytest.mark.parametrize(("rule", "profile"), RESPONDERS.values(), ids=RESPONDERS.keys())
@pytest.mark.parametrize("by_name", [False, True])
def test_a_responder(scene: Scene, rule: str, profile: Profile, by_name: bool) -> None:
    signer = delegate(scene.authority, profile)
    assert scene.verdict(Answer(signer=signer, by_name=by_name)) == rule


@pytest.mark.parametrize("kind", ["rsa2048", "p384", "ed25519"])
def test_keys_of_responders(scene: Scene, kind: str) -> None:
    assert scene.verdict(Answer(signer=delegate(scene.authority, kind=kind))) == "good"


def test_a_weak_key_of_a_responder(scene: Scene) -> None:
    assert scene.verdict(Answer(signer=delegate(scene.authority, kind="rsa1024"))) == "ocsp-missing"


def test_a_responder_that_is_not_enclosed(scene: Scene) -> None:
    signer = replace(delegate(scene.authority), enclosed=False)
    assert scene.verdict(Answer(signer=signer)) == "ocsp-missing"


def test_another_certificate_with_the_responders_name(scene: Scene, tmp_path: Path) -> None:
    real, fake = delegate(scene.authority), delegate(Authority.create(tmp_path / "other"))
    raw = Answer(signer=real).about(scene.authority, scene.der)
    assert scene.verdict(changed(raw, lambda basic: None, fake.key)) == "ocsp-missing"
    assert scene.verdict(Answer(signer=fake, by_name=True)) == "ocsp-missing"
    both = Answer(signer=real, by_name=True).about(scene.authority, scene.der)

    def put_in_front(basic: asn1_ocsp.BasicOCSPResponse) -> None:
        other = asn1_x509.Certificate.load(fake.certificate.public_bytes(Encoding.DER))
        basic["certs"] = [other, basic["certs"][0].copy()]

    assert scene.verdict(changed(both, put_in_front, real.key)) == "good"
    assert scene.verdict(changed(both, put_in_front, fake.key)) == "ocsp-missing"


def test_a_responder_on_the_list(scene: Scene) -> None:
    """Without the waiver its own revocation is asked for, by the list of its CA."""
    both = replace(scene, crls=scene.authority.crl_files)
    plain = delegate(scene.authority, replace(RIGHT, extra=()))
    assert both.verdict(Answer(signer=plain)) == "good"
    scene.authority.revoke(plain.certificate.public_bytes(Encoding.DER))
    assert both.verdict(Answer(signer=plain)) == "ocsp-missing"


# --- what a file may hold -------------------------------------------------------------
def changed(raw: bytes, edit: Callable[[asn1_ocsp.BasicOCSPResponse], None], key: object) -> bytes:
    """The response, changed and signed again with a P-256 key."""
    whole = asn1_ocsp.OCSPResponse.load(raw)
    basic = whole["response_bytes"]["response"].parsed
    edit(basic)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    data = basic["tbs_response_data"].dump(force=True)
    basic["signature"] = key.sign(data, ec.ECDSA(hashes.SHA256()))
    whole["response_bytes"]["response"] = asn1_ocsp.BasicOCSPResponse.load(basic.dump(force=True))
    made: bytes = whole.dump(force=True)
    return made


def test_an_answer_about_two_certificates(scene: Scene) -> None:
    """Also with a good one in front: nobody has to find out which part is meant."""

    def twice(basic: asn1_ocsp.BasicOCSPResponse) -> None:
        answers = basic["tbs_response_data"]["responses"]
        answers.append(answers[0].copy())

    raw = Answer().about(scene.authority, scene.der)
    key = scene.authority._key(ISSUING)
    assert scene.verdict(changed(raw, lambda basic: None, key)) == "good"
    assert scene.verdict(changed(raw, twice, key)) == "ocsp-missing"


def test_too_many_certificates_enclosed(scene: Scene) -> None:
    signer = delegate(scene.authority)
    raw = Answer(signer=signer).about(scene.authority, scene.der)

    def stuff(basic: asn1_ocsp.BasicOCSPResponse) -> None:
        for _ in range(4):
            basic["certs"].append(basic["certs"][0].copy())

    assert scene.verdict(changed(raw, stuff, signer.key)) == "ocsp-missing"


def test_no_success_no_answer(scene: Scene) -> None:
    failed = ocsp.OCSPResponseBuilder.build_unsuccessful(ocsp.OCSPResponseStatus.TRY_LATER)
    assert scene.verdict(failed.public_bytes(Encoding.DER)) == "ocsp-missing"


def test_what_is_no_answer_at_all(scene: Scene) -> None:
    raw = Answer().about(scene.authority, scene.der)
    for junk in (b"", b"junk", raw[:-1], raw + b"\0"):
        assert scene.verdict(junk) == "ocsp-missing"
    assert scene.verdict(raw + b"\0" * 65_536) == "trust-store"


def test_a_file_that_is_none(scene: Scene) -> None:
    """A pipe would hold the custodian up for ever."""
    os.mkfifo(scene.directory / scene.name)
    assert scene.verdict(None) == "trust-store"


def test_a_list_that_is_no_file(scene: Scene) -> None:
    pipe = scene.directory / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(CertificateRefused) as caught:
        TrustStore([scene.authority.anchors_pem], [pipe])
    assert (caught.value.data["rule"], caught.value.data["file"]) == ("trust-store", "pipe")


def test_a_responder_of_a_ca_outside_the_store(scene: Scene, tmp_path: Path) -> None:
    """Else a wrong file in the settings would quietly ask nobody."""
    other = Authority.create(tmp_path / "other")
    with pytest.raises(CertificateRefused) as caught:
        TrustStore(
            [scene.authority.anchors_pem],
            scene.authority.crl_files,
            [scene.authority.intermediates_pem],
            ocsp_issuers=[other.intermediates_pem],
            responses=[scene.directory],
        )
    assert caught.value.data["rule"] == "trust-store"


@dataclass(frozen=True)
class Target:
    scene: Scene
    raw: bytes


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Target:
    made = made_scene(Authority.create(tmp_path_factory.mktemp("ca")))
    raw = Answer().about(made.authority, made.der)
    while not raw[-1] & 1:  # the last bit of a signature could be called unused: the same answer
        raw = Answer().about(made.authority, made.der)
    return Target(made, raw)


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_any_changed_byte_of_an_answer_is_refused(data: st.DataObject, target: Target) -> None:
    changed_one = bytearray(target.raw)
    place = data.draw(st.integers(0, len(changed_one) - 1))
    changed_one[place] ^= data.draw(st.integers(1, 255))
    assert target.scene.verdict(bytes(changed_one)) != "good"
