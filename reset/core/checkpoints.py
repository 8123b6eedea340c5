"""Checkpoints of the audit log: RFC 6962 root, C2SP tlog-checkpoint body, signed note.

Source: RFC 6962 section 2.1 (Merkle tree hash); C2SP tlog-checkpoint and signed-note.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable

_ED25519 = b"\x01"


def root(leaves: Iterable[bytes]) -> tuple[int, bytes]:
    """Count and Merkle tree hash of the leaves, in one pass with a stack of full subtrees."""
    stack: list[tuple[int, bytes]] = []  # (size, hash), sizes falling
    count = 0
    for leaf in leaves:
        count += 1
        size, node = 1, hashlib.sha256(b"\0" + leaf).digest()
        while stack and stack[-1][0] == size:
            node = hashlib.sha256(b"\1" + stack.pop()[1] + node).digest()
            size *= 2
        stack.append((size, node))
    if not stack:
        return 0, hashlib.sha256(b"").digest()
    _, node = stack.pop()
    while stack:
        node = hashlib.sha256(b"\1" + stack.pop()[1] + node).digest()
    return count, node


def body(origin: str, size: int, tree_root: bytes, chain: bytes) -> bytes:
    """The text that is signed; the chain hash travels as an extension line."""
    lines = (origin, str(size), base64.b64encode(tree_root).decode(), f"chain {chain.hex()}")
    return ("\n".join(lines) + "\n").encode()


def note(name: str, text: bytes, public_key: bytes, signature: bytes) -> str:
    """The signed note: body, empty line, one Ed25519 signature line."""
    key_id = hashlib.sha256(name.encode() + b"\n" + _ED25519 + public_key).digest()[:4]
    blob = base64.b64encode(key_id + signature).decode()
    return f"{text.decode()}\n\u2014 {name} {blob}\n"
