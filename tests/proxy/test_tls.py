"""TLS at nginx: versions, names, and that no session is carried from one site to the other."""

from __future__ import annotations

import ssl

import pytest

from tests.institution.proxied import Proxied
from tests.proxy.asking import ask, context, secured

V1, V2, V3 = ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3


def _only(here: Proxied, version: ssl.TLSVersion, part: str = "") -> ssl.SSLContext:
    made = context(here, part)
    made.set_ciphers("ALL:@SECLEVEL=0")
    made.minimum_version = made.maximum_version = version
    return made


@pytest.mark.parametrize(("site", "version"), [("public", V2), ("public", V3), ("certificate", V3)])
def test_the_versions_that_are_spoken(here: Proxied, site: str, version: ssl.TLSVersion) -> None:
    assert ask(here, site, "/", tls=_only(here, version, "operator")).status == 200


@pytest.mark.parametrize(("site", "version"), [("public", V1), ("certificate", V2)])
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_older_versions_are_refused(here: Proxied, site: str, version: ssl.TLSVersion) -> None:
    """nginx takes versions from a port's default server: this holds since each site has a port."""
    with pytest.raises((ssl.SSLError, ConnectionError)):
        secured(here, site, _only(here, version, "operator"))


@pytest.mark.parametrize("site", ["public", "certificate"])
@pytest.mark.parametrize("name", ["evil.test", None])
def test_another_name_gets_no_handshake(here: Proxied, site: str, name: str | None) -> None:
    tls = context(here, "operator")
    tls.check_hostname = False
    with pytest.raises((ssl.SSLError, ConnectionError)):
        secured(here, site, tls, name)


@pytest.mark.parametrize("site", ["public", "certificate"])
def test_one_protocol_is_spoken(here: Proxied, site: str) -> None:
    tls = context(here, "operator")
    tls.set_alpn_protocols(["h2", "http/1.1"])
    with secured(here, site, tls) as connection:
        assert connection.selected_alpn_protocol() == "http/1.1"


@pytest.mark.parametrize(
    ("origin", "version", "part"),
    [("public", V2, ""), ("public", V3, ""), ("public", V3, "operator"),
     ("certificate", V3, "operator")],
)  # fmt: skip
def test_no_session_is_resumed(
    here: Proxied, origin: str, version: ssl.TLSVersion, part: str
) -> None:
    """Not at the same site, and never one of the public site at the other (peer failure 30)."""
    tls = _only(here, version, part)
    with secured(here, origin, tls) as first:
        first.sendall(_request(here, origin))
        assert first.recv(10_000)  # what TLS 1.3 offers for later comes with the answer
        kept = first.session
    for site in ("public", "certificate"):
        try:
            connection = secured(here, site, tls, session=kept)
        except (ssl.SSLError, ConnectionError):
            assert (site, version) == ("certificate", V2)
            continue
        with connection:
            assert not connection.session_reused
            connection.sendall(_request(here, site))
            opened = site == "public" or bool(part)
            assert connection.recv(12) == (b"HTTP/1.1 200" if opened else b"HTTP/1.1 403")


def _request(here: Proxied, site: str) -> bytes:
    return f"GET / HTTP/1.0\r\nHost: localhost:{here.ports[site]}\r\n\r\n".encode()
