"""A small real certification authority: root, issuing CA, CRLs, persons and servers.

For the demo and the tests. It issues good certificates by default; every parameter of ``Profile``
makes one kind of bad one. All of it lies in one directory as PEM, so a demo can be started again.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID, NameOID

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey

ROOT, ISSUING = "root", "issuing"
SLACK = timedelta(minutes=5)  # everything is valid a little earlier than it is made
CA_KEY_USAGES = ("key_cert_sign", "crl_sign")
PERSON_PURPOSES = (ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.EMAIL_PROTECTION)

_KEYS: dict[str, Callable[[], PrivateKey]] = {
    "rsa1024": lambda: rsa.generate_private_key(65537, 1024),
    "rsa2048": lambda: rsa.generate_private_key(65537, 2048),
    "p256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "p384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "p521": lambda: ec.generate_private_key(ec.SECP521R1()),
    "k256": lambda: ec.generate_private_key(ec.SECP256K1()),
    "ed25519": ed25519.Ed25519PrivateKey.generate,
}
_KEY_USAGES = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
)


def software_key(kind: str = "p256") -> PrivateKey:
    """A fresh key: ``rsa2048``, ``p256``, ``p384``, ``p521``, ``ed25519``; ``rsa1024`` and
    ``k256`` to be refused."""
    return _KEYS[kind]()


def key_pem(key: PrivateKey) -> bytes:
    """PKCS#8, not encrypted."""
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def utc_now() -> datetime:
    """Now, in whole seconds."""
    return datetime.now(UTC).replace(microsecond=0)


@dataclass(frozen=True)
class Profile:
    """How a person's certificate looks; each default is right.

    ``uids``: None for the one UID asked for, else exactly these. ``starts``, ``ends``: relative to
    now. ``extra``: more extensions as (value, critical).
    """

    purposes: Sequence[x509.ObjectIdentifier] = PERSON_PURPOSES
    key_usages: Sequence[str] = ("digital_signature",)
    uids: Sequence[str] | None = None
    starts: timedelta = -SLACK
    ends: timedelta = timedelta(days=365)
    ca: bool = False
    crl_url: str | None = "http://pki.invalid/issuing.crl"
    policies: Sequence[str] = ()
    serial_number: int | None = None
    issuer: str = ISSUING
    extra: Sequence[tuple[x509.ExtensionType, bool]] = field(default=())


class Authority:
    """A root and an issuing CA in ``directory``.

    ``anchors_pem``: the root; ``intermediates_pem``: the issuing CA; ``crl_files``: both CRLs.
    """

    def __init__(self, directory: Path, now: Callable[[], datetime]) -> None:
        self.directory = directory
        self.anchors_pem = directory / "root.pem"
        self.intermediates_pem = directory / "issuing.pem"
        self.crl_files = (directory / "root.crl", directory / "issuing.crl")
        self._now = now

    @classmethod
    def create(
        cls,
        directory: Path,
        *,
        name: str = "Example Institute",
        now: Callable[[], datetime] = utc_now,
        key: str = "p256",
        policies: Sequence[str] = (),
        key_usages: Sequence[str] = CA_KEY_USAGES,
    ) -> Authority:
        """Make both CAs and their CRLs.

        ``policies``: certificate policies of the issuing CA. ``key_usages``: of both; none leaves
        the extension out.
        """
        directory.mkdir(parents=True, exist_ok=True)
        made = cls(directory, now)
        root_key, issuing_key = software_key(key), software_key(key)
        root_name = _name(f"{name} Root CA", name)
        root = made._authority(
            root_name, root_key, root_name, root_key, length=1, key_usages=key_usages
        )
        issuing_name = _name(f"{name} Issuing CA", name)
        issuing = made._authority(
            issuing_name, issuing_key, root_name, root_key, length=0, policies=policies,
            key_usages=key_usages,
        )  # fmt: skip
        for which, private, certificate in (
            (ROOT, root_key, root),
            (ISSUING, issuing_key, issuing),
        ):
            _write(directory / f"{which}-key.pem", key_pem(private), 0o600)
            _write(directory / f"{which}.pem", _pem(certificate))
        made.refresh_crls()
        return made

    @classmethod
    def load(cls, directory: Path, *, now: Callable[[], datetime] = utc_now) -> Authority:
        """An authority made earlier. Raises ``FileNotFoundError`` when it is not complete."""
        found = cls(directory, now)
        for which in (ROOT, ISSUING):
            found._key(which)
            found.certificate(which)
        return found

    def certificate(self, which: str = ISSUING) -> x509.Certificate:
        """The certificate of the ``root`` or the ``issuing`` CA."""
        return x509.load_pem_x509_certificate((self.directory / f"{which}.pem").read_bytes())

    def issue_person(
        self,
        *,
        uid: str,
        name: str,
        public_key: PublicKey | bytes,
        profile: Profile | None = None,
    ) -> bytes:
        """A person's certificate, DER. ``public_key``: a key, or its SPKI in DER from a token."""
        profile = profile or Profile()
        key = _public_key(public_key)
        issuer = self.certificate(profile.issuer)
        builder = (
            x509.CertificateBuilder()
            .subject_name(self._person_name(name, (uid,) if profile.uids is None else profile.uids))
            .issuer_name(issuer.subject)
            .public_key(key)
            .serial_number(profile.serial_number or x509.random_serial_number())
            .not_valid_before(self._now() + profile.starts)
            .not_valid_after(self._now() + profile.ends)
        )
        for value, critical in _person_extensions(profile, key, issuer):
            builder = builder.add_extension(value, critical)
        return self._sign(builder, profile.issuer).public_bytes(serialization.Encoding.DER)

    def issue_server(
        self,
        names: Iterable[str] = ("localhost", "127.0.0.1"),
        *,
        starts: timedelta = -SLACK,
        ends: timedelta = timedelta(days=365),
    ) -> tuple[Path, Path]:
        """A TLS server's certificate (with the issuing CA's) and key files.

        ``names``: DNS names and IP addresses; the first also names the files. ``starts``,
        ``ends``: relative to now.
        """
        names = tuple(names)
        key = software_key("p256")
        issuer = self.certificate()
        builder = (
            x509.CertificateBuilder()
            .subject_name(_name(names[0]))
            .issuer_name(issuer.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(self._now() + starts)
            .not_valid_after(self._now() + ends)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), True)
            .add_extension(_key_usage(("digital_signature",)), True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False)
            .add_extension(x509.SubjectAlternativeName([_general_name(n) for n in names]), False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
            .add_extension(_issuer_key(issuer), False)
        )
        certificate = self.directory / f"server-{names[0]}.pem"
        key_file = self.directory / f"server-{names[0]}-key.pem"
        _write(key_file, key_pem(key), 0o600)
        _write(certificate, _pem(self._sign(builder, ISSUING)) + _pem(issuer))
        return certificate, key_file

    def revoke(self, der: bytes) -> None:
        """Put a certificate on its issuer's CRL; both CRLs are issued anew."""
        certificate = x509.load_der_x509_certificate(der)
        which = ROOT if certificate.issuer == self.certificate(ROOT).subject else ISSUING
        entry = (
            x509.RevokedCertificateBuilder()
            .serial_number(certificate.serial_number)
            .revocation_date(self._now() - SLACK)
            .add_extension(x509.CRLReason(x509.ReasonFlags.key_compromise), False)
            .build()
        )
        self.refresh_crls(revoked={which: entry})

    def refresh_crls(
        self,
        *,
        days: float = 7,
        age: timedelta = SLACK,
        revoked: dict[str, x509.RevokedCertificate] | None = None,
    ) -> None:
        """Issue both CRLs anew: issued ``age`` ago, next update ``days`` from now."""
        for which, file in zip((ROOT, ISSUING), self.crl_files, strict=True):
            issuer = self.certificate(which)
            old = x509.load_pem_x509_crl(file.read_bytes()) if file.exists() else None
            number = 1
            if old is not None:  # an empty list is false
                found = old.extensions.get_extension_for_class(x509.CRLNumber)
                number = found.value.crl_number + 1
            builder = (
                x509.CertificateRevocationListBuilder()
                .issuer_name(issuer.subject)
                .last_update(min(self._now() - age, self._now() + timedelta(days=days) - SLACK))
                .next_update(self._now() + timedelta(days=days))
                .add_extension(_issuer_key(issuer), False)
                .add_extension(x509.CRLNumber(number), False)
            )
            new = (revoked or {}).get(which)
            for entry in (*(old or ()), *((new,) if new else ())):
                builder = builder.add_revoked_certificate(entry)
            key = self._key(which)
            signed = builder.sign(key, _digest(key))
            _write(file, signed.public_bytes(serialization.Encoding.PEM))

    def _authority(
        self,
        subject: x509.Name,
        key: PrivateKey,
        issuer: x509.Name,
        issuer_key: PrivateKey,
        *,
        length: int,
        policies: Sequence[str] = (),
        key_usages: Sequence[str] = CA_KEY_USAGES,
    ) -> x509.Certificate:
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(self._now() - timedelta(days=30))
            .not_valid_after(self._now() + timedelta(days=3650))
            .add_extension(x509.BasicConstraints(ca=True, path_length=length), True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), False
            )
        )
        if key_usages:
            builder = builder.add_extension(_key_usage(key_usages), True)
        if policies:
            builder = builder.add_extension(_policies(policies), False)
        return builder.sign(issuer_key, _digest(issuer_key))

    def _key(self, which: str) -> PrivateKey:
        raw = (self.directory / f"{which}-key.pem").read_bytes()
        key = serialization.load_pem_private_key(raw, None)
        assert isinstance(key, PrivateKey)
        return key

    def _sign(self, builder: x509.CertificateBuilder, which: str) -> x509.Certificate:
        key = self._key(which)
        return builder.sign(key, _digest(key))

    def _person_name(self, name: str, uids: Iterable[str]) -> x509.Name:
        issuer = self.certificate().subject
        organisation = issuer.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
        parts = [*organisation, x509.NameAttribute(NameOID.COMMON_NAME, name)]
        return x509.Name([*parts, *(x509.NameAttribute(NameOID.USER_ID, uid) for uid in uids)])


def _person_extensions(
    profile: Profile, key: PublicKey, issuer: x509.Certificate
) -> list[tuple[x509.ExtensionType, bool]]:
    access = x509.AccessDescription(
        AuthorityInformationAccessOID.CA_ISSUERS,
        x509.UniformResourceIdentifier("http://pki.invalid/issuing.cer"),
    )
    found: list[tuple[x509.ExtensionType, bool]] = [
        (x509.BasicConstraints(ca=profile.ca, path_length=None), True),
        (x509.SubjectKeyIdentifier.from_public_key(key), False),
        (_issuer_key(issuer), False),
        (x509.AuthorityInformationAccess([access]), False),
        *profile.extra,
    ]
    if profile.key_usages:
        found.append((_key_usage(profile.key_usages), True))
    if profile.purposes:
        found.append((x509.ExtendedKeyUsage(profile.purposes), False))
    if profile.policies:
        found.append((_policies(profile.policies), False))
    if profile.crl_url:
        url = x509.UniformResourceIdentifier(profile.crl_url)
        point = x509.DistributionPoint([url], None, None, None)
        found.append((x509.CRLDistributionPoints([point]), False))
    return found


def _public_key(key: PublicKey | bytes) -> PublicKey:
    loaded = serialization.load_der_public_key(key) if isinstance(key, bytes) else key
    assert isinstance(loaded, PublicKey)
    return loaded


def _name(common_name: str, organisation: str | None = None) -> x509.Name:
    parts = [(NameOID.ORGANIZATION_NAME, organisation), (NameOID.COMMON_NAME, common_name)]
    return x509.Name([x509.NameAttribute(oid, value) for oid, value in parts if value])


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _key_usage(names: Sequence[str]) -> x509.KeyUsage:
    return x509.KeyUsage(**{name: name in names for name in _KEY_USAGES})


def _policies(oids: Sequence[str]) -> x509.CertificatePolicies:
    return x509.CertificatePolicies(
        [x509.PolicyInformation(x509.ObjectIdentifier(oid), None) for oid in oids]
    )


def _issuer_key(issuer: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    identifier = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)


def _digest(key: PrivateKey) -> hashes.SHA256 | None:
    return None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _write(path: Path, content: bytes, mode: int = 0o644) -> None:
    """Whole or not at all, so a service that reads it meanwhile never sees half a file."""
    new = path.with_name(path.name + ".new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as out:
        out.write(content)
    new.replace(path)
