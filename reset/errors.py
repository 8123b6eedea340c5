"""Every failure of the service: a stable code and data each, no sentences.

The sentence that a person reads is chosen in one place, ``web/error_pages.py``, from the code.
Wrong call order inside the product is a ``RuntimeError``, never one of these.
"""

from __future__ import annotations


class ResetError(Exception):
    """Base of all refusals.

    Parameters: ``data``, named facts about the refusal; never a secret.
    ``code`` is stable: it is the ``type`` of the problem document (RFC 9457).
    """

    code = "refused"

    def __init__(self, **data: object) -> None:
        super().__init__(self.code)
        self.data = data

    def __str__(self) -> str:
        facts = ", ".join(f"{name}={value}" for name, value in sorted(self.data.items()))
        return f"{self.code} ({facts})" if facts else self.code


# --- start-up -----------------------------------------------------------------
class SettingsRefused(ResetError):
    """data: ``problems``, a list of lines that name the setting and what to do."""

    code = "settings-refused"


# --- input and access ---------------------------------------------------------
class BadInput(ResetError):
    """data: ``field``, ``rule`` and what the rule needs (``limit`` …); where a form has several
    such problems, these are of the first one, and ``problems`` lists all."""

    code = "bad-input"

    @classmethod
    def of(cls, problems: list[dict[str, object]]) -> BadInput:
        """One refusal for all problems of a form, of which there is at least one."""
        first = problems[0]
        return cls(**first) if len(problems) == 1 else cls(**first, problems=problems)


class NotFound(ResetError):
    code = "not-found"


class Forbidden(ResetError):
    """data: ``reason``."""

    code = "forbidden"


class LoginNeeded(ResetError):
    code = "login-needed"


class LoginRefused(ResetError):
    """Unknown user and wrong password alike (S1.55, T34)."""

    code = "login-refused"


class SignOnRefused(ResetError):
    """The institution's single sign-on named nobody who may log in here.

    data: ``rule``: ``state``, ``provider``, ``code``, ``id-token``, ``no-time``, ``not-fresh``,
    ``acr``, ``no-name`` or ``person``.
    """

    code = "sign-on-refused"


class SlowDown(ResetError):
    """data: ``retry_after`` in whole seconds."""

    code = "slow-down"


class CertificateRefused(ResetError):
    """data: ``rule`` that the certificate breaks, one of ``adapters.certificates``."""

    code = "certificate-refused"


# --- profile ------------------------------------------------------------------
class ProfileRefused(ResetError):
    """data: ``problems``, a list of dicts ``{field, rule, …}`` (S1.43)."""

    code = "profile-refused"


class NoProfile(ResetError):
    """data: ``missing``: ``profile`` or ``recovery-address`` for a reset (S1.54); ``questions``,
    ``second-address`` or ``app`` for a change of the profile."""

    code = "no-profile"


class RehearsalWrong(ResetError):
    """data: ``tries_left`` in this hour; never which answer."""

    code = "rehearsal-wrong"


class RehearsalsSpent(ResetError):
    """data: ``retry_after`` in whole seconds."""

    code = "rehearsals-spent"


# --- a reset ------------------------------------------------------------------
class SelfServiceBlocked(ResetError):
    code = "self-service-blocked"


class NoToken(ResetError):
    code = "no-token"


class TokenChoiceNeeded(ResetError):
    """data: ``serials``."""

    code = "token-choice-needed"


class NoApprover(ResetError):
    code = "no-approver"


class TooManyRequests(ResetError):
    """data: ``limit``, ``hours``."""

    code = "too-many-requests"


class TooManyDelegations(ResetError):
    """data: ``limit``; ``retry_after`` in whole seconds."""

    code = "too-many-delegations"


class StateConflict(ResetError):
    """data: ``state``, ``event``: the request cannot take this step now."""

    code = "state-conflict"


class ProofsMissing(ResetError):
    """data: ``missing``, method names; ``gate``."""

    code = "proofs-missing"


class AnswersWrong(ResetError):
    """data: ``rounds_left``; never which answer (design section 4)."""

    code = "answers-wrong"


class CodeWrong(ResetError):
    """data: ``tries_left``; ``channel``: ``app`` for a code that was not mailed."""

    code = "code-wrong"


class CodeDead(ResetError):
    """data: ``why``: ``expired``, ``used``, ``tries``, ``none``, ``changed``, ``no-app``."""

    code = "code-dead"


class CodeSendsSpent(ResetError):
    """data: ``retry_after`` in whole seconds."""

    code = "code-sends-spent"


# --- approval -----------------------------------------------------------------
class SignatureRefused(ResetError):
    """data: ``rule`` that the signature breaks, one of ``adapters.signatures_cms``, or ``signer``,
    ``not-enrolled``, ``other-statement``."""

    code = "signature-refused"


class SelfApproval(ResetError):
    """data, where a statement or its signature shows it: ``rule``, ``approver``, ``acting-for`` or
    ``signer``; ``holder``, the UID."""

    code = "self-approval"


class StatementRefused(ResetError):
    """data: ``rule``: ``malformed``; ``expired`` with the ``span`` in which it counts;
    ``not-an-approval`` with what was ``found``."""

    code = "statement-refused"


# --- helper and custody -------------------------------------------------------
class PairingCodeRefused(ResetError):
    """Unknown, expired, used and wrong alike: a guesser learns nothing."""

    code = "pairing-code-refused"


class JobRefused(ResetError):
    """data: ``reason``: ``secret``, ``ended``, ``kind``."""

    code = "job-refused"


class WrongToken(ResetError):
    """data: ``expected``, ``found``: serials."""

    code = "wrong-token"


class LeaseRunning(ResetError):
    """data: ``retry_after`` in whole seconds; another helper run holds the order."""

    code = "lease-running"


class StaleReport(ResetError):
    """data: ``epoch``: the epoch in force."""

    code = "stale-report"


class OperationUnresolved(ResetError):
    """data: ``serial``: this token has an operation whose outcome is open."""

    code = "operation-unresolved"


class OfficeOnly(ResetError):
    """data: ``reason``: only the registration office can go on."""

    code = "office-only"


class ReleaseRefused(ResetError):
    """The custodian's own refusal. data: ``rule``; ``why``: its cause; for the rule ``withdrawn``,
    with which the request has ended, the custodian's rule."""

    code = "release-refused"


class EscrowDamaged(ResetError):
    """data: ``serial``, ``version``: the row does not open or is missing."""

    code = "escrow-damaged"


class AuditBroken(ResetError):
    """data: ``entry``, ``why``."""

    code = "audit-broken"


class CheckpointRefused(ResetError):
    """data: ``rule``, what a checkpoint or its witness's record breaks; ``number`` if known."""

    code = "checkpoint-refused"


# --- what the service stands on -----------------------------------------------
class Unavailable(ResetError):
    """data: ``part``: custodian, database, directory … Fail closed."""

    code = "unavailable"


class Busy(ResetError):
    """data: ``retry_after`` in whole seconds: the hashing queue is full."""

    code = "busy"
