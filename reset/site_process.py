"""``token-reset site``: one site under gunicorn, on its unix socket behind nginx.

Rules:

1. The socket's directory belongs to the service and is closed to all others but its group: who can
   connect there can name any client certificate.
2. Each worker puts the service together after the fork: no connection, lock or thread is shared.
3. Of the headers that gunicorn itself would believe none counts, and a header whose name has an
   underscore refuses the request: WSGI cannot tell it from the one with a dash.
4. One request per connection, so no request can hide in another one's body.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

from flask import Flask
from gunicorn.app.base import BaseApplication

from reset import bootstrap
from reset.config import Settings
from reset.errors import SettingsRefused
from reset.web.proxy import HEADER_LIMIT
from reset.web.site import SiteName, socket_in

WORKERS = 2  # processes of one site: while one starts anew the other answers
THREADS = 16  # of each
_FIELD = 1024  # name, colon and blanks around the longest header
_SETTINGS: dict[str, object] = {
    "worker_class": "gthread",
    "workers": WORKERS,
    "threads": THREADS,
    "keepalive": 0,
    "graceful_timeout": 8,  # less than what ``serve`` waits for a child
    "umask": 0o007,  # of the socket; the directory's mode is what closes it
    "limit_request_line": 8190,
    "limit_request_field_size": HEADER_LIMIT + _FIELD,
    "header_map": "refuse",
    "forwarder_headers": "",
    "secure_scheme_headers": {},
    "control_socket_disable": True,
    "loglevel": "error",  # below that gunicorn quotes the header that it refuses
}
SITES: dict[SiteName, Callable[[bootstrap.Service], Flask]] = {
    "public": bootstrap.public_site,
    "certificate": bootstrap.certificate_site,
}


class _Gunicorn(BaseApplication):  # type: ignore[misc]
    """gunicorn with our settings alone: no file, argument or variable of its own is read."""

    def __init__(self, name: SiteName, settings: Settings, socket: Path) -> None:
        self._name, self._service_settings, self._socket = name, settings, socket
        super().__init__()

    def load_config(self) -> None:
        for name, value in _SETTINGS.items():
            self.cfg.set(name, value)
        self.cfg.set("bind", f"unix:{self._socket}")
        self.cfg.set("when_ready", self._admit_proxy)
        self.cfg.set("post_worker_init", self._tell_ready)

    def load(self) -> Flask:
        """The application of one worker."""
        return SITES[self._name](bootstrap.service(self._service_settings))

    def _admit_proxy(self, arbiter: object) -> None:
        """Who may pass through the directory may connect; gunicorn gave the socket our group."""
        os.chown(self._socket, -1, self._socket.parent.stat().st_gid)

    def _tell_ready(self, worker: object) -> None:
        if getattr(worker, "age", 0) == 1:
            print(ready(self._name), flush=True)  # noqa: T201 - what ``serve`` waits for


def ready(name: SiteName) -> str:
    """The line on stdout that says that the first worker answers."""
    return f"{name} site ready"


def run(name: SiteName, settings: Settings) -> None:
    """Be the site ``name`` until SIGTERM. Raises ``SettingsRefused``."""
    if settings.proxy is None:
        raise SettingsRefused(problems=["proxy: missing, site needs it"])
    check_directory(settings.proxy.sockets)
    _Gunicorn(name, settings, socket_in(settings.proxy.sockets, name)).run()


def check_directory(directory: Path) -> None:
    """Raises ``SettingsRefused`` when others could connect to a socket there, or replace it."""
    try:
        seen = directory.lstat()
    except OSError as error:
        raise SettingsRefused(problems=[f"proxy.sockets: {directory}: {error.strerror}"]) from None
    closed = stat.S_ISDIR(seen.st_mode) and not stat.S_IMODE(seen.st_mode) & 0o027
    if not closed or seen.st_uid != os.geteuid():
        raise SettingsRefused(
            problems=[f"proxy.sockets: {directory} must be a directory of our own, mode 0750"]
        )
