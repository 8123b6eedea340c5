"""The approve job: show the statement, and sign it with the approver's key if told to.

A wrong PIN is never tried again by the program: the person is told what the token says of its
tries, from its flags as they are then, and asked; not where one try is left (``tries``).
"""

from __future__ import annotations

import secrets

from pkcs11_driver import isolated, wire
from pkcs11_driver.errors import DriverError, PinIncorrect
from pkcs11_driver.helper import modules, tries
from pkcs11_driver.helper.client import ServiceError
from pkcs11_driver.helper.cms import signed_statement
from pkcs11_driver.helper.dialogue import Refused, one_line, readable
from pkcs11_driver.helper.job import Job, report
from pkcs11_driver.helper.language import of_error, say
from pkcs11_driver.operations import Signed, TokenStatus


def run(job: Job) -> None:
    """Do the approve job. Returns when the service has the signature.

    Raises ``Refused``, ``DriverError``, ``ServiceError``: in each the text is for the person.
    """
    try:
        cms, certificate = _signature(job)
    except KeyboardInterrupt:
        raise Refused(say("Stopped. Nothing was sent to the service.")) from None
    message = wire.Report(
        0,
        secrets.token_hex(16),
        "signed",
        ("statement-signed",),
        wire.Proof(signature=cms, certificate=certificate),
    )
    job.dialogue.stage("report")
    try:
        answer = report(job, message)
    except KeyboardInterrupt:
        raise Refused(say("Stopped. The service may not have the signature.")) from None
    except ServiceError as error:
        raise Refused(say("The signature did not count: {reason}", reason=error)) from None
    if answer.next not in ("done", "wait"):
        raise Refused(
            say("The service has the signature, but the request is {state}.", state=answer.state)
        )
    job.dialogue.tell(say("Signed. The service has your approval."))


def _signature(job: Job) -> tuple[bytes, bytes]:
    try:
        text = job.claimed.challenge.decode()
    except UnicodeDecodeError:
        raise Refused(say("The statement is not text. Nothing was signed.")) from None
    job.dialogue.stage("statement")
    if not job.dialogue.agree(readable(text)):
        raise Refused(say("Nothing was signed."))
    job.dialogue.stage("token")
    token = _token(job)
    job.dialogue.stage("pin")
    certificate = b""

    def sign(attributes: bytes) -> Signed:
        nonlocal certificate
        signed = _ask_and_sign(job, token, attributes)
        certificate = signed.certificate
        return signed

    return signed_statement(job.claimed.challenge, sign), certificate


def _token(job: Job) -> TokenStatus:
    """The approver's token: the named one, or the only one with a certificate."""
    if job.claimed.token_serial:
        return modules.expected(job.modules, job.claimed.token_serial, job.dialogue)
    while True:
        seen = modules.tokens(job.modules)
        usable = [token for token in seen if token.serial and token.certificates]
        if len(usable) == 1:
            return usable[0]
        if not job.dialogue.plug_in("", [modules.describe(token) for token in seen]):
            raise Refused(
                say("Plug in your own token, and no other, and start again with a new code.")
            )


def _ask_and_sign(job: Job, token: TokenStatus, attributes: bytes) -> Signed:
    wrong = ""
    while True:
        state = _user_pin_state(token)
        said = tries.note(state, after_a_wrong_pin=bool(wrong))
        notes = [note for note in (wrong, said) if note]
        if tries.may_be_the_last(state):
            raise Refused(" ".join([*notes, say("Nothing was signed.")]))
        pin = job.dialogue.pin(one_line(token.label), notes)
        if not pin:
            raise Refused(say("Nothing was signed."))
        key_id = bytes.fromhex(job.claimed.key_id) or None
        try:
            return isolated.sign(
                token.module, token.serial, user_pin=pin, data=attributes, key_id=key_id
            )
        except PinIncorrect as error:
            wrong = of_error(error)


def _user_pin_state(token: TokenStatus) -> str:
    try:
        listed = isolated.list_tokens(token.module)
    except DriverError:
        return token.user_pin
    return next((t.user_pin for t in listed if t.serial == token.serial), token.user_pin)
