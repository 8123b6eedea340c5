"""A proxy between helper and service that loses, doubles, delays and reorders their messages.

It ends TLS with a certificate of the institution's own, so that what it does is done to a whole
request or a whole answer. Without a fault it passes on what it gets.
"""

from __future__ import annotations

import http.client
import http.server
import ssl
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from tests.institution.ports import free_port
from tests.institution.site import Institution

PREFIX = "/helper/v1/"
TIMEOUT = 60.0
_PASSED_ON = ("Accept", "Authorization", "Content-Type")


@dataclass(frozen=True)
class Reply:
    """What the service answered."""

    status: int
    kind: str
    body: bytes
    retry_after: str = ""


@dataclass(frozen=True)
class Passage:
    """One request on its way to the service; ``call`` is claim, release, report or state."""

    call: str
    method: str
    path: str
    headers: dict[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    port: int
    tls: ssl.SSLContext = field(repr=False)

    def deliver(self) -> Reply:
        """Let the service have it, as often as this is called."""
        connection = http.client.HTTPSConnection(
            "localhost", self.port, timeout=TIMEOUT, context=self.tls
        )
        try:
            connection.request(self.method, self.path, self.body or None, self.headers)
            answer = connection.getresponse()
            body = answer.read()
        finally:
            connection.close()
        return Reply(
            answer.status,
            answer.headers.get("Content-Type", ""),
            body,
            answer.headers.get("Retry-After", ""),
        )

    def deliver_at_once(self) -> tuple[Reply, Reply]:
        """Let the service have it twice at the same time."""
        with ThreadPoolExecutor(2) as pool:
            one, other = [pool.submit(self.deliver) for _ in range(2)]
            return one.result(), other.result()


# what happens to one request: the answer that the helper gets, None for a connection that breaks
Fault = Callable[[Passage], Reply | None]


class Proxy:
    """``with Proxy(institution) as proxy``: ``url`` is the service as the helper finds it.

    An armed fault strikes once. ``passed``: the calls that came, oldest first; ``struck``: how many
    of them suffered; ``broke``: what a fault raised.
    """

    def __init__(self, institution: Institution) -> None:
        self.port = free_port()
        self.url = f"https://localhost:{self.port}"
        self.passed: list[str] = []
        self.struck = 0
        self.broke: list[Exception] = []
        self._service = institution.ports["public"]
        self._trusted = ssl.create_default_context(cafile=str(institution.authority.anchors_pem))
        self._lock = threading.Lock()
        self._armed: dict[str, Fault] = {}
        own = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        own.load_cert_chain(*institution.authority.issue_server(("localhost",)))
        self._server = _Server(("127.0.0.1", self.port), _Request)
        self._server.proxy = self
        # the handshake belongs to the connection's thread
        self._server.socket = own.wrap_socket(
            self._server.socket, server_side=True, do_handshake_on_connect=False
        )
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def forget(self) -> None:
        """Begin anew: nothing is armed, nothing has passed."""
        with self._lock:
            self.passed, self.struck, self.broke = [], 0, []
            self._armed = {}

    def arm(self, call: str, fault: Fault) -> None:
        """Let ``fault`` happen to the next ``call``."""
        with self._lock:
            self._armed[call] = fault

    def pass_on(self, passage: Passage) -> Reply | None:
        """The answer to a request, by the fault that waits for it if there is one."""
        with self._lock:
            self.passed.append(passage.call)
            fault = self._armed.pop(passage.call, None)
            self.struck += fault is not None
        return fault(passage) if fault else passage.deliver()

    def passage(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Passage:
        """A request as it came."""
        word = path.removeprefix(PREFIX).rpartition("/")[2]
        call = word if word in ("claim", "release", "report") else "state"
        return Passage(call, method, path, headers, body, self._service, self._trusted)


class _Server(http.server.ThreadingHTTPServer):
    proxy: Proxy

    def handle_error(self, request: object, client_address: object) -> None:
        """A helper that went away."""


class _Request(http.server.BaseHTTPRequestHandler):
    server: _Server

    def do_POST(self) -> None:
        self._pass_on()

    def do_GET(self) -> None:
        self._pass_on()

    def _pass_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {n: self.headers[n] for n in _PASSED_ON if n in self.headers}
        proxy = self.server.proxy
        try:
            reply = proxy.pass_on(proxy.passage(self.command, self.path, headers, body))
        except Exception as error:
            proxy.broke.append(error)
            raise
        if reply is None:
            return
        self.send_response(reply.status)
        self.send_header("Content-Type", reply.kind)
        self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        self.wfile.write(reply.body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""
