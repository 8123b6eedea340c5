"""The approval's CMS is what other programs verify, and keeps the rules for approvals."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from asn1crypto import cms
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from pkcs11_driver import operations
from pkcs11_driver.errors import CertificateNotFound
from pkcs11_driver.helper.cms import signed_statement
from pkcs11_driver.operations import Signed
from pkcs11_driver.wire import STATEMENT_OID
from tests.driver import children
from tests.driver.conftest import USER_PIN, Holder, equip
from tests.institution.tokens import KeyKind, MadeToken

STATEMENT = b"token-reset approval 1\naction: reset\nreason: p\xc3\xa4ssword\n"


def sign_statement(module: str, serial: str, statement: bytes) -> bytes:
    return signed_statement(
        statement,
        lambda data: operations.sign(module, serial, user_pin=USER_PIN, data=data),
    )


def openssl(
    directory: Path, holder: Holder, der: bytes, statement: bytes
) -> subprocess.CompletedProcess[bytes]:
    (directory / "signature.der").write_bytes(der)
    (directory / "statement").write_bytes(statement)
    pem = x509.load_der_x509_certificate(holder.certificate).public_bytes(Encoding.PEM)
    (directory / "trusted.pem").write_bytes(pem)
    command = "openssl cms -verify -binary -purpose any -partial_chain -inform DER"
    files = "-in signature.der -content statement -CAfile trusted.pem"
    return subprocess.run(
        [*command.split(), *files.split()], cwd=directory, capture_output=True, check=False
    )


@pytest.mark.parametrize("kind", ["p256", "rsa2048"])
def test_openssl_verifies_it(made: MadeToken, tmp_path: Path, kind: KeyKind) -> None:
    holder = equip(made, kind)
    der = children.value(sign_statement, *holder.at, STATEMENT)
    good = openssl(tmp_path, holder, der, STATEMENT)
    assert good.returncode == 0, good.stderr
    assert good.stdout == STATEMENT
    assert openssl(tmp_path, holder, der, STATEMENT + b"x").returncode != 0


def test_its_form(holder: Holder) -> None:
    der = children.value(sign_statement, *holder.at, STATEMENT)
    info = cms.ContentInfo.load(der, strict=True)
    assert info.dump(force=True) == der
    data = info["content"]
    assert data["version"].native == "v3"
    assert data["encap_content_info"]["content_type"].dotted == STATEMENT_OID
    assert data["encap_content_info"]["content"].native is None
    assert [c.chosen.dump() for c in data["certificates"]] == [holder.certificate]
    (signer,) = data["signer_infos"]
    assert signer["version"].native == "v1"
    assert signer["sid"].name == "issuer_and_serial_number"
    assert signer["digest_algorithm"]["algorithm"].native == "sha256"
    assert signer["signature_algorithm"]["algorithm"].native == "sha256_ecdsa"
    assert signer["unsigned_attrs"].native is None
    encoded = [attribute.dump() for attribute in signer["signed_attrs"]]
    assert encoded == sorted(encoded)
    names = {a["type"].native: a["values"] for a in signer["signed_attrs"]}
    assert set(names) == {"content_type", "message_digest"}
    assert names["content_type"][0].dotted == STATEMENT_OID


def test_the_content_type_is_a_uuid_of_its_own() -> None:
    head, _, number = STATEMENT_OID.rpartition(".")
    assert head == "2.25"
    assert 1 << 64 < int(number) < 1 << 128


def test_a_key_without_a_certificate_cannot_name_its_signer() -> None:
    with pytest.raises(CertificateNotFound):
        signed_statement(STATEMENT, lambda _: Signed(b"s", b"", "sha256_ecdsa"))
