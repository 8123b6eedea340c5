"""One institution behind nginx for all tests here; all but the holder have keys in software."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from tests.institution.authority import key_pem, software_key
from tests.institution.proxied import Proxied
from tests.institution.site import Someone
from tests.institution.tokens import MadeToken


class SoftwareKeys(Proxied):
    """Certificates whose keys lie in files, so that TLS can be done from here byte by byte."""

    def issue_token(self, part: str, someone: Someone) -> MadeToken:
        """The holder's key stays on the token."""
        token = super().issue_token(part, someone)
        if part != "holder":
            key = software_key()
            der = self.authority.issue_person(
                uid=someone.uid, name=someone.name, public_key=key.public_key()
            )
            (token.directory / "certificate.der").write_bytes(der)
            pem = x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM)
            (token.directory / "certificate.pem").write_bytes(pem)
            (token.directory / "key.pem").write_bytes(key_pem(key))
        return token


@pytest.fixture(scope="session")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxied]:
    """The institution, running."""
    institution = SoftwareKeys.build(tmp_path_factory.mktemp("proxied") / "institution")
    try:
        institution.start()
        yield institution
    finally:
        institution.stop()
