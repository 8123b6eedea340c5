"""The certificate header, read strictly, and what counts without a proxy in the settings."""

from __future__ import annotations

import base64
import socket
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import pytest
from flask import Flask
from hypothesis import given
from hypothesis import strategies as st

from reset.errors import CertificateRefused
from reset.web import proxy
from tests.web.world import CERTIFICATE, PUBLIC, Visitor, World


def _escaped(der: bytes) -> str:
    body = "\n".join(textwrap.wrap(base64.b64encode(der).decode(), 64))
    return quote(f"-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n", safe="")


def _read(header: str, verified: str = "SUCCESS") -> bytes:
    extra = {"HTTP_X_SSL_CLIENT_CERT": header, "HTTP_X_SSL_CLIENT_VERIFY": verified}
    with Flask("reading").test_request_context(environ_overrides=extra):
        return proxy.certificate()


@given(st.binary(min_size=1, max_size=4000))
def test_what_nginx_escapes_is_read_back(der: bytes) -> None:
    assert _read(_escaped(der)) == der


@given(st.binary(min_size=1, max_size=300), st.data())
def test_one_changed_character_is_refused_or_harmless(der: bytes, data: st.DataObject) -> None:
    """Nothing but a certificate of the same form is ever read from it, and never an error."""
    good = _escaped(der)
    at = data.draw(st.integers(0, len(good) - 1))
    other = data.draw(st.characters(max_codepoint=255))
    try:
        found = _read(good[:at] + other + good[at + 1 :])
    except CertificateRefused:
        return
    assert len(found) <= len(der) + 2


@given(st.text(st.characters(max_codepoint=255), min_size=1, max_size=200))
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(CertificateRefused):
        _read(text)


@pytest.mark.parametrize(
    "verified", ["", "NONE", "FAILED:certificate revoked", "success", "SUCCESS,SUCCESS"]
)
def test_what_nginx_did_not_verify_is_refused(verified: str) -> None:
    with pytest.raises(CertificateRefused) as refused:
        _read(_escaped(b"der"), verified)
    assert refused.value.data["rule"] == "header"


def test_the_size_has_a_cap() -> None:
    with pytest.raises(CertificateRefused) as refused:
        _read(_escaped(bytes(proxy.HEADER_LIMIT)))
    assert refused.value.data["rule"] == "header"


# --- the connection --------------------------------------------------------------------
@pytest.fixture
def proxied(world: World, tmp_path: Path) -> World:
    """Both sites behind a proxy."""
    settings = replace(world.settings, sockets=tmp_path)
    return World(world.parts, world.flows, settings, world.watch, world.vault)


@contextmanager
def _over(path: Path) -> Iterator[socket.socket]:
    """The server's end of a connection to a unix socket."""
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as client:
        listener.bind(str(path))
        listener.listen()
        client.connect(str(path))
        with listener.accept()[0] as served:
            yield served


HEADERS = {
    "X-Forwarded-For": "192.0.2.9",
    "X-SSL-Client-Verify": "SUCCESS",
    "X-SSL-Client-Cert": _escaped(b"certificate-bob"),
}


@pytest.mark.parametrize(
    ("name", "certificate_site", "public_site"),
    [("certificate", 200, 400), ("public", 400, 200), ("other", 400, 400)],
)
def test_a_site_answers_on_its_own_socket_alone(
    proxied: World, tmp_path: Path, name: str, certificate_site: int, public_site: int
) -> None:
    with _over(tmp_path / f"{name}.socket") as served:
        extra = {"gunicorn.socket": served, "REMOTE_ADDR": ""}
        at_certificate = Visitor(proxied.certificate.test_client(), CERTIFICATE, extra)
        assert at_certificate.get("/", headers=HEADERS).status_code == certificate_site
        at_public = Visitor(proxied.public.test_client(), PUBLIC, extra)
        assert at_public.get("/healthz", headers=HEADERS).status_code == public_site


def test_without_a_connection_nothing_is_answered(proxied: World) -> None:
    for extra in ({}, {"gunicorn.socket": None}, {"gunicorn.socket": "certificate.socket"}):
        visitor = Visitor(proxied.certificate.test_client(), CERTIFICATE, extra)
        assert visitor.get("/left", headers=HEADERS).status_code == 400


def test_metrics_behind_a_proxy_need_the_token(proxied: World, tmp_path: Path) -> None:
    """Without one nobody gets them: an address says nothing there."""
    near = {"X-Forwarded-For": "127.0.0.1"}
    with _over(tmp_path / "public.socket") as served:
        extra = {"gunicorn.socket": served, "REMOTE_ADDR": ""}
        visitor = Visitor(proxied.public.test_client(), PUBLIC, extra)
        assert visitor.get("/metrics", headers=near).status_code == 403
        object.__setattr__(proxied.settings, "metrics_token", "metrics-secret")
        assert visitor.get("/metrics", headers=near).status_code == 403
        good = {**near, "Authorization": "Bearer metrics-secret"}
        assert visitor.get("/metrics", headers=good).status_code == 200


def test_without_a_proxy_no_header_is_read(world: World, tmp_path: Path) -> None:
    with _over(tmp_path / "certificate.socket") as served:
        extra = {"gunicorn.socket": served}
        visitor = Visitor(world.certificate.test_client(), CERTIFICATE, extra)
        assert visitor.get("/", headers=HEADERS).status_code == 403
