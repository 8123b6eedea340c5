"""The memory of a process that holds PINs: never on a disk, and no other process looks in."""

from __future__ import annotations

import contextlib
import ctypes
import sys

_PR_SET_DUMPABLE = 4


def keep_private() -> None:
    """No core file; on Linux no dump to a program either, and no debugger of the same user.

    A ``core_pattern`` with a pipe, as many desktops have one, heeds no RLIMIT_CORE (core(5));
    PR_SET_DUMPABLE (prctl(2)) rules both, and ends with the next ``execve``.
    """
    # the module is there on Unix only
    with contextlib.suppress(ImportError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
