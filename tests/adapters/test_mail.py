"""Mail in a real SMTP conversation with a real server."""

from __future__ import annotations

from collections.abc import Iterator
from email import message_from_bytes, policy
from typing import Any

import pytest
from aiosmtpd.controller import Controller

from reset.adapters.mail_smtp import SmtpMailer
from reset.errors import Unavailable
from tests.institution.ports import free_port


class _Box:
    def __init__(self) -> None:
        self.envelopes: list[Any] = []
        self.answer = "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        self.envelopes.append(envelope)
        return self.answer


@pytest.fixture
def box() -> Iterator[tuple[_Box, int]]:
    """A running SMTP server and its port."""
    kept = _Box()
    controller = Controller(kept, hostname="127.0.0.1", port=free_port(), ready_timeout=60)
    controller.start()
    try:
        yield kept, controller.port
    finally:
        controller.stop()


def _mailer(port: int, security: str = "none") -> SmtpMailer:
    return SmtpMailer("127.0.0.1", port, security, "reset@institute.example")  # type: ignore[arg-type]


def test_one_mail_to_one_address(box: tuple[_Box, int]) -> None:
    """Envelope and header carry that address and no other; non-ASCII text survives."""
    kept, port = box
    _mailer(port).send("a@b.example", "Grüße", "Zeile ä\n.\nEnde\n", "id1")
    (envelope,) = kept.envelopes
    assert envelope.rcpt_tos == ["a@b.example"]
    text = envelope.content.decode()
    assert "Auto-Submitted: auto-generated" in text
    assert "<id1@institute.example>" in text


@pytest.mark.parametrize(
    "address", ["a@b.example\r\nBcc: c@d.example", "a@b.example, c@d.example", "a@b.example\n"]
)
def test_no_address_becomes_two(box: tuple[_Box, int], address: str) -> None:
    """CR, LF and commas never add a recipient (peer failure 22)."""
    kept, port = box
    try:
        _mailer(port).send(address, "s", "b", "id1")
    except Unavailable:
        assert not kept.envelopes
        return
    assert all(len(e.rcpt_tos) == 1 for e in kept.envelopes)
    assert all("c@d.example" not in e.rcpt_tos for e in kept.envelopes)


@pytest.mark.parametrize(
    "name",
    ["=?utf-8?q?H=0ABcc:_c=40d.example=0A=0Atext?=", "=?utf-8?b?Cgp0ZXh0?=",
     "=?=?utf-8?q?=0A=0Atext?=", "=?utf-8?q?=0D=0AX-Other:_1?= H"],
)  # fmt: skip
def test_a_name_that_looks_like_an_encoded_word_is_a_name(box: tuple[_Box, int], name: str) -> None:
    """RFC 2047: the library decodes such words, line breaks and all; people choose their names."""
    kept, port = box
    _mailer(port).send("a@b.example", f"{name} asks you", "body\n", "id1")
    (envelope,) = kept.envelopes
    told = message_from_bytes(envelope.content, policy=policy.default)
    assert "Bcc" not in told
    assert "X-Other" not in told
    assert str(told["Subject"]).endswith("asks you")
    assert told.get_content().splitlines() == ["body"]


@pytest.mark.parametrize("address", ["'@[=", '?*=.:@_é*="|&\\', "():ü`{@é&}{é|", "(@.#.).]|/"])
def test_an_address_that_the_library_cannot_read_holds_up_no_other_mail(
    box: tuple[_Box, int], address: str
) -> None:
    """Its parser raises what it likes; the worker goes on only after ``Unavailable``."""
    kept, port = box
    with pytest.raises(Unavailable):
        _mailer(port).send(address, "s", "b", "id1")
    assert not kept.envelopes


def test_every_failure_is_unavailable(box: tuple[_Box, int]) -> None:
    """Nobody there, a refusal, no STARTTLS where it is demanded: the mail stays in the outbox."""
    kept, port = box
    kept.answer = "451 later"
    with pytest.raises(Unavailable):
        _mailer(port).send("a@b.example", "s", "b", "id1")
    with pytest.raises(Unavailable):
        _mailer(port, "starttls").send("a@b.example", "s", "b", "id1")
    with pytest.raises(Unavailable):
        _mailer(free_port()).send("a@b.example", "s", "b", "id1")
