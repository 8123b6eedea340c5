"""The persons, papers and orders of the custodian's tests: real certificates and signatures."""

from __future__ import annotations

import dataclasses
import hashlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from asn1crypto import cms
from asn1crypto import x509 as asn1_x509
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from pkcs11_driver import envelope
from pkcs11_driver.hsm import SealBroken
from pkcs11_driver.wire import STATEMENT_OID, Order, order_context
from reset.adapters.signatures_cms import CmsVerifier
from reset.adapters.trust import TrustStore
from reset.core.approvals import ACTION, DECISION, FORMAT, NOBODY, Statement, render
from reset.core.checkpoints import Checkpoint
from reset.core.merkle import Tree, consistency
from reset.core.policy import Policy
from reset.custodian.ledger import Ledger
from reset.custodian.service import CustodianService
from reset.errors import ReleaseRefused
from reset.ports import Custodian, ReleaseOrder
from tests.institution.authority import Authority, software_key

HOLDER, APPROVER, OTHER = "u-holder", "u-approver", "u-other"
SO_PIN = "Known-SO-PIN-of-the-institution"


class SoftKeys:
    """``Keys`` without an HSM, for the tests of rules."""

    def __init__(self, wrap: bytes = bytes(range(32))) -> None:
        self._wrap, self._mac = AESGCM(wrap), b"m" * 32
        self._sign = Ed25519PrivateKey.from_private_bytes(b"s" * 32)

    def seal(self, plaintext: bytes, context: bytes) -> bytes:
        iv = secrets.token_bytes(12)
        return iv + self._wrap.encrypt(iv, plaintext, context)

    def open(self, sealed: bytes, context: bytes) -> bytes:
        try:
            return self._wrap.decrypt(sealed[:12], sealed[12:], context)
        except (InvalidTag, ValueError):
            raise SealBroken from None

    def is_newest(self, sealed: bytes) -> bool:
        return True

    def hmac(self, message: bytes) -> bytes:
        mac = hmac.HMAC(self._mac, hashes.SHA256())
        mac.update(message)
        return mac.finalize()

    def sign(self, message: bytes) -> bytes:
        return self._sign.sign(message)

    def signing_public_key(self) -> bytes:
        return self._sign.public_key().public_bytes_raw()

    def health(self) -> None:
        pass


class ShiftedClock:
    """The real time and a shift that a test sets."""

    def __init__(self) -> None:
        self.shift = timedelta()

    def now(self) -> datetime:
        return datetime.now(UTC) + self.shift


class SystemRandom:
    def below(self, limit: int) -> int:
        return secrets.randbelow(limit)

    def token(self, size: int) -> bytes:
        return secrets.token_bytes(size)


@dataclass
class Institution:
    """An authority and the persons whom it certified, with their keys."""

    authority: Authority
    people: dict[str, tuple[ec.EllipticCurvePrivateKey, bytes]] = field(default_factory=dict)

    @classmethod
    def create(cls, directory: Path) -> Institution:
        made = cls(Authority.create(directory))
        made.authority.refresh_crls(days=90)
        for uid in (HOLDER, APPROVER, OTHER):
            key = software_key("p256")
            assert isinstance(key, ec.EllipticCurvePrivateKey)
            public = key.public_key()
            certificate = made.authority.issue_person(uid=uid, name=uid, public_key=public)
            made.people[uid] = (key, certificate)
        return made

    def verifier(self) -> CmsVerifier:
        return verifier(self.authority.directory)

    def sign(self, statement: bytes, uid: str = APPROVER) -> bytes:
        """A detached CMS of the product's content type, DER."""
        key, der = self.people[uid]
        certificate = asn1_x509.Certificate.load(der)
        attributes = cms.CMSAttributes(
            [
                {"type": "content_type", "values": [STATEMENT_OID]},
                {"type": "message_digest", "values": [hashlib.sha256(statement).digest()]},
            ]
        )
        signer = {
            "version": "v1",
            "sid": cms.SignerIdentifier(
                "issuer_and_serial_number",
                {"issuer": certificate.issuer, "serial_number": certificate.serial_number},
            ),
            "digest_algorithm": {"algorithm": "sha256"},
            "signed_attrs": attributes,
            "signature_algorithm": {"algorithm": "sha256_ecdsa"},
            "signature": key.sign(attributes.dump(), ec.ECDSA(hashes.SHA256())),
        }
        signed = {
            "version": "v3",
            "digest_algorithms": [{"algorithm": "sha256"}],
            "encap_content_info": {"content_type": STATEMENT_OID},
            "certificates": [cms.CertificateChoices("certificate", certificate)],
            "signer_infos": [signer],
        }
        info = cms.ContentInfo({"content_type": "signed_data", "content": cms.SignedData(signed)})
        der_message: bytes = info.dump(force=True)
        return der_message


def verifier(directory: Path) -> CmsVerifier:
    found = Authority.load(directory)
    return CmsVerifier(TrustStore([found.anchors_pem], found.crl_files, [found.intermediates_pem]))


def statement(serial: str, at: datetime | None = None, **changes: object) -> bytes:
    """The statement of an approval at ``at``, changed where a test wants it."""
    at = (at or datetime.now(UTC)).replace(microsecond=0)
    usual = Statement(
        *(FORMAT, ACTION, secrets.token_hex(8), serial, HOLDER, "Holder", APPROVER, "Approver"),
        *(NOBODY, "token blocked", at - timedelta(minutes=2), at + timedelta(hours=1)),
        *(secrets.token_hex(16), "https://reset.invalid", DECISION),
    )
    return render(dataclasses.replace(usual, **changes))  # type: ignore[arg-type]


@dataclass
class Case:
    """One token, one approval and one helper: makes the orders for them."""

    custodian: Custodian
    institution: Institution
    clock: ShiftedClock = field(default_factory=ShiftedClock)
    serial: str = field(default_factory=lambda: f"T{secrets.token_hex(6)}")
    operation: str = field(default_factory=lambda: secrets.token_hex(8))
    helper: X25519PrivateKey = field(default_factory=X25519PrivateKey.generate)
    approval: tuple[bytes, bytes] = (b"", b"")
    family: str = "etoken"

    def approve(self, uid: str = APPROVER, **changes: object) -> None:
        """Have another statement signed."""
        text = statement(self.serial, self.clock.now(), **changes)
        self.approval = (text, self.institution.sign(text, uid))

    def order(self, epoch: int = 1, **changes: object) -> ReleaseOrder:
        """The order of an epoch: first the active SO PIN alone, then the pending one before it."""
        if not self.approval[0]:
            self.approve()
        active, pending = (1, self.stored(1)), (2, self.stored(2))
        usual = ReleaseOrder(
            operation_id=self.operation,
            job_id="job-1",
            epoch=epoch,
            nonce=f"nonce-{epoch}",
            token_serial=self.serial,
            holder_uid=HOLDER,
            candidates=(active,) if epoch == 1 else (pending, active),
            pending=pending,
            helper_key=self.helper.public_key().public_bytes_raw(),
            statement=self.approval[0],
            signature=self.approval[1],
        )
        return dataclasses.replace(usual, **changes)  # type: ignore[arg-type]

    def stored(self, version: int, holder: str = HOLDER) -> bytes:
        """A fresh SO PIN, or the one that is there."""
        return self.custodian.store(self.serial, version, None, holder, self.family)

    def opened(self, sealed: bytes, order: ReleaseOrder) -> Order:
        """What the helper reads."""
        context = order_context(order.job_id, order.epoch, order.nonce, order.token_serial)
        return envelope.open_order(sealed, self.helper, context)

    def corrected(self, so_pin: str, holder: str = HOLDER) -> tuple[int, bytes]:
        """Replace it by another one."""
        context = envelope.import_context(self.serial, self.family)
        sealed = envelope.seal(so_pin.encode(), self.custodian.import_key(), context)
        return self.custodian.correct(self.serial, sealed, holder)

    def imported(
        self,
        so_pin: str = SO_PIN,
        version: int = 1,
        *,
        key: bytes = b"",
        serial: str = "",
        family: str = "",
    ) -> bytes:
        """Store an SO PIN of the institution, sealed for this token or for another one."""
        context = envelope.import_context(serial or self.serial, family or self.family)
        sealed = envelope.seal(so_pin.encode(), key or self.custodian.import_key(), context)
        return self.custodian.store(self.serial, version, sealed, HOLDER, self.family)


def service(
    directory: Path,
    institution: Institution,
    clock: ShiftedClock,
    policy: Policy | None = None,
    ledger: Callable[[Path], Ledger] = Ledger,
) -> tuple[CustodianService, Ledger]:
    """A custodian in this process, without an HSM."""
    directory.mkdir(mode=0o700, exist_ok=True)
    opened = ledger(directory / "ledger.db")
    made = CustodianService(
        SoftKeys(),
        opened,
        institution.verifier(),
        clock,
        policy=policy or Policy(),
        random=SystemRandom(),
    )
    return made, opened


def rule_of(call: Callable[[], object]) -> str:
    """The rule by which a call is refused."""
    with pytest.raises(ReleaseRefused) as refused:
        call()
    return str(refused.value.data["rule"])


LEAVES = [hashlib.sha256(bytes([n])).digest() for n in range(20)]


def body(
    size: int, root: bytes | None = None, origin: str = "log.invalid/a", at: datetime | None = None
) -> bytes:
    """The body of a checkpoint over the first of ``LEAVES``."""
    root = root or Tree(LEAVES[:size]).root()
    at = at or datetime.now(UTC)
    return Checkpoint(origin, size, root, bytes(32), 1, at, bytes(32)).body()


def proof(old: int, size: int) -> list[bytes]:
    """That ``body(size)`` goes on where ``body(old)`` stopped."""
    return consistency(Tree(LEAVES[:old]), LEAVES[old:size])
