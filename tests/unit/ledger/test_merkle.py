"""The tree against the published vectors, the reference's probes and the naive recursion."""

from __future__ import annotations

import functools
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from governance.ledger import merkle
from protos.errors import PeerFault

LEAVES = [
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
HASHES = [merkle.leaf_hash(leaf) for leaf in LEAVES]
ROOTS = [
    bytes.fromhex(text)
    for text in (
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    )
]
H96 = "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7"
H5F = "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e"
H6B = "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4"
HBC = "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b"
HCA = "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0"
HD3 = "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7"
HFA = "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"
H6E = "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
H02 = "0298d122906dcfc10892cb53a73992fc5b9f493ea4c9badb27b791b4127a7fe7"
H83 = "837dbb152e9b079010717e84e865da4ebc0fa198a806d59d31bf15accef22d0e"
H0E = "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a"
HB0 = "b08693ec2e721597130641e8211e7eedccb4c26413963eee6c1e2ed16ffb1a5f"
H07 = "07506a85fd9dd2f120eb694f86011e5bb4662e5c415a62917033d4a9624487e7"
INCLUSION = {
    (0, 1): [],
    (0, 8): [H96, H5F, H6B],
    (5, 8): [HBC, HCA, HD3],
    (2, 3): [HFA],
    (1, 5): [H6E, H5F, HBC],
    (3, 7): [H02, HFA, H83],
}
CONSISTENCY = {
    (1, 1): [],
    (1, 8): [H96, H5F, H6B],
    (6, 8): [H0E, HCA, HD3],
    (2, 5): [H5F, HBC],
    (6, 7): [H0E, HB0, HD3],
    (4, 8): [H6B],
    (3, 7): [H02, H07, HFA, H83],
}
ANY = hashlib.sha256(b"any").digest()
sizes = st.integers(1, 200)


def leaves(size: int) -> list[bytes]:
    return [merkle.leaf_hash(b"%d" % index) for index in range(size)]


def naive_root(items: list[bytes]) -> bytes:
    if not items:
        return hashlib.sha256(b"").digest()
    if len(items) == 1:
        return items[0]
    k = naive_split(len(items))
    return merkle.node_hash(naive_root(items[:k]), naive_root(items[k:]))


def naive_split(size: int) -> int:
    k = 1
    while k * 2 < size:
        k *= 2
    return k


def naive_path(m: int, items: list[bytes]) -> list[bytes]:
    if len(items) == 1:
        return []
    k = naive_split(len(items))
    if m < k:
        return [*naive_path(m, items[:k]), naive_root(items[k:])]
    return [*naive_path(m - k, items[k:]), naive_root(items[:k])]


def naive_subproof(m: int, items: list[bytes], *, whole: bool) -> list[bytes]:
    if m == len(items):
        return [] if whole else [naive_root(items)]
    k = naive_split(len(items))
    if m <= k:
        return [*naive_subproof(m, items[:k], whole=whole), naive_root(items[k:])]
    return [*naive_subproof(m - k, items[k:], whole=False), naive_root(items[:k])]


def test_hashes_are_those_of_the_reference():
    assert merkle.leaf_hash(b"").hex() == H6E
    assert (
        merkle.leaf_hash(bytes.fromhex("101112131415161718191a1b1c1d1e1f")).hex()
        == "3bfb960453ebaebf33727da7a1f4db38acc051d381b6da20d6d4e88f0eabfd7a"
    )
    assert (
        merkle.node_hash(bytes(range(0x20)), bytes(range(0x20, 0x40))).hex()
        == "1a378704c17da31e2d05b6d121c2bb2c7d76f6ee6fa8f983e596c2d034963c57"
    )


@pytest.mark.parametrize("size", range(9))
def test_roots_are_those_of_the_reference(size):
    assert merkle.root(HASHES[:size]) == ROOTS[size]


@pytest.mark.parametrize(("index", "size"), INCLUSION)
def test_inclusion_proofs_are_those_of_the_reference(index, size):
    proof = merkle.inclusion(HASHES[:size], index)
    assert [item.hex() for item in proof] == INCLUSION[index, size]
    merkle.verify_inclusion(index, size, HASHES[index], proof, ROOTS[size])


@pytest.mark.parametrize(("size", "new_size"), CONSISTENCY)
def test_consistency_proofs_are_those_of_the_reference(size, new_size):
    proof = merkle.consistency(HASHES[:new_size], size)
    assert [item.hex() for item in proof] == CONSISTENCY[size, new_size]
    merkle.verify_consistency(size, new_size, proof, ROOTS[size], ROOTS[new_size])


def test_every_tree_to_200_has_the_root_of_the_naive_recursion():
    grown = merkle.Frontier()
    items = leaves(200)
    for size in range(201):
        expected = naive_root(items[:size])
        assert merkle.root(items[:size]) == expected
        assert grown.root() == expected
        if size < 200:
            grown.append(items[size])


@given(sizes.flatmap(lambda n: st.tuples(st.integers(0, n - 1), st.just(n))))
def test_inclusion_proofs_are_those_of_the_naive_recursion(case):
    index, size = case
    items = leaves(size)
    proof = merkle.inclusion(items, index)
    assert proof == naive_path(index, items)
    merkle.verify_inclusion(index, size, items[index], proof, naive_root(items))


@given(sizes.flatmap(lambda n: st.tuples(st.integers(1, n), st.just(n))))
def test_consistency_proofs_are_those_of_the_naive_recursion(case):
    size, new_size = case
    items = leaves(new_size)
    proof = merkle.consistency(items, size)
    assert proof == naive_subproof(size, items, whole=True)
    merkle.verify_consistency(
        size, new_size, proof, naive_root(items[:size]), naive_root(items)
    )


@given(sizes.flatmap(lambda n: st.tuples(st.integers(0, n - 1), st.just(n))))
def test_stored_nodes_give_every_span_of_a_proof(case):
    index, size = case
    items = leaves(size)
    frontier = merkle.Frontier()
    nodes = {(level, idx): made for item in items for level, idx, made in frontier.append(item)}
    assert frontier.peaks == [nodes[subtree] for subtree in merkle.peaks_of(size)]
    for start, end in (
        *merkle.inclusion_spans(index, size),
        *merkle.consistency_spans(index, size),
    ):
        subtrees = [nodes[subtree] for subtree in merkle.cover(start, end)]
        assert merkle.fold(subtrees) == naive_root(items[start:end])


ALL = leaves(200)


@functools.cache
def mth(start, end):
    if end - start == 1:
        return ALL[start]
    k = start + naive_split(end - start)
    return merkle.node_hash(mth(start, k), mth(k, end))


@functools.cache
def path(m, start, end):
    if end - start == 1:
        return ()
    k = start + naive_split(end - start)
    return (*path(m, start, k), mth(k, end)) if m < k else (*path(m, k, end), mth(start, k))


@functools.cache
def subproof(m, start, end, *, whole):
    if m == end:
        return () if whole else (mth(start, end),)
    k = start + naive_split(end - start)
    if m <= k:
        return (*subproof(m, start, k, whole=whole), mth(k, end))
    return (*subproof(m, k, end, whole=False), mth(start, k))


def test_every_proof_of_every_tree_to_200_is_that_of_the_naive_recursion():
    frontier = merkle.Frontier()
    nodes = {(level, idx): made for item in ALL for level, idx, made in frontier.append(item)}

    def folded(spans):
        return tuple(merkle.fold([nodes[one] for one in merkle.cover(*span)]) for span in spans)

    for n in range(1, 201):
        for m in range(n):
            proof = folded(merkle.inclusion_spans(m, n))
            assert proof == path(m, 0, n)
            merkle.verify_inclusion(m, n, ALL[m], proof, mth(0, n))
            proof = folded(merkle.consistency_spans(m + 1, n))
            assert proof == subproof(m + 1, 0, n, whole=True)
            merkle.verify_consistency(m + 1, n, proof, mth(0, m + 1), mth(0, n))


def flipped(proof: list[bytes]) -> list[list[bytes]]:
    return [
        [*proof[:place], bytes([item[0] ^ 8]) + item[1:], *proof[place + 1 :]]
        for place, item in enumerate(proof)
    ]


def bent(proof: list[bytes], *more: bytes) -> list[list[bytes]]:
    """Every proof that the reference derives from a good one."""
    made = [
        [*proof, b""],
        [b"", *proof],
        [*proof, ANY],
        [ANY, *proof],
        [*proof[:1], ANY, *proof[1:]],
        *flipped(proof),
    ]
    made += [[*proof, item] for item in more] + [[item, *proof] for item in more]
    if proof:
        made += [proof[:-1], proof[1:], []]
    return made


@pytest.mark.parametrize(("index", "size"), [(i, n) for n in range(1, 18) for i in range(n)])
def test_inclusion_refuses_every_probe_of_the_reference(index, size):
    items = leaves(size)
    leaf, root = items[index], naive_root(items)
    proof = merkle.inclusion(items, index)
    probes = [(index, size, leaf, other, root) for other in bent(proof, root)]
    probes += [(other, size, leaf, proof, root) for other in (index - 1, index + 1, index ^ 2)]
    probes += [(index, other, leaf, proof, root) for other in (size * 2, size // 2)]
    probes += [
        (index, size, ANY, proof, root),
        (index, size, leaf, proof, ANY),
        (index, size, leaf, proof, b""),
        (index, size, leaf, proof, merkle.EMPTY),
        (index, size, leaf[:31], proof, root),
    ]
    for probe in probes:
        with pytest.raises(PeerFault):
            merkle.verify_inclusion(*probe)


@pytest.mark.parametrize(
    ("size", "new_size"), [(m, n) for n in range(2, 18) for m in range(1, n)]
)
def test_consistency_refuses_every_probe_of_the_reference(size, new_size):
    items = leaves(new_size)
    old, new = naive_root(items[:size]), naive_root(items)
    proof = merkle.consistency(items, size)
    probes = [(size, new_size, other, old, new) for other in bent(proof, old, new, proof[0])]
    probes += [(other, new_size, proof, old, new) for other in (size - 1, size + 1, size ^ 2)]
    probes += [(size, other, proof, old, new) for other in (new_size * 2, new_size // 2)]
    probes += [
        (size, new_size, proof, ANY, new),
        (size, new_size, proof, old, ANY),
        (size, new_size, proof, new, old),
        (size, new_size, proof, old[:31], new),
    ]
    for probe in probes:
        with pytest.raises(PeerFault):
            merkle.verify_consistency(*probe)


EDGES = [
    (0, 0, [], merkle.EMPTY, merkle.EMPTY, True),
    (0, 1, [], merkle.EMPTY, ANY, True),
    (1, 1, [], ANY, ANY, True),
    (0, 0, [], ANY, ANY, False),
    (0, 1, [], ANY, ANY, False),
    (0, 0, [], merkle.EMPTY, ANY, False),
    (1, 1, [], merkle.EMPTY, ANY, False),
    (1, 0, [], ANY, merkle.EMPTY, False),
    (2, 1, [], ANY, ANY, False),
    (1, 2, [], ANY, ANY, False),
    (0, 0, [ANY], merkle.EMPTY, merkle.EMPTY, False),
    (0, 1, [ANY], merkle.EMPTY, ANY, False),
    (1, 1, [ANY], ANY, ANY, False),
    (-1, 1, [], ANY, ANY, False),
]


@pytest.mark.parametrize(("size", "new_size", "proof", "old", "new", "good"), EDGES)
def test_consistency_at_the_edges(size, new_size, proof, old, new, good):
    if good:
        merkle.verify_consistency(size, new_size, proof, old, new)
        return
    with pytest.raises(PeerFault):
        merkle.verify_consistency(size, new_size, proof, old, new)


@pytest.mark.parametrize(("index", "size"), [(0, 0), (1, 0), (1, 1), (2, 1), (-1, 1)])
def test_no_leaf_is_in_a_tree_that_has_no_such_place(index, size):
    with pytest.raises(PeerFault):
        merkle.verify_inclusion(index, size, ANY, [], ANY)
    with pytest.raises(ValueError, match="no leaf"):
        merkle.inclusion_spans(index, size)


def test_a_proof_for_a_shorter_tree_is_never_made():
    with pytest.raises(ValueError, match="does not extend"):
        merkle.consistency_spans(3, 2)
