"""What a witness believes: one log, one history, and not for longer than it is fresh.

Rules (C2SP tlog-witness, with the stronger chain of this log's own checkpoints):

1. The signature is by the key that was given at the start, over a checkpoint of its own log.
2. The checkpoint is the next one after the last that was kept, and names it by its hash.
3. Its tree is RFC 6962 consistent with the last one; of the same size, it is the same.
4. It is not from the future, and the newest one is not too old.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from reset.core.checkpoints import Checkpoint, check_follows
from reset.core.merkle import EMPTY, verify_consistency
from reset.errors import CheckpointRefused

LEEWAY = timedelta(minutes=5)


def judge(
    last: Checkpoint | None, offered: Checkpoint, proof: Sequence[bytes], now: datetime
) -> None:
    """Accept ``offered``, whose signature was verified, as the next checkpoint.

    Raises ``CheckpointRefused``: the rules of ``check_follows``; ``consistency``; ``future``.
    """
    check_follows(last, offered)
    size, root = (last.size, last.root) if last else (0, EMPTY)
    if not verify_consistency(size, root, offered.size, offered.root, proof):
        raise CheckpointRefused(rule="consistency", number=offered.number)
    if offered.at > now + LEEWAY:
        raise CheckpointRefused(rule="future", number=offered.number)


def check_fresh(last: Checkpoint | None, now: datetime, longest: timedelta) -> None:
    """The newest checkpoint is young enough. Raises ``CheckpointRefused(rule="old")``."""
    if last is None or now - last.at > longest:
        raise CheckpointRefused(rule="old", number=last.number if last else 0)
