"""PostgreSQL is gone between a COMMIT and its answer: the service cannot know which of the two it
was, does nothing twice and loses nothing."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from socket import socket

import pytest
from sqlalchemy import make_url, text

from reset.db import migrate
from reset.db.engine import make_engine
from reset.errors import Unavailable
from tests.flows.commits import CommitProxy, Fault, lost, unanswered
from tests.flows.model_token import Helper
from tests.flows.stage import Play, Stage
from tests.flows.world import Institute, Memo, Place, World
from tests.institution.postgres import Postgres

COMMITS = ("intent", "sent", "order", "done")


@dataclass
class Here:
    """A server that may be killed, the way to it, and a request that is ready."""

    server: Postgres
    proxy: CommitProxy
    stage: Stage


@pytest.fixture(scope="module")
def here(
    institute: Institute, memo: Memo, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Here]:
    # not pytest's own directory: that is closed to the user the server runs as
    directory = Path(tempfile.mkdtemp(prefix="reset-postgres-"))
    place = tmp_path_factory.mktemp("seed")
    try:
        with Postgres(durable=True) as server:
            url = make_url(server.start(directory))
            with CommitProxy(url.port or 0) as proxy:
                _new_database(url.render_as_string(hide_password=False), "seed", "template1")
                seed = url.set(database="seed").render_as_string(hide_password=False)
                migrate.upgrade(seed)
                world = World(institute, Place(place, seed, institute.made_at), memo)
                world.seed()
                world.close()
                at = world.clock.now()
                copies = tmp_path_factory.mktemp("copies")
                stage = Stage.of(institute, memo, Place(place, seed, at), copies)

                def new_url(number: int) -> str:
                    _new_database(
                        url.render_as_string(hide_password=False), f"play_{number}", "seed"
                    )
                    way = url.set(database=f"play_{number}", port=proxy.port)
                    return way.render_as_string(hide_password=False)

                stage.new_url = new_url
                yield Here(server, proxy, stage)
    finally:
        shutil.rmtree(directory)


def _new_database(url: str, name: str, template: str) -> None:
    engine = make_engine(url).execution_options(isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name} TEMPLATE {template}"))
    engine.dispose()


def standing(play: Play) -> str:
    """How far the operation is in the database."""
    with play.world.database.read() as uow:
        operation = uow.operations.of_request(play.request.id)
    if operation is None:
        return "none"
    return "order" if operation.state == "sent" and operation.order else operation.state


@pytest.fixture(scope="module")
def commits(here: Here) -> dict[str, int]:
    """The number of the point before the commit that led to each standing."""
    play = here.stage.play()
    faults, found = play.world.faults, dict[str, int]()
    faults.reset()
    reach = faults.reach

    def watch(name: str) -> None:
        reach(name)
        if name == "server: after a commit":
            found.setdefault(standing(play), len(faults.trace) - 2)

    faults.reach = watch  # type: ignore[method-assign]
    assert play.helper().run().state == "done"
    play.world.close()
    return found


def strike(here: Here, at: int, fault: Fault) -> tuple[Play, list[Helper]]:
    """Begin a run in which the commit at this point suffers; the run is refused."""
    play, runs = here.stage.play(), list[Helper]()
    play.world.faults.reset(at)
    play.world.faults.strike = lambda _: here.proxy.arm(fault)
    with pytest.raises(Unavailable) as refused:
        play.begin(runs)
    assert refused.value.data["part"] == "database"
    assert here.proxy.struck == 1
    play.world.faults.reset()
    return play, runs


@pytest.mark.parametrize("fault", [lost, unanswered])
def test_any_commit(here: Here, fault: Fault) -> None:
    points = here.stage.clean_trace()
    seen = set()
    for at in [n for n, name in enumerate(points) if name == "server: before a commit"]:
        play, runs = strike(here, at, fault)
        seen.add(standing(play))
        helper = runs[0] if runs else play.helper()
        assert helper.run().state == "done"  # the same helper asks again
        assert play.token.worst == 0
        play.check()
    assert seen == {"none", *COMMITS}


@pytest.mark.parametrize("commit", COMMITS)
def test_one_process_of_the_server_is_killed(
    here: Here, commits: dict[str, int], commit: str
) -> None:
    """Killed as soon as the COMMIT is on its way: whether it was done is anybody's guess."""

    def killed(server: socket, message: bytes) -> None:
        server.sendall(message)
        here.server.kill_process_of(server.getsockname()[1])

    play, runs = strike(here, commits[commit], killed)
    go_on(play, runs)


@pytest.mark.parametrize("commit", COMMITS)
def test_the_whole_server_is_killed(here: Here, commits: dict[str, int], commit: str) -> None:
    def killed(server: socket, message: bytes) -> None:
        unanswered(server, message)
        here.server.kill()

    play, runs = strike(here, commits[commit], killed)
    assert standing(play) == commit
    go_on(play, runs)


def go_on(play: Play, runs: list[Helper]) -> None:
    """The service is a new process, and the same helper asks again."""
    play.restart()
    (helper,) = runs
    helper.world = play.world
    assert helper.run().state == "done"
    play.check()
