"""``token-reset serve``: both sites, with the custodian and the worker as children.

The sites are TLS listeners in this process, or, behind a proxy, two children under gunicorn. The
children die with this process, and are started again when they end by themselves: a request
meanwhile is refused, never half done.
"""

from __future__ import annotations

import ctypes
import logging
import os
import shutil
import signal
import subprocess  # starts our own program only
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from reset import bootstrap, site_process
from reset.bootstrap import Service
from reset.config import Settings
from reset.errors import SettingsRefused
from reset.web import listeners
from reset.web.health import MEASURED_IN

_log = logging.getLogger("reset.serving")
_PR_SET_PDEATHSIG = 1
PAUSE = 1.0  # seconds between two looks at the children
FETCH_PAUSE = 30.0  # seconds between two looks at what is to be fetched


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


class Child:
    """One child process of ours: the words of its command and its settings file.

    ``ready``: the line on its stdout that says that it answers. ``environment``: variables that
    it gets besides ours.
    """

    def __init__(
        self,
        command: str,
        config: Path,
        ready: str = "",
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._name = command
        program = (sys.executable, "-m", "reset.cli")
        self._arguments = [*program, *command.split(), "--config", str(config)]
        self._ready = ready
        self._environment = dict(environment or {})
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Start it and wait until it is ready. Raises ``SettingsRefused`` when it ends first."""
        process = self._begin()
        if self._ready:
            assert process.stdout
            line = process.stdout.readline().strip()
            if line != self._ready:
                raise SettingsRefused(problems=[f"the {self._name} did not start"])

    def _begin(self) -> subprocess.Popen[str]:
        self._process = subprocess.Popen(  # noqa: S603 - our own program, fixed arguments
            self._arguments,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if self._ready else None,
            text=True,
            env={**os.environ, **self._environment},
            preexec_fn=_die_with_parent,
        )
        return self._process

    def look(self) -> None:
        """Start it again if it has ended; nobody waits until it is ready."""
        if self._process and self._process.poll() is not None:
            _log.error("%s ended with %s, started again", self._name, self._process.poll())
            self._begin()

    def stop(self) -> None:
        """End it and wait."""
        if self._process and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()


def serve(service: Service, config: Path, custodian_config: Path | None) -> None:
    """Serve both sites until SIGTERM or SIGINT.

    ``custodian_config``: start the custodian as a child; without it another unit runs it.
    Raises ``SettingsRefused``.
    """
    settings = service.settings
    if not (settings.listen or settings.proxy):
        raise SettingsRefused(problems=["listen or proxy: missing, serve needs one of them"])
    children = [Child("worker", config)]
    if custodian_config:
        children.insert(0, Child("custodian", custodian_config, "custodian ready"))
    if settings.proxy:
        children += _sites(settings, config)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    servers: list[listeners.Listener] = []
    try:
        for child in children:
            child.start()
        servers = _listen(service) if settings.listen else []
        print(  # noqa: T201 - what the operator waits for
            f"serving {settings.public_url} and {settings.certificate_url}",
            flush=True,
        )
        while not stop.wait(PAUSE):
            for child in children:
                child.look()
    finally:
        for server in servers:
            server.shutdown()
        for child in reversed(children):
            child.stop()


def _sites(settings: Settings, config: Path) -> list[Child]:
    """One child for each site; their workers add up their measurements in files."""
    assert settings.proxy
    site_process.check_directory(settings.proxy.sockets)
    measured = settings.run_directory / "metrics"
    shutil.rmtree(measured, ignore_errors=True)
    measured.mkdir(mode=0o700, parents=True)
    return [
        Child(f"site {name}", config, site_process.ready(name), {MEASURED_IN: str(measured)})
        for name in site_process.SITES
    ]


def _listen(service: Service) -> list[listeners.Listener]:
    listen, trust = service.settings.listen, service.settings.trust
    assert listen
    sites = (
        (
            bootstrap.public_site(service),
            listen.public,
            listeners.public_context(listen.public_certificate, listen.public_key),
        ),
        (
            bootstrap.certificate_site(service),
            listen.certificate,
            listeners.certificate_context(
                listen.certificate_certificate,
                listen.certificate_key,
                (*trust.anchors, *trust.intermediates),
            ),
        ),
    )
    servers = []
    for site, address, context in sites:
        host, _, port = address.rpartition(":")
        try:
            server = listeners.listen(site, host, int(port), context)
        except OSError as error:
            raise SettingsRefused(problems=[f"listen: {address}: {error.strerror}"]) from None
        threading.Thread(target=server.serve_forever, name=address, daemon=True).start()
        servers.append(server)
    return servers


def work(service: Service) -> None:
    """Be the worker until SIGTERM: accepted deviations, mail, expiry, leftovers, checkpoints; and
    newer CRLs and OCSP responses.

    A failing round is tried again. What is fetched has a thread of its own: mail never waits for
    somebody else's server.
    """
    stop, recorded = threading.Event(), False
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())

    def once() -> int:
        nonlocal recorded
        if not recorded:
            service.flows.auditing.record_acceptances()
            recorded = True
        return service.upkeep.run_once() + service.checkpointing.run_once()

    fetching = (service.revocation.run_once, stop, FETCH_PAUSE)
    threading.Thread(target=_rounds, args=fetching, name="revocation", daemon=True).start()
    _rounds(once, stop, PAUSE)


def _rounds(once: Callable[[], int], stop: threading.Event, pause: float) -> None:
    """Again and again; at once if something was done, else after ``pause`` seconds."""
    while not stop.is_set():
        started = time.monotonic()
        try:
            done = once()
        except Exception:  # noqa: BLE001 - the edge of the worker: it must outlive any bad row
            _log.exception("a round of the worker failed")
            done = 0
        stop.wait(0.0 if done else max(0.2, pause - (time.monotonic() - started)))
