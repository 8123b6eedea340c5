"""The Directory port's contract, on every adapter: the same people, the same answers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reset.adapters.directory_local import LocalDirectory
from reset.adapters.hasher_argon2 import Argon2Hasher, Slots
from reset.core.identities import Person, tidy_pid
from reset.errors import BadInput, NotFound
from reset.ports import Directory
from tests.adapters.conftest import EVERYBODY, PASSWORD, ROLES, Corner
from tests.institution.slapd import CORP, PEOPLE

ADA = Person(
    "1", "ada", "Ada Alpha", "ada@i.example", "3", "4", frozenset({"office", "auditor"})
)  # fmt: skip


def _local(corner: Corner, tmp_path: Path) -> Directory:
    made = LocalDirectory(corner.store, Argon2Hasher(Slots(tmp_path / "slots")))
    word = made.hash_password(PASSWORD)
    with corner.store.write() as uow:
        for e in EVERYBODY:
            roles = frozenset(role for role, uids in ROLES.items() if e.uid in uids)
            person = Person(
                e.uid, tidy_pid(e.pid), e.name, e.mail, e.supervisor, e.representative, roles,
                e.active,
            )  # fmt: skip
            uow.people.put(person, word)
    return made


KINDS: dict[str, Callable[[Corner, Path], Directory]] = {
    "local": _local,
    "openldap": lambda corner, _: corner.directory(PEOPLE),
    "openldap by StartTLS": lambda corner, _: corner.directory(PEOPLE, security="starttls"),
    "active-directory": lambda corner, _: corner.directory(CORP),
}


@pytest.fixture(params=KINDS)
def directory(request: pytest.FixtureRequest, corner: Corner, tmp_path: Path) -> Directory:
    """Ada, Sue, Rita, and Bob, who is gone."""
    return KINDS[request.param](corner, tmp_path)


def test_the_person_with_everything(directory: Directory) -> None:
    """The same person by login name, UID and password; supervisor, representative, roles."""
    found = (
        directory.by_pid("ada"),
        directory.by_uid("1"),
        directory.check_password("ada", PASSWORD),
    )
    assert found == (ADA, ADA, ADA)
    assert directory.uid_of("ada") == "1"


def test_a_login_name_is_compared_in_its_normal_form(directory: Directory) -> None:
    """Every variant is the same name, whatever the entry says itself (T34)."""
    for pid in ("ada", "ADA", " ada ", "a\u00adda", "ａｄａ"):
        assert directory.check_password(pid, PASSWORD) == ADA
        assert directory.by_pid(pid) == ADA
    sue = directory.by_pid("sue")
    assert sue is not None
    assert (sue.uid, sue.pid) == ("3", "sue")


@pytest.mark.parametrize(
    "password", ["", " ", PASSWORD + " ", PASSWORD.lower(), PASSWORD[:-1], "*"]
)
def test_any_other_password(directory: Directory, password: str) -> None:
    """The password is never normalised (ASVS 6.2.8), and an empty one is never right."""
    assert directory.check_password("ada", password) is None


@pytest.mark.parametrize(
    "pid", ["nobody", "bob", "*", "a*", "a%", "' or 1=1 --", "ada)(uid=*", "\\61da"]
)
def test_unknown_gone_and_hostile_names(directory: Directory, pid: str) -> None:
    """None of them logs in or is found (peer failures 10, 24)."""
    assert directory.check_password(pid, PASSWORD) is None
    assert directory.by_pid(pid) is None
    assert directory.by_uid(pid) is None
    assert directory.uid_of(pid) == ""


@pytest.mark.parametrize("uid", ["", "01", "1 ", "1\u00ad", "１", "x" * 10_000])
def test_a_uid_is_compared_sign_by_sign(directory: Directory, uid: str) -> None:
    """It comes from a certificate: nothing else is the same person."""
    assert directory.by_uid(uid) is None


def test_a_name_with_nul_or_beyond_all_length(directory: Directory) -> None:
    """It finds nobody, whatever stands behind thinks of it."""
    for pid in ("\0", "", "x" * 10_000, "\ud800"):
        assert directory.check_password(pid, PASSWORD) is None
        assert directory.by_pid(pid) is None
    for uid in ("\0", "\ud800"):
        with pytest.raises(BadInput):
            directory.by_uid(uid)


def test_search(directory: Directory) -> None:
    """By parts of name, login, mail and UID; signs of patterns are plain letters."""
    assert [p for p in directory.search("ALPH")] == [ADA]
    assert [p.uid for p in directory.search("rück")] == ["4"]
    assert [p.uid for p in directory.search("rita@")] == ["4"]
    assert {"1", "3", "4"} <= {p.uid for p in directory.search("I.Example")}
    for text in ("", " \n", "%", "*", "ada*", ")(uid=*", "\\2a", "x" * 100_000):
        assert directory.search(text) == []


def test_a_supervisor_who_is_gone_approves_nothing(directory: Directory) -> None:
    """Named or not, nobody active is found."""
    rita = directory.by_uid("4")
    assert rita is not None
    assert directory.by_uid(rita.supervisor_uid) is None


def test_keeping_a_uid(directory: Directory) -> None:
    """It changes nothing for its person; nobody's UID is refused."""
    directory.keep("1")
    directory.keep("1")
    assert directory.by_uid("1") == ADA
    with pytest.raises(NotFound):
        directory.keep("5")


def test_check_is_content(directory: Directory) -> None:
    """With a directory that is all right."""
    assert directory.check()


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],  # nothing in it changes
)
@given(st.text(st.sampled_from('aAdá*()\\\0 =&|!<>~:;,+"#/\u00ad\u0301ſＡ') | st.characters()))
def test_any_text_finds_at_most_the_one_whose_name_it_is(directory: Directory, text: str) -> None:
    """RFC 4515 and RFC 4514, peer failure 24."""
    found = directory.by_pid(text)
    assert found is None or found.pid == tidy_pid(text)
    if not set(text) & {"\0", *map(chr, range(0xD800, 0xE000))}:
        named = directory.by_uid(text)
        assert named is None or named.uid == text
