"""A disk that is full: a small tmpfs in the place of a directory. Needs root, as mount does."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

PAGE = 4096
SIZE = 8 * 1024 * 1024


class SmallDisk:
    """``with SmallDisk(directory) as disk``: ``directory`` is a file system of its own meanwhile.

    It begins with a copy of what was there; afterwards there is again what was there before.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._filler = directory / "filler"

    def __enter__(self) -> Self:
        with tempfile.TemporaryDirectory() as aside:
            shutil.copytree(self.directory, aside, dirs_exist_ok=True)
            words = ("-t", "tmpfs", "-o", f"size={SIZE},mode=0700", "full-disk")
            _run("mount", *words, str(self.directory))
            shutil.copytree(aside, self.directory, dirs_exist_ok=True)
        self.directory.chmod(0o700)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # lazily: a test that failed may have a file open, and is to be heard
        _run("umount", "--lazy", str(self.directory))

    def fill(self, pages_left: int = 0) -> None:
        """Leave room for so many pages of 4096 bytes."""
        size = 0
        with self._filler.open("wb", buffering=0) as filler:
            try:
                while True:
                    size += filler.write(bytes(PAGE))
            except OSError:
                filler.truncate(size - pages_left * PAGE)

    def free(self) -> None:
        """There is room again."""
        self._filler.unlink()


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]}: {done.stderr.strip()} (mounting needs root)")
