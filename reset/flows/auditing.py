"""Reading and verifying the audit log, and signing checkpoints of it."""

from __future__ import annotations

from reset.core import audit, checkpoints
from reset.core.audit import Entry
from reset.core.identities import Person
from reset.errors import Forbidden
from reset.flows.parts import Parts


class Auditing:
    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def newest(self, person: Person, limit: int = 200) -> list[Entry]:
        """The newest entries, for auditors. Raises ``Forbidden``."""
        if "auditor" not in person.roles:
            raise Forbidden(reason="role")
        with self._parts.store.read() as uow:
            return uow.audit.newest(limit)

    def verify(self) -> int:
        """Verify the whole chain; the count of entries. Raises ``AuditBroken``."""
        with self._parts.store.read() as uow:
            return audit.verify(uow.audit.entries(), uow.audit.head())

    def checkpoint(self) -> str:
        """A checkpoint of the verified log as a signed note (C2SP), to be kept elsewhere.

        Raises ``AuditBroken``, ``ReleaseRefused``, ``Unavailable``.
        """
        parts = self._parts
        with parts.store.read() as uow:
            audit.verify(uow.audit.entries(), uow.audit.head())
            size, root = checkpoints.root(e.raw for e in uow.audit.entries())
            _, chain = uow.audit.head()
        origin = parts.public_url.removeprefix("https://") + "/audit"
        text = checkpoints.body(origin, size, root, chain)
        signature = parts.custodian.sign_checkpoint(text)
        signed = checkpoints.note(origin, text, parts.custodian.checkpoint_key(), signature)
        with parts.store.write() as uow:
            uow.audit.append("checkpoint-signed", "console", {"size": size})
        return signed
