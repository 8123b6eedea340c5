"""The institution's web server for CRLs and OCSP, on loopback, as good or bad as a test wants."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Serve = Callable[[BaseHTTPRequestHandler, bytes], None]


class Publisher:
    """Serves ``pages``: what is done for each path, given the request and its body.

    ``asked``: method, target and body of every request so far.
    """

    def __init__(self, port: int) -> None:
        self.pages: dict[str, Serve] = {}
        self.asked: list[tuple[str, str, bytes]] = []
        self.url = f"http://127.0.0.1:{port}"


def content(raw: Callable[[], bytes] | bytes) -> Serve:
    """A page with this content, made anew for each request."""

    def serve(request: BaseHTTPRequestHandler, body: bytes) -> None:
        found = raw if isinstance(raw, bytes) else raw()
        request.send_response(200)
        request.send_header("Content-Length", str(len(found)))
        request.end_headers()
        request.wfile.write(found)

    return serve


def status(code: int, **headers: str) -> Serve:
    """Nothing but a status and headers."""

    def serve(request: BaseHTTPRequestHandler, body: bytes) -> None:
        request.send_response(code)
        for name, value in headers.items():
            request.send_header(name, value)
        request.send_header("Content-Length", "0")
        request.end_headers()

    return serve


@contextmanager
def publishing() -> Iterator[Publisher]:
    """A server for the time of the block."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._serve(b"")

        def do_POST(self) -> None:
            self._serve(self.rfile.read(int(self.headers["Content-Length"])))

        def _serve(self, body: bytes) -> None:
            publisher.asked.append((self.command, self.path, body))
            publisher.pages.get(self.path, status(404))(self, body)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing on standard error."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    publisher = Publisher(server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield publisher
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
