"""R1 to R13: each attack of a scripted coordinator or site, and who refuses it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sums import (
    Sum,
    drawn_from,
    key_of,
    masked,
    names_of,
    own_of,
    played,
    terms_of,
    values_of,
)

from governance.secagg import coordinator as server
from governance.secagg import site
from governance.secagg.keys import Secret, Shares
from governance.secagg.messages import keys_bytes
from governance.secagg.shamir import PRIME, Share
from governance.secagg.terms import Part
from protos.errors import PeerFault
from protos.words_masks import Keys, Opened

NAMES = names_of(5)  # t = 4
VICTIM, LIAR = NAMES[0], NAMES[4]


def breaks(rule, attack, *args, **how):
    with pytest.raises(PeerFault) as told:
        attack(*args, **how)
    assert told.value.rule == f"secagg-{rule.lower()}", told.value


def asked(terms, **own):
    return Sum(terms).advertise(VICTIM, **own)


@pytest.fixture
def terms():
    return terms_of(NAMES)


def until_shared(terms):
    return Sum(terms).advertise().share()


def moved(shares):
    """Shares that lie off their secrets' curves."""
    read = {name: Share.from_bytes(share) for name, share in shares.items()}
    return {name: Share((one.y + 1) % PRIME).to_bytes() for name, one in read.items()}


def until_masked(terms):
    return until_shared(terms).mask(values_of(terms))


# --- R1: parameters ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        {"model": "d" * 64},
        {"task": "d" * 64},
        {"threshold": 1},
        {"threshold": 5},
        {"purpose": "else"},
        {"checkpoint": (40, "d" * 64)},
        {"parts": (Part(12, 1.0, 2, weighted=True),)},
        {"parts": (Part(13, 1.0, 28, weighted=True),)},
        {"weights": dict.fromkeys(NAMES, 1) | {VICTIM: 1000}},
    ],
    ids=str,
)
def test_r1_parameters_that_are_not_the_sites_own_are_refused(terms, change):
    told = replace(terms, **change)
    own = own_of(terms, VICTIM)
    breaks("R1", site.advertise, told, own, draw=drawn_from("x"), signer=key_of(VICTIM))


def test_r1_a_scale_in_which_a_sum_could_wrap_is_refused_even_where_the_site_agreed():
    wide = terms_of(NAMES, parts=(Part(12, 1.0, 30, weighted=True),))
    breaks("R1", asked, wide)


# --- R2: freshness -------------------------------------------------------------------------


@pytest.mark.parametrize("newest", [(3, 1), (3, 2), (4, 1)])
def test_r2_a_run_that_is_not_newer_is_refused(terms, newest):
    breaks("R2", asked, terms, newest=newest)


# --- R3: keys ------------------------------------------------------------------------------


def test_r3_keys_of_the_coordinators_own_in_anothers_name_are_refused(terms):
    run = Sum(terms).advertise()
    mine = drawn_from("coordinator")
    own = own_of(terms, NAMES[1])
    _, forged = site.advertise(terms, own, draw=mine, signer=key_of("coordinator"))
    run.keys[NAMES[1]] = forged
    breaks("R3", run.share, VICTIM)


def test_r3_keys_of_another_round_are_refused(terms):
    old = Sum(replace(terms, round=2)).advertise(newest=(1, 1))
    run = Sum(terms).advertise()
    run.keys[NAMES[1]] = old.keys[NAMES[1]]
    breaks("R3", run.share, VICTIM)


def test_r3_a_site_that_nobody_vouched_for_is_refused(terms):
    run = Sum(terms).advertise()
    sybil = run.keys[NAMES[1]]
    run.keys["sybil"] = replace(sybil, site="sybil")
    breaks("R3", run.share, VICTIM)


def test_r3_a_key_that_two_sites_have_is_refused(terms):
    run = Sum(terms).advertise()
    own = run.keys[NAMES[1]]
    copied = Keys(NAMES[2], own.mask, own.share)
    signed = key_of(NAMES[2]).sign(keys_bytes(terms, copied))
    run.keys[NAMES[2]] = replace(copied, signature=signed)
    breaks("R3", run.share, VICTIM)


@pytest.mark.parametrize("left_out", [True, False])
def test_r3_a_site_finds_its_own_keys_as_it_made_them(terms, left_out):
    run = Sum(terms).advertise()
    if left_out:
        del run.keys[VICTIM]
    else:
        other = Sum(terms, "another").advertise(VICTIM)
        run.keys[VICTIM] = other.keys[VICTIM]
    breaks("R3", run.share, VICTIM)


# --- R4: roster ----------------------------------------------------------------------------


def test_r4_a_site_that_the_agreement_has_not_is_refused(terms):
    told = terms_of([*NAMES, "sybil"])
    own = own_of(terms, VICTIM, parts=told.parts, weights=dict(told.weights))
    breaks("R4", site.advertise, told, own, draw=drawn_from("x"), signer=key_of(VICTIM))


def test_r4_a_key_that_the_agreement_has_not_is_refused(terms):
    told = replace(terms, roster={**terms.roster, NAMES[1]: key_of("coordinator").key_id})
    own = own_of(terms, VICTIM)
    breaks("R4", site.advertise, told, own, draw=drawn_from("x"), signer=key_of(VICTIM))


def test_r4_fewer_sites_than_the_hospital_wants_are_refused(terms):
    breaks("R4", asked, terms, minimum_sites=6)


def test_r4_two_sites_are_never_enough():
    breaks("R4", asked, terms_of(NAMES[:2]), minimum_sites=1)


# --- R5: shares ----------------------------------------------------------------------------


def test_r5_shares_that_were_changed_are_refused(terms):
    run = until_shared(terms)
    sealed = dict(run.sealed[NAMES[1]].shares)
    sealed[VICTIM] = bytes([sealed[VICTIM][0] ^ 1]) + sealed[VICTIM][1:]
    run.sealed[NAMES[1]] = replace(run.sealed[NAMES[1]], shares=sealed)
    breaks("R5", run.mask, values_of(terms), VICTIM)


def test_r5_shares_for_another_receiver_are_refused(terms):
    run = until_shared(terms)
    sealed = dict(run.sealed[NAMES[1]].shares)
    sealed[VICTIM] = sealed[NAMES[2]]
    run.sealed[NAMES[1]] = replace(run.sealed[NAMES[1]], shares=sealed)
    breaks("R5", run.mask, values_of(terms), VICTIM)


def test_r5_shares_that_are_others_than_their_sender_committed_to_are_refused(terms):
    run = until_shared(terms)
    digests = dict(run.sealed[NAMES[1]].digests)
    digests[VICTIM] = digests[NAMES[2]]
    run.sealed[NAMES[1]] = replace(run.sealed[NAMES[1]], digests=digests)
    breaks("R5", run.mask, values_of(terms), VICTIM)


def test_r5_shares_of_an_earlier_run_are_refused(terms):
    old = Sum(replace(terms, round=2)).advertise(newest=(1, 1)).share()
    run = until_shared(terms)
    run.sealed[NAMES[1]] = old.sealed[NAMES[1]]
    breaks("R5", run.mask, values_of(terms), VICTIM)


def test_r5_shares_of_a_site_without_keys_are_refused(terms):
    run = until_shared(terms)
    given = run.run.delivered_to(VICTIM)
    given.shares["sybil"] = given.shares.pop(NAMES[1])
    vector = np.zeros(terms.length, dtype=np.uint32)
    breaks("R5", masked, run.states[VICTIM], given, vector)


# --- R6, R7: how many ----------------------------------------------------------------------


def test_r6_shares_of_too_few_are_refused(terms):
    run = Sum(terms).advertise().share(*NAMES[:3])
    breaks("R6", run.mask, values_of(terms), VICTIM)


def test_r6_the_hospitals_own_minimum_counts_too(terms):
    run = Sum(terms).advertise(minimum_sites=5).share(*NAMES[:4])
    breaks("R6", run.mask, values_of(terms), VICTIM)


@pytest.mark.parametrize(
    "survivors", [NAMES[:3], [VICTIM], NAMES[1:], [*NAMES[:4], "sybil"]], ids=str
)
def test_r7_a_sum_of_too_few_or_of_others_is_refused(terms, survivors):
    run = until_masked(terms)
    breaks("R7", site.agree, run.states[VICTIM], survivors, signer=key_of(VICTIM))


# --- R8: consistency -----------------------------------------------------------------------


def test_r8_two_sets_shown_to_two_halves_are_refused(terms):
    run = until_masked(terms)
    whole, part = NAMES, NAMES[:4]
    for name in NAMES:
        seen = whole if name in NAMES[:2] else part
        if name in seen:
            run.states[name], run.signatures[name] = site.agree(
                run.states[name], seen, signer=key_of(name)
            )
    breaks("R8", opens, run, VICTIM, whole, [])
    breaks("R8", opens, run, NAMES[2], part, NAMES[4:])


def test_r8_signatures_of_strangers_do_not_count(terms):
    run = until_masked(terms).agree()
    forged = dict.fromkeys(NAMES, run.signatures[VICTIM])
    breaks("R8", opens, run, VICTIM, NAMES, [], signatures=forged)


def test_r8_signatures_of_another_run_do_not_count(terms):
    old = Sum(replace(terms, round=2)).advertise(newest=(1, 1)).share()
    old.mask(values_of(terms)).agree()
    run = until_masked(terms).agree()
    breaks("R8", opens, run, VICTIM, NAMES, [], signatures=old.signatures)


def opens(run, name, survivors, dropped, *, signatures=None):
    return site.unmask(
        run.states[name],
        signatures or run.signatures,
        survivors=survivors,
        dropped=dropped,
    )


# --- R10: what is opened -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("survivors", "dropped"),
    [
        (NAMES, [NAMES[1]]),  # both kinds of share of one site
        (NAMES[1:], [VICTIM]),  # the key of a site that is in the sum
        (NAMES[:4], []),  # fewer than were agreed
        (NAMES[:4], [NAMES[4]]),  # one that is in the sum called dropped out
    ],
    ids=str,
)
def test_r10_shares_that_would_lay_a_site_bare_are_not_opened(terms, survivors, dropped):
    run = until_masked(terms).agree()
    breaks("R10", opens, run, VICTIM, survivors, dropped)


def test_r10_the_own_mask_of_a_site_that_dropped_out_is_not_opened(terms):
    run = Sum(terms).advertise().share().mask(values_of(terms), *NAMES[:4]).agree()
    breaks("R10", opens, run, VICTIM, NAMES, [])
    opened = opens(run, VICTIM, NAMES[:4], [NAMES[4]])
    assert NAMES[4] not in opened.own_masks
    assert set(opened.keys) == {NAMES[4]}


# --- R12, R13: what the coordinator refuses ------------------------------------------------


def test_r12_a_site_that_opens_a_wrong_share_is_named_and_the_sum_is_right(terms):
    values = values_of(terms)
    run = played(terms, values)
    name, liar = sorted(run.opened.items())[2]
    wrong = moved(liar.own_masks)
    run.opened[name] = Opened(wrong, liar.keys)
    found = run.unmasked()
    assert found.liars == {name}
    assert found.total.tolist() == run.plain(values).tolist()


def test_r12_a_wrong_share_of_a_key_is_named_too():
    terms = terms_of(names_of(9))  # t = 7
    values = values_of(terms)
    run = played(terms, values, before_mask=[terms.sites[8]])
    name, liar = min(run.opened.items())
    wrong = moved(liar.keys)
    run.opened[name] = Opened(liar.own_masks, wrong)
    assert run.unmasked().liars == {name}


def test_r12_where_wrong_shares_leave_too_few_the_sum_stays_masked(terms):
    run = played(terms, values_of(terms), silent=[NAMES[4]])
    name, liar = min(run.opened.items())
    wrong = moved(liar.own_masks)
    run.opened[name] = Opened(wrong, liar.keys)
    breaks("R12", run.unmasked)
    with pytest.raises(server.WrongShares) as told:
        run.unmasked()
    assert told.value.liars == {name}


def test_r12_too_few_right_shares_name_nobody(terms):
    run = played(terms, values_of(terms), silent=NAMES[3:])
    with pytest.raises(server.WrongShares, match="too few came") as told:
        run.unmasked()
    assert not told.value.liars


@pytest.mark.parametrize("of", ["own mask", "key"])
def test_r12_a_site_that_shares_another_secret_than_it_uses_is_named(terms, monkeypatch, of):
    split, made = site._split, []

    def splits(state, peers, own_mask, draw):
        if state.site != LIAR:
            return split(state, peers, own_mask, draw)
        made.append(state)
        if of == "key":
            return split(replace(state, mask=Secret(bytes(31) + b"\1")), peers, own_mask, draw)
        return split(state, peers, bytes(32), draw)

    monkeypatch.setattr(site, "_split", splits)
    gone = [LIAR] if of == "key" else []
    run = played(terms, values_of(terms), before_mask=gone)
    with pytest.raises(server.WrongShares) as told:
        run.unmasked()
    assert told.value.liars == {LIAR}
    assert made


def test_r12_shares_for_some_alone_are_refused(terms):
    run = until_shared(terms)
    some = dict(run.sealed[VICTIM].shares)
    del some[NAMES[1]]
    said = replace(run.sealed[VICTIM], shares=some)
    breaks("R12", server.check_sealed, terms, run.keys, said)


def test_a_site_that_masks_for_other_peers_makes_a_sum_that_is_wrong_and_names_nobody(terms):
    values = values_of(terms)
    run = until_shared(terms).mask(values, *NAMES[1:])
    given = run.run.delivered_to(VICTIM)
    del given.shares[NAMES[3]]
    vector = run.coded(VICTIM, values[VICTIM])
    state = masked(run.states[VICTIM], given, vector)
    held = {**state.held, NAMES[3]: Shares(Share(1), Share(1))}
    run.states[VICTIM] = replace(state, held=held)
    run.vectors[VICTIM] = vector
    run.agree()
    run.open(*NAMES[1:])
    found = run.unmasked()
    assert found.total.tolist() != run.plain(values).tolist()
    assert not found.liars


@pytest.mark.parametrize(
    "vector", [np.zeros(11, np.uint32), np.zeros(12, np.int32), np.zeros((12, 1), np.uint32)]
)
def test_r13_a_vector_of_another_length_or_kind_is_refused(terms, vector):
    breaks("R13", server.check_vector, terms, VICTIM, vector)


def test_a_site_vector_of_another_length_is_our_own_fault(terms):
    run = until_shared(terms)
    with pytest.raises(ValueError, match="12 coordinates"):
        masked(run.states[VICTIM], run.run.delivered_to(VICTIM), np.zeros(3, dtype=np.uint32))
