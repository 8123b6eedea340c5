"""What the worker reminds holders of by mail: answers that nobody asked for in a year, and a
certificate that ends soon.

Rules (S1.52, S1.53):

1. A mark is set in the transaction that writes the mail, by one conditional statement: however many
   workers run, a reminder goes out once.
2. Nothing is blocked by not reacting.
"""

from __future__ import annotations

from datetime import timedelta

from reset.flows.mails import post
from reset.flows.parts import Parts

YEAR = timedelta(days=365)
BEFORE_END = timedelta(days=30)
AT_ONCE = 50  # of each kind in one round


class Reminding:
    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def run_once(self) -> int:
        """One round; how many were reminded."""
        return self._of_answers() + self._of_certificates()

    def _of_answers(self) -> int:
        parts, now = self._parts, self._parts.clock.now()
        with parts.store.read() as uow:
            due = uow.reminders.rehearsals_due(now - YEAR, AT_ONCE)
        done = 0
        for uid in due:
            with parts.store.write() as uow:
                if uow.reminders.mark("rehearsal", uid, now, now - YEAR):
                    uow.audit.append("reminded", "service", {"person": uid, "of": "rehearsal"})
                    post(parts, uow, uid, "rehearsal-due")
                    done += 1
        return done

    def _of_certificates(self) -> int:
        parts, now = self._parts, self._parts.clock.now()
        with parts.store.read() as uow:
            due = uow.reminders.certificates_ending(now, now + BEFORE_END, AT_ONCE)
        done = 0
        for token in due:
            with parts.store.write() as uow:
                if uow.reminders.mark("certificate", token.serial, token.at, token.at):
                    facts = {"person": token.holder_uid, "of": "certificate", "token": token.serial}
                    uow.audit.append("reminded", "service", facts)
                    post(
                        parts, uow, token.holder_uid, "certificate-ending",
                        token=token.serial, ends=parts.local.show(token.at),
                    )  # fmt: skip
                    done += 1
        return done
