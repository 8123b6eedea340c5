"""A signature by the key on a token, made with OpenSC's pkcs11-tool: a program that is not ours."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

from tests.institution.tokens import MadeToken


def sign_with_token(made: MadeToken, pin: str, data: bytes) -> bytes:
    """RSA PKCS#1 v1.5 with SHA-256 over ``data``; the PIN goes by the environment."""
    with tempfile.TemporaryDirectory() as scratch:
        source, target = Path(scratch) / "data", Path(scratch) / "signature"
        source.write_bytes(data)
        subprocess.run(
            [
                *("pkcs11-tool", "--module", str(made.module), "--token-label", made.label),
                *("--login", "--pin", "env:TOKEN_PIN", "--id", made.key_id.hex(), "--sign"),
                *("--mechanism", "SHA256-RSA-PKCS"),
                *("--input-file", str(source), "--output-file", str(target)),
            ],
            env={**os.environ, "TOKEN_PIN": pin},
            check=True,
            capture_output=True,
        )
        return target.read_bytes()
