"""The crash table of the rotation protocol, replayed: every point, then every invariant.

One clean run is recorded; then for each point that it passes (each commit, each call of the
custodian, each act on the token) a run dies there, and honest people go on from what is left.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress

import pytest

from reset.errors import OfficeOnly, Unavailable
from tests.flows.model_token import Helper, follow
from tests.flows.stage import Stage
from tests.flows.world import HOLDER, Died, Institute, Memo, Place, away, serial_of

PAIRS = 30  # of the pairs of points, drawn by a fixed seed


@pytest.fixture(scope="module")
def stage(
    institute: Institute, memo: Memo, seeded: Place, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stage]:
    directory = tmp_path_factory.mktemp("stage")
    made = Stage.of(institute, memo, seeded.copy(directory / "ready"), directory / "copies")
    yield made
    print(f"\ncrash schedules: {dict(made.ends)}")


def test_the_recorded_run_passes_every_kind_of_point(stage: Stage) -> None:
    trace = stage.clean_trace()
    kinds = Counter(trace)
    assert kinds["server: before a commit"] == kinds["server: after a commit"] >= 8
    for call in ("hmac", "store", "release", "settle"):
        assert kinds[f"custodian: after {call}"] >= 1
    assert sum(name.startswith("helper: ") for name in trace) >= 10


def test_a_process_dies_at_any_point_and_a_new_helper_goes_on(stage: Stage) -> None:
    points = stage.clean_trace()
    for at, name in enumerate(points):
        play = stage.play()
        assert play.dies(at)[0] == name
        play.restart()
        play.check()
    print(f"\na new helper after each of {len(points)} points")


def test_the_server_dies_at_any_point_and_the_same_helper_asks_again(stage: Stage) -> None:
    points = [n for n, name in enumerate(stage.clean_trace()) if not name.startswith("helper")]
    for at in points:
        play = stage.play()
        _, helper = play.dies(at)
        play.restart()
        if helper is None:
            helper = play.helper()
        helper.world = play.world
        assert helper.run().state == "done"  # the same nonce, the same order
        assert play.token.worst == 0
        play.check()
    print(f"\nthe same helper after each of {len(points)} points")


def test_two_deaths_in_a_row(stage: Stage) -> None:
    """The second run has more points than the first: it begins with another order."""
    count = len(stage.clean_trace())
    pairs = [(a, b) for a in range(count) for b in range(count)]
    for first, second in random.Random(4711).sample(pairs, PAIRS):
        play = stage.play()
        play.dies(first)
        play.restart()
        play.world.faults.reset(second)
        with suppress(Died):
            play.go_on()
        play.world.faults.reset()
        play.restart()
        play.check()


@pytest.mark.parametrize("moment", ["before", "after"])
def test_the_token_is_pulled_while_its_so_pin_changes(stage: Stage, moment: str) -> None:
    play = stage.play()
    helper = play.helper()
    helper.pulled = moment
    state = helper.run()
    assert (state.state, state.next) == ("executing", "again")
    play.check()
    assert play.token.worst == (0 if moment == "after" else 1)


def test_silent_deaths_end_at_the_office_long_before_the_token_locks(stage: Stage) -> None:
    """R3: the tries are debited before each order; nothing that is told gives them back."""
    play = stage.play()
    play.token.so_pin = "neither of the two"

    def mute(helper: Helper) -> None:
        helper.release()
        helper.work()
        raise Died

    for _ in range(10):
        try:
            end = follow(play.world, play.request, play.token, on_helper=mute)
        except Died:
            continue
        except OfficeOnly as refused:
            assert refused.data == {"reason": "tries"}  # noqa: PT017 - the last of many runs
            end = play.go_on()
        break
    assert end == "office"
    assert play.token.worst == play.token.so_wrong == play.world.policy.so_tries
    assert play.token.worst < 15


def test_the_custodian_is_away_at_any_call(stage: Stage) -> None:
    """Fail closed, and the same helper goes on when it is back."""
    play = stage.play()
    play.world.faults.reset()
    play.helper().run()
    calls = play.world.faults.calls
    play.world.close()
    refused = 0
    for number in range(calls):
        play = stage.play()
        play.world.faults.reset()
        play.world.faults.away = number
        runs: list[Helper] = []
        try:
            play.begin(runs)
        except Unavailable:
            refused += 1
        play.world.faults.reset()
        helper = runs[0] if runs else play.helper()
        assert helper.run().state == "done"
        play.check()
    assert refused == calls - 1  # only the last call, which settles, can wait


def test_the_database_is_away_at_any_commit(stage: Stage) -> None:
    """A commit that fails says so and changes nothing; the next call goes on."""
    points = stage.clean_trace()
    commits = [n for n, name in enumerate(points) if name == "server: before a commit"]
    for at in commits:
        play = stage.play()
        play.world.faults.reset(at)
        play.world.faults.strike = away
        runs: list[Helper] = []
        with pytest.raises(Unavailable):
            play.begin(runs)
        play.world.faults.reset()
        helper = runs[0] if runs else play.helper()
        assert helper.run().state == "done"
        play.check()


def test_the_serial_of_the_play_is_the_holders(stage: Stage) -> None:
    play = stage.play()
    assert play.token.serial == serial_of(HOLDER) == play.request.token_serial
    play.world.close()
