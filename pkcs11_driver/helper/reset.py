"""The reset job: from the claimed job to the message that the token works again.

Rules:

1. Everything that can be refused is refused before ``release``: wrong token, one of a family that
   cannot be reset, a PIN that breaks the rules. Until then an interruption leaves nothing behind.
2. The new PIN goes from the person to the token, and into no message.
3. While calls change the token, signals are ignored: half a reset is worse than a late end.
4. What happened is reported until the service has answered; the service would find out by itself,
   but later.
"""

from __future__ import annotations

import contextlib
import secrets
import signal
import threading
from collections.abc import Iterator, Mapping
from typing import cast

from pkcs11_driver import envelope, isolated, operations, wire
from pkcs11_driver.crashpoints import calling, crashpoint
from pkcs11_driver.errors import DriverError, StyleUnsupported
from pkcs11_driver.families import family_of
from pkcs11_driver.helper import modules
from pkcs11_driver.helper.client import ServiceError, ServiceRefused
from pkcs11_driver.helper.dialogue import Next, Refused, one_line
from pkcs11_driver.helper.job import Job, report
from pkcs11_driver.helper.language import later, of_error, say
from pkcs11_driver.operations import Receipt, TokenStatus

LEASE_WAITS = 20
_LEASE_PAUSE = 15.0

STEPS: Mapping[str, str] = {
    "so-login": later("The token lets the service in."),
    "so-pin-incorrect": later("One possible administrator PIN did not fit."),
    "user-pin-set": later("The new PIN is set."),
    "user-pin-unclear": later("The token did not say whether the new PIN is set."),
    "user-login": later("The token takes the new PIN."),
    "challenge-signed": later("Your key signs again."),
    "so-pin-set": later("The administrator PIN is changed."),
    "so-pin-unclear": later("The token did not say whether the administrator PIN is changed."),
    "so-pin-proven": later("The token takes the new administrator PIN."),
}

_ENDS: Mapping[str, str] = {
    "done": later("Done. Use the new PIN from now on."),
    "rotation-due": later(
        "The new PIN works. The service still has to finish its part: leave the token "
        "plugged in and start again with a new code from the page."
    ),
    "unknown": later(
        "It is not certain what the token did. Leave it plugged in and start again with a "
        "new code from the page."
    ),
    "untouched": later("Nothing was changed on the token."),
    "so-pin-refused": later("The token refused the administrator PIN. Nothing was changed."),
    "so-pin-locked": later("The token's administrator PIN is blocked. Nothing was changed."),
}

_NEXT: Mapping[str, str] = {
    "again": later("Get a new code from the page and start again."),
    "office": later("Go to the registration office with the token."),
    "wait": later("The service goes on by itself; the page shows how far it is."),
}


def run(job: Job) -> None:
    """Do the reset job. Returns when the new PIN is set, proven and reported.

    Raises ``Refused``, ``DriverError``, ``ServiceError``: in each the text is for the person.
    """
    if not wire.is_proof_challenge(job.claimed.challenge, job.claimed.job):
        raise Refused(
            say("The service asks for a signature that is no proof. Nothing was changed.")
        )
    try:
        token = _find(job)
        job.dialogue.stage("pin")
        new_pin = job.dialogue.new_pin(job.claimed.pin_rules)
        job.dialogue.stage("change")
        nonce = secrets.token_hex(16)
        released, in_time = _release(job, token, nonce)
    except KeyboardInterrupt:
        raise Refused(
            say("Stopped. Nothing was changed; get a new code to start again."), "again"
        ) from None
    if in_time:
        message, trouble = _at_the_token(job, token, released, nonce, new_pin)
    else:
        message = _report(released.epoch, nonce, "untouched", (), wire.Proof())
        trouble = say("The answer of the service came too late to be used.")
    del new_pin  # the report may have to be repeated for minutes
    _finish(job, message, trouble)


def _find(job: Job) -> TokenStatus:
    serial = job.claimed.token_serial
    job.dialogue.stage("token")
    job.dialogue.tell(say("Token to be reset: {serial}", serial=serial))
    token = modules.expected(job.modules, serial, job.dialogue)
    family = family_of(token.manufacturer, token.model)
    if family is not None and not family.rotates:
        raise StyleUnsupported(family.style)
    job.dialogue.found(one_line(token.label), modules.owner(token), serial)
    return token


def _release(job: Job, token: TokenStatus, nonce: str) -> tuple[wire.Released, bool]:
    """The order, and whether it came in time to be used."""
    user_pin, so_pin = (cast(wire.PinState, state) for state in (token.user_pin, token.so_pin))
    seen = wire.TokenSeen(token.serial, token.label, user_pin, so_pin)
    for _ in range(LEASE_WAITS):
        # the order is made after this: no older than the time that is counted from here
        asked_at = job.clock()
        try:
            with calling("helper.release"):
                released = job.client.release(job.claimed, wire.Release(nonce, seen))
            return released, job.clock() - asked_at < released.expires
        except ServiceRefused as error:
            if error.code != "lease-running":
                raise
            seconds = min(max(error.retry_after or _LEASE_PAUSE, 1.0), 120.0)
            job.dialogue.tell(
                say(
                    "An earlier attempt may still be running; waiting {seconds} seconds.",
                    seconds=f"{seconds:.0f}",
                )
            )
            job.pause(seconds)
    raise Refused(
        say("An earlier attempt is still running. Get a new code later and start again."), "again"
    )


def _at_the_token(
    job: Job, token: TokenStatus, released: wire.Released, nonce: str, new_pin: str
) -> tuple[wire.Report, str]:
    """The report of what was done, and the sentence of what went wrong, empty if nothing."""
    steps: list[str] = []

    def progress(step: str) -> None:
        steps.append(step)
        crashpoint("helper.step")
        if step in STEPS:
            job.dialogue.step(step, say(STEPS[step]))

    try:
        order = _open(job, released, nonce)
        with uninterrupted(), calling("helper.token"):
            receipt = isolated.reset_user_pin(
                token.module,
                token.serial,
                style=released.style,
                candidates=order.candidates,
                next_so_pin=order.next_so_pin,
                new_user_pin=new_pin,
                challenge=job.claimed.challenge,
                key_id=bytes.fromhex(job.claimed.key_id) or None,
                progress=progress,
            )
    except DriverError as error:
        word = operations.outcome(error)
        return _report(released.epoch, nonce, word, tuple(steps), wire.Proof()), of_error(error)
    except (envelope.EnvelopeRefused, ValueError):
        trouble = say("The service's order could not be used by this program.")
        return _report(released.epoch, nonce, "untouched", tuple(steps), wire.Proof()), trouble
    word = operations.outcome(receipt)
    # a call that failed after its effect is no trouble once the next one has proven the effect
    trouble = of_error(receipt.error) if receipt.error and word != "done" else ""
    return _report(released.epoch, nonce, word, receipt.steps, _proof(receipt)), trouble


def _open(job: Job, released: wire.Released, nonce: str) -> wire.Order:
    claimed = job.claimed
    context = wire.order_context(claimed.job, released.epoch, nonce, claimed.token_serial)
    return envelope.open_order(released.sealed, job.private_key, context)


def _proof(receipt: Receipt) -> wire.Proof:
    return wire.Proof(
        receipt.signature, receipt.certificate, receipt.so_pin_in_force, receipt.user_pin_set
    )


def _report(
    epoch: int, nonce: str, outcome: wire.Outcome, steps: tuple[str, ...], proof: wire.Proof
) -> wire.Report:
    return wire.Report(epoch, nonce, outcome, cast(tuple[wire.Step, ...], steps), proof)


def _finish(job: Job, message: wire.Report, trouble: str) -> None:
    end = " ".join(filter(None, (trouble, say(_ENDS[message.outcome]))))
    job.dialogue.stage("report")
    try:
        answer = report(job, message)
    except (ServiceError, KeyboardInterrupt) as error:
        why = str(error) or say("Stopped.")
        untold = say(
            "The service could not be told ({reason}); it finds out by itself. "
            "Look at the page in a few minutes and do what it says.",
            reason=why.rstrip("."),
        )
        raise Refused(f"{end} {untold}", "wait") from None
    if message.outcome == "done" and answer.next == "done":
        job.dialogue.tell(end)
        return
    # the service may see more than the helper: its word on what to do is the last
    following = say(_NEXT.get(answer.next, later("Look at the page.")))
    raise Refused(f"{end} {following}", _word(answer.next))


def _word(answer: str) -> Next:
    return answer if answer in ("again", "office", "wait") else ""  # type: ignore[return-value]


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Ignore the signals that would end the program, where signals are delivered."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    names = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    before = {number: signal.signal(number, signal.SIG_IGN) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
