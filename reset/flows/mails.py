"""Every mail that the service writes: one table from kind to text.

No mail holds a link with a secret, an answer or a PIN; a code mail gets its code when it is sent.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from reset.flows.parts import Parts
from reset.ports import Mail, UnitOfWork


@dataclass(frozen=True)
class Text:
    """Subject and body, with ``{name}`` places for facts."""

    subject: str
    body: str


_NOT_YOU = (
    "\nIf this was not you, tell the registration office or the help desk at once.\n"
    "Nobody from this service ever asks for your PIN, your password or a code.\n"
)

TEXTS: Mapping[str, Text] = {
    "profile-registered": Text(
        "Your questions for resetting a token PIN are registered",
        "Hello {name},\n\nyour challenge questions and your recovery address were registered with "
        "your token certificate.\nYou need to do nothing more. If your token is ever blocked, "
        "go to {public_url}\n" + _NOT_YOU,
    ),
    "profile-changed": Text(
        "Your identity profile was changed",
        "Hello {name},\n\nthis was changed in your identity profile, with your token "
        "certificate:\n{what}\n" + _NOT_YOU,
    ),
    "profile-deleted": Text(
        "Your questions were deleted",
        "Hello {name},\n\nyour challenge questions, recovery addresses and authenticator app were "
        "deleted with your token certificate.\nA blocked token can now only be reset in person at "
        "the registration office.\n" + _NOT_YOU,
    ),
    "address-code": Text(
        "Code to confirm your recovery address",
        "Hello {name},\n\nyour code is: {code}\n\nType it on the page where you registered this "
        "address. It is good for {minutes} minutes and only once.\n" + _NOT_YOU,
    ),
    "second-address-code": Text(
        "Code to confirm your second recovery address",
        "Hello {name},\n\nyour code is: {code}\n\nType it on the page where you registered this "
        "address. It is good for {minutes} minutes and only once.\n" + _NOT_YOU,
    ),
    "rehearsal-due": Text(
        "Do you still know the answers to your questions?",
        "Hello {name},\n\nfor a year nobody has asked you the questions that help you when your "
        "token is blocked. People forget answers: please try now whether you still know yours, "
        "while your token works. It takes about three minutes. Plug in your token and type this "
        "address into your browser:\n{certificate_url}/profile\nNothing can go wrong there: a "
        "wrong answer blocks nothing, and you can register new ones at once.\n" + _NOT_YOU,
    ),
    "certificate-ending": Text(
        "The certificate on your token ends soon",
        "Hello {name},\n\nthe certificate on your token ends on {ends}.\nToken: {token}\n"
        "Please ask the registration office for a new one in good time. Until then you can try "
        "whether you still know the answers to your questions, change them, or register them: "
        "plug in your token and type this address into your browser:\n{certificate_url}/profile\n"
        "Once the certificate has ended, that page does not open with this token.\n" + _NOT_YOU,
    ),
    "reset-code": Text(
        "Your code for resetting your token PIN",
        "Hello {name},\n\nyour code is: {code}\n\nType it on the page where you asked for it. "
        "It is good for {minutes} minutes and only once.\n" + _NOT_YOU,
    ),
    "request-opened": Text(
        "Somebody asked to reset the PIN of your token",
        "Hello {name},\n\na PIN reset was started with your login.\nToken: {token}\n"
        "If it was you, go on at {public_url}\n" + _NOT_YOU,
    ),
    "approver-asked": Text(
        "{holder} asks you to approve a PIN reset",
        "Hello {name},\n\n{holder} has a blocked token and asks you to approve that its PIN "
        "is reset.\nToken: {token}\nPlease make sure that it is really {holder} who asks: "
        "call or meet them.\n"
        "Then log in with your own token at\n{certificate_url}/approvals\nread the statement, and "
        "sign or deny it. The request waits until {until}.\n",
    ),
    "approved": Text(
        "Your PIN reset was approved: go on now",
        "Hello {name},\n\n{approver} approved your PIN reset.\nToken: {token}\n"
        "Log in at {public_url} with the computer that your token is plugged into, and follow "
        "the page. The approval is good until {until}.\n" + _NOT_YOU,
    ),
    "denied": Text(
        "Your PIN reset was not approved",
        "Hello {name},\n\n{approver} did not approve your PIN reset.\nToken: {token}\n"
        "Reason: {reason}\nTalk to {approver} and begin again, or go to the registration office in "
        "person with your token and two photo ids.\n" + _NOT_YOU,
    ),
    "request-expired": Text(
        "Your PIN reset has expired",
        "Hello {name},\n\nthe PIN reset for your token was not finished in time and is closed.\n"
        "Token: {token}\nNothing was changed on it. You can start again at {public_url}\n"
        + _NOT_YOU,
    ),
    "self-service-blocked": Text(
        "Self-service is blocked for you",
        "Hello {name},\n\nthe answers to your questions were wrong too often, so self-service is "
        "blocked for you. Please go to the registration office in person with your token and two "
        "photo ids.\n" + _NOT_YOU,
    ),
    "block-lifted": Text(
        "Self-service works for you again",
        "Hello {name},\n\nthe registration office checked your identity and lifted the block of "
        "your self-service. You can start again at {public_url}\n" + _NOT_YOU,
    ),
    "reset-done": Text(
        "The PIN of your token was reset",
        "Hello {name},\n\nthe PIN of your token was reset on {at}, approved by {approver}.\n"
        "Token: {token}\nYour token works again with the new PIN.\n" + _NOT_YOU,
    ),
    "reset-done-approver": Text(
        "The PIN reset that you approved is done",
        "Hello {name},\n\nthe PIN of a token of {holder} was reset on {at}. You had approved "
        "it.\nToken: {token}\nIf you did not, tell the registration office at once.\n",
    ),
    "referred-to-office": Text(
        "Your token needs the registration office",
        "Hello {name},\n\nthe PIN reset for your token cannot go on from here.\nToken: {token}\n"
        "Please go to the registration office in person with your token and two photo ids. They "
        "see what happened so far.\n",
    ),
    "approver-changed": Text(
        "Your PIN reset was closed: please start again",
        "Hello {name},\n\nwho approved the PIN reset for your token may no longer do so, and the "
        "request was closed.\nToken: {token}\nNothing was changed on it. Start again at "
        "{public_url}: then the right person is asked.\n",
    ),
    "withdrawn": Text(
        "Your PIN reset was closed: please start again",
        "Hello {name},\n\nthe PIN reset for your token could not be carried out and was closed.\n"
        "Token: {token}\nNothing was changed on it. You can start again at {public_url}; tell the "
        "help desk if it happens twice.\n",
    ),
    "approved-for-you": Text(
        "{approver} approved a PIN reset in your place",
        "Hello {name},\n\n{approver}, who stands in for you, approved that the PIN of a token of "
        "{holder} is reset.\nToken: {token}\nIf nobody should stand in for you, end it at "
        "{certificate_url}/delegations and tell the registration office at once.\n",
    ),
    "delegation-made": Text(
        "{delegate} may approve PIN resets in your place",
        "Hello {name},\n\nwith your token certificate you let {delegate} approve PIN resets in "
        "your place from {starts} to {ends}. You can end it at any time at "
        "{certificate_url}/delegations\n" + _NOT_YOU,
    ),
    "delegation-granted": Text(
        "You may approve PIN resets for {principal}",
        "Hello {name},\n\n{principal} lets you approve PIN resets in their place from {starts} "
        "to {ends}. Requests appear at {certificate_url}/approvals\n",
    ),
}

# the change that a mail names; the first two have a text of their own
CHANGES: Mapping[str, str] = {
    "profile-registered": "",
    "profile-deleted": "",
    "questions": "The questions and answers were replaced.",
    "questions-and-recovery": "The questions and answers were replaced, and a new recovery address "
    "waits to be confirmed; until then the old one stays in force.",
    "recovery-waits": "A new recovery address waits to be confirmed; until then the old one stays "
    "in force.",
    "recovery-kept": "The recovery address stays as it was; the change that waited was dropped.",
    "recovery-confirmed": "The recovery address was confirmed. From now on codes go there, and to "
    "no address that it replaced.",
    "second-waits": "A second recovery address waits to be confirmed.",
    "second-kept": "The second recovery address stays as it was; the change that waited was "
    "dropped.",
    "second-confirmed": "A second recovery address was confirmed. From now on codes may go there, "
    "and to no address that it replaced.",
    "second-removed": "The second recovery address was removed. No code goes there any more.",
    "app-registered": "An authenticator app was registered. Its codes count from now on, and no "
    "codes of an app that it replaced.",
    "app-removed": "The authenticator app was removed. Its codes do not count any more.",
}


def post(
    parts: Parts, uow: UnitOfWork, uid: str, kind: str, *,
    boxes: tuple[str, ...] = ("directory", "recovery"), code_id: str = "", **facts: str,
) -> None:  # fmt: skip
    """Put one mail per box into the outbox of this transaction.

    A box that has no address when the mail is due is passed over then; what goes to ``recovery``
    and is no code goes to the second address, too. ``facts["token"]``, a serial, is told with the
    token's label.
    """
    if kind not in TEXTS:
        raise RuntimeError(f"unknown mail {kind}")
    token = uow.tokens.get(facts["token"]) if "token" in facts else None
    if token:
        named = token.label != token.serial
        facts["token"] = f"{token.label}, number {token.serial}" if named else token.serial
    if "recovery" in boxes and not code_id and uow.profiles.second_address(uid):
        boxes = (*boxes, "second")
    for box in boxes:
        uow.outbox.add(Mail(parts.new_id(), uid, box, kind, facts, code_id, parts.clock.now()))


def post_change(
    parts: Parts, uow: UnitOfWork, uid: str, change: str, gone: Iterable[str] = ()
) -> None:
    """Tell every known address of a change of the profile, after it was stored.

    ``change``: a key of ``CHANGES``; ``gone``: addresses that it took out, empty ones are none.
    """
    words, now = CHANGES[change], parts.clock.now()
    kind = "profile-changed" if words else change
    post(parts, uow, uid, kind, what=words)
    for address in filter(None, gone):
        facts = {"what": words}
        uow.outbox.add(Mail(parts.new_id(), uid, "former", kind, facts, "", now, address=address))


def write(parts: Parts, mail: Mail, name: str, code: str) -> tuple[str, str]:
    """Subject and body of a mail; ``code`` only for code mails, else empty."""
    text = TEXTS[mail.kind]
    facts = {
        "name": name,
        "code": code,
        "minutes": str(int(parts.policy.code_age.total_seconds() // 60)),
        "public_url": parts.public_url,
        "certificate_url": parts.certificate_url,
        **mail.facts,
    }
    return text.subject.format_map(facts), text.body.format_map(facts)
