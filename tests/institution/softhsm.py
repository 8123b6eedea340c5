"""A SoftHSM that does not answer."""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def hanging(store: Path) -> Iterator[None]:
    """Calls about tokens in this directory wait: SoftHSM does while somebody else holds a lock."""
    with contextlib.ExitStack() as held:
        for path in store.glob("*/*"):
            fcntl.lockf(held.enter_context(path.open("r+")), fcntl.LOCK_EX)
        yield
