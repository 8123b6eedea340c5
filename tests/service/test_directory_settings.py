"""The table ``[directory]``: what is refused, and what the service makes of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from reset import bootstrap, config
from reset.adapters.directory_ldap import LdapDirectory
from reset.adapters.directory_local import LocalDirectory
from reset.errors import BadInput, SettingsRefused
from tests.institution.authority import Authority
from tests.service.test_config import SERVICE

DIRECTORY = """
[directory]
kind = "ldap"
preset = "openldap"
servers = ["ldap1.example:636", "ldap2.example:636"]
security = "tls"
ca_file = "ca/root.pem"
user = "cn=token-reset,dc=example"
password_file = "directory-password"
base = "ou=people,dc=example"
[directory.entry]
uid = "employeeType"
active = "(objectClass=person)"
[directory.roles]
office = "cn=office,ou=groups,dc=example"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Good settings with everything that they name."""
    authority = Authority.create(tmp_path / "ca")
    text = SERVICE.replace('"root.pem"', '"ca/root.pem"').replace('"root.crl"', '"ca/root.crl"')
    text = text.replace(
        "postgresql://app:marked-secret@db.example/reset", f"sqlite:///{tmp_path}/service.sqlite"
    )
    assert authority.anchors_pem.exists()
    for name in ("form-key", "directory-password"):
        (tmp_path / name).touch(mode=0o600)
        (tmp_path / name).write_text("marked-secret-" * 4)
    (tmp_path / "service.toml").write_text(text + DIRECTORY)
    return tmp_path / "service.toml"


def _refused(file: Path) -> str:
    with pytest.raises(SettingsRefused) as refused:
        bootstrap.service(config.load(file))
    text = str(refused.value.data["problems"])
    assert "marked-secret" not in text
    return text


def test_good_settings(file: Path) -> None:
    """The password is in no representation; nothing is asked of a server yet."""
    settings = config.load(file)
    made = bootstrap.service(settings)
    assert isinstance(made.parts.directory, LdapDirectory)
    assert "marked-secret" not in repr(settings) + repr(vars(made.parts.directory))
    with pytest.raises(BadInput) as refused:
        made.importing.people(["uid"])
    assert "directory that the settings name" in str(refused.value)


def test_without_the_table_people_are_local(file: Path) -> None:
    """And with the kind said."""
    text = file.read_text().replace(DIRECTORY, "")
    for more in ("", '[directory]\nkind = "local"\n'):
        file.write_text(text + more)
        assert isinstance(bootstrap.service(config.load(file)).parts.directory, LocalDirectory)


def test_one_time_zone_reaches_mails_and_pages(file: Path) -> None:
    text = file.read_text()
    for line, name in (("", "UTC"), ('time_zone = "Asia/Kolkata"\n', "Asia/Kolkata")):
        file.write_text(line + text)
        settings = config.load(file)
        parts, pages = bootstrap.service(settings).parts, bootstrap.web_settings(settings)
        assert (parts.local.name, pages.local.name) == (name, name)


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ('security = "tls"', 'security = "none"', "security"),
        ('security = "tls"', 'security = "plain"', "security"),
        ('security = "tls"', "", "security"),
        ('"ldap1.example:636"', '"ldap://127.0.0.1:389"', "servers"),
        ('"ldap1.example:636"', '"ldap1.example"', "servers"),
        ('["ldap1.example:636", "ldap2.example:636"]', "[]", "servers"),
        ('ca_file = "ca/root.pem"', "", "ca_file"),
        ('ca_file = "ca/root.pem"', 'ca_file = "absent.pem"', "ca_file"),
        ('ca_file = "ca/root.pem"', 'ca_file = "form-key"', "no CA certificate"),
        ('password_file = "directory-password"', 'password = "x"', "password"),
        ('base = "ou=people,dc=example"', 'base = "people"', "base"),
        ('base = "ou=people,dc=example"', 'base = "ou=people,"', "no DN"),
        ('user = "cn=token-reset,dc=example"', 'user = ""', "user"),
        ('kind = "ldap"', 'kind = "nis"', "kind"),
        ('kind = "ldap"', "", "directory"),
        ('kind = "ldap"', 'kind = "local"', "preset"),
        ('preset = "openldap"', 'preset = "novell"', "preset"),
        ('uid = "employeeType"', 'uid = "uid)(objectClass"', "uid"),
        ('uid = "employeeType"', 'uid = ""', "uid"),
        ('uid = "employeeType"', 'typo = "x"', "typo"),
        ('"(objectClass=person)"', '"objectClass=person"', "active"),
        ("office =", "emperor =", "emperor"),
        ('"cn=office,ou=groups,dc=example"', '"cn=office,,"', "no DN"),
    ],
)
def test_an_unusable_value_is_named(file: Path, old: str, new: str, named: str) -> None:
    """Nothing starts on half a directory, and there is no word for a connection without TLS."""
    text = file.read_text()
    assert DIRECTORY in text
    file.write_text(text.replace(DIRECTORY, DIRECTORY.replace(old, new, 1)))
    assert named in _refused(file)


def test_a_password_that_others_can_read_is_refused(file: Path) -> None:
    """Like every other secret."""
    password = file.parent / "directory-password"
    password.chmod(0o640)
    assert "chmod 600" in _refused(file)
    password.chmod(0o600)
    password.write_text("")
    assert "needs at least" in _refused(file)
