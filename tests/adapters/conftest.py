"""One directory server for all tests of the adapters."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import pytest

from reset.adapters.directory_ldap import LdapDirectory
from reset.adapters.ldap_entries import PRESETS, Schema
from reset.adapters.ldap_servers import Servers
from reset.adapters.system import SystemClock
from reset.db import migrate
from reset.db.store import SqlStore
from tests.institution.authority import Authority
from tests.institution.slapd import CORP, GROUPS, PEOPLE, SERVICE, Entry, Slapd, group

PASSWORD = "correct horse 7 ÄÖ"
ADA = Entry("1", "ada", "Ada Alpha", "ada@i.example", PASSWORD, "3", "4")
BOB = Entry("2", "bob", "Bob Beta", "bob@i.example", PASSWORD, active=False)
SUE = Entry("3", "Sue", "Sue Supervisor", "sue@i.example", PASSWORD)
RITA = Entry("4", "rita", "Rita Rück", "rita@i.example", PASSWORD, supervisor="2")
EVERYBODY = (ADA, BOB, SUE, RITA)
# under a policy for passwords, which OpenLDAP's overlay enforces
STRICT = "pwdPolicySubentry: cn=strict,dc=institute,dc=example"
POLICY = """dn: cn=strict,dc=institute,dc=example
objectClass: applicationProcess
objectClass: pwdPolicy
cn: strict
pwdAttribute: 2.5.4.35
pwdLockout: TRUE
pwdMaxFailure: 2
pwdMustChange: TRUE
pwdMaxAge: 86400
"""
EXPIRED = Entry(
    "50", "old", "Old", "old@elsewhere.example", PASSWORD,
    more=f"{STRICT}\npwdChangedTime: 20200101000000Z",
)  # fmt: skip
ROLES = {"office": ["1", "3"], "auditor": ["1"], "help-desk": [], "administrator": ["2"]}
SCHEMAS = {
    PEOPLE: replace(PRESETS["openldap"], representative="secretary"),
    CORP: replace(PRESETS["active-directory"], representative="secretary"),
}


@dataclass(frozen=True)
class Corner:
    """Where the directory of a test is: an authority, a server, a database."""

    authority: Authority
    slapd: Slapd
    store: SqlStore

    def directory(
        self,
        tree: str = PEOPLE,
        *,
        security: Literal["tls", "starttls"] = "tls",
        schema: Schema | None = None,
        servers: Servers | None = None,
    ) -> LdapDirectory:
        """The adapter on one of the trees."""
        roles = {role: f"cn={role},{GROUPS[tree]}" for role in ROLES}
        servers = servers or self.servers(tree, security=security)
        return LdapDirectory(servers, schema or SCHEMAS[tree], tree, roles, self.store)

    def servers(
        self,
        tree: str = PEOPLE,
        *addresses: str,
        security: Literal["tls", "starttls"] = "tls",
        ca_file: Path | None = None,
        timeout: float = 20.0,
        clock: Callable[[], float] = lambda: 0.0,
    ) -> Servers:
        """Connections as the service account; the clock stands still."""
        return Servers(
            addresses or (self.slapd.tls if security == "tls" else self.slapd.plain,),
            security,
            ca_file or self.authority.anchors_pem,
            SERVICE[tree],
            self.slapd.password,
            timeout=timeout,
            clock=clock,
        )


def people() -> list[str]:
    """Both trees."""
    trees = (PEOPLE, CORP)
    entries = [entry.ldif(tree) for tree in trees for entry in EVERYBODY]
    entries += [POLICY, EXPIRED.ldif(PEOPLE)]
    return entries + [group(role, uids, tree) for tree in trees for role, uids in ROLES.items()]


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """A root and an issuing CA."""
    return Authority.create(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="session")
def slapd(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[Slapd]:
    """A running server; a test that changes it undoes the change."""
    certificate = authority.issue_server(("127.0.0.1",))
    with Slapd(tmp_path_factory.mktemp("slapd"), certificate, authority.anchors_pem) as made:
        made.fill(*people())
        made.start()
        yield made


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty database, to be copied."""
    file = tmp_path_factory.mktemp("database") / "service.sqlite"
    migrate.upgrade(f"sqlite:///{file}")
    return file


@pytest.fixture
def store(migrated: Path, tmp_path: Path) -> Iterator[SqlStore]:
    """A database of the test's own."""
    file = shutil.copy(migrated, tmp_path)
    made = SqlStore(f"sqlite:///{file}", SystemClock())
    yield made
    made.close()


@pytest.fixture
def corner(authority: Authority, slapd: Slapd, store: SqlStore) -> Corner:
    """All three."""
    return Corner(authority, slapd, store)
