"""The rules of the authenticator app: what binds its secret, and which steps count (RFC 6238)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reset.core.authenticator import PERIOD, Authenticator, secret, secret_context, steps

NOW = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
ONE = Authenticator("a" * 32, "u1", NOW)
SECOND = timedelta(seconds=1)


@pytest.mark.parametrize(
    "other",
    [
        replace(ONE, uid="u2"),
        replace(ONE, id="b" * 32),
        replace(ONE, uid="u1a", id="a" * 31),  # the same text, cut elsewhere
    ],
)
def test_each_enrolment_has_a_secret_of_its_own(other: Authenticator) -> None:
    assert secret_context(other) != secret_context(ONE)


def test_what_is_no_part_of_the_enrolment_does_not_change_its_secret() -> None:
    later = replace(ONE, confirmed=True, last_step=7, started_at=NOW + SECOND)
    assert secret_context(later) == secret_context(ONE)


def test_the_secret_is_as_long_as_the_digest() -> None:
    assert secret(bytes(range(32))) == bytes(range(20))


@given(st.timedeltas(timedelta(), timedelta(days=30_000)).map(lambda passed: NOW + passed))
def test_a_code_counts_one_step_before_and_after_its_time(at: datetime) -> None:
    own = int(at.timestamp()) // PERIOD
    assert list(steps(at)) == [own - 1, own, own + 1]


def test_a_step_begins_on_the_half_minute() -> None:
    assert steps(NOW) == steps(NOW + 29 * SECOND)
    assert steps(NOW + 30 * SECOND) != steps(NOW)
