"""Named points at which a test lets a process die, to see what recovers it.

Nothing happens unless whoever starts the process sets one of these variables of its environment,
read once at import:

- ``FAILPOINTS=name:n``: SIGKILL to itself at the n-th pass of this process through ``name``.
  ``FAILPOINTS_FIRED=file`` is made just before; while it is there, nothing is killed any more.
- ``FAILPOINTS_TRACE=file``: the name of each pass is appended and on disk before it goes on.

``NAMES`` has every point and where it lies; another name is our own bug and raises ``ValueError``.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from typing import TypeVar

T = TypeVar("T")

# a pair of points for each: before and after
_COMMITS = {
    "service.claim": "the commit of a helper's claim",
    "service.intent": "the commit of the intent",
    "service.sent": "the commit of epoch, nonce, lease and debit",
    "service.order": "the commit of the order's ciphertext",
    "service.done": "the commit of the proven end",
    "service.unknown": "the commit of a report that leaves the end open",
    "service.lapsed": "the commit that a lease is over",
    "service.refusal": "the audit entry of a refused release",
    "service.office": "the commit that only the office goes on",
    "service.withdrawn": "the commit that an operation without an order ends",
    "service.settled": "the mark that the custodian knows the end",
    "custodian.store": "the ledger's commit of a sealed SO PIN",
    "custodian.release": "the ledger's commit of a release",
    "custodian.settle": "the ledger's commit of an end",
}
_CALLS = {
    "custodian.seal": "the HSM's sealing of a new SO PIN",
    "custodian.open": "the HSM's opening of an SO PIN",
    "custodian.reply": "sending the reply to a call on custody",
    "service.ask-store": "the call of the custodian for the next SO PIN",
    "service.ask-release": "the call of the custodian for the order",
    "service.ask-settle": "the call that tells the custodian the end",
    "helper.claim": "sending the pairing code, receiving the job",
    "helper.release": "asking for the order, receiving it",
    "helper.token": "the work on the token as a whole",
    "helper.report": "sending the report, receiving its answer",
    "token.so-login": "a login as SO",
    "token.set-user-pin": "C_InitPIN",
    "token.user-login": "the login with the new PIN",
    "token.sign": "signing the challenge",
    "token.set-so-pin": "C_SetPIN",
    "token.prove-so-pin": "the login with the next SO PIN",
}
_SINGLE = {
    "custodian.received": "hearing of a call on custody, before anything is done",
    "helper.step": "hearing of a step on the token",
}

NAMES: Mapping[str, str] = {
    **{
        f"{name}.{side}": f"{side} {what}"
        for name, what in {**_COMMITS, **_CALLS}.items()
        for side in ("before", "after")
    },
    **_SINGLE,
}

_NAME, _, _COUNT = os.environ.get("FAILPOINTS", "").partition(":")
_FIRED = os.environ.get("FAILPOINTS_FIRED", "")
_TRACE = os.environ.get("FAILPOINTS_TRACE", "")
_passes: dict[str, int] = {}


def crashpoint(name: str) -> None:
    """Pass the point ``name``."""
    if name not in NAMES:
        raise ValueError(f"no such crash point: {name}")
    if _TRACE:
        _append(name)
    if name == _NAME:
        _passes[name] = _passes.get(name, 0) + 1
        if _passes[name] == int(_COUNT or 1) and _first():
            os.kill(os.getpid(), signal.SIGKILL)


@contextlib.contextmanager
def committing(name: str, transaction: AbstractContextManager[T]) -> Iterator[T]:
    """``transaction`` with a point right before its commit and one right after it."""
    with transaction as inside:
        yield inside
        crashpoint(f"{name}.before")
    crashpoint(f"{name}.after")


@contextlib.contextmanager
def calling(name: str) -> Iterator[None]:
    """A point before what is inside, and one after it when it raised nothing."""
    crashpoint(f"{name}.before")
    yield
    crashpoint(f"{name}.after")


def _append(name: str) -> None:
    handle = os.open(_TRACE, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(handle, f"{name}\n".encode())
        os.fsync(handle)
    finally:
        os.close(handle)


def _first() -> bool:
    """False once a process with these settings has died."""
    if not _FIRED:
        return True
    try:
        os.close(os.open(_FIRED, os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        return False
    return True
