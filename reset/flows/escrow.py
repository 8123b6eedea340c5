"""Escrow keeping: does every SO PIN open, is none missing, are no two alike; a new wrapping key."""

from __future__ import annotations

from reset.errors import EscrowDamaged
from reset.flows.parts import Parts


class EscrowKeeping:
    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def check(self) -> int:
        """Open every row in the custodian and compare keyed fingerprints; the count of rows.

        Raises ``EscrowDamaged`` with ``why``: ``missing``, ``alike`` or what does not open (S1.8).
        """
        parts = self._parts
        with parts.store.read() as uow:
            rows = list(uow.escrow.every())
            tokens = uow.tokens.every()
        seen: dict[bytes, tuple[str, int]] = {}
        for serial, version, sealed in rows:
            mark = parts.custodian.check(serial, version, sealed)
            if mark in seen:
                raise EscrowDamaged(serial=serial, version=version, why="alike")
            seen[mark] = (serial, version)
        known = set(seen.values())
        for token in tokens:
            if (token.serial, token.so_version) not in known:
                raise EscrowDamaged(serial=token.serial, version=token.so_version, why="missing")
        with parts.store.write() as uow:
            uow.audit.append("escrow-checked", "console", {"rows": len(rows)})
        return len(rows)

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
