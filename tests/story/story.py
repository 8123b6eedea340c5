"""The story, step by step; each step does what a person would do and says what it proved.

``STEPS`` is played in order by the demo and by the end-to-end test. A step raises
``AssertionError`` when what it promises is not so.
"""

from __future__ import annotations

import re
import secrets
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256

from reset.core.catalogue import CATALOGUE
from tests.institution.signing import sign_with_token
from tests.institution.site import Institution, code_in
from tests.institution.tokens import pkcs11_tool_login, tries_left, wrong_logins
from tests.institution.visitors import TokenVisitor, Visitor, run_helper, words_of

QUESTIONS = ("childhood-street", "first-flight", "teacher-nickname", "lost-thing", "neighbour")
BAD_PIN = "short1"


@dataclass
class Story:
    """What the people of the story know as it goes on.

    ``reason``: what the holder tells the approver; ``pin_begins``: how the new PIN begins.
    """

    institution: Institution
    reason: str = "Ten wrong PINs on a business trip"
    pin_begins: str = "New-"
    answers: dict[str, str] = field(default_factory=dict, repr=False)
    request: str = ""
    old_pin: str = field(default="", repr=False)
    new_pin: str = field(default="", repr=False)
    codes: list[str] = field(default_factory=list, repr=False)  # mailed and typed, in order
    pairing_codes: list[str] = field(default_factory=list, repr=False)

    @property
    def page(self) -> str:
        """The path of the request's page."""
        return f"/reset/{self.request}"


def register(story: Story) -> str:
    """Step 1: questions and recovery address, with the certificate on the token."""
    here, holder = story.institution, story.institution.people["holder"]
    # digits around a word do not hide it: one time in a thousand some other answer is ``dad``
    story.answers = {q: f"story {secrets.token_hex(4)} {n}" for n, q in enumerate(QUESTIONS)}
    form = {"recovery_address": holder.recovery}
    for number, (question, answer) in enumerate(story.answers.items(), 1):
        form |= {f"question_{number}": question, f"answer_{number}": answer}
    browser = TokenVisitor(here, "holder")
    page = browser.send("/profile", "/profile", **form)
    assert page.status == 200, words_of(page.text)
    code = code_in(here.wait_for_mail(holder.recovery, "confirm your recovery address"))
    page = browser.send("/profile", "/profile/confirm", code=code)
    assert page.status == 200, words_of(page.text)
    assert holder.recovery in page.text
    return "TLS client authentication with the key on the token; address confirmed by mailed code"


def block(story: Story) -> str:
    """Step 2: ten wrong PINs."""
    token = story.institution.tokens["holder"]
    story.old_pin = story.old_pin or token.user_pin
    said = wrong_logins(token, 11)
    assert said == ["CKR_PIN_INCORRECT"] * 10 + ["CKR_PIN_LOCKED"], said
    locked = pkcs11_tool_login(token, None, story.old_pin)
    assert locked == "CKR_PIN_LOCKED", locked
    return "the token answers CKR_PIN_LOCKED, to the right PIN as well"


def ask(story: Story) -> str:
    """Step 3: PID and password, three drawn questions, the mailed code."""
    here, holder = story.institution, story.institution.people["holder"]
    browser = Visitor(here)
    browser.log_in("holder")
    serial = here.tokens["holder"].serial
    page = browser.send("/", "/reset", token=serial, reason=story.reason)
    found = re.search(r"/reset/([0-9a-f]{32})", page.text)
    assert found, words_of(page.text)
    story.request = found[1]
    asked = browser.get(f"{story.page}/questions").text
    page = browser.send(
        f"{story.page}/questions", f"{story.page}/questions", **right_answers(story, asked)
    )
    assert page.status == 200, words_of(page.text)
    enter_code(story, browser)
    state = words_of(browser.get(story.page).text)
    assert here.people["supervisor"].name in state, state
    assert holder.recovery not in state
    return "password, 3 of 5 questions drawn at random, and a code to the recovery address"


def right_answers(story: Story, page: str, asked: int = 3) -> dict[str, str]:
    """The answers to the questions that the page asks, in its order."""
    words = words_of(page)
    drawn = sorted(
        (words.index(CATALOGUE[q].text), q) for q in story.answers if CATALOGUE[q].text in words
    )
    assert len(drawn) == asked, drawn
    return {f"answer_{n}": story.answers[q] for n, (_, q) in enumerate(drawn, 1)}


def enter_code(story: Story, browser: Visitor) -> None:
    """Ask for a code, read it in the recovery mailbox, type it."""
    here, holder = story.institution, story.institution.people["holder"]
    subject = "Your code for resetting"
    known = here.count(holder.recovery, subject)
    page = browser.send(f"{story.page}/code", f"{story.page}/code/send")
    assert page.status == 200, words_of(page.text)
    code = code_in(here.wait_for_mail(holder.recovery, subject, known=known))
    story.codes.append(code)
    page = browser.send(f"{story.page}/code", f"{story.page}/code", code=code)
    assert page.status == 200, words_of(page.text)


def approve(story: Story) -> str:
    """Step 4: the supervisor reads the statement and signs it with the hardware key."""
    here, supervisor = story.institution, story.institution.people["supervisor"]
    mail = here.wait_for_mail(supervisor.mail, "asks you to approve")
    assert "/approvals" in mail
    browser = TokenVisitor(here, "supervisor")
    assert story.request in browser.get("/approvals").text
    where = f"/approvals/{story.request}"
    statement = browser.get(f"{where}/statement").text
    serial = here.tokens["holder"].serial
    for line in (f"request: {story.request}", f"token-serial: {serial}", "decision: approve"):
        assert f"{line}\n" in statement, statement
    code = pairing_code(browser.get(f"{where}/helper").text)
    story.pairing_codes.append(code)
    token = here.tokens["supervisor"]
    done = run_helper(here, code, token.module, ["yes", token.user_pin])
    assert done.returncode == 0, done.stderr
    assert statement in done.stdout
    return "statement read, signed as CMS by the key on the supervisor's token, accepted"


def pairing_code(page: str) -> str:
    """The pairing code that a page shows."""
    found = re.search(r"\b([2-9A-HJ-NP-Z]{4}-[2-9A-HJ-NP-Z]{4})\b", words_of(page))
    assert found, words_of(page)
    return found[1]


def set_new_pin(story: Story) -> str:
    """Step 5: the holder comes back, confirms a fresh code, and sets the PIN by the helper."""
    here, holder = story.institution, story.institution.people["holder"]
    here.wait_for_mail(holder.mail, "was approved")
    browser = Visitor(here)
    browser.log_in("holder")
    enter_code(story, browser)
    code = pairing_code(browser.get(f"{story.page}/helper").text)
    story.pairing_codes.append(code)
    story.new_pin = f"{story.pin_begins}{secrets.token_hex(4)}"
    typed = [BAD_PIN, story.new_pin, story.new_pin]
    done = run_helper(here, code, here.tokens["holder"].module, typed)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "at least 8 characters" in done.stdout, done.stdout
    assert story.new_pin not in done.stdout + done.stderr
    return "a PIN of 6 characters refused with its rule; then set, proven and rotated"


def shown_by_others(story: Story) -> str:
    """Step 6: what pkcs11-tool and the certificate on file say."""
    here, token = story.institution, story.institution.tokens["holder"]
    assert pkcs11_tool_login(token, None, story.new_pin) == "ok"
    assert pkcs11_tool_login(token, None, story.old_pin) == "CKR_PIN_INCORRECT"
    assert pkcs11_tool_login(token, None, token.so_pin, so=True) == "CKR_PIN_INCORRECT"
    pin = so_pin_in_escrow(here, token.serial)
    assert pkcs11_tool_login(token, None, pin, so=True) == "ok"
    assert pkcs11_tool_login(token, None, story.new_pin) == "ok"
    assert tries_left(token) == (10, 15)
    return "by pkcs11-tool: new PIN yes, old PIN no, old SO PIN no, SO PIN in escrow yes"


def so_pin_in_escrow(here: Institution, serial: str) -> str:
    """The newest SO PIN of a token, opened with the custodian's own HSM: nothing else can."""
    program = (
        "import sys,sqlite3;from pathlib import Path;from reset import config;"
        "from pkcs11_driver.hsm import Hsm;from reset.custodian.keys import so_pin_context;"
        "s=config.load_custodian(Path(sys.argv[1]));"
        "v,b=sqlite3.connect(sys.argv[2]).execute('select version,sealed from escrow where "
        "serial=? order by version desc',(sys.argv[3],)).fetchone();"
        "h=Hsm(str(s.hsm.module),s.pin().get_secret_value(),label=s.hsm.token_label);"
        "sys.stdout.write(h.open(b,so_pin_context(sys.argv[3],v)).decode())"
    )
    here.stop("serve")  # one process per HSM store
    try:
        done = subprocess.run(
            [sys.executable, "-c", program, str(here.custodian_config),
             str(here.root / "service.sqlite"), serial],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    finally:
        here.start()
    assert done.returncode == 0, done.stderr
    return done.stdout


def proof_verifies(story: Story) -> str:
    """Step 6: a signature under the new PIN verifies against the certificate on file."""
    here, token = story.institution, story.institution.tokens["holder"]
    challenge = secrets.token_bytes(32)
    signature = sign_with_token(token, story.new_pin, challenge)
    with sqlite3.connect(here.root / "service.sqlite") as db:
        (filed,) = db.execute(
            "select certificate from tokens where serial=?", (token.serial,)
        ).fetchone()
    key = x509.load_der_x509_certificate(filed).public_key()
    assert isinstance(key, rsa.RSAPublicKey)
    key.verify(signature, challenge, padding.PKCS1v15(), SHA256())
    page = words_of(_request_page(story))
    assert "works again" in page, page
    return "the request ended by a proof that verified; the key signs under the new PIN"


def _request_page(story: Story) -> str:
    browser = Visitor(story.institution)
    browser.log_in("holder")
    return browser.get(story.page).text


def mails_went_out(story: Story) -> str:
    """Step 6: holder and supervisor were told."""
    here, people = story.institution, story.institution.people
    here.wait_for_mail(people["holder"].mail, "PIN of your token was reset")
    here.wait_for_mail(people["holder"].recovery, "PIN of your token was reset")
    here.wait_for_mail(people["supervisor"].mail, "PIN reset that you approved is done")
    return "holder at both addresses, supervisor at one"


def counter_is_zero(story: Story) -> str:
    """Step 6: the self-service counter."""
    here, holder = story.institution, story.institution.people["holder"]
    with sqlite3.connect(here.root / "service.sqlite") as db:
        spent = db.execute(
            "select coalesce(sum(spent),0) from tries where key=?", (f"rounds:{holder.uid}",)
        ).fetchone()[0]
    assert spent == 0
    return "no failed round is counted"


def audit_holds(story: Story) -> str:
    """Step 6: the audit log verifies, and one changed byte in a copy is found."""
    here = story.institution
    key = here.root / "log.pub"
    key.write_text(here.command("audit", "key"))
    whole = "; ".join(here.command("audit", "verify", "--key", str(key)).splitlines())
    copy = here.root / "copy.sqlite"
    with closing(sqlite3.connect(here.root / "service.sqlite")) as source:
        copy.unlink(missing_ok=True)
        with closing(sqlite3.connect(copy)) as target:
            source.backup(target)
            target.execute(
                "update audit_entries set raw = cast(replace(cast(raw as text), 'reset-done', "
                "'reset-dome') as blob) where cast(raw as text) like '%\"event\":\"reset-done\"%'"
            )
            target.commit()
    config = here.root / "copy.toml"
    text = here.config.read_text()
    config.write_text(re.sub(r'database = ".*"', f'database = "sqlite:///{copy}"', text))
    broken = here.try_command("audit", "verify", config=config)
    assert broken.returncode == 1, broken.stdout
    assert "audit-broken" in broken.stderr, broken.stderr
    for leftover in (config, *here.root.glob(f"{copy.name}*")):
        leftover.unlink()
    return f"{whole}; with one byte changed in a copy: {broken.stderr.strip()}"


Step = Callable[[Story], str]
STEPS: tuple[tuple[str, Step], ...] = (
    ("The holder registers questions and a recovery address", register),
    ("Ten wrong PINs block the token", block),
    ("The holder asks for a reset from anywhere", ask),
    ("The supervisor signs", approve),
    ("The holder sets a new PIN", set_new_pin),
    ("What pkcs11-tool says of the token", shown_by_others),
    ("The proof", proof_verifies),
    ("The mails", mails_went_out),
    ("The self-service counter", counter_is_zero),
    ("The audit log", audit_holds),
)
