"""``scripts/crash-matrix``: every named point, and every pair (service x helper).

A clean run of each situation says which points it passes. Then a process dies at each of them,
once a schedule; what must hold afterwards is in ``Scene.prove``. A point that no run ever passed
is a failure. Exit code 1 when a schedule failed. ``--faults``: see ``faults``.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field

from pkcs11_driver.crashpoints import NAMES
from tests.crash import faults
from tests.crash.scene import Kill, Scene, scene_in_a_directory


@dataclass(frozen=True)
class Situation:
    """Where a run begins: a saved state, SQL on it, a death that belongs to it, and its end.

    ``whole``: every point is tried, not only those that no situation before it has passed.
    """

    name: str
    saved: str
    sql: str = ""
    helper: str = ""
    end: str = "done"
    whole: bool = False


READY = Situation("a first order", "ready")
SITUATIONS = (
    READY,
    Situation("a lease that is over", "held", whole=True),
    Situation("an unclear report", "ready", helper="token.set-so-pin.after:1"),
    Situation("a spent budget", "held", "update operations set tries_spent = 7", end="office"),
    Situation(
        "a release refused",
        "ready",
        "update approvals set signature = x'3000'",
        end="withdrawn",
    ),
    Situation(
        "a release refused, after an order that got lost",
        "held",
        """update operations set "order" = x'', orders = 0;
        update approvals set signature = x'3000'""",
        end="withdrawn",
    ),
)


@dataclass(frozen=True)
class Schedule:
    """A situation, and where processes die in it."""

    situation: Situation
    kill: Kill

    def __str__(self) -> str:
        return f"{self.situation.name}: {self.kill}"


class Matrix:
    """The schedules over one scene."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.ran = 0
        self.both = 0
        self.failed: list[str] = []

    def hold(self) -> None:
        """Save the state ``held``: an order is out, and the helper died with it."""
        self.scene.restore("ready")
        self.scene.start()
        self.scene.helper("helper.token.before:1")
        assert self.scene.state() == "sent", self.scene.state()
        self.scene.save("held")

    def run(self, schedule: Schedule) -> None:
        """One schedule; a failure is kept, not raised."""
        scene, situation = self.scene, schedule.situation
        begun = time.monotonic()
        self.ran += 1
        try:
            scene.restore(situation.saved)
            if situation.sql:
                with scene.edited() as db:
                    db.executescript(situation.sql)
            if situation.saved == "held":
                scene.lapse()
            helper = schedule.kill.helper or situation.helper
            end = scene.play(Kill(schedule.kill.service, helper))
            assert end == situation.end, f"the end is {end}, not {situation.end}"
            scene.prove(end)
            said = end if len(scene.fired) < 2 else f"{end}, both died"
            self.both += len(scene.fired) == 2
        except Exception as error:  # noqa: BLE001 - the next schedule is tried all the same
            said = f"FAILED {type(error).__name__}: {error}"
            self.failed.append(f"{schedule}: {said}")
        print(f"{self.ran:4}. {schedule}: {said} [{time.monotonic() - begun:.1f} s]", flush=True)

    def clean(self, situation: Situation) -> Counter[str]:
        """The points that a situation passes by itself."""
        before = self.passes()
        self.run(Schedule(situation, Kill()))
        return self.passes() - before

    def passes(self) -> Counter[str]:
        """How often each point was passed so far, in all runs."""
        trace = self.scene.trace
        return Counter(trace.read_text().split()) if trace.exists() else Counter()

    def never(self) -> list[str]:
        """Named points that no run passed."""
        return sorted(set(NAMES) - set(self.passes()))


def kill_at(name: str, n: int) -> Kill:
    """The death of the process that passes the point."""
    point = f"{name}:{n}"
    return Kill(helper=point) if name.startswith(("helper.", "token.")) else Kill(service=point)


def singles(matrix: Matrix, situations: Sequence[Situation]) -> Iterator[Schedule]:
    """Every point of every situation; a point is repeated only where it is another pass."""
    covered: set[tuple[str, int]] = set()
    for situation in situations:
        for name, passes in matrix.clean(situation).items():
            for n in range(1, passes + 1):
                kill = kill_at(name, n)
                again = (name, n) in covered and not situation.whole
                if again or (kill.helper and situation.helper):
                    continue
                covered.add((name, n))
                yield Schedule(situation, kill)


def pairs(points: Sequence[Kill], many: int | None, seed: int) -> list[Schedule]:
    """Deaths on both sides in one run: all of them, or a sample."""
    both = [
        Schedule(READY, Kill(one.service, other.helper))
        for one in points
        for other in points
        if one.service and other.helper
    ]
    return both if many is None else random.Random(seed).sample(both, min(many, len(both)))


@dataclass
class Tally:
    """What was run: schedules, those in which both sides died, failures."""

    ran: int = 0
    both: int = 0
    failed: list[str] = field(default_factory=list)

    def add(self, other: Tally | Matrix) -> None:
        """Count what was run elsewhere."""
        self.ran += other.ran
        self.both += other.both
        self.failed += other.failed


def run_share(schedules: Sequence[Schedule]) -> Tally:
    """Run schedules on a scene of their own, in whatever process."""
    with scene_in_a_directory() as scene:
        matrix = Matrix(scene)
        for schedule in schedules:
            matrix.run(schedule)
        return Tally(matrix.ran, matrix.both, matrix.failed)


def run_shares(schedules: Sequence[Schedule], tally: Tally) -> None:
    """Run schedules on as many scenes as there are cores."""
    cores = os.cpu_count() or 1
    shares = [share for n in range(cores) if (share := schedules[n::cores])]
    if shares:
        with ProcessPoolExecutor(len(shares), multiprocessing.get_context("spawn")) as pool:
            for done in pool.map(run_share, shares):
                tally.add(done)


def main() -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(prog="scripts/crash-matrix", description=__doc__)
    parser.add_argument("--pairs", type=int, metavar="N", help="a sample of N pairs, not all")
    parser.add_argument("--seed", type=int, default=1, help="of the sample of pairs")
    parser.add_argument("--situation", choices=[s.name for s in SITUATIONS], help="only this one")
    parser.add_argument("--faults", action="store_true", help="faults instead of deaths")
    asked = parser.parse_args()
    if asked.faults:
        return faults.run_all()
    situations = [s for s in SITUATIONS if asked.situation in (None, s.name)]
    tally, first = Tally(), []
    with scene_in_a_directory() as scene:
        matrix = Matrix(scene)
        matrix.hold()
        for schedule in singles(matrix, situations):
            matrix.run(schedule)
            first += [schedule.kill] if schedule.situation is READY else []
        never = [] if asked.situation else matrix.never()
        tally.add(matrix)
    alone = f"{tally.ran} schedules of single points, {len(tally.failed)} failed"
    print(alone, flush=True)
    run_shares(pairs(first, asked.pairs, asked.seed), tally)
    print(
        f"{alone}; {tally.ran} schedules in all, in {tally.both} both sides died, "
        f"{len(tally.failed)} failed"
    )
    for line in [*tally.failed, *(f"never reached: {name}" for name in never)]:
        print(line, file=sys.stderr)
    return 1 if tally.failed or never else 0


if __name__ == "__main__":
    sys.exit(main())
