"""``scripts/demo``: build the institution, play the story, then serve it.

``--once`` ends after the story. Everything lies under ``var/demo`` in the checkout; each run
starts anew.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from pathlib import Path

from tests.institution.site import Institution
from tests.institution.tokens import Refused
from tests.story.story import STEPS, Story

ROOT = Path(__file__).parents[2] / "var" / "demo"
PORTS = {"public": 8443, "certificate": 8444, "smtp": 8025}


def main() -> int:
    """Play; the exit code."""
    parser = argparse.ArgumentParser(prog="scripts/demo", description=__doc__)
    parser.add_argument("--once", action="store_true", help="end after the story")
    once = parser.parse_args().once
    started = time.monotonic()
    shutil.rmtree(ROOT, ignore_errors=True)
    try:
        institution = Institution.build(ROOT, ports=None if once else PORTS)
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
    lines = [
        "",
        "Now by hand. Ctrl-C ends it.",
        f"  public site:       {institution.public_url}",
        f"  certificate site:  {institution.certificate_url}  (a browser with the token)",
        f"  CA to trust:       {institution.authority.anchors_pem}",
        f"  mails appear in:   {institution.mail_directory}/ADDRESS/*.eml",
        "",
        "  logins (PID / password / token PIN):",
    ]
    for part, someone in institution.people.items():
        pin = story.new_pin if part == "holder" else institution.tokens[part].user_pin
        lines.append(f"    {part:11}{someone.pid} / {someone.password} / {pin}")
    helper = Path(sys.executable).parent / "token-helper"
    lines += [
        "",
        "  answers of the holder (question: answer):",
        *(f"    {question}: {answer}" for question, answer in story.answers.items()),
        "",
        f"  block the holder's token again:  {ROOT}/block-token",
        f"  read the newest mail:            {ROOT}/newest-mail",
        "  a browser with a token in it:    "
        f"{ROOT}/browser holder   (or supervisor, operator; needs a screen)",
        "  the helper, with the code that the page shows:",
        f"    {helper} CODE --server {institution.public_url} \\",
        f"      --ca {institution.authority.anchors_pem} \\",
        f"      --module {institution.tokens['holder'].module}",
    ]
    print("\n".join(lines), flush=True)
    while institution.process("serve").poll() is None:
        time.sleep(1)
    raise RuntimeError("the service ended by itself")


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
