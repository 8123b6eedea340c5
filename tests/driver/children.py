"""Run one function in a process of its own: the test process never loads a PKCS#11 module."""

from __future__ import annotations

import multiprocessing
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

TIMEOUT = 60


@dataclass(frozen=True)
class Ran:
    """``value`` that was returned, or ``error`` that was raised with the text of its traceback."""

    value: Any = None
    error: Exception | None = None
    trace: str = ""


def run(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Ran:
    """Call ``function`` in a fresh process and wait for it."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe(duplex=False)
    child = context.Process(target=_work, args=(there, function, args, kwargs))
    child.start()
    there.close()
    try:
        assert here.poll(TIMEOUT), "the child gave no answer"
        ran: Ran = here.recv()
    finally:
        here.close()
        child.join(5)
        child.kill()
        child.join()
    return ran


def value(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """The value that ``function`` returns in a fresh process."""
    ran = run(function, *args, **kwargs)
    assert ran.error is None, ran.trace
    return ran.value


def error(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """The exception that ``function`` raises in a fresh process."""
    ran = run(function, *args, **kwargs)
    assert ran.error is not None, ran.value
    return ran.error


def _work(
    answer: Connection, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    try:
        answer.send(Ran(function(*args, **kwargs)))
    except Exception as failure:  # noqa: BLE001 - what it raised is the result
        answer.send(Ran(error=failure, trace=traceback.format_exc()))
