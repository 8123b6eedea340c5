"""Pairing: trade the code for a job, and check that page and helper speak of the same one."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib import metadata

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from pkcs11_driver import wire
from pkcs11_driver.crashpoints import calling
from pkcs11_driver.helper.client import Client, ServiceError, ServiceRefused, ServiceUnreachable
from pkcs11_driver.helper.dialogue import Dialogue, Refused
from pkcs11_driver.helper.language import say

REPORT_FOR = 600.0


@dataclass(frozen=True)
class Job:
    """One claimed job and what its flow works with. ``pause`` waits for seconds; ``clock`` tells
    seconds that never run backwards."""

    client: Client
    claimed: wire.Claimed
    private_key: X25519PrivateKey = field(repr=False)
    modules: Sequence[str]
    dialogue: Dialogue
    pause: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic


def version() -> str:
    """The version of the installed helper."""
    try:
        return metadata.version("token-reset")
    except metadata.PackageNotFoundError:
        return "unknown"


def claim(client: Client, code: str, modules: Sequence[str], dialogue: Dialogue) -> Job:
    """Spend the pairing code on a job, with a fresh key that only this process knows.

    Raises ``ServiceError``; ``Refused`` when the confirmation words do not fit the helper's key,
    or the person sees others on the page.
    """
    dialogue.stage("code")
    private_key = X25519PrivateKey.generate()
    public_key = private_key.public_key().public_bytes_raw()
    with calling("helper.claim"):
        claimed = client.claim(wire.Claim(code, public_key, version()))
    if claimed.words != wire.confirmation_words(claimed.job, public_key):
        raise Refused(
            say("The service took another program's key for this one's. Nothing was changed.")
        )
    dialogue.begins(claimed.kind)
    dialogue.stage("words")
    dialogue.words(claimed.words)
    return Job(client, claimed, private_key, modules, dialogue)


def report(job: Job, message: wire.Report) -> wire.JobState:
    """Report until the service has answered, for ten minutes at most.

    Raises ``ServiceRefused`` with the service's answer, ``ServiceUnreachable`` when time is up.
    """
    end = job.clock() + REPORT_FOR
    seconds = 2.0
    told = False
    while True:
        try:
            with calling("helper.report"):
                return job.client.report(job.claimed, message)
        except ServiceRefused as error:
            # below 500 the service has decided; from 500 on it has not
            if error.status < 500:
                raise
            last: ServiceError = error
        except ServiceError as error:
            last = error
        if job.clock() + seconds > end:
            raise ServiceUnreachable(str(last))
        if not told:
            job.dialogue.tell(say("{reason} Trying again; leave this open.", reason=last))
            told = True
        job.pause(seconds)
        seconds = min(seconds * 2, 30.0)
