"""The custodian's unix socket: who may ask, how long, and in which words.

Rules (design section 5):

1. The socket lies in a directory of the custodian's user that nobody else can write. Others may
   pass through it by their group only where the allow-list names another user.
2. Only processes of the users in the allow-list are answered (SO_PEERCRED).
3. One request per connection, one connection at a time; a peer that says nothing holds the
   thread for ``DEADLINE`` seconds at most.
4. Only the operations of ``custodian_wire`` exist. A broken request gets an error; an unexpected
   failure is ``unavailable`` and is logged by its place, never with arguments.
5. The process leaves no core file and, where it may lock its memory, nothing in the swap; other
   processes of the same user cannot read its memory.
6. SIGTERM ends it after the request at hand.
7. A hanging HSM ends it, too: ``LONGEST`` seconds after the request came in, or after the HSM
   was to be opened or closed.
8. A failing HSM ends it after the answer: modules do not survive every loss of their device, and a
   new process, which its supervisor starts, opens the HSM anew or says why it cannot.
"""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import faulthandler
import fcntl
import logging
import os
import resource
import select
import signal
import socket
import stat
import struct
import sys
import time
import traceback
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, cast

from pkcs11_driver.crashpoints import calling, crashpoint
from reset.core import custodian_wire as wire
from reset.errors import ResetError, SettingsRefused, Unavailable
from reset.ports import Custodian, ReleaseOrder

DEADLINE = 5.0
LONGEST = 30.0  # seconds; those who ask wait half as long
_BACKLOG = 64
_PEER = struct.Struct("3i")  # struct ucred: pid, uid, gid
_PR_SET_DUMPABLE = 4
_MCL_ALL_AS_TOUCHED = 1 | 2 | 4  # MCL_CURRENT, MCL_FUTURE, MCL_ONFAULT
_CUSTODY = frozenset({"store", "release", "settle", "withdraw"})  # the calls of a reset
_log = logging.getLogger(__name__)

Handler = Callable[..., object]


def handlers(custodian: Custodian) -> Mapping[str, Handler]:
    """What each operation of ``custodian_wire`` calls."""
    return {
        "import_key": custodian.import_key,
        "store": custodian.store,
        "correct": custodian.correct,
        "release": lambda **arguments: custodian.release(ReleaseOrder(**arguments)),
        "settle": custodian.settle,
        "withdraw": custodian.withdraw,
        "hmac": custodian.hmac,
        "check": custodian.check,
        "rewrap": custodian.rewrap,
        "escrowed": lambda serial: dataclasses.astuple(custodian.escrowed(serial)),
        "sign_checkpoint": custodian.sign_checkpoint,
        "checkpoint_size": custodian.checkpoint_size,
        "checkpoint_key": custodian.checkpoint_key,
        "health": custodian.health,
    }


@dataclasses.dataclass(frozen=True)
class Reply:
    """What goes back: ``body``, unframed; ``refusal`` if it is one; ``operation`` or ``-``."""

    body: bytes
    refusal: ResetError | None = None
    operation: str = "-"


def answer(table: Mapping[str, Handler], body: bytes) -> Reply:
    """The reply to one request; never raises for anything that a request can cause."""
    operation = "-"
    try:
        operation, arguments = wire.decode_request(body)
        if operation in _CUSTODY:
            crashpoint("custodian.received")
        result = table[operation](**cast(dict[str, Any], arguments))
        return Reply(wire.encode_result(result), operation=operation)
    except wire.WireRefused as error:
        _log.warning("broken request: %s", error.where)
        return Reply(wire.encode_error(None))
    except ResetError as error:
        cause = error.data.get("rule") or error.data.get("why", "")
        _log.warning("%s refused: %s %s", operation, error.code, cause)
        return Reply(wire.encode_error(error), error, operation)
    except Exception as error:  # noqa: BLE001 -- the edge of the process: fail closed, go on
        place = traceback.extract_tb(error.__traceback__)[-1]
        _log.error("%s failed: %s in %s", operation, type(error).__name__, place.name)
        failed = Unavailable(part="custodian")
        return Reply(wire.encode_error(failed), failed, operation)


def harden() -> None:
    """No core files, no ptrace and no /proc/PID/mem for others (prctl(2), PR_SET_DUMPABLE).

    Nor a page in the swap (mlockall(2)), where RLIMIT_MEMLOCK sets no limit: under one, the
    process would run out of memory later. Raises ``SettingsRefused`` where the kernel refuses.
    """
    kernel = ctypes.CDLL(None, use_errno=True)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if kernel.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        raise SettingsRefused(problems=["PR_SET_DUMPABLE: the kernel refuses"])
    unlimited = resource.getrlimit(resource.RLIMIT_MEMLOCK)[0] == resource.RLIM_INFINITY
    if unlimited and kernel.mlockall(_MCL_ALL_AS_TOUCHED) != 0:
        raise SettingsRefused(problems=["mlockall: the kernel refuses"])


def serve(
    opened: contextlib.AbstractContextManager[Custodian],
    path: Path,
    *,
    allowed_uids: Collection[int],
    deadline: float = DEADLINE,
    longest: float = LONGEST,
    tell_ready: bool = False,
) -> None:
    """Answer requests at the socket ``path`` until SIGTERM or SIGINT; main thread only.

    Parameters: ``opened``: the custodian, while its HSM is open; ``allowed_uids`` of the processes
    that may ask; ``deadline`` in seconds for one peer, ``longest`` for one answer, for opening and
    for closing; ``tell_ready`` writes the line ``custodian ready`` to stdout.
    Raises ``SettingsRefused`` when the directory is open to others or another custodian answers,
    ``Unavailable`` when the HSM failed.
    """
    with contextlib.ExitStack() as hsm:
        with _ended_when_hanging(longest):
            table = handlers(hsm.enter_context(opened))
        try:
            _answer_all(table, path, allowed_uids, deadline, longest, tell_ready=tell_ready)
        finally:
            with _ended_when_hanging(longest):
                hsm.close()


def _answer_all(
    table: Mapping[str, Handler],
    path: Path,
    allowed_uids: Collection[int],
    deadline: float,
    longest: float,
    *,
    tell_ready: bool,
) -> None:
    with _directory(path.parent, allowed_uids), _stop_signal() as stop, _listener(path) as listener:
        # a group member that may pass the directory is told apart by its credentials
        path.chmod(0o660 if _foreign(allowed_uids) else 0o600)
        if tell_ready:
            sys.stdout.write("custodian ready\n")
            sys.stdout.flush()
        try:
            while stop not in select.select([listener, stop], [], [])[0]:
                refusal = None
                with (
                    contextlib.suppress(OSError),
                    listener.accept()[0] as connection,
                    _ended_when_hanging(longest),
                ):
                    refusal = _attend(connection, table, allowed_uids, deadline)
                if refusal is not None and refusal.data.get("part") == "hsm":
                    raise refusal
        finally:
            path.unlink(missing_ok=True)


def _attend(
    connection: socket.socket,
    table: Mapping[str, Handler],
    allowed_uids: Collection[int],
    deadline: float,
) -> ResetError | None:
    """One request of one peer; the refusal that it got.

    Raises ``OSError`` when the peer is gone or silent.
    """
    peer = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)
    uid = _PEER.unpack(peer)[1]
    if uid not in allowed_uids:
        _log.error("refused a process of user %d", uid)
        return None
    until = time.monotonic() + deadline
    reply = Reply(wire.encode_error(None))
    try:
        size = wire.body_size(_read(connection, wire.HEADER, until))
        reply = answer(table, _read(connection, size, until))
        framed = wire.frame(reply.body)
    except wire.WireRefused as error:
        _log.warning("broken request: %s", error.where)
        framed = wire.frame(wire.encode_error(None))
    connection.settimeout(deadline)
    of_custody = reply.operation in _CUSTODY
    with calling("custodian.reply") if of_custody else contextlib.nullcontext():
        connection.sendall(framed)
    return reply.refusal


@contextlib.contextmanager
def _ended_when_hanging(longest: float) -> Iterator[None]:
    """End the process when this takes too long: no signal handler runs inside a hanging module.

    The names of the functions it hangs in go to stderr, no values.
    """
    faulthandler.dump_traceback_later(longest, exit=True, file=2)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()


def _read(connection: socket.socket, size: int, until: float) -> bytes:
    found = bytearray()
    while len(found) < size:
        left = until - time.monotonic()
        if left <= 0:
            raise TimeoutError
        connection.settimeout(left)
        piece = connection.recv(size - len(found))
        if not piece:
            raise ConnectionResetError
        found += piece
    return bytes(found)


# --- the socket and its directory ---------------------------------------------------------
def _foreign(allowed_uids: Collection[int]) -> bool:
    return any(uid != os.geteuid() for uid in allowed_uids)


@contextlib.contextmanager
def _directory(directory: Path, allowed_uids: Collection[int]) -> Iterator[None]:
    """Check the directory and hold it: one custodian per directory."""
    try:
        handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError as error:
        raise SettingsRefused(problems=[f"{directory}: {error.strerror}"]) from None
    try:
        seen = os.fstat(handle)
        forbidden = 0o027 if _foreign(allowed_uids) else 0o077
        if seen.st_uid != os.geteuid() or stat.S_IMODE(seen.st_mode) & forbidden:
            raise SettingsRefused(problems=[f"{directory}: must be the custodian's, mode 0700"])
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SettingsRefused(problems=[f"{directory}: another custodian runs"]) from None
        yield
    finally:
        os.close(handle)


@contextlib.contextmanager
def _listener(path: Path) -> Iterator[socket.socket]:
    """Bind the socket, in place of one at which nobody answers."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        try:
            if os.path.lexists(path):
                _remove_stale(path)
            before = os.umask(0o177)
            try:
                listener.bind(str(path))
            finally:
                os.umask(before)
        except OSError as error:
            raise SettingsRefused(problems=[f"{path}: {error.strerror or error}"]) from None
        listener.listen(_BACKLOG)
        yield listener


def _remove_stale(path: Path) -> None:
    if not stat.S_ISSOCK(path.lstat().st_mode):
        raise SettingsRefused(problems=[f"{path}: is no socket"])
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.settimeout(1)
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
    raise SettingsRefused(problems=[f"{path}: another custodian answers"])


@contextlib.contextmanager
def _stop_signal() -> Iterator[socket.socket]:
    """A socket that becomes readable at SIGTERM or SIGINT, without cutting a request short."""
    reader, writer = socket.socketpair()
    with reader, writer:
        writer.setblocking(False)
        old = {s: signal.signal(s, lambda *_: None) for s in (signal.SIGTERM, signal.SIGINT)}
        before = signal.set_wakeup_fd(writer.fileno())
        try:
            yield reader
        finally:
            signal.set_wakeup_fd(before)
            for number, handler in old.items():
                signal.signal(number, handler)
