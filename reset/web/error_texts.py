"""The one table from an error's code to its status and its words for people.

Every sentence says what happened, then what to do next and how long it takes. Places in braces are
filled from the error's data; ``{wait}`` from ``retry_after``. A key ``code:word`` is a variant for
the error's ``reason``, ``rule``, ``why`` or ``missing``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Words:
    """Status, title, what happened, and what to do next.

    ``retry_after``: seconds until it is worth trying again, where the error's data does not say.
    """

    status: int
    title: str
    happened: str
    then: str
    retry_after: int = 0

    @property
    def detail(self) -> str:
        """Both sentences."""
        return f"{self.happened} {self.then}"


_OFFICE = (
    "Go to the registration office in person with your token and two photo ids; "
    "there it takes about 15 minutes."
)
_LATER = "Nothing was lost. Please try again in {wait}."
_AGAIN = "Go back and try again; if it happens twice, tell the help desk."

WORDS: Mapping[str, Words] = {
    "refused": Words(400, "This was refused", "The service refused this step.", _AGAIN),
    "settings-refused": Words(
        500, "The service is not set up", "The settings of the service are not complete.",
        "Please tell the help desk.",
    ),
    # --- input and access
    "bad-input": Words(
        400, "Something in the form is not right", "The form could not be read as it was sent.",
        "Nothing was changed. Go back, check the fields and send it again.",
    ),
    "not-found": Words(
        404, "There is nothing here",
        "The address is wrong, or what it showed does not exist or is not yours.",
        "Go to the start page: it lists everything that is yours.",
    ),
    "forbidden": Words(
        403, "You may not do this", "Your role does not allow this step.",
        "If you need it, ask the administrators of the service.",
    ),
    "forbidden:oneself": Words(
        403, "Not for yourself", "Nobody acts as the office for their own token.",
        "Ask a colleague of the registration office.",
    ),
    "login-needed": Words(
        401, "Please log in", "You are not logged in, or your session has ended.",
        "Log in and go on where you were; it takes less than a minute.",
    ),
    "login-refused": Words(
        401, "The login did not work", "Login name or password is not right.",
        "Check both and try again. If you forgot your password, ask the help desk.",
    ),
    "sign-on-refused": Words(
        401, "The single sign-on did not work",
        "Your single sign-on did not tell who you are.",
        "Nothing was changed. Try it again, or log in with name and password.",
    ),
    "sign-on-refused:person": Words(
        403, "You are not known here",
        "Your single sign-on worked, but nobody with that login name is known to this service.",
        "Tell the help desk.",
    ),
    "slow-down": Words(
        429, "Too many attempts", "There were too many attempts one after the other.",
        "Nothing is blocked. Please try again in {wait}.",
    ),
    "certificate-refused": Words(
        403, "Your certificate was not accepted",
        "The certificate that your browser showed cannot be used here ({rule}).",
        "Plug in the token that the registration office gave you and start the browser again. "
        "If that does not help, show this page to the help desk.",
    ),
    "certificate-refused:none": Words(
        403, "No certificate was shown", "Your browser did not show a certificate.",
        "Plug in your token, start the browser again, choose your certificate and type your PIN.",
    ),
    "certificate-refused:revoked": Words(
        403, "Your certificate was revoked", "The certificate on this token is no longer valid.",
        _OFFICE,
    ),
    "certificate-refused:expired": Words(
        403, "Your certificate has expired", "The certificate on this token is out of date.",
        _OFFICE,
    ),
    "certificate-refused:person": Words(
        403, "You are not known here",
        "The certificate is valid, but the directory knows nobody with its UID any more.",
        "Tell the help desk.",
    ),
    # what the institution's own files lack; the token is as good as it was
    **dict.fromkeys(
        (
            f"certificate-refused:{rule}"
            for rule in ("trust-store", "crl-missing", "crl-not-yet", "crl-stale", "ocsp-missing",
                         "ocsp-stale", "ocsp-unknown")
        ),
        Words(
            503, "Certificates cannot be checked right now",
            "The service has no fresh word on which certificates are revoked ({rule}), so it lets "
            "nobody in. Nothing is wrong with your token.",
            "Please try again in about {wait}; if it lasts, tell the help desk.",
            retry_after=900,
        ),
    ),
    "certificate-refused:not-enrolled": Words(
        403, "This certificate is not known here",
        "The certificate is valid, but it is not the one enrolled for your token.",
        "Use the token that the registration office gave you last, or ask the help desk.",
    ),
    # --- profile
    "profile-refused": Words(
        422, "Some questions or answers cannot be used", "Nothing has been saved yet.",
        "Each problem is named below; change these fields and save again.",
    ),
    "no-profile": Words(
        409, "You have not registered enough questions",
        "A reset by yourself needs questions that you registered while your token worked.",
        _OFFICE,
    ),
    "no-profile:questions": Words(
        409, "You have not registered any questions", "This step needs registered questions.",
        "Register your questions first, on the page “Your questions”: it takes about five minutes.",
    ),
    "no-profile:recovery-address": Words(
        409, "You have no recovery address that counts",
        "A reset by yourself needs a recovery address that you confirmed while your token worked, "
        "and that your login does not open.",
        _OFFICE,
    ),
    "no-profile:second-address": Words(
        409, "No second address is registered", "There is no second recovery address.",
        "Go to your questions: the page shows what is registered.",
    ),
    "no-profile:app": Words(
        409, "No app is registered", "There is no authenticator app.",
        "Go to your questions: the page shows what is registered.",
    ),
    "rehearsal-wrong": Words(
        422, "Not all answers are right",
        "At least one of the answers differs from what you registered. Nothing is blocked and "
        "nothing was counted for a reset. Tries left in this hour: {tries_left}.",
        "Check the spelling and answer all again. If you do not know one for certain, register "
        "new answers: it takes about five minutes.",
    ),
    "rehearsals-spent": Words(
        429, "Enough tries for now",
        "As many tries were made as are allowed in one hour. Nothing is blocked.",
        "Try again in {wait}, or register new answers now: it takes about five minutes.",
    ),
    # --- a reset
    "self-service-blocked": Words(
        403, "Self-service is blocked for you",
        "The answers to your questions were wrong too often.", _OFFICE,
    ),
    "no-token": Words(
        409, "No token is registered for you", "The register knows no token of yours in use.",
        "Ask the registration office; have the number printed on your token at hand.",
    ),
    "token-choice-needed": Words(
        409, "Which token is it?", "You have more than one token.",
        "Choose the one that is blocked; its number is printed on it.",
    ),
    "no-approver": Words(
        409, "Nobody can approve this for you",
        "The directory names nobody who may approve your reset.",
        "Ask your secretariat to enter your supervisor; until then only the registration office "
        "can help, in person.",
    ),
    "no-approver:not-named": Words(
        403, "This is not yours to approve",
        "Only the supervisor, the leave representative or their delegate may see this request.",
        "If you should be one of them, ask the holder's secretariat to correct the directory.",
    ),
    "too-many-requests": Words(
        429, "Too many requests today",
        "You opened {limit} requests within {hours} hours; more are not possible.",
        "Try again tomorrow, or go to the registration office in person.",
    ),
    "too-many-delegations": Words(
        429, "Enough delegations for now",
        "You let others stand in for you {limit} times in a short time, and each of them was told "
        "by mail. Nothing was granted now.",
        "What you granted before stays as it is. Try again in {wait}.",
    ),
    "state-conflict": Words(
        409, "This step is already over", "The request has moved on in the meantime.",
        "Open the request again: it shows where it stands and what comes next.",
    ),
    "proofs-missing": Words(
        409, "A step is missing before this one", "Not all earlier steps are done, or one is old.",
        "Open the request again: it shows the step that is needed now.",
    ),
    "answers-wrong": Words(
        403, "The answers do not all match",
        "At least one of the answers differs from what you registered. "
        "Tries left: {rounds_left}.",
        "Capitals, blanks and accents do not matter. Check the spelling and answer all again.",
    ),
    "answers-wrong:0": Words(
        403, "Self-service is now blocked for you", "The answers were wrong too often.", _OFFICE,
    ),
    "code-wrong": Words(
        403, "The code is not right", "This is not the code of the newest mail. "
        "Tries left: {tries_left}.", "Compare it with the newest mail and type it again.",
    ),
    "code-wrong:app": Words(
        403, "The code is not right",
        "This is not the code that your app shows now, or it was used before. "
        "Tries left: {tries_left}.",
        "Wait until the app shows the next code (up to 30 seconds) and type that one. If it is "
        "never right, let your phone set its clock by the network.",
    ),
    "code-dead": Words(
        410, "This code can no longer be used", "Each code is good once and for a short time.",
        "Have a new code sent; it arrives within about two minutes.",
    ),
    "code-dead:expired": Words(
        410, "The code is too old", "The time of this code is over.",
        "Have a new code sent; it arrives within about two minutes.",
    ),
    "code-dead:tries": Words(
        410, "The code was wrong too often", "No more tries are left, so this was ended.",
        "Go to the start page and begin again, or ask the registration office.",
    ),
    "code-dead:none": Words(
        410, "No code is open", "No code was sent yet, or a newer one replaced it.",
        "Have a code sent, or use the one of the newest mail.",
    ),
    "code-dead:changed": Words(
        410, "This code can no longer be used",
        "Your questions or addresses were changed after it was sent.",
        "Have a new code sent; it arrives within about two minutes.",
    ),
    "code-dead:no-app": Words(
        410, "No app waits or is registered",
        "The picture is too old, or the app was removed in the meantime.",
        "With your token, begin anew on the page of the authenticator app; at a reset, have a "
        "code mailed.",
    ),
    "code-sends-spent": Words(
        429, "No more codes for now", "As many codes were sent as are allowed in one hour.",
        "Look into your mailbox and its spam folder, or ask for a new code in {wait}.",
    ),
    # --- approval
    "signature-refused": Words(
        422, "The signature was not accepted",
        "The file is no valid signature over this statement ({rule}). Nothing was approved.",
        "Download the statement again, sign exactly that file with your own token and upload "
        "the signature.",
    ),
    "signature-refused:signer": Words(
        422, "Signed by somebody else", "The signature is not yours. Nothing was approved.",
        "Sign the statement with your own token and upload that signature.",
    ),
    "signature-refused:size": Words(
        422, "The file is too large for a signature", "The file is empty or above 64 KiB.",
        "Choose the signature file (often .p7s), not the document.",
    ),
    "self-approval": Words(
        403, "Not for yourself", "Nobody can approve the reset of their own token.",
        "Another person whom the directory names has to do it.",
    ),
    "statement-refused": Words(
        409, "The statement is no longer valid", "Its time is over, or it was not meant for this.",
        "The holder can start a new request at any time.",
    ),
    # --- helper and custody
    "pairing-code-refused": Words(
        403, "The pairing code was not accepted",
        "The pairing code is wrong, used or too old.",
        "Reload the page: it shows the code that is good now.",
    ),
    "job-refused": Words(
        403, "This run of the helper is over",
        "The run has ended, or this is not the helper that began it.",
        "Reload the page and start the helper again with the new code.",
    ),
    "wrong-token": Words(
        409, "This is another token",
        "The request is for token {expected}, but {found} is plugged in. Nothing was changed.",
        "Plug in the right token and start the helper again.",
    ),
    "lease-running": Words(
        409, "Another run is still busy", "Another run of the helper works on this token.",
        "Wait {wait}, then start the helper again.",
    ),
    "stale-report": Words(
        409, "A newer run has taken over", "This report belongs to an earlier run.",
        "Look at the request's page: it shows what counts now.",
    ),
    "operation-unresolved": Words(
        409, "An earlier reset of this token is still open",
        "What happened on token {serial} is not known for certain yet.",
        "Open the earlier request below your tokens and go on there, or ask the registration "
        "office.",
    ),
    "office-only": Words(
        409, "The registration office has to go on",
        "This token cannot be reset from here any more. Nothing more was changed on it.", _OFFICE,
    ),
    "release-refused": Words(
        503, "The token's unlock code was not released",
        "The protected part of the service refused to go on ({rule}).",
        "Wait a quarter of an hour and try again; if it is still refused, tell the help desk.",
    ),
    "release-refused:withdrawn": Words(
        409, "This request has ended",
        "The protected part of the service refused it for good ({why}). Nothing was changed on the "
        "token.",
        "Log in again and start a new request; if that one is refused as well, tell the help desk.",
    ),
    "escrow-damaged": Words(
        409, "This token's unlock code cannot be read",
        "The stored unlock code of this token is damaged. Your token was not changed.", _OFFICE,
    ),
    "checkpoint-refused": Words(
        500, "The audit log is not in order", "A checkpoint of the audit log does not fit.",
        "Please tell the help desk; they call the auditors.",
    ),
    "audit-broken": Words(
        500, "The service has stopped for safety", "Its log does not fit together.",
        "Please tell the help desk; nothing can be reset until it is cleared up.",
    ),
    # --- what the service stands on
    "unavailable": Words(
        503, "The service is not complete right now",
        # not "nothing was changed": a database may die after a commit and before it says so
        "A part of the service ({part}) does not answer. Your step may not have been taken; "
        "taking it again does no harm.",
        "Please try again in about {wait}. If it is urgent, go to the registration office.",
        retry_after=300,
    ),
    "busy": Words(
        503, "Very many people are here right now", "Your step could not be taken at once.",
        _LATER,
    ),
    # --- not of the flows: what the web server itself refuses
    "bad-request": Words(
        400, "This could not be understood", "The browser sent something unexpected.", _AGAIN
    ),
    "method-not-allowed": Words(
        405, "Not in this way", "This address cannot be called in this way.",
        "Go to the start page and choose the step there.",
    ),
    "too-large": Words(
        413, "That is too large", "More was sent than this step can take. Nothing was changed.",
        "Shorten the text or choose a smaller file (at most 64 KiB).",
    ),
    "unsupported-type": Words(
        415, "Wrong kind of content", "This address takes only application/json.",
        "Send the Content-Type application/json.",
    ),
    "page-too-old": Words(
        400, "The page was open too long",
        "For your safety the form was not accepted. Nothing was changed.",
        "Go back, reload the page and try again. Cookies must be allowed for this site.",
    ),
    "internal": Words(
        500, "Something went wrong on our side",
        "The service met an error that was not foreseen. It was recorded as number {reference}.",
        "Try again in a few minutes. If it happens again, tell the help desk the number.",
    ),
}  # fmt: skip

# What a field needs, by the rule that its value broke; places in braces from the problem's data.
RULES: Mapping[str, str] = {
    "empty": "Please fill this in.",
    "too-long": "This is too long.",
    "too-large": "This file is too large (at most {limit} KiB).",
    "twice": "This was sent twice; send it once.",
    "characters": "This holds characters that cannot be used.",
    "form": "This {need}.",  # of a helper's message, by the table in pkcs11_driver/wire.py
    "digits": "The code has {limit} digits.",
    "nothing-pending": "No address waits to be confirmed.",
    "serial": "This is not the number of a token.",
    "search": "Type at least two characters.",
    "two-ids": "Choose the two different kinds of photo id that you saw.",
    "two-people": "This is the UID of one person and the login name of another. "
    "Type the UID of whom you mean.",
    "self": "You cannot stand in for yourself.",
    "overlap": "This person stands in for you already on some of these days. "
    "End that first, or choose other days.",
    "unknown": "Nobody with this UID is known.",
    "period": "The last day must not lie before the first or in the past; at most {limit} days.",
    "date": "Write the date as year-month-day, for example 2030-01-31.",
    "address": "This is not one e-mail address. Write it like name@example.org.",
    "same-mailbox": "Your login opens this mailbox too, so it would be no second proof. "
    "Use a private address elsewhere.",
    "same-address": "This is your other recovery address already. Use another mailbox.",
    "channel": "This is no way to a code. Choose one that the page offers.",
    "too-few": "At least {limit} questions are needed.",
    "empty-row": "Choose a question and answer it: {limit} are needed.",
    "no-question": "Choose a question, or choose “a question of my own” and write it.",
    "retired": "This question is no longer offered. Choose another one.",
    "own-too-short": "Your own question is too short to be understood in years. "
    "Write at least 10 letters.",
    "question-twice": "This question is chosen twice. Choose another one.",
    "too-many-own": "At most {limit} questions may be your own. Choose this one from the list.",
    "too-few-predefined": "At least {limit} questions must be from the list. "
    "Choose one there in place of this one.",
    "too-short": "This is too short and quickly guessed. Use more letters or digits, "
    "or choose another question.",
    "pattern": "This is a row of the alphabet or the keyboard; guessers try those first. "
    "Use a real answer.",
    "too-common": "Many people give this answer, so guessers try it first. "
    "Say it more exactly, or choose another question.",
    "in-question": "These are words of the question. Give an answer that it does not tell.",
    "about-you": "This is your name, login or mail address; others know those. "
    "Choose another question.",
    "institution": "This is the name of the institution; everybody here knows it. "
    "Choose another question.",
    "answer-twice": "Two answers are the same: who knows one knows both. Give each its own.",
    "answer": "Please type an answer with letters or digits.",
    "count": "Please answer all {limit} questions.",
}

LABELS: Mapping[str, str] = {
    "pid": "Login name (PID)",
    "password": "Password",
    "token": "Token",
    "reason": "Reason",
    "code": "Code",
    "app-code": "Code from the app",
    "second-code": "Code",
    "channel": "Way to a code",
    "recovery-address": "Recovery address",
    "second-address": "Second recovery address",
    "signature": "Signature file",
    "delegate": "Person who stands in",
    "starts": "First day",
    "ends": "Last day",
    "q": "Search",
    "ids": "Photo ids",
    "question": "Question",
    "answer": "Answer",
}

NOTICES: Mapping[str, str] = {
    "logged-out": "You are logged out.",
    "session-ended": "Your session has ended. Nothing was changed. Log in to go on.",
    "moved-on": "That step was already done. This is where your request stands now.",
    "step-needed": "One step is needed first; it is shown below.",
    "profile-changed": "Your questions were changed in the meantime. Here are those of now.",
    "answers-right": "Your answers are right.",
    "code-sent": "A code is on its way; it usually arrives within two minutes.",
    "code-right": "The code is right.",
    "cancelled": "The request is cancelled. Nothing was changed on your token.",
    "profile-saved": "Your questions are saved.",
    "checked-some": "Checked: nothing is saved yet. What can be used is marked below.",
    "address-confirmed": "Your recovery address is confirmed.",
    "second-saved": "A code is on its way to the second address. Type it here to confirm it.",
    "second-confirmed": "Your second recovery address is confirmed.",
    "second-removed": "The second recovery address is removed. No code goes there any more.",
    "app-registered": "The authenticator app is registered. Its codes count from now on.",
    "app-removed": "The authenticator app is removed. Its codes do not count any more.",
    "rehearsal-right": "All your answers are right. You are prepared.",
    "profile-deleted": "Your questions and all ways to a code are deleted.",
    "approved": "Thank you: the request is approved. The holder was told by mail.",
    "denied": "The request is denied. The holder was told by mail.",
    "delegated": "The delegation is granted. The person was told by mail.",
    "revoked": "The delegation has ended.",
    "check-recorded": "The check of identity is recorded.",
    "block-lifted": "The block is lifted. The person was told by mail.",
    "session-is-ended": "That session is ended: it is logged out there.",
    "session-was-ended": "That session had already ended.",
    "others-are-ended": "You are logged out everywhere but here.",
    "sessions-ended": "The person is logged out everywhere.",
}
