"""The institution behind a real nginx, with ``deploy/nginx.conf`` itself: only names, ports and
places are replaced.

nginx runs in the foreground on loopback ports. Started by root its workers run as ``www-data``, and
only that group may pass to the sites' sockets, as in production.
"""

from __future__ import annotations

import grp
import os
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.institution.site import Institution

USER = "www-data"
_EXAMPLE = Path(__file__).parents[2] / "deploy" / "nginx.conf"
_TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


class Proxied(Institution):
    """``token-reset serve`` under gunicorn, nginx in front of it."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        # short, since the address of a unix socket is, and outside the closed directories of tests
        self.sockets = Path(tempfile.gettempdir()) / f"token-reset-{secrets.token_hex(4)}"
        self.nginx = root / "nginx"
        self.client_ca = self.nginx / "client-ca.pem"
        self.client_crl = self.nginx / "client-crl.pem"

    def _way_in(self, public: Sequence[Path], own: Sequence[Path]) -> str:
        self.nginx.mkdir()
        for name, files in (("public", public), ("certificate", own)):
            for file, suffix in zip(files, ("pem", "key"), strict=True):
                shutil.copy(file, self.nginx / f"{name}.{suffix}")
        return f'[proxy]\nsockets = "{self.sockets}"\n'

    def start(self) -> None:
        """The service, then nginx."""
        if not self.sockets.exists():
            self.sockets.mkdir(mode=0o750)
            if os.geteuid() == 0:
                os.chown(self.sockets, 0, grp.getgrnam(USER).gr_gid)
        super().start()
        if "nginx" not in self._processes:
            self.start_nginx()

    def start_nginx(self, replaced: Mapping[str, str] | None = None) -> None:
        """nginx with the CA's certificates and CRLs of now; ``replaced``: more text to replace."""
        authority = self.authority
        for target, parts in (
            (self.client_ca, (authority.anchors_pem, authority.intermediates_pem)),
            (self.client_crl, authority.crl_files),
        ):
            target.write_bytes(b"".join(part.read_bytes() for part in parts))
        config = self.nginx / "nginx.conf"
        config.write_text(self._rendered(replaced or {}))
        command = ["nginx", "-p", str(self.nginx), "-c", str(config), "-g", "daemon off;"]
        with self.log.open("a") as log:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self._processes["nginx"] = process
        for site in ("public", "certificate"):
            _wait_for(self.ports[site], process)

    def restart_nginx(self, replaced: Mapping[str, str] | None = None) -> None:
        """Stop and start nginx alone."""
        self.stop("nginx")
        self.start_nginx(replaced)

    def _rendered(self, replaced: Mapping[str, str]) -> str:
        text = _EXAMPLE.read_text()
        places = "".join(f"{n}_temp_path {self.nginx}/{n}; " for n in _TEMPORARY)
        for old, new in {
            "user token-reset-proxy;": f"user {USER};" if os.geteuid() == 0 else "",
            "pid /run/nginx.pid": f"pid {self.nginx}/pid",
            "/var/log/nginx/error.log": f"{self.nginx}/error.log info",
            "/var/log/nginx/token-reset.log": str(self.access_log),
            "    server_tokens off;": f"    {places}\n    server_tokens off;",
            "listen 443 ": f"listen 127.0.0.1:{self.ports['public']} ",
            "listen 8444 ": f"listen 127.0.0.1:{self.ports['certificate']} ",
            "server_name reset.institute.example": "server_name localhost",
            "server_name reset-card.institute.example": "server_name localhost",
            "/etc/nginx/token-reset/": f"{self.nginx}/",
            "/run/token-reset/": f"{self.sockets}/",
            **replaced,
        }.items():
            assert old in text, old
            text = text.replace(old, new)
        return text

    @property
    def access_log(self) -> Path:
        """What nginx wrote of each request."""
        return self.nginx / "access.log"

    @property
    def error_log(self) -> Path:
        """What nginx wrote of errors, and of whatever else it does."""
        return self.nginx / "error.log"

    def stop(self, *names: str) -> None:
        """End processes; when all end, the sockets' directory goes, too."""
        super().stop(*names)
        if not names:
            shutil.rmtree(self.sockets, ignore_errors=True)


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise RuntimeError(f"nginx does not listen on port {port}")
