"""docs/tokens.md has a row for each promise and a column for each module, and nothing failed."""

from __future__ import annotations

from pathlib import Path

from tests.devices import test_promises
from tests.devices.providers import PROVIDERS

TABLE = (Path(__file__).parents[2] / "docs" / "tokens.md").read_text(encoding="utf-8")


def test_rows_and_columns() -> None:
    """What is in the cells, `scripts/token-table --check` compares."""
    tests = {name: f for name, f in vars(test_promises).items() if name.startswith("test_")}
    lines = [line for line in TABLE.splitlines() if line.startswith("|")]
    for name, test in tests.items():
        assert any(line.startswith(f"| {test.__doc__} |") for line in lines), name
    assert lines[0] == f"| promise | {' | '.join(each.title for each in PROVIDERS)} |"
    assert "fails" not in TABLE
