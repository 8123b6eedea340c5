"""The system's proxy is used, opens no TLS, and is never gone around."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from pkcs11_driver import wire
from pkcs11_driver.helper import proxy
from pkcs11_driver.helper.client import CertificateRefused, Client, ServiceUnreachable
from tests.driver.service import Answer, Asked, serve

STATE = wire.JobState("done", "done")
CLAIMED = wire.Claimed("job-1", "secret-1", "reset", "S1", wire.PinRules(), b"c", "a b c")
VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


class Tunnel(socketserver.ThreadingTCPServer):
    """A proxy that knows CONNECT; every name leads to loopback."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, answer: str = "200 OK") -> None:
        super().__init__(("127.0.0.1", 0), _Connect)
        self.answer = answer
        self.heads: list[str] = []
        self.passed = b""

    @property
    def at(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"


class _Connect(socketserver.StreamRequestHandler):
    server: Tunnel

    def handle(self) -> None:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += self.rfile.readline()
        self.server.heads.append(head.decode())
        self.wfile.write(f"HTTP/1.1 {self.server.answer}\r\n\r\n".encode())
        if not self.server.answer.startswith("200"):
            return
        port = int(head.split()[1].rpartition(b":")[2])
        with socket.create_connection(("127.0.0.1", port)) as there:
            back = threading.Thread(target=self._copy, args=(there, self.connection))
            back.start()
            self._copy(self.connection, there)
            back.join(5)

    def _copy(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                self.server.passed += data
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def tunnel(answer: str = "200 OK") -> Iterator[Tunnel]:
    with Tunnel(answer) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def always(asked: Asked) -> Answer:
    return Answer(wire.to_json(CLAIMED if asked.path.endswith("claim") else STATE))


def url_of(port_of: str, host: str = "reset.example.org") -> str:
    return f"https://{host}:{port_of.rpartition(':')[2]}"


def test_tls_goes_through_unopened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serve(tmp_path, always, name="reset.example.org") as service, tunnel() as proxied:
        monkeypatch.setenv("https_proxy", f"http://someone:p%40ss@{proxied.at}")
        client = Client(url_of(service.url), str(service.ca))
        assert client.claim(wire.Claim("ABCDEFGH", b"k" * 32, "1")) == CLAIMED
        assert client.state(CLAIMED) == STATE
    assert len(service.asked) == 2
    assert proxied.heads[0].startswith("CONNECT reset.example.org:")
    assert "Proxy-Authorization: Basic c29tZW9uZTpwQHNz" in proxied.heads[0]
    for secret in (b"ABCDEFGH", b"secret-1"):
        assert secret not in proxied.passed


def test_the_certificate_is_the_services_not_the_proxys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serve(tmp_path, always, name="127.0.0.1") as service, tunnel() as proxied:
        monkeypatch.setenv("https_proxy", f"http://{proxied.at}")
        with pytest.raises(CertificateRefused):
            Client(url_of(service.url), str(service.ca)).state(CLAIMED)
    assert service.asked == []


def test_a_proxy_that_refuses_is_not_gone_around(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serve(tmp_path, always) as service, tunnel("407 Who are you") as proxied:
        monkeypatch.setenv("https_proxy", f"http://{proxied.at}")
        client = Client(url_of(service.url), str(service.ca), pause=lambda _: None)
        with pytest.raises(ServiceUnreachable, match="407"):
            client.state(CLAIMED)
    assert service.asked == []


@pytest.mark.parametrize(
    "setting", ["socks5://proxy:1080", "https://proxy:443", "http://u:s3cret@"]
)
def test_a_setting_that_cannot_be_used_is_said(
    setting: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("https_proxy", setting)
    with pytest.raises(ValueError, match="proxy setting") as caught:
        Client("https://reset.example.org")
    assert "s3cret" not in str(caught.value)


def test_exceptions_are_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://proxy:3128")
    monkeypatch.setenv("no_proxy", "inside.example.org")
    assert proxy.for_host("reset.inside.example.org") is None
    found = proxy.for_host("reset.example.org")
    assert found is not None
    assert (found.host, found.port) == ("proxy", 3128)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "::1", "localhost"])
def test_this_computer_needs_none(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://proxy:3128")
    assert proxy.for_host(host) is None


def test_a_password_is_in_no_text_form(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://someone:s3cret@proxy:3128")
    assert "s3cret" not in repr(proxy.for_host("reset.example.org"))


def test_the_way_to_an_address_of_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://proxy:3128")
    client = Client("https://[2001:db8::1]:8443")
    assert (client.host, client.proxy) == ("[2001:db8::1]:8443", "proxy")
    client = Client("https://[::1]")
    assert (client.host, client.proxy) == ("[::1]", "")
