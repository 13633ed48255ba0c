"""What two sites agree on is theirs, for one attempt, one model and one direction alone."""

from __future__ import annotations

import hmac
import pickle
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from governance.secagg.keys import Attempt, Secret, Shares, commitment, mask_seed, seal, unseal
from governance.secagg.shamir import Share
from protos.errors import PeerFault
from protos.words import Digest

ATTEMPT = Attempt("hearts", 3, 1, "train", Digest("a" * 64), Digest("b" * 64))
AMC, UCL, EVE = (Secret(bytes([n]) * 32) for n in (1, 2, 3))
SHARES = Shares(Share(11), Share(12))
BOTH = {"sender": "amc", "receiver": "ucl"}
OTHERS = [
    {"federation": "lungs"},
    {"round": 4},
    {"attempt": 2},
    {"purpose": "evaluate"},
]


def test_a_seed_is_hkdf_of_x25519_bound_to_what_the_protocol_names():
    shared = X25519PrivateKey.from_private_bytes(b"\x01" * 32).exchange(
        X25519PublicKey.from_public_bytes(UCL.public)
    )
    words = ["concilium-secagg/v1", "hearts", "3", "1", "train", "amc", "ucl", "mask"]
    info = "\n".join([*words, "a" * 64, "b" * 64]).encode()
    # RFC 5869 with one block, spelled out: extract by an empty salt, then expand.
    key = hmac.digest(bytes(32), shared, "sha256")
    expected = hmac.digest(key, info + b"\x01", "sha256")
    assert mask_seed(AMC, UCL.public, ATTEMPT, ("ucl", "amc")) == expected


def test_two_sites_find_the_same_seed():
    mine = mask_seed(AMC, UCL.public, ATTEMPT, ("amc", "ucl"))
    theirs = mask_seed(UCL, AMC.public, ATTEMPT, ("ucl", "amc"))
    assert mine == theirs
    assert len(mine) == 32


@pytest.mark.parametrize(
    "change", [*OTHERS, {"model": Digest("c" * 64)}, {"task": Digest("c" * 64)}]
)
def test_a_seed_is_of_one_attempt_model_and_task(change):
    other = replace(ATTEMPT, **change)
    sites = ("amc", "ucl")
    assert mask_seed(AMC, UCL.public, ATTEMPT, sites) != mask_seed(
        AMC, UCL.public, other, sites
    )


def test_a_seed_is_of_two_sites():
    one = mask_seed(AMC, UCL.public, ATTEMPT, ("amc", "ucl"))
    assert one != mask_seed(AMC, UCL.public, ATTEMPT, ("amc", "kul"))


def test_sealed_shares_open_for_their_receiver():
    sealed = seal(SHARES, AMC, UCL.public, ATTEMPT, **BOTH)
    assert unseal(sealed, UCL, AMC.public, ATTEMPT, **BOTH) == SHARES


@pytest.mark.parametrize("change", OTHERS)
def test_sealed_shares_of_another_attempt_do_not_open(change):
    sealed = seal(SHARES, AMC, UCL.public, replace(ATTEMPT, **change), **BOTH)
    refused(sealed, UCL, AMC.public, BOTH)


@pytest.mark.parametrize(
    "names",
    [
        {"sender": "kul", "receiver": "ucl"},
        {"sender": "amc", "receiver": "kul"},
        {"sender": "ucl", "receiver": "amc"},
    ],
)
def test_sealed_shares_open_under_no_other_names(names):
    sealed = seal(SHARES, AMC, UCL.public, ATTEMPT, **BOTH)
    refused(sealed, UCL, AMC.public, names)


def test_sealed_shares_do_not_open_for_another():
    sealed = seal(SHARES, AMC, UCL.public, ATTEMPT, **BOTH)
    refused(sealed, EVE, AMC.public, BOTH)


@pytest.mark.parametrize("place", [0, 70, -1])
def test_sealed_shares_that_were_changed_do_not_open(place):
    sealed = bytearray(seal(SHARES, AMC, UCL.public, ATTEMPT, **BOTH))
    sealed[place] ^= 1
    refused(bytes(sealed), UCL, AMC.public, BOTH)


def refused(sealed, mine, peer, names):
    with pytest.raises(PeerFault) as told:
        unseal(sealed, mine, peer, ATTEMPT, **names)
    assert told.value.rule == "secagg-r5"


@pytest.mark.parametrize("key", [bytes(32), b"\x01" + bytes(31), b"short"])
def test_a_key_of_small_order_or_none_is_refused(key):
    with pytest.raises(PeerFault) as told:
        AMC.agreed(key, "anything")
    assert told.value.rule == "bad-key"


def test_a_commitment_is_of_one_site_and_attempt():
    said = {
        commitment(bytes(32), ATTEMPT, "amc"),
        commitment(bytes(32), ATTEMPT, "ucl"),
        commitment(bytes(32), replace(ATTEMPT, attempt=2), "amc"),
        commitment(bytes(31) + b"\x01", ATTEMPT, "amc"),
    }
    assert len(said) == 4


def test_a_secret_key_is_not_printed_or_pickled():
    assert AMC.to_bytes().hex() not in repr(AMC)
    with pytest.raises(TypeError):
        pickle.dumps(AMC)
