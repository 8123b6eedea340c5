"""A service of its own on loopback, over TLS, that answers as a test tells it to."""

from __future__ import annotations

import contextlib
import datetime
import http.server
import ipaddress
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass
class Answer:
    """One answer. ``body``: JSON, or bytes as they are; ``drop``: hang up instead."""

    body: object = None
    status: int = 200
    kind: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)
    drop: bool = False


def problem(status: int, code: str, title: str, **data: object) -> Answer:
    """A refusal as problem JSON (RFC 9457)."""
    body = {"type": code, "title": title, "status": status, **data}
    return Answer(body, status, "application/problem+json")


@dataclass
class Asked:
    """One request as it came."""

    method: str
    path: str
    authorization: str | None
    body: dict[str, object] | None


@dataclass
class Service:
    """``url`` to call, ``ca`` to trust; ``asked`` is what came."""

    url: str
    ca: Path
    asked: list[Asked] = field(default_factory=list)


Handler = Callable[[Asked], Answer]


@contextlib.contextmanager
def serve(directory: Path, handler: Handler, *, name: str = "127.0.0.1") -> Iterator[Service]:
    """Serve ``handler`` on loopback with a certificate for ``name``."""
    ca = directory / "server.pem"
    key = directory / "server.key"
    _certificate(ca, key, name)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(ca, key)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Request)
    service = Service(f"https://127.0.0.1:{server.server_port}", ca)
    server.told = (handler, service.asked)  # type: ignore[attr-defined]
    # the handshake belongs to the connection's thread: a client that refuses must not stop accept
    server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield service
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Request(http.server.BaseHTTPRequestHandler):
    def handle(self) -> None:
        # a client that refuses the certificate or hangs up is part of the tests
        with contextlib.suppress(OSError):
            super().handle()

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def _answer(self) -> None:
        handler, asked = self.server.told  # type: ignore[attr-defined]
        length = int(self.headers.get("Content-Length", 0))
        body = json.loads(self.rfile.read(length)) if length else None
        asked.append(Asked(self.command, self.path, self.headers.get("Authorization"), body))
        answer = handler(asked[-1])
        if answer.drop:
            self.close_connection = True
            return
        content = (
            answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
        )
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.kind)
        self.send_header("Content-Length", str(len(content)))
        for header, value in answer.headers.items():
            self.send_header(header, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


def _certificate(path: Path, key_path: Path, name: str) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    who = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test service")])
    now = datetime.datetime.now(datetime.UTC)
    try:
        names: x509.GeneralName = x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        names = x509.DNSName(name)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(who)
        .issuer_name(who)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
