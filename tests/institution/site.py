"""A small institution on disk and running: CA, people, tokens, custodian, both sites, mail.

Everything is real but small: the demo plays its story on it, the tests build one per session.
"""

from __future__ import annotations

import base64
import csv
import json
import os
import re
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from email.message import EmailMessage
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from pkcs11_driver import envelope
from tests.institution import mailbox
from tests.institution.authority import Authority
from tests.institution.ports import free_ports
from tests.institution.tokens import MadeToken, make_key, make_token, store_certificate

DOMAIN = "institute.example"


@dataclass(frozen=True)
class Someone:
    """A person of the institution with everything that only they know."""

    uid: str
    pid: str
    name: str
    password: str
    supervisor: str = ""
    representative: str = ""
    roles: str = ""

    @property
    def mail(self) -> str:
        """The mailbox that the PID opens."""
        return f"{self.pid}@{DOMAIN}"

    @property
    def recovery(self) -> str:
        """A mailbox elsewhere."""
        return f"{self.pid}@elsewhere.example"


def staff() -> dict[str, Someone]:
    """The people of the story, by part; passwords are random."""

    def word() -> str:
        return secrets.token_urlsafe(12)

    return {
        "holder": Someone("1001", "hanna", "Hanna Holder", word(), supervisor="1002"),
        "supervisor": Someone("1002", "sven", "Sven Supervisor", word(), supervisor="1003"),
        "operator": Someone(
            "1003", "olga", "Olga Operator", word(), supervisor="1002", roles="office auditor"
        ),
    }


class Institution:
    """One institution in ``root``; ``build`` once, then ``start`` and ``stop`` at will."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.mail_directory = root / "mail"
        self.log = root / "service.log"
        self.config = root / "service.toml"
        self.custodian_config = root / "custodian.toml"
        self.people: dict[str, Someone] = {}
        self.tokens: dict[str, MadeToken] = {}
        self.ports: dict[str, int] = {}
        self._processes: dict[str, subprocess.Popen[str]] = {}
        self.environment: dict[str, str] = {}  # added to that of what is started

    # --- building ----------------------------------------------------------------------
    @classmethod
    def build(
        cls,
        root: Path,
        *,
        people: Mapping[str, Someone] | None = None,
        ports: Mapping[str, int] | None = None,
        database: str = "",
        policy: str = "",
        directory: str = "",
    ) -> Institution:
        """Make everything on disk; nothing runs afterwards.

        Parameters: ``ports`` for ``public``, ``certificate``, ``smtp`` (else free ones);
        ``database`` URL (else SQLite in ``root``); ``policy``: lines for the policy's TOML table;
        ``directory``: those of a directory where the people are already (else they are imported).
        """
        made = cls(root)
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        made.people = dict(people or staff())
        made.ports = dict(ports or free_ports("public", "certificate", "smtp"))
        made.authority = Authority.create(root / "ca")
        for part, someone in made.people.items():
            made.issue_token(part, someone)
        made._write_settings(
            database or "sqlite:///" + str(root / "service.sqlite"), policy, directory
        )
        made._write_people()
        made._remember()
        made.command("custodian", "--create-keys", config=made.custodian_config)
        made.command("db", "upgrade")
        if not directory:
            made.command("people", "import", str(root / "people.csv"))
        made.start_custodian()
        try:
            made._write_tokens()
            made.command("tokens", "import", str(root / "tokens.csv"))
        finally:
            made.stop()
        return made

    @classmethod
    def load(cls, root: Path) -> Institution:
        """An institution that ``build`` has made."""
        made = cls(root)
        memory = json.loads((root / "memory.json").read_text())
        made.ports = memory["ports"]
        made.people = {part: Someone(**fields) for part, fields in memory["people"].items()}
        for part, fields in memory["tokens"].items():
            made.tokens[part] = MadeToken(
                directory=Path(fields["directory"]),
                module=Path(fields["module"]),
                label=fields["label"],
                serial=fields["serial"],
                so_pin=fields["so_pin"],
                user_pin=fields["user_pin"],
                key_id=bytes.fromhex(fields["key_id"]),
            )
        made.authority = Authority.load(root / "ca")
        return made

    authority: Authority

    def issue_token(self, part: str, someone: Someone) -> MadeToken:
        """A token with a key pair made on it and a certificate with the UID in its subject."""
        token = make_token(
            self.root / "tokens" / part,
            label=f"{someone.name} token",
            user_pin=f"Pin-{secrets.token_urlsafe(6)}",
        )
        public_key = make_key(token, kind="rsa2048")
        der = self.authority.issue_person(uid=someone.uid, name=someone.name, public_key=public_key)
        store_certificate(token, der)
        (token.directory / "certificate.der").write_bytes(der)
        pem = x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM)
        (token.directory / "certificate.pem").write_bytes(pem)
        self.tokens[part] = token
        return token

    def certificate(self, part: str) -> bytes:
        """The DER of the certificate on a person's token."""
        return (self.tokens[part].directory / "certificate.der").read_bytes()

    def _write_settings(self, database: str, policy: str, directory: str) -> None:
        hsm = make_token(self.root / "hsm", label="custodian", user_pin=secrets.token_urlsafe(16))
        private = self.root / "secrets"
        private.mkdir(mode=0o700)
        for name, value in (
            ("form-key", secrets.token_hex(32)),
            ("hsm-pin", hsm.user_pin),
            ("metrics-token", secrets.token_hex(16)),
        ):
            (private / name).touch(mode=0o600)
            (private / name).write_text(value)
        (self.root / "custodian").mkdir(mode=0o700)
        public = self.authority.issue_server(("localhost", "127.0.0.1"))
        listed = [p.rename(p.with_name(f"public-{p.name}")) for p in public]
        own = [
            p.rename(p.with_name(f"certificate-{p.name}"))
            for p in self.authority.issue_server(("localhost", "127.0.0.1"))
        ]
        trust = (
            "[trust]\n"
            f'anchors = ["{self.authority.anchors_pem}"]\n'
            f'intermediates = ["{self.authority.intermediates_pem}"]\n'
            f"crls = {json.dumps([str(f) for f in self.authority.crl_files])}\n"
        )
        limits = f"[policy]\n{policy}\n" if policy else ""
        people = f"[directory]\n{directory}\n" if directory else ""
        self.config.touch(mode=0o600)
        self.config.write_text(
            'institution = "Example Institute"\n'
            'office = "Registration Office, Main Building, room 120, Monday to Friday 9 to 16"\n'
            'help_desk = "Help desk, telephone 4357, helpdesk@institute.example"\n'
            f'public_url = "{self.public_url}"\n'
            f'certificate_url = "{self.certificate_url}"\n'
            f'database = "{database}"\n'
            'run_directory = "run"\n'
            'secret_key_file = "secrets/form-key"\n'
            'metrics_token_file = "secrets/metrics-token"\n'
            'custodian_socket = "run/custodian/socket"\n'
            f'mail_domains = ["{DOMAIN}"]\n'
            f"{self._way_in(listed, own)}"
            f"{trust}"
            f'[mail]\nhost = "127.0.0.1"\nport = {self.ports["smtp"]}\nsecurity = "none"\n'
            f'sender = "token-reset@{DOMAIN}"\n'
            f"{people}{limits}"
        )
        self.custodian_config.touch(mode=0o600)
        self.custodian_config.write_text(
            'socket = "run/custodian/socket"\n'
            'ledger = "custodian/ledger.sqlite"\n'
            f"allowed_uids = [{os.getuid()}]\n"
            f'[hsm]\nmodule = "{hsm.module}"\ntoken_label = "custodian"\n'
            'pin_file = "secrets/hsm-pin"\n'
            f"{trust}{limits}"
        )
        (self.root / "run" / "custodian").mkdir(parents=True, mode=0o700)

    def _way_in(self, public: Sequence[Path], own: Sequence[Path]) -> str:
        """How browsers reach both sites: certificate and key of each in two TLS listeners."""
        return "[listen]\n" + "".join(
            f'{site} = "127.0.0.1:{self.ports[site]}"\n'
            f'{site}_certificate = "{certificate}"\n{site}_key = "{key}"\n'
            for site, (certificate, key) in (("public", public), ("certificate", own))
        )

    def _write_people(self) -> None:
        columns = "uid pid name mail supervisor representative roles password".split()
        with (self.root / "people.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(columns)
            for p in self.people.values():
                writer.writerow(
                    (p.uid, p.pid, p.name, p.mail, p.supervisor, p.representative, p.roles,
                     p.password)
                )  # fmt: skip

    def _write_tokens(self) -> None:
        key = base64.b64decode(self.command("escrow", "import-key"))
        with (self.root / "tokens.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow("serial holder label family certificate key_id so_pin".split())
            for part, token in self.tokens.items():
                context = envelope.import_context(token.serial, "etoken")
                sealed = envelope.seal(token.so_pin.encode(), key, context)
                writer.writerow(
                    (token.serial, self.people[part].uid, token.label, "etoken",
                     token.directory / "certificate.der", token.key_id.hex(),
                     base64.b64encode(sealed).decode())
                )  # fmt: skip

    def _remember(self) -> None:
        def plain(token: MadeToken) -> dict[str, str]:
            fields = {k: str(v) for k, v in asdict(token).items()}
            return fields | {"key_id": token.key_id.hex()}

        memory = {
            "ports": self.ports,
            "people": {part: asdict(p) for part, p in self.people.items()},
            "tokens": {part: plain(t) for part, t in self.tokens.items()},
        }
        file = self.root / "memory.json"
        file.touch(mode=0o600)
        file.write_text(json.dumps(memory))

    # --- running -----------------------------------------------------------------------
    @property
    def public_url(self) -> str:
        """Address of the public site."""
        return f"https://localhost:{self.ports['public']}"

    @property
    def certificate_url(self) -> str:
        """Address of the certificate site."""
        return f"https://localhost:{self.ports['certificate']}"

    def command(self, *words: str, config: Path | None = None) -> str:
        """Run ``token-reset`` to its end; its standard output. Raises ``RuntimeError``."""
        done = self.try_command(*words, config=config)
        if done.returncode != 0:
            raise RuntimeError(f"token-reset {' '.join(words)}: {done.stderr.strip()[-2000:]}")
        return done.stdout

    def try_command(
        self, *words: str, config: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run ``token-reset`` to its end, whatever that is."""
        return subprocess.run(
            [*_program(), *words, "--config", str(config or self.config)],
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
            stdin=subprocess.DEVNULL,
        )

    def start_custodian(self) -> None:
        """The custodian alone, for the operator commands."""
        arguments = ["custodian", "--config", str(self.custodian_config)]
        self._start("custodian", [*_program(), *arguments], "custodian ready")

    def start(self) -> None:
        """The mail server and ``token-reset serve`` with its children."""
        if "mailbox" not in self._processes:
            words = ["-m", "tests.institution.mailbox", str(self.ports["smtp"])]
            self._start(
                "mailbox", [sys.executable, *words, str(self.mail_directory)], "mailbox ready"
            )
        arguments = ["--log-level", "debug", "serve", "--config", str(self.config)]
        self._start(
            "serve",
            [*_program(), *arguments, "--custodian-config", str(self.custodian_config)],
            "serving ",
        )

    def _start(self, name: str, command: Sequence[str], ready: str) -> None:
        with self.log.open("a") as log:
            process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=log, stdin=subprocess.DEVNULL, text=True,
                cwd=Path(__file__).parents[2], env={**os.environ, **self.environment},
            )  # fmt: skip
        self._processes[name] = process
        assert process.stdout
        line = process.stdout.readline()
        if not line.startswith(ready):
            tail = self.log.read_text()[-2000:]
            raise RuntimeError(f"{name} did not start: {line!r}\n{tail}")

    def process(self, name: str) -> subprocess.Popen[str]:
        """A running process: ``serve``, ``mailbox`` or ``custodian``."""
        return self._processes[name]

    def restart(self) -> None:
        """Stop and start the service; the mail server goes on."""
        self.stop("serve")
        self.start()

    def stop(self, *names: str) -> None:
        """End processes that this object started, all by default."""
        for name in names or tuple(reversed(self._processes)):
            process = self._processes.pop(name, None)
            if process is None:
                continue
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if process.stdout:
                process.stdout.close()

    # --- mail --------------------------------------------------------------------------
    def mails(self, address: str) -> list[EmailMessage]:
        """The mails that arrived for an address, oldest first."""
        return mailbox.mails(self.mail_directory, address)

    def wait_for_mail(
        self, address: str, subject: str, *, known: int = 0, seconds: float = 60.0
    ) -> str:
        """The body of the newest mail whose subject contains ``subject``.

        ``known``: how many of those were there before. Raises ``TimeoutError``.
        """
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            found = [m for m in self.mails(address) if subject in str(m["Subject"])]
            if len(found) > known:
                return str(found[-1].get_content())
            time.sleep(0.1)
        raise TimeoutError(f"no mail {subject!r} to {address}")

    def count(self, address: str, subject: str) -> int:
        """How many mails with this subject arrived."""
        return sum(subject in str(m["Subject"]) for m in self.mails(address))


def code_in(body: str) -> str:
    """The code in a mail."""
    found = re.search(r"your code is: (\d+)", body)
    if not found:
        raise ValueError("no code in this mail")
    return found[1]


def _program() -> list[str]:
    return [sys.executable, "-m", "reset.cli"]
