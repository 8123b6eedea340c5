"""The TLS listeners: who gets a connection, and that slow or silent ones stall nobody."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from flask import Flask, request

from reset.web import listeners
from tests.institution.authority import Authority, key_pem, software_key


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.create(tmp_path_factory.mktemp("ca"))


def _app(served: list[str]) -> Flask:
    app = Flask("echo")

    @app.route("/", methods=["GET", "POST"])
    def echo() -> str:
        served.append(request.method)
        shown = request.environ["werkzeug.socket"].getpeercert(True)
        return f"{request.scheme} {len(shown or b'')} {len(request.get_data())}"

    return app


def _until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)


class Running:
    """A listener in a thread."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self.served: list[str] = []
        self.server = listeners.listen(_app(self.served), "127.0.0.1", 0, context)
        self.port = self.server.port
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def wait_for(self, connections: int) -> None:
        """Until so many connections are held, a minute at most."""
        _until(lambda: self.server.connections == connections)

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


# --- silence and slowness ------------------------------------------------------------------
def _silent(port: int, source: str, count: int, held: ExitStack) -> None:
    """Bare TCP connections from one address, which say nothing."""
    for _ in range(count):
        place = (("127.0.0.1", port), 30, (source, 0))
        held.enter_context(socket.create_connection(*place))


def _secured(port: int, context: ssl.SSLContext, source: str = "127.0.0.1") -> ssl.SSLSocket:
    raw = socket.create_connection(("127.0.0.1", port), 30, (source, 0))
    return context.wrap_socket(raw, server_hostname="localhost")


def _dropped_after(
    connection: socket.socket, first: bytes = b"", drop: bytes = b"", began: float | None = None
) -> float:
    """Send ``first``, then ``drop`` again and again; the seconds until the server hangs up.

    ``began``: a moment before the server's own clock for this connection began.
    """
    began = began or time.monotonic()
    try:
        connection.sendall(first)
        connection.settimeout(0.05)
        for _ in itertools.count():
            try:
                assert connection.recv(1000) == b"", "an answer"
                break
            except TimeoutError:
                assert time.monotonic() - began < 30, "still connected"
                connection.sendall(drop)
    except ConnectionError:
        pass
    return time.monotonic() - began


class Dripping:
    """Clients at one address that never end their header; use it in a ``with``."""

    def __init__(self, port: int, context: ssl.SSLContext, source: str, count: int) -> None:
        self._place = (port, context, source)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._drip)
        self._count = count
        self.connections: list[ssl.SSLSocket] = []

    def __enter__(self) -> Dripping:
        for _ in range(self._count):
            try:
                self.connections.append(_secured(*self._place))
            except OSError:
                continue
            self.connections[-1].sendall(b"GET / HTTP/1.0\r\nX-Slow: ")
        self._thread.start()
        return self

    def _drip(self) -> None:
        while not self._stop.wait(0.1):
            for one in self.connections:
                with contextlib.suppress(OSError):
                    one.sendall(b"y")

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        for one in self.connections:
            one.close()


@pytest.mark.parametrize("site", ["public", "certificate"])
def test_one_dripping_client_stops_nobody_else(
    site: str,
    request: pytest.FixtureRequest,
    authority: Authority,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(listeners, "HEADER_SECONDS", 60)  # none of them is cut meanwhile
    running: Running = request.getfixturevalue(site)
    context = _with_certificate(authority, tmp_path)
    with Dripping(running.port, context, "127.0.0.2", 40) as slow:
        assert len(slow.connections) == listeners.PER_PEER
        assert _get(running.port, context)[0].startswith("https ")
        assert running.server.connections >= listeners.PER_PEER, "answered beside them"
        assert running.served == ["GET"]
    running.wait_for(0)
    assert _get(running.port, context)[0].startswith("https ")


def test_the_seventeenth_connection_of_an_address_is_dropped(
    public: Running, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listeners, "HANDSHAKE_SECONDS", 60)  # nobody is dropped for silence
    with ExitStack() as held:
        _silent(public.port, "127.0.0.1", listeners.PER_PEER, held)
        public.wait_for(listeners.PER_PEER)
        with socket.create_connection(("127.0.0.1", public.port)) as one_more:
            _dropped_after(one_more)
        with _secured(public.port, _client(authority), "127.0.0.3") as other:
            other.sendall(b"GET / HTTP/1.0\r\n\r\n")
            assert b" 200 " in other.recv(1000)
        public.wait_for(listeners.PER_PEER)
    public.wait_for(0)
    assert _get(public.port, _client(authority))[0] == "https 0 0"


def test_without_a_free_thread_a_connection_is_dropped_at_once(
    public: Running, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listeners, "HANDSHAKE_SECONDS", 60)  # nobody is dropped for silence
    with ExitStack() as held:
        for number in range(2, 7):
            _silent(public.port, f"127.0.0.{number}", listeners.PER_PEER, held)
        public.wait_for(listeners.THREADS)
        with socket.create_connection(("127.0.0.1", public.port)) as late:
            _dropped_after(late)
        public.wait_for(listeners.THREADS)
    public.wait_for(0)
    assert _get(public.port, _client(authority))[0] == "https 0 0"


def test_a_thread_that_cannot_start_costs_no_place(
    public: Running, monkeypatch: pytest.MonkeyPatch, authority: Authority
) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        for _ in range(listeners.PER_PEER + 1):
            with socket.create_connection(("127.0.0.1", public.port)) as one:
                _dropped_after(one)
    public.wait_for(0)
    assert _get(public.port, _client(authority))[0] == "https 0 0"


def test_a_slow_handshake_is_cut(public: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    usual = listeners.HANDSHAKE_SECONDS
    monkeypatch.setattr(listeners, "HANDSHAKE_SECONDS", 0.5)
    with socket.create_connection(("127.0.0.1", public.port)) as silent:
        assert _dropped_after(silent) < usual
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", public.port)) as slow:
        lasted = _dropped_after(slow, b"\x16\x03\x01\x02\x00\x01", b"\0", began)
        assert 0.4 < lasted < usual
    public.wait_for(0)


def test_a_slow_header_is_cut_and_not_served(
    public: Running, monkeypatch: pytest.MonkeyPatch, authority: Authority
) -> None:
    usual = listeners.HEADER_SECONDS
    monkeypatch.setattr(listeners, "HEADER_SECONDS", 0.5)
    for first in (b"", b"GET / HT", b"GET / HTTP/1.0\r\nX-Slow: "):
        began = time.monotonic()
        with _secured(public.port, _client(authority)) as slow:
            assert 0.4 < _dropped_after(slow, first, b"y" if first else b"", began) < usual
    public.wait_for(0)
    assert public.served == []


def test_a_slow_body_is_cut_when_the_time_of_the_connection_is_over(
    public: Running, monkeypatch: pytest.MonkeyPatch, authority: Authority
) -> None:
    usual = listeners.CONNECTION_SECONDS
    monkeypatch.setattr(listeners, "HEADER_SECONDS", 1.0)
    monkeypatch.setattr(listeners, "CONNECTION_SECONDS", 5.0)
    header = b"POST / HTTP/1.0\r\nContent-Length: 1000\r\n\r\n"
    began = time.monotonic()
    with _secured(public.port, _client(authority)) as slow:
        assert 4.9 < _dropped_after(slow, header, b"y", began) < usual
    with _secured(public.port, _client(authority)) as patient:
        patient.sendall(header)
        time.sleep(2)  # longer than a header may take
        patient.sendall(b"y" * 1000)
        assert b" 200 " in patient.recv(1000)
    public.wait_for(0)


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
    """Peer failure 30."""
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
        listeners.listen(_app([]), "127.0.0.1", public.port, context)
