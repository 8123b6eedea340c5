"""A few schedules of the crash matrix; ``scripts/crash-matrix`` has all."""

from __future__ import annotations

import pytest

from tests.crash.matrix import READY, Matrix, Schedule
from tests.crash.scene import Kill, Scene

KILLS = (
    Kill("service.intent.after:1", "token.so-login.before:1"),
    Kill("service.sent.after:1", "token.set-user-pin.after:1"),
    Kill("custodian.open.after:1", "token.prove-so-pin.before:1"),
    Kill("custodian.release.after:1", "token.set-so-pin.after:1"),
    Kill("service.done.before:1", "helper.report.before:1"),
)


@pytest.fixture
def matrix(scene: Scene) -> Matrix:
    return Matrix(scene)


@pytest.mark.parametrize("kill", KILLS, ids=str)
def test_what_dies_on_both_sides_is_recovered(matrix: Matrix, kill: Kill) -> None:
    """Ten points in five schedules: intent, HSM, order, debit, SO login, both PINs, report, end."""
    matrix.run(Schedule(READY, kill))
    assert matrix.failed == []
    assert matrix.scene.fired == ["service", "helper"]
