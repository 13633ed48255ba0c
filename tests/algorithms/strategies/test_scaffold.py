"""SCAFFOLD against the paper, and nine wrong SCAFFOLDs, each of which a check here kills."""

from __future__ import annotations

import functools

import pytest
import torch

import coordinator.strategies.scaffold as server
import site_agent.strategies.scaffold as local
from coordinator.strategies.fedavg import weighted_mean
from governance.privacy.mechanisms import Keystream
from site_agent import agent, dpsgd

# --- checks ----------------------------------------------------------------------------------


def same(ours, paper, *, abs_=0.0):
    """Compare x, c and every c_i with those worked out on fractions."""
    assert ours.x == pytest.approx(float(paper.x), abs=abs_)
    assert ours.c == pytest.approx(float(paper.c), abs=abs_)
    for name in paper.sites:
        assert ours.c_of(name) == pytest.approx(float(paper.c_i[name]), abs=abs_)


def play(ours, paper, rounds, *, abs_=1e-5):
    """Hold the same rounds here and on paper; "!" at the end is a round that is abandoned."""
    for present in rounds:
        closes = not present.endswith("!")
        for one in (ours, paper):
            one.round(present.rstrip("!") or None, closes=closes)
        same(ours, paper, abs_=abs_)


def check_three_rounds_by_hand(federation):
    ours, _ = federation()
    ours.round()
    # a stays at 0; b goes 0 → 2 → 3; c_b = (0 − 3)/(2/8) = −12, c = −6.
    assert (ours.x, ours.c, ours.c_of("a"), ours.c_of("b")) == (1.5, -6, 0, -12)
    ours.round()
    # a with −6: 1.5 → 2.0625 → 2.5546875; b with +6: 1.5 → 2 → 2.25.
    assert (ours.x, ours.c) == (2.40234375, -3.609375)
    assert (ours.c_of("a"), ours.c_of("b")) == (1.78125, -9)
    ours.round()
    assert (ours.x, ours.c) == (2.846282958984375, -1.7757568359375)
    assert (ours.c_of("a"), ours.c_of("b")) == (2.589111328125, -6.140625)


def check_fixed_point_is_the_optimum(federation):
    ours, _ = federation()
    for _ in range(45):
        ours.round()
    assert ours.x == pytest.approx(3.2, abs=1e-5)
    # At the optimum each c_i is that site's gradient there, and c their mean, zero.
    assert ours.c == pytest.approx(0, abs=1e-4)
    assert (ours.c_of("a"), ours.c_of("b")) == pytest.approx((3.2, -3.2), abs=1e-4)


def check_partial_participation(federation):
    sites = {
        "a": federation.site(a=1, m=0),
        "b": federation.site(a=4, m=4),
        "d": federation.site(a=1, m=-2),
    }
    ours, paper = federation(sites)
    play(ours, paper, ["a b d", "a b", "d", "b d", "a", "a b d"])
    # Whoever missed a round kept its c_i, and c is the mean over all N.
    assert ours.c == pytest.approx(sum(map(ours.c_of, sites)) / 3, abs=1e-5)


def check_unequal_steps(federation):
    sites = {
        "a": federation.site(a=1, m=0, steps=1),
        "b": federation.site(a=4, m=4, steps=3),
        "d": federation.site(a=1, m=-2, steps=5),
    }
    ours, paper = federation(sites)
    play(ours, paper, [""] * 4)


def check_control_is_the_mean_gradient(federation):
    sites = {"a": federation.site(a=1, m=0, steps=3), "b": federation.site(a=4, m=4, steps=3)}
    ours, _ = federation(sites)
    ours.round()
    # b goes 0 → 2 → 3 → 3.5 by gradients −16, −8, −4.
    assert ours.c_of("b") == pytest.approx(-28 / 3, abs=1e-5)


def check_server_rate(federation):
    for server_rate in (0.5, 1.5):
        ours, paper = federation(server_rate=server_rate)
        play(ours, paper, [""] * 4)


def check_patients_weigh_the_step_and_never_the_control(federation):
    sites = {
        "a": federation.site(a=1, m=0, patients=30),
        "b": federation.site(a=4, m=4, patients=10),
    }
    ours, paper = federation(sites)
    ours.round()
    paper.round()
    assert (ours.x, ours.c) == (0.75, -6)
    play(ours, paper, [""] * 3)


def check_abandoned_round_changes_nothing(federation):
    ours, paper = federation()
    play(ours, paper, ["", "!", "", "a!", "a b!", ""])


def check_controls_last_between_rounds(federation):
    ours, paper = federation()
    play(ours, paper, ["a b", "b", "a", "a b"])
    assert set(ours.controls) == {"a", "b"}


def check_correction_comes_after_clipping(federation):
    ours, paper = federation(clip=1.0)
    play(ours, paper, [""] * 4)
    # The clip bounds g alone: with c − c_i = 5 a step is −η(1 + 5), with −5 it is −η(1 − 5).
    for c, expected in ((5.0, -0.75), (-5.0, 0.5)):
        site = federation.site(a=1, m=-10, steps=1)
        rule = local.Scaffold(
            x={"weight": torch.zeros(1, 1)},
            c={"weight": torch.full((1, 1), c)},
            c_i=None,
            rate=0.125,
        )
        assert moved(site, rule.correction) == expected


def moved(site, correction) -> float:
    """Return how far one step with C = 1 and σ = 0 moves y from 0."""
    model = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.zeros_(model.weight)
    steps = dpsgd.PrivateSteps(
        model,
        torch.optim.SGD(model.parameters(), lr=0.125),
        lambda outputs, target: ((outputs[:, 0] - target) ** 2).sum() / 2,
        dpsgd.Mechanism(1.0, 1.0, 0.0, 1.0),
        Keystream(bytes(32)),
    )
    steps.step(site.patient(), correction)
    steps.close()
    return float(model.weight.detach())


CHECKS = [
    check_three_rounds_by_hand,
    check_fixed_point_is_the_optimum,
    check_partial_participation,
    check_unequal_steps,
    check_control_is_the_mean_gradient,
    check_server_rate,
    check_patients_weigh_the_step_and_never_the_control,
    check_abandoned_round_changes_nothing,
    check_controls_last_between_rounds,
    check_correction_comes_after_clipping,
]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_scaffold_passes(check, federation):
    check(federation)


# --- mutants ---------------------------------------------------------------------------------

MUTANTS = {}


def mutant(make):
    MUTANTS[make.__name__] = make
    return make


def signed(sign_c, sign_c_i):
    """Return a correction ±c ± c_i."""

    def held(self, which, name):
        control = getattr(self, which)
        return torch.zeros_like(self.x[name]) if control is None else control[name]

    return lambda self, y: {
        n: sign_c * held(self, "c", n) + sign_c_i * held(self, "c_i", n) for n in y
    }


@mutant
def sign_of_c(patch):
    patch(local.Scaffold, "correction", signed(-1, -1))


@mutant
def sign_of_c_i(patch):
    patch(local.Scaffold, "correction", signed(1, 1))


@mutant
def sign_of_c_in_the_new_control(patch):
    def wrong(self, y, *, steps):
        minus_c = signed(-1, -1)(self, y)
        return {n: (self.x[n] - y[n]) / (steps * self.rate) - minus_c[n] for n in y}

    patch(local.Scaffold, "finish", wrong)


@mutant
def sign_of_c_i_in_the_new_control(patch):
    def wrong(self, y, *, steps):
        plus_c_i = signed(1, 1)(self, y)
        return {n: (self.x[n] - y[n]) / (steps * self.rate) - plus_c_i[n] for n in y}

    patch(local.Scaffold, "finish", wrong)


@mutant
def missing_s_over_n(patch):
    def wrong(self, c, dc, *, share):
        every = list(dc)
        return c + weighted_mean(every, [1] * len(every))

    patch(server.Scaffold, "state", wrong)


@mutant
def k_one_too_many(patch):
    right = local.Scaffold.finish
    patch(local.Scaffold, "finish", lambda self, y, *, steps: right(self, y, steps=steps + 1))


@mutant
def k_the_same_at_every_site(patch):
    right = local.Scaffold.finish
    patch(local.Scaffold, "finish", lambda self, y, *, steps: right(self, y, steps=2))


@mutant
def eta_missing(patch):
    def wrong(self, y, *, steps):
        return {n: (self.x[n] - y[n]) / steps - self._drift(n) for n in y}

    patch(local.Scaffold, "finish", wrong)


@mutant
def c_i_not_stored(patch):
    patch(agent, "fate_of_control", lambda outcome, *, site: agent.Fate.DROP)


@mutant
def c_i_stored_on_an_abandoned_round(patch):
    patch(agent, "fate_of_control", lambda outcome, *, site: agent.Fate.KEEP)


@mutant
def dc_weighted_by_patients(patch):
    right, seen = server.Scaffold.model, []

    def model(self, x, dy, n):
        seen[:] = n
        return right(self, x, dy, n)

    def wrong(self, c, dc, *, share):
        every = list(dc)
        return c + share * weighted_mean(every, seen)

    patch(server.Scaffold, "model", model)
    patch(server.Scaffold, "state", wrong)


@mutant
def correction_before_clipping(patch):
    right = dpsgd.PrivateSteps.step

    def wrong(self, patients, correction):
        named = dict(self._model.named_parameters())
        added = correction({name: p.detach() for name, p in named.items()}) or {}
        clip = dpsgd.PatientOptimizer.clip_and_accumulate

        def clip_all(optimizer):
            for name, p in named.items() if added else ():
                p.grad_sample = p.grad_sample + added[name]
            clip(optimizer)

        self._optimizer.clip_and_accumulate = functools.partial(clip_all, self._optimizer)
        right(self, patients, lambda y: None)

    patch(dpsgd.PrivateSteps, "step", wrong)


@mutant
def correction_lost(patch):
    right = dpsgd.PrivateSteps.step
    patch(
        dpsgd.PrivateSteps,
        "step",
        lambda self, patients, correction: right(self, patients, lambda y: None),
    )


def killer(federation) -> str:
    """Return the first check that fails; whoever breaks in another way is not killed by it."""
    for check in CHECKS:
        try:
            check(federation)
        except AssertionError:
            return check.__name__
    return ""


@pytest.mark.parametrize("name", MUTANTS)
@pytest.mark.slow
def test_mutant_is_killed(name, federation, monkeypatch):
    MUTANTS[name](monkeypatch.setattr)
    assert killer(federation), f"{name} survives"


@pytest.mark.slow
def test_no_check_kills_the_right_one(federation):
    assert not killer(federation)


def test_nothing_is_changed_in_place():
    held = {which: {"w": torch.tensor([float(i)])} for i, which in enumerate("xyci", 1)}
    rule = local.Scaffold(held["x"], held["c"], held["i"], 0.5)
    rule.correction(held["y"])
    rule.finish(held["y"], steps=2)
    assert [held[which]["w"].item() for which in "xyci"] == [1.0, 2, 3, 4]


def test_a_control_needs_a_step():
    rule = local.Scaffold({"w": torch.zeros(1)}, None, None, 0.5)
    with pytest.raises(ValueError, match="at least one step"):
        rule.finish({"w": torch.zeros(1)}, steps=0)
