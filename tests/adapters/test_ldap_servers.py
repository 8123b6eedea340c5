"""Connections to directory servers: TLS, fail-over, limits of time, many threads at once."""

from __future__ import annotations

import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from datetime import timedelta
from pathlib import Path

import pytest

from reset.adapters.ldap_link import Link
from reset.adapters.ldap_servers import CONNECTIONS, REST, Servers
from reset.errors import Busy, SettingsRefused, Unavailable
from tests.adapters.conftest import ADA, EVERYBODY, PASSWORD, Corner, people
from tests.institution.authority import Authority
from tests.institution.slapd import PEOPLE, Slapd

SECURITY = pytest.mark.parametrize("security", ["tls", "starttls"])
SHORT = 2.0  # seconds; a server that answers does so within it on a busy machine, too


class Time:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.at = 0.0

    def __call__(self) -> float:
        return self.at


def count(link: Link) -> int:
    """How many entries the server has for Ada: one."""
    entries, _ = link.entries(link.search(PEOPLE, "(uid=ada)", ["uid"], deep=True, limit=2))
    return len(entries)


def who(link: Link) -> str:
    """Which server has answered."""
    return link.address if count(link) else ""


def why(servers: Servers) -> str:
    """Why the first server cannot be used."""
    with pytest.raises(Unavailable) as refused:
        servers.examine(servers.addresses[0], count)
    return str(refused.value.data["why"])


def refused(servers: Servers) -> bool:
    """Whether neither a question nor a password gets through."""
    for question in (lambda: servers.ask(count), lambda: servers.tells_right(ADA.dn(PEOPLE), "x")):
        with pytest.raises(Unavailable) as error:
            question()
        assert error.value.data == {"part": "directory"}
    return True


@pytest.fixture
def second(corner: Corner, tmp_path: Path, authority: Authority) -> Iterator[Slapd]:
    """Another running server with the same people, for the test alone."""
    certificate = authority.issue_server(("127.0.0.1",))
    with Slapd(tmp_path / "second", certificate, authority.anchors_pem) as made:
        made.password = corner.slapd.password
        made.fill(*people())
        made.start()
        yield made


@contextmanager
def certified(corner: Corner, tmp_path: Path, certificate: tuple[Path, Path]) -> Iterator[Slapd]:
    """A running server with this certificate."""
    with Slapd(tmp_path / "other", certificate, corner.authority.anchors_pem) as made:
        made.password = corner.slapd.password
        made.fill(*people())
        made.start()
        yield made


# --- TLS --------------------------------------------------------------------------------
def test_the_server_of_the_tests_refuses_passwords_in_clear(corner: Corner) -> None:
    """So whatever works here works inside TLS."""
    words = ["-x", "-H", f"ldap://{corner.slapd.plain}", "-D", ADA.dn(PEOPLE), "-w", PASSWORD]
    done = subprocess.run(["ldapwhoami", *words], capture_output=True, text=True, check=False)
    assert "onfidentiality required" in done.stderr


@SECURITY
def test_a_server_of_another_authority_is_refused(
    corner: Corner, tmp_path: Path, security: str
) -> None:
    """With the reason for the operator."""
    other = Authority.create(tmp_path / "ca", name="Other")
    servers = corner.servers(security=security, ca_file=other.anchors_pem)  # type: ignore[arg-type]
    assert "unable to get" in why(servers) or "self-signed" in why(servers)
    assert refused(servers)


@SECURITY
@pytest.mark.parametrize("names", [("ldap.invalid",), ("127.0.0.2", "localhost")])
def test_a_certificate_for_another_host_is_refused(
    corner: Corner, tmp_path: Path, security: str, names: tuple[str, ...]
) -> None:
    """RFC 4513 section 3.1.3: the name that was connected to, not the one that resolves to it."""
    with certified(corner, tmp_path, corner.authority.issue_server(names)) as slapd:
        address = slapd.tls if security == "tls" else slapd.plain
        servers = corner.servers(PEOPLE, address, security=security)  # type: ignore[arg-type]
        assert "certificate is refused: IP address mismatch" in why(servers)
        assert refused(servers)


def test_the_name_localhost_is_checked_as_such(corner: Corner, tmp_path: Path) -> None:
    """Not as the name of this machine."""
    with certified(corner, tmp_path, corner.authority.issue_server(("localhost",))) as slapd:
        port = slapd.tls.rpartition(":")[2]
        with closing(corner.servers(PEOPLE, f"localhost:{port}")) as servers:
            assert servers.ask(count) == 1


@SECURITY
def test_a_certificate_out_of_date_is_refused(
    corner: Corner, tmp_path: Path, security: str
) -> None:
    """Before it is valid and after."""
    day = timedelta(days=1)
    for number, (starts, ends) in enumerate(((-2 * day, -day), (day, 2 * day))):
        certificate = corner.authority.issue_server(("127.0.0.1",), starts=starts, ends=ends)
        with certified(corner, tmp_path / str(number), certificate) as slapd:
            address = slapd.tls if security == "tls" else slapd.plain
            servers = corner.servers(PEOPLE, address, security=security)  # type: ignore[arg-type]
            assert "expired" in why(servers) or "not yet valid" in why(servers)
            assert refused(servers)


@pytest.mark.parametrize("content", ["", "no certificate", None])
def test_a_ca_file_that_holds_nothing(corner: Corner, tmp_path: Path, content: str | None) -> None:
    """It refuses at the start, and means no other authority (peer failure 28)."""
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_text(content)
    with pytest.raises(SettingsRefused):
        corner.servers(ca_file=file)


SUCCESS = bytes.fromhex("300c02010178070a010004000400")
ANSWERS = {
    "refused": SUCCESS.replace(b"\x0a\x01\x00", b"\x0a\x01\x02"),
    "for another message": SUCCESS.replace(b"\x02\x01\x01", b"\x02\x01\x02"),
    "another operation": SUCCESS.replace(b"\x78", b"\x61"),
    "followed in clear": SUCCESS + bytes.fromhex("300c02010261070a010004000400"),
    "no TLS after it": SUCCESS,
    "no LDAP": b"HTTP/1.1 200 OK\r\n\r\n",
    "endless": b"\x30\x84\x7f\xff\xff\xff",
    "nothing": b"",
}


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=list(ANSWERS))
def test_without_starttls_no_password_is_sent(corner: Corner, answer: bytes) -> None:
    """Whoever stands between strips TLS or talks before it: nothing follows in clear."""
    heard: list[bytes] = []

    def serve(listener: socket.socket) -> None:
        peer, _ = listener.accept()
        with peer:
            heard.append(peer.recv(4096))
            peer.sendall(answer)
            if answer:
                heard.append(peer.recv(4096))

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        servers = corner.servers(PEOPLE, address, security="starttls", timeout=SHORT)
        with pytest.raises(Unavailable):
            servers.ask(count)
        thread.join()
    assert heard[0].endswith(b"1.3.6.1.4.1.1466.20037")
    hello = b"".join(heard[1:])
    assert hello.startswith(b"\x16\x03") if answer == SUCCESS else hello == b""
    assert corner.slapd.password.encode() not in b"".join(heard)


def test_an_answer_to_starttls_that_never_ends(corner: Corner) -> None:
    """One byte after the other, each in time: the limit is for all of it."""
    stop = threading.Event()

    def serve(listener: socket.socket) -> None:
        peer, _ = listener.accept()
        with peer, suppress(OSError):
            while not stop.wait(SHORT / 10):
                peer.sendall(b"\x30\x84\x7f\xff\xff\xff" if not sent else b"\0")
                sent.append(1)

    sent: list[int] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        try:
            assert refused(corner.servers(PEOPLE, address, security="starttls", timeout=SHORT))
        finally:
            stop.set()
            thread.join()


def test_a_long_form_answer_to_starttls_is_understood(corner: Corner) -> None:
    """As Active Directory sends it: the handshake is what fails here."""
    answer = bytes.fromhex("308400000010020101788400000007") + b"\x0a\x01\x00\x04\x00\x04\x00"

    def serve(listener: socket.socket) -> None:
        peer, _ = listener.accept()
        with peer:
            peer.recv(4096)
            peer.sendall(answer[:5])
            peer.sendall(answer[5:])
            hello.append(peer.recv(4096))

    hello: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        servers = corner.servers(PEOPLE, address, security="starttls")
        with pytest.raises(Unavailable):
            servers.ask(count)
        thread.join()
    assert hello[0].startswith(b"\x16\x03")


# --- servers that die, hang and come back ---------------------------------------------------
@SECURITY
def test_the_next_server_is_asked_and_the_first_again_later(
    corner: Corner, second: Slapd, security: str
) -> None:
    """A dead one is left alone for a while; when it is back it is asked first, as before."""
    clock = Time()
    first, other = (s.tls if security == "tls" else s.plain for s in (second, corner.slapd))
    servers = corner.servers(
        PEOPLE, first, other, security=security, clock=clock  # type: ignore[arg-type]
    )  # fmt: skip

    def answers() -> list[str]:
        assert servers.tells_right(ADA.dn(PEOPLE), PASSWORD)
        return [servers.ask(who), servers.ask(who)]

    with closing(servers):
        assert answers() == [first, first]
        second.stop(signal.SIGKILL)
        assert answers() == [other, other]
        servers.close()
        mark = second.log.stat().st_size
        second.start()
        assert answers() == [other, other]
        assert second.operations(mark) == []
        clock.at += REST + 1
        servers.close()
        assert answers() == [first, first]


def test_both_dead_is_unavailable_and_ends(corner: Corner, second: Slapd) -> None:
    """No default; and it works again without a restart of the service."""
    clock = Time()
    with closing(corner.servers(PEOPLE, second.tls, "127.0.0.1:1", clock=clock)) as servers:
        assert servers.ask(count) == 1
        second.stop()
        assert refused(servers)
        second.start()
        clock.at += REST + 1
        assert servers.ask(count) == 1


def test_a_restarted_server_costs_no_error(corner: Corner, second: Slapd) -> None:
    """The kept connections are dead; each question finds a new one by itself."""
    with closing(corner.servers(PEOPLE, second.tls)) as servers, ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda _: servers.ask(count), range(32))) == [1] * 32
        second.stop()
        second.start()
        assert list(pool.map(lambda _: servers.ask(count), range(32))) == [1] * 32


@SECURITY
def test_a_silent_server_is_passed_over(corner: Corner, security: str) -> None:
    """It takes the connection and says nothing, before or inside the handshake."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        first = f"127.0.0.1:{silent.getsockname()[1]}"
        good = corner.slapd.tls if security == "tls" else corner.slapd.plain
        servers = corner.servers(
            PEOPLE, first, good, security=security, timeout=SHORT  # type: ignore[arg-type]
        )  # fmt: skip
        with closing(servers):
            assert servers.ask(who) == good
            assert servers.tells_right(ADA.dn(PEOPLE), PASSWORD)
        alone = corner.servers(PEOPLE, first, security=security, timeout=SHORT)  # type: ignore[arg-type]
        assert refused(alone)


def test_a_server_that_hangs_in_a_question_is_passed_over(corner: Corner, second: Slapd) -> None:
    """Its kept connection is still open: the limit of time ends the waiting, for a bind as well."""
    clock = Time()
    servers = corner.servers(PEOPLE, second.tls, corner.slapd.tls, timeout=SHORT, clock=clock)
    with closing(servers):
        assert servers.ask(who) == second.tls
        second.freeze()
        try:
            assert servers.ask(who) == corner.slapd.tls
            clock.at += REST + 1
            assert servers.tells_right(ADA.dn(PEOPLE), PASSWORD)
        finally:
            second.thaw()


def test_a_refused_service_account_is_no_answer(corner: Corner) -> None:
    """And says so to the operator alone."""
    servers = Servers(
        (corner.slapd.tls,), "tls", corner.authority.anchors_pem, f"cn=typo,{PEOPLE}", "wrong"
    )
    assert why(servers) == "the service account is refused"
    assert refused(servers)


# --- many at once ---------------------------------------------------------------------------
def test_threads_never_get_each_others_answers(corner: Corner) -> None:
    """Each question has its connection to itself."""
    directory = corner.directory()
    active = [e.uid for e in EVERYBODY if e.active]

    def one(number: int) -> bool:
        uid = active[number % len(active)]
        found = directory.by_uid(uid)
        return found is not None and found.uid == uid

    with ThreadPoolExecutor(24) as pool:
        assert all(pool.map(one, range(240)))


def test_more_questions_than_places_are_told_to_wait(corner: Corner) -> None:
    """``Busy``, not one more connection; every place is free again afterwards."""
    servers = corner.servers(timeout=SHORT)
    going, inside = threading.Event(), threading.Semaphore(0)

    def hold(link: Link) -> int:
        inside.release()
        going.wait(30)
        return count(link)

    with closing(servers), ThreadPoolExecutor(CONNECTIONS) as pool:
        held = [pool.submit(servers.ask, hold) for _ in range(CONNECTIONS)]
        for _ in held:
            inside.acquire()
        with pytest.raises(Busy) as busy:
            servers.ask(count)
        assert busy.value.data["retry_after"] >= 1
        going.set()
        assert [h.result() for h in held] == [1] * CONNECTIONS
        assert servers.ask(count) == 1


def test_no_connection_or_thread_is_left_behind(corner: Corner) -> None:
    """Passwords are tried on connections of their own, which end with the try."""
    before = threading.active_count()
    with closing(corner.servers()) as servers:
        for _ in range(20):
            servers.tells_right(ADA.dn(PEOPLE), "wrong")
            servers.ask(count)
        end = time.monotonic() + 60  # a thread hears of its connection's end a little later
        while threading.active_count() > before + 3 and time.monotonic() < end:
            time.sleep(0.01)
        assert threading.active_count() <= before + 3
