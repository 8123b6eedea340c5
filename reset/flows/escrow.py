"""Escrow keeping: does every SO PIN open, is none missing, are no two alike; a new wrapping key;
what an old backup forgot; a wrong SO PIN from an import.

Rules:

1. Everything here may run while the service does, may be killed at any point, and be run again.
2. The custodian's ledger and the database each hold what the other may have lost in a restore.
3. An SO PIN comes from outside only for a token that never got an order: afterwards nobody but
   the custodian knows the one in force.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from reset.core.tokens import Token, tidy_serial
from reset.errors import BadInput, EscrowDamaged, ReleaseRefused, StateConflict
from reset.flows.csv_rows import envelope_in, explained, family_in, rows_of
from reset.flows.parts import Parts
from reset.ports import Escrowed, UnitOfWork

COLUMNS = ("serial", "family", "so_pin")


@dataclass(frozen=True)
class Restored:
    """``to_database`` and ``to_ledger``: versions that came back; ``open_tokens``: serials whose
    last operation the database has forgotten and the custodian has no end of."""

    to_database: int
    to_ledger: int
    open_tokens: tuple[str, ...]


class EscrowKeeping:
    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def check(self) -> int:
        """Open every row in the custodian and compare keyed fingerprints; the count of rows.

        Raises ``EscrowDamaged`` with ``why``: ``missing``, ``alike``, ``ledger-older``,
        ``database-older``, ``stored-differently``, or none for what does not open (S1.8).
        """
        parts = self._parts
        with parts.store.read() as uow:
            rows = list(uow.escrow.every())
            tokens = uow.tokens.every()
        seen: set[bytes] = set()
        marks: dict[str, dict[int, bytes]] = defaultdict(dict)
        for serial, version, sealed in rows:
            mark = parts.custodian.check(serial, version, sealed)
            if mark in seen:
                raise EscrowDamaged(serial=serial, version=version, why="alike")
            seen.add(mark)
            marks[serial][version] = mark
        for token in tokens:
            if token.so_version not in marks[token.serial]:
                raise EscrowDamaged(serial=token.serial, version=token.so_version, why="missing")
            self._check_ledger(token, marks[token.serial])
        with parts.store.write() as uow:
            uow.audit.append("escrow-checked", "console", {"rows": len(rows)})
        return len(rows)

    def _check_ledger(self, token: Token, marks: Mapping[int, bytes]) -> None:
        custodian, serial = self._parts.custodian, token.serial
        held = custodian.escrowed(serial)
        for version in sorted(set(marks) - {version for version, _ in held.versions}):
            raise EscrowDamaged(serial=serial, version=version, why="ledger-older")
        for version, sealed in held.versions:
            if version in marks and custodian.check(serial, version, sealed) != marks[version]:
                raise EscrowDamaged(serial=serial, version=version, why="stored-differently")
        with self._parts.store.read() as uow:
            now = uow.tokens.get(token.serial)  # a reset may have ended meanwhile
        if now and held.proven > now.so_version:
            raise EscrowDamaged(serial=token.serial, version=held.proven, why="database-older")

    def rewrap(self) -> int:
        """Seal every row under the newest wrapping key; the count of changed rows.

        Each row is one transaction, so an interrupted run goes on where it stopped. Raises
        ``EscrowDamaged``, ``Unavailable``.
        """
        parts, changed = self._parts, 0
        with parts.store.read() as uow:
            rows = list(uow.escrow.every())
        for serial, version, sealed in rows:
            fresh = parts.custodian.rewrap(serial, version, sealed)
            if fresh == sealed:
                continue
            with parts.store.write() as uow:
                changed += uow.escrow.rewrap(serial, version, sealed, fresh)
        with parts.store.write() as uow:
            uow.audit.append("escrow-rewrapped", "console", {"rows": changed})
        return changed

    # --- after a restore ------------------------------------------------------------------
    def restore(self) -> Restored:
        """Bring back to the database what only the ledger knows, and the other way round.

        The version that a proven reset put in force is in force again. Raises ``EscrowDamaged``
        when both have another SO PIN for one version, ``Unavailable``.
        """
        parts = self._parts
        with parts.store.read() as uow:
            tokens = uow.tokens.every()
            rows = defaultdict(list)
            for serial, version, sealed in uow.escrow.every():
                rows[serial].append((version, sealed))
        to_database = to_ledger = 0
        open_tokens = []
        for token in tokens:
            held = parts.custodian.escrowed(token.serial)
            to_ledger += self._teach(token, rows[token.serial], dict(held.versions))
            with parts.store.write() as uow:
                to_database += self._bring_back(uow, token.serial, held)
                if held.unsettled and uow.operations.unresolved_of(token.serial) is None:
                    open_tokens.append(token.serial)
        with parts.store.write() as uow:
            facts = {"to-database": to_database, "to-ledger": to_ledger, "open": open_tokens}
            uow.audit.append("escrow-restored", "console", facts)
        return Restored(to_database, to_ledger, tuple(open_tokens))

    def _teach(
        self, token: Token, rows: Iterable[tuple[int, bytes]], kept: Mapping[int, bytes]
    ) -> int:
        """Let the ledger take what it lacks, and compare what it has in another form."""
        custodian, count = self._parts.custodian, 0
        for version, sealed in rows:
            if kept.get(version) != sealed:
                custodian.rewrap(token.serial, version, sealed)
                count += version not in kept
        if count:
            # binds the token to holder and family again, which the ledger forgot with the versions
            custodian.store(token.serial, 1, None, token.holder_uid, token.family)
        return count

    @staticmethod
    def _bring_back(uow: UnitOfWork, serial: str, held: Escrowed) -> int:
        token, count = uow.tokens.get(serial), 0
        for version, sealed in held.versions:
            # above the proven one there may be SO PINs that no token ever got
            wanted = version <= held.proven or held.unsettled
            if wanted and uow.escrow.get(serial, version) is None:
                uow.escrow.add(serial, version, sealed)
                count += 1
        if token and held.proven > token.so_version:
            uow.tokens.put(replace(token, so_version=held.proven))
        return count

    # --- a wrong SO PIN from an import ------------------------------------------------------
    def correct(self, lines: Iterable[str]) -> int:
        """Replace imported SO PINs that were wrong by new versions; the count. CSV: ``COLUMNS``.

        One row is one transaction; the old version stays in escrow. Raises ``BadInput``,
        ``ReleaseRefused`` (``released``: the token got an order already), ``StateConflict``.
        """
        found = [
            (self._registered(row, f"line {line}"), envelope_in(row, f"line {line}"))
            for line, row in enumerate(rows_of(lines, COLUMNS), 2)
        ]
        for line, (token, envelope) in enumerate(found, 2):
            self._replace(token, envelope, f"line {line}")
        return len(found)

    def _registered(self, row: Mapping[str, str], where: str) -> Token:
        family = family_in(row, where).name
        with self._parts.store.read() as uow:
            token = uow.tokens.get(tidy_serial(row["serial"]))
        if token is None:
            raise BadInput(field=where, rule="this serial is not registered")
        if token.family != family:
            raise BadInput(field=where, rule=f"this token is registered as {token.family}")
        return token

    def _replace(self, token: Token, envelope: bytes, where: str) -> None:
        custodian, serial = self._parts.custodian, token.serial
        try:
            version, sealed = custodian.correct(serial, envelope, token.holder_uid)
        except ReleaseRefused as refused:
            raise explained(refused, token.family, where, serial=serial) from None
        with self._parts.store.write() as uow:
            now = uow.tokens.get(serial)
            if now != token or uow.operations.unresolved_of(serial):
                raise StateConflict(state="changed", event="correct")
            uow.escrow.add(serial, version, sealed)
            uow.tokens.put(replace(token, so_version=version))
            facts = {"token": serial, "version": version, "instead-of": token.so_version}
            uow.audit.append("escrow-corrected", "console", facts)
