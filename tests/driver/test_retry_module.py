"""The token that the other tests rely on blocks, counts, unblocks and breaks as real ones do.

S1.18-S1.27: ten wrong user PINs or fifteen wrong SO PINs block, a right one or a reset zeroes
its own counter and leaves the other one alone.
"""

from __future__ import annotations

import datetime
import http.server
import ipaddress
import shutil
import ssl
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.institution import tokens
from tests.institution.tokens import MadeToken, Part, act, tries_left

USER_PIN = "Right-User-1"
SO_PIN = "Right-Admin-1"
NEW_PIN = "Fresh-User-2"
LOCKED = "CKR_PIN_LOCKED"
WRONG = "CKR_PIN_INCORRECT"
OK = "CKR_OK"


@pytest.fixture
def made(tmp_path: Path) -> MadeToken:
    """A fresh token."""
    return tokens.make_token(tmp_path / "token", label="Holder", user_pin=USER_PIN, so_pin=SO_PIN)


def guesses(count: int) -> list[str]:
    """What a token answers to that many wrong PINs while it has tries left."""
    return [WRONG] * count


def counter(made: MadeToken) -> Path:
    """The token's counter file."""
    return made.directory / "state" / f"{made.serial}.tries"


class TestCounting:
    def test_s1_18_ten_wrong_user_pins_block_even_the_right_one(self, made: MadeToken) -> None:
        assert tokens.wrong_logins(made, 11) == [*guesses(10), LOCKED]
        assert act(made, ("login", "user", USER_PIN)) == [LOCKED]
        assert tries_left(made) == (0, 15)

    def test_s1_19_fifteen_wrong_so_pins_block_even_the_right_one(self, made: MadeToken) -> None:
        assert tokens.wrong_logins(made, 16, "so") == [*guesses(15), LOCKED]
        assert act(made, ("login", "so", SO_PIN)) == [LOCKED]
        assert tries_left(made) == (10, 0)

    def test_tries_survive_the_process(self, made: MadeToken) -> None:
        for spent in range(1, 4):
            assert tokens.wrong_logins(made, 1) == guesses(1)
            assert tries_left(made) == (10 - spent, 15)

    def test_s1_24_s1_25_s1_27_a_right_pin_refills_its_own_counter_only(
        self, made: MadeToken
    ) -> None:
        tokens.wrong_logins(made, 4)
        tokens.wrong_logins(made, 6, "so")
        assert tries_left(made) == (6, 9)
        assert act(made, ("login", "user", USER_PIN)) == [OK]
        assert tries_left(made) == (10, 9)
        tokens.wrong_logins(made, 2)
        assert act(made, ("login", "so", SO_PIN)) == [OK]
        assert tries_left(made) == (8, 15)

    def test_s1_23_s1_26_s1_27_init_pin_unblocks_the_user(self, made: MadeToken) -> None:
        tokens.wrong_logins(made, 10)
        reset = act(made, ("login", "so", SO_PIN), ("init_pin", NEW_PIN), ("flags",))
        assert reset == [OK, OK, "USER_PIN_INITIALIZED"]
        assert act(made, ("login", "user", USER_PIN), ("login", "user", NEW_PIN)) == [WRONG, OK]

    def test_s1_27_init_pin_leaves_the_so_counter_alone(self, made: MadeToken) -> None:
        tokens.wrong_logins(made, 10)
        answers = act(
            made,
            ("login", "so", SO_PIN),
            ("set_pin", "wrong", "Admin-PIN-2"),
            ("init_pin", NEW_PIN),
        )
        assert answers == [OK, WRONG, OK]
        assert tries_left(made) == (10, 14)

    def test_a_failed_init_pin_unblocks_nobody(self, made: MadeToken) -> None:
        tokens.wrong_logins(made, 10)
        answers = act(made, ("init_pin", NEW_PIN), ("login", "so", SO_PIN), ("init_pin", "abc"))
        assert answers == ["CKR_USER_NOT_LOGGED_IN", OK, "CKR_PIN_LEN_RANGE"]
        assert tries_left(made) == (0, 15)

    def test_an_answer_that_compared_no_pin_gives_the_try_back(self, made: MadeToken) -> None:
        tokens.wrong_logins(made, 1)
        answers = act(
            made,
            ("login", "so", SO_PIN),
            ("login", "user", "anything"),
            ("set_pin", SO_PIN, "abc"),
        )
        assert answers == [OK, "CKR_USER_ANOTHER_ALREADY_LOGGED_IN", "CKR_PIN_LEN_RANGE"]
        assert tries_left(made) == (9, 15)

    def test_a_so_login_beside_a_read_only_session_costs_nothing(self, made: MadeToken) -> None:
        tool = ["pkcs11-tool", "--module", str(made.module), "--login", "--login-type", "so"]
        done = subprocess.run(
            [*tool, "--so-pin", "wrong", "--list-objects"], capture_output=True, text=True
        )
        assert "CKR_SESSION_READ_ONLY_EXISTS" in done.stderr
        assert tries_left(made) == (10, 15)

    def test_tokens_of_one_store_count_apart(self, made: MadeToken) -> None:
        second = tokens.add_second_token(made, label="Second", user_pin="Other-User-1")
        assert second.module == made.module
        assert second.serial != made.serial
        tokens.wrong_logins(made, 10)
        assert (tries_left(made), tries_left(second)) == ((0, 15), (10, 15))
        assert act(second, ("login", "user", second.user_pin)) == [OK]

    def test_context_specific_login_counts_as_user(self, made: MadeToken) -> None:
        tokens.arm_fault(made, "before Login 3 return 0xA0")
        right = ("login", "context", USER_PIN)
        answers = act(made, ("login", "user", USER_PIN), right, right)
        assert answers == [OK, "CKR_OPERATION_NOT_INITIALIZED", WRONG]
        assert tries_left(made) == (9, 15)

    def test_a_damaged_counter_is_no_full_counter(self, made: MadeToken) -> None:
        tokens.wrong_logins(made, 1)
        counter(made).write_text("user 99 so 15\n")
        with pytest.raises(tokens.Refused, match="CKR_DEVICE_ERROR"):
            act(made, ("login", "user", USER_PIN))


class TestSetPin:
    def test_without_login_the_old_pin_is_a_user_guess(self, made: MadeToken) -> None:
        answers = act(made, *[("set_pin", "wrong", NEW_PIN)] * 10, ("set_pin", USER_PIN, NEW_PIN))
        assert answers == [*guesses(10), LOCKED]
        assert tries_left(made) == (0, 15)

    def test_logged_in_the_old_pin_is_a_user_guess(self, made: MadeToken) -> None:
        answers = act(made, ("login", "user", USER_PIN), ("set_pin", "wrong", NEW_PIN))
        assert answers == [OK, WRONG]
        assert tries_left(made) == (9, 15)

    def test_as_so_the_old_pin_is_an_so_guess(self, made: MadeToken) -> None:
        answers = act(made, ("login", "so", SO_PIN), ("set_pin", "wrong", "Admin-PIN-2"))
        assert answers == [OK, WRONG]
        assert tries_left(made) == (10, 14)

    def test_success_refills_and_changes_the_pin(self, made: MadeToken) -> None:
        tokens.wrong_logins(made, 2)
        tokens.wrong_logins(made, 2, "so")
        assert act(made, ("set_pin", USER_PIN, NEW_PIN)) == [OK]
        assert tries_left(made) == (10, 13)
        changed = act(made, ("login", "so", SO_PIN), ("set_pin", SO_PIN, "Admin-PIN-2"))
        assert changed == [OK, OK]
        again = act(made, ("login", "so", SO_PIN), ("login", "so", "Admin-PIN-2"), ("logout",))
        assert again == [WRONG, OK, OK]
        assert act(made, ("login", "user", NEW_PIN)) == [OK]


class TestInitToken:
    def test_a_wrong_so_pin_counts_and_blocks(self, made: MadeToken) -> None:
        tokens.wrong_logins(made, 14, "so")
        assert act(made, ("init_token", "wrong", "Again")) == [WRONG]
        assert tries_left(made) == (10, 0)
        assert act(made, ("init_token", SO_PIN, "Again")) == [LOCKED]

    def test_success_clears_both_counters(self, made: MadeToken) -> None:
        tokens.wrong_logins(made, 10)
        tokens.wrong_logins(made, 5, "so")
        assert act(made, ("init_token", SO_PIN, "Again")) == [OK]
        assert tries_left(made) == (10, 15)
        assert act(made, ("flags",)) == [""]


class TestFlags:
    @pytest.mark.parametrize(
        ("user", "total"), [("user", 10), ("so", 15)], ids=["s1_18_user", "s1_19_so"]
    )
    def test_flags_are_live_at_each_stage(self, made: MadeToken, user: str, total: int) -> None:
        name = "SO_PIN" if user == "so" else "USER_PIN"
        wrong = ("login", user, "wrong")
        answers = act(made, ("flags",), wrong, ("flags",), *[wrong] * (total - 2), ("flags",))
        low = f"{name}_COUNT_LOW"
        assert [a for a in answers if a != WRONG] == [
            "USER_PIN_INITIALIZED",
            f"USER_PIN_INITIALIZED {low}",
            f"USER_PIN_INITIALIZED {low} {name}_FINAL_TRY",
        ]
        locked = act(made, wrong, ("flags",))
        assert locked == [WRONG, f"USER_PIN_INITIALIZED {low} {name}_LOCKED"]

    def test_a_foreign_tool_sees_them(self, made: MadeToken) -> None:
        assert "count low" not in tokens.pkcs11_tool_flags(made)
        tokens.wrong_logins(made, 9)
        assert "final user PIN try" in tokens.pkcs11_tool_flags(made)
        tokens.wrong_logins(made, 1)
        assert "user PIN locked" in tokens.pkcs11_tool_flags(made)
        assert "SO" not in tokens.pkcs11_tool_flags(made)

    def test_a_foreign_tool_is_counted(self, made: MadeToken) -> None:
        assert tokens.pkcs11_tool_login(made, None, "wrong") == WRONG
        assert tries_left(made) == (9, 15)
        assert tokens.pkcs11_tool_login(made.module, made.serial, USER_PIN) == "ok"
        assert tokens.pkcs11_tool_login(made, None, "wrong", so=True) == WRONG
        assert tries_left(made) == (10, 14)
        assert tokens.pkcs11_tool_login(made, None, SO_PIN, so=True) == "ok"
        tokens.wrong_logins(made, 10)
        assert tokens.pkcs11_tool_login(made, None, USER_PIN) == LOCKED


class TestFaults:
    @pytest.mark.parametrize("pin", [USER_PIN, "wrong"])
    def test_a_try_is_spent_before_the_token_sees_the_pin(self, made: MadeToken, pin: str) -> None:
        tokens.arm_fault(made, "before Login 1 kill")
        assert act(made, ("login", "user", pin)) == ["killed"]
        assert tries_left(made) == (9, 15)
        assert act(made, ("login", "user", USER_PIN)) == [OK]  # the fault is consumed

    def test_killing_at_every_guess_buys_no_guess(self, made: MadeToken) -> None:
        for left in range(9, -1, -1):
            tokens.arm_fault(made, "before Login 1 kill")
            assert act(made, ("login", "user", USER_PIN)) == ["killed"]
            assert tries_left(made) == (left, 15)
        assert act(made, ("login", "user", USER_PIN)) == [LOCKED]

    def test_killed_after_the_effect(self, made: MadeToken) -> None:
        tokens.wrong_logins(made, 10)
        tokens.arm_fault(made, "after InitPIN 1 kill")
        answers = act(made, ("login", "so", SO_PIN), ("init_pin", NEW_PIN), ("logout",))
        assert answers == [OK, "killed"]
        assert tries_left(made) == (10, 15)
        assert act(made, ("login", "user", NEW_PIN)) == [OK]

    def test_killed_before_the_effect(self, made: MadeToken) -> None:
        tokens.arm_fault(made, "before InitPIN 1 kill")
        answers = act(made, ("login", "so", SO_PIN), ("init_pin", NEW_PIN))
        assert answers == [OK, "killed"]
        assert act(made, ("login", "user", USER_PIN)) == [OK]

    def test_done_but_device_removed(self, made: MadeToken) -> None:
        tokens.arm_fault(made, "after SetPIN 1 return 0x32")
        assert act(made, ("set_pin", USER_PIN, NEW_PIN)) == ["CKR_DEVICE_REMOVED"]
        assert act(made, ("login", "user", NEW_PIN)) == [OK]

    def test_not_done_and_device_removed(self, made: MadeToken) -> None:
        tokens.arm_fault(made, "before SetPIN 1 return 0x32")
        assert act(made, ("set_pin", USER_PIN, NEW_PIN)) == ["CKR_DEVICE_REMOVED"]
        assert act(made, ("login", "user", USER_PIN)) == [OK]

    def test_the_nth_call_counts_over_processes(self, made: MadeToken) -> None:
        tokens.arm_fault(made, "after Login 3 return 0x30")
        tokens.arm_fault(made, "after Login 4 return 0x32")
        right = (("login", "user", USER_PIN), ("logout",))
        assert act(made, *right, *right) == [OK] * 4
        assert act(made, *right) == ["CKR_DEVICE_ERROR", OK]
        assert act(made, *right, *right) == ["CKR_DEVICE_REMOVED", OK, OK, OK]

    def test_disarmed(self, made: MadeToken) -> None:
        tokens.arm_fault(made, "before Login 1 kill")
        tokens.disarm(made)
        assert act(made, ("login", "user", USER_PIN)) == [OK]

    def test_a_delay_holds_the_store(self, made: MadeToken) -> None:
        tokens.arm_fault(made, "before Login 1 delay 2000")
        slow = tokens.start_acting(made, ("login", "user", USER_PIN), ("logout",), ("flags",))
        while tries_left(made) == (10, 15):  # the try is spent before the delay
            assert slow.poll() is None
        # The second process waits, then finds the counter refilled by the first one.
        assert act(made, ("login", "user", "wrong")) == [WRONG]
        assert tokens.finish_acting(slow)[0] == OK
        assert tries_left(made) == (9, 15)

    @pytest.mark.parametrize(
        "line", ["", "before Login kill", "after Sign 1 kill", "after Login 0 kill", "kill"]
    )
    def test_a_malformed_fault_is_refused(self, made: MadeToken, line: str) -> None:
        with pytest.raises(ValueError, match="not a fault"):
            tokens.arm_fault(made, line)


class TestProcesses:
    def test_parallel_guesses_are_never_more_than_the_limit(self, made: MadeToken) -> None:
        racing = [tokens.start_acting(made, *tokens.wrong_steps(10)) for _ in range(3)]
        answers = [answer for each in racing for answer in tokens.finish_acting(each)]
        assert sorted(answers) == [*guesses(10), *[LOCKED] * 20]
        assert tries_left(made) == (0, 15)

    def test_a_token_is_always_there_while_others_use_it(self, made: MadeToken) -> None:
        right = [("login", "user", USER_PIN), ("logout",)]
        busy = tokens.start_acting(made, *[("login", "user", "wrong"), *right] * 100)
        for _ in range(10):
            assert act(made, ("flags",), *right)[1:] == [OK, OK]
        assert tokens.finish_acting(busy) == [WRONG, OK, OK] * 100

    def test_two_modules_in_one_process_keep_apart(self, made: MadeToken, tmp_path: Path) -> None:
        other = tokens.make_token(tmp_path / "other", label="Other", user_pin="Other-User-1")
        answers = tokens.act_together(
            Part(made, [("login", "user", "wrong"), ("login", "user", USER_PIN), ("flags",)]),
            Part(other, [("login", "user", USER_PIN), ("login", "user", "Other-User-1")]),
            Part(made, [("set_pin", USER_PIN, NEW_PIN)]),
        )
        assert answers == [WRONG, OK, "USER_PIN_INITIALIZED", WRONG, OK, OK]
        assert tokens.pkcs11_tool_login(made, None, NEW_PIN) == "ok"
        assert tokens.pkcs11_tool_login(other, None, "Other-User-1") == "ok"

    def test_a_process_keeps_the_pins_it_started_with(
        self, made: MadeToken, tmp_path: Path
    ) -> None:
        """A limit of the stand-in, not of tokens: whoever shares a store must know it."""
        go = tmp_path / "go"
        old = tokens.start_acting(
            made,
            ("login", "user", "wrong"),
            ("wait_for", str(go)),
            ("login", "user", NEW_PIN),
            ("login", "user", USER_PIN),
        )
        while tries_left(made) == (10, 15):  # until it has begun
            assert old.poll() is None
        assert act(made, ("set_pin", USER_PIN, NEW_PIN)) == [OK]
        go.touch()
        assert tokens.finish_acting(old) == [WRONG, "there", WRONG, OK]

    @pytest.mark.parametrize(
        ("conf", "named"),
        [
            (None, "token.conf"),
            ("target=/nowhere.so\nstate=/tmp\n", "softhsm2_conf"),
            ("state=/tmp\nsofthsm2_conf=/x\n", "target"),
            ("target=/nowhere.so\nsofthsm2_conf=/x\n", "state"),
            ("target=/nowhere.so\nstate=/tmp\nsofthsm2_conf=/x\n", "/nowhere.so"),
        ],
    )
    def test_what_is_missing_is_named(
        self, made: MadeToken, tmp_path: Path, conf: str | None, named: str
    ) -> None:
        copy = tmp_path / "copy"
        copy.mkdir()
        shutil.copyfile(made.module, copy / "token.so")
        if conf is not None:
            (copy / "token.conf").write_text(conf)
        broken = MadeToken(copy, copy / "token.so", "x", "x", "x", "x")
        with pytest.raises(tokens.Refused, match=named):
            act(broken, ("flags",))

    def test_pins_stay_out_of_repr(self, made: MadeToken) -> None:
        shown = repr(made) + repr(Part(made, [("login", "user", USER_PIN)]))
        assert made.serial in shown
        assert USER_PIN not in shown
        assert SO_PIN not in shown

    def test_random_so_pin(self, tmp_path: Path) -> None:
        one = tokens.make_token(tmp_path / "one", label="One", user_pin="User-PIN-1")
        two = tokens.add_second_token(one, label="Two", user_pin="User-PIN-1")
        assert len(one.so_pin) == 16
        assert one.so_pin.isalnum()
        assert one.so_pin != two.so_pin
        assert act(one, ("login", "so", one.so_pin)) == [OK]


class TestKeys:
    @pytest.mark.parametrize("kind", ["rsa2048", "rsa3072", "p256"])
    def test_keys_are_made_on_the_token(self, made: MadeToken, kind: tokens.KeyKind) -> None:
        public = serialization.load_der_public_key(tokens.make_key(made, kind=kind))
        sizes = {"rsa2048": 2048, "rsa3072": 3072, "p256": 256}
        assert getattr(public, "key_size") == sizes[kind]  # noqa: B009 - not every kind has one
        assert tries_left(made) == (10, 15)


@dataclass(frozen=True)
class Site:
    """A TLS 1.3 server on loopback that demands a certificate of its own issuer."""

    url: str
    ca_pem: Path
    ca: x509.Certificate
    ca_key: ec.EllipticCurvePrivateKey


class Echo(http.server.BaseHTTPRequestHandler):
    """Answers with what it was sent and with who the client is."""

    def do_GET(self) -> None:
        self._answer(b"")

    def do_POST(self) -> None:
        self._answer(self.rfile.read(int(self.headers["Content-Length"])))

    def _answer(self, sent: bytes) -> None:
        assert isinstance(self.connection, ssl.SSLSocket)
        der = self.connection.getpeercert(binary_form=True)
        assert der is not None
        name = x509.load_der_x509_certificate(der).subject.rfc4514_string()
        who = f"{self.connection.version()} {name} {self.headers['Cookie']}\n".encode()
        self.send_response(200)
        self.send_header("Set-Cookie", "visit=yes; Path=/")
        self.send_header("X-Type", self.headers["Content-Type"] or "none")
        self.end_headers()
        self.wfile.write(who + sent)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def certify(
    name: str, public: object, issuer: str, key: ec.EllipticCurvePrivateKey, *, ca: bool = False
) -> x509.Certificate:
    """A certificate valid for an hour, for 127.0.0.1 if it serves."""
    now = datetime.datetime.now(datetime.UTC)

    def named(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])

    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    return (
        x509.CertificateBuilder()
        .subject_name(named(name))
        .issuer_name(named(issuer))
        .public_key(public)  # type: ignore[arg-type]
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca, None), critical=True)
        .add_extension(address, critical=False)
        .sign(key, hashes.SHA256())
    )


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A running server."""
    ca_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    ca = certify("Test issuer", ca_key.public_key(), "Test issuer", ca_key, ca=True)
    own = certify("Site", key.public_key(), "Test issuer", ca_key)
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    ca_pem, chain = tmp_path / "ca.pem", tmp_path / "site.pem"
    ca_pem.write_bytes(ca.public_bytes(pem))
    chain.write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain) + own.public_bytes(pem)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(chain)
    context.load_verify_locations(ca_pem)

    class Server(http.server.ThreadingHTTPServer):
        def handle_error(self, request: object, client_address: object) -> None:
            """A refused handshake is the client's to report."""

    server = Server(("127.0.0.1", 0), Echo)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield Site(f"https://127.0.0.1:{server.server_port}", ca_pem, ca, ca_key)
    server.shutdown()
    thread.join()
    server.server_close()


class TestTlsLogin:
    @pytest.mark.parametrize("kind", ["rsa2048", "p256"])
    def test_tls_1_3_with_the_key_on_the_token(
        self, made: MadeToken, site: Site, tmp_path: Path, kind: tokens.KeyKind
    ) -> None:
        public = serialization.load_der_public_key(tokens.make_key(made, kind=kind))
        certificate = certify("holder", public, "Test issuer", site.ca_key)
        tokens.store_certificate(made, certificate.public_bytes(serialization.Encoding.DER))
        pem = tmp_path / "holder.pem"
        pem.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        jar = tmp_path / "cookies"

        first = tokens.curl_with_token(made, site.url, ca=site.ca_pem, cert_pem=pem, cookies=jar)
        assert (first.status, first.text) == (200, "TLSv1.3 CN=holder None\n")
        assert first.header("Set-Cookie") == "visit=yes; Path=/"

        form = {"answer 1": 'a "b" \\ & = %\nü', "empty": ""}
        second = tokens.curl_with_token(
            made, site.url, ca=site.ca_pem, cert_pem=pem, cookies=jar, form=form
        )
        assert second.header("x-type") == "application/x-www-form-urlencoded"
        assert second.text == (
            "TLSv1.3 CN=holder visit=yes\n"
            "answer%201=a%20%22b%22%20%5C%20%26%20%3D%20%25%0A%C3%BC&empty="
        )

        upload = tmp_path / "signature.der"
        upload.write_bytes(b"\x30\x03\x02\x01\x07")
        third = tokens.curl_with_token(
            made,
            site.url,
            ca=site.ca_pem,
            cert_pem=pem,
            form={"csrf_token": '@"x";\n<y'},
            files={"signature": upload},
        )
        assert (third.header("x-type") or "").startswith("multipart/form-data; boundary=")
        assert b'name="csrf_token"\r\n\r\n@"x";\n<y\r\n' in third.body
        assert b'name="signature"; filename="signature.der"' in third.body
        assert b"\r\n\r\n\x30\x03\x02\x01\x07\r\n" in third.body

        with pytest.raises(tokens.CurlFailed) as failed:
            tokens.curl_with_token(
                made, site.url, ca=site.ca_pem, cert_pem=pem, pin="Secret-Wrong-1"
            )
        assert "Secret-Wrong-1" not in str(failed.value)
        assert tries_left(made) == (9, 15)
