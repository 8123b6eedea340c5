"""The custodian process: who is answered, what survives, and what never gets out."""

from __future__ import annotations

import base64
import contextlib
import os
import resource
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from reset.adapters.custodian_client import CustodianClient
from reset.core import custodian_wire as wire
from reset.custodian import server
from reset.errors import ReleaseRefused, SettingsRefused, Unavailable
from reset.ports import Custodian
from tests.custodian import served
from tests.custodian.conftest import Process
from tests.custodian.scene import SO_PIN, Case, Institution
from tests.institution.softhsm import hanging


def raw_reply(path: Path, request: bytes) -> bytes:
    """What the custodian answers to these bytes; the end of sending is told."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(60)
        connection.connect(str(path))
        connection.sendall(request)
        found = b""
        while piece := connection.recv(65_536):
            found += piece
        return found


def test_a_foreign_user_is_not_answered(own_process: Process) -> None:
    own_process.start(os.geteuid() + 1)
    with pytest.raises(Unavailable) as refused:
        own_process.client().health()
    assert refused.value.data == {"part": "custodian"}
    assert f"refused a process of user {os.geteuid()}" in own_process.log.read_text()


def test_silent_peers_hold_nobody_up_for_long(process: Process) -> None:
    half = wire.frame(wire.encode_request("health", {}))[:-1]
    for said in (b"", b"\0", half):
        with socket.socket(socket.AF_UNIX) as silent:
            silent.connect(str(process.socket))
            silent.sendall(said)
            assert process.client(served.DEADLINE + 20).health()["hsm"] == "ok"


def test_broken_requests_get_an_error_and_do_no_harm(process: Process) -> None:
    for body in (b"{", b"[]", b'{"operation": "close", "arguments": {}}', b"\xff" * 9):
        reply = raw_reply(process.socket, wire.frame(body))
        assert reply[4:] == b'{"error":"bad-request","data":{}}', body
    for header in (bytes(4), b"\xff\xff\xff\xff"):
        assert b"bad-request" in raw_reply(process.socket, header)
    assert process.client().health()["hsm"] == "ok"


def test_memory_is_not_dumped(process: Process) -> None:
    assert "dumpable 0" in process.log.read_text()


def test_an_unexpected_failure_is_unavailable_and_logged_without_arguments(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(**_: object) -> None:
        raise ZeroDivisionError(SO_PIN)

    request = wire.encode_request("hmac", {"message": SO_PIN.encode()})
    reply = server.answer({"hmac": fail}, request)
    with pytest.raises(Unavailable):
        wire.decode_reply("hmac", reply.body)
    assert [record.getMessage() for record in caplog.records] == [
        "hmac failed: ZeroDivisionError in fail"
    ]
    assert caplog.records[0].exc_info is None


# --- starting and ending ------------------------------------------------------------------
def test_term_ends_it_and_the_journal_stays(own_process: Process, institution: Institution) -> None:
    child = own_process.start()
    token = Case(own_process.client(), institution)
    sealed, order = token.imported(), token.order()
    opened = token.opened(token.custodian.release(order), order)
    key = token.custodian.import_key()
    child.terminate()
    assert child.wait(60) == 0
    assert not own_process.socket.exists()
    with pytest.raises(Unavailable):
        token.custodian.health()
    own_process.start()
    assert token.stored(1) == sealed
    assert token.custodian.import_key() == key
    assert token.opened(token.custodian.release(order), order) == opened
    with pytest.raises(ReleaseRefused):
        token.custodian.release(token.order(operation_id="other"))


@pytest.mark.parametrize("call", ["hmac", "store", "release"])
def test_a_lost_hsm_ends_it_and_a_new_process_goes_on(
    own_process: Process, institution: Institution, call: str
) -> None:
    """Meanwhile no sealed SO PIN is called broken because it cannot be opened."""
    child = own_process.start()
    token = Case(own_process.client(), institution)
    token.imported()
    order = token.order()
    calls: dict[str, Callable[[], object]] = {
        "hmac": lambda: token.custodian.hmac(b"a tag"),
        "store": lambda: token.stored(3),
        "release": lambda: token.custodian.release(order),
    }
    tokens = own_process.directory / "tokens"
    tokens.rename(own_process.directory / "away")
    with pytest.raises(Unavailable) as refused:
        calls[call]()
    assert refused.value.data["part"] == "hsm"
    assert child.wait(60) == 1
    (own_process.directory / "away").rename(tokens)
    own_process.start()
    calls[call]()
    assert token.opened(token.custodian.release(order), order)


def test_a_hanging_hsm_ends_it_and_a_new_process_goes_on(
    own_process: Process, institution: Institution
) -> None:
    child = own_process.start()
    token = Case(own_process.client(), institution)
    token.imported()
    order = token.order()
    with hanging(own_process.directory / "tokens"):
        with pytest.raises(Unavailable):
            token.custodian.release(order)
        assert child.wait(60) == 1
        assert own_process.begin().wait(60) == 1  # it cannot be opened either
    said = own_process.log.read_text()
    assert said.count("Timeout") == 2
    assert SO_PIN not in said
    own_process.start()
    assert token.opened(token.custodian.release(order), order)


def test_memory_is_locked_where_nothing_limits_it(own_process: Process) -> None:
    """What it may lock is what this process may: systemd raises it by LimitMEMLOCK."""
    before = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    with contextlib.suppress(ValueError, PermissionError):  # only root raises the hard limit
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (resource.RLIM_INFINITY,) * 2)
    unlimited = resource.getrlimit(resource.RLIMIT_MEMLOCK)[0] == resource.RLIM_INFINITY
    try:
        child = own_process.start()
    finally:
        resource.setrlimit(resource.RLIMIT_MEMLOCK, before)
    status = Path(f"/proc/{child.pid}/status").read_text()
    locked = next(line.split()[1] for line in status.splitlines() if line.startswith("VmLck"))
    assert (int(locked) > 0) == unlimited
    assert own_process.client().health()["hsm"] == "ok"


def test_a_stale_socket_is_replaced_and_a_live_one_is_not(
    own_process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = own_process.start()
    monkeypatch.setattr(server, "handlers", lambda _: {})
    assert "another custodian runs" in refuses(own_process.socket)
    # it waits for requests: nothing of the SoftHSM is being written
    child.send_signal(signal.SIGKILL)
    child.wait(60)
    assert own_process.socket.exists()
    own_process.start()
    assert own_process.client().health()["hsm"] == "ok"


NOBODY: Custodian = object()  # type: ignore[assignment]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A socket path with a directory of its own, for servers that refuse to start."""
    monkeypatch.setattr(server, "handlers", lambda _: {})
    (tmp_path / "run").mkdir(mode=0o700)
    return tmp_path / "run" / "socket"


def refuses(path: Path, *uids: int) -> str:
    nobody = contextlib.nullcontext(NOBODY)
    with pytest.raises(SettingsRefused) as refused:
        server.serve(nobody, path, allowed_uids=uids or (os.geteuid(),))
    return str(refused.value)


@pytest.mark.parametrize("mode", [0o701, 0o710, 0o750, 0o770, 0o777])
def test_a_directory_that_others_reach(place: Path, mode: int) -> None:
    place.parent.chmod(mode)
    assert "must be the custodian's" in refuses(place)


@pytest.mark.parametrize("mode", [0o701, 0o720, 0o754])
def test_another_user_may_pass_by_the_group_only(place: Path, mode: int) -> None:
    place.parent.chmod(mode)
    assert "must be the custodian's" in refuses(place, os.geteuid() + 1)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give the directory away")
def test_a_directory_of_somebody_else(place: Path) -> None:
    os.chown(place.parent, 12345, -1)
    assert "must be the custodian's" in refuses(place)


def test_what_lies_at_the_path(place: Path) -> None:
    place.write_text("a file")
    assert "is no socket" in refuses(place)
    place.unlink()
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(place))
        other.listen()
        assert "another custodian answers" in refuses(place)
    assert place.exists()
    assert "No such file" in refuses(place.parent / "none" / "socket")


# --- the client -----------------------------------------------------------------------------
@pytest.mark.parametrize(
    "reply",
    [
        b"",
        b"\0\0",
        b"\xff\xff\xff\xff",
        wire.frame(b"{"),
        wire.frame(b'{"result": 7}'),
        wire.frame(b'{"error": "settings-refused", "data": {}}'),
        wire.frame(b'{"error": "bad-request", "data": {}}'),
        wire.frame(b'{"result": "AAAA"}')[:-1],
    ],
)
def test_any_broken_answer_is_unavailable(tmp_path: Path, reply: bytes) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def answer() -> None:
            connection = listener.accept()[0]
            with connection:
                connection.recv(65_536)
                connection.sendall(reply)

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(Unavailable) as refused:
            CustodianClient(path).hmac(b"m")
        thread.join()
    assert refused.value.data == {"part": "custodian"}


def test_a_custodian_that_never_answers(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen()
        start = time.monotonic()
        with pytest.raises(Unavailable):
            CustodianClient(tmp_path / "s", 0.2).health()
        assert time.monotonic() - start < 10  # not the usual 15 seconds
    with pytest.raises(Unavailable):
        CustodianClient(tmp_path / "none").health()
    with pytest.raises(Unavailable):
        CustodianClient(tmp_path / "s").hmac(bytes(wire.LIMIT))


# --- what never gets out ----------------------------------------------------------------------
def test_no_so_pin_in_logs_files_or_replies(
    own_process: Process, institution: Institution, monkeypatch: pytest.MonkeyPatch
) -> None:
    replies: list[bytes] = []
    decode = wire.decode_reply

    def listen(operation: str, body: bytes) -> object:
        replies.append(body)
        return decode(operation, body)

    monkeypatch.setattr(wire, "decode_reply", listen)
    child = own_process.start()
    token = Case(own_process.client(), institution)
    token.imported()
    order = token.order()
    opened = token.opened(token.custodian.release(order), order)
    assert opened.candidates == (SO_PIN,)
    client = token.custodian
    client.rewrap(token.serial, 1, token.stored(1))
    client.check(token.serial, 1, token.stored(1))
    for changes in ({"operation_id": "other"}, {"pending": order.candidates[0]}):
        with pytest.raises(ReleaseRefused):
            client.release(token.order(**changes))
    with pytest.raises(ReleaseRefused):
        token.imported("Other-SO-PIN-of-the-institution")
    ledger = own_process.directory / "own"
    written = [path.read_bytes() for path in ledger.iterdir()]  # with the write-ahead log
    child.terminate()
    child.wait(60)
    written += [path.read_bytes() for path in ledger.iterdir()]
    everything = [*written, *replies, own_process.log.read_bytes()]
    assert all(path.stat().st_mode & 0o077 == 0 for path in ledger.iterdir())
    for so_pin in (SO_PIN, opened.next_so_pin, "Other-SO-PIN-of-the-institution"):
        for form in (so_pin.encode(), so_pin.encode().hex().encode(), *aligned(so_pin)):
            assert not any(form in text for text in everything), form


def aligned(so_pin: str) -> list[bytes]:
    """The part of a text's base64 that does not depend on what stands around it."""
    raw = so_pin.encode()
    return [base64.b64encode(raw[n : n + (len(raw) - n) // 3 * 3]) for n in range(3)]


def test_a_process_that_cannot_open_its_hsm_does_not_start(own_process: Process) -> None:
    (own_process.directory / "softhsm2.conf").write_text("directories.tokendir = /none\n")
    with pytest.raises(AssertionError):
        own_process.start()
    assert own_process.running[0].wait(60) != 0
    assert served.PIN not in own_process.log.read_text()
    assert isinstance(own_process.running[0], subprocess.Popen)
