"""The witness: keeps the checkpoints of a log on another machine, and cosigns what is consistent.

Rules:

1. Its record is one file to which lines are only added; each is durable before it is told.
2. Nothing but the rules of ``core.witnessing`` moves it forward; whatever else is offered is
   written to the file of alarms, and the record stays where it was.
3. A line that a crash cut off is not a checkpoint; it is cut away before the next one.
4. It needs no settings of the service: a public key, an address, a directory, its own key.
"""

from __future__ import annotations

import base64
import binascii
import fcntl
import json
import os
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import IO

from reset.adapters.notes import WitnessKey, cosigned_at, open_note
from reset.core.checkpoints import Checkpoint, VerifierKey, body_of
from reset.core.witnessing import check_fresh, judge
from reset.errors import BadInput, CheckpointRefused, Unavailable

RECORD, ALARMS = "checkpoints", "alarms"
_LIMIT = 1 << 20
_TIMEOUT = 20.0


def fetch(url: str, after: int, ca: Path | None) -> object:
    """A page of checkpoints from the public site.

    Parameters: ``url`` of the site, https only; ``ca``: PEM of the authority that it is checked
    against, else the system's. Raises ``Unavailable``, ``BadInput``.
    """
    if not url.startswith("https://"):
        raise BadInput(field="url", rule="https only")
    try:
        context = ssl.create_default_context(cafile=str(ca) if ca else None)
        opener = urllib.request.build_opener(
            urllib.request.HTTPSHandler(context=context), _NoRedirects
        )
        address = f"{url.rstrip('/')}/audit/checkpoints?after={after}"
        with opener.open(address, timeout=_TIMEOUT) as answer:
            return json.loads(answer.read(_LIMIT))
    except (OSError, ValueError):
        raise Unavailable(part="log") from None


def read(text: str) -> object:
    """A saved page. Raises ``CheckpointRefused``."""
    try:
        return json.loads(text)
    except ValueError:
        raise CheckpointRefused(rule="page") from None


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object, **__: object) -> None:
        """Where the log is, is said by the operator of the witness only."""


class Witness:
    """An open record; one process at a time.

    Parameters: ``directory`` of the record; ``key``: the witness's own; ``log``: the log's key.
    """

    def __init__(self, directory: Path, key: WitnessKey, log: VerifierKey) -> None:
        self._directory = directory
        self._key = key
        self._log = log
        self._file: IO[bytes] | None = None
        self.last: tuple[Checkpoint, str] | None = None

    @contextmanager
    def open(self) -> Iterator[Witness]:
        """Lock and read the record.

        Raises ``BadInput`` when it cannot be, ``CheckpointRefused`` when it is not this log's.
        """
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            with (self._directory / RECORD).open("a+b") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                file.seek(0)
                lines = file.read().splitlines(keepends=True)
                if lines and not lines[-1].endswith(b"\n"):
                    file.truncate(sum(map(len, lines[:-1])))
                    lines.pop()
                if lines:
                    note = str(_line(lines[-1])["note"])
                    cosigned_at(note, self._key.public)
                    self.last = (open_note(note, self._log), note)
                self._file = file
                yield self
        except OSError as error:
            why = error.strerror or "cannot be used"
            raise BadInput(field=self._directory.name, rule=why) from None

    def take(self, page: object, now: datetime) -> int:
        """Judge, cosign and keep a page that was asked with ``after``; the count of new ones.

        Raises ``CheckpointRefused``; what was good before the bad one is kept.
        """
        newest, offered = _page(page)
        if self.last and newest < self.last[0].number:
            raise CheckpointRefused(rule="smaller", number=newest)
        kept = 0
        for note, proof in offered:
            found = open_note(note, self._log)
            if self.last and found.number == self.last[0].number:
                if body_of(note) != body_of(self.last[1]):
                    raise CheckpointRefused(rule="fork", number=found.number)
                continue
            judge(self.last[0] if self.last else None, found, proof, now)
            self._keep(found, note, proof, now)
            kept += 1
        return kept

    @property
    def after(self) -> int:
        """What to ask for: the last kept one again, so that it can be compared, and newer ones."""
        return self.last[0].number - 1 if self.last else 0

    def check_fresh(self, now: datetime, longest: timedelta) -> None:
        """Raises ``CheckpointRefused(rule="old")``."""
        check_fresh(self.last[0] if self.last else None, now, longest)

    def alarm(self, refused: CheckpointRefused, page: object, now: datetime) -> None:
        """Keep what was refused as evidence."""
        line = {"at": now.isoformat(), "why": str(refused), "offered": page}
        with (self._directory / ALARMS).open("ab") as file:
            file.write(json.dumps(line).encode() + b"\n")

    def _keep(self, found: Checkpoint, note: str, proof: list[bytes], now: datetime) -> None:
        if self._file is None:
            raise RuntimeError("the record is not open")
        # signatures of others are nobody's word here
        mine = self._key.cosign(_only(note, self._log), now)
        line = {"note": mine, "proof": [base64.b64encode(node).decode() for node in proof]}
        self._file.write(json.dumps(line).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())
        self.last = (found, mine)


def kept(record: Path, log: VerifierKey, witness: VerifierKey | None) -> Iterator[Checkpoint]:
    """The checkpoints of a witness's record, each verified with the log's key and the witness's.

    Raises ``BadInput``, ``CheckpointRefused``.
    """
    path = record / RECORD if record.is_dir() else record
    try:
        lines = path.read_bytes().splitlines(keepends=True)
    except OSError:
        raise BadInput(field=path.name, rule="cannot be read") from None
    for line in lines:
        if not line.endswith(b"\n"):
            return
        note = str(_line(line)["note"])
        if witness:
            cosigned_at(note, witness)
        yield open_note(note, log)


def _only(note: str, key: VerifierKey) -> str:
    """The note with the signature lines of one key."""
    body, _, lines = note.partition("\n\n")
    own = [line for line in lines.splitlines() if line.startswith(f"\u2014 {key.name} ")]
    return body + "\n\n" + "".join(f"{line}\n" for line in own)


def _line(raw: bytes) -> Mapping[str, object]:
    try:
        found = json.loads(raw)
    except ValueError:
        found = None
    if not isinstance(found, dict) or not isinstance(found.get("note"), str):
        raise CheckpointRefused(rule="record")
    return found


def _page(page: object) -> tuple[int, list[tuple[str, list[bytes]]]]:
    """Number of the newest checkpoint, and notes with proofs. Raises ``CheckpointRefused``."""
    try:
        if not isinstance(page, dict) or not isinstance(page["newest"], int):
            raise TypeError
        offered = []
        for one in page["checkpoints"]:
            proof = [base64.b64decode(node, validate=True) for node in one["proof"]]
            if not isinstance(one["note"], str) or any(len(node) != 32 for node in proof):
                raise TypeError
            offered.append((one["note"], proof))
    except (KeyError, TypeError, ValueError, binascii.Error):
        raise CheckpointRefused(rule="page") from None
    return page["newest"], offered
