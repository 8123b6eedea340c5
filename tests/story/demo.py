"""``scripts/demo``: build the institution, play the story, then serve it.

``--once`` ends after the story. Everything lies under ``var/demo`` in the checkout; each run
starts anew. Only one demo runs at a time.
"""

from __future__ import annotations

import argparse
import fcntl
import shutil
import signal
import socket
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TextIO

from reset.core.catalogue import CATALOGUE
from tests.institution.site import Institution
from tests.institution.tokens import Refused
from tests.story.story import STEPS, Story

ROOT = Path(__file__).parents[2] / "var" / "demo"
LOCK = ROOT.with_name("demo.lock")
PORTS = {"public": 8443, "certificate": 8444, "smtp": 8025}
# somebody who tries things out asks more often than a holder in trouble
POLICY = "code_sends_per_hour = 10\nrequests_per_day = 10"


def main() -> int:
    """Play; the exit code."""
    parser = argparse.ArgumentParser(prog="scripts/demo", description=__doc__)
    parser.add_argument("--once", action="store_true", help="end after the story")
    once = parser.parse_args().once
    for ending in (signal.SIGTERM, signal.SIGHUP):  # a closed terminal leaves nothing running
        signal.signal(ending, signal.default_int_handler)
    try:
        lock = _only_one(() if once else PORTS.values())
    except _InTheWay as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    with lock:
        return _play(once=once)


class _InTheWay(Exception):
    """Why no demo can start now, and what to do."""


def _only_one(ports: Iterable[int]) -> TextIO:
    """Hold the demo's lock, with ``ports`` free. Raises ``_InTheWay``; nothing is changed then."""
    LOCK.parent.mkdir(parents=True, exist_ok=True)
    lock = LOCK.open("a")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise _InTheWay("another demo is running here; end it with Ctrl-C first") from None
    for port in ports:
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            lock.close()
            raise _InTheWay(f"port {port} is in use; end the program that listens there") from None
    return lock


def _play(*, once: bool) -> int:
    started = time.monotonic()
    shutil.rmtree(ROOT, ignore_errors=True)
    try:
        institution = Institution.build(ROOT, ports=None if once else PORTS, policy=POLICY)
    except (Refused, RuntimeError) as error:
        print(f"demo: the institution could not be built: {error}", file=sys.stderr)
        return 1
    _print("Built: root and issuing CA, two sites, three tokens, custodian, database", started)
    try:
        institution.start()
        story = Story(institution)
        for number, (title, step) in enumerate(STEPS, 1):
            begun = time.monotonic()
            proved = step(story)
            _print(f"{number:2}. {title}", begun)
            print(f"      {proved}")
        print(f"\nThe story ended well after {time.monotonic() - started:.1f} s.")
        if not once:
            _serve(institution, story)
    except (AssertionError, RuntimeError, TimeoutError) as error:
        print(f"demo: this step failed: {error}\nThe log: {institution.log}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped.")
    finally:
        institution.stop()
    return 0


def _print(what: str, since: float) -> None:
    print(f"{what}  [{time.monotonic() - since:.1f} s]", flush=True)


def _serve(institution: Institution, story: Story) -> None:
    _write_tools(institution)
    print("\n".join(_said(institution, story)), flush=True)
    while institution.process("serve").poll() is None:
        time.sleep(1)
    raise RuntimeError("the service ended by itself")


def _said(institution: Institution, story: Story) -> list[str]:
    """What somebody needs who goes on by hand."""
    people, tokens = institution.people, institution.tokens
    pins = {part: tokens[part].user_pin for part in people} | {"holder": story.new_pin}
    helper = Path(sys.executable).parent / "token-helper"
    start = f"{helper} --server {institution.public_url} --ca {institution.authority.anchors_pem}"
    return [
        "",
        "Now by hand. Ctrl-C ends it.",
        "The next scripts/demo starts anew; all of this is lost.",
        "",
        f"  public site:       {institution.public_url}",
        f"  certificate site:  {institution.certificate_url}  (a browser with the token)",
        f"  CA to trust:       {institution.authority.anchors_pem}",
        f"  mails appear in:   {institution.mail_directory}/ADDRESS/*.eml",
        "",
        "  logins (PID / password / token PIN):",
        *(
            f"    {part:11}{someone.pid} / {someone.password} / {pins[part]}"
            for part, someone in people.items()
        ),
        "  The holder's PIN is the one of now: it changes when you reset it by hand.",
        f"  {people['operator'].name} is the registration office and the auditor.",
        "",
        "  answers of the holder:",
        *(f"    {CATALOGUE[q].text}\n      {answer}" for q, answer in story.answers.items()),
        "",
        "  the helper asks for the code that the page shows; for the holder:",
        f"    {start} --module {tokens['holder'].module}",
        "  for the supervisor who signs:",
        f"    {start} --module {tokens['supervisor'].module}",
        "",
        f"  block the holder's token again:  {ROOT}/block-token",
        f"  read the newest mail:            {ROOT}/newest-mail [ADDRESS]",
        "  a browser with a token in it:    "
        f"{ROOT}/browser holder   (or supervisor, operator; needs a screen)",
    ]


def _write_tools(institution: Institution) -> None:
    """Small scripts for trying it by hand."""
    top, python = Path(__file__).parents[2], sys.executable
    call = f'cd "{top}" && exec "{python}" -m tests.story.tools'
    for name, word in (
        ("block-token", "block"),
        ("newest-mail", "mail"),
        ("browser", "browser"),
    ):
        script = institution.root / name
        script.write_text(f'#!/bin/sh\n{call} {word} "{institution.root}" "$@"\n')
        script.chmod(0o755)


if __name__ == "__main__":
    sys.exit(main())
