"""What the worker does again and again: deliver mail, let old things expire, settle leftovers,
remind."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from reset.core.policy import RESUME_AGE
from reset.errors import Busy, StateConflict, Unavailable
from reset.flows import codes
from reset.flows.custody_ends import CustodyEnds
from reset.flows.mails import post, write
from reset.flows.parts import Parts
from reset.flows.reminding import Reminding
from reset.flows.requests import move
from reset.ports import Mail

FIRST_WAIT = timedelta(seconds=30)  # doubled at every failure
LONGEST_WAIT = timedelta(hours=1)
MOST_TRIES = 48


class Upkeep:
    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._ends = CustodyEnds(parts)
        self._reminding = Reminding(parts)

    def run_once(self) -> int:
        """One round; the number of things done, 0 when there was nothing to do."""
        done = self.deliver() + self.expire() + self.settle() + self.purge()
        return done + self._reminding.run_once()

    def deliver(self) -> int:
        """Send the mails that are due, at least once each, with back-off on failure."""
        parts, sent = self._parts, 0
        for mail in self._take_due():
            try:
                self._deliver(mail)
            except (Busy, Unavailable):
                continue  # put off already
            with parts.store.write() as uow:
                uow.outbox.sent(mail.id, parts.clock.now())
            sent += 1
        return sent

    def _take_due(self) -> list[Mail]:
        """Due mails, put off before they are tried: no other worker takes them meanwhile."""
        now = self._parts.clock.now()
        with self._parts.store.write() as uow:
            due = uow.outbox.due(now, 50)
            for mail in due:
                wait = min(LONGEST_WAIT, FIRST_WAIT * 2 ** min(mail.tries, 10))
                uow.outbox.put_off(mail.id, now + wait)
        return due

    def _deliver(self, mail: Mail) -> None:
        parts = self._parts
        person = parts.directory.by_uid(mail.uid)
        with parts.store.read() as uow:
            profile = uow.profiles.get(mail.uid)
            code = uow.codes.get(mail.code_id) if mail.code_id else None
        addresses = {
            "directory": person.mail if person else "",
            "recovery": profile.recovery_address if profile else "",
            "recovery-pending": profile.recovery_pending if profile else "",
            "second": profile.second_address if profile else "",
            "second-pending": profile.second_pending if profile else "",
            "former": mail.address,
        }
        to = addresses[mail.box]
        late = code and parts.clock.now() >= code.created_at + parts.policy.code_age
        if mail.tries > MOST_TRIES:
            with parts.store.write() as uow:
                facts = {"person": mail.uid, "kind": mail.kind, "box": mail.box}
                uow.audit.append("mail-given-up", "service", facts)
            return
        if not to or person is None or late:
            return
        digits = codes.derive(parts, code) if code else ""
        subject, body = write(parts, mail, person.name, digits)
        parts.mailer.send(to, subject, body, mail.id)

    def expire(self) -> int:
        """Close requests whose time is over; an executing one never ends by time alone."""
        parts, done = self._parts, 0
        with parts.store.read() as uow:
            overdue = uow.requests.overdue(parts.clock.now())
        for request in overdue:
            try:
                with parts.store.write() as uow:
                    move(parts, uow, replace(request, ended_because="time"), "expire")
                    uow.audit.append("request-expired", "service", {"request": request.id})
                    post(parts, uow, request.uid, "request-expired", token=request.token_serial)
            except StateConflict:
                continue  # somebody was faster; nothing is lost
            done += 1
        return done

    def settle(self) -> int:
        """Leases that are over become unknown; an operation that no order can resume any more goes
        to the office; ends that the custodian missed are told to it."""
        parts, done = self._parts, 0
        now = parts.clock.now()
        with parts.store.read() as uow:
            late = uow.operations.lease_over(now)
            abandoned = uow.operations.abandoned(now - RESUME_AGE)
            unsettled = uow.operations.unsettled()
        for move_on, operations in (
            (self._ends.lease_over, late),
            (self._ends.give_up_abandoned, abandoned),
        ):
            for operation in operations:
                try:
                    move_on(operation)
                except StateConflict:
                    continue  # a helper was faster
                done += 1
        for operation in unsettled:
            if not self._ends.told_end(operation):
                continue
            with parts.store.write() as uow:
                uow.operations.settle(operation.id)
            done += 1
        return done

    def purge(self) -> int:
        """Delete sessions that are over."""
        policy, now = self._parts.policy, self._parts.clock.now()
        with self._parts.store.write() as uow:
            return uow.sessions.purge(now - policy.session_idle, now - policy.session_absolute)
