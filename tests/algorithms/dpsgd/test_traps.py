"""Opacus's traps: each is shown on naive code, and the same check passes on ours."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from opacus.accountants import RDPAccountant
from opacus.grad_sample import GradSampleModule
from opacus.optimizers import DPOptimizer
from torch import nn

from governance.privacy.mechanisms import Keystream
from governance.privacy.releases import Release, merged
from protos.errors import Refused
from site_agent.dpsgd import Mechanism, Patients, PrivateSteps

KEY = bytes(range(32))
RATE = 0.5
PULL = 0.25
WIDTH = 3


def nothing(y):
    return None


def pull(y):
    """A correction that does not depend on the gradient."""
    return {name: torch.full_like(p, PULL) for name, p in y.items()}


def squared(outputs, target):
    return ((outputs[:, 0] - target) ** 2).sum() / 2


def model():
    made = nn.Sequential(nn.Linear(WIDTH, 1))
    for p in made.parameters():
        nn.init.constant_(p, 0.1)
    return made


def cohort(patients=40, records=1, seed=0):
    draws = np.random.default_rng(seed)
    count = patients * records
    return Patients.of(
        draws.normal(size=(count, WIDTH)).astype(np.float32),
        draws.normal(size=count).astype(np.float32),
        np.arange(count) // records,
    )


def step(correction=nothing, mechanism=None, patients=None, key=KEY):
    """Return the parameters before and after one step of ours, flat."""
    mechanism = mechanism or Mechanism(0.5, 1.0, 1.0, 20.0)
    made = model()
    before = flat(made)
    steps = PrivateSteps(
        made, torch.optim.SGD(made.parameters(), lr=RATE), squared, mechanism, Keystream(key)
    )
    steps.step(patients or cohort(), correction)
    return before, flat(made)


def flat(made):
    return torch.cat([p.detach().flatten().clone() for p in made.parameters()])


# The naive ones, as they are written elsewhere.


def naive(*, in_loss=False, before_step=False):
    """One step of Opacus as it comes, noise off; the correction as others place it."""
    made = model()
    wrapped = GradSampleModule(made, loss_reduction="sum")
    optimizer = DPOptimizer(
        torch.optim.SGD(made.parameters(), lr=RATE),
        noise_multiplier=0.0,
        max_grad_norm=1.0,
        expected_batch_size=20,
    )
    patients = cohort()
    loss = squared(wrapped(patients.features.clone().requires_grad_()), patients.target)
    if in_loss:
        loss = loss + PULL * sum(p.sum() for p in made.parameters())
    loss.backward()
    if before_step:
        for p in made.parameters():
            p.grad = torch.full_like(p, PULL) if p.grad is None else p.grad + PULL
    optimizer.step()
    return flat(made)


def ours(correction):
    return step(correction, Mechanism(1.0, 1.0, 0.0, 20.0))[1]


def test_correction_in_the_loss_is_dropped_by_opacus_but_not_by_ours():
    assert torch.equal(naive(in_loss=True), naive())
    assert not torch.equal(ours(pull), ours(nothing))


def test_correction_before_step_is_dropped_by_opacus_but_not_by_ours():
    assert torch.equal(naive(before_step=True), naive())
    assert not torch.equal(ours(pull), ours(nothing))


def test_ours_without_correction_and_noise_is_the_clipped_sum_over_the_divisor():
    assert torch.allclose(ours(nothing), naive(), atol=1e-7)


def test_correction_moves_the_parameters_by_exactly_minus_rate_times_correction():
    for noise in (0.0, 1.0):
        mechanism = Mechanism(0.5, 1.0, noise, 20.0)
        moved = step(pull, mechanism)[1] - step(nothing, mechanism)[1]
        assert torch.allclose(moved, torch.full_like(moved, -RATE * PULL), atol=1e-7)


def test_correction_is_not_clipped():
    large = Mechanism(0.5, 1e-6, 0.0, 20.0)
    before, after = step(pull, large)
    assert torch.allclose(after - before, torch.full_like(after, -RATE * PULL), atol=1e-6)


def test_attached_hook_replaces_the_accountants_so_that_we_account_by_releases():
    made = model()
    wrapped = GradSampleModule(made, loss_reduction="sum")
    optimizer = DPOptimizer(
        torch.optim.SGD(made.parameters(), lr=RATE),
        noise_multiplier=1.0,
        max_grad_norm=1.0,
        expected_batch_size=20,
    )
    accountant = RDPAccountant()
    optimizer.attach_step_hook(accountant.get_optimizer_hook_fn(sample_rate=0.5))
    optimizer.attach_step_hook(lambda _: None)
    patients = cohort()
    squared(wrapped(patients.features.requires_grad_()), patients.target).backward()
    optimizer.step()
    assert accountant.history == []  # ε would read 0
    steps = PrivateSteps(
        made := model(),
        torch.optim.SGD(made.parameters(), lr=RATE),
        squared,
        Mechanism(0.5, 1.0, 1.0, 20.0),
        Keystream(KEY),
    )
    assert steps._optimizer.step_hook is None  # nothing of ours hangs on one


def test_length_of_opacus_accountant_is_not_the_steps_but_ours_is():
    accountant = RDPAccountant()
    for _ in range(20):
        accountant.step(noise_multiplier=1.0, sample_rate=0.5)
    assert len(accountant) == 1
    (release,) = merged([Release(0.5, 1.0, 1)] * 20)
    assert release.steps == 20


def test_divisor_is_the_public_constant_and_never_the_batch_or_the_cohort():
    one = Patients.of(
        np.ones((1, WIDTH), np.float32), np.array([9.0], np.float32), np.arange(1)
    )
    many = cohort(400)
    for patients in (one, many):
        moves = []
        for divisor in (5.5, 55.0):
            before, after = step(nothing, Mechanism(1.0, 1.0, 0.0, divisor), patients)
            moves.append((after - before) * divisor)
        assert torch.allclose(moves[0], moves[1], rtol=1e-4, atol=1e-5)
    before, after = step(nothing, Mechanism(1.0, 1.0, 0.0, 5.5), one)
    gradient = torch.tensor([1.0, 1.0, 1.0, 1.0]) / 2  # clipped to norm 1, towards −
    assert torch.allclose(after - before, RATE * gradient / 5.5, atol=1e-6)


@pytest.mark.parametrize("patients", [0, 40])
def test_empty_batch_is_a_noisy_step(patients):
    everyone = cohort(patients)
    moves = []
    for seed in range(200):
        mechanism = Mechanism(0.0, 2.0, 3.0, 10.0)
        before, after = step(nothing, mechanism, everyone, key=bytes([seed]) * 32)
        moves.append((after - before).numpy())
    noise = np.concatenate(moves)
    assert (noise != 0).all()
    assert noise.std() == pytest.approx(RATE * 2.0 * 3.0 / 10.0, rel=0.1)


def test_noise_has_the_deviation_that_is_accounted():
    moves = []
    for seed in range(200):
        mechanism = Mechanism(1.0, 1.0, 2.0, 8.0)
        key = bytes([seed]) * 32
        noisy = step(nothing, mechanism, key=key)[1]
        bare = step(nothing, Mechanism(1.0, 1.0, 0.0, 8.0), key=key)[1]
        moves.append((noisy - bare).numpy())
    noise = np.concatenate(moves)
    assert noise.std() == pytest.approx(RATE * 1.0 * 2.0 / 8.0, rel=0.1)
    assert noise.mean() == pytest.approx(0, abs=4 * float(noise.std()) / len(noise) ** 0.5)


@pytest.mark.parametrize(
    "norm", [nn.BatchNorm1d(4), nn.BatchNorm1d(4, track_running_stats=False)]
)
def test_batch_norm_is_refused(norm):
    made = nn.Sequential(nn.Linear(WIDTH, 4), norm, nn.Linear(4, 1))
    with pytest.raises(Refused) as error:
        PrivateSteps(
            made,
            torch.optim.SGD(made.parameters(), lr=RATE),
            squared,
            Mechanism(0.5, 1.0, 1.0, 20.0),
            Keystream(KEY),
        )
    assert error.value.rule == "model-not-trainable"


def test_fixed_key_gives_the_same_bits_and_another_gives_others():
    assert torch.equal(step()[1], step()[1])
    assert not torch.equal(step()[1], step(key=bytes(32))[1])


def test_hooks_are_gone_after_closing():
    made = model()
    steps = PrivateSteps(
        made,
        torch.optim.SGD(made.parameters(), lr=RATE),
        squared,
        Mechanism(0.5, 1.0, 1.0, 20.0),
        Keystream(KEY),
    )
    steps.step(cohort(), nothing)
    steps.close()
    squared(made(torch.ones(2, WIDTH)), torch.ones(2)).backward()
    assert all(not hasattr(p, "grad_sample") for p in made.parameters())
