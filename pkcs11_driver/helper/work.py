"""One job from the code to its end, and the reason when it ends otherwise, for every dialogue."""

from __future__ import annotations

from collections.abc import Sequence

from pkcs11_driver import wire
from pkcs11_driver.errors import DriverError
from pkcs11_driver.helper import approve, reset
from pkcs11_driver.helper.client import Client, ServiceError
from pkcs11_driver.helper.dialogue import Dialogue, Refused, one_line
from pkcs11_driver.helper.job import claim
from pkcs11_driver.helper.language import of_error, say

EXPECTED = (Refused, DriverError, ServiceError, KeyboardInterrupt)


def do(client: Client, code: str, modules: Sequence[str], dialogue: Dialogue) -> wire.Kind:
    """Claim the job of this code and do it. Returns its kind; raises what is ``EXPECTED``."""
    job = claim(client, code, modules, dialogue)
    if job.claimed.kind == "approve":
        approve.run(job)
    else:
        reset.run(job)
    return job.claimed.kind


def reason(error: BaseException) -> str:
    """Why a job ended, on one line, for one of the ``EXPECTED`` errors."""
    if isinstance(error, DriverError):
        return one_line(of_error(error))
    if isinstance(error, KeyboardInterrupt):
        return say("Stopped.")
    return one_line(str(error))
