"""RFC 6962 against its own recursive definitions and published vectors."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reset.core import merkle
from reset.core.merkle import Tree

# inputs, roots and proofs of the Certificate Transparency reference implementation
# (github.com/google/certificate-transparency, cpp/merkletree; transparency-dev/merkle, testonly)
INPUTS = [
    bytes.fromhex(text)
    for text in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
CONSISTENCY = {
    (1, 1): [],
    (1, 8): [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ],
    (6, 8): [
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
    (2, 5): [
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ],
}
INCLUSION = {
    (0, 1): [],
    (0, 8): [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ],
    (5, 8): [
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
    (2, 3): ["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"],
}
LEAVES = [merkle.leaf_hash(raw) for raw in INPUTS]


# --- the RFC's definitions, word for word -------------------------------------------------
def k_of(n: int) -> int:
    k = 1
    while 2 * k < n:
        k *= 2
    return k


def mth(data: list[bytes]) -> bytes:
    if not data:
        return hashlib.sha256(b"").digest()
    if len(data) == 1:
        return hashlib.sha256(b"\x00" + data[0]).digest()
    k = k_of(len(data))
    return hashlib.sha256(b"\x01" + mth(data[:k]) + mth(data[k:])).digest()


def path(m: int, data: list[bytes]) -> list[bytes]:
    if len(data) == 1:
        return []
    k = k_of(len(data))
    if m < k:
        return [*path(m, data[:k]), mth(data[k:])]
    return [*path(m - k, data[k:]), mth(data[:k])]


def subproof(m: int, data: list[bytes], b: bool) -> list[bytes]:
    if m == len(data):
        return [] if b else [mth(data)]
    k = k_of(len(data))
    if m <= k:
        return [*subproof(m, data[:k], b), mth(data[k:])]
    return [*subproof(m - k, data[k:], False), mth(data[:k])]


def entries(size: int) -> list[bytes]:
    return [b"entry %d" % n for n in range(size)]


def hashes(size: int) -> list[bytes]:
    return [merkle.leaf_hash(raw) for raw in entries(size)]


# --- vectors --------------------------------------------------------------------------------
@pytest.mark.parametrize("size", range(1, 9))
def test_published_roots(size: int) -> None:
    assert Tree(LEAVES[:size]).root().hex() == ROOTS[size - 1]


@pytest.mark.parametrize(("old", "size"), CONSISTENCY)
def test_published_consistency_proofs(old: int, size: int) -> None:
    proof = merkle.consistency(Tree(LEAVES[:old]), LEAVES[old:size])
    assert [node.hex() for node in proof] == CONSISTENCY[old, size]
    roots = (bytes.fromhex(ROOTS[old - 1]), bytes.fromhex(ROOTS[size - 1]))
    assert merkle.verify_consistency(old, roots[0], size, roots[1], proof)


@pytest.mark.parametrize(("index", "size"), INCLUSION)
def test_published_inclusion_proofs(index: int, size: int) -> None:
    proof = merkle.inclusion(index, LEAVES[:size])
    assert [node.hex() for node in proof] == INCLUSION[index, size]
    root = bytes.fromhex(ROOTS[size - 1])
    assert merkle.verify_inclusion(index, LEAVES[index], size, root, proof)


def test_the_empty_tree() -> None:
    assert Tree().root() == mth([])
    assert merkle.verify_consistency(0, Tree().root(), 0, Tree().root(), [])
    assert merkle.verify_consistency(0, Tree().root(), 3, Tree(hashes(3)).root(), [])
    assert not merkle.verify_consistency(0, bytes(32), 3, Tree(hashes(3)).root(), [])
    assert not merkle.verify_inclusion(0, bytes(32), 0, Tree().root(), [])


# --- against the definitions ----------------------------------------------------------------
@given(st.integers(0, 130))
def test_roots(size: int) -> None:
    assert Tree(hashes(size)).root() == mth(entries(size))


@given(st.data())
def test_consistency_proofs(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 130))
    old = data.draw(st.integers(1, size))
    before, leaves = Tree(hashes(old)), hashes(size)[old:]
    proof = merkle.consistency(before, leaves)
    assert proof == subproof(old, entries(size), True)
    after = before.grown(leaves)
    assert (before.size, after.size) == (old, size)
    assert merkle.verify_consistency(old, before.root(), size, after.root(), proof)


@given(st.data())
def test_inclusion_proofs(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 130))
    index = data.draw(st.integers(0, size - 1))
    proof = merkle.inclusion(index, hashes(size))
    assert proof == path(index, entries(size))
    root = mth(entries(size))
    assert merkle.verify_inclusion(index, hashes(size)[index], size, root, proof)
    other = data.draw(st.integers(0, size - 1))
    if other != index:
        assert not merkle.verify_inclusion(other, hashes(size)[index], size, root, proof)


def changed(data: st.DataObject, proof: list[bytes]) -> list[bytes]:
    """Another proof."""
    place = data.draw(st.integers(0, len(proof)))
    how = data.draw(st.sampled_from(["flip", "drop", "add"]))
    if how == "add" or place == len(proof):
        return [*proof[:place], data.draw(st.binary(min_size=32, max_size=32)), *proof[place:]]
    if how == "drop":
        return proof[:place] + proof[place + 1 :]
    node = bytes([proof[place][0] ^ data.draw(st.integers(1, 255))]) + proof[place][1:]
    return [*proof[:place], node, *proof[place + 1 :]]


@given(st.data())
def test_no_changed_proof_verifies(data: st.DataObject) -> None:
    size = data.draw(st.integers(2, 70))
    old = data.draw(st.integers(1, size))
    before = Tree(hashes(old))
    leaves = hashes(size)[old:]
    bad = changed(data, merkle.consistency(before, leaves))
    root = before.grown(leaves).root()
    assert not merkle.verify_consistency(old, before.root(), size, root, bad)
    index = data.draw(st.integers(0, size - 1))
    bad = changed(data, merkle.inclusion(index, hashes(size)))
    assert not merkle.verify_inclusion(index, hashes(size)[index], size, root, bad)


@given(st.data())
def test_a_tree_that_was_rewritten_has_no_proof(data: st.DataObject) -> None:
    size = data.draw(st.integers(2, 70))
    old = data.draw(st.integers(1, size - 1))
    forged = hashes(size)
    forged[data.draw(st.integers(0, old - 1))] = merkle.leaf_hash(b"forged")
    proof = merkle.consistency(Tree(forged[:old]), forged[old:])
    honest, root = Tree(hashes(old)).root(), Tree(forged).root()
    assert not merkle.verify_consistency(old, honest, size, root, proof)
    assert not merkle.verify_consistency(size, root, old, honest, proof)
