"""The process that ``isolated`` starts: one job on standard input, then the end.

It leaves no core dump, keeps what the module prints off its answers, and watches its standard
input: when that ends, the caller is gone, so no further call is made and the process ends.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import signal
import sys
import threading
import typing

from pkcs11_driver import library, memory, operations, wire
from pkcs11_driver.errors import DriverError
from pkcs11_driver.isolated import error_to, receipt_to
from pkcs11_driver.receipt import Receipt

# a call that is under way when the caller dies is let finish: a token may be writing
_LAST_CALL_SECONDS = 10.0
# the caller's deadline is the first limit; this one holds when the caller is gone as well
_WHOLE_LIFE_SECONDS = 900


class CallerGone(BaseException):
    """The caller does not listen any more."""


def main() -> None:
    """Do the job on standard input. Never returns."""
    memory.keep_private()
    # no process outlives its use; there is no such signal on Windows
    if hasattr(signal, "alarm"):
        signal.alarm(_WHOLE_LIFE_SECONDS)
    caller = Caller()
    job = json.loads(sys.stdin.buffer.readline())
    module = job.pop("module")
    threading.Thread(target=caller.watch, daemon=True).start()
    try:
        answer = _done(job.pop("operation"), module, _arguments(job), caller)
    except DriverError as error:
        answer = {"error": error_to(error)}
    except CallerGone:
        os._exit(1)
    with contextlib.suppress(CallerGone):
        caller.tell(answer)
    library.finalize(module)
    # nothing of the module runs any more, not even what it registered for the end
    os._exit(0)


class Caller:
    """The pipe to the caller, away from the standard streams that the module may write to."""

    def __init__(self) -> None:
        self.pipe = os.fdopen(os.dup(1), "wb")
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.close(nowhere)
        self.gone = False

    def tell(self, message: typing.Mapping[str, object]) -> None:
        """Send one message. Raises ``CallerGone``."""
        try:
            self.pipe.write(json.dumps(message).encode() + b"\n")
            self.pipe.flush()
        except OSError:
            raise CallerGone from None
        if self.gone:
            raise CallerGone

    def told(self, call: str, step: str, now: Receipt | None) -> None:
        """Send where a reset is. Raises ``CallerGone``, so that the call is not made."""
        self.tell({"about": call, "step": step, "now": receipt_to(now) if now else None})

    def watch(self) -> None:
        """Wait for the end of the input, then see to the end of the process."""
        while sys.stdin.buffer.read(1):
            continue
        self.gone = True
        threading.Event().wait(_LAST_CALL_SECONDS)
        os._exit(1)


def _done(
    operation: str, module: str, arguments: dict[str, typing.Any], caller: Caller
) -> dict[str, object]:
    if operation == "reset_user_pin":
        receipt = operations.reset_user_pin(module, **arguments, watch=caller.told)
        return {"receipt": receipt_to(receipt)}
    caller.tell({"about": operation})
    value = getattr(operations, operation)(module, **arguments)
    if isinstance(value, list):
        return {"value": [wire.to_json(item) for item in value]}
    return {"value": value if isinstance(value, str) else wire.to_json(value)}


def _arguments(job: dict[str, typing.Any]) -> dict[str, typing.Any]:
    return {
        name: base64.b64decode(value["base64"]) if isinstance(value, dict) else value
        for name, value in job.items()
    }
