"""A custodian process with a SoftHSM: ``python -m tests.custodian.served DIRECTORY UID…``."""

from __future__ import annotations

import ctypes
import logging
import sys
from pathlib import Path

from reset.core.policy import Policy
from reset.custodian import process
from reset.custodian.server import harden, serve
from tests.custodian.scene import ShiftedClock, SystemRandom, verifier

MODULES = (
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
)
PIN = "Hsm-User-PIN-1"
LABEL = "custodian"
DEADLINE = 3.0  # seconds; whoever is not silent needs much less, on a busy machine, too
LONGEST = 15.0


def main(directory: Path, uids: list[int]) -> None:
    logging.basicConfig(level=logging.DEBUG, stream=sys.stderr)
    harden()
    print(f"dumpable {ctypes.CDLL(None).prctl(3, 0, 0, 0, 0)}", file=sys.stderr, flush=True)
    module = Path(next(path for path in MODULES if Path(path).exists()))
    ledger = directory / "own" / "ledger.db"
    if not (directory / "keys-made").exists():
        process.create_keys(module, LABEL, PIN, 1, ledger)
        (directory / "keys-made").touch()
    opened = process.opened(
        module, LABEL, PIN, 1,
        ledger=ledger,
        verifier=verifier(directory / "authority"),
        clock=ShiftedClock(),
        random=SystemRandom(),
        policy=Policy(releases_per_hour=1000),
    )  # fmt: skip
    serve(
        opened,
        directory / "run" / "socket",
        allowed_uids=uids,
        deadline=DEADLINE,
        longest=LONGEST,
        tell_ready=True,
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), [int(uid) for uid in sys.argv[2:]])
