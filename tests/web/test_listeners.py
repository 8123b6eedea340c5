"""The TLS listeners: who gets a connection, and that silence stalls nobody."""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask, request

from reset.web import listeners
from tests.institution.authority import Authority, key_pem, software_key


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.create(tmp_path_factory.mktemp("ca"))


def _app() -> Flask:
    app = Flask("echo")

    @app.route("/", methods=["GET", "POST"])
    def echo() -> str:
        shown = request.environ["werkzeug.socket"].getpeercert(True)
        return f"{request.scheme} {len(shown or b'')} {len(request.get_data())}"

    return app


class Running:
    """A listener in a thread."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self.server = listeners.listen(_app(), "127.0.0.1", 0, context)
        self.port = self.server.port
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def stop(self) -> None:
        """End it."""
        self.server.shutdown()
        self.thread.join()


@pytest.fixture
def public(authority: Authority) -> Iterator[Running]:
    certificate, key = authority.issue_server()
    running = Running(listeners.public_context(certificate, key))
    yield running
    running.stop()


@pytest.fixture
def certificate(authority: Authority) -> Iterator[Running]:
    chain, key = authority.issue_server()
    cas = [authority.anchors_pem, authority.intermediates_pem]
    running = Running(listeners.certificate_context(chain, key, cas))
    yield running
    running.stop()


def _client(authority: Authority) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(authority.anchors_pem))


def _with_certificate(authority: Authority, directory: Path) -> ssl.SSLContext:
    key = software_key()
    person = authority.issue_person(uid="u-1", name="A", public_key=key.public_key())
    pem = directory / "person.pem"
    pem.write_bytes(key_pem(key) + ssl.DER_cert_to_PEM_cert(person).encode())
    context = _client(authority)
    context.load_cert_chain(pem)
    return context


def _get(port: int, context: ssl.SSLContext, body: bytes | None = None) -> tuple[str, str | None]:
    connection = http.client.HTTPSConnection("localhost", port, context=context, timeout=20)
    try:
        connection.request("POST" if body is not None else "GET", "/", body)
        answer = connection.getresponse()
        return answer.read().decode(), answer.getheader("Server")
    finally:
        connection.close()


def test_the_public_listener_asks_for_no_certificate(public: Running, authority: Authority) -> None:
    assert _get(public.port, _client(authority)) == ("https 0 0", None)
    assert _get(public.port, _client(authority), b"x" * 5000)[0] == "https 0 5000"


def test_the_certificate_listener_demands_one(
    certificate: Running, authority: Authority, tmp_path: Path
) -> None:
    with pytest.raises((ssl.SSLError, ConnectionError, http.client.HTTPException)):
        _get(certificate.port, _client(authority))
    told, server = _get(certificate.port, _with_certificate(authority, tmp_path))
    assert told.startswith("https ")
    assert int(told.split()[1]) > 200
    assert server is None


def test_a_certificate_of_another_authority_is_refused(
    certificate: Running, authority: Authority, tmp_path: Path
) -> None:
    rogue = Authority.create(tmp_path / "rogue")
    context = _with_certificate(rogue, tmp_path)
    context.load_verify_locations(authority.anchors_pem)
    with pytest.raises((ssl.SSLError, ConnectionError, http.client.HTTPException)):
        _get(certificate.port, context)


def test_silent_connections_stall_nobody(public: Running, authority: Authority) -> None:
    silent = [socket.create_connection(("127.0.0.1", public.port)) for _ in range(20)]
    try:
        began = time.monotonic()
        assert _get(public.port, _client(authority))[0] == "https 0 0"
        assert time.monotonic() - began < 2
    finally:
        for one in silent:
            one.close()


def test_a_silent_connection_is_cut(
    public: Running, monkeypatch: pytest.MonkeyPatch, authority: Authority
) -> None:
    monkeypatch.setattr(listeners, "HANDSHAKE_SECONDS", 0.2)
    with socket.create_connection(("127.0.0.1", public.port)) as one:
        one.settimeout(5)
        assert one.recv(1) == b""
    monkeypatch.setattr(listeners, "CONNECTION_SECONDS", 0.2)
    monkeypatch.setattr(listeners, "HANDSHAKE_SECONDS", 5)
    raw = socket.create_connection(("127.0.0.1", public.port))
    with _client(authority).wrap_socket(raw, server_hostname="localhost") as slow:
        slow.settimeout(5)
        slow.sendall(b"GET / HT")
        assert slow.recv(1) == b""


@pytest.mark.parametrize(
    ("site", "old"),
    [("public", ssl.TLSVersion.TLSv1_1), ("certificate", ssl.TLSVersion.TLSv1_2)],
)
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_old_tls_is_refused(
    site: str,
    old: ssl.TLSVersion,
    request: pytest.FixtureRequest,
    authority: Authority,
    tmp_path: Path,
) -> None:
    running: Running = request.getfixturevalue(site)
    context = _with_certificate(authority, tmp_path)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = old
    with pytest.raises((ssl.SSLError, ConnectionError)):
        _get(running.port, context)


def test_no_session_is_resumed(certificate: Running, authority: Authority, tmp_path: Path) -> None:
    context = _with_certificate(authority, tmp_path)
    raw = socket.create_connection(("127.0.0.1", certificate.port))
    with context.wrap_socket(raw, server_hostname="localhost") as first:
        first.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert first.recv(10_000)
        kept = first.session
    assert kept is None or not kept.has_ticket


def test_a_ca_file_without_a_ca_is_refused(authority: Authority, tmp_path: Path) -> None:
    chain, key = authority.issue_server()
    empty = tmp_path / "empty.pem"
    empty.write_text("")
    with pytest.raises(ssl.SSLError):
        listeners.certificate_context(chain, key, [empty])
    with pytest.raises(ssl.SSLError):
        listeners.certificate_context(chain, key, [])


def test_a_taken_port_is_an_error_and_not_an_exit(public: Running, authority: Authority) -> None:
    certificate, key = authority.issue_server()
    context = listeners.public_context(certificate, key)
    with pytest.raises(OSError, match="in use"):
        listeners.listen(_app(), "127.0.0.1", public.port, context)
