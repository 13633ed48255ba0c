"""Masked sums played by all their sites in one place, with whoever drops out or lies."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace

import numpy as np

from governance.identity.keys import SigningKey
from governance.secagg import coordinator as server
from governance.secagg import site
from governance.secagg.fixed_point import Scale, decode, encode
from governance.secagg.messages import check_agent
from governance.secagg.terms import Own, Part, Terms, threshold_of
from protos.words import Digest

MODEL, TASK = Digest("a" * 64), Digest("b" * 64)
ROOT = "c" * 64


def masked(state, delivered, vector):
    """Take step 3: open the others' shares, and mask the vector in place."""
    state = site.receive(state, delivered)
    site.apply(state, vector)
    return state


def drawn_from(word):
    """Bytes that follow from a word, so that a run can be played again."""
    state = {"counter": 0}

    def draw(size):
        state["counter"] += 1
        seed = f"{word} {state['counter']}".encode()
        return hashlib.shake_256(seed).digest(size)

    return draw


def key_of(name):
    return SigningKey.from_seed(hashlib.sha256(name.encode()).digest())


def names_of(count):
    return [f"s{place:03}" for place in range(count)]


def terms_of(names, *, length=12, weight=1, bound=1.0, **changes):
    scale = Scale.finest(sites=len(names), weight=weight, bound=bound)
    part = Part(length, bound, scale.fraction_bits, weighted=True)
    roster = {name: key_of(name).key_id for name in names}
    terms = Terms(
        federation="hearts",
        round=3,
        attempt=1,
        purpose="train",
        model=MODEL,
        task=TASK,
        roster=roster,
        weights=dict.fromkeys(names, weight),
        parts=(part,),
        threshold=threshold_of(len(names)),
        checkpoint=(40, ROOT),
    )
    return replace(terms, **changes)


def own_of(terms, name, **changes):
    own = Own(
        site=name,
        model=MODEL,
        task=TASK,
        roster=dict(terms.roster),
        weights=dict(terms.weights),
        parts=terms.parts,
        minimum_sites=3,
        newest=(2, 1),
        root=ROOT,
    )
    return replace(own, **changes)


@dataclass
class Sum:
    """One run; each step takes who takes part in it, and keeps what they say."""

    terms: Terms
    word: str = "run"
    states: dict = field(default_factory=dict)
    keys: dict = field(default_factory=dict)
    sealed: dict = field(default_factory=dict)
    vectors: dict = field(default_factory=dict)
    signatures: dict = field(default_factory=dict)
    opened: dict = field(default_factory=dict)

    def draw(self, name):
        return drawn_from(f"{self.word} {name} {len(self.sealed)}")

    def advertise(self, *names, **changes):
        for name in names or self.terms.sites:
            own = own_of(self.terms, name, **changes)
            self.states[name], self.keys[name] = site.advertise(
                self.terms, own, draw=self.draw(name), signer=key_of(name)
            )
            check_agent(self.terms, self.keys[name])
        return self

    def share(self, *names):
        for name in names or self.keys:
            self.states[name], self.sealed[name] = site.share(
                self.states[name],
                list(self.keys.values()),
                draw=drawn_from(f"{self.word} {name} shares"),
                signer=key_of(name),
            )
            server.check_sealed(self.terms, self.keys, self.sealed[name])
        return self

    @property
    def run(self):
        return server.Run(self.terms, self.keys, self.sealed)

    def mask(self, values, *names):
        for name in names or self.sealed:
            vector = self.coded(name, values[name])
            self.states[name] = masked(self.states[name], self.run.delivered_to(name), vector)
            server.check_vector(self.terms, name, vector)
            self.vectors[name] = vector
        return self

    def coded(self, name, values):
        (part,) = self.terms.parts
        weight = self.terms.weights[name]
        scale = part.scale(len(self.terms.roster), max(self.terms.weights.values()))
        return encode(values, weight, scale)[0]

    def agree(self, *names):
        survivors = sorted(self.vectors)
        for name in names or survivors:
            self.states[name], said = site.agree(
                self.states[name], survivors, signer=key_of(name)
            )
            server.check_consistent(self.terms, name, said, survivors)
            self.signatures[name] = said
        return self

    def open(self, *names):
        survivors = sorted(self.vectors)
        for name in names or sorted(self.signatures):
            self.opened[name] = site.unmask(
                self.states[name],
                self.signatures,
                survivors=survivors,
                dropped=sorted(set(self.sealed) - set(survivors)),
            )
            server.check_opened(
                name, self.opened[name], survivors=survivors, shared=self.sealed
            )
        return self

    def unmasked(self):
        with np.errstate(over="ignore"):
            total = np.sum(list(self.vectors.values()), axis=0, dtype=np.uint32)
        return server.unmask(self.run, total, sorted(self.vectors), self.opened)

    def plain(self, values):
        """The sum in the ring of those who are in, without any mask."""
        with np.errstate(over="ignore"):
            coded = [self.coded(name, values[name]) for name in self.vectors]
            return np.sum(coded, axis=0, dtype=np.uint32)

    def mean(self, total):
        (part,) = self.terms.parts
        scale = part.scale(len(self.terms.roster), max(self.terms.weights.values()))
        return decode(total, sum(self.terms.weights[name] for name in self.vectors), scale)


def values_of(terms, seed=0):
    drawn = np.random.default_rng(seed)
    return {name: drawn.uniform(-1, 1, terms.length) for name in terms.sites}


def played(
    terms, values, *, before_shares=(), before_mask=(), before_consistency=(), silent=()
):
    """Play a run in which sites drop out before a step; return it, ready to be unmasked."""
    there = [name for name in terms.sites if name not in before_shares]
    run = Sum(terms).advertise(*terms.sites).share(*there)
    there = [name for name in there if name not in before_mask]
    run.mask(values, *there)
    signing = [name for name in there if name not in before_consistency]
    run.agree(*signing)
    return run.open(*(name for name in signing if name not in silent))
