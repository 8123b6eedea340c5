"""Operator commands about the audit log, its checkpoints and its witness."""

from __future__ import annotations

import argparse
import functools
import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from reset import config
from reset.adapters import witness
from reset.adapters.notes import WitnessKey, open_note, open_proof
from reset.core.checkpoints import Checkpoint, VerifierKey, parse_key
from reset.core.witnessing import check_fresh
from reset.errors import BadInput, CheckpointRefused, StateConflict

if TYPE_CHECKING:
    from reset.bootstrap import Service

Arguments = argparse.Namespace
MAX_AGE = 35.0  # minutes: two heartbeats of the log, and some


def service(arguments: Arguments) -> Service:
    """The service of the settings that the command names."""
    from reset import bootstrap  # not for the custodian, see ``cli``

    return bootstrap.service(config.load(arguments.config))


def text(path: Path) -> str:
    """A file as UTF-8. Raises ``BadInput``."""
    try:
        return read(path).decode()
    except UnicodeDecodeError:
        raise BadInput(field=path.name, rule="is no UTF-8 text") from None


def read(path: Path) -> bytes:
    """A file. Raises ``BadInput``."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise BadInput(field=path.name, rule="no such file") from None
    except OSError:
        raise BadInput(field=path.name, rule="cannot be read") from None


def _audit_verify(arguments: Arguments) -> None:
    made, known = service(arguments), list[Checkpoint]()
    key = _key(arguments.key) if arguments.key else None
    if key is None and (arguments.witness or arguments.checkpoint):
        raise BadInput(field="key", rule="needed to verify a checkpoint from elsewhere")
    if key and key.name != made.parts.log_origin:
        raise BadInput(field="key", rule=f"is of the log {key.name}")
    if key:
        known += [open_note(text(file), key) for file in arguments.checkpoint]
        signer = _key(arguments.witness_key) if arguments.witness_key else None
        for record in arguments.witness:
            known += (seen := list(witness.kept(record, key, signer)))
            newest = seen[-1] if seen else None
            check_fresh(newest, datetime.now(UTC), timedelta(minutes=arguments.max_age))
    opener = functools.partial(open_note, key=key) if key else None
    entries, own = made.flows.auditing.verify(known, opener)
    signed = "signatures verified" if key else "signatures not verified: name the key"
    print(f"{entries} entries, the chain is whole")
    print(f"{own} checkpoints of the database fit, {signed}; {len(known)} from elsewhere fit")


def _audit_checkpoint(arguments: Arguments) -> None:
    made = service(arguments).checkpointing.make()
    if made is None:
        raise StateConflict(state="signed", event="sign")
    sys.stdout.write(made.note)


def _audit_key(arguments: Arguments) -> None:
    print(service(arguments).flows.auditing.key())


def _audit_prove(arguments: Arguments) -> None:
    print(json.dumps(service(arguments).flows.auditing.prove(arguments.number), indent=1))


def _verify_entry(arguments: Arguments) -> None:
    proven = open_proof(text(arguments.file), _key(arguments.key))
    print(f"good: entry {proven[0]} of the log of {proven[1].size} at {proven[1].at:%F %T} UTC")
    print(proven[2])


def _witness(arguments: Arguments) -> None:
    if arguments.create_key:
        print(WitnessKey.create(arguments.key, arguments.create_key).public)
        return
    if arguments.directory is None or arguments.log_key is None:
        raise BadInput(field="witness", rule="needs --directory and --log-key")
    if bool(arguments.url) == bool(arguments.page):
        raise BadInput(field="witness", rule="needs --url or --page")
    key, log = WitnessKey.load(arguments.key), _key(arguments.log_key)
    longest, pages = timedelta(minutes=arguments.max_age), iter(arguments.page)
    with witness.Witness(arguments.directory, key, log).open() as watching:
        # a page that ends where the last one ended is the end
        while True:
            if arguments.url:
                page = witness.fetch(arguments.url, watching.after, arguments.ca)
            elif (file := next(pages, None)) is None:
                break
            else:
                page = witness.read(text(file))
            now = datetime.now(UTC)
            try:
                if not watching.take(page, now) and arguments.url:
                    break
            except CheckpointRefused as refused:
                watching.alarm(refused, page, now)
                raise
        if watching.last:
            sys.stdout.write(watching.last[1])
        watching.check_fresh(datetime.now(UTC), longest)


def _key(path: Path) -> VerifierKey:
    return parse_key(text(path))


def add_arguments(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the commands by ``add(names, action, about, settings=…)``."""
    verify = add("audit verify", _audit_verify, "recompute the log and compare all checkpoints")
    verify.add_argument("--key", type=Path, help="file with the log's key (audit key)")
    verify.add_argument("--checkpoint", type=Path, action="append", default=[])
    verify.add_argument("--witness", type=Path, action="append", default=[], help="its record")
    verify.add_argument("--witness-key", type=Path)
    verify.add_argument("--max-age", type=float, default=MAX_AGE, help="minutes; of the record")
    add("audit checkpoint", _audit_checkpoint, "print a checkpoint signed by the custodian")
    add("audit key", _audit_key, "print the key that verifies checkpoints")
    prove = add("audit prove", _audit_prove, "print an entry with its proof, to be carried away")
    prove.add_argument("number", type=int)
    entry = add("verify-entry", _verify_entry, "verify what audit prove printed", settings=False)
    entry.add_argument("--key", type=Path, required=True, help="file with the log's key")
    entry.add_argument("file", type=Path)
    about = "keep a log's checkpoints on another machine; cosign what is consistent"
    seen = add("witness", _witness, about, settings=False)
    seen.add_argument("--key", type=Path, required=True, help="file with the witness's own key")
    seen.add_argument("--create-key", metavar="NAME", help="make that key, print its public half")
    seen.add_argument("--directory", type=Path, help="where the record is kept")
    seen.add_argument("--log-key", type=Path, help="file with the log's key (audit key)")
    seen.add_argument("--url", help="address of the public site")
    seen.add_argument("--ca", type=Path, help="PEM that the site's certificate is checked against")
    seen.add_argument("--page", type=Path, action="append", default=[], help="a saved answer")
    seen.add_argument("--max-age", type=float, default=MAX_AGE, help="minutes")
