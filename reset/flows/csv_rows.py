"""Rows of a CSV with exactly these columns."""

from __future__ import annotations

import csv
from collections.abc import Iterable

from reset.errors import BadInput


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
