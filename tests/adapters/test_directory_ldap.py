"""People in LDAP, on a real server: what the contract does not say (docs/identity.md)."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from reset.adapters.directory_ldap import LdapDirectory
from reset.errors import NotFound, SettingsRefused, Unavailable
from tests.adapters.conftest import ADA, EXPIRED, PASSWORD, SCHEMAS, STRICT, SUE, Corner
from tests.institution.slapd import CORP, GROUPS, PEOPLE, Entry, group

TREES = pytest.mark.parametrize("tree", [PEOPLE, CORP])
NEW = Entry("7", "mae", "Mae", "mae@i.example", PASSWORD)


@contextmanager
def added(corner: Corner, *entries: str) -> Iterator[None]:
    """Entries that are there for a while."""
    dns = [entry.split("\n", 1)[0].removeprefix("dn: ") for entry in entries]
    for entry in entries:
        corner.slapd.add(entry)
    try:
        yield
    finally:
        for dn in dns:
            corner.slapd.remove(dn)


def new(pid: str, uid: str = "", more: str = "", tree: str = PEOPLE) -> str:
    """The LDIF of somebody with this login name."""
    uid = uid or secrets.token_hex(4)
    return Entry(uid, pid, "Somebody", "s@i.example", PASSWORD, more=more).ldif(tree)


def refusals(caplog: pytest.LogCaptureFixture) -> str:
    """What the directory's log says."""
    return "\n".join(r.getMessage() for r in caplog.records if r.name == "reset.directory")


# --- what is tried with a password ------------------------------------------------------
@TREES
def test_unknown_and_wrong_take_the_same_operations(corner: Corner, tree: str) -> None:
    """T34: counted in the server's own log; only a right password is followed by a question."""
    directory = corner.directory(tree)
    directory.by_uid("1")  # the connection is made
    seen = {}
    for pid, password in (("ada", "wrong"), ("nobody", "wrong"), ("bob", PASSWORD)):
        mark = corner.slapd.log.stat().st_size
        assert directory.check_password(pid, password) is None
        directory.uid_of(pid)  # for the record of the refusal
        seen[pid] = corner.slapd.operations(mark)
    assert seen["ada"] == seen["nobody"] == seen["bob"] == ["SRCH base", "BIND dn", "SRCH base"]


@TREES
def test_an_empty_password_never_reaches_the_server(corner: Corner, tree: str) -> None:
    """An unauthenticated bind succeeds (RFC 4513 section 5.1.2, peer failure 18)."""
    directory = corner.directory(tree)
    mark = corner.slapd.log.stat().st_size
    for password in ("", "x" * 257, "\ud800"):
        assert directory.check_password("ada", password) is None
    assert corner.slapd.operations(mark) == []


@pytest.mark.parametrize("password", ["pass\0word", " pass ", "ﬁ", "e\u0301", "*)(uid=*"])
def test_a_password_is_sent_as_typed(corner: Corner, password: str) -> None:
    """No sign is changed, dropped or understood (ASVS 6.2.8)."""
    directory = corner.directory()
    with added(corner, replace(NEW, password=password).ldif(PEOPLE)):
        assert directory.check_password("mae", password) is not None
        for other in (password.strip(), password.split("\0")[0], "fi", "\u00e9"):
            assert (directory.check_password("mae", other) is None) == (other != password)


@TREES
def test_a_changed_password_acts_at_once(corner: Corner, tree: str) -> None:
    """ASVS 8.3.2."""
    directory = corner.directory(tree)
    with added(corner, NEW.ldif(tree)):
        assert directory.check_password("mae", PASSWORD) is not None
        corner.slapd.set(NEW.dn(tree), "userPassword", "another 1")
        assert directory.check_password("mae", PASSWORD) is None
        assert directory.check_password("mae", "another 1") is not None


def test_locked_expired_and_to_be_changed_are_wrong(corner: Corner) -> None:
    """The server says why, the person is not told; a lock by guesses ends no session."""
    directory = corner.directory()
    assert directory.by_uid(EXPIRED.uid) is not None
    assert directory.check_password(EXPIRED.pid, PASSWORD) is None
    with added(corner, new("mae", "7", STRICT), new("max", "8", f"{STRICT}\npwdReset: TRUE")):
        assert directory.check_password("max", PASSWORD) is None
        assert directory.check_password("mae", PASSWORD) is not None
        for _ in range(2):
            assert directory.check_password("mae", "wrong") is None
        assert directory.check_password("mae", PASSWORD) is None
        assert directory.by_uid("7") is not None


# --- who is found ---------------------------------------------------------------------
@TREES
def test_who_leaves_is_gone_at_once(corner: Corner, tree: str) -> None:
    """Removed or disabled: nobody from the next question on."""
    directory = corner.directory(tree)
    corner.slapd.add(NEW.ldif(tree))
    assert directory.by_uid("7") is not None
    corner.slapd.remove(NEW.dn(tree))
    assert directory.by_uid("7") is None
    assert directory.check_password("mae", PASSWORD) is None
    with added(corner, replace(NEW, active=False).ldif(tree)):
        assert directory.by_uid("7") is None
        assert directory.search("mae") == []


@TREES
def test_two_entries_with_one_name_are_nobody(
    corner: Corner, tree: str, caplog: pytest.LogCaptureFixture
) -> None:
    """By login name and by UID; both is written down, no name is."""
    directory = corner.directory(tree)
    twin = new("ADA", "9", tree=tree)
    with added(corner, twin):
        assert directory.check_password("ada", PASSWORD) is None
        assert directory.by_pid("ada") is None
        assert directory.by_uid("1") is not None
    kind, value = ("uid", "employeeNumber") if tree == PEOPLE else ("cn", "employeeID")
    other = new("eve", "10", tree=tree).replace(f"{value}: 10", f"{value}: 1")
    if tree == PEOPLE:
        other = other.replace(f"dn: {value}=10", f"dn: {kind}=eve")
    with added(corner, other):
        assert directory.by_uid("1") is None
        assert directory.check_password("eve", PASSWORD) is None
    assert refusals(caplog).count("two entries") >= 3
    assert "ada" not in refusals(caplog).lower()


def test_what_the_server_takes_for_the_same_is_not_enough(corner: Corner) -> None:
    """Every name that finds a person must be counted as that person's (T34)."""
    loose = replace(SCHEMAS[PEOPLE], login="telephoneNumber")  # blanks and hyphens do not count
    directory = corner.directory(schema=loose)
    with added(
        corner, new("x", "7", "telephoneNumber: 12-34"), new("y", "8", "telephoneNumber: 56")
    ):
        assert directory.by_pid("1234") is None
        assert directory.check_password("1234", PASSWORD) is None
        assert directory.check_password("56", PASSWORD) is not None
    directory = corner.directory()
    with added(corner, new("mae", "A7")):
        assert directory.by_uid("A7") is not None
        assert directory.by_uid("a7") is None


@pytest.mark.parametrize("more", ["uid: alias", "mail: second@i.example", "cn: Second Name"])
def test_more_than_one_value_is_nobody(
    corner: Corner, more: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Two names would be two counters of failures; of two addresses none is the right one."""
    directory = corner.directory()
    with added(corner, new("mae", "7", more)):
        assert directory.by_uid("7") is None
        for pid in ("mae", "alias"):
            assert directory.check_password(pid, PASSWORD) is None
    assert "not one" in refusals(caplog)


@pytest.mark.parametrize(
    ("attribute", "value"),
    [("mail", "Mae <mae@i.example>"), ("cn", "Ma\u202ee"), ("cn", "x" * 201), ("mail", "a@b,c@d")],
)
def test_the_rules_of_an_import_hold_here_too(corner: Corner, attribute: str, value: str) -> None:
    """A mail goes to one plain address, a name can be shown."""
    entry = replace(NEW, **{{"cn": "name"}.get(attribute, attribute): value})
    with added(corner, entry.ldif(PEOPLE)):
        assert corner.directory().by_uid("7") is None


def test_names_with_signs_of_filters_and_dns(corner: Corner) -> None:
    """They are names like others, and find their own entry only."""
    names = ("a*", "(ada)", "a\\2a", "a,b=c+d", '"#<>;', "ada)(uid=*")
    directory = corner.directory()
    with added(corner, *(new(name) for name in names)):
        for name in names:
            found = directory.check_password(name, PASSWORD)
            assert found is not None
            assert found.pid == name
            assert [p.pid for p in directory.search(name)] == [name]


def test_referrals_are_not_followed(corner: Corner) -> None:
    """Neither an entry that points elsewhere nor a supervisor there is asked for."""
    with socket.create_server(("127.0.0.1", 0)) as elsewhere:
        elsewhere.setblocking(False)
        url = f"ldap://127.0.0.1:{elsewhere.getsockname()[1]}/ou=people,dc=else"
        there = f"dn: cn=there,{PEOPLE}\nobjectClass: referral\nobjectClass: extensibleObject\n"
        there += f"cn: there\nref: {url}\n"
        directory = corner.directory()
        corner.slapd.add(new("mae", "7", f"manager: uid=x,cn=there,{PEOPLE}"))
        corner.slapd.add(there)
        try:
            found = directory.by_uid("7")
            assert found is not None
            assert found.supervisor_uid == ""
            assert directory.by_pid("nobody") is None
            with pytest.raises(BlockingIOError):
                elsewhere.accept()
        finally:
            corner.slapd.change(
                f"dn: cn=there,{PEOPLE}\ncontrol: 2.16.840.1.113730.3.4.2\nchangetype: delete\n"
            )
            corner.slapd.remove(f"employeeNumber=7,{PEOPLE}")


def test_people_named_by_uid(corner: Corner) -> None:
    """Where the attribute holds a UID instead of a DN; several are nobody."""
    schema = replace(SCHEMAS[PEOPLE], supervisor="employeeType", named_by="uid", representative="")
    directory = corner.directory(schema=schema)
    more = "employeeType: 3"
    with added(corner, new("mae", "7", more), new("max", "8", f"{more}\nemployeeType: 4")):
        found, several = directory.by_uid("7"), directory.by_uid("8")
        assert found is not None
        assert several is not None
        assert (found.supervisor_uid, found.representative_uid) == ("3", "")
        assert several.supervisor_uid == ""


def test_several_managers_are_none(corner: Corner) -> None:
    """Nobody knows which of them is meant: the office has to."""
    more = f"manager: {ADA.dn(PEOPLE)}\nmanager: {SUE.dn(PEOPLE)}"
    with added(corner, new("mae", "7", more)):
        found = corner.directory().by_uid("7")
        assert found is not None
        assert found.supervisor_uid == ""


@TREES
def test_a_role_ends_with_the_membership(corner: Corner, tree: str) -> None:
    """At once."""
    directory = corner.directory(tree)
    dn = f"cn=office,{GROUPS[tree]}"
    corner.slapd.set(dn, "member", SUE.dn(tree))
    try:
        ada, sue = directory.by_uid("1"), directory.by_uid("3")
        assert ada is not None
        assert sue is not None
        assert (ada.roles, sue.roles) == ({"auditor"}, {"office"})
    finally:
        corner.slapd.remove(dn)
        corner.slapd.add(group("office", ["1", "3"], tree))


def test_search_stops_at_twenty(corner: Corner) -> None:
    """However many there are."""
    with added(corner, *(new(f"many{n}") for n in range(25))):
        assert len(corner.directory().search("many")) == 20


# --- whose UID it is --------------------------------------------------------------------
@TREES
@pytest.mark.parametrize("noted", ["login", "token"])
def test_a_uid_given_to_another_entry_is_nobody(
    corner: Corner, tree: str, noted: str, caplog: pytest.LogCaptureFixture
) -> None:
    """S5.7, T37: from the first login, or from the import of the person's token."""
    directory = corner.directory(tree)
    with added(corner, NEW.ldif(tree)):
        if noted == "login":
            assert directory.check_password("mae", PASSWORD) is not None
        else:
            directory.keep("7")
        corner.slapd.set(NEW.dn(tree), "mail", "married@i.example")
        assert directory.by_uid("7") is not None  # the same entry may change
    later = replace(NEW, pid="eve", name="Eve", mail="eve@i.example")
    with added(corner, later.ldif(tree)):
        assert directory.check_password("eve", PASSWORD) is None
        assert directory.by_uid("7") is directory.by_pid("eve") is None
        assert directory.uid_of("eve") == ""
        assert directory.search("eve") == []
        with pytest.raises(NotFound):
            directory.keep("7")
        assert "another entry's" in refusals(caplog)
        with corner.store.write() as uow:
            assert uow.people.forget_entry("7")
        assert directory.check_password("eve", PASSWORD) is not None


# --- set up wrongly ---------------------------------------------------------------------
def test_a_filter_or_attribute_that_the_server_does_not_know(corner: Corner) -> None:
    """No default, no partial answer."""
    for changed in ({"active": "(broken"}, {"member": "noSuchAttribute"}):
        directory = corner.directory(schema=replace(SCHEMAS[PEOPLE], **changed))
        with pytest.raises(Unavailable):
            directory.by_uid("1")
    none = corner.directory(schema=replace(SCHEMAS[PEOPLE], uid="noSuchAttribute"))
    assert none.by_uid("1") is None


def test_check_says_what_is_wrong(corner: Corner) -> None:
    """Nobody there, no such group, no such base."""
    servers = corner.servers()

    def why(base: str, roles: dict[str, str]) -> str:
        with pytest.raises(Unavailable) as refused:
            LdapDirectory(servers, SCHEMAS[PEOPLE], base, roles, corner.store).check()
        return str(refused.value.data["why"])

    assert "nobody below" in why(GROUPS[PEOPLE], {})
    assert "No such object" in why("ou=typo,dc=institute,dc=example", {})
    assert "role office" in why(PEOPLE, {"office": f"cn=typo,{GROUPS[PEOPLE]}"})


def test_what_is_no_dn_is_refused_at_the_start(corner: Corner) -> None:
    """Of people and of groups."""
    for base, roles in (("people", {}), (PEOPLE, {"office": "office"})):
        with pytest.raises(SettingsRefused):
            LdapDirectory(corner.servers(), SCHEMAS[PEOPLE], base, roles, corner.store)
