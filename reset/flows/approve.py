"""The approver's side: read the statement, sign it or deny it, let somebody else stand in.

Rules (S1.84-S1.96, S1.100, S1.101, T15-T17):

1. The directory names the approvers of a holder; a delegation of theirs may add one person.
2. The statement's bytes come from the stored request alone, the same at every reading.
3. The signature is verified here and again by the custodian, which trusts nobody's word.
4. The signer is the person who is logged in, with the certificate enrolled for their token.
5. The policy bounds the delegations that one person grants: each mails somebody else.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta

from reset.core import approvals
from reset.core.approvals import Approval, Delegation, Statement
from reset.core.assurance import Proof
from reset.core.identities import Person
from reset.core.requests import Request
from reset.errors import (
    BadInput,
    CertificateRefused,
    NoApprover,
    NotFound,
    SelfApproval,
    SignatureRefused,
    TooManyDelegations,
)
from reset.flows.mails import post
from reset.flows.parts import Parts
from reset.flows.requests import move, waits_for_office
from reset.flows.times import UTC_TIME
from reset.ports import UnitOfWork

LONGEST = timedelta(days=92)  # of a delegation


@dataclass(frozen=True)
class Item:
    """A request that this approver was asked for. ``acting_for``: UID of the principal, or -;
    ``with_office``: whether only the office can go on with it now."""

    request: Request
    holder: Person
    acting_for: str
    with_office: bool


def approver_uids(parts: Parts, holder_uid: str) -> tuple[str, ...]:
    """The UIDs that the directory names for a holder, the holder never among them (S1.85)."""
    holder = parts.directory.by_uid(holder_uid)
    named = (holder.supervisor_uid, holder.representative_uid) if holder else ()
    active = (u for u in named if u and u != holder_uid and parts.directory.by_uid(u))
    return tuple(dict.fromkeys(active))


def may_approve(parts: Parts, uow: UnitOfWork, holder_uid: str) -> tuple[str, ...]:
    """The UIDs of all who may approve now: those named, then those who stand in for one (S1.88)."""
    named, now = approver_uids(parts, holder_uid), parts.clock.now()
    granted = (d for uid in named for d in uow.approvals.delegations_of(uid))
    standing_in = (d.delegate_uid for d in granted if d.in_force(now))
    return tuple(dict.fromkeys((*named, *(uid for uid in standing_in if uid != holder_uid))))


def entitled(parts: Parts, uow: UnitOfWork, approver_uid: str, holder_uid: str) -> str:
    """For whom the approver may act, now. Raises ``SelfApproval``, ``NoApprover``."""
    named = approver_uids(parts, holder_uid)
    return approvals.acting_for(
        approver_uid,
        holder_uid,
        named,
        uow.approvals.delegations_to(approver_uid),
        parts.clock.now(),
    )


class Approve:
    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def waiting(self, uid: str) -> list[Item]:
        """The requests that wait for this person's signature, oldest first."""
        parts, items = self._parts, []
        with parts.store.read() as uow:
            for request in uow.requests.in_state("waiting_for_approval"):
                holder = parts.directory.by_uid(request.uid)
                try:
                    principal = entitled(parts, uow, uid, request.uid)
                except (NoApprover, SelfApproval):
                    continue
                if holder and parts.clock.now() < request.expires_at:
                    items.append(Item(request, holder, principal, with_office=False))
        return items

    def item(self, person: Person, request_id: str) -> tuple[Item, Statement]:
        """One request with its statement for this approver, in any state after asking.

        Raises ``SelfApproval``, ``NoApprover``, ``NotFound``.
        """
        with self._parts.store.read() as uow:
            return self._item(uow, person, request_id)

    def _item(self, uow: UnitOfWork, person: Person, request_id: str) -> tuple[Item, Statement]:
        parts = self._parts
        request = uow.requests.get(request_id)
        if request is None or request.asked_at is None:
            raise NotFound(what="request")
        principal = entitled(parts, uow, person.uid, request.uid)
        holder = parts.person(request.uid)
        statement = Statement(
            format=approvals.FORMAT,
            action=approvals.ACTION,
            request=request.id,
            token_serial=request.token_serial,
            holder_uid=holder.uid,
            holder_name=holder.name,
            approver_uid=person.uid,
            approver_name=person.name,
            acting_for=principal,
            reason=request.reason,
            requested_at=request.asked_at.replace(microsecond=0),
            valid_until=(request.asked_at + parts.policy.approval_age).replace(microsecond=0),
            nonce=request.nonce,
            service=parts.public_url,
            decision=approvals.DECISION,
        )
        theirs = waits_for_office(parts, uow, request)
        return Item(request, holder, principal, theirs), statement

    def statement(self, person: Person, request_id: str) -> bytes:
        """The exact bytes to sign; reading them is recorded."""
        with self._parts.store.write() as uow:
            _, statement = self._item(uow, person, request_id)
            uow.audit.append("statement-read", person.uid, {"request": request_id})
        return approvals.render(statement)

    def sign(self, person: Person, request_id: str, signature: bytes) -> Request:
        """Accept a signature over the statement; the holder may go on.

        The same approver's second click finds the request approved and changes nothing.
        Raises ``SignatureRefused``, ``CertificateRefused``, ``StatementRefused``,
        ``StateConflict``, ``SelfApproval``, ``NoApprover``.
        """
        parts, now = self._parts, self._parts.clock.now()
        item, statement = self.item(person, request_id)
        with parts.store.read() as uow:
            earlier = uow.approvals.of_request(request_id)
        if earlier and earlier.approver_uid == person.uid and earlier.signature == signature:
            return item.request
        approvals.check_fresh(statement, now)
        raw = approvals.render(statement)
        try:
            self._check_signer(person, raw, signature, now)
        except (SignatureRefused, CertificateRefused) as refused:
            with parts.store.write() as uow:
                facts = {"request": request_id, "rule": refused.data["rule"]}
                uow.audit.append("signature-refused", person.uid, facts)
            raise
        with parts.store.write() as uow:
            again, same = self._item(uow, person, request_id)
            if approvals.render(same) != raw:
                raise SignatureRefused(rule="other-statement")
            return self._accept(uow, again, same, raw, signature)

    def _check_signer(self, person: Person, raw: bytes, signature: bytes, now: datetime) -> None:
        parts = self._parts
        subject = parts.signatures.verify_approval(raw, signature, now)
        if subject.uid != person.uid:
            raise SignatureRefused(rule="signer")
        with parts.store.read() as uow:
            tokens = uow.tokens.of_holder(person.uid)
        if subject.certificate not in [t.certificate for t in tokens if t.state == "in-use"]:
            raise SignatureRefused(rule="not-enrolled")

    def _accept(
        self, uow: UnitOfWork, item: Item, statement: Statement, raw: bytes, signature: bytes
    ) -> Request:
        parts, now = self._parts, self._parts.clock.now()
        asked = replace(item.request, expires_at=statement.valid_until)
        ready = move(parts, uow, asked, "approve")
        approver = statement.approver_uid
        uow.approvals.add(
            Approval(
                parts.new_id(), ready.id, approver, statement.acting_for, raw, signature, now,
                statement.valid_until,
            )
        )  # fmt: skip
        uow.requests.add_proof(ready.id, Proof("approval", now, approver))
        facts = {"request": ready.id, "acting_for": statement.acting_for}
        uow.audit.append("approved", approver, facts)
        post(
            parts, uow, ready.uid, "approved", approver=statement.approver_name,
            token=ready.token_serial, until=parts.local.show(ready.expires_at),
        )  # fmt: skip
        if statement.acting_for != approvals.NOBODY:
            post(
                parts, uow, statement.acting_for, "approved-for-you", boxes=("directory",),
                approver=statement.approver_name, holder=statement.holder_name,
                token=ready.token_serial,
            )  # fmt: skip
        return ready

    def deny(self, person: Person, request_id: str, reason: str) -> None:
        """Refuse a request, with the reason that the holder is told.

        Raises ``BadInput`` without a reason, ``StateConflict``, ``NoApprover``.
        """
        reason = approvals.one_line(reason) if reason.strip() else ""
        if not reason:
            raise BadInput(field="reason", rule="empty")
        parts = self._parts
        with parts.store.write() as uow:
            item, _ = self._item(uow, person, request_id)
            refused = replace(item.request, ended_because=f"approver: {reason}")
            denied = move(parts, uow, refused, "deny")
            uow.audit.append("denied", person.uid, {"request": request_id, "reason": reason})
            post(
                parts, uow, denied.uid, "denied", approver=person.name,
                token=denied.token_serial, reason=reason,
            )  # fmt: skip

    # --- delegation --------------------------------------------------------------------
    def delegations(self, uid: str) -> list[Delegation]:
        """The delegations that this person has granted, newest first."""
        with self._parts.store.read() as uow:
            return uow.approvals.delegations_of(uid)

    def standing_in(self, uid: str) -> list[tuple[str, Delegation]]:
        """For whom this person stands in, now or later: the principal's name and the delegation."""
        parts = self._parts
        with parts.store.read() as uow:
            granted = uow.approvals.delegations_to(uid)
        now = parts.clock.now()
        lasting = [d for d in granted if d.revoked_at is None and now < d.ends]
        found = [(parts.directory.by_uid(d.principal_uid), d) for d in lasting]
        return [(principal.name, d) for principal, d in found if principal]

    def delegate(
        self, person: Person, delegate: str, first: date | None, last: date | None
    ) -> Delegation:
        """Let somebody else approve in one's place for a period of at most 92 days (S1.101).

        ``delegate``: UID or login name; ``first``, ``last``: days of the institution's time zone,
        both included, None where no day was typed.
        Raises ``BadInput`` with every problem: oneself, an unknown person, one's UID that is
        another's login name, an unusable period; or for one that overlaps with another of the same
        person. Raises ``TooManyDelegations``.
        """
        parts = self._parts
        found, problems = self._named(person, delegate)
        days = (("starts", first), ("ends", last))
        problems += [{"field": name, "rule": "date"} for name, day in days if day is None]
        if first and last and not self._usable(first, last):
            problems.append({"field": "ends", "rule": "period", "limit": LONGEST.days})
        if problems or not (found and first and last):
            raise BadInput.of(problems)
        starts, ends = parts.local.period(first, last)
        granted = Delegation(parts.new_id(), person.uid, found.uid, starts, ends)
        with parts.store.write() as uow:
            self._spend(uow, person.uid)
            for other in uow.approvals.delegations_of(person.uid):
                same = other.delegate_uid == found.uid and other.revoked_at is None
                if same and other.starts < ends and starts < other.ends:
                    raise BadInput(field="delegate", rule="overlap")
            uow.approvals.add_delegation(granted)
            facts = {
                "delegate": found.uid,
                "starts": UTC_TIME.show(starts),
                "ends": UTC_TIME.show(ends),
            }
            uow.audit.append("delegation-granted", person.uid, facts)
            for uid, kind in ((found.uid, "delegation-granted"), (person.uid, "delegation-made")):
                post(
                    parts, uow, uid, kind, boxes=("directory",), principal=person.name,
                    delegate=found.name, starts=str(first),
                    ends=f"{last} (both included, time zone {parts.local.name})",
                )  # fmt: skip
        return granted

    def _named(self, person: Person, typed: str) -> tuple[Person | None, list[dict[str, object]]]:
        """Whom ``typed`` means, or what is wrong with it."""
        directory, name = self._parts.directory, typed.strip()
        meant = (directory.by_uid(name), directory.by_pid(name)) if name else ()
        people = {p.uid: p for p in meant if p}
        if len(people) == 1 and person.uid not in people:
            return people.popitem()[1], []
        rule = "self" if len(people) == 1 else "two-people" if people else "unknown"
        return None, [{"field": "delegate", "rule": rule if name else "empty"}]

    def _usable(self, first: date, last: date) -> bool:
        # days are counted as days: one is longer or shorter where the clock changes
        today = self._parts.local.today(self._parts.clock.now())
        return first <= last and today <= last and last - first < LONGEST

    def _spend(self, uow: UnitOfWork, uid: str) -> None:
        """Count one delegation, in its own transaction: one that is refused costs nothing, and the
        person's next one waits for its end."""
        policy, now = self._parts.policy, self._parts.clock.now()
        limit = policy.delegations_per_day
        wait = uow.throttle.take(f"delegations:{uid}", now, policy.delegation_every, limit)
        if wait:
            raise TooManyDelegations(limit=limit, retry_after=wait)

    def revoke(self, uid: str, delegation_id: str) -> None:
        """End a delegation at once. Raises ``NotFound``."""
        with self._parts.store.write() as uow:
            now = self._parts.clock.now()
            if not uow.approvals.revoke_delegation(delegation_id, uid, now):
                raise NotFound(what="delegation")
            uow.audit.append("delegation-revoked", uid, {"delegation": delegation_id})
