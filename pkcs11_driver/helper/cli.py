"""``token-helper``: pair with the service and do one job; list tokens; doctor.

Exit 0 good, 1 refused (the reason on standard error, one line), 2 usage. PINs are read from the
terminal, or from standard input where that is no terminal; never from arguments or environment.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import json
import sys
from collections.abc import Sequence

from pkcs11_driver import wire
from pkcs11_driver.errors import DriverError, sentence
from pkcs11_driver.helper import approve, modules, reset
from pkcs11_driver.helper.client import Client, ServiceError
from pkcs11_driver.helper.dialogue import Refused, Terminal, one_line, readable
from pkcs11_driver.helper.job import claim, version
from pkcs11_driver.operations import TokenStatus, detect_style
from pkcs11_driver.styles import SO_INIT_PIN


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program. Returns the exit code."""
    _no_core_dumps()
    parser = _parser()
    options = parser.parse_args(arguments)
    found = modules.to_ask(options.module)
    try:
        if options.what == "list":
            return _list(found, as_json=options.json)
        if options.what == "doctor":
            return _doctor(found)
        if not options.server:
            parser.error("--server is needed")
        return _job(parser, options, found)
    except Refused as error:
        reason = str(error)
    except DriverError as error:
        reason = sentence(error)
    except ServiceError as error:
        reason = str(error)
    except KeyboardInterrupt:
        reason = "Stopped."
    print(f"token-helper: {one_line(reason)}", file=sys.stderr)
    return 1


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
        help="the code that the page shows (asked for when left out); or: list, doctor",
    )
    parser.add_argument("--server", metavar="URL", help="the service's https address")
    parser.add_argument(
        "--module", metavar="SO", action="append", default=[], help="a PKCS#11 module"
    )
    parser.add_argument(
        "--ca", metavar="FILE", help="the only certificate authorities to trust (PEM)"
    )
    parser.add_argument("--json", action="store_true", help="list as JSON")
    parser.add_argument("--version", action="version", version=f"token-helper {version()}")
    return parser


def _job(parser: argparse.ArgumentParser, options: argparse.Namespace, found: Sequence[str]) -> int:
    try:
        client = Client(options.server, options.ca)
    except ValueError as error:
        parser.error(one_line(str(error)))
    terminal = Terminal()
    typed = options.what if options.what is not None else terminal.ask("Code from the page:")
    code = wire.tidy_code(typed)
    if not wire.is_code(code):
        parser.error(f"a code has {wire.CODE_LENGTH} letters and digits, as the page shows it")
    job = claim(client, code, found, terminal)
    if job.claimed.kind == "approve":
        approve.run(job)
    else:
        reset.run(job)
    return 0


def _list(found: Sequence[str], *, as_json: bool) -> int:
    seen = modules.tokens(found)
    if as_json:
        print(json.dumps([_as_json(token) for token in seen], indent=2))
    for token in [] if as_json else seen:
        print(readable(modules.describe(token)))
    if not seen:
        raise Refused("No token is plugged in.")
    return 0


def _as_json(token: TokenStatus) -> dict[str, object]:
    plain = {name: value for name, value in vars(token).items() if name != "certificates"}
    certificates = [
        {"key_id": key_id.hex(), "der": base64.b64encode(der).decode()}
        for key_id, der in token.certificates
    ]
    return {**plain, "certificates": certificates}


def _doctor(found: Sequence[str]) -> int:
    print(f"token-helper {version()}, protocol {wire.PROTOCOL}")
    works = False
    for module in found:
        line, good = modules.examine(module)
        print(line)
        works = works or good
    if not works:
        raise Refused("No token software works. Install it, or name its file with --module.")
    for token in modules.tokens(found):
        style = detect_style(token.module, token.serial)
        able = "can be reset" if style == SO_INIT_PIN else "cannot be reset"
        print(f"  {readable(modules.describe(token))}: {able} ({style})")
    return 0


def _no_core_dumps() -> None:
    """A crash must not write PINs to disk."""
    # the module is there on Unix only
    with contextlib.suppress(ImportError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
