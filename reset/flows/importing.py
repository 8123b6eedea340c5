"""Operator imports: people and tokens from CSV, all rows or none."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import PurePath

from reset.core.identities import Person, fault, tidy_pid
from reset.core.tokens import Token, tidy_serial
from reset.errors import BadInput, CertificateRefused, NotFound, ReleaseRefused
from reset.flows.csv_rows import envelope_in, explained, family_in, rows_of
from reset.flows.parts import Parts

PEOPLE = ("uid", "pid", "name", "mail", "supervisor", "representative", "roles", "password")
TOKENS = ("serial", "holder", "label", "family", "certificate", "key_id", "so_pin")


class Importing:
    """``hash_password``: of the local directory, None with another one; ``read_certificate``: the
    DER in a file, ``OSError`` or a ``ValueError`` in words without it; ``ask_about``: gets the OCSP
    response for a certificate that needs one."""

    def __init__(
        self,
        parts: Parts,
        hash_password: Callable[[str], str] | None,
        read_certificate: Callable[[str], bytes],
        ask_about: Callable[[bytes], None],
    ) -> None:
        self._parts = parts
        self._hash = hash_password
        self._read = read_certificate
        self._ask_about = ask_about

    def people(self, lines: Iterable[str]) -> int:
        """Import people for the local directory; ``password`` is hashed at once.

        An empty password keeps the one on file. ``roles`` separated by blanks. Returns the count.
        Raises ``BadInput`` with the line; nothing is imported then.
        """
        if self._hash is None:
            raise BadInput(field="people", rule="are kept in the directory that the settings name")
        rows = rows_of(lines, PEOPLE)
        people = [(_person(row, line), row["password"]) for line, row in enumerate(rows, 2)]
        known: set[str] = set()
        for line, (person, _) in enumerate(people, 2):
            if person.uid in known:
                raise BadInput(field=f"line {line}", rule="uid: twice")
            known.add(person.uid)
        hashed = [(person, self._hash(word) if word else "") for person, word in people]
        with self._parts.store.write() as uow:
            for line, (person, password_hash) in enumerate(hashed, 2):
                found = uow.people.by_pid(person.pid)
                kept = found[1] if found else ""
                try:
                    uow.people.put(person, password_hash or kept)
                except BadInput as refused:
                    rule = f"{refused.data['field']}: {refused.data['rule']}"
                    raise BadInput(field=f"line {line}", rule=rule) from None
            uow.audit.append("people-imported", "console", {"count": len(hashed)})
        return len(hashed)

    def rebind(self, uid: str) -> None:
        """Forget which entry of the directory this UID belongs to; the next login notes it anew.

        For entries that were made anew for the same person (S5.7). Raises ``NotFound``.
        """
        with self._parts.store.write() as uow:
            if not uow.people.forget_entry(uid):
                raise NotFound(what="uid")
            uow.audit.append("person-rebound", "console", {"person": uid})

    def tokens(self, lines: Iterable[str]) -> int:
        """Import tokens with their certificates and sealed SO PINs.

        ``family``: a name of ``pkcs11_driver.families``; ``certificate``: path of a DER or PEM
        file; ``so_pin``: base64 of the SO PIN or PUK sealed to the custodian's import key for this
        serial and family, so no clear list ever stands on the server (S1.8, S1.9).
        Raises ``BadInput``, ``CertificateRefused``, ``ReleaseRefused``, ``Unavailable``; nothing
        is imported then.
        """
        rows = rows_of(lines, TOKENS)
        checked = [self._token(row, line) for line, row in enumerate(rows, 2)]
        for token, _ in checked:
            self._parts.directory.keep(token.holder_uid)
        # only after every row is good: what the custodian once stored it never replaces
        ready = [self._sealed(*found, line) for line, found in enumerate(checked, 2)]
        with self._parts.store.write() as uow:
            for token, sealed in ready:
                if uow.tokens.get(token.serial) or uow.escrow.get(token.serial, 1):
                    raise BadInput(field=token.serial, rule="this serial is registered already")
                uow.tokens.put(token)
                uow.escrow.add(token.serial, token.so_version, sealed)
            uow.audit.append("tokens-imported", "console", {"count": len(ready)})
        return len(ready)

    def unmet(self) -> list[str]:
        """Why registered tokens can take no PIN under the policy, a line for each family."""
        with self._parts.store.read() as uow:
            families = {t.family: t.traits for t in uow.tokens.every() if t.state == "in-use"}
        return [line for _, f in sorted(families.items()) if (line := self._parts.policy.unmet(f))]

    def _token(self, row: Mapping[str, str], line: int) -> tuple[Token, bytes]:
        parts, where = self._parts, f"line {line}"
        try:
            serial = tidy_serial(row["serial"])
        except BadInput:
            raise BadInput(field=where, rule="serial must be 1 to 64 characters") from None
        family = family_in(row, where)
        if unmet := parts.policy.unmet(family):
            raise BadInput(field=where, rule=unmet)
        if parts.directory.by_uid(row["holder"]) is None:
            raise BadInput(field=where, rule=f"no person has the UID {row['holder']}")
        if not re.fullmatch(r"([0-9a-fA-F]{2})*", row["key_id"]):
            raise BadInput(field=where, rule="key_id must be hex")
        certificate = self._certificate(row["certificate"], where)
        try:
            self._ask_about(certificate)
            subject = parts.certificates.verify_client(certificate, parts.clock.now())
        except CertificateRefused as refused:
            raise CertificateRefused(**refused.data | {"line": line}) from None
        if subject.uid != row["holder"]:
            raise CertificateRefused(rule="uid", line=line)
        token = Token(
            serial, row["holder"], row["label"] or serial, "in-use", family.name, certificate,
            row["key_id"].lower(), 1,
        )  # fmt: skip
        return token, envelope_in(row, where)

    def _sealed(self, token: Token, envelope: bytes, line: int) -> tuple[Token, bytes]:
        try:
            sealed = self._parts.custodian.store(
                token.serial, token.so_version, envelope, token.holder_uid, token.family
            )
            return token, sealed
        except ReleaseRefused as refused:
            raise explained(refused, token.family, f"line {line}", line=line) from None

    def _certificate(self, name: str, where: str) -> bytes:
        try:
            return self._read(name)
        except OSError:
            raise BadInput(field=where, rule=f"cannot read {PurePath(name).name}") from None
        except ValueError as error:
            raise BadInput(field=where, rule=f"{PurePath(name).name} {error}") from None


def _person(row: Mapping[str, str], line: int) -> Person:
    person = Person(
        row["uid"], row["pid"], row["name"], row["mail"], row["supervisor"],
        row["representative"], frozenset(row["roles"].split()),
    )  # fmt: skip
    broken = fault(person)
    if broken:
        raise BadInput(field=f"line {line}", rule=broken)
    return replace(person, pid=tidy_pid(person.pid))
