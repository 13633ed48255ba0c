"""Each rule taken away alone: the attack that it stops then goes through."""

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

from coordinator import unmasking
from governance import tensors
from governance.secagg import agreed, masks, rules, site
from governance.secagg import coordinator as server
from governance.secagg.fixed_point import encode
from governance.secagg.keys import (
    Secret,
    Shares,
    commitment,
    mask_seed,
    seal,
    share_digests,
    unseal,
)
from governance.secagg.messages import commitment_bytes, keys_bytes
from governance.secagg.shamir import PRIME, Share, combine, value_at
from governance.secagg.terms import Part
from protos.errors import PeerFault
from protos.words_masks import Delivered, Keys, Opened

NAMES = names_of(5)  # t = 4
VICTIM, OTHERS = NAMES[0], NAMES[1:]


@pytest.fixture
def terms():
    return terms_of(NAMES)


@pytest.fixture
def without(monkeypatch):
    """Take a rule away."""

    def removed(name, instead=lambda *_, **__: None, of=rules):
        monkeypatch.setattr(of, name, instead)

    return removed


def laid_bare(terms, keys, vector, *, own_mask, mask_key):
    """What a coordinator that knows both secrets of a site makes of its vector."""
    peers = [name for name in keys if name != VICTIM]
    seeds = {
        peer: mask_seed(Secret(mask_key), keys[peer].mask, terms.run, (VICTIM, peer))
        for peer in peers
    }
    bare = vector.copy()
    masks.apply(
        bare,
        added=[seed for peer, seed in seeds.items() if peer < VICTIM],
        subtracted=[own_mask, *(seed for peer, seed in seeds.items() if peer > VICTIM)],
    )
    return bare.tolist()


def opened_by(run, names, kind):
    """What these sites opened of the victim's secret, put together."""
    shares = {
        run.run.places[name]: Share.from_bytes(getattr(run.opened[name], kind)[VICTIM])
        for name in names
    }
    return combine(shares)


class Impostor:
    """A coordinator that plays all the other hospitals to the victim."""

    def __init__(self, terms, signer_of):
        self.terms, self.signer_of = terms, signer_of
        draw = drawn_from("impostor")
        self.secrets = {name: (Secret(draw(32)), Secret(draw(32))) for name in OTHERS}

    def keys(self, mine):
        said = [mine]
        for name, (mask, share) in self.secrets.items():
            plain = Keys(name, mask.public, share.public)
            signed = self.signer_of(name).sign(keys_bytes(self.terms, plain))
            said.append(replace(plain, signature=signed))
        return said

    def shares_for(self, mine):
        one = Shares(Share(1), Share(2))
        run = self.terms.run
        return Delivered(
            {
                name: seal(one, share, mine.share, run, sender=name, receiver=VICTIM)
                for name, (_, share) in self.secrets.items()
            },
            {
                name: share_digests(one, run, sender=name, receiver=VICTIM)
                for name in self.secrets
            },
        )

    def both_secrets(self, mine, sealed):
        """Open what the victim sealed for the others, who are all the coordinator."""
        held = {
            place: unseal(
                sealed.shares[name],
                self.secrets[name][1],
                mine.share,
                self.terms.run,
                sender=VICTIM,
                receiver=name,
            )
            for place, name in enumerate(NAMES, start=1)
            if name != VICTIM
        }
        own = combine({place: one.own_mask for place, one in held.items()})
        return own, combine({place: one.key for place, one in held.items()})


def impersonated(terms, own, signer_of):
    """Play a run to the victim alone; return its vector bare, and as it was."""
    impostor, draw = Impostor(terms, signer_of), drawn_from("victim")
    state, mine = site.advertise(terms, own, draw=draw, signer=key_of(VICTIM))
    keys = impostor.keys(mine)
    state, sealed = site.share(state, keys, draw=draw, signer=key_of(VICTIM))
    vector = Sum(terms).coded(VICTIM, values_of(terms)[VICTIM])
    plain = vector.tolist()
    masked(state, impostor.shares_for(mine), vector)
    own_mask, mask_key = impostor.both_secrets(mine, sealed)
    by_name = {said.site: said for said in keys}
    return laid_bare(terms, by_name, vector, own_mask=own_mask, mask_key=mask_key), plain


def test_without_r1_a_scale_of_its_own_lets_one_site_s_values_be_read_off_the_sum(
    terms, without
):
    without("r1_parameters")
    wide = replace(terms, parts=(Part(12, 1.0, 20, weighted=True),), weights={})
    weights = dict.fromkeys(NAMES, 1) | {VICTIM: 1024}
    wide = replace(wide, weights=weights)
    run = Sum(wide).advertise()  # each takes part
    assert set(run.keys) == set(NAMES)
    values = values_of(wide)
    codes = {
        name: np.rint(values[name] * weights[name] * 2**20).astype(np.int64) for name in NAMES
    }
    read = sum(codes.values()) / (1024 * 2**20)  # the heavy one's values, almost alone
    assert np.abs(read - values[VICTIM]).max() < 0.005


def test_without_r1_a_threshold_of_one_is_taken(terms, without):
    without("r1_parameters")
    run = Sum(replace(terms, threshold=1)).advertise().share()
    run.mask(values_of(terms)).agree().open()
    one = {run.run.places[NAMES[1]]: Share.from_bytes(run.opened[NAMES[1]].own_masks[VICTIM])}
    assert commitment(combine(one), run.terms.run, VICTIM) == run.sealed[VICTIM].commitment


def test_without_r2_two_sums_of_one_attempt_differ_by_one_site_s_update(terms, without):
    without("r2_newer")
    values = values_of(terms)
    whole = played(terms, values)
    again = Sum(terms, "again").advertise(newest=(3, 1)).share()
    again.mask(values, *OTHERS).agree(*OTHERS).open(*OTHERS)
    with np.errstate(over="ignore"):
        difference = whole.unmasked().total - again.unmasked().total
    assert difference.tolist() == whole.coded(VICTIM, values[VICTIM]).tolist()


def test_without_r3_a_coordinator_in_the_middle_lays_a_vector_bare(terms, without):
    without("r3_keys")
    own = own_of(terms, VICTIM)
    bare, plain = impersonated(terms, own, lambda _: key_of("coordinator"))
    assert bare == plain


def test_without_r4_invented_agents_lay_a_vector_bare(terms, without):
    without("r4_roster")
    roster = {name: key_of(f"invented {name}").key_id for name in OTHERS}
    told = replace(terms, roster={VICTIM: key_of(VICTIM).key_id, **roster})
    own = own_of(terms, VICTIM)
    bare, plain = impersonated(told, own, lambda name: key_of(f"invented {name}"))
    assert bare == plain


def test_without_r5_shares_spoilt_on_their_way_make_an_honest_site_a_liar(terms, without):
    nothing = Shares(Share(1), Share(1))
    without("r5_opened", lambda *_, **__: nothing)
    run = Sum(terms).advertise().share()
    values = values_of(terms)
    run.mask(values, VICTIM)
    without("r5_opened", opens)
    run.mask(values, *OTHERS).agree().open()
    assert run.unmasked().liars == {VICTIM}


def opens(sealed, mine, peer, run, *, sender, receiver, digests):
    return unseal(sealed, mine, peer, run, sender=sender, receiver=receiver)


def test_without_r6_a_vector_masked_for_nobody_else_is_laid_bare(terms, without):
    without("r6_enough")
    values = values_of(terms)
    run = Sum(terms).advertise().share()
    vector = run.coded(VICTIM, values[VICTIM])
    plain = vector.tolist()
    masked(
        run.states[VICTIM], Delivered({}, {}), vector
    )  # the coordinator kept back all shares
    run.mask(values, *OTHERS)
    run.vectors[VICTIM] = vector
    run.agree(*OTHERS).open(*OTHERS)
    own_mask = opened_by(run, OTHERS, "own_masks")
    masks.apply(vector, added=[], subtracted=[own_mask])
    assert vector.tolist() == plain


def test_without_r7_a_sum_of_fewer_than_the_hospital_wants_is_opened(terms, without):
    without("r7_sum")
    run = Sum(terms).advertise(minimum_sites=5).share().mask(values_of(terms), *NAMES[:4])
    run.agree().open()
    assert run.unmasked().total.tolist() == run.plain(values_of(terms)).tolist()


def test_without_r8_two_halves_open_two_sets(terms, without):
    without("r8_signed")
    run = Sum(terms).advertise().share().mask(values_of(terms))
    seen = {VICTIM: NAMES, NAMES[1]: NAMES, NAMES[2]: NAMES[:4], NAMES[3]: NAMES[:4]}
    for name, survivors in seen.items():
        state, _ = site.agree(run.states[name], survivors, signer=key_of(name))
        gone = sorted(set(NAMES) - set(survivors))
        run.opened[name] = site.unmask(state, {}, survivors=survivors, dropped=gone)
    last = NAMES[4]
    assert last in run.opened[VICTIM].own_masks  # both kinds of share of one site
    assert last in run.opened[NAMES[2]].keys


def test_r9_refuses_a_second_answer():
    with pytest.raises(PeerFault, match="second time"):
        rules.r9_once(opened=True)  # and in a session: tests/integration/masking


def test_without_r10_both_kinds_of_share_lay_a_vector_bare(terms, without):
    without("r10_asked")
    values = values_of(terms)
    run = Sum(terms).advertise().share().mask(values).agree()
    for name in OTHERS:
        run.opened[name] = site.unmask(
            run.states[name], run.signatures, survivors=NAMES, dropped=[VICTIM]
        )
    bare = laid_bare(
        terms,
        run.keys,
        run.vectors[VICTIM],
        own_mask=opened_by(run, OTHERS, "own_masks"),
        mask_key=opened_by(run, OTHERS, "keys"),
    )
    assert bare == run.coded(VICTIM, values[VICTIM]).tolist()


def test_without_r11_a_sum_of_cut_off_values_is_taken_for_a_mean(terms, without):
    (part,) = terms.parts
    far = np.full(terms.length, 9 * part.bound)
    _, beyond = encode(far, 1, part.scale(5, 1))
    with pytest.raises(PeerFault, match="R11"):
        rules.r11_within(beyond, 2)
    without("r11_within")
    rules.r11_within(beyond, 2)
    values = dict.fromkeys(NAMES, far)
    run = played(terms, values)
    assert run.mean(run.unmasked().total).max() <= part.bound < far.max()


def shifted_by_one(shares, place, places):
    """Shares at a place that move each secret by one, by Lagrange's formula."""
    step = pow(value_at({at: Share(int(at == place)) for at in places}, 0), -1, PRIME)
    read = {name: Share.from_bytes(share) for name, share in shares.items()}
    return {name: Share((one.y + step) % PRIME).to_bytes() for name, one in read.items()}


def lied(terms, values):
    """A run in which four of five open, and the first of them opens what it likes."""
    run = played(terms, values, silent=[NAMES[4]])
    name, liar = min(run.opened.items())
    wrong = shifted_by_one(liar.own_masks, 1, range(1, 5))
    run.opened[name] = Opened(wrong, liar.keys)
    return run


def test_without_r12_a_liar_makes_another_sum_and_nobody_is_named(terms, without):
    values = values_of(terms)
    with pytest.raises(PeerFault, match="R12"):
        lied(terms, values).unmasked()
    without("r12_same", lambda *_: True, of=server)
    with pytest.raises(PeerFault, match="R12"):
        lied(terms, values).unmasked()
    without("r12_fits", lambda *_: True, of=server)
    run = lied(terms, values)
    found = run.unmasked()
    assert found.total.tolist() != run.plain(values).tolist()
    assert not found.liars


def test_without_r13_a_long_vector_is_summed_as_if_it_were_right(terms, tmp_path):
    files = {}
    for name, size in (("one", terms.length), ("two", terms.length + 1)):
        vector = np.ones(size, dtype=np.uint32).view(np.float32)
        written = tensors.write({agreed.MASKED: vector}, tmp_path / name)
        files[name] = tensors.path_of(tmp_path / name, written.digest)
    with pytest.raises(PeerFault, match="length"):
        unmasking.check_vector(files["two"], terms)
    assert unmasking._summed(terms, files).tolist() == [2] * terms.length


def test_a_forged_commitment_is_r3_s_too(terms):
    run = Sum(terms).advertise().share()
    said = run.sealed[VICTIM]
    plain = replace(said, commitment="e" * 64)
    forged = replace(plain, signature=key_of("x").sign(commitment_bytes(terms, plain)))
    with pytest.raises(PeerFault, match="R3"):
        server.check_sealed(terms, run.keys, forged)
