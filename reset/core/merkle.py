"""RFC 6962 Merkle trees: root, inclusion and consistency proofs, and their verification.

Source: RFC 6962 section 2.1 (tree hash, PATH, PROOF); RFC 9162 sections 2.1.3.2 and 2.1.4.2 (how
a proof is verified). Leaves are given as leaf hashes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

EMPTY = hashlib.sha256(b"").digest()


def leaf_hash(raw: bytes) -> bytes:
    """The hash of a leaf."""
    return hashlib.sha256(b"\0" + raw).digest()


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\1" + left + right).digest()


class Tree:
    """A growing tree as the roots of its full subtrees: a few hashes, whatever its size."""

    def __init__(self, leaves: Iterable[bytes] = ()) -> None:
        self.size = 0
        self._full: list[tuple[int, bytes]] = []  # (size, root), sizes falling
        for leaf in leaves:
            self.add(leaf)

    def add(self, leaf: bytes) -> None:
        """Append a leaf hash."""
        size, node = 1, leaf
        while self._full and self._full[-1][0] == size:
            node = _node(self._full.pop()[1], node)
            size *= 2
        self._full.append((size, node))
        self.size += 1

    def root(self) -> bytes:
        """The Merkle tree hash."""
        if not self._full:
            return EMPTY
        node = self._full[-1][1]
        for _, left in reversed(self._full[:-1]):
            node = _node(left, node)
        return node

    def grown(self, leaves: Iterable[bytes]) -> Tree:
        """Another tree: this one with more leaves."""
        made = Tree()
        made.size, made._full = self.size, list(self._full)
        for leaf in leaves:
            made.add(leaf)
        return made

    def subtrees(self) -> dict[tuple[int, int], bytes]:
        """The full subtrees by their range of leaves."""
        found, start = {}, 0
        for size, node in self._full:
            found[start, start + size] = node
            start += size
        return found


def _split(size: int) -> int:
    """The largest power of two smaller than ``size``."""
    return 1 << (size - 1).bit_length() - 1


def consistency(old: Tree, leaves: Sequence[bytes]) -> list[bytes]:
    """PROOF: the tree ``old`` is the beginning of ``old`` with ``leaves`` after it.

    Whatever of the old tree a proof needs is one of its full subtrees.
    """
    known, middle = old.subtrees(), old.size
    start, end, whole = 0, middle + len(leaves), True
    proof: list[bytes] = []
    if middle == 0:
        return proof
    while end != middle:
        cut = start + _split(end - start)
        if middle <= cut:
            proof.append(Tree(leaves[cut - middle : end - middle]).root())
            end = cut
        else:
            proof.append(known[start, cut])
            start, whole = cut, False
    if not whole:
        proof.append(known[start, end])
    return proof[::-1]


def verify_consistency(
    old_size: int, old_root: bytes, size: int, root: bytes, proof: Sequence[bytes]
) -> bool:
    """Whether the tree of ``size`` begins with the tree of ``old_size``."""
    if not 0 <= old_size <= size:
        return False
    if old_size in (0, size):
        return not proof and old_root == (EMPTY if old_size == 0 else root)
    path = list(proof)
    if old_size & (old_size - 1) == 0:
        path.insert(0, old_root)
    if not path:
        return False
    below, last = old_size - 1, size - 1
    while below & 1:
        below, last = below >> 1, last >> 1
    old = new = path[0]
    for node in path[1:]:
        if last == 0:
            return False
        if below & 1 or below == last:
            old, new = _node(node, old), _node(node, new)
            while below and not below & 1:
                below, last = below >> 1, last >> 1
        else:
            new = _node(new, node)
        below, last = below >> 1, last >> 1
    return last == 0 and old == old_root and new == root


def inclusion(index: int, leaves: Sequence[bytes]) -> list[bytes]:
    """PATH: the leaf at ``index`` (from 0) is in the tree of ``leaves``."""
    start, end = 0, len(leaves)
    proof: list[bytes] = []
    while end - start > 1:
        cut = start + _split(end - start)
        if index < cut:
            proof.append(Tree(leaves[cut:end]).root())
            end = cut
        else:
            proof.append(Tree(leaves[start:cut]).root())
            start = cut
    return proof[::-1]


def verify_inclusion(
    index: int, leaf: bytes, size: int, root: bytes, proof: Sequence[bytes]
) -> bool:
    """Whether ``leaf`` stands at ``index`` of the tree of ``size`` with this root."""
    if not 0 <= index < size:
        return False
    here, last, node = index, size - 1, leaf
    for other in proof:
        if last == 0:
            return False
        if here & 1 or here == last:
            node = _node(other, node)
            while here and not here & 1:
                here, last = here >> 1, last >> 1
        else:
            node = _node(node, other)
        here, last = here >> 1, last >> 1
    return last == 0 and node == root
