"""DER out of files as people and programs leave them (RFC 7468)."""

from __future__ import annotations

import base64
import contextlib
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reset.adapters import armour
from reset.adapters.armour import CERTIFICATE, CRL, Unusable
from tests.institution.authority import Authority, software_key

MARK = b"\xef\xbb\xbf"
DER = bytes(range(48, 148))


def block(der: bytes = DER, label: str = CERTIFICATE) -> bytes:
    body = base64.encodebytes(der).decode()
    return f"-----BEGIN {label}-----\n{body}-----END {label}-----\n".encode()


FOUR = block().replace(b"-----BEGIN", b"---- BEGIN")
GOOD = {
    "DER": DER,
    "PEM": block(),
    "CRLF": block().replace(b"\n", b"\r\n"),
    "no line feed at the end": block().rstrip(),
    "byte-order mark": MARK + block(),
    "text before": b"Certificate:\n    Data: 1\n" + block(),
    "text and umlauts before": "Müller, München\n".encode("latin-1") + block(),
    "byte-order mark and text": MARK + b"Subject: A\n" + block(),
    "text after": block() + b"that was it\n",
    "a mark within a line": b"no -----BEGIN X509 CRL----- here\n" + block(),
    "dashes before": b"-----\n----- Root, BEGIN 2026 -----\n" + block(),
    "blanks": block().replace(b"\n", b" \t\r\n").replace(b"MDEy", b"MD Ey"),
    "one long line": block()[:28] + base64.b64encode(DER) + b"\n-----END CERTIFICATE-----\n",
}


@pytest.mark.parametrize("raw", GOOD.values(), ids=GOOD.keys())
def test_the_der_in_a_file(raw: bytes) -> None:
    assert armour.ders(raw, CERTIFICATE) == [DER]
    assert armour.certificate(raw) == DER


def test_several_blocks() -> None:
    """All of a CA's; the first of a chain."""
    both = block() + b"and\n" + block(b"another")
    assert armour.ders(both, CERTIFICATE) == [DER, b"another"]
    assert armour.certificate(both) == DER


BAD = {
    "empty": (b"", "is empty"),
    "no end": (block()[:60], "cut off"),
    "a last one without an end": (block() + block()[:60], "cut off"),
    "a first one without an end": (block()[:60] + b"\n" + block(), "cut off"),
    "labels that differ": (block().replace(b"END CERTIFICATE", b"END X509 CRL"), "damaged"),
    "its end is any line of dashes": (block().replace(b"-----END CERT", b"-----CERT"), "damaged"),
    "four dashes and a blank": (FOUR, "damaged"),
    "four dashes beside one without an end": (FOUR + block()[:60], "damaged"),
    "run together": (block().rstrip() + block(), "damaged"),
    "text behind its end": (block().rstrip() + b" that was it\n", "damaged"),
    "its first line goes on": (block().replace(b"-----\n", b"-----", 1), "damaged"),
    "its last line goes on": (block().replace(b"\n-----END", b"-----END"), "damaged"),
    "headers": (block().replace(b"-----\n", b"-----\nA: b\n\n", 1), "damaged"),
    "a line of junk inside": (block().replace(b"\n", b"\n%%%!!\n", 1), "damaged"),
    "junk within a line": (block().replace(b"MDEy", b"MD####Ey"), "damaged"),
    "an umlaut within a line": (block().replace(b"MDEy", "MDüEy".encode()), "damaged"),
    "no padding": (block().replace(b"=", b""), "damaged"),
    "padding within": (block().replace(b"MDEy", b"MA==MDEy"), "damaged"),
    "nothing inside": (block(b""), "damaged"),
    "a key beside it": (block() + block(label="PRIVATE KEY"), "PRIVATE KEY, not CERTIFICATE"),
    "another kind": (block(label=CRL), "X509 CRL, not CERTIFICATE"),
}


@pytest.mark.parametrize(("raw", "reason"), BAD.values(), ids=BAD.keys())
def test_what_is_no_such_file(raw: bytes, reason: str) -> None:
    with pytest.raises(Unusable, match=reason):
        armour.ders(raw, CERTIFICATE)


@given(
    st.binary() | st.lists(st.sampled_from([*GOOD.values(), b"-----BEGIN ", b"\n"])).map(b"".join)
)
def test_any_bytes(raw: bytes) -> None:
    """Some DER, or our own refusal, never a parser's."""
    with contextlib.suppress(Unusable):
        assert armour.ders(raw, CERTIFICATE)


def test_what_openssl_prints(tmp_path: Path) -> None:
    """Text of the certificate, then the certificate."""
    authority = Authority.create(tmp_path / "ca")
    der = authority.issue_person(uid="1", name="Zoë", public_key=software_key().public_key())
    command = "openssl x509 -inform DER -text -nameopt utf8,sep_multiline"
    done = subprocess.run(command.split(), input=der, capture_output=True, check=True)
    assert done.stdout.startswith(b"Certificate:")
    assert armour.certificate(done.stdout) == der
