"""``scripts/crash-matrix --faults``: every fault of a message and of the token.

Exit code 1 when one is not recovered, or did not happen.
"""

from __future__ import annotations

import sys
import time
from functools import partial

from tests.crash import messages, removals
from tests.crash.proxy import Proxy
from tests.crash.scene import scene_in_a_directory


def run_all() -> int:
    """The exit code."""
    failed = []
    with scene_in_a_directory() as scene, Proxy(scene.here) as proxy:
        runs = [(str(c), partial(messages.play, scene, proxy, c)) for c in messages.CASES]
        runs += [(str(c), partial(removals.play, scene, c)) for c in removals.CASES]
        for number, (name, run) in enumerate(runs, 1):
            begun, said = time.monotonic(), "done"
            try:
                run()
            except Exception as error:  # noqa: BLE001 - the next one is tried all the same
                said = f"FAILED {type(error).__name__}: {error}"
                failed.append(f"{name}: {said}")
            print(f"{number:4}. {name}: {said} [{time.monotonic() - begun:.1f} s]", flush=True)
    print(f"{len(runs)} faults, {len(failed)} failed")
    for line in failed:
        print(line, file=sys.stderr)
    return 1 if failed else 0
