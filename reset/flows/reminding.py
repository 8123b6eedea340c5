"""What the worker reminds holders of by mail: answers that nobody asked for in a year, and a
certificate that ends soon.

Rules (S1.52, S1.53):

1. A mark is set in the transaction that writes the mail, by one conditional statement: however many
   workers run, a reminder goes out once.
2. Nothing is blocked by not reacting.
3. Who left the directory gets the mark alone, no mail and no entry in the log: so they are looked
   up once and not in every round. Who comes back is reminded the next time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta

from reset.errors import Busy, Unavailable
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
        for uid, here in self._in_directory(due).items():
            with parts.store.write() as uow:
                if uow.reminders.mark("rehearsal", uid, now, now - YEAR) and here:
                    uow.audit.append("reminded", "service", {"person": uid, "of": "rehearsal"})
                    post(parts, uow, uid, "rehearsal-due")
                    done += 1
        return done

    def _of_certificates(self) -> int:
        parts, now = self._parts, self._parts.clock.now()
        with parts.store.read() as uow:
            due = uow.reminders.certificates_ending(now, now + BEFORE_END, AT_ONCE)
        done = 0
        here = self._in_directory([token.holder_uid for token in due])
        for token in (one for one in due if one.holder_uid in here):
            with parts.store.write() as uow:
                new = uow.reminders.mark("certificate", token.serial, token.at, token.at)
                if new and here[token.holder_uid]:
                    facts = {"person": token.holder_uid, "of": "certificate", "token": token.serial}
                    uow.audit.append("reminded", "service", facts)
                    post(
                        parts, uow, token.holder_uid, "certificate-ending",
                        token=token.serial, ends=parts.local.show(token.at),
                    )  # fmt: skip
                    done += 1
        return done

    def _in_directory(self, uids: Sequence[str]) -> Mapping[str, bool]:
        """Whether each is there; without those that the directory could say nothing of, which wait
        for the next round."""
        found: dict[str, bool] = {}
        for uid in uids:
            try:
                found[uid] = self._parts.directory.by_uid(uid) is not None
            except (Busy, Unavailable):
                break
        return found
