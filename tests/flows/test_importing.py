"""Operator imports: all rows or none, every bad cell named with its line (S1.8, S1.9, S5.7)."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from reset.errors import (
    BadInput,
    CertificateRefused,
    LoginRefused,
    NotFound,
    ResetError,
)
from reset.flows.importing import PEOPLE, TOKENS
from tests.flows.world import (
    HOLDER,
    SECOND,
    STRANGER,
    World,
    mail_of,
    password_of,
    serial_of,
)

HEAD, TOKEN_HEAD = ",".join(PEOPLE), ",".join(TOKENS)
GOOD = "u-new,nadja,Nadja New,nadja@inst.example,,,,"


def test_people_change_and_keep_their_password(world: World) -> None:
    renamed = f"{HOLDER},holly,Holly Married,{mail_of(HOLDER)},u-boss,,help-desk office,"
    assert world.importing.people([HEAD, GOOD, renamed]) == 2
    person = world.person(HOLDER)
    assert (person.name, person.supervisor_uid) == ("Holly Married", "u-boss")
    assert person.roles == {"help-desk", "office"}
    world.log_in(HOLDER)  # an empty password keeps the one on file
    changed = f"{HOLDER},holly,Holly,{mail_of(HOLDER)},,,,a new one"
    world.importing.people([HEAD, changed])
    with pytest.raises(LoginRefused):
        world.login.with_password("holly", password_of(HOLDER), "a")
    assert world.login.with_password("holly", "a new one", "a").uid == HOLDER
    assert [e["facts"]["count"] for e in world.named("people-imported")] == [8, 2, 1]


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("u-x,xenia,Xenia,x@inst.example,,,", "8 columns"),
        ("u-x,xenia,Xenia,x@inst.example,,,,,", "8 columns"),
        (",xenia,Xenia,x@inst.example,,,,", "uid must be 1"),
        ("u-x,,Xenia,x@inst.example,,,,", "pid must be 1"),
        ("u-x,xenia,,x@inst.example,,,,", "name must be 1"),
        ("u-x,xenia,Xenia,,,,,", "mail must be 1"),
        ("u-x,xenia,Xe\x07nia,x@inst.example,,,,", "name must be 1 to 200 printable characters"),
        (f"u-x,xenia,{'X' * 201},x@inst.example,,,,", "name must be 1 to 200 printable"),
        (f"u-x,{'x' * 129},Xenia,x@inst.example,,,,", "pid must be 1 to 128 printable"),
        ("u-x,xenia,Xenia,x@inst.example;y@inst.example,,,,", "mail must be one address"),
        ("u-x,xenia,Xenia,Xenia <x@inst.example>,,,,", "mail must be one address"),
        ("u-x,xenia,Xenia,x@inst.example,,,root,", "roles are"),
        (f"{STRANGER},holly,Stan,s@inst.example,,,,", "pid: taken"),  # somebody else's login
        (f"{HOLDER},another,Holly,h@inst.example,,,,", "uid: taken"),  # S5.7
        (GOOD.replace(",,,", ",,,office"), "uid: twice"),  # which one would count?
        ("u-x,\u3164,Xenia,x@inst.example,,,,", "pid: empty"),
        ('u-x,"xenia"y,Xenia,x@inst.example,,,,', "is no CSV"),
    ],
)
def test_a_bad_person_is_named_and_nobody_is_imported(world: World, line: str, wanted: str) -> None:
    """T37: a UID keeps its login name for ever."""
    before = world.dump()
    with pytest.raises(BadInput) as refused:
        world.importing.people([HEAD, GOOD, line])
    assert refused.value.data["field"] == "line 3"
    assert wanted in str(refused.value.data["rule"])
    assert world.dump() == before


@pytest.mark.parametrize("head", ["", "uid,pid", HEAD.replace("mail", "email"), TOKEN_HEAD])
def test_the_columns_are_fixed(world: World, head: str) -> None:
    with pytest.raises(BadInput) as refused:
        world.importing.people([head, GOOD])
    assert refused.value.data["field"] == "line 1"


def broken(row: str, place: str, value: str) -> str:
    cells = row.split(",")
    cells[TOKENS.index(place)] = value
    return ",".join(cells)


@pytest.mark.parametrize(
    ("place", "value", "wanted"),
    [
        ("serial", "", "serial"),
        ("serial", "x" * 65, "serial"),
        ("serial", "T\u200b1", "serial"),
        ("holder", "u-nobody", "no person"),
        ("family", "magic", "family"),
        ("certificate", "/nowhere/file.der", "cannot read file.der"),
        ("key_id", "0x", "key_id"),
        ("so_pin", "not base64!", "base64"),
    ],
)
def test_a_bad_token_is_named_and_none_is_imported(
    world: World, place: str, value: str, wanted: str
) -> None:
    good = world.token_row("T-NEW-1", HOLDER)
    bad = broken(world.token_row("T-NEW-2", HOLDER), place, value)
    before = world.dump()
    with pytest.raises(BadInput) as refused:
        world.importing.tokens([TOKEN_HEAD, good, bad])
    assert refused.value.data["field"] == "line 3"
    assert wanted in str(refused.value.data["rule"])
    assert world.dump() == before


def test_a_certificate_file_as_programs_write_it(world: World, tmp_path: Path) -> None:
    """A byte-order mark and text stand before the PEM; one that is cut off is named."""
    row = world.token_row("T-NEW-1", HOLDER)
    der = Path(row.split(",")[TOKENS.index("certificate")]).read_bytes()
    text = x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM)
    file = tmp_path / "person.pem"
    file.write_bytes(b"\xef\xbb\xbfCertificate:\n" + text[:-30])
    with pytest.raises(BadInput, match=r"person.pem holds a PEM block that is cut off"):
        world.importing.tokens([TOKEN_HEAD, broken(row, "certificate", str(file))])
    file.write_bytes(b"\xef\xbb\xbfCertificate:\n" + text)
    assert world.importing.tokens([TOKEN_HEAD, broken(row, "certificate", str(file))]) == 1


def test_refused_certificates_and_envelopes_are_named(world: World) -> None:
    good = world.token_row("T-NEW-1", HOLDER)
    other = broken(world.token_row("T-NEW-2", SECOND), "holder", HOLDER)
    elsewhere = broken(
        world.token_row("T-NEW-2", HOLDER),
        "so_pin",
        world.token_row("T-NEW-3", HOLDER).split(",")[-1],  # sealed for another serial
    )
    before = world.dump()
    with pytest.raises(CertificateRefused) as refused:
        world.importing.tokens([TOKEN_HEAD, good, other])
    assert refused.value.data == {"rule": "uid", "line": 3}
    with pytest.raises(BadInput, match=r"line 3.*does not open"):
        world.importing.tokens([TOKEN_HEAD, good, elsewhere])
    world.authority.revoke(world.institute.members[SECOND][1])
    revoked = world.token_row("T-NEW-2", SECOND)
    with pytest.raises(CertificateRefused) as gone:
        world.importing.tokens([TOKEN_HEAD, good, revoked])
    assert gone.value.data["rule"] == "revoked"
    assert gone.value.data["line"] == 3
    assert world.dump() == before


def test_a_slip_in_another_row_does_not_fix_a_wrong_so_pin_for_ever(world: World) -> None:
    slip = world.token_row("T-NEW-1", HOLDER, so_pin="typed wrongly")
    bad = broken(world.token_row("T-NEW-2", HOLDER), "family", "magic")
    with pytest.raises(BadInput):
        world.importing.tokens([TOKEN_HEAD, slip, bad])
    right = world.token_row("T-NEW-1", HOLDER, so_pin="the right SO PIN")
    assert world.importing.tokens([TOKEN_HEAD, right]) == 1
    assert world.so_pins("T-NEW-1") == {1: "the right SO PIN"}


@pytest.mark.parametrize("again", ["registered", "twice"])
def test_a_serial_is_registered_once(world: World, again: str) -> None:
    row = world.token_row(serial_of(HOLDER) if again == "registered" else "T-NEW-1", HOLDER)
    before = world.dump()
    with pytest.raises(ResetError):
        world.importing.tokens([TOKEN_HEAD, row, row])
    assert world.dump() == before


def test_an_entry_made_anew_is_taken_on_an_operators_word(world: World) -> None:
    """S5.7: it is in the log; there is nothing to forget of others."""
    with world.database.write() as uow:
        uow.people.keep_entry(HOLDER, "aa")
        uow.people.keep_entry(HOLDER, "bb")
    with world.database.read() as uow:
        assert uow.people.entry_of(HOLDER) == "aa"
    world.importing.rebind(HOLDER)
    with world.database.read() as uow:
        assert uow.people.entry_of(HOLDER) is None
    assert world.named("person-rebound")[-1]["facts"] == {"person": HOLDER}
    before = world.dump()
    with pytest.raises(NotFound):
        world.importing.rebind(HOLDER)
    assert world.dump() == before
