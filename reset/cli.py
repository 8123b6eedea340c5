"""``token-reset``: what operators run. Exit 0: good; 1: refused, one line on stderr; 2: usage."""

from __future__ import annotations

import argparse
import base64
import csv
import logging
import os
import stat
import sys
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from pkcs11_driver import memory
from reset import cli_audit, cli_verify, config
from reset.cli_audit import service
from reset.core.tokens import tidy_serial
from reset.errors import BadInput, ResetError, SettingsRefused, Unavailable
from reset.flows.csv_rows import family_in

if TYPE_CHECKING:
    from reset.bootstrap import Service

Arguments = argparse.Namespace
GROUPS = {
    "db": "the service's database: bring it to the newest revision",
    "people": "the people that the service knows: import them, see who lacks a profile, rebind one",
    "tokens": "the tokens that may be reset: import them with their sealed SO PINs",
    "escrow": "the sealed SO PINs: seal, correct, check, restore, seal anew",
    "audit": "the audit log: verify it, sign a checkpoint, prove an entry",
}


def main(arguments: list[str] | None = None) -> int:
    """Run one command; the exit code."""
    parsed = _parser().parse_args(arguments)
    logging.basicConfig(
        level=getattr(logging, parsed.log_level.upper()),
        format="%(asctime)s %(levelname)s %(name)s %(message)s",
        stream=sys.stderr,
    )
    logging.getLogger("alembic").setLevel(logging.WARNING)  # a refusal is one line
    try:
        command: Callable[[Arguments], None] = parsed.command
        command(parsed)
    except SettingsRefused as refused:
        problems = refused.data["problems"]
        print("settings refused: " + "; ".join(map(str, problems)), file=sys.stderr)  # type: ignore[call-overload]
        return 1
    except ResetError as refused:
        print(f"refused: {refused}", file=sys.stderr)
        return 1
    return 0


# imported by the commands that need them: the custodian loads nothing of web, database or directory
def _serve(arguments: Arguments) -> None:
    from reset import serving
    from reset.db import migrate

    made = service(arguments)
    if not migrate.current_is_head(made.settings.database.get_secret_value()):
        raise SettingsRefused(problems=["the database is not migrated: run token-reset db upgrade"])
    serving.serve(made, config.named_file(arguments.config), arguments.custodian_config)


def _custodian(arguments: Arguments) -> None:
    from reset import bootstrap_custodian

    settings = config.load_custodian(arguments.config)
    if arguments.create_keys:
        try:
            bootstrap_custodian.create_custodian_keys(settings)
        except ValueError as error:
            raise SettingsRefused(problems=[f"hsm: {error}"]) from None
    else:
        bootstrap_custodian.run_custodian(settings)


def _site(arguments: Arguments) -> None:
    from reset import site_process

    site_process.run(arguments.name, config.load(arguments.config))


def _worker(arguments: Arguments) -> None:
    from reset import serving

    serving.work(service(arguments))


def _db_upgrade(arguments: Arguments) -> None:
    from reset.db import migrate

    migrate.upgrade(config.load(arguments.config).database.get_secret_value())
    print("the database is at the newest revision")


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8-sig").splitlines(keepends=True)
    except FileNotFoundError:
        raise BadInput(field=path.name, rule="no such file") from None
    except (OSError, UnicodeDecodeError):
        raise BadInput(field=path.name, rule="cannot be read as UTF-8 text") from None


def _people_import(arguments: Arguments) -> None:
    print(f"{service(arguments).importing.people(_lines(arguments.file))} people imported")


def _people_without_profile(arguments: Arguments) -> None:
    found, holders = service(arguments).adoption.unprepared()
    writer = csv.writer(sys.stdout)
    writer.writerow(("uid", "pid", "name", "mail", "missing"))
    rows = ((f.person.uid, f.person.pid, f.person.name, f.person.mail, f.missing) for f in found)
    writer.writerows(map(_no_formula, row) for row in rows)
    print(f"{len(found)} of {holders} token holders are not prepared", file=sys.stderr)


def _no_formula(cell: str) -> str:
    """As a spreadsheet takes it for text (ASVS 1.2.10): names may be people's own choice."""
    return f"'{cell}" if cell.startswith(("=", "+", "-", "@")) else cell


def _people_rebind(arguments: Arguments) -> None:
    service(arguments).importing.rebind(arguments.uid)
    print("forgotten; the next login notes whose UID it is")


def _tokens_import(arguments: Arguments) -> None:
    print(f"{service(arguments).importing.tokens(_lines(arguments.file))} tokens imported")


def _escrow_key(arguments: Arguments) -> None:
    print(base64.b64encode(service(arguments).parts.custodian.import_key()).decode())


def _escrow_check(arguments: Arguments) -> None:
    found = service(arguments).escrow.check()
    print(f"{found} sealed SO PINs of all tokens and versions open, none missing, no two alike")


def _escrow_rewrap(arguments: Arguments) -> None:
    print(f"{service(arguments).escrow.rewrap()} sealed SO PINs under the newest key")


def _escrow_seal(arguments: Arguments) -> None:
    memory.keep_private()
    if stat.S_ISREG(os.fstat(sys.stdin.fileno()).st_mode):
        raise BadInput(field="stdin", rule="is a file on disk: pipe the list in")
    try:
        key = base64.b64decode(arguments.key, validate=True)
        rows = list(csv.DictReader(sys.stdin, strict=True))
    except (ValueError, csv.Error):
        raise BadInput(field="input", rule="the key is base64, the list CSV") from None
    for line, row in enumerate(rows, 2):
        row["so_pin"] = _sealed(row, key, f"line {line}")
    columns = list(rows[0]) if rows else ["serial", "family", "so_pin"]
    writer = csv.DictWriter(sys.stdout, columns)
    writer.writeheader()
    writer.writerows(rows)


def _sealed(row: Mapping[str, str], key: bytes, where: str) -> str:
    # imported here: the server's processes other than the custodian have no use for it
    from pkcs11_driver import envelope

    if None in row or not row.get("serial") or not row.get("family") or not row.get("so_pin"):
        raise BadInput(field=where, rule="needs the columns serial, family and so_pin")
    family, so_pin = family_in(row, where), row["so_pin"]
    if not family.takes(so_pin):
        lengths = f"{family.so_bytes[0]} to {family.so_bytes[-1]}"
        rule = f"so_pin must have the {lengths} printable bytes of the family {family.name}"
        raise BadInput(field=where, rule=rule)
    context = envelope.import_context(tidy_serial(row["serial"]), family.name)
    try:
        return base64.b64encode(envelope.seal(so_pin.encode(), key, context)).decode()
    except ValueError:
        raise BadInput(field="key", rule="is no import key") from None


def _escrow_correct(arguments: Arguments) -> None:
    print(f"{service(arguments).escrow.correct(_lines(arguments.file))} SO PINs replaced")


def _escrow_restore(arguments: Arguments) -> None:
    done = service(arguments).escrow.restore()
    print(f"{done.to_database} versions came back to the database, {done.to_ledger} to the ledger")
    for serial in done.open_tokens:
        print(f"{serial}: its last operation is open: the next reset may need the office")


def _doctor(arguments: Arguments) -> None:
    made = service(arguments)
    for name, fact in made.flows.health().items():
        print(f"{name}: {fact}")
    for name, fact in made.parts.custodian.health().items():
        print(f"custodian {name}: {fact}")
    for name, fact in made.parts.directory.check().items():
        print(f"directory {name}: {fact}")
    sign_on = made.parts.sign_on
    for name, fact in sign_on.check().items() if sign_on else ():
        print(f"single-sign-on {name}: {fact}")
    policy = made.parts.policy
    print(f"a reset is worth: level {policy.level} of 4, codes go to: {policy.code_box}")
    for one in policy.acceptances:
        print(f"accepted {one.rule}: {one.who}, {one.on} to {one.until}")
    if problems := made.importing.unmet():
        raise SettingsRefused(problems=problems)
    _doctor_revocation(made)


def _doctor_revocation(made: Service) -> None:
    """Until when CRLs and OCSP responses count. Raises ``Unavailable`` when one counts no more."""
    now, over = made.parts.clock.now(), []
    for one in made.revocation.standing():
        name = f"{one.kind} of {one.issuer}"
        ends = f"until {one.until:%Y-%m-%d %H:%M} UTC" if one.until else "nothing counts"
        print(f"{name}: {ends}{', soon' if made.revocation.ends_soon(one) else ''}")
        if one.until is None or one.until < now:
            over.append(name)
    if over:
        raise Unavailable(part="revocation", why="; ".join(over))


def _version() -> str:
    try:
        return metadata.version("token-reset")
    except metadata.PackageNotFoundError:
        return "unknown"


# commands without words of their own
PLAIN: tuple[tuple[str, Callable[[Arguments], None], str], ...] = (
    ("worker", _worker, "deliver mail, expire requests, settle leftovers"),
    ("db upgrade", _db_upgrade, "bring the database to the newest revision"),
    ("people without-profile", _people_without_profile, "list token holders who are not prepared"),
    ("escrow import-key", _escrow_key, "print the key to which SO PINs are sealed for import"),
    ("escrow check", _escrow_check, "open every sealed SO PIN inside the custodian"),
    ("escrow restore", _escrow_restore, "after a restore: what only one side still knows"),
    ("escrow rewrap", _escrow_rewrap, "seal all under the newest wrapping key"),
    ("doctor", _doctor, "say what is wrong with this installation"),
)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="token-reset", description=__doc__)
    parser.add_argument("--version", action="version", version=f"token-reset {_version()}")
    parser.add_argument(
        "--log-level",
        default="info",
        choices=("debug", "info", "warning"),
        help="the least important lines that go to standard error (default: info)",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(
        names: str, action: Callable[[Arguments], None], about: str, *, settings: bool = True
    ) -> argparse.ArgumentParser:
        group, _, name = names.rpartition(" ")
        where = groups[group] if group else commands
        made = where.add_parser(name, help=about, description=about)
        if settings:
            made.add_argument(
                "--config", type=Path, help="settings file; else the environment names it"
            )
        made.set_defaults(command=action)
        return made

    groups: dict[str, argparse._SubParsersAction[argparse.ArgumentParser]] = {}
    for group, about in GROUPS.items():
        made = commands.add_parser(group, help=about, description=about)
        groups[group] = made.add_subparsers(required=True, metavar="COMMAND")

    serve = add("serve", _serve, "serve both sites, with the worker as a child")
    serve.add_argument("--custodian-config", type=Path, help="start the custodian as a child, too")
    site = add("site", _site, "be one site behind a proxy; serve starts both")
    site.add_argument("name", choices=("public", "certificate"))
    custodian = add("custodian", _custodian, "be the custodian")
    custodian.add_argument("--create-keys", action="store_true", help="make its keys, then end")
    add("people import", _people_import, "import people from CSV").add_argument(
        "file", type=Path, help="CSV in UTF-8; the columns are in the administrator's guide"
    )
    rebind = add("people rebind", _people_rebind, "forget which LDAP entry a UID belongs to")
    rebind.add_argument("uid", help="of a person whose entry was made anew")
    add("tokens import", _tokens_import, "import tokens from CSV").add_argument(
        "file", type=Path, help="CSV in UTF-8; the columns are in the administrator's guide"
    )
    seal = add("escrow seal", _escrow_seal, "seal a CSV from stdin for import", settings=False)
    seal.add_argument("--key", required=True, help="what escrow import-key prints")
    correct = add("escrow correct", _escrow_correct, "replace wrong imported SO PINs")
    correct.add_argument("file", type=Path)
    cli_audit.add_arguments(add)
    for name, action, about in PLAIN:
        add(name, action, about)
    cli_verify.add_arguments(add)
    return parser


if __name__ == "__main__":
    sys.exit(main())
