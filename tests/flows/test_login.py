"""Logging in by PID and password, and by the token's certificate (S1.38, S1.55)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from reset.errors import (
    BadInput,
    Busy,
    CertificateRefused,
    LoginNeeded,
    LoginRefused,
    NotFound,
    ResetError,
    SignOnRefused,
    SlowDown,
    Unavailable,
)
from reset.flows.login import Login, network_of
from reset.ports import Attempt, Directory
from tests.flows.world import (
    HOLDER,
    SECOND,
    SECOND_TIME,
    SUPERVISOR,
    World,
    password_of,
    serial_of,
)
from tests.institution.authority import Profile, software_key

HERE, ELSEWHERE = "192.0.2.1", "192.0.2.2"


def refused(world: World, pid: str, password: str, address: str = HERE) -> ResetError:
    with pytest.raises(ResetError) as error:
        world.login.with_password(pid, password, address)
    return error.value


def test_unknown_wrong_inactive_and_without_password_are_alike(world: World) -> None:
    """T34, peer failure 12: the same error, the same work."""
    world.put_person(SECOND, active=False)
    seen = set()
    for pid, word in (
        ("holly", "wrong"),
        ("nobody", "wrong"),
        ("sam", password_of(SECOND)),
        ("sue", "anything"),  # has no password here
    ):
        before = world.hasher.count
        error = refused(world, pid, word)
        seen.add((type(error), str(error), repr(error), world.hasher.count - before))
    assert len(seen) == 1
    assert seen.pop()[0] is LoginRefused


@pytest.mark.parametrize(
    "variant",
    ["holly", "HOLLY", " holly ", "hol\u200bly", "ｈｏｌｌｙ", "holly\u00a0", "ho\u00adlly"],
)  # fmt: skip
def test_every_way_of_writing_a_name_is_the_same_name(world: World, variant: str) -> None:
    """Peer failures 6 and 23."""
    for _ in range(world.policy.login_slow_after):
        refused(world, "holly", "wrong")
    refused(world, variant, "wrong")  # counted on the same counter: from here on there is a wait
    error = refused(world, "holly", password_of(HOLDER))
    assert isinstance(error, SlowDown)
    assert error.data["retry_after"] >= 1


def test_unknown_names_slow_down_as_known_ones_do(world: World) -> None:
    """T34."""
    waits = {}
    for pid in ("holly", "nobody"):
        for _ in range(world.policy.login_slow_after + 1):
            assert isinstance(refused(world, pid, "wrong"), LoginRefused)
        waits[pid] = refused(world, pid, "wrong").data
    assert waits["holly"] == waits["nobody"]


def test_the_victim_elsewhere_is_not_locked(world: World) -> None:
    """Peer failure 41: the slow-down is of the pair of name and address."""
    for _ in range(world.policy.login_slow_after + 1):
        refused(world, "holly", "wrong", ELSEWHERE)
    assert isinstance(refused(world, "holly", password_of(HOLDER), ELSEWHERE), SlowDown)
    assert world.login.with_password("holly", password_of(HOLDER), HERE).uid == HOLDER


def test_one_network_that_tries_many_names_slows_down(world: World) -> None:
    """Guessing at many accounts from one place; others there wait seconds, never for long."""
    for n in range(world.policy.address_failures):
        assert isinstance(refused(world, f"name{n}", "wrong"), LoginRefused)
    before = world.hasher.count
    error = refused(world, "holly", password_of(HOLDER))
    assert isinstance(error, SlowDown)
    assert error.data["retry_after"] <= world.policy.address_failure_every.total_seconds()
    assert world.hasher.count == before
    assert world.login.with_password("holly", password_of(HOLDER), ELSEWHERE).uid == HOLDER
    world.clock.move(world.policy.address_failure_every)
    assert world.login.with_password("holly", password_of(HOLDER), HERE).uid == HOLDER


def test_a_network_that_has_to_wait_costs_a_name_nothing(world: World) -> None:
    """No password was looked at, so the name's own attempts are all there afterwards."""
    for n in range(world.policy.address_failures):
        refused(world, f"name{n}", "wrong")
    for _ in range(world.policy.login_slow_after + 5):
        assert isinstance(refused(world, "holly", password_of(HOLDER)), SlowDown)
    world.clock.move(world.policy.address_failure_every * world.policy.address_failures)
    for _ in range(world.policy.login_slow_after):
        assert isinstance(refused(world, "holly", "wrong"), LoginRefused)
    assert world.login.with_password("holly", password_of(HOLDER), HERE).uid == HOLDER


def test_an_outage_costs_nobody_an_attempt(world: World) -> None:
    """No verdict was given, so nobody waits for it when the directory is back."""

    class Away:
        def check_password(self, pid: str, password: str) -> None:
            raise fault

        def __getattr__(self, name: str) -> Any:
            return getattr(world.parts.directory, name)

    away = Login(replace(world.parts, directory=Away()))  # type: ignore[arg-type]
    for fault in (Unavailable(part="directory"), Busy(retry_after=3)):
        for _ in range(world.policy.address_failures):
            with pytest.raises(type(fault)):
                away.with_password("holly", password_of(HOLDER), HERE)
    for _ in range(world.policy.login_slow_after):
        assert isinstance(refused(world, "holly", "wrong"), LoginRefused)
    assert world.login.with_password("holly", password_of(HOLDER), HERE).uid == HOLDER


def test_right_passwords_from_one_network_slow_nobody_down(world: World) -> None:
    """A whole campus behind one address."""
    for _ in range(world.policy.address_failures + 20):
        world.login.with_password("holly", password_of(HOLDER), HERE)


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("unknown", "unknown"),
        ("", "unknown"),
    ],
)
def test_a_customer_with_many_addresses_is_one_network(address: str, network: str) -> None:
    assert network_of(address) == network


def test_the_wait_grows_ends_and_a_success_forgets_it(world: World) -> None:
    """Peer failure 9: a right password restores exactly what was free, and the wait does not."""
    longest = world.policy.login_slow_longest
    for _ in range(world.policy.login_slow_after + 1):
        refused(world, "holly", "wrong")
    first = refused(world, "holly", "wrong").data["retry_after"]
    world.clock.move(longest)
    refused(world, "holly", "wrong")
    assert refused(world, "holly", "wrong").data["retry_after"] > first
    world.clock.move(longest)
    assert world.login.with_password("holly", password_of(HOLDER), HERE).uid == HOLDER
    for _ in range(world.policy.login_slow_after):
        assert isinstance(refused(world, "holly", "wrong"), LoginRefused)


def test_a_refusal_by_the_slow_down_hashes_nothing(world: World) -> None:
    for _ in range(world.policy.login_slow_after + 1):
        refused(world, "holly", "wrong")
    before = world.hasher.count
    assert isinstance(refused(world, "holly", password_of(HOLDER)), SlowDown)
    assert world.hasher.count == before


@pytest.mark.parametrize("pid", ["", " ", "\u200b", "\t\n", "x" * 129])
def test_no_name_is_no_attempt(world: World, pid: str) -> None:
    """Peer failure 10: no counter of anybody changes."""
    before = world.dump()
    error = refused(world, pid, "word")
    assert isinstance(error, BadInput)
    assert error.data["field"] == "pid"
    assert world.dump() == before


@pytest.mark.parametrize("password", ["", "x" * 257, "ä" * 129, "x" * 1_000_000])
def test_no_or_long_passwords_are_refused_before_hashing(world: World, password: str) -> None:
    """Peer failures 18 and 34."""
    before, count = world.dump(), world.hasher.count
    assert refused(world, "holly", password).data["field"] == "password"
    assert (world.dump(), world.hasher.count) == (before, count)


@pytest.mark.parametrize("password", ["pass word of u-holder!", "Pass word of u-holder! "])
def test_a_password_is_compared_as_typed(world: World, password: str) -> None:
    assert isinstance(refused(world, "holly", password), LoginRefused)


def test_names_that_nobody_has_are_not_in_the_log(world: World) -> None:
    """People type passwords into the field of the name."""
    refused(world, "My-Secret-Password-1", "x")
    refused(world, "holly", "x")
    actors = [entry["actor"] for entry in world.named("login-refused")]
    assert actors == ["unknown", HOLDER]
    assert "my-secret" not in str(world.dump()["audit_entries"]).lower()
    world.login.with_password("holly", password_of(HOLDER), HERE)
    assert world.named("login")[-1]["facts"] == {"address": HERE}


# --- certificates -------------------------------------------------------------------------
def rule(world: World, certificate: bytes) -> str:
    with pytest.raises(CertificateRefused) as error:
        world.login.with_certificate(certificate)
    return str(error.value.data["rule"])


def test_the_enrolled_certificate_logs_in(world: World) -> None:
    login = world.login.with_certificate(world.institute.members[SUPERVISOR][1])
    assert (login.person.uid, login.token.serial) == (SUPERVISOR, serial_of(SUPERVISOR))
    world.login.note_certificate(login, HERE)
    assert world.events()[-1]["event"] == "certificate-login"


def test_any_other_certificate_does_not(world: World) -> None:
    """S1.39, T11, T12, peer failure 27: the same key, the same name, the same serial number."""
    key, enrolled = world.institute.members[HOLDER]
    issue = world.authority.issue_person
    again = issue(uid=HOLDER, name="Holly Holder", public_key=key.public_key())
    assert rule(world, again) == "not-enrolled"
    other = software_key("p256").public_key()
    assert rule(world, issue(uid=HOLDER, name="x", public_key=other)) == "not-enrolled"
    assert rule(world, issue(uid="u-nobody", name="x", public_key=other)) == "person"
    late = Profile(ends=-Profile().starts * 0)
    assert rule(world, issue(uid=HOLDER, name="x", public_key=other, profile=late)) == "expired"
    assert rule(world, b"") == rule(world, enrolled + b"\0") == "malformed"


def test_a_revoked_certificate_or_a_person_who_left(world: World) -> None:
    """T12."""
    world.put_person(SECOND, active=False)
    assert rule(world, world.institute.members[SECOND][1]) == "person"
    world.authority.revoke(world.institute.members[HOLDER][1])
    assert rule(world, world.institute.members[HOLDER][1]) == "revoked"


def test_a_retired_token_logs_nobody_in(world: World) -> None:
    """S1.82."""
    world.put_token(HOLDER, state="retired")
    assert rule(world, world.institute.members[HOLDER][1]) == "not-enrolled"


# --- single sign-on -----------------------------------------------------------------------
class Told:
    """A provider that names whoever the test says; the real one is in tests/adapters."""

    def __init__(self, pid: str, fault: ResetError | None = None) -> None:
        self.pid, self.fault = pid, fault

    def address(self, attempt: Attempt) -> str:
        return "https://login.inst.example"

    def redeem(self, code: str, attempt: Attempt, at: datetime) -> str:
        if self.fault:
            raise self.fault
        return self.pid

    def check(self) -> Mapping[str, str]:
        return {}


class Noting:
    """The directory, and whose UID it was asked to note."""

    def __init__(self, real: Directory) -> None:
        self.real, self.kept = real, []

    def keep(self, uid: str) -> None:
        self.real.keep(uid)
        self.kept.append(uid)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)


def signed_on(world: World, provider: Told) -> tuple[Login, Noting]:
    noting = Noting(world.parts.directory)
    return Login(replace(world.parts, sign_on=provider, directory=noting)), noting


ATTEMPT = Attempt("state", "nonce", "verifier")


@pytest.mark.parametrize("pid", ["holly", "HOLLY", "Holly"])
def test_a_single_sign_on_names_a_person_of_the_directory(world: World, pid: str) -> None:
    """S5.7: from then on the UID is noted, as after a password."""
    login, noting = signed_on(world, Told(pid))
    assert login.with_sign_on("code", ATTEMPT, HERE).uid == HOLDER
    assert noting.kept == [HOLDER]


@pytest.mark.parametrize(
    "pid",
    ["nobody", "", "*", "h" * 5000, "\u00ad", "holly,sam",
     # may be other accounts of the provider; without a password the name is all there is
     "holly\0", " holly", "holly ", "hol ly", "ho\u00adlly", "ho\u200blly", "holly\u200b",
     "ho\u1d38ly", "ho\u0131ly", "ｈolly", "ｈｏｌｌｙ", "ℋolly", "𝐡olly"],
)  # fmt: skip
def test_and_nobody_else(world: World, pid: str) -> None:
    """Peer failure 23."""
    login, noting = signed_on(world, Told(pid))
    with pytest.raises(SignOnRefused) as refused_:
        login.with_sign_on("code", ATTEMPT, HERE)
    assert refused_.value.data == {"rule": "person"}
    assert noting.kept == []
    assert world.named("login-refused")[-1]["facts"]["by"] == "single-sign-on"


def test_refused_sign_ons_slow_a_network_down(world: World) -> None:
    login, _ = signed_on(world, Told("", SignOnRefused(rule="code")))
    for _ in range(world.policy.address_failures):
        with pytest.raises(SignOnRefused):
            login.with_sign_on("code", ATTEMPT, HERE)
    with pytest.raises(SlowDown):
        login.with_sign_on("code", ATTEMPT, HERE)


def test_a_provider_that_is_away_costs_nothing(world: World) -> None:
    login, _ = signed_on(world, Told("", Unavailable(part="single-sign-on")))
    for _ in range(world.policy.address_failures + 1):
        with pytest.raises(Unavailable):
            login.with_sign_on("code", ATTEMPT, HERE)


def test_without_a_provider_there_is_none(world: World) -> None:
    with pytest.raises(NotFound):
        world.login.with_sign_on("code", ATTEMPT, HERE)


# --- sessions -----------------------------------------------------------------------------
def test_a_session_that_was_ended_meanwhile_is_not_renewed(world: World) -> None:
    """T22: its holder ends it while a thief's request is on the way."""
    sessions = world.sessions
    cookie = sessions.begin("public", HOLDER, "{}", address="192.0.2.1", agent="Firefox/1")
    loaded = sessions.load(cookie, "public")
    assert loaded
    here = sessions.load(
        sessions.begin("public", HOLDER, "{}", address="192.0.2.2", agent="Firefox/1"), "public"
    )
    assert here
    sessions.end_others(HOLDER, here)
    with pytest.raises(LoginNeeded):
        sessions.renew(loaded, "{}")
    assert sessions.of_person(HOLDER) == [here]


def test_sessions_end_by_idleness_age_and_logout(world: World) -> None:
    sessions, policy = world.sessions, world.policy
    cookie = sessions.begin("public", HOLDER, "{}", address="192.0.2.1", agent="Firefox/1")
    assert cookie not in str(world.dump()["sessions"])
    assert sessions.load(cookie, "certificate") is None  # S1.39: one site each
    for _ in range(40):
        world.clock.move(policy.session_idle * 0.9)
        session = sessions.load(cookie, "public")
        if session is None:
            break
        sessions.touch(session)
    assert world.clock.now() - world.place.at >= policy.session_absolute * 0.95
    assert sessions.load(cookie, "public") is None
    other = sessions.begin("public", HOLDER, "{}", address="192.0.2.1", agent="Firefox/1")
    world.clock.move(policy.session_idle)
    assert sessions.load(other, "public") is None
    third = sessions.begin("public", HOLDER, "{}", address="192.0.2.1", agent="Firefox/1")
    session = sessions.load(third, "public")
    assert session
    sessions.end(session)
    assert sessions.load(third, "public") is None
    assert [(e["event"], e["actor"]) for e in world.events()][-1] == ("logout", HOLDER)
    world.clock.move(SECOND_TIME)
    assert world.upkeep.purge() == 2
    assert world.dump()["sessions"] == []


def test_an_ended_session_stays_ended_whatever_is_under_way(world: World) -> None:
    """T22: a step that began before the end gives no new cookie after it."""
    sessions = world.sessions
    cookie = sessions.begin("public", HOLDER, "{}", address=HERE, agent="")
    session = sessions.load(cookie, "public")
    assert session
    sessions.end_one(HOLDER, session.handle)
    with pytest.raises(LoginNeeded):
        sessions.renew(session, "{}")
    sessions.keep(session, '{"a": 1}')
    assert sessions.of_person(HOLDER) == []
    assert sessions.load(cookie, "public") is None
