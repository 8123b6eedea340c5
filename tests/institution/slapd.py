"""An OpenLDAP server of the tests' own: loopback only, its own directory, its own ports.

It holds two trees: ``PEOPLE`` as OpenLDAP institutions keep people, ``CORP`` as Active Directory
does. Binds in clear are refused. Whoever starts a server stops it.
"""

from __future__ import annotations

import base64
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import time
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.institution.ports import free_port

PEOPLE, CORP = "ou=people,dc=institute,dc=example", "ou=people,dc=corp,dc=example"
GROUPS = {PEOPLE: "ou=groups,dc=institute,dc=example", CORP: "ou=groups,dc=corp,dc=example"}
SERVICE = {
    PEOPLE: "cn=token-reset,dc=institute,dc=example",
    CORP: "cn=token-reset,dc=corp,dc=example",
}
_ROOTS = {"dc=institute,dc=example": "institute", "dc=corp,dc=example": "corp"}
_SCHEMA = Path(__file__).with_name("active-directory.schema")
_DISABLED, _NORMAL = 514, 512  # of userAccountControl


class SlapdMissing(RuntimeError):
    """OpenLDAP's server or tools are not installed."""


@dataclass(frozen=True)
class Entry:
    """A person of either tree. ``more``: lines of LDIF."""

    uid: str
    pid: str
    name: str
    mail: str
    password: str
    supervisor: str = ""
    representative: str = ""
    active: bool = True
    more: str = ""

    def dn(self, tree: str) -> str:
        """The DN: made from the UID, which needs no escaping here."""
        return _dn(self.uid, tree)

    def ldif(self, tree: str) -> str:
        """The whole entry."""
        lines = [f"dn: {self.dn(tree)}", "sn: -", _line("userPassword", self.password)]
        if tree == PEOPLE:
            lines += ["objectClass: inetOrgPerson", f"employeeNumber: {self.uid}"]
            lines += [_line("cn", self.name), _line("uid", self.pid)]
            if not self.active:
                lines.append("pwdAccountLockedTime: 000001010000Z")
        else:
            guid = base64.b64encode(uuid.uuid4().bytes).decode()
            state = _NORMAL if self.active else _DISABLED
            lines += ["objectClass: user", f"cn: {self.uid}", f"employeeID: {self.uid}"]
            lines += [_line("displayName", self.name), _line("sAMAccountName", self.pid)]
            lines += [f"objectGUID:: {guid}", f"userAccountControl: {state}"]
            lines.append("objectCategory: person")
        lines.append(_line("mail", self.mail))
        for attribute, uid in (("manager", self.supervisor), ("secretary", self.representative)):
            if uid:
                lines.append(f"{attribute}: {_dn(uid, tree)}")
        return "\n".join([*lines, *filter(None, [self.more])]) + "\n"


def group(name: str, members: Iterable[str], tree: str) -> str:
    """A group's entry with the DNs of these UIDs; a group of OpenLDAP is never empty."""
    kind = "groupOfNames" if tree == PEOPLE else "group"
    dns = [_dn(uid, tree) for uid in members]
    if tree == PEOPLE and not dns:
        dns = [SERVICE[tree]]
    lines = [f"dn: cn={name},{GROUPS[tree]}", f"objectClass: {kind}", f"cn: {name}"]
    return "\n".join([*lines, *(f"member: {dn}" for dn in dns)]) + "\n"


def _dn(uid: str, tree: str) -> str:
    kind = "employeeNumber" if tree == PEOPLE else "cn"
    return f"{kind}={uid},{tree}"


def _line(attribute: str, value: str) -> str:
    return f"{attribute}:: {base64.b64encode(value.encode()).decode()}"


class Slapd:
    """One server. ``tls`` and ``plain``: its addresses for LDAPS and for StartTLS."""

    def __init__(self, directory: Path, certificate: tuple[Path, Path], ca_file: Path) -> None:
        if not shutil.which("slapd", path=_path()) or not shutil.which("ldapmodify"):
            raise SlapdMissing("OpenLDAP is not installed: apt-get install slapd ldap-utils")
        self._directory = directory
        self._ca_file = ca_file
        self._process: subprocess.Popen[bytes] | None = None
        self._root = secrets.token_urlsafe(12)
        self.password = secrets.token_urlsafe(12)  # of the service account
        self.tls, self.plain = (f"127.0.0.1:{free_port()}" for _ in range(2))
        self.log = directory / "log"
        for name in _ROOTS.values():
            (directory / name).mkdir(parents=True)
        (directory / "slapd.conf").write_text(self._settings(certificate))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def fill(self, *entries: str) -> None:
        """Put the roots, the service accounts and ``entries`` (LDIF) in before the start."""
        for root, short in _ROOTS.items():
            head = [f"dn: {root}\nobjectClass: domain\ndc: {short}\n"]
            head += [f"dn: ou={ou},{root}\nobjectClass: organizationalUnit\nou: {ou}\n"
                     for ou in ("people", "groups")]  # fmt: skip
            head.append(
                f"dn: cn=token-reset,{root}\nobjectClass: applicationProcess\n"
                "objectClass: simpleSecurityObject\ncn: token-reset\n"
                f"userPassword: {self.password}\n"
            )
            own = [entry for entry in entries if entry.split("\n", 1)[0].endswith(root)]
            file = self._directory / "fill.ldif"
            file.write_text("\n".join([*head, *own]))
            words = ["-f", str(self._directory / "slapd.conf"), "-b", root, "-l", str(file)]
            self._run("slapadd", "-q", *words)

    def start(self) -> None:
        """Start it, again at the same ports, and wait until it answers."""
        urls = f"ldaps://{self.tls} ldap://{self.plain}"
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*_slapd(), "-f", str(self._directory / "slapd.conf"), "-h", urls, "-d", "stats"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        end = time.monotonic() + 60
        while time.monotonic() < end and self._process.poll() is None:
            with socket.socket() as probe:
                host, port = self.plain.split(":")
                if probe.connect_ex((host, int(port))) == 0:
                    return
            time.sleep(0.02)
        raise RuntimeError(f"slapd did not start: {self.log.read_text()[-2000:]}")

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """End the server that this object started; without one nothing happens."""
        if self._process:
            self._process.send_signal(how)
            self._process.wait(timeout=60)
            self._process = None

    def freeze(self) -> None:
        """Let it hang: connections are made, nothing is answered."""
        assert self._process
        self._process.send_signal(signal.SIGSTOP)
        os.waitpid(self._process.pid, os.WUNTRACED)

    def thaw(self) -> None:
        """Let it go on."""
        assert self._process
        self._process.send_signal(signal.SIGCONT)

    def change(self, ldif: str) -> None:
        """Change it while it runs, as its administrator. Records need a ``changetype``."""
        root = re.search(r"dc=\w+,dc=example", ldif)
        assert root
        self._run(
            "ldapmodify", "-x", "-H", f"ldaps://{self.tls}", "-D", f"cn=root,{root[0]}",
            "-w", self._root, stdin=ldif,
        )  # fmt: skip

    def add(self, entry: str) -> None:
        """Add one entry while it runs."""
        head, rest = entry.split("\n", 1)
        self.change(f"{head}\nchangetype: add\n{rest}")

    def remove(self, dn: str) -> None:
        """Delete one entry while it runs."""
        self.change(f"dn: {dn}\nchangetype: delete\n")

    def set(self, dn: str, attribute: str, value: str) -> None:
        """Replace the values of an attribute by one."""
        self.change(
            f"dn: {dn}\nchangetype: modify\nreplace: {attribute}\n{_line(attribute, value)}\n"
        )

    def operations(self, after: int = 0) -> list[str]:
        """The operations in its log, in order, by name; ``after``: bytes to skip."""
        text = self.log.read_bytes()[after:].decode(errors="replace")
        return re.findall(r"op=\d+ (BIND dn|SRCH base|CMP|EXT|STARTTLS)", text)

    def _settings(self, certificate: tuple[Path, Path]) -> str:
        schemas = [Path(f"/etc/ldap/schema/{name}.schema")
                   for name in ("core", "cosine", "inetorgperson")]  # fmt: skip
        lines = [f"include {file}" for file in (*schemas, _SCHEMA)]
        lines += ["modulepath /usr/lib/ldap", "moduleload back_mdb", "moduleload ppolicy"]
        lines += [f"TLSCertificateFile {certificate[0]}", f"TLSCertificateKeyFile {certificate[1]}"]
        lines += ["security simple_bind=128", f"pidfile {self._directory}/pid"]
        for root, short in _ROOTS.items():
            lines += ["database mdb", f'suffix "{root}"', f'rootdn "cn=root,{root}"']
            lines += [f"rootpw {self._root}", f"directory {self._directory}/{short}"]
            lines.append("index objectClass,uid,employeeNumber,sAMAccountName,employeeID eq")
            lines += ["dbnosync", "access to attrs=userPassword by anonymous auth by * none"]
            lines.append(f'access to * by dn.exact="cn=token-reset,{root}" read by * none')
            lines.append("overlay ppolicy")
        return "\n".join(lines) + "\n"

    def _run(self, program: str, *words: str, stdin: str = "") -> None:
        done = subprocess.run(
            [shutil.which(program, path=_path()) or program, *words],
            input=stdin.encode(), capture_output=True, check=False, timeout=60,
            env={**os.environ, "LDAPTLS_CACERT": str(self._ca_file)},
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"{program}: {done.stderr.decode()[-1000:]}")


def _path() -> str:
    # Debian's server programs are not on everybody's path
    return f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


def _slapd() -> list[str]:
    return [shutil.which("slapd", path=_path()) or "slapd"]
