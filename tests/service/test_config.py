"""Settings: frozen, checked once, unknown or missing keys refuse, no secret in a repr."""

from __future__ import annotations

import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import ValidationError

from reset import config
from reset.errors import SettingsRefused

SERVICE = """
institution = "I"
office = "O"
help_desk = "H"
public_url = "https://a.example"
certificate_url = "https://b.example"
database = "postgresql://app:marked-secret@db.example/reset"
run_directory = "run"
secret_key_file = "form-key"
custodian_socket = "run/socket"
[trust]
anchors = ["root.pem"]
crls = ["root.crl"]
[mail]
host = "127.0.0.1"
port = 25
security = "none"
sender = "a@b.example"
"""

# one file stands for all of them: they are not read here
LISTEN = "[listen]\n" + "".join(
    f"{site} = '127.0.0.1:1'\n{site}_certificate = 'root.pem'\n{site}_key = 'root.pem'\n"
    for site in ("public", "certificate")
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Good settings with everything that they name."""
    for name in ("root.pem", "root.crl"):
        (tmp_path / name).write_text("x")
    (tmp_path / "form-key").touch(mode=0o600)
    (tmp_path / "form-key").write_text("marked-secret-" * 4)
    (tmp_path / "service.toml").touch(mode=0o600)
    (tmp_path / "service.toml").write_text(SERVICE)
    return tmp_path / "service.toml"


def _refused(file: Path) -> str:
    with pytest.raises(SettingsRefused) as refused:
        config.load(file)
    problems = refused.value.data["problems"]
    assert isinstance(problems, list)
    assert problems
    text = " ".join(problems)
    assert "marked-secret" not in text
    return text


def test_good_settings_are_frozen_and_keep_their_secrets(file: Path) -> None:
    """Paths are taken from the file's own directory."""
    settings = config.load(file)
    assert settings.secret_key_file == file.parent / "form-key"
    assert settings.custodian_socket == file.parent / "run" / "socket"
    shown = repr(settings) + str(settings) + repr(settings.secret_key())
    assert "marked-secret" not in shown
    with pytest.raises(ValidationError):
        settings.institution = "other"  # type: ignore[misc]


def test_what_is_fetched_is_what_is_read(file: Path) -> None:
    """And the custodian is told nothing of addresses."""
    fetch = '[[fetch.crls]]\nfile = "./root.crl"\nurl = "http://pki.example/a/root.crl?x=1"\n'
    file.write_text(SERVICE.replace("[mail]", f"{fetch}[mail]"))
    settings = config.load(file)
    [one] = settings.fetch.crls
    assert (one.file, settings.fetch.minutes) == (settings.trust.crls[0], 60)
    assert "fetch" not in config.CustodianSettings.model_fields


def _keys() -> list[str]:
    return re.findall(r"^(\w+) =", SERVICE, re.MULTILINE)


@pytest.mark.parametrize("key", _keys())
def test_a_missing_key_is_named(file: Path, key: str) -> None:
    """There is no default for what an institution must decide."""
    file.write_text(re.sub(rf"(?m)^{key} = .*$", "", SERVICE))
    assert key in _refused(file)


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ('institution = "I"', 'institution = "I"\ntypo = 1', "typo"),
        ("[mail]", "[mail]\ntypo = 1", "typo"),
        ("https://a.example", "http://a.example", "public_url"),
        ("https://a.example", "https://a.example/path", "public_url"),
        ("https://a.example", "https://b.example", "two sites"),
        ('"127.0.0.1"', '"mail.example"', "starttls"),
        ("port = 25", "port = 70000", "port"),
        ('"root.pem"', '"absent.pem"', "anchors"),
        ('anchors = ["root.pem"]', "anchors = []", "anchors"),
        ('crls = ["root.crl"]', "crls = []", "crls"),
        ("[mail]", "[policy]\nlevel = 2\n[mail]", "level"),
        ("[mail]", "[policy]\nquestions_asked = 5\n[mail]", "questions_minimum"),
        ("[mail]", "[policy]\nso_tries = 15\n[mail]", "so_tries"),
        ("[mail]", "[policy]\ncode_minutes = 600\n[mail]", "code_age"),
        ("[mail]", "[policy]\n[policy.pin]\nminimum = 4\n[mail]", "pin"),
        ("[mail]", "[proxy]\nsocket = 's'\n[mail]", "socket"),
        ("[mail]", f"[proxy]\nsockets = 's'\n{LISTEN}[mail]", "choose one"),
        ("[mail]", "[mail", "TOML"),
        ("[mail]", 'ocsp_issuers = ["root.pem"]\n[mail]', "belong together"),
        ("[mail]", 'ocsp_responses = "."\n[mail]', "belong together"),
        ("[mail]", '[[fetch.crls]]\nfile = "root.pem"\nurl = "http://p/x"\n[mail]', "trust.crls"),
        (
            "[mail]",
            '[[fetch.responders]]\nissuer = "root.pem"\nurl = "http://p/x"\n[mail]',
            "trust.ocsp_issuers",
        ),
        *(
            ("[mail]", f'[[fetch.crls]]\nfile = "root.crl"\nurl = "{url}"\n[mail]', "fetch")
            for url in (
                "ldap://p/x",
                "file:///etc/passwd",
                "http://a:b@p/x",
                "ftp://p/x",
                "http:/x",
            )
        ),
        ("[mail]", "[fetch]\nminutes = 1\n[mail]", "minutes"),
        *(
            ("[trust]", f'time_zone = "{zone}"\n[trust]', "time_zone: Value error, not the IANA")
            for zone in (
                "Europe/Atlantis",
                "Europe",
                "europe/berlin",
                "CEST",
                "+02:00",
                "",
                "localtime",
                "../../etc/localtime",
                "right/Europe/Berlin",
            )
        ),
        ("[mail]", '[fetch]\nproxy = "http://user:secret@p:1"\n[mail]', "proxy"),
    ],
)
def test_an_unusable_value_is_named(file: Path, old: str, new: str, named: str) -> None:
    """An unsafe policy is refused with its reason; nothing starts on half a configuration."""
    file.write_text(SERVICE.replace(old, new, 1))
    assert named in _refused(file)


@pytest.mark.parametrize(
    "zone", ["UTC", "Europe/Berlin", "America/Argentina/Ushuaia", "Asia/Kolkata"]
)
def test_a_time_zone_by_its_iana_name(file: Path, zone: str) -> None:
    assert config.load(file).time_zone == "UTC"
    file.write_text(SERVICE.replace("[trust]", f'time_zone = "{zone}"\n[trust]'))
    assert config.load(file).time_zone == zone


def test_zones_are_known_without_those_of_the_system() -> None:
    """Slim images lack them: the locked package brings them."""
    code = "import zoneinfo; print(zoneinfo.ZoneInfo('Europe/Berlin'), zoneinfo.TZPATH)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONTZPATH": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "Europe/Berlin ()\n"


ACCEPTED = """[policy]
level = 2
code_box = "mailbox"
[[policy.acceptance]]
rule = "reset-below-token"
who = "Sue Supervisor"
on = {on}
until = {until}
[mail]"""
TODAY = datetime.now(UTC).date()


def _accepting(on: int = -1, until: int = 1) -> str:
    """Settings with an acceptance that begins and ends so many days from now."""
    days = {"on": TODAY + timedelta(days=on), "until": TODAY + timedelta(days=until)}
    return SERVICE.replace("[mail]", ACCEPTED.format(**days), 1)


def test_a_reset_below_the_token_needs_a_record_by_name_and_date(file: Path) -> None:
    """S1.70, S1.74: codes to the PID's own mailbox."""
    file.write_text(_accepting())
    policy = config.load(file).policy.policy()
    (accepted,) = policy.acceptances
    assert (policy.level, policy.code_box, accepted.who) == (2, "mailbox", "Sue Supervisor")
    file.write_text(re.sub(r"\[\[policy.acceptance\]\][^[]*", "", _accepting()))
    assert "reset-below-token, by name and date" in _refused(file)
    file.write_text(_accepting().replace("level = 2\n", ""))
    assert "reach 2, not 3" in _refused(file)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (_accepting(on=30, until=60), "has not come yet"),
        (_accepting(on=-9, until=-1), "expired"),
        (_accepting(until=-2), "before on"),
        (_accepting().replace("reset-below-token", "anything"), "not one of asvs-6.4.2"),
        (_accepting().replace('who = "Sue Supervisor"\n', ""), "who"),
        (_accepting().replace("Sue Supervisor", "X"), "person's name"),
        (re.sub(r"until = (\S+)", r'until = "\1"', _accepting()), "until"),
        (re.sub(r"on = (\S+)\nuntil", r"on = \1T00:00:00Z\nuntil", _accepting()), "on"),
        (_accepting().replace('"mailbox"', '"anywhere"'), "code_box"),
    ],
    ids=range(9),  # not the dates: midnight may lie between two collections
)
def test_a_bad_acceptance_refuses_to_start(file: Path, text: str, named: str) -> None:
    file.write_text(text)
    assert named in _refused(file)


SIGN_ON = """[single_sign_on]
name = "Campus login"
issuer = "https://login.uni.example"
client_id = "token-reset"
client_secret_file = "form-key"
"""


def test_a_single_sign_on_worth_two_must_be_shown(file: Path) -> None:
    """Its level is the policy's to say, and the provider's to show."""
    worth = "[policy]\nsign_on_level = 2\n"
    file.write_text(SERVICE + SIGN_ON + worth)
    assert "single_sign_on.acr" in _refused(file)
    file.write_text(SERVICE + worth)
    assert "single_sign_on.acr" in _refused(file)
    file.write_text(SERVICE + SIGN_ON + 'acr = "two"\n' + worth)
    settings = config.load(file)
    assert settings.policy.policy().logins["sso"] == 2
    assert settings.single_sign_on
    assert "marked-secret" not in repr(settings.single_sign_on.client_secret())


@pytest.mark.parametrize(
    "issuer", ["http://login.uni.example", "https://login.uni.example/", "https://x?y", "x"]
)
def test_a_provider_has_an_exact_https_address(file: Path, issuer: str) -> None:
    file.write_text(SERVICE + SIGN_ON.replace("https://login.uni.example", issuer))
    assert "single_sign_on.issuer" in _refused(file)


def test_secrets_that_others_can_read_are_refused(file: Path) -> None:
    """And secrets that are too short to be one."""
    key = file.parent / "form-key"
    key.chmod(0o640)
    with pytest.raises(SettingsRefused):
        config.load(file).secret_key()
    key.chmod(0o600)
    key.write_text("short")
    with pytest.raises(SettingsRefused):
        config.load(file).secret_key()


def test_a_database_password_needs_a_closed_file(file: Path) -> None:
    """The settings themselves are a secret then."""
    file.chmod(0o644)
    assert "chmod 600" in _refused(file)


def test_no_file_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The message says how to name one."""
    monkeypatch.delenv(config.SERVICE_VARIABLE, raising=False)
    with pytest.raises(SettingsRefused) as refused:
        config.load(None)
    assert config.SERVICE_VARIABLE in str(refused.value.data["problems"])
    with pytest.raises(SettingsRefused):
        config.load(tmp_path / "absent.toml")


def test_the_services_settings_know_nothing_of_the_hsm() -> None:
    """The web process is never told where the HSM's PIN lies (promise 2)."""
    assert not {"hsm", "pin_file", "ledger"} & set(config.Settings.model_fields)
