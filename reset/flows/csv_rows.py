"""Rows of a CSV with exactly these columns, and the cells that several of them have."""

from __future__ import annotations

import base64
import binascii
import csv
from collections.abc import Iterable, Mapping

from pkcs11_driver import families
from pkcs11_driver.families import FAMILIES, Family
from reset.errors import BadInput, ReleaseRefused, ResetError


def rows_of(lines: Iterable[str], columns: tuple[str, ...]) -> list[dict[str, str]]:
    """Each row by column, without blanks around. Raises ``BadInput`` with the line."""
    reader = csv.DictReader(lines, strict=True)
    rows = []
    try:
        if tuple(reader.fieldnames or ()) != columns:
            raise BadInput(field="line 1", rule=f"the columns must be {','.join(columns)}")
        for row in reader:
            if None in row or None in row.values():
                raise BadInput(field=f"line {reader.line_num}", rule=f"{len(columns)} columns")
            rows.append({name: value.strip() for name, value in row.items()})
    except csv.Error:
        raise BadInput(field=f"line {reader.reader.line_num}", rule="is no CSV") from None
    return rows


def family_in(row: Mapping[str, str], where: str) -> Family:
    """The token's family. Raises ``BadInput`` for one whose SO secrets are not kept in escrow."""
    if row["family"] not in families.kept():
        raise BadInput(field=where, rule=f"family must be one of {', '.join(families.kept())}")
    return FAMILIES[row["family"]]


def envelope_in(row: Mapping[str, str], where: str) -> bytes:
    """The sealed SO PIN. Raises ``BadInput``."""
    try:
        return base64.b64decode(row["so_pin"], validate=True)
    except binascii.Error:
        raise BadInput(field=where, rule="so_pin must be base64") from None


def explained(refused: ReleaseRefused, family: str, where: str, **data: object) -> ResetError:
    """The custodian's refusal of a sealed SO PIN as what to do: nobody else has seen the value."""
    takes = FAMILIES[family].so_bytes
    rules = {
        "so-pin": f"the sealed so_pin is no SO PIN or PUK of the family {family}, which has"
        f" {takes[0]} to {takes[-1]} printable bytes: look it up and seal it again",
        "envelope": "so_pin does not open: seal it with the key of escrow import-key, for this"
        " serial and family",
    }
    if refused.data["rule"] in rules:
        return BadInput(field=where, rule=rules[str(refused.data["rule"])])
    return ReleaseRefused(**refused.data | data)
