"""As many shares as the threshold give the secret back, and fewer say nothing of it."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from governance.secagg.shamir import PRIME, Share, combine, split, value_at
from protos.errors import PeerFault

VECTORS = json.loads(
    (Path(__file__).parents[2] / "vectors" / "secagg" / "shamir.json").read_text()
)


def drawn_from(seed):
    """Bytes that follow from a seed, as the vectors name them: SHA-256(seed ‖ counter) …"""
    state = {"counter": 0, "held": b""}

    def draw(size):
        while len(state["held"]) < size:
            state["held"] += hashlib.sha256(seed + state["counter"].to_bytes(4, "big")).digest()
            state["counter"] += 1
        taken, state["held"] = state["held"][:size], state["held"][size:]
        return taken

    return draw


def number(value):
    return value.to_bytes(32, "big")


def places(shares):
    return dict(enumerate(shares, start=1))


def test_two_shares_of_a_line_by_hand():
    """The line 7 + 3x has 10 at 1 and 13 at 2; through these it has 7 at 0."""
    assert value_at({1: Share(10), 2: Share(13)}, 0) == 7
    assert combine({1: Share(10), 2: Share(13)}) == number(7)


def test_three_shares_of_a_parabola_by_hand():
    """1 + 2x + 3x² has 6, 17 and 34 at 1, 2 and 3."""
    assert value_at({1: Share(6), 2: Share(17), 3: Share(34)}, 0) == 1
    assert value_at({1: Share(6), 2: Share(17), 3: Share(34)}, 4) == 57


@pytest.mark.parametrize("vector", VECTORS, ids=lambda one: one["name"])
def test_shares_are_those_of_the_vectors(vector):
    shares = split(
        bytes.fromhex(vector["secret"]),
        threshold=vector["threshold"],
        count=vector["count"],
        draw=drawn_from(bytes.fromhex(vector["seed"])),
    )
    assert [share.to_bytes().hex() for share in shares] == vector["shares"]


@given(st.data(), st.binary(min_size=32, max_size=32), st.integers(1, 12))
def test_any_shares_as_many_as_the_threshold_give_the_secret(data, secret, count):
    threshold = data.draw(st.integers(1, count))
    shares = places(split(secret, threshold=threshold, count=count, draw=os.urandom))
    some = data.draw(st.permutations(sorted(shares)))[
        : data.draw(st.integers(threshold, count))
    ]
    assert combine({place: shares[place] for place in some}) == secret


@given(st.binary(min_size=32, max_size=32), st.binary(min_size=32, max_size=32))
def test_one_share_less_fits_every_secret(secret, other):
    shares = split(secret, threshold=3, count=5, draw=os.urandom)
    fewer = {1: shares[0], 2: shares[1]}
    forged = Share(value_at({0: Share(int.from_bytes(other, "big")), **fewer}, 3))
    assert combine({**fewer, 3: forged}) == other


def test_a_hundred_sites_share_by_two_thirds_and_one():
    secret = os.urandom(32)
    shares = places(split(secret, threshold=67, count=100, draw=os.urandom))
    assert combine({place: shares[place] for place in range(34, 101)}) == secret
    assert not secret_of({place: shares[place] for place in range(35, 101)}, secret)


def secret_of(shares, secret):
    try:
        return combine(shares) == secret
    except PeerFault:
        return False


def test_a_wrong_share_gives_no_secret_or_another():
    shares = places(split(bytes(32), threshold=2, count=3, draw=os.urandom))
    assert not secret_of({1: shares[1], 2: Share((shares[2].y + 1) % PRIME)}, bytes(32))


def test_no_coefficient_is_the_prime_itself():
    """All ones are p, which is 0 in the field, and would be drawn twice as often."""
    drawn = iter([b"\xff" * 66, bytes(65) + b"\x80"])
    (share,) = split(bytes(32), threshold=2, count=2, draw=lambda _: next(drawn))[:1]
    assert share.y == 1  # 0 + 1·x at 1, as 0x80 >> 7 is 1


@pytest.mark.parametrize("data", [b"", bytes(65), bytes(67), PRIME.to_bytes(66, "big")])
def test_bytes_that_are_no_element_of_the_field_are_refused(data):
    with pytest.raises(PeerFault) as told:
        Share.from_bytes(data)
    assert told.value.rule == "bad-share"


@given(st.integers(0, PRIME - 1))
def test_a_share_reads_back_from_its_bytes(y):
    assert Share.from_bytes(Share(y).to_bytes()) == Share(y)


def test_a_share_is_never_printed():
    assert str(12345) not in repr(Share(12345))
