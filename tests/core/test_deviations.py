"""An acceptance counts on its days only and names a row of the register."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import pytest

from reset.core.assurance import RECORDED, covered
from reset.core.deviations import BELOW, DEVIATIONS, EXEMPT, Acceptance, acceptance_problems
from reset.core.threats import demanded

DAY = timedelta(days=1)
TODAY = date(2026, 3, 4)
GOOD = Acceptance("asvs-6.4.2", "Sue Supervisor", TODAY, TODAY)


def test_the_first_and_the_last_day_count() -> None:
    month = replace(GOOD, on=TODAY - 30 * DAY, until=TODAY + 30 * DAY)
    for day in (month.on, TODAY, month.until):
        assert month.problem(day) == ""
    assert "has not come yet" in month.problem(month.on - DAY)
    assert "expired" in month.problem(month.until + DAY)
    assert GOOD.problem(TODAY) == ""


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (replace(GOOD, rule="asvs"), "not one of"),
        (replace(GOOD, who=""), "who:"),
        (replace(GOOD, who="  x "), "who:"),
        (replace(GOOD, who="Sue\nSupervisor"), "who:"),
        (replace(GOOD, until=TODAY - DAY), "until:"),
        (replace(GOOD, on=TODAY + DAY, until=TODAY + DAY), "on:"),
        (replace(GOOD, on=TODAY - 2 * DAY, until=TODAY - DAY), "until: expired"),
    ],
)
def test_a_bad_acceptance_is_refused_with_its_reason(bad: Acceptance, why: str) -> None:
    (line,) = acceptance_problems([bad], TODAY)
    assert line.startswith(f"acceptance: {bad.rule}: {why}")


def test_one_deviation_is_accepted_once() -> None:
    other = replace(GOOD, who="Rita Representative")
    assert acceptance_problems([GOOD, other], TODAY) == ["acceptance: asvs-6.4.2: accepted twice"]


def test_a_threat_is_exempt_only_where_no_proof_at_the_gates_answers_it() -> None:
    typed = [name for name in RECORDED if name != "certificate"]
    assert demanded(3) - covered(typed) == EXEMPT


def test_the_register_has_no_empty_cell() -> None:
    for deviation in DEVIATIONS.values():
        assert deviation.rule
        assert deviation.says
        assert deviation.here
        assert deviation.instead
    assert BELOW in DEVIATIONS
