"""The real program on a screen, and a hand at its keys."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.driver.conftest import blocked, holder, made  # noqa: F401 - fixtures
from tests.driver.program import ROOT
from tests.window.screen import Screen, screen

PICTURES = ROOT / "docs" / "window"


class Hand:
    """Sees the window and works its keys. ``look`` waits until the window shows these words."""

    def __init__(self, program: subprocess.Popen[str], shown: Screen) -> None:
        self.program = program
        self._shown = shown

    def do(self, what: str, **with_: Any) -> Any:
        assert self.program.stdin is not None
        assert self.program.stdout is not None
        self.program.stdin.write(json.dumps({"do": what, "with": with_}) + "\n")
        self.program.stdin.flush()
        line = self.program.stdout.readline()
        assert line, f"the window is gone: {self.program.communicate()[1]}"
        answer = json.loads(line)
        assert not (isinstance(answer, dict) and "failed" in answer), answer["failed"]
        return answer

    def look(self, words: str = "", seconds: float = 60) -> dict[str, Any]:
        end = time.monotonic() + seconds
        while True:
            seen: dict[str, Any] = self.do("look")
            if any(words in text for text in [seen["title"], *seen["texts"]]):
                return seen
            assert time.monotonic() < end, f"never seen: {words}; seen: {seen}"
            time.sleep(0.03)

    def type(self, text: str) -> None:
        self.do("type", text=text)

    def press(self, *keys: str) -> None:
        for key in keys:
            self.do("press", key=key)

    def click(self, words: str) -> None:
        self.do("click", words=words)

    def picture(self, name: str) -> None:
        """Keep a picture of the window as it is now, where pictures are asked for."""
        if not os.environ.get("TOKEN_RESET_PICTURES"):
            return
        # the last drawing must have reached the screen
        time.sleep(0.3)
        wide, high = self.do("look")["size"]
        PICTURES.mkdir(exist_ok=True)
        (PICTURES / f"{name}.png").write_bytes(self._shown.picture(wide, high))

    def ended(self) -> int:
        """The exit code of the program, which ends by itself."""
        return self.program.wait(60)


@pytest.fixture(scope="session")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Screen]:
    with screen(tmp_path_factory.mktemp("screen")) as found:
        yield found


Open = Callable[..., contextlib.AbstractContextManager[Hand]]


@pytest.fixture
def window(shown: Screen, tmp_path: Path) -> Open:
    """Starts the program with these arguments."""

    @contextlib.contextmanager
    def start(*arguments: str, **environment: str) -> Iterator[Hand]:
        home = tmp_path / "home"
        home.mkdir(exist_ok=True)
        kept = {n: v for n, v in os.environ.items() if n in ("PATH", "PYTHONPATH")}
        program = subprocess.Popen(
            [sys.executable, "-m", "tests.window.pilot", "--window", *arguments],
            cwd=ROOT,
            env={**kept, "DISPLAY": shown.display, "HOME": str(home), "LANG": "C.UTF-8",
                 **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )  # fmt: skip
        with program:
            try:
                yield Hand(program, shown)
            finally:
                program.kill()

    return start
