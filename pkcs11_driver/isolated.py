"""The operations on tokens, each in a process of its own with a deadline for each call.

A module that crashes, hangs, prints or leaves a session open costs one operation, never the caller.

Rules:

1. Secrets go to the child by its standard input, never by arguments or environment.
2. The child tells each call before it is made, with the receipt that holds if it never comes back.
   The caller so knows after a crash or a hang exactly what happened: nothing before the first
   changing call was told (``ModuleCrashed``, ``ModuleHangs``), "unknown" for what was under way.
3. No word from the child for the deadline ends it. A child whose caller is gone makes no further
   call and ends itself.
4. Everything is read as plain JSON: a module that took over its process cannot take the caller's.
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence

from pkcs11_driver import wire
from pkcs11_driver.errors import DriverError, ModuleCrashed, ModuleHangs, rebuilt
from pkcs11_driver.operations import TokenStatus
from pkcs11_driver.receipt import Receipt
from pkcs11_driver.resetting import check_candidates
from pkcs11_driver.signing import Signed

LIST_SECONDS = 30.0
CALL_SECONDS = 60.0
# a one-file build has no interpreter to call: it calls itself with this single argument
CHILD = "--token-operation"
_GOODBYE_SECONDS = 5.0
_PROGRAM = (
    "import json, sys; sys.path[:] = json.loads(sys.stdin.buffer.readline()); "
    "from pkcs11_driver.child import main; main()"
)

Message = Mapping[str, typing.Any]


def list_tokens(module: str, *, deadline: float = LIST_SECONDS) -> list[TokenStatus]:
    """As ``operations.list_tokens``; ``deadline`` in seconds.

    Raises ``ModuleCrashed`` and ``ModuleHangs`` as well.
    """
    value = _value(module, "list_tokens", {}, deadline)
    return [wire.from_json(TokenStatus, item) for item in value]


def detect_style(module: str, serial: str, *, deadline: float = LIST_SECONDS) -> str:
    """As ``operations.detect_style``; ``deadline`` in seconds.

    Raises ``ModuleCrashed`` and ``ModuleHangs`` as well.
    """
    return str(_value(module, "detect_style", {"serial": serial}, deadline))


def sign(
    module: str,
    serial: str,
    *,
    user_pin: str,
    data: bytes,
    key_id: bytes | None = None,
    deadline: float = CALL_SECONDS,
) -> Signed:
    """As ``operations.sign``; ``deadline`` in seconds.

    Raises ``ModuleCrashed`` and ``ModuleHangs`` as well; a try may then be spent.
    """
    arguments = {"serial": serial, "user_pin": user_pin, "data": data, "key_id": key_id}
    return wire.from_json(Signed, _value(module, "sign", arguments, deadline))


def reset_user_pin(
    module: str,
    serial: str,
    *,
    style: str,
    candidates: Sequence[str],
    next_so_pin: str,
    new_user_pin: str,
    challenge: bytes,
    key_id: bytes | None = None,
    progress: Callable[[str], None] | None = None,
    deadline: float = CALL_SECONDS,
) -> Receipt:
    """As ``operations.reset_user_pin``; ``deadline`` in seconds for each call.

    Raises ``ModuleCrashed`` and ``ModuleHangs`` as well, while nothing has changed; afterwards
    they are the receipt's error.
    """
    check_candidates(candidates)
    arguments = {
        "serial": serial,
        "style": style,
        "candidates": list(candidates),
        "next_so_pin": next_so_pin,
        "new_user_pin": new_user_pin,
        "challenge": challenge,
        "key_id": key_id,
    }
    now: Receipt | None = None
    try:
        for message in _conversation(module, "reset_user_pin", arguments, deadline):
            if "receipt" in message:
                return receipt_from(message["receipt"])
            now = receipt_from(message["now"]) if message["now"] else None
            if message["step"] and progress is not None:
                with contextlib.suppress(Exception):
                    progress(message["step"])
    except (ModuleCrashed, ModuleHangs) as error:
        if now is None:
            raise
        return dataclasses.replace(now, error=now.error or error)
    raise RuntimeError("a conversation ends with an answer or an error")


def receipt_to(receipt: Receipt) -> dict[str, object]:
    """A receipt as JSON."""
    plain = wire.to_json(dataclasses.replace(receipt, error=None))
    return {**plain, "error": receipt.error and error_to(receipt.error)}


def receipt_from(raw: Message) -> Receipt:
    """A receipt from JSON."""
    return Receipt(
        tuple(raw["steps"]),
        raw["so_pin_in_force"],
        raw["user_pin_set"],
        base64.b64decode(raw["signature"]),
        base64.b64decode(raw["certificate"]),
        error_from(raw["error"]) if raw["error"] else None,
    )


def error_to(error: DriverError) -> dict[str, object]:
    """An error as JSON."""
    return {"code": error.code, "data": dict(error.data)}


def error_from(raw: Message) -> DriverError:
    """An error from JSON."""
    data = {k: tuple(v) if isinstance(v, list) else v for k, v in raw["data"].items()}
    return rebuilt(raw["code"], data)


def _value(module: str, operation: str, arguments: Message, deadline: float) -> typing.Any:  # noqa: ANN401
    for message in _conversation(module, operation, arguments, deadline):
        if "value" in message:
            return message["value"]
    raise RuntimeError("a conversation ends with an answer or an error")


def _conversation(
    module: str, operation: str, arguments: Message, deadline: float
) -> Iterator[Message]:
    """What the child says, until its answer. Raises its error, ``ModuleCrashed``, ``ModuleHangs``.

    However it is left, the child has ended.
    """
    job = {"module": module, "operation": operation, **_plain(arguments)}
    during = "start"
    with _child(job) as (process, said):
        while True:
            try:
                line = said.get(timeout=deadline)
            except queue.Empty:
                raise ModuleHangs(module, during, round(deadline)) from None
            message = _parsed(line)
            if message is None:
                raise ModuleCrashed(module, during, _how_it_ended(process))
            if "error" in message:
                _let_go(process)
                raise error_from(message["error"])
            if "about" in message:
                during = message["about"] or during
            else:
                _let_go(process)
            yield message


def _plain(arguments: Message) -> dict[str, object]:
    """Arguments of an operation as JSON; bytes become base64 and are named so."""
    return {
        name: {"base64": base64.b64encode(value).decode()} if isinstance(value, bytes) else value
        for name, value in arguments.items()
    }


def _parsed(line: bytes) -> Message | None:
    """The message, None for the end of the stream or for what is none."""
    with contextlib.suppress(ValueError):
        message = json.loads(line)
        if isinstance(message, dict):
            return message
    return None


def _command() -> list[str]:
    if getattr(sys, "frozen", False):
        return [sys.executable, CHILD]
    # isolated: nothing is imported from the directory that the program was started in
    return [sys.executable, "-I", "-c", _PROGRAM]


@contextlib.contextmanager
def _child(job: Message) -> Iterator[tuple[subprocess.Popen[bytes], queue.Queue[bytes]]]:
    apart: dict[str, typing.Any] = {"start_new_session": True}
    if sys.platform == "win32":
        apart = {"creationflags": subprocess.CREATE_NO_WINDOW | subprocess.CREATE_NEW_PROCESS_GROUP}
    try:
        process = subprocess.Popen(  # noqa: S603 - ourselves
            _command(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # what a module prints is not ours to show: some print PINs when asked to debug
            stderr=subprocess.DEVNULL,
            **apart,
        )
    except OSError as error:
        raise ModuleCrashed(job["module"], "start", error.strerror or "no process") from None
    assert process.stdin is not None
    assert process.stdout is not None
    said: queue.Queue[bytes] = queue.Queue()
    reader = threading.Thread(target=_read, args=(process.stdout, said), daemon=True)
    reader.start()
    try:
        # a child that died already is seen by the end of its output
        with contextlib.suppress(OSError):
            for line in (sys.path, job):
                process.stdin.write(json.dumps(line).encode() + b"\n")
            process.stdin.flush()
        yield process, said
    finally:
        process.kill()
        process.wait()
        # a process that the module started may hold the pipe open
        reader.join(1.0)
        with contextlib.suppress(OSError):
            process.stdin.close()
        if not reader.is_alive():
            process.stdout.close()


def _read(answers: typing.IO[bytes], said: queue.Queue[bytes]) -> None:
    for line in answers:
        said.put(line)
    said.put(b"")


def _let_go(process: subprocess.Popen[bytes]) -> None:
    """After its answer the child ends by itself; a module that hangs at the end is cut off."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_GOODBYE_SECONDS)


def _how_it_ended(process: subprocess.Popen[bytes]) -> str:
    try:
        code = process.wait(_GOODBYE_SECONDS)
    except subprocess.TimeoutExpired:
        return "no answer"
    if code < 0:
        with contextlib.suppress(ValueError):
            return signal.Signals(-code).name
    return f"exit {code}"


def be_the_child(arguments: Sequence[str]) -> None:
    """Where a one-file build called itself to be the child: be it, and end the process."""
    if list(arguments) == [CHILD] and getattr(sys, "frozen", False):
        from pkcs11_driver.child import main

        sys.stdin.buffer.readline()
        main()
        os._exit(0)
