"""What the worker reminds holders of by mail: answers that nobody asked for in a year, and a
certificate that ends soon.

Rules (S1.52, S1.53):

1. A mark is set in the transaction that writes the mail, by one conditional statement: however many
   workers run, a reminder goes out once.
2. Nothing is blocked by not reacting.
3. Who is not in the directory gets no mail, no entry in the log and no mark of a reminder, but one
   of having been missed: they are looked up again after a day, so they hold nobody up, and whoever
   comes back is reminded of what is due then.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import datetime, timedelta

from reset.errors import Busy, Unavailable
from reset.flows.mails import post
from reset.flows.parts import Parts
from reset.ports import Ending

YEAR = timedelta(days=365)
BEFORE_END = timedelta(days=30)
MISSED = timedelta(days=1)  # until who was not there is looked up again
AT_ONCE = 50  # of each kind in one round
_log = logging.getLogger(__name__)


class Reminding:
    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def run_once(self) -> int:
        """One round; how many were reminded."""
        parts, now = self._parts, self._parts.clock.now()
        with parts.store.read() as uow:
            due = uow.reminders.rehearsals_due(now - YEAR, now - MISSED, AT_ONCE)
            ending = uow.reminders.certificates_ending(now, now + BEFORE_END, now - MISSED, AT_ONCE)
        here = self._in_directory([*due, *(token.holder_uid for token in ending)], now)
        answers = [self._of_answers(uid, now) for uid in due if uid in here]
        certificates = [self._of_certificate(one) for one in ending if one.holder_uid in here]
        return sum(answers) + sum(certificates)

    def _of_answers(self, uid: str, now: datetime) -> bool:
        with self._parts.store.write() as uow:
            new = uow.reminders.mark("rehearsal", uid, now, now - YEAR)
            if new:
                uow.audit.append("reminded", "service", {"person": uid, "of": "rehearsal"})
                post(self._parts, uow, uid, "rehearsal-due")
        return new

    def _of_certificate(self, token: Ending) -> bool:
        parts, uid = self._parts, token.holder_uid
        with parts.store.write() as uow:
            new = uow.reminders.mark("certificate", token.serial, token.at, token.at)
            if new:
                facts = {"person": uid, "of": "certificate", "token": token.serial}
                uow.audit.append("reminded", "service", facts)
                post(
                    parts, uow, uid, "certificate-ending",
                    token=token.serial, ends=parts.local.show(token.at),
                )  # fmt: skip
        return new

    def _in_directory(self, uids: Iterable[str], now: datetime) -> set[str]:
        """Those who are there; the others are marked as missed. Of whom the directory could say
        nothing waits for the next round."""
        here, gone = set(), []
        for uid in dict.fromkeys(uids):
            try:
                found = self._parts.directory.by_uid(uid)
            except (Busy, Unavailable):
                break
            if found:
                here.add(uid)
            else:
                gone.append(uid)
        if gone:
            with self._parts.store.write() as uow:
                for uid in sorted(gone):  # in one order: no two workers wait for each other
                    uow.reminders.mark("missed", uid, now, now - MISSED)
            # many at once: a directory that shows less than it did
            seen = len(here) + len(gone)
            _log.warning("reminders: %d of %d people are not in the directory", len(gone), seen)
        return here
