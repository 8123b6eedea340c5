"""The threats of X.1254, the levels of SP 800-63-2, and the techniques of the service."""

from __future__ import annotations

import pytest

from reset.core.assurance import METHODS
from reset.core.threats import TECHNIQUES, THREATS, demanded, resisted

# X.1254 (2012), threats to the authentication phase; its general row is the rule of kinds
NAMED = {
    "online-guessing", "offline-guessing", "duplication", "phishing", "eavesdropping", "replay",
    "session-hijacking", "man-in-the-middle", "theft", "spoofing",
}  # fmt: skip
# NIST SP 800-63-2, table 11, without the row that no level demands (flooding)
TABLE_11 = {
    1: {"online-guessing", "replay"},
    2: {"session-hijacking", "eavesdropping", "man-in-the-middle"},
    3: {"phishing"},
    4: {"man-in-the-middle-strong"},
}


def test_the_threats_are_those_of_the_sources() -> None:
    """S2.24: the man in the middle is there twice, weak and strong."""
    assert set(THREATS) == NAMED | {"man-in-the-middle-strong"}


@pytest.mark.parametrize("level", [0, 1, 2, 3, 4])
def test_what_each_level_demands(level: int) -> None:
    expected = set().union(*(names for at, names in TABLE_11.items() if at <= level))
    assert demanded(level) == expected


def test_techniques_answer_known_threats_and_each_is_used() -> None:
    used = {name for method in METHODS.values() for name in method.techniques}
    assert used == set(TECHNIQUES)
    assert resisted(TECHNIQUES) <= set(THREATS)
    assert resisted([]) == frozenset()


def test_the_one_threat_without_any_technique() -> None:
    """Said in the documentation: the helper is not signed, and nothing is read by a sensor."""
    assert set(THREATS) - resisted(TECHNIQUES) == {"spoofing"}
