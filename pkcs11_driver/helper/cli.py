"""``token-helper``: pair with the service and do one job; list tokens; doctor.

Exit 0 good, 1 refused (the reason on standard error, one line), 2 usage. PINs are read from the
terminal, or from standard input where that is no terminal; never from arguments or environment.
"""

from __future__ import annotations

import argparse
import base64
import json
import sys
from collections.abc import Sequence

from pkcs11_driver import memory, wire
from pkcs11_driver.helper import doctor, language, link, modules, registering, work
from pkcs11_driver.helper.client import Client
from pkcs11_driver.helper.dialogue import Refused, Terminal, one_line
from pkcs11_driver.helper.job import version
from pkcs11_driver.helper.language import say
from pkcs11_driver.isolated import be_the_child
from pkcs11_driver.operations import TokenStatus


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program. Returns the exit code."""
    memory.keep_private()
    be_the_child(sys.argv[1:])
    parser = _parser()
    options = parser.parse_args(arguments)
    language.use(options.language or language.of_person())
    found = modules.to_ask(options.module)
    try:
        if options.what == "list":
            return _list(found, as_json=options.json)
        if options.what == "doctor":
            return _doctor(options)
        if options.what == "register-link":
            print(registering.register(options.server or "", options.ca or ""))
            return 0
        if options.what == "unregister-link":
            print(registering.unregister())
            return 0
        if options.window:
            return _window(parser, options, found)
        if not options.server and not link.is_link(options.what or ""):
            parser.error(say("--server is needed"))
        return _job(parser, options, found)
    except work.EXPECTED as error:
        print(f"token-helper: {work.reason(error)}", file=sys.stderr)
    return 1


def window() -> int:
    """The same in a window: an entry of its own, which opens no terminal on Windows."""
    return main(["--window", *sys.argv[1:]])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="token-helper",
        description="Resets the PIN of the token that is plugged in here, or signs an approval, "
        "with a code from the service's page.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "what",
        nargs="?",
        metavar="CODE",
        help="the code that the page shows (asked for when left out), or its token-reset:// link; "
        "or: list, doctor, register-link, unregister-link",
    )
    parser.add_argument("--server", metavar="URL", help="the service's https address")
    parser.add_argument(
        "--module", metavar="SO", action="append", default=[], help="a PKCS#11 module"
    )
    parser.add_argument(
        "--ca", metavar="FILE", help="the only certificate authorities to trust (PEM)"
    )
    parser.add_argument("--window", action="store_true", help="in a window, not in the terminal")
    parser.add_argument(
        "--language", choices=tuple(language.LANGUAGES), help="the system's when left out"
    )
    parser.add_argument("--json", action="store_true", help="list as JSON")
    parser.add_argument("--version", action="version", version=f"token-helper {version()}")
    return parser


def _job(parser: argparse.ArgumentParser, options: argparse.Namespace, found: Sequence[str]) -> int:
    terminal = Terminal()
    typed, server = options.what, options.server
    if link.is_link(typed or ""):
        followed = link.parse(typed, server or "")
        typed, server = followed.code, followed.server
    try:
        client = Client(server, options.ca)
    except ValueError as error:
        parser.error(one_line(str(error)))
    if typed is not options.what:
        _confirm(terminal, server)
    if typed is None:
        typed = terminal.ask(say("Code from the page:"))
    code = wire.tidy_code(typed)
    if not wire.is_code(code):
        parser.error(
            say(
                "a code has {length} letters and digits, as the page shows it",
                length=wire.CODE_LENGTH,
            )
        )
    work.do(client, code, found, terminal)
    return 0


def _confirm(terminal: Terminal, server: str) -> None:
    terminal.tell(say("A link asks this program to work with:") + f" {server}")
    yes = say("yes")
    question = say("Type {yes} if this is your institution's service:", yes=yes)
    if terminal.ask(question).strip().lower() not in ("yes", yes):
        raise Refused(say("Stopped. Nothing was changed."))


def _window(
    parser: argparse.ArgumentParser, options: argparse.Namespace, found: Sequence[str]
) -> int:
    try:
        from pkcs11_driver.helper import window
    except ImportError:
        raise Refused(
            say("This Python has no windows (Tk). Install python3-tk, or start without --window.")
        ) from None
    server, code, by_link = options.server or "", options.what or "", False
    refused = ""
    if link.is_link(code):
        try:
            followed = link.parse(code, server)
        except Refused as error:
            # started by a browser there is no terminal to read it in
            code, refused = "", str(error)
        else:
            server, code, by_link = followed.server, followed.code, True
    start = window.Start(server, code, options.ca, tuple(found), by_link, refused)
    try:
        return window.run(start)
    except ValueError as error:
        parser.error(one_line(str(error)))


def _list(found: Sequence[str], *, as_json: bool) -> int:
    seen = modules.tokens(found)
    if as_json:
        print(json.dumps([_as_json(token) for token in seen], indent=2))
    for token in [] if as_json else seen:
        print(modules.describe(token))
    if not seen:
        raise Refused(say("No token is plugged in."))
    return 0


def _as_json(token: TokenStatus) -> dict[str, object]:
    plain = {name: value for name, value in vars(token).items() if name != "certificates"}
    certificates = [
        {"key_id": key_id.hex(), "der": base64.b64encode(der).decode()}
        for key_id, der in token.certificates
    ]
    return {**plain, "certificates": certificates}


def _doctor(options: argparse.Namespace) -> int:
    works = False
    reason = say("No token software works. Install it, or name its file with --module.")
    for finding in doctor.examine(options.module, options.server or "", options.ca):
        print(f"{finding.state}  {finding.text}", flush=True)
        if finding.mend:
            print(f"      {finding.mend}")
        works = works or finding.works
        if finding.cause and finding.state == "!!":
            reason = finding.text
    if not works:
        raise Refused(reason)
    return 0
