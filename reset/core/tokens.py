"""Serials, token states and helper jobs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from pkcs11_driver.families import FAMILIES, Family
from reset.core.approvals import NOBODY, one_line
from reset.errors import BadInput

State = Literal["in-use", "retired", "dead"]


@dataclass(frozen=True)
class Token:
    """A token of the register. ``certificate``: DER of the enrolled one; ``key_id``: CKA_ID in
    hex, may be empty; ``family``: a name of ``pkcs11_driver.families``; ``so_version``: the escrow
    version in force.
    """

    serial: str
    holder_uid: str
    label: str
    state: State
    family: str
    certificate: bytes
    key_id: str
    so_version: int

    @property
    def traits(self) -> Family:
        """What tokens of its family have in common."""
        return FAMILIES[self.family]


@dataclass(frozen=True)
class Job:
    """One helper run. ``about``: request id. ``secret_hash``: SHA-256 of the bearer secret in hex,
    empty until claimed. ``challenge``: what the token signs."""

    id: str
    kind: str
    uid: str
    about: str
    token_serial: str
    selector: str
    challenge: bytes
    created_at: datetime
    claimed_at: datetime | None = None
    secret_hash: str = ""
    public_key: bytes = b""
    outcome: str = ""


def tidy_serial(text: str) -> str:
    """A token serial as the register keeps it: PKCS#11 pads with blanks (CK_TOKEN_INFO).

    Raises ``BadInput`` for what could not stand in a statement as it is, or above 64 characters.
    """
    serial = text.strip(" \0\t\r\n")
    if not serial or len(serial) > 64 or one_line(serial) != serial or serial == NOBODY:
        raise BadInput(field="token", rule="serial")
    return serial
