"""Each rule of reset/adapters/certificates.py, broken alone by a real certificate."""

from __future__ import annotations

import ipaddress
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from asn1crypto import core
from asn1crypto import crl as asn1_crl
from asn1crypto import x509 as asn1_x509
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given, settings
from hypothesis import strategies as st

from reset.adapters.certificates import CertificateVerifier, fingerprint, uid_of
from reset.adapters.trust import TrustStore
from reset.errors import CertificateRefused, SignatureRefused
from tests.institution.authority import (
    ISSUING,
    ROOT,
    Authority,
    PrivateKey,
    Profile,
    software_key,
    utc_now,
)

DAY = timedelta(days=1)
POLICY = "1.3.6.1.4.1.99999.1"
KEYS = {
    kind: software_key(kind)
    for kind in ("rsa2048", "rsa1024", "p256", "p384", "p521", "k256", "ed25519")
}
Maker = Callable[..., Authority]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.create(tmp_path_factory.mktemp("pki"))


@pytest.fixture
def fresh(tmp_path: Path) -> Authority:
    """An authority that a test may change."""
    return Authority.create(tmp_path / "fresh")


def store_of(authority: Authority) -> TrustStore:
    return TrustStore([authority.anchors_pem], authority.crl_files, [authority.intermediates_pem])


def person(authority: Authority, profile: Profile | None = None, kind: str = "p256") -> bytes:
    return authority.issue_person(
        uid="u100", name="Ada Holder", public_key=KEYS[kind].public_key(), profile=profile
    )


def refused(authority: Authority, der: bytes, at: datetime | None = None, **more: str) -> str:
    with pytest.raises(CertificateRefused) as caught:
        CertificateVerifier(store_of(authority), **more).verify_client(der, at or utc_now())
    return str(caught.value.data["rule"])


def sign_again(
    der: bytes,
    key: PrivateKey,
    edit: Callable[[core.Sequence], None] = lambda tbs: None,
    *,
    digest: str = "sha256",
    kind: type[core.Sequence] = asn1_x509.Certificate,
) -> bytes:
    """The certificate or CRL ``der``, changed by ``edit`` and signed with a P-256 ``key``."""
    body, algorithm, signature = 0, 1, 2
    whole = kind.load(der)
    whole[body]["signature"] = whole[algorithm] = {"algorithm": f"{digest}_ecdsa"}
    edit(whole[body])
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    used = {"sha256": hashes.SHA256(), "sha1": hashes.SHA1()}[digest]
    whole[signature] = key.sign(whole[body].dump(force=True), ec.ECDSA(used))
    made: bytes = whole.dump(force=True)
    return made


def key_of(authority: Authority, which: str) -> PrivateKey:
    return authority._key(which)


# --- the right ones -------------------------------------------------------------------
@pytest.mark.parametrize("kind", ["rsa2048", "p256", "p384", "p521", "ed25519"])
def test_a_good_certificate_names_its_person(authority: Authority, kind: str) -> None:
    der = person(authority, kind=kind)
    subject = CertificateVerifier(store_of(authority)).verify_client(der, utc_now())
    parsed = x509.load_der_x509_certificate(der)
    assert subject.uid == uid_of(der) == "u100"
    assert subject.fingerprint == fingerprint(der) == parsed.fingerprint(hashes.SHA256()).hex()
    assert subject.serial_number == str(parsed.serial_number)
    assert subject.issuer == "CN=Example Institute Issuing CA,O=Example Institute"
    assert "CN=Ada Holder" in subject.subject
    assert subject.certificate == der


def test_an_authority_can_be_loaded_again(fresh: Authority) -> None:
    again = Authority.load(fresh.directory)
    der = person(again)
    again.revoke(der)
    assert refused(fresh, der) == "revoked"
    assert (fresh.directory / "issuing-key.pem").stat().st_mode & 0o077 == 0


def test_a_server_certificate_is_no_client_certificate(fresh: Authority) -> None:
    certificate, key = fresh.issue_server()
    assert key.stat().st_mode & 0o077 == 0
    der = x509.load_pem_x509_certificate(certificate.read_bytes()).public_bytes(
        serialization.Encoding.DER
    )
    assert refused(fresh, der) == "eku"


# --- one rule broken by the certificate -----------------------------------------------
BAD: dict[str, tuple[str, Profile]] = {
    "expired": ("expired", Profile(starts=-2 * DAY, ends=-DAY)),
    "not yet valid": ("not-yet-valid", Profile(starts=DAY)),
    "purpose of a server": ("eku", Profile(purposes=[ExtendedKeyUsageOID.SERVER_AUTH])),
    "purpose of mail only": ("eku", Profile(purposes=[ExtendedKeyUsageOID.EMAIL_PROTECTION])),
    "any purpose": ("eku", Profile(purposes=[ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE])),
    "no purpose": ("eku", Profile(purposes=())),
    "no key usage": ("key-usage", Profile(key_usages=())),
    "key usage encryption": ("key-usage", Profile(key_usages=["key_encipherment"])),
    "key usage nonRepudiation only": ("key-usage", Profile(key_usages=["content_commitment"])),
    "no UID": ("uid", Profile(uids=())),
    "two UIDs": ("uid", Profile(uids=("u100", "u200"))),
    "the same UID twice": ("uid", Profile(uids=("u100", "u100"))),
    "blank UID": ("uid", Profile(uids=(" ",))),
    "UID with a line break": ("uid", Profile(uids=("u100\nu200",))),
    "UID with a blank at the end": ("uid", Profile(uids=("u100 ",))),
    "very long UID": ("uid", Profile(uids=("u" * 65,))),
    "CA flag": ("ca", Profile(ca=True)),
    "may sign certificates": (
        "ca",
        Profile(ca=True, key_usages=["digital_signature", "key_cert_sign"]),
    ),
    "unknown critical extension": (
        "chain",
        Profile(
            extra=[
                (x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00"), True)
            ]
        ),
    ),
}


@pytest.mark.parametrize(("rule", "profile"), BAD.values(), ids=BAD.keys())
def test_a_certificate_that_breaks_one_rule(
    authority: Authority, rule: str, profile: Profile
) -> None:
    assert refused(authority, person(authority, profile)) == rule


@pytest.mark.parametrize("kind", ["rsa1024", "k256"])
def test_weak_and_unknown_keys(authority: Authority, kind: str) -> None:
    assert refused(authority, person(authority, kind=kind)) == "key-size"


def test_not_der_or_not_one_certificate(authority: Authority) -> None:
    der = person(authority)
    mismatch = asn1_x509.Certificate.load(der)
    mismatch["signature_algorithm"] = {"algorithm": "sha384_ecdsa"}
    bad = {
        "empty": b"",
        "text": b"-----BEGIN CERTIFICATE-----",
        "trailing byte": der + b"\x00",
        "cut": der[:-1],
        "two": der + der,
        "BER": b"\x30\x80" + der[4:] + b"\x00\x00",
        "two algorithms": mismatch.dump(force=True),
        "too large": person(
            authority,
            Profile(
                extra=[
                    (
                        x509.UnrecognizedExtension(
                            x509.ObjectIdentifier("1.2.3"), b"\x00" * 16_384
                        ),
                        False,
                    )
                ]
            ),
        ),
    }
    assert {name: refused(authority, raw) for name, raw in bad.items()} == dict.fromkeys(
        bad, "malformed"
    )


def test_a_signature_with_unused_bits(authority: Authority) -> None:
    """The only byte outside the signed part that could change and still verify."""
    der = person(authority)
    while der[-1] & 1:
        der = person(authority)
    signature = x509.load_der_x509_certificate(der).signature
    place = len(der) - len(signature) - 1
    assert der[place] == 0
    assert refused(authority, der[:place] + b"\x01" + der[place + 1 :]) == "malformed"


def test_an_extension_twice(authority: Authority) -> None:
    def repeat(tbs: core.Sequence) -> None:
        tbs["extensions"].append(tbs["extensions"][0].copy())

    twice = sign_again(person(authority), key_of(authority, ISSUING), repeat)
    assert refused(authority, twice) == "malformed"


def test_a_weak_digest_in_the_chain(authority: Authority) -> None:
    weak = sign_again(person(authority), key_of(authority, ISSUING), digest="sha1")
    assert refused(authority, weak) == "chain"


# --- the path -------------------------------------------------------------------------
def test_another_authority_with_the_same_names(authority: Authority, fresh: Authority) -> None:
    assert refused(authority, person(fresh)) == "chain"


def test_a_self_made_copy_with_key_name_and_serial_of_the_real_one(
    authority: Authority, fresh: Authority
) -> None:
    """Peer failure 27, T12: neither key, nor name, nor serial number is the certificate."""
    real = person(authority)
    serial = x509.load_der_x509_certificate(real).serial_number
    copy = person(fresh, Profile(serial_number=serial))
    stolen_shape = sign_again(real, software_key("p256"))
    assert refused(authority, copy) == "chain"
    assert refused(authority, stolen_shape) == "chain"
    assert fingerprint(real) not in (fingerprint(copy), fingerprint(stolen_shape))


def test_a_self_signed_certificate(authority: Authority) -> None:
    key = software_key("p256")

    def name_itself(tbs: core.Sequence) -> None:
        tbs["issuer"] = tbs["subject"].copy()

    der = authority.issue_person(uid="u1", name="Self", public_key=key.public_key())
    assert refused(authority, sign_again(der, key, name_itself)) == "chain"


def test_an_expired_anchor_vouches_no_more(fresh: Authority) -> None:
    def end_yesterday(tbs: core.Sequence) -> None:
        tbs["validity"]["not_after"] = asn1_x509.Time(name="utc_time", value=utc_now() - DAY)

    der = fresh.certificate(ROOT).public_bytes(serialization.Encoding.DER)
    fresh.anchors_pem.write_bytes(sign_again(der, key_of(fresh, ROOT), end_yesterday))
    assert refused(fresh, person(fresh)) == "expired"


def issue_ca_again(authority: Authority, value: x509.ExtensionType) -> None:
    """The issuing CA's certificate with one extension more."""
    old, root = authority.certificate(), authority.certificate(ROOT)
    builder = (
        x509.CertificateBuilder()
        .subject_name(old.subject)
        .issuer_name(root.subject)
        .public_key(old.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(old.not_valid_before_utc)
        .not_valid_after(old.not_valid_after_utc)
    )
    for one in old.extensions:
        builder = builder.add_extension(one.value, one.critical)
    made = builder.add_extension(value, isinstance(value, x509.NameConstraints)).sign(
        key_of(authority, ROOT), hashes.SHA256()
    )
    authority.intermediates_pem.write_bytes(made.public_bytes(serialization.Encoding.PEM))


@pytest.mark.parametrize(
    ("purposes", "rule"),
    [
        ([ExtendedKeyUsageOID.CLIENT_AUTH], "good"),
        ([ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE], "good"),
        ([ExtendedKeyUsageOID.SERVER_AUTH], "eku"),
        ([ExtendedKeyUsageOID.EMAIL_PROTECTION], "eku"),  # the person's other purpose
    ],
)
def test_a_ca_that_is_limited_to_other_purposes(
    fresh: Authority, purposes: list[x509.ObjectIdentifier], rule: str
) -> None:
    issue_ca_again(fresh, x509.ExtendedKeyUsage(purposes))
    der = person(fresh)
    if rule == "good":
        assert CertificateVerifier(store_of(fresh)).verify_client(der, utc_now()).uid == "u100"
    else:
        assert refused(fresh, der) == rule


IP = ipaddress.ip_network("10.0.0.0/8")
OUTSIDE, INSIDE = ipaddress.ip_address("192.0.2.1"), ipaddress.ip_address("10.0.0.1")


@pytest.mark.parametrize(
    ("permitted", "excluded", "name"),
    [
        ([x509.IPAddress(IP)], None, x509.IPAddress(OUTSIDE)),
        (None, [x509.IPAddress(IP)], x509.IPAddress(INSIDE)),
        ([x509.RFC822Name("uni.example")], None, x509.RFC822Name("ada@elsewhere.example")),
        (None, [x509.RFC822Name("elsewhere.example")], x509.RFC822Name("a@elsewhere.example")),
    ],
)
def test_a_name_outside_the_constraints_of_its_ca(
    fresh: Authority,
    permitted: list[x509.GeneralName] | None,
    excluded: list[x509.GeneralName] | None,
    name: x509.GeneralName,
) -> None:
    """Constraints on addresses of hosts are not understood: whoever has one is refused."""
    issue_ca_again(fresh, x509.NameConstraints(permitted, excluded))
    named = Profile(extra=[(x509.SubjectAlternativeName([name]), False)])
    assert refused(fresh, person(fresh, named)) == "chain"
    assert CertificateVerifier(store_of(fresh)).verify_client(person(fresh), utc_now())


def test_policy(tmp_path: Path, authority: Authority) -> None:
    carrying = Authority.create(tmp_path / "policy", policies=[POLICY])
    good = person(carrying, Profile(policies=[POLICY]))
    verifier = CertificateVerifier(store_of(carrying), policy_oid=POLICY)
    assert verifier.verify_client(good, utc_now()).uid == "u100"
    assert refused(carrying, person(carrying), policy_oid=POLICY) == "policy"
    other = person(carrying, Profile(policies=[POLICY + ".9"]))
    assert refused(carrying, other, policy_oid=POLICY) == "policy"
    any_policy = person(carrying, Profile(policies=["2.5.29.32.0"]))
    assert refused(carrying, any_policy, policy_oid=POLICY) == "policy"
    alone = person(authority, Profile(policies=[POLICY]))
    assert refused(authority, alone, policy_oid=POLICY) == "policy"


# --- revocation -----------------------------------------------------------------------
@pytest.mark.parametrize("url", ["http://pki.invalid/issuing.crl", None])
def test_revoked_whether_or_not_it_names_a_crl(fresh: Authority, url: str | None) -> None:
    store = store_of(fresh)
    der = person(fresh, Profile(crl_url=url))
    assert CertificateVerifier(store).verify_client(der, utc_now()).uid == "u100"
    fresh.revoke(der)
    with pytest.raises(CertificateRefused) as caught:
        CertificateVerifier(store).verify_client(der, utc_now())
    assert caught.value.data["rule"] == "revoked"


def test_a_revoked_issuing_ca(fresh: Authority) -> None:
    fresh.revoke(fresh.certificate(ISSUING).public_bytes(serialization.Encoding.DER))
    assert refused(fresh, person(fresh)) == "revoked"


def test_a_revocation_dated_later_counts_at_once(fresh: Authority) -> None:
    der = person(fresh)
    entry = (
        x509.RevokedCertificateBuilder()
        .serial_number(x509.load_der_x509_certificate(der).serial_number)
        .revocation_date(utc_now() + DAY)
        .build()
    )
    fresh.refresh_crls(revoked={ISSUING: entry})
    assert refused(fresh, der) == "revoked"


def test_stale_crl(fresh: Authority) -> None:
    der = person(fresh)
    assert refused(fresh, der, utc_now() + 8 * DAY) == "crl-stale"
    fresh.refresh_crls(days=-1)
    assert refused(fresh, der) == "crl-stale"


def test_a_crl_from_the_future(fresh: Authority) -> None:
    fresh.refresh_crls(age=-DAY)
    assert refused(fresh, person(fresh)) == "crl-not-yet"


def test_a_crl_that_never_ends(fresh: Authority) -> None:
    def endless(tbs: core.Sequence) -> None:
        del tbs["next_update"]

    old = x509.load_pem_x509_crl(fresh.crl_files[1].read_bytes())
    raw = old.public_bytes(serialization.Encoding.DER)
    fresh.crl_files[1].write_bytes(
        sign_again(raw, key_of(fresh, ISSUING), endless, kind=asn1_crl.CertificateList)
    )
    assert refused(fresh, person(fresh)) == "crl-stale"


@pytest.mark.parametrize("kept", [0, 1])
def test_a_crl_is_missing(authority: Authority, kept: int) -> None:
    store = TrustStore(
        [authority.anchors_pem], [authority.crl_files[kept]], [authority.intermediates_pem]
    )
    with pytest.raises(CertificateRefused) as caught:
        CertificateVerifier(store).verify_client(person(authority), utc_now())
    assert caught.value.data["rule"] == "crl-missing"


def test_a_crl_of_another_authority_with_the_same_names(
    authority: Authority, fresh: Authority
) -> None:
    store = TrustStore([authority.anchors_pem], fresh.crl_files, [authority.intermediates_pem])
    with pytest.raises(CertificateRefused) as caught:
        CertificateVerifier(store).verify_client(person(authority), utc_now())
    assert caught.value.data["rule"] == "crl-missing"


# --- the trust store fails closed (CVE-2023-1664) -------------------------------------
def not_there(path: Path) -> None:
    path.unlink()


def empty(path: Path) -> None:
    path.write_bytes(b"")


def garbage(path: Path) -> None:
    path.write_bytes(b"\x30\x03abc")


def wrong_kind(path: Path) -> None:
    path.write_bytes((path.parent / "root-key.pem").read_bytes())


def a_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def another_end(path: Path) -> None:
    """Of a block whose base64 is good."""
    path.write_bytes(re.sub(rb"-----END .*-----", b"-----END CMS-----", path.read_bytes()))


def junk_inside(path: Path) -> None:
    """Without it the base64 is good."""
    path.write_bytes(path.read_bytes().replace(b"\nM", b"\n%%%!!\nM####", 1))


@pytest.mark.parametrize("name", ["root.pem", "issuing.pem", "root.crl", "issuing.crl"])
@pytest.mark.parametrize(
    "damage", [not_there, empty, garbage, wrong_kind, a_directory, another_end, junk_inside]
)
def test_a_damaged_file_refuses_everybody(
    fresh: Authority, name: str, damage: Callable[[Path], None]
) -> None:
    """Peer failure 28."""
    verifier = CertificateVerifier(store_of(fresh))
    der = person(fresh)
    damage(fresh.directory / name)
    with pytest.raises(CertificateRefused) as in_use:
        verifier.verify_client(der, utc_now())
    with pytest.raises(CertificateRefused) as at_start:
        store_of(fresh)
    assert in_use.value.data["rule"] == at_start.value.data["rule"] == "trust-store"
    why = str(at_start.value.data["why"])
    assert why in ("unreadable", "is empty") or " PEM " in why, why


def test_a_repaired_file_serves_again(fresh: Authority) -> None:
    verifier = CertificateVerifier(store_of(fresh))
    kept = fresh.crl_files[1].read_bytes()
    garbage(fresh.crl_files[1])
    with pytest.raises(CertificateRefused):
        verifier.verify_client(person(fresh), utc_now())
    fresh.crl_files[1].write_bytes(kept)
    assert verifier.verify_client(person(fresh), utc_now()).uid == "u100"


def test_a_store_without_anchors_or_crls(authority: Authority) -> None:
    """Peer failure 28."""
    for anchors, crls in (([], authority.crl_files), ([authority.anchors_pem], [])):
        with pytest.raises(CertificateRefused) as caught:
            TrustStore(anchors, crls)
        assert caught.value.data["rule"] == "trust-store"


def test_an_anchor_that_is_no_ca(fresh: Authority) -> None:
    der = person(fresh)
    fresh.anchors_pem.write_bytes(der)
    with pytest.raises(CertificateRefused) as caught:
        store_of(fresh)
    assert caught.value.data["rule"] == "trust-store"
    assert "basicConstraints lack CA:TRUE" in str(caught.value.data["why"])


def test_cas_without_key_usage(tmp_path: Path) -> None:
    """RFC 5280 sections 6.1.4 n and 6.3.3 f: what is not there limits nothing."""
    authority = Authority.create(tmp_path, key_usages=())
    der = person(authority)
    assert CertificateVerifier(store_of(authority)).verify_client(der, utc_now()).uid == "u100"
    authority.revoke(der)
    assert refused(authority, der) == "revoked"


def test_a_ca_that_may_sign_no_certificates(tmp_path: Path) -> None:
    """Of the anchors or below them; the reason is in words."""
    limited = Authority.create(tmp_path / "limited", key_usages=["crl_sign"])
    whole = Authority.create(tmp_path / "whole")
    for anchors, between in (
        (limited.anchors_pem, whole.intermediates_pem),
        (whole.anchors_pem, limited.intermediates_pem),
    ):
        with pytest.raises(CertificateRefused) as caught:
            TrustStore([anchors], whole.crl_files, [between])
        assert caught.value.data["rule"] == "trust-store"
        assert "keyUsage lacks keyCertSign" in str(caught.value.data["why"])


def test_a_ca_that_may_sign_no_lists(tmp_path: Path) -> None:
    authority = Authority.create(tmp_path, key_usages=["key_cert_sign"])
    assert refused(authority, person(authority)) == "crl-missing"


# --- CAs below a root among the anchors -------------------------------------------------
def bundle_of(authority: Authority, *more: bytes) -> Path:
    """Root and issuing CA in one file, as institutions hand them out."""
    bundle = authority.directory / "bundle.pem"
    parts = (authority.anchors_pem.read_bytes(), authority.intermediates_pem.read_bytes())
    bundle.write_bytes(b"".join((*parts, *more)))
    return bundle


def below_root(authority: Authority, number: int) -> bytes:
    """One more issuing CA, PEM."""
    root, key = authority.certificate(ROOT), key_of(authority, ROOT)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, f"Issuing {number}")])
    made = authority._authority(name, software_key(), root.subject, key, length=0)
    return made.public_bytes(serialization.Encoding.PEM)


def test_an_issuing_ca_among_the_anchors_is_an_intermediate(fresh: Authority) -> None:
    store = TrustStore([bundle_of(fresh)], fresh.crl_files)
    der = [fresh.certificate(w).public_bytes(serialization.Encoding.DER) for w in (ROOT, ISSUING)]
    assert [*store.material().anchors, *store.material().intermediates] == der
    verifier = CertificateVerifier(store)
    good = person(fresh)
    assert verifier.verify_client(good, utc_now()).uid == "u100"
    fresh.revoke(der[1])  # an anchor would never be looked up on a CRL
    with pytest.raises(CertificateRefused) as caught:
        verifier.verify_client(good, utc_now())
    assert caught.value.data["rule"] == "revoked"


def test_a_ca_that_is_configured_twice_counts_once(fresh: Authority) -> None:
    bundle = bundle_of(fresh, *(below_root(fresh, number) for number in range(3)))
    store = TrustStore([bundle], fresh.crl_files, [fresh.intermediates_pem])
    assert (len(store.material().anchors), len(store.material().intermediates)) == (1, 4)
    assert CertificateVerifier(store).verify_client(person(fresh), utc_now()).uid == "u100"


def test_anchors_do_not_go_round_the_limit_of_intermediates(fresh: Authority) -> None:
    bundle = bundle_of(fresh, *(below_root(fresh, number) for number in range(4)))
    with pytest.raises(CertificateRefused) as caught:
        TrustStore([bundle], fresh.crl_files)
    assert caught.value.data["why"] == "too-many"


def test_an_issuing_ca_alone_is_no_anchor(fresh: Authority) -> None:
    with pytest.raises(CertificateRefused) as caught:
        TrustStore([fresh.intermediates_pem], fresh.crl_files)
    assert caught.value.data["rule"] == "trust-store"
    assert "no self-signed anchor" in str(caught.value.data["why"])


# --- path building stays cheap --------------------------------------------------------
def alike(count: int) -> tuple[list[bytes], ec.EllipticCurvePrivateKey]:
    """Self-issued CA certificates of one name, each able to stand above each other."""
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(count + 1)]
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Example Twins")])
    made = [
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(own.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(utc_now() - DAY)
        .not_valid_after(utc_now() + DAY)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .add_extension(
            x509.KeyUsage(False, False, False, False, False, True, True, False, False), True
        )
        .sign(above, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
        for own, above in pairwise(keys)
    ]
    return made, keys[0]


def person_of_twins(authority: Authority, key: PrivateKey) -> bytes:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Example Twins")])

    def move(tbs: core.Sequence) -> None:
        tbs["issuer"] = asn1_x509.Name.load(name.public_bytes())
        tbs["extensions"] = [
            e for e in tbs["extensions"] if e["extn_id"].native != "authority_key_identifier"
        ]

    return sign_again(person(authority), key, move)


def test_nine_cas_of_one_name_are_refused_in_the_configuration(
    authority: Authority, tmp_path: Path
) -> None:
    twins, _ = alike(9)
    bundle = tmp_path / "twins.pem"
    bundle.write_bytes(b"".join(twins))
    with pytest.raises(CertificateRefused) as caught:
        TrustStore([authority.anchors_pem], authority.crl_files, [bundle])
    assert caught.value.data["rule"] == "trust-store"
    assert caught.value.data["why"] == "too-many"


def test_the_worst_configuration_still_answers_quickly(
    authority: Authority, tmp_path: Path
) -> None:
    twins, key = alike(4)
    (tmp_path / "twins.pem").write_bytes(b"".join(twins))
    anchors, _ = alike(16)
    (tmp_path / "anchors.pem").write_bytes(b"".join(anchors))
    store = TrustStore([tmp_path / "anchors.pem"], authority.crl_files, [tmp_path / "twins.pem"])
    started = time.process_time()  # its own work, not that of others beside it
    with pytest.raises(CertificateRefused) as caught:
        CertificateVerifier(store).verify_client(person_of_twins(authority, key), utc_now())
    assert caught.value.data["rule"] == "chain"
    assert time.process_time() - started < 5


# --- the proof by the token's key -----------------------------------------------------
def prove(key: PrivateKey, challenge: bytes) -> bytes:
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(challenge, padding.PKCS1v15(), hashes.SHA256())
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return key.sign(challenge, ec.ECDSA(hashes.SHA256()))
    return key.sign(challenge)


@pytest.mark.parametrize("kind", ["rsa2048", "p256", "p384", "p521", "ed25519"])
def test_proof(authority: Authority, kind: str) -> None:
    verifier = CertificateVerifier(store_of(authority))
    der = person(authority, Profile(starts=-2 * DAY, ends=-DAY), kind)
    proof = prove(KEYS[kind], b"challenge")
    verifier.verify_proof(der, b"challenge", proof)
    other = person(authority, kind="p384" if kind != "p384" else "p256")
    for certificate, challenge, signature in (
        (der, b"challengE", proof),
        (der, b"challenge", proof[:-1] + bytes([proof[-1] ^ 1])),
        (der, b"challenge", b""),
        (der, b"challenge", proof + b"\x00"),
        (other, b"challenge", proof),
        (b"junk", b"challenge", proof),
    ):
        with pytest.raises(SignatureRefused) as caught:
            verifier.verify_proof(certificate, challenge, signature)
        assert caught.value.data["rule"] == "proof"


def test_proof_with_another_rsa_padding_or_a_weak_key(authority: Authority) -> None:
    verifier = CertificateVerifier(store_of(authority))
    key, weak = KEYS["rsa2048"], KEYS["rsa1024"]
    assert isinstance(key, rsa.RSAPrivateKey)
    pss = key.sign(b"c", padding.PSS(padding.MGF1(hashes.SHA256()), 32), hashes.SHA256())
    for kind, proof in (("rsa2048", pss), ("rsa1024", prove(weak, b"c"))):
        with pytest.raises(SignatureRefused):
            verifier.verify_proof(person(authority, kind=kind), b"c", proof)


# --- whatever comes in ----------------------------------------------------------------
@dataclass(frozen=True)
class Target:
    verifier: CertificateVerifier
    der: bytes
    at: datetime


@pytest.fixture(scope="module")
def target(authority: Authority) -> Target:
    der = person(authority)
    return Target(CertificateVerifier(store_of(authority)), der, utc_now())


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_any_changed_byte_is_refused(target: Target, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(target.der) - 1))
    change = data.draw(st.integers(1, 255))
    changed = bytearray(target.der)
    changed[place] ^= change
    with pytest.raises(CertificateRefused):
        target.verifier.verify_client(bytes(changed), target.at)


@settings(max_examples=300, deadline=None)
@given(raw=st.binary(max_size=400))
def test_random_bytes_are_refused(target: Target, raw: bytes) -> None:
    with pytest.raises(CertificateRefused):
        target.verifier.verify_client(raw, target.at)
    with pytest.raises(SignatureRefused):
        target.verifier.verify_proof(target.der, b"challenge", raw)


def test_a_naive_time_is_our_own_mistake(target: Target) -> None:
    with pytest.raises(RuntimeError):
        target.verifier.verify_client(target.der, datetime.now(UTC).replace(tzinfo=None))
