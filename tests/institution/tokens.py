"""Hardware tokens for tests and for the demo: made, used, guessed at and broken from outside.

A token here is a SoftHSM store of its own behind the retry module, in one directory:

    token.so, token.conf        what programs load; the configuration is found beside it
    softhsm2.so, softhsm2.conf  a copy of SoftHSM, so that several live in one process
    store/                      SoftHSM's objects
    state/                      the retry counters, the lock and the armed faults

It blocks after 10 wrong user PINs and 15 wrong SO PINs, as the institution's tokens do.

Rules:
1. The calling process never loads a module. Everything happens in a child that ends.
2. A PIN travels by stdin or by the environment of the child, never as an argument.
3. A SoftHSM process remembers the PINs as they were when it initialised: a process that is to
   see what another one changed has to initialise anew.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import secrets
import shutil
import signal
import string
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

USER_TRIES = 10
SO_TRIES = 15

KeyKind = Literal["rsa2048", "rsa3072", "p256"]
Step = tuple[str, ...]

_SOURCES = Path(__file__).parent / "retry_module"
_CHILD = _SOURCES / "child.py"
_BUILD = _SOURCES / "build"
_COMPILE = "gcc -shared -fPIC -O2 -Wall -Wextra -Werror -fvisibility=hidden".split()
_SOFTHSM = (
    Path("/usr/lib/softhsm/libsofthsm2.so"),
    Path("/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so"),
    Path("/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so"),
    Path("/usr/lib64/pkcs11/libsofthsm2.so"),
)
_FAULT = re.compile(
    r"(before|after) (Login|InitPIN|SetPIN) [1-9]\d{0,5} "
    r"(kill|delay [1-9]\d{0,6}|return 0x[0-9a-fA-F]{1,8})"
)
_TIMEOUT = 120
_CURL_NO_ENGINE = 53


class Refused(RuntimeError):
    """A module, or a program that uses one, refused; the text says what it answered."""


class CurlFailed(RuntimeError):
    """curl got no HTTP answer: its exit code (35 and 56 are TLS, 58 the key) and its words."""

    def __init__(self, exit_code: int, words: str) -> None:
        super().__init__(f"curl {exit_code}: {words}")
        self.exit_code = exit_code


@dataclass(frozen=True)
class MadeToken:
    """One token and all that its holder and its maker know; the PINs are as they were made."""

    directory: Path
    module: Path
    label: str
    serial: str
    so_pin: str = field(repr=False)
    user_pin: str = field(repr=False)
    key_id: bytes = b"\x01"


@dataclass(frozen=True)
class Part:
    """Steps to carry out on one token; `act` lists the steps there are."""

    made: MadeToken
    steps: Sequence[Step] = field(repr=False)


@dataclass(frozen=True)
class Answer:
    """An HTTP answer; headers as received, names in lower case, in order, with repetitions."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode()

    def header(self, name: str) -> str | None:
        """Returns: the first value of a header, None if it is not there."""
        return next((value for key, value in self.headers if key == name.lower()), None)


# ---- making -----------------------------------------------------------------------------


def build_retry_module(into: Path) -> Path:
    """Compile the retry module, unless this very source has been compiled there already.

    Parameters: into -- a directory, made if it is missing; several processes may share it.
    Returns: the path of the shared object, named by the hash of source and command.
    Errors: Refused with the compiler's words, or naming the program or package that is missing.
    """
    source = _SOURCES / "retry_module.c"
    try:
        found = subprocess.run(
            ["pkg-config", "--cflags", "p11-kit-1"], capture_output=True, text=True, check=True
        )
        command = [*_COMPILE, *found.stdout.split(), str(source), "-ldl"]
        hashed = hashlib.sha256(source.read_bytes() + " ".join(_COMPILE).encode()).hexdigest()
        built = into / f"retry_module-{hashed[:16]}.so"
        if built.exists():
            return built
        into.mkdir(parents=True, exist_ok=True)
        # a file, not a directory: one that goes away may be in the way of who walks this tree
        handle, name = tempfile.mkstemp(suffix=".so", dir=into)
        os.close(handle)
        try:
            subprocess.run([*command, "-o", name], capture_output=True, text=True, check=True)
            Path(name).chmod(0o755)
            os.rename(name, built)  # atomic: another process sees all of it or nothing
        finally:
            Path(name).unlink(missing_ok=True)
    except FileNotFoundError as error:
        raise Refused(f"not installed: {error.filename} (packages gcc, pkg-config)") from error
    except subprocess.CalledProcessError as error:
        hint = " (package libp11-kit-dev)" if "p11-kit" in str(error.stderr) else ""
        raise Refused(f"the retry module does not compile{hint}: {error.stderr}") from error
    return built


def make_token(
    directory: Path, *, label: str, user_pin: str, so_pin: str | None = None
) -> MadeToken:
    """Make a token of its own: store, module and counters in one directory.

    Parameters: directory -- new or empty; label -- at most 32 bytes; user_pin -- 4 to 255 bytes;
        so_pin -- the same; 16 random letters and digits if not given.
    Returns: the token, with full counters and no key.
    Errors: Refused if something is not installed or SoftHSM refuses; FileExistsError if the
        directory already holds a token.
    """
    directory = directory.resolve()
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    for name in ("store", "state"):
        (directory / name).mkdir(mode=0o700)
    softhsm = next((path for path in _SOFTHSM if path.exists()), None)
    if softhsm is None:
        raise Refused("not installed: libsofthsm2.so (package softhsm2)")
    shutil.copyfile(softhsm, directory / "softhsm2.so")
    shutil.copyfile(build_retry_module(_BUILD), directory / "token.so")
    (directory / "softhsm2.conf").write_text(
        f"directories.tokendir = {directory / 'store'}\n"
        "objectstore.backend = file\nlog.level = ERROR\nslots.removable = false\n"
    )
    (directory / "token.conf").write_text(
        f"target={directory / 'softhsm2.so'}\n"
        f"state={directory / 'state'}\n"
        f"softhsm2_conf={directory / 'softhsm2.conf'}\n"
    )
    return _initialise(directory, label, user_pin, so_pin)


def add_second_token(
    made: MadeToken, *, label: str, user_pin: str, so_pin: str | None = None
) -> MadeToken:
    """Make another token in the same store, as with two tokens in one machine.

    Parameters: made -- the token that is there; the others as for make_token.
    Returns: the new token; its module is the same, its counters are its own.
    Errors: Refused as for make_token.
    """
    return _initialise(made.directory, label, user_pin, so_pin)


def _initialise(directory: Path, label: str, user_pin: str, so_pin: str | None) -> MadeToken:
    """Returns: a token initialised in a free slot of the store. Errors: Refused."""
    if so_pin is None:
        so_pin = "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(16))
    module = directory / "token.so"
    job = {"do": "init_token", "module": str(module), "label": label}
    serial = _one_answer({**job, "so_pin": so_pin, "user_pin": user_pin})
    return MadeToken(directory, module, label, serial, so_pin, user_pin)


def make_key(
    made: MadeToken, *, kind: KeyKind, key_id: bytes = b"\x01", user_pin: str | None = None
) -> bytes:
    """Generate a key pair on the token; the private key is sensitive and not extractable.

    Parameters: made -- the token; kind -- what key; key_id -- its CKA_ID; user_pin -- where it is
        no longer the one the token was made with.
    Returns: the public key, SPKI DER.
    Errors: Refused with python-pkcs11's words.
    """
    return bytes.fromhex(_one_answer(_object_job("make_key", made, key_id, user_pin, kind=kind)))


def store_certificate(
    made: MadeToken, der: bytes, key_id: bytes = b"\x01", *, user_pin: str | None = None
) -> None:
    """Store a certificate on the token, readable without a login.

    Parameters: made -- the token; der -- the certificate; key_id -- the CKA_ID of its key;
        user_pin -- where it is no longer the one the token was made with.
    Errors: Refused with python-pkcs11's words.
    """
    job = _object_job("store_certificate", made, key_id, user_pin, certificate=der.hex())
    _one_answer(job)


def _object_job(
    do: str, made: MadeToken, key_id: bytes, user_pin: str | None, **more: str
) -> dict[str, Any]:
    """Returns: a job for the child about one object on the token, labelled like the token."""
    return {
        "do": do,
        "module": str(made.module),
        "serial": made.serial,
        "label": made.label,
        "key_id": key_id.hex(),
        "user_pin": made.user_pin if user_pin is None else user_pin,
        **more,
    }


# ---- using and guessing -----------------------------------------------------------------


def act(made: MadeToken, *steps: Step) -> list[str]:
    """Carry out PKCS#11 calls in one read-write session, in a process of their own.

    Parameters: made -- the token; steps -- any of ("login", "user"|"so"|"context", pin),
        ("logout",), ("init_pin", pin), ("set_pin", old, new), ("init_token", so_pin, label),
        which closes the session, ("flags",) and ("wait_for", path), which waits until that file
        is there.
    Returns: for each step the CKR name; for flags the names of the PIN flags that are set, with
        blanks between; "there" for wait_for; "killed" as the last one if the process was killed.
    Errors: Refused if the module cannot be used at all.
    """
    return act_together(Part(made, steps))


def act_together(*parts: Part) -> list[str]:
    """Carry out the steps of several tokens in one process: all modules are initialised first,
    then the parts are done in order.

    Returns: the answers as for act, one after the other.
    Errors: Refused if a module cannot be used at all.
    """
    return _in_child(_parts_job(parts))


def start_acting(made: MadeToken, *steps: Step) -> subprocess.Popen[str]:
    """Start what act does and do not wait, so that processes can race.

    Returns: the process; give it to `finish_acting`.
    """
    return _start(_parts_job([Part(made, steps)]))


def finish_acting(child: subprocess.Popen[str]) -> list[str]:
    """Wait for a process of start_acting. Returns and errors: as for act."""
    return _finish(child)


def wrong_logins(made: MadeToken, times: int, user: Literal["user", "so"] = "user") -> list[str]:
    """Try wrong PINs, each another one, in one process.

    Returns: the CKR names, normally CKR_PIN_INCORRECT until CKR_PIN_LOCKED.
    Errors: Refused if the module cannot be used at all.
    """
    return act(made, *wrong_steps(times, user))


def wrong_steps(times: int, user: Literal["user", "so"] = "user") -> list[Step]:
    """Returns: steps that try wrong PINs, each another one that no token here has."""
    return [("login", user, f"wrong {secrets.token_hex(6)}") for _ in range(times)]


def tries_left(made: MadeToken) -> tuple[int, int]:
    """Returns: the tries left for the user PIN and for the SO PIN, from the counter file.

    Errors: ValueError if the file is damaged.
    """
    try:
        text = (made.directory / "state" / f"{made.serial}.tries").read_text()
    except FileNotFoundError:
        return USER_TRIES, SO_TRIES
    match = re.fullmatch(r"user (\d\d) so (\d\d)\n", text)
    if match is None:
        raise ValueError(f"damaged counter file: {text!r}")
    return int(match[1]), int(match[2])


def _parts_job(parts: Iterable[Part]) -> dict[str, Any]:
    """Returns: the child's job for these parts."""
    return {
        "do": "carry_out",
        "parts": [
            {"module": str(part.made.module), "serial": part.made.serial, "steps": part.steps}
            for part in parts
        ],
    }


def _start(job: Mapping[str, Any]) -> subprocess.Popen[str]:
    """Returns: a child that has its job. The job is small, so writing it cannot block."""
    child = subprocess.Popen(
        [sys.executable, "-I", str(_CHILD)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert child.stdin is not None
    child.stdin.write(json.dumps(job))
    child.stdin.close()
    child.stdin = None  # so that communicate() does not touch it again
    return child


def _finish(child: subprocess.Popen[str]) -> list[str]:
    """Returns: the child's answers, "killed" last if it was. Errors: Refused."""
    try:
        output, words = child.communicate(timeout=_TIMEOUT)
    except subprocess.TimeoutExpired:
        child.kill()
        child.communicate()
        raise Refused("the module did not answer in time") from None
    answers = [str(json.loads(line)) for line in output.splitlines()]
    if child.returncode == -signal.SIGKILL:
        return [*answers, "killed"]
    if child.returncode != 0:
        raise Refused(words.strip())
    return answers


def _in_child(job: Mapping[str, Any]) -> list[str]:
    """Returns: the answers of a child to one job. Errors: Refused."""
    return _finish(_start(job))


def _one_answer(job: Mapping[str, Any]) -> str:
    """Returns: the only answer of a child to one job. Errors: Refused."""
    (answer,) = _in_child(job)
    return answer


# ---- breaking ---------------------------------------------------------------------------


def arm_fault(made: MadeToken, line: str) -> None:
    """Arm one fault, once, for the next calls of any process on any token of this store.

    Parameters: made -- the token; line -- "before|after Login|InitPIN|SetPIN N WHAT", at the Nth
        such call that reaches the token from now on; WHAT is "kill", "delay MS" or "return 0xCKR".
        "before" comes when the try is spent and the token has not been asked; "after" when the
        effect has happened and is booked. A delay holds the store's lock.
    Errors: ValueError for a line of another form.
    """
    if not _FAULT.fullmatch(line):
        raise ValueError(f"not a fault: {line!r}")
    _write_faults(made, line + "\n")


def disarm(made: MadeToken) -> None:
    """Remove the faults that are still armed."""
    _write_faults(made, None)


def _write_faults(made: MadeToken, line: str | None) -> None:
    """Append a line, or remove all if there is none, under the lock that the module takes."""
    with (made.directory / "state" / "faults").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        if line is None:
            file.truncate(0)
        else:
            file.write(line)


# ---- foreign programs -------------------------------------------------------------------


def pkcs11_tool_login(
    made: MadeToken | Path, serial: str | None, pin: str, *, so: bool = False
) -> str:
    """Log in with OpenSC's pkcs11-tool, a program that knows nothing of ours.

    Parameters: made -- a token or the path of any module; serial -- of the token, None for that
        of the made one; pin -- goes by the environment; so -- as SO.
    Returns: "ok" or the CKR name, such as "CKR_PIN_LOCKED".
    Errors: Refused if the token is not there or the tool says something else.
    """
    module = made if isinstance(made, Path) else made.module
    if serial is None:
        if isinstance(made, Path):
            raise ValueError("a module alone has no serial")
        serial = made.serial
    # A login as SO needs a read-write session, and --session-rw is what makes the tool open one.
    option = ("--session-rw", "--so-pin") if so else ("--pin",)
    done = _pkcs11_tool(
        module,
        *("--slot", _slot_of(module, serial), "--login", "--login-type", "so" if so else "user"),
        *(*option, "env:TOKEN_PIN", "--list-objects", "--type", "cert"),
        pin=pin,
    )
    said = re.search(r"C_Login failed: rv = (CKR_\w+)", done.stderr)
    if said is not None:
        return said[1]
    if done.returncode != 0:
        raise Refused(f"pkcs11-tool: {done.stderr.strip()}")
    return "ok"


def pkcs11_tool_flags(made: MadeToken) -> str:
    """Returns: the token flags in the words of OpenSC's pkcs11-tool. Errors: Refused."""
    listed = _pkcs11_tool(made.module, "--list-token-slots").stdout
    for slot in listed.split("\nSlot "):
        if re.search(rf"serial num\s*: {re.escape(made.serial)}\s*$", slot, re.MULTILINE):
            flags = re.search(r"token flags\s*: (.*)", slot)
            return flags[1] if flags else ""
    raise Refused(f"pkcs11-tool lists no token {made.serial}")


def _slot_of(module: Path, serial: str) -> str:
    """Returns: the slot number, as pkcs11-tool lists it. Errors: Refused if it is not there."""
    slot = ""
    for line in _pkcs11_tool(module, "--list-token-slots").stdout.splitlines():
        begins = re.match(r"Slot \d+ \((0x[0-9a-f]+)\)", line)
        slot = begins[1] if begins else slot
        if re.fullmatch(rf"\s+serial num\s*: {re.escape(serial)}\s*", line):
            return slot
    raise Refused(f"pkcs11-tool lists no token {serial}")


def _pkcs11_tool(
    module: Path, *arguments: str, pin: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Returns: what pkcs11-tool did. Errors: Refused if it is not installed."""
    environment = {**os.environ, "LC_ALL": "C"}
    if pin is not None:
        environment["TOKEN_PIN"] = pin
    try:
        return subprocess.run(
            ["pkcs11-tool", "--module", str(module), *arguments],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT,
            check=False,
        )
    except FileNotFoundError as error:
        raise Refused("not installed: pkcs11-tool (package opensc)") from error


def curl_with_token(
    made: MadeToken,
    url: str,
    *,
    ca: Path,
    cert_pem: Path,
    pin: str | None = None,
    key_id: bytes = b"\x01",
    method: str | None = None,
    form: Mapping[str, str] | None = None,
    files: Mapping[str, Path] | None = None,
    headers: Mapping[str, str] | None = None,
    cookies: Path | None = None,
    extra: Sequence[str] = (),
) -> Answer:
    """Make one HTTPS request with the certificate and the key of a token, by curl.

    Parameters: made -- the token; url -- where; ca -- the server's issuer, PEM; cert_pem -- the
        certificate of the key; pin -- where it is no longer the one the token was made with;
        key_id -- the CKA_ID of the key; method -- GET, or POST where there are fields or files;
        form -- fields; files -- paths by field name, which make the form multipart; headers --
        of the request; cookies -- a jar, read and written; extra -- lines of a curl
        configuration, such as 'resolve = "a.test:443:127.0.0.1"'. Nothing of it is an argument.
    Returns: the answer; redirects are not followed.
    Errors: CurlFailed if there is no HTTP answer; Refused if curl or its engine is missing.
    """
    key = ";".join(
        (
            f"pkcs11:serial={quote(made.serial, safe='')}",
            "id=" + "".join(f"%{byte:02x}" for byte in key_id),
            f"type=private;pin-value={quote(made.user_pin if pin is None else pin, safe='')}",
        )
    )
    with tempfile.TemporaryDirectory() as scratch:
        head, body = Path(scratch) / "head", Path(scratch) / "body"
        lines = [
            *('engine = "pkcs11"', 'key-type = "ENG"', _option("key", key), 'noproxy = "*"'),
            *(_option("cert", str(cert_pem)), _option("cacert", str(ca)), _option("url", url)),
            *(_option("dump-header", str(head)), _option("output", str(body))),
            *("silent", "show-error", f"max-time = {_TIMEOUT}"),
            *_fields(form or {}, files or {}),
            *(_option("header", f"{name}: {value}") for name, value in (headers or {}).items()),
        ]
        if cookies is not None:
            lines += [_option("cookie", str(cookies)), _option("cookie-jar", str(cookies))]
        if method is not None:
            lines.append(_option("request", method))
        done = _curl(made.module, "\n".join([*lines, *extra]))
        if done.returncode != 0:  # the engine quotes the key's address, PIN and all
            words = re.sub(r"pin-value=[^\s;&\"']*", "pin-value=…", done.stderr.strip())
            if done.returncode == _CURL_NO_ENGINE:
                raise Refused("not installed: package libengine-pkcs11-openssl")
            raise CurlFailed(done.returncode, words)
        return _read_answer(head, body)


def _option(name: str, value: str) -> str:
    """Returns: a line of a curl configuration, quoted as curl reads it."""
    for plain, escaped in (
        ("\\", "\\\\"),
        ('"', '\\"'),
        ("\n", "\\n"),
        ("\r", "\\r"),
        ("\t", "\\t"),
    ):
        value = value.replace(plain, escaped)
    return f'{name} = "{value}"'


def _fields(form: Mapping[str, str], files: Mapping[str, Path]) -> list[str]:
    """Returns: the lines for the form, multipart when there are files."""
    if not files:
        return [
            _option("data", f"{quote(k, safe='')}={quote(v, safe='')}") for k, v in form.items()
        ]
    lines = [_option("form-string", f"{name}={value}") for name, value in form.items()]
    return lines + [_option("form", f'{name}=@"{path}"') for name, path in files.items()]


def _curl(module: Path, configuration: str) -> subprocess.CompletedProcess[str]:
    """Returns: what curl did with its whole configuration on stdin. Errors: Refused."""
    try:
        return subprocess.run(
            ["curl", "--disable", "--config", "-"],
            input=configuration,
            env={**os.environ, "LC_ALL": "C.UTF-8", "PKCS11_MODULE_PATH": str(module)},
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=_TIMEOUT + 5,
            check=False,
        )
    except FileNotFoundError as error:
        raise Refused("not installed: curl") from error


def _read_answer(head: Path, body: Path) -> Answer:
    """Returns: the last of the header blocks curl saved (an earlier one may be a 100), and the
    body, which is not there when it is empty."""
    blocks = head.read_bytes().decode("latin-1").replace("\r\n", "\n").strip().split("\n\n")
    status, *lines = blocks[-1].split("\n")
    pairs = (line.partition(":") for line in lines)
    headers = tuple((name.strip().lower(), value.strip()) for name, _, value in pairs)
    return Answer(int(status.split()[1]), headers, body.read_bytes() if body.exists() else b"")
