"""The reset job: from the claimed job to the message that the token works again.

Rules:

1. Everything that can be refused is refused before ``release``: wrong token, unsupported style,
   a PIN that breaks the rules. Until then an interruption leaves nothing behind.
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

from pkcs11_driver import envelope, operations, styles, wire
from pkcs11_driver.errors import DriverError, sentence
from pkcs11_driver.helper import modules
from pkcs11_driver.helper.client import ServiceError, ServiceRefused
from pkcs11_driver.helper.dialogue import Dialogue, Refused
from pkcs11_driver.helper.job import Job, report
from pkcs11_driver.operations import Receipt, TokenStatus

LEASE_WAITS = 20
_LEASE_PAUSE = 15.0

_STEPS: Mapping[str, str] = {
    "so-login": "The token lets the service in.",
    "so-pin-incorrect": "An older administrator PIN did not fit.",
    "user-pin-set": "The new PIN is set.",
    "user-pin-unclear": "The token did not say whether the new PIN is set.",
    "user-login": "The token takes the new PIN.",
    "challenge-signed": "Your key signs again.",
    "so-pin-set": "The administrator PIN is changed.",
    "so-pin-unclear": "The token did not say whether the administrator PIN is changed.",
    "so-pin-proven": "The token takes the new administrator PIN.",
}

_PIN_RULES: Mapping[str, str] = {
    "too-short": "it needs at least {minimum} characters",
    "too-long": "it may have at most {maximum} characters",
    "classes": "it needs {classes} of these four: digits, capital letters, small letters, "
    "special characters",
    "forbidden": "it may have none of {forbidden}",
    "unprintable": "it may have only characters that can be shown",
}

_ENDS: Mapping[str, str] = {
    "done": "Done. Use the new PIN from now on.",
    "rotation-due": "The new PIN works. The service still has to finish its part: leave the token "
    "plugged in and start again with a new code from the page.",
    "unknown": "It is not certain what the token did. Leave it plugged in and start again with a "
    "new code from the page.",
    "untouched": "Nothing was changed on the token.",
    "so-pin-refused": "The token refused the administrator PIN. Nothing was changed.",
    "so-pin-locked": "The token's administrator PIN is blocked. Nothing was changed.",
}

_NEXT: Mapping[str, str] = {
    "again": "Get a new code from the page and start again.",
    "office": "Go to the registration office with the token.",
    "wait": "The service goes on by itself; the page shows how far it is.",
}


def run(job: Job) -> None:
    """Do the reset job. Returns when the new PIN is set, proven and reported.

    Raises ``Refused``, ``DriverError``, ``ServiceError``: in each the text is for the person.
    """
    if not wire.is_proof_challenge(job.claimed.challenge, job.claimed.job):
        raise Refused("The service asks for a signature that is no proof. Nothing was changed.")
    try:
        token = _find(job)
        new_pin = ask_new_pin(job.dialogue, job.claimed.pin_rules)
        nonce = secrets.token_hex(16)
        asked_at = job.clock()
        released = _release(job, token, nonce)
    except KeyboardInterrupt:
        raise Refused("Stopped. Nothing was changed; get a new code to start again.") from None
    in_time = job.clock() - asked_at < released.expires
    if in_time:
        message, trouble = _at_the_token(job, token, released, nonce, new_pin)
    else:
        message = _report(released.epoch, nonce, "untouched", (), wire.Proof())
        trouble = "The answer of the service came too late to be used."
    _finish(job, message, trouble)


def _find(job: Job) -> TokenStatus:
    serial = job.claimed.token_serial
    job.dialogue.tell(f"Token to be reset: {serial}")
    token = modules.expected(job.modules, serial, job.dialogue)
    styles.adapter(operations.detect_style(token.module, serial))
    job.dialogue.tell(f"Found: {token.label}. Leave it plugged in until this program says so.")
    return token


def ask_new_pin(dialogue: Dialogue, rules: wire.PinRules) -> str:
    """Ask for the new PIN until it keeps the rules and was typed the same twice (S1.12-S1.15).

    Raises ``Refused`` when no answer comes.
    """
    while True:
        pin = dialogue.ask_secret("New PIN:")
        broken = wire.broken_pin_rules(pin, rules)
        if broken:
            reasons = "; ".join(_PIN_RULES[name] for name in broken).format(
                minimum=rules.minimum,
                maximum=rules.maximum,
                classes=rules.classes,
                forbidden=" ".join(rules.forbidden),
            )
            dialogue.tell(f"This PIN cannot be used: {reasons}.")
        elif dialogue.ask_secret("The new PIN once more:") != pin:
            dialogue.tell("The two were not the same.")
        else:
            return pin


def _release(job: Job, token: TokenStatus, nonce: str) -> wire.Released:
    user_pin, so_pin = (cast(wire.PinState, state) for state in (token.user_pin, token.so_pin))
    seen = wire.TokenSeen(token.serial, token.label, user_pin, so_pin)
    for _ in range(LEASE_WAITS):
        try:
            return job.client.release(job.claimed, wire.Release(nonce, seen))
        except ServiceRefused as error:
            if error.code != "lease-running":
                raise
            seconds = min(max(error.retry_after or _LEASE_PAUSE, 1.0), 120.0)
            job.dialogue.tell(
                f"An earlier attempt may still be running; waiting {seconds:.0f} seconds."
            )
            job.pause(seconds)
    raise Refused("An earlier attempt is still running. Get a new code later and start again.")


def _at_the_token(
    job: Job, token: TokenStatus, released: wire.Released, nonce: str, new_pin: str
) -> tuple[wire.Report, str]:
    """The report of what was done, and the sentence of what went wrong, empty if nothing."""
    steps: list[str] = []

    def progress(step: str) -> None:
        steps.append(step)
        if step in _STEPS:
            job.dialogue.tell(_STEPS[step])

    try:
        order = _open(job, released, nonce)
        with uninterrupted():
            receipt = operations.reset_user_pin(
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
        return _report(released.epoch, nonce, word, tuple(steps), wire.Proof()), sentence(error)
    except (envelope.EnvelopeRefused, ValueError):
        trouble = "The service's order could not be used by this program."
        return _report(released.epoch, nonce, "untouched", tuple(steps), wire.Proof()), trouble
    trouble = sentence(receipt.error) if receipt.error else ""
    word = operations.outcome(receipt)
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
    end = " ".join(filter(None, (trouble, _ENDS[message.outcome])))
    try:
        answer = report(job, message)
    except (ServiceError, KeyboardInterrupt) as error:
        why = str(error) or "Stopped."
        raise Refused(
            f"{end} The service could not be told ({why.rstrip('.')}); it finds out by itself. "
            "Look at the page in a few minutes and do what it says."
        ) from None
    if message.outcome == "done" and answer.next == "done":
        job.dialogue.tell(end)
        return
    # the service may see more than the helper: its word on what to do is the last
    following = _NEXT.get(answer.next, "Look at the page.")
    raise Refused(f"{end} {following}")


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
