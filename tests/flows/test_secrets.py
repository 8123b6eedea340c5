"""No secret is anywhere that outlives its use (promise 1, T4, T13, T14, peer failures 17 and 36).

Everything that people and tokens know is sent through the whole way and through its failures, with
every log at its loudest; then each form of each secret is sought in everything that was written.
"""

from __future__ import annotations

import base64
import logging
import traceback
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pkcs11_driver import wire
from reset.core.normal_form import normalise
from reset.core.registration import Chosen
from reset.errors import ResetError
from tests.custodian.scene import SoftKeys
from tests.flows.model_token import ADDRESS, NEW_PIN, Helper, ModelToken, follow
from tests.flows.world import (
    ANSWERS,
    HOLDER,
    OPERATOR,
    SUPERVISOR,
    Institute,
    Memo,
    Place,
    World,
    by_password,
    password_of,
    recovery_of,
)
from tests.institution.phone import Phone

TYPED_PASSWORD, TYPED_ANSWER, TYPED_REASON = "Marked-Password-77", "marked answer 77", "marked 77"


@pytest.fixture
def loud(
    institute: Institute, memo: Memo, seeded: Place, tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> Iterator[World]:  # fmt: skip
    """A world that was made with every logger at DEBUG."""
    for name in ("", "sqlalchemy", "reset"):  # SQLAlchemy keeps its own level
        caplog.set_level(logging.DEBUG, logger=name)
    made = World(institute, seeded.copy(tmp_path / "world"), memo)
    yield made
    made.close()


class Told:
    """What people and programs were told: exceptions and the reprs of what flows returned."""

    def __init__(self) -> None:
        self.text: list[str] = []
        self.refusals = 0

    def __call__(self, call: Callable[[], Any]) -> Any:
        try:
            answer = call()
        except ResetError as refused:
            self.refusals += 1
            self.text += [str(refused), repr(refused), repr(refused.data)]
            self.text.append("".join(traceback.format_exception(refused)))
            return None
        self.text.append(repr(answer))
        return answer


def forms(secret: str) -> set[bytes]:
    raw = secret.encode()
    return {
        raw,
        raw.lower(),
        raw.hex().encode(),
        base64.b64encode(raw),
        base64.urlsafe_b64encode(raw).rstrip(b"="),
        secret.encode("utf-16-le"),
        repr(secret)[1:-1].encode(),
    }


def everything_written(world: World) -> dict[str, bytes]:
    """Every column of every table, and the files of database and custodian as they lie there."""
    found = {}
    for name, rows in world.dump().items():
        cells = [c if isinstance(c, bytes) else str(c).encode() for row in rows for c in row]
        found[f"table {name}"] = b"\0".join(cells)
    for file in world.place.directory.rglob("*"):
        if file.is_file() and "authority" not in file.parts and file.suffix != ".der":
            found[str(file.name)] = file.read_bytes()
    return found


def fail_everywhere(world: World, told: Told) -> dict[str, str]:
    """Wrong and right secrets at every place that takes one; what was secret."""
    codes: dict[str, str] = {}
    now = world.clock.now
    told(lambda: world.login.with_password("holly", TYPED_PASSWORD, "192.0.2.9"))
    told(lambda: world.login.with_password(TYPED_PASSWORD, "x", "192.0.2.9"))
    told(lambda: world.login.with_password("holly", TYPED_PASSWORD * 99, "192.0.2.9"))
    request = told(world.open)
    answer = world.recover.answer
    told(lambda: answer(HOLDER, request.id, [TYPED_ANSWER] * 3, by_password(now())))
    told(lambda: answer(HOLDER, request.id, [TYPED_ANSWER * 99] * 3, by_password(now())))
    told(lambda: answer(HOLDER, request.id, world.right(request), by_password(now())))
    codes["first mail code"] = code = world.send(request)
    told(lambda: world.recover.enter_code(HOLDER, request.id, code[::-1], by_password(now())))
    told(lambda: world.recover.enter_code(HOLDER, request.id, code + "1", by_password(now())))
    told(lambda: world.recover.enter_code(HOLDER, request.id, code, by_password(now())))
    told(lambda: world.recover.enter_code(HOLDER, request.id, code, by_password(now())))
    told(lambda: world.approve.sign(world.person(SUPERVISOR), request.id, b"no signature"))
    told(lambda: world.sign(request))
    codes["second mail code"] = world.send(request)
    told(
        lambda: world.recover.enter_code(
            HOLDER, request.id, codes["second mail code"], by_password(now())
        )
    )
    pairing = told(lambda: world.pair.for_reset(HOLDER, request.id, by_password(now())))
    codes["pairing code"] = wire.tidy_code(pairing.code)
    codes["shown pairing code"] = pairing.code
    end = "22" if pairing.code[-2:] != "22" else "33"
    wrong = pairing.code[:-2] + end
    told(lambda: world.pair.claim(wire.Claim(wrong, b"k" * 32, "1"), ADDRESS))
    token = ModelToken.of(world)
    helper = Helper(world, token, pairing.code, pulled="before")
    codes["job secret"] = told(helper.claim).secret
    told(helper.release)
    told(helper.order)  # its repr, as a traceback with locals would show it
    told(helper.work)
    told(helper.report)
    helper.message = replace(helper.work(), epoch=7)
    told(helper.report)
    told(lambda: follow(world, request, token))
    assert world.request(request).state == "done"
    told(lambda: world.operate.dossier(world.person(OPERATOR), HOLDER))
    told(lambda: world.recover.progress(HOLDER, request.id, by_password(now())))
    told(lambda: world.recover.overview(HOLDER))
    told(lambda: world.enrol.profile(HOLDER))
    enrolment = told(lambda: world.authenticators.begin(world.person(HOLDER)))
    codes["app key"] = enrolment.key
    codes["app key in bytes"] = base64.b32decode(enrolment.key).hex()
    phone = Phone(enrolment.uri)
    told(lambda: world.authenticators.confirm(HOLDER, "000000"))
    told(lambda: world.authenticators.confirm(HOLDER, phone.code(now())))
    told(lambda: world.rehearse.answer(HOLDER, [TYPED_ANSWER] * 5))
    told(lambda: world.rehearse.answer(HOLDER, list(ANSWERS[HOLDER].values())))
    told(lambda: world.enrol.check(world.person(HOLDER), [Chosen("neighbour", TYPED_ANSWER)], ""))
    codes["session"] = world.sessions.begin(
        "public", HOLDER, "{}", address="192.0.2.1", agent="Firefox/1"
    )
    told(lambda: world.sessions.load(codes["session"], "public"))
    told(lambda: world.parts)
    told(lambda: world.escrow.check())
    world.upkeep.run_once()
    codes["new user PIN"], codes["next SO PIN"] = token.user_pin, token.so_pin
    return codes


def test_no_secret_is_kept_or_told(loud: World, caplog: pytest.LogCaptureFixture) -> None:
    world, told = loud, Told()
    secrets = fail_everywhere(world, told)
    assert told.refusals >= 10
    secrets |= {f"answer {q}": a for q, a in ANSWERS[HOLDER].items()}
    secrets |= {f"form of {q}": normalise(a) for q, a in ANSWERS[HOLDER].items()}
    secrets |= {f"SO PIN {v}": pin for v, pin in world.so_pins("THOLDER").items()}
    secrets |= {
        "password": password_of(HOLDER),
        "typed password": TYPED_PASSWORD,
        "typed answer": TYPED_ANSWER,
        "form of the typed answer": normalise(TYPED_ANSWER),
        "old user PIN": "Old-Pin-0815",
        "the new PIN": NEW_PIN,
    }
    places = everything_written(world)
    places["log"] = "\n".join(
        f"{record.name} {record.getMessage()} {record.__dict__}" for record in caplog.records
    ).encode()
    places["answers and refusals"] = "\n".join(told.text).encode()
    for number, mail in enumerate(world.mailer.sent):
        places[f"mail {number} {mail.subject}"] = repr(mail).encode()
    leaks = [
        f"{name} in {place}"
        for name, secret in secrets.items()
        for place, content in places.items()
        if any(form in content for form in forms(secret))
        and not (name.endswith("mail code") and place.startswith("mail "))
    ]
    assert leaks == []
    assert len(places["log"]) > 1000
    assert len(places["table audit_entries"]) > 5000


def test_the_search_finds_what_is_there(loud: World, caplog: pytest.LogCaptureFixture) -> None:
    """The test above can fail: a marked word that is no secret is found where it belongs."""
    world = loud
    request = world.recover.open(
        world.person(HOLDER), by_password(world.log_in()), None, TYPED_REASON
    )
    shown = repr(world.request(request))
    places = everything_written(world)
    assert any(form in places["table requests"] for form in forms(TYPED_REASON))
    files = [name for name, content in places.items() if TYPED_REASON.encode() in content]
    assert any(name.startswith("reset.db") for name in files)
    assert any(TYPED_REASON in record.getMessage() for record in caplog.records)
    assert TYPED_REASON in shown


def test_each_mail_code_is_in_its_own_mail_only(world: World) -> None:
    request = world.open()
    world.answer(request)
    first = world.send(request)
    second = world.send(request)
    holding = {code: [m for m in world.mailer.sent if code in m.body] for code in (first, second)}
    assert [len(mails) for mails in holding.values()] == [1, 1]
    assert {m.to for mails in holding.values() for m in mails} == {recovery_of(HOLDER)}
    assert all(code not in m.subject for code, mails in holding.items() for m in mails)


def test_a_stolen_database_verifies_no_guess(world: World) -> None:
    """T4: the right answers and every row, with another HMAC key, do not fit."""

    class OtherKeys(SoftKeys):
        def hmac(self, message: bytes) -> bytes:
            return super().hmac(b"another key" + message)

    request = world.open()
    world.parts.custodian.inner._keys = OtherKeys()
    with pytest.raises(ResetError) as refused:
        world.answer(request)
    assert refused.value.code == "answers-wrong"


def test_swapped_rows_do_not_fit(world: World) -> None:
    """T4: a DBA who copies somebody's records under another name or question gains nothing."""
    request = world.open("u-second")
    with world.database.write() as uow:
        mine, theirs = uow.profiles.get(HOLDER), uow.profiles.get("u-second")
        assert mine
        assert theirs
        uow.profiles.put(replace(theirs, answers=mine.answers))
    answers = [ANSWERS[HOLDER][q] for q in request.questions]
    with pytest.raises(ResetError) as refused:
        world.recover.answer("u-second", request.id, answers, by_password(world.clock.now()))
    assert refused.value.code == "answers-wrong"
