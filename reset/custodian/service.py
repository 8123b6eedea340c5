"""The custodian: the only code that opens an SO PIN, and the rules by which it lets one go.

It trusts nobody's word (design section 5): the web process that asks may be taken over. Rules of
``release``, each the ``rule`` of its ``ReleaseRefused``:

- ``serial``, ``order``, ``helper-key``: the order has a form; the key is a usable X25519 key.
- ``candidates``: the active SO PIN, or from the second epoch on the pending and the active one,
  in this order and no third (R1, R8). ``pending``: the next SO PIN is another one.
- ``statement``, ``token``, ``holder``: the signed statement is one, about this token and holder.
- ``signature``, ``signer``: the signature verifies now, by the certificate of the approver (S1.95).
- ``self-approval``: the holder is neither signer nor the one acted for (S1.96).
- ``sealed``: every SO PIN opens under its own serial and version. ``journal``: the ledger has these
  very bytes; one that was restored from an old backup releases nothing that is newer.
- ``superseded``: no reset proved a newer SO PIN than all candidates: the database is an old one.
- ``expired``, ``lifetime``: the first release of an operation comes while the statement is fresh,
  and the statement lives no longer than the policy's approvals (S1.94).
- ``approval-used``, ``operation-used``: one statement, one operation (S1.94).
- ``closed``: a settled operation gets nothing more.
- ``versions``: an operation never changes its active and pending versions (R2).
- ``epoch``: epochs grow; the very same order may be repeated and counts once.
- ``recovery-over``: an operation ends ``policy.RESUME_AGE`` after its first release.
- ``releases-per-approval``, ``releases-per-hour``, ``so-tries``: caps; tries debited first (R3),
  as many as the family that the token was first stored with can bear.

Rules of the other calls: ``serial``, ``version``, ``envelope``, ``so-pin``, ``stored-differently``,
``holder``, ``family``, ``corrected`` (store); ``released``, ``corrections`` (correct);
``unknown-operation``, ``token`` (settle, withdraw); ``hmac-size``, ``hmac-domain`` (hmac);
``checkpoint-form``, ``checkpoint-time``, ``checkpoint-size``, ``checkpoint-fork`` (RFC 6962
consistency with the last one; sign_checkpoint).

The form of a new SO PIN is that of the token's family, which is bound to the serial as its holder
is: whoever asks cannot have a weaker one made.

Everything is committed in the ledger before a ciphertext is returned. SO PINs live in local
variables only.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import string
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from pkcs11_driver import envelope as hpke
from pkcs11_driver.crashpoints import calling, committing
from pkcs11_driver.families import FAMILIES, Family, kept
from pkcs11_driver.hsm import SealBroken
from pkcs11_driver.wire import Order, order_context
from reset.core import checkpoints, merkle
from reset.core.approvals import Statement
from reset.core.policy import Policy
from reset.custodian import orders
from reset.custodian.imports import ImportKey
from reset.custodian.keys import Keys, hsm_failing_closed, so_pin_context
from reset.custodian.ledger import Bound, Ledger, Use
from reset.custodian.orders import refuse
from reset.errors import CheckpointRefused, EscrowDamaged
from reset.ports import Clock, Escrowed, Random, ReleaseOrder, SignatureVerifier

SO_PIN_ALPHABET = string.ascii_letters + string.digits
CLOCK_LEEWAY = timedelta(minutes=5)
IMPORT_GUESSES = 5  # comparisons of an imported SO PIN with the stored one, per token
HMAC_LIMIT = 8_192
HMAC_ALARM = 600  # calls a minute: some 200 sets of answers
_HOUR = 3_600
_OWN_HMAC = b"token-reset so-pin"
_FINGERPRINT = b"token-reset so-pin fingerprint 1"
_log = logging.getLogger(__name__)


class CustodianService:
    """``ports.Custodian`` itself; single-threaded, the only user of its ledger."""

    def __init__(
        self,
        keys: Keys,
        ledger: Ledger,
        verifier: SignatureVerifier,
        clock: Clock,
        *,
        policy: Policy,
        random: Random,
    ) -> None:
        """Raises ``Unavailable``, also when HSM and ledger do not belong together."""
        self._keys = keys
        self._ledger = ledger
        self._verifier = verifier
        self._clock = clock
        self._policy = policy
        self._random = random
        self._hmac_minute = 0
        self._hmac_calls = 0
        self._imports = ImportKey(keys, ledger)

    # --- escrow -------------------------------------------------------------------------
    def import_key(self) -> bytes:
        """The raw public X25519 key to which SO PINs are sealed on the way in."""
        return self._imports.public()

    def store(
        self, serial: str, version: int, envelope: bytes | None, holder_uid: str, family: str
    ) -> bytes:
        """Seal the SO PIN in ``envelope`` (HPKE, ``import_context``), or a fresh random one.

        The journal keeps it before it is returned; the same serial and version again give what
        the journal has. An envelope is taken for version 1 only: nobody plants the SO PIN that a
        reset sets. Raises ``ReleaseRefused``, ``Unavailable``.
        """
        orders.check_serial(serial)
        if family not in kept():
            refuse("family")
        so_pin = None
        if envelope is not None:
            so_pin = self._imports.opened(serial, FAMILIES[family], envelope)
        with committing("custodian.store", self._ledger.write()):
            if not 1 <= version <= self._ledger.newest_version(serial) + 1:
                refuse("version")
            if envelope is not None and version > 1:
                refuse("version")
            self._bind(serial, holder_uid, family)
            stored = self._ledger.sealed(serial, version)
            guess = stored is not None and so_pin is not None
            if stored is None:
                sealed = self._seal(serial, version, so_pin or self._fresh(FAMILIES[family]))
                self._ledger.add_sealed(serial, version, sealed, self._now())
                return sealed
            if envelope is None and self._ledger.is_corrected(serial, version):
                refuse("corrected")  # the database does not know of it: correct again
            # committed before the comparison: an import is no oracle for SO PINs
            allowed = not guess or self._ledger.count_guess(serial, IMPORT_GUESSES)
        if guess and not (allowed and self._holds(serial, version, stored, str(so_pin))):
            refuse("stored-differently")
        return stored

    def _bind(self, serial: str, holder_uid: str, family: str) -> None:
        """Whose token it is and of which family, from the first call on.

        Where the ledger was restored from an old backup and knows the SO PINs again, they must be
        such as the family has. Raises ``ReleaseRefused``, ``EscrowDamaged``.
        """
        if not 0 < len(holder_uid) <= orders.NAME:
            refuse("holder")
        bound = self._ledger.bound(serial)
        if bound is None:
            for version, sealed in self._ledger.every_sealed(serial):
                if not FAMILIES[family].takes(self._open_escrow(serial, version, sealed)):
                    refuse("family")
            self._ledger.bind(serial, Bound(holder_uid, family))
        elif bound.holder_uid != holder_uid:
            refuse("holder")
        elif bound.family != family:
            refuse("family")

    def correct(self, serial: str, envelope: bytes, holder_uid: str) -> tuple[int, bytes]:
        """Another SO PIN in place of a wrong one from an import, as the next version.

        Only while nothing was released for the token; never one that a reset sets; counted like a
        comparison, for the fingerprints of ``check`` are one. Raises ``ReleaseRefused``.
        """
        orders.check_serial(serial)
        with self._ledger.write():
            bound = self._ledger.bound(serial)
        if bound is None or bound.holder_uid != holder_uid:
            refuse("holder")
        so_pin = self._imports.opened(serial, FAMILIES[bound.family], envelope)
        with self._ledger.write():
            if self._ledger.is_released(serial):
                refuse("released")
            if not self._ledger.count_guess(serial, IMPORT_GUESSES):
                refuse("corrections")
            version = self._ledger.newest_version(serial) + 1
            sealed = self._seal(serial, version, so_pin)
            self._ledger.add_sealed(serial, version, sealed, self._now())
            self._ledger.mark_corrected(serial, version)
        return version, sealed

    def check(self, serial: str, version: int, sealed: bytes) -> bytes:
        """A keyed fingerprint of a sealed SO PIN, to find equal ones. Raises ``EscrowDamaged``."""
        so_pin = self._open_escrow(serial, version, sealed)
        with hsm_failing_closed():
            return self._keys.hmac(_FINGERPRINT + so_pin.encode())

    def rewrap(self, serial: str, version: int, sealed: bytes) -> bytes:
        """The same SO PIN under the newest wrapping key, journaled; what is there already stays.

        A journal restored from an old backup learns what it lacks. Raises ``EscrowDamaged``, with
        ``why="stored-differently"`` when the journal has another SO PIN for this version.
        """
        so_pin = self._open_escrow(serial, version, sealed)
        newest = self._keys.is_newest(sealed)
        renewed = sealed if newest else self._seal(serial, version, so_pin)
        with self._ledger.write():
            kept = self._ledger.sealed(serial, version)
            if kept is not None and not self._holds(serial, version, kept, so_pin):
                raise EscrowDamaged(serial=serial, version=version, why="stored-differently")
            for one in (sealed, renewed):
                if not self._ledger.has_sealed(serial, version, one):
                    self._ledger.add_sealed(serial, version, one, self._now())
        return renewed

    def escrowed(self, serial: str) -> Escrowed:
        """What the ledger holds for a token; changes nothing. Raises ``ReleaseRefused``."""
        orders.check_serial(serial)
        with self._ledger.write():
            proven, unsettled = self._ledger.standing(serial)
            return Escrowed(proven, unsettled, self._ledger.every_sealed(serial))

    # --- release ------------------------------------------------------------------------
    def release(self, order: ReleaseOrder) -> bytes:
        """The order for the helper, HPKE-sealed to its key; rules: module.

        Raises ``ReleaseRefused``, ``Unavailable``.
        """
        now = self._clock.now()
        versions = orders.check_shape(order)
        statement = orders.check_statement(order)
        orders.check_signer(order, statement, self._verifier, now)
        sealed = self._sealed_order(order)
        with committing("custodian.release", self._ledger.write()):
            self._book(order, versions, statement, now)
        return sealed

    def settle(self, operation_id: str, serial: str, resolved: bool) -> None:
        """What is known of an operation after a report.

        ``resolved`` True: its end is proven; it is closed for ever. False: a login with an SO PIN
        is known to have worked, the end is open. Both zero the token's tries (S1.25), for the
        releases of this operation stay capped. May be repeated. Raises ``ReleaseRefused``.
        """
        with committing("custodian.settle", self._ledger.write()):
            # a late repeat for a closed operation must not credit the token's next one
            if not self._use(operation_id, serial).closed:
                self._ledger.zero_tries(serial)
            if resolved:
                self._ledger.close_operation(operation_id)

    def withdraw(self, operation_id: str, serial: str) -> None:
        """Close an operation of which no order left the service: a crash lost the one made here.

        The token kept its SO PIN, and no login is known: no version is proven, no try credited. May
        be repeated; an operation that is closed stays what it is. Raises ``ReleaseRefused``.
        """
        with committing("custodian.settle", self._ledger.write()):
            if not self._use(operation_id, serial).closed:
                self._ledger.withdraw_operation(operation_id)

    # --- HMAC, checkpoints, health ------------------------------------------------------
    def hmac(self, message: bytes) -> bytes:
        """HMAC-SHA-256 with the key in the HSM, for answers; counted for the alarm.

        Raises ``ReleaseRefused`` above 8 KiB and for messages of the custodian's own domain.
        """
        if len(message) > HMAC_LIMIT:
            refuse("hmac-size")
        if message.startswith(_OWN_HMAC):
            refuse("hmac-domain")
        self._count_hmac()
        with hsm_failing_closed():
            return self._keys.hmac(message)

    def sign_checkpoint(self, body: bytes, proof: Sequence[bytes]) -> bytes:
        """Ed25519 over a checkpoint body; a log never shrinks, never forks, and is signed now.

        Raises ``ReleaseRefused``.
        """
        try:
            asked = checkpoints.parse(body)
        except CheckpointRefused:
            refuse("checkpoint-form")
        if abs(asked.at - self._clock.now()) > CLOCK_LEEWAY:
            refuse("checkpoint-time")
        with self._ledger.write():
            size, root = self._ledger.checkpoint(asked.origin) or (0, merkle.EMPTY)
            if asked.size < size:
                refuse("checkpoint-size")
            if not merkle.verify_consistency(size, root, asked.size, asked.root, proof):
                refuse("checkpoint-fork")
            self._ledger.put_checkpoint(asked.origin, asked.size, asked.root)
        with hsm_failing_closed():
            return self._keys.sign(body)

    def checkpoint_size(self, origin: str) -> int:
        """The size of the newest checkpoint that was signed for this log; 0 before the first."""
        with self._ledger.write():
            last = self._ledger.checkpoint(origin)
        return last[0] if last else 0

    def checkpoint_key(self) -> bytes:
        """The raw Ed25519 public key of ``sign_checkpoint``."""
        with hsm_failing_closed():
            return self._keys.signing_public_key()

    def health(self) -> Mapping[str, str]:
        """Facts for operators: whether the HSM works, and counts. Raises ``Unavailable``."""
        with hsm_failing_closed():
            self._keys.health()
        with self._ledger.write():
            counts = self._ledger.counts()
            hourly = self._ledger.releases_since(self._now() - _HOUR)
        calls = self._hmac_calls if self._now() // 60 == self._hmac_minute else 0
        return {
            "hsm": "ok",
            **{name: str(count) for name, count in counts.items()},
            "releases-last-hour": str(hourly),
            "hmac-this-minute": str(calls),
            "hmac-alarm": "yes" if calls > HMAC_ALARM else "no",
        }

    # --- inside -------------------------------------------------------------------------
    def _book(
        self,
        order: ReleaseOrder,
        versions: tuple[int, int],
        statement: Statement,
        now: datetime,
    ) -> None:
        """Single use, epochs and caps, in one transaction. Raises ``ReleaseRefused``."""
        at = int(now.timestamp())
        use = self._ledger.use_of_statement(hashlib.sha256(order.statement).digest())
        if use is None:
            if self._ledger.use_of_operation(order.operation_id) is not None:
                refuse("operation-used")
            if max(v for v, _ in order.candidates) < self._ledger.standing(order.token_serial)[0]:
                refuse("superseded")
            orders.check_age(statement, now, self._policy.approval_age)
        elif orders.is_repeat(order, versions, use, at):
            return
        if use is not None and use.releases >= self._policy.releases_per_approval:
            refuse("releases-per-approval")
        if self._ledger.releases_since(at - _HOUR) >= self._policy.releases_per_hour:
            refuse("releases-per-hour")
        serial, tried = order.token_serial, len(order.candidates)
        if not self._ledger.debit(serial, tried, self._so_budget(serial)):
            refuse("so-tries")
        self._ledger.add_release(at)
        self._ledger.record_use(orders.use_of(order, versions, use, at))

    def _sealed_order(self, order: ReleaseOrder) -> bytes:
        serial = order.token_serial
        try:
            so_pins = tuple(self._open(serial, v, sealed) for v, sealed in order.candidates)
            following = self._open(serial, *order.pending)
        except SealBroken:
            refuse("sealed")
        with self._ledger.write():
            for version, blob in (*order.candidates, order.pending):
                if not self._ledger.has_sealed(serial, version, blob):
                    refuse("journal")
            if self._ledger.is_corrected(serial, order.pending[0]):
                refuse("pending")
            bound = self._ledger.bound(serial)
            if bound is None or bound.holder_uid != order.holder_uid:
                refuse("holder")
        context = order_context(order.job_id, order.epoch, order.nonce, serial)
        try:
            return hpke.seal_order(Order(so_pins, following), order.helper_key, context)
        except ValueError:  # another length, or a point of small order
            refuse("helper-key")

    def _use(self, operation_id: str, serial: str) -> Use:
        use = self._ledger.use_of_operation(operation_id)
        if use is None:
            refuse("unknown-operation")
        if use.serial != serial:
            refuse("token")
        return use

    def _so_budget(self, serial: str) -> int:
        bound = self._ledger.bound(serial)
        if bound is None:
            raise RuntimeError("an order that could be sealed has a bound token")
        return self._policy.so_budget(FAMILIES[bound.family])

    def _fresh(self, family: Family) -> str:
        below = self._random.below
        return "".join(SO_PIN_ALPHABET[below(len(SO_PIN_ALPHABET))] for _ in range(family.so_fresh))

    def _seal(self, serial: str, version: int, so_pin: str) -> bytes:
        with hsm_failing_closed(), calling("custodian.seal"):
            return self._keys.seal(so_pin.encode(), so_pin_context(serial, version))

    def _open(self, serial: str, version: int, sealed: bytes) -> str:
        with hsm_failing_closed(), calling("custodian.open"):
            return self._keys.open(sealed, so_pin_context(serial, version)).decode()

    def _open_escrow(self, serial: str, version: int, sealed: bytes) -> str:
        try:
            return self._open(serial, version, sealed)
        except SealBroken:
            raise EscrowDamaged(serial=serial, version=version) from None

    def _holds(self, serial: str, version: int, sealed: bytes, so_pin: str) -> bool:
        kept = self._open_escrow(serial, version, sealed)
        return hmac.compare_digest(kept.encode(), so_pin.encode())

    def _count_hmac(self) -> None:
        minute = self._now() // 60
        if minute != self._hmac_minute:
            self._hmac_minute, self._hmac_calls = minute, 0
        self._hmac_calls += 1
        if self._hmac_calls == HMAC_ALARM + 1:
            _log.warning("more than %d HMAC calls this minute", HMAC_ALARM)

    def _now(self) -> int:
        return int(self._clock.now().timestamp())
