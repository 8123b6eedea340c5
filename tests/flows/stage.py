"""Schedules: from one saved state a run meets a fault, people go on, and everything must hold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from reset.core.requests import Request
from tests.flows.model_token import Helper, ModelToken, follow
from tests.flows.world import Died, Institute, Memo, Place, World


@dataclass
class Stage:
    """A request that is ready, to be run again and again from the same state.

    ``new_url``: of a copy of the database, for the play with this number; None where the database
    is a file of the place.
    """

    institute: Institute
    memo: Memo
    place: Place
    request_id: str
    copies: Path
    new_url: Callable[[int], str] | None = None
    made: int = 0
    ends: Counter[str] = field(default_factory=Counter)

    @classmethod
    def of(cls, institute: Institute, memo: Memo, place: Place, copies: Path) -> Stage:
        """Bring a place whose world is closed to a request that is ready."""
        world = World(institute, place, memo)
        request = world.ready()
        at = world.clock.now()
        world.close()
        return cls(institute, memo, Place(place.directory, place.url, at), request.id, copies)

    def play(self) -> Play:
        """A copy of the state, for one schedule."""
        self.made += 1
        url = self.new_url(self.made) if self.new_url else None
        place = self.place.copy(self.copies / str(self.made), url)
        world = World(self.institute, place, self.memo)
        return Play(self, world, world.request(self.request_id), ModelToken.of(world))

    def clean_trace(self) -> list[str]:
        """Every point that a run without a fault passes."""
        play = self.play()
        play.world.faults.reset()
        assert play.helper().run().state == "done"
        trace = list(play.world.faults.trace)
        play.world.close()
        return trace


@dataclass
class Play:
    """One schedule. The token outlives every process."""

    stage: Stage
    world: World
    request: Request
    token: ModelToken

    def helper(self) -> Helper:
        return Helper(self.world, self.token, self.world.code(self.request))

    def restart(self) -> None:
        """The server's process is a new one."""
        at = self.world.clock.now()
        self.world.close()
        place = Place(self.world.place.directory, self.world.place.url, at)
        self.world = World(self.stage.institute, place, self.stage.memo)

    def dies(self, at: int, helper: Helper | None = None) -> tuple[str, Helper | None]:
        """Run until the point with this number; where it was."""
        self.world.faults.reset(at)
        try:
            helper = helper or self.helper()
            helper.run()
        except Died as died:
            return str(died), helper
        finally:
            self.world.faults.reset()
        return "", helper

    def begin(self, runs: list[Helper]) -> None:
        """Run a helper, and leave it in ``runs`` as far as it came."""
        runs.append(self.helper())
        runs[0].run()

    def go_on(self) -> str:
        return follow(self.world, self.request, self.token)

    def check(self, wanted: tuple[str, ...] = ("done",)) -> None:
        """Let people finish, then look at everything that must hold (I1-I5)."""
        self.holds()
        end = self.go_on()
        self.world.upkeep.run_once()
        self.holds()
        assert end in wanted
        with self.world.database.read() as uow:
            operation = uow.operations.of_request(self.request.id)
            token = uow.tokens.get(self.token.serial)
        assert operation
        assert token
        if end == "done":
            assert (operation.state, operation.settled) == ("done", True)
            assert self.world.so_pins(token.serial)[token.so_version] == self.token.so_pin
            assert self.token.so_wrong == 0
            assert self.token.user_wrong == 0
        else:
            assert operation.state == "office"
        self.world.close()
        self.stage.ends[end] += 1

    def holds(self) -> None:
        """What must hold at every moment."""
        world = self.world
        assert self.token.so_pin in world.so_pins(self.token.serial).values()  # never lost
        assert self.token.worst <= world.policy.so_tries
        with world.database.read() as uow:
            approval = uow.approvals.of_request(self.request.id)
            operation = uow.operations.of_request(self.request.id)
        assert approval
        assert (approval.used_at is None) == (operation is None)  # spent with an operation only
        events = Counter(entry["event"] for entry in world.events())  # the chain verifies too
        assert events["custody-intent"] <= 1  # at most one approval is spent
        assert events["custody-done"] <= 1
        assert events["reset-done"] == events["custody-done"]
