"""A model of a token, and an honest helper beside it that can die, lie and repeat itself."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from pkcs11_driver import envelope, wire
from reset.core.requests import Request
from reset.errors import CodeSendsSpent, LeaseRunning
from tests.flows.world import (
    HOLDER,
    SECOND_TIME,
    World,
    by_password,
    over_the_wire,
    serial_of,
    so_pin_of,
)

NEW_PIN = "New-Pin-4711"
ADDRESS = "198.51.100.7"


@dataclass
class ModelToken:
    """Two PINs, their counters, a key. ``so_tries``: wrong SO PINs until it is dead; ``worst``: the
    highest count of them ever."""

    serial: str
    key: ec.EllipticCurvePrivateKey
    so_pin: str
    user_pin: str = "Old-Pin-0815"
    so_wrong: int = 0
    user_wrong: int = 10  # blocked: the reason for everything here
    worst: int = 0
    so_tries: int = 15

    @classmethod
    def of(cls, world: World, uid: str = HOLDER) -> ModelToken:
        return cls(serial_of(uid), world.institute.members[uid][0], so_pin_of(serial_of(uid)))

    def so_login(self, pin: str) -> str:
        if self.so_wrong >= self.so_tries:
            return "locked"
        if pin == self.so_pin:
            self.so_wrong = 0
            return "ok"
        self.so_wrong += 1
        self.worst = max(self.worst, self.so_wrong)
        return "incorrect"

    def init_pin(self, pin: str) -> None:
        self.user_pin, self.user_wrong = pin, 0

    def sign(self, pin: str, data: bytes) -> bytes:
        assert self.user_wrong < 10
        assert pin == self.user_pin
        return self.key.sign(data, ec.ECDSA(hashes.SHA256()))

    @property
    def flag(self) -> str:
        if self.so_tries == 3:  # ykcs11 shows nothing of the PUK
            return "ok"
        left = self.so_tries - self.so_wrong
        if left <= 0:
            return "locked"
        return "final-try" if left == 1 else "count-low" if self.so_wrong else "ok"


@dataclass
class Helper:
    """One run of the helper. ``run`` may be called again: it goes on where it stopped.

    ``pulled``: the token leaves its reader ``before`` or ``after`` C_SetPIN took effect.
    ``changes``: what a liar writes into its report.
    """

    world: World
    token: ModelToken
    code: str
    pulled: str = ""
    changes: dict[str, Any] = field(default_factory=dict)
    key: X25519PrivateKey = field(default_factory=X25519PrivateKey.generate)
    nonce: str = ""
    claimed: wire.Claimed | None = None
    released: wire.Released | None = None
    message: wire.Report | None = None

    def run(self) -> wire.JobState:
        self.claim()
        self.release()
        self.work()
        return self.report()

    def reach(self, name: str) -> None:
        self.world.faults.reach(f"helper: {name}")

    def claim(self) -> wire.Claimed:
        if self.claimed is None:
            message = wire.Claim(self.code, self.key.public_key().public_bytes_raw(), "1.0 test")
            self.claimed = over_the_wire(self.world.pair.claim(over_the_wire(message), ADDRESS))
            assert wire.confirmation_words(self.claimed.job, message.public_key) == (
                self.claimed.words
            )
        return self.claimed

    def release(self) -> wire.Released:
        claimed = self.claim()
        if self.released is None:
            self.nonce = self.nonce or secrets.token_hex(16)
            seen = wire.TokenSeen(self.token.serial, "label", "locked", self.token.flag)
            message = over_the_wire(wire.Release(self.nonce, seen))
            self.reach("before release")
            self.released = over_the_wire(
                self.world.custody.release(claimed.job, claimed.secret, message)
            )
            self.reach("after release")
        return self.released

    def order(self) -> wire.Order:
        claimed, released = self.claim(), self.release()
        context = wire.order_context(claimed.job, released.epoch, self.nonce, claimed.token_serial)
        return envelope.open_order(released.sealed, self.key, context)

    def work(self) -> wire.Report:
        if self.message is None:
            assert self.claimed is not None
            outcome, steps, proof = self._at_the_token(self.order(), self.claimed.challenge)
            assert self.released is not None
            honest = wire.Report(self.released.epoch, self.nonce, outcome, tuple(steps), proof)  # type: ignore[arg-type]
            self.message = replace(honest, **self.changes)
        return self.message

    def report(self) -> wire.JobState:
        assert self.claimed is not None
        assert self.message is not None
        self.reach("before report")
        state = self.world.custody.report(
            self.claimed.job, self.claimed.secret, over_the_wire(self.message)
        )
        self.reach("after report")
        return over_the_wire(state)

    def _at_the_token(
        self, order: wire.Order, challenge: bytes
    ) -> tuple[str, list[str], wire.Proof]:
        """The order of the driver: login, new PIN, proof, and only then the next SO PIN."""
        token, steps, found = self.token, [], ""
        for candidate in order.candidates:
            verdict = token.so_login(candidate)
            self.reach("after an SO login")
            if verdict == "locked":
                return "so-pin-locked", steps, wire.Proof()
            if verdict == "ok":
                found = candidate
                steps.append("so-login")
                break
            steps.append("so-pin-incorrect")
        else:
            return "so-pin-refused", steps, wire.Proof()
        token.init_pin(NEW_PIN)
        self.reach("after C_InitPIN")
        steps.append("user-pin-set")
        proof = wire.Proof(token.sign(NEW_PIN, challenge), b"", "unknown", True)
        self.reach("after the proof")
        steps += ["user-login", "challenge-signed"]
        if found != order.next_so_pin:
            assert token.so_login(found) == "ok"
            self.reach("before C_SetPIN")
            if self.pulled == "before":
                return "unknown", steps, proof
            token.so_pin = order.next_so_pin
            self.reach("after C_SetPIN")
            if self.pulled == "after":
                return "unknown", steps, proof
            steps.append("so-pin-set")
            assert token.so_login(order.next_so_pin) == "ok"
            self.reach("after the last login")
            steps.append("so-pin-proven")
        return "done", [*steps, "done"], replace(proof, so_pin_in_force="next")


def follow(
    world: World,
    request: Request,
    token: ModelToken,
    most: int = 80,
    on_helper: Callable[[Helper], None] | None = None,
) -> str:
    """What an honest person does: read the page and do its next step, until it is over.

    Returns the last step: ``done``, ``office`` or ``ended``.
    """
    login_at = world.log_in(request.uid)
    helper: Helper | None = None
    for _ in range(most):
        world.upkeep.settle()
        step = world.progress(request, login_at).step
        if step == "login":
            login_at = world.log_in(request.uid)
        elif step == "questions":
            world.answer(request)
        elif step == "code":
            world.clock.move(SECOND_TIME)
            _confirm(world, request)
        elif step == "wait":
            world.sign(request)
        elif step == "helper":
            shown = world.pair.for_reset(request.uid, request.id, by_password(login_at))
            if not shown.code:
                world.clock.move(world.policy.lease)  # another run holds it
                continue
            helper = Helper(world, token, shown.code)
            if on_helper:
                on_helper(helper)
            _run(world, helper)
        else:
            return step
    raise AssertionError(f"a dead end at {step}")


def _confirm(world: World, request: Request) -> None:
    try:
        world.confirm(request)
    except CodeSendsSpent as spent:
        world.clock.move(spent.data["retry_after"] * SECOND_TIME)


def _run(world: World, helper: Helper) -> None:
    for _ in range(3):
        try:
            helper.run()
            return
        except LeaseRunning as running:
            world.clock.move(running.data["retry_after"] * SECOND_TIME)
