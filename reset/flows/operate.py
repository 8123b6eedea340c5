"""The registration office: look a person up, record an in-person check, lift a block.

Rules (S1.30-S1.35, S1.64, S1.94-S1.96, S1.102): an operator acts only for somebody else, names the
kinds of the two ids that were seen (never a copy), and every look and act is in the audit log.
No act of the office shows or sets a PIN or an SO PIN.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from reset.core.custody import Operation
from reset.core.identities import IdentityCheck, Person
from reset.core.profile import Channels, Profile
from reset.core.requests import Request
from reset.core.tokens import Token
from reset.errors import BadInput, Forbidden, StateConflict
from reset.flows.approve import may_approve
from reset.flows.channels import channels
from reset.flows.mails import post
from reset.flows.parts import Parts
from reset.flows.requests import blocked, rounds_key, with_office
from reset.ports import UnitOfWork

CHECKS_SHOWN = 10  # of one person

ID_KINDS = {
    "institution-card": "Card of the institution with photo",
    "driving-licence": "Driving licence",
    "passport": "Passport",
    "national-id": "National identity card",
    "military-card": "Military card",
}


@dataclass(frozen=True)
class Dossier:
    """What the office sees of a person. ``with_office``: ids of those requests that only the office
    can go on with now; ``operations``: those of their tokens that are not done;
    ``checks``: the newest of their identity; ``operators``: UID to name of who made those."""

    person: Person
    tokens: tuple[Token, ...]
    profile: Profile | None
    channels: Channels
    requests: tuple[Request, ...]
    with_office: frozenset[str]
    operations: tuple[Operation, ...]
    approvers: tuple[Person, ...]
    failed_rounds: int
    blocked: bool
    checks: tuple[IdentityCheck, ...]
    operators: Mapping[str, str]


class Operate:
    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def find(self, operator: Person, text: str) -> list[Person]:
        """Persons whose UID, login, name or mail contains ``text``, at most 20.

        That somebody searched is recorded, and how many were found; what was typed is not.
        Raises ``Forbidden``, ``BadInput`` for fewer than two characters (peer failure 10).
        """
        _allow(operator)
        text = text.strip()
        if not 2 <= len(text) <= 100:
            raise BadInput(field="q", rule="search")
        found = self._parts.directory.search(text)
        with self._parts.store.write() as uow:
            facts = {"search": True, "found": len(found)}
            uow.audit.append("person-looked-up", operator.uid, facts)
        return found

    def dossier(self, operator: Person, uid: str) -> Dossier:
        """Everything the office needs to help; the look is recorded (S1.88)."""
        _allow(operator)
        parts = self._parts
        person = parts.person(uid)
        with parts.store.read() as uow:
            approvers = [parts.directory.by_uid(a) for a in may_approve(parts, uow, uid)]
            checks = tuple(uow.identity_checks.of_person(uid, CHECKS_SHOWN))
        operators = {c.operator_uid: parts.directory.by_uid(c.operator_uid) for c in checks}
        with parts.store.write() as uow:
            uow.audit.append("person-looked-up", operator.uid, {"person": uid})
            tokens = tuple(uow.tokens.of_holder(uid))
            spent = uow.tries.spent(rounds_key(uid))
            closed = blocked(parts, uow, uid)
            requests = tuple(uow.requests.of_holder(uid))
            found = [uow.operations.unresolved_of(t.serial) for t in tokens]
            profile = uow.profiles.get(uid)
            return Dossier(
                person=person,
                tokens=tokens,
                profile=profile,
                channels=channels(parts, uow, uid, profile),
                requests=requests,
                with_office=with_office(uow, requests, blocked=closed),
                operations=tuple(o for o in found if o),
                approvers=tuple(a for a in approvers if a),
                failed_rounds=spent,
                blocked=closed,
                checks=checks,
                operators={known: found.name for known, found in operators.items() if found},
            )

    def record_check(self, operator: Person, uid: str, ids: Sequence[str]) -> None:
        """Record that the person stood here with two kinds of photo id (S1.32, S1.34).

        Raises ``Forbidden`` for oneself, ``BadInput`` for other than two different kinds.
        """
        self._check(operator, uid, ids)
        with self._parts.store.write() as uow:
            self._note_check(uow, operator, uid, ids)

    def lift_block(self, operator: Person, uid: str, ids: Sequence[str]) -> None:
        """Lift a self-service block after an in-person check; both are recorded (S1.64).

        Raises ``Forbidden``, ``BadInput``, ``StateConflict`` when nothing is blocked.
        """
        self._check(operator, uid, ids)
        parts = self._parts
        with parts.store.write() as uow:
            if not blocked(parts, uow, uid):
                raise StateConflict(state="not-blocked", event="lift")
            self._note_check(uow, operator, uid, ids)
            uow.tries.clear(rounds_key(uid))
            uow.audit.append("block-lifted", operator.uid, {"person": uid})
            post(parts, uow, uid, "block-lifted")

    def _note_check(self, uow: UnitOfWork, operator: Person, uid: str, ids: Sequence[str]) -> None:
        kinds, now = tuple(sorted(ids)), self._parts.clock.now()
        uow.identity_checks.add(IdentityCheck(uid, operator.uid, kinds, now))
        uow.audit.append("identity-checked", operator.uid, {"person": uid, "ids": list(kinds)})

    def _check(self, operator: Person, uid: str, ids: Sequence[str]) -> None:
        _allow(operator)
        if operator.uid == uid:
            raise Forbidden(reason="oneself")
        self._parts.person(uid)
        if len(set(ids)) != 2 or len(ids) != 2 or not set(ids) <= set(ID_KINDS):
            raise BadInput(field="ids", rule="two-ids")


def _allow(operator: Person) -> None:
    if "office" not in operator.roles:
        raise Forbidden(reason="role")
