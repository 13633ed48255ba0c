"""What Opacus's engine decides by itself: each is shown on it, and that ours does not do it."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from opacus import PrivacyEngine
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from governance.privacy.mechanisms import KEY_BYTES, Keystream
from governance.privacy.releases import Release, expected_batch, of_statement
from protos.errors import PeerFault
from site_agent import training
from site_agent.dpsgd import Mechanism, Patients, PrivateSteps

WIDTH = 3
PATIENTS = 64
BATCH = 10
KEY = bytes(range(KEY_BYTES))


def engine(*, poisson=True, patients=PATIENTS, noise=1.0):
    """Return Opacus as its pages show it: engine, model, optimizer and loader."""
    model = nn.Sequential(nn.Linear(WIDTH, 1))
    for p in model.parameters():
        nn.init.zeros_(p)
    data = TensorDataset(torch.ones(patients, WIDTH), torch.ones(patients))
    made = PrivacyEngine()
    private = made.make_private(
        module=model,
        optimizer=torch.optim.SGD(model.parameters(), lr=1.0),
        data_loader=DataLoader(data, batch_size=BATCH),
        noise_multiplier=noise,
        max_grad_norm=1.0,
        poisson_sampling=poisson,
    )
    return made, *private


def epochs(count, *, poisson):
    """Train as Opacus's pages show; return the engine, batch sizes, and each step's move."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made, model, optimizer, loader = engine(poisson=poisson)
        sizes, moves = [], []
        for features, target in (batch for _ in range(count) for batch in loader):
            sizes.append(len(features))
            before = flat(model)
            optimizer.zero_grad()
            loss = ((model(features.requires_grad_())[:, 0] - target) ** 2).mean()
            loss.backward()
            optimizer.step()
            moves.append(flat(model) - before)
    return made, sizes, moves


def skipping(count):
    """Take steps on three patients as Opacus's loader draws them; skip where it is empty."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _, model, optimizer, loader = engine(patients=3)
        loader.batch_sampler.sample_rate = 0.1
        for _ in range(count):
            for features, target in loader:
                before = flat(model)
                if len(features):
                    optimizer.zero_grad()
                    ((model(features.requires_grad_())[:, 0] - target) ** 2).mean().backward()
                    optimizer.step()
                yield flat(model) - before


def flat(model):
    return torch.cat([p.detach().flatten().clone() for p in model.parameters()])


def cohort(patients=PATIENTS):
    return Patients.of(
        np.ones((patients, WIDTH), np.float32),
        np.ones(patients, np.float32),
        np.arange(patients),
    )


def ours(patients, mechanism, keystream, count=1):
    """Return each step's move of a model that begins at zero."""
    model = nn.Sequential(nn.Linear(WIDTH, 1))
    for p in model.parameters():
        nn.init.zeros_(p)
    steps = PrivateSteps(
        model,
        torch.optim.SGD(model.parameters(), lr=1.0),
        lambda outputs, target: ((outputs[:, 0] - target) ** 2).sum(),
        mechanism,
        keystream,
    )
    moves = []
    for _ in range(count):
        before = flat(model)
        steps.step(patients, lambda _: None)
        moves.append(flat(model) - before)
    return moves


def test_opacus_accounts_fixed_batches_as_poisson_and_we_refuse_any_other_loader():
    fixed, sizes, _ = epochs(3, poisson=False)
    drawn, varying, _ = epochs(3, poisson=True)
    assert set(sizes) <= {BATCH, PATIENTS % BATCH}
    assert len(set(varying)) > 2
    assert fixed.accountant.history == drawn.accountant.history  # the same ε, and wrong
    release = {"sampling_rate": "0.1", "noise_multiplier": "1", "steps": 3, "unit": "patient"}
    assert of_statement({**release, "loader": "poisson"}) == Release(0.1, 1.0, 3)
    with pytest.raises(PeerFault):
        of_statement({**release, "loader": "fixed"})


def test_our_batches_are_drawn_each_time_anew_and_never_fixed():
    everyone, stream = cohort(), Keystream(KEY)
    sizes = [len(everyone.drawn(BATCH / PATIENTS, stream)) for _ in range(2000)]
    variance = PATIENTS * (BATCH / PATIENTS) * (1 - BATCH / PATIENTS)
    assert np.mean(sizes) == pytest.approx(BATCH, rel=0.05)
    assert np.var(sizes) == pytest.approx(variance, rel=0.1)


def test_opacus_derives_rate_and_divisor_from_the_private_number_and_ours_are_the_agreements():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _, _, optimizer, loader = engine()
    assert loader.sample_rate == 1 / 7  # not 10 / 64, and it tells of how many there are
    assert optimizer.expected_batch_size == 9
    mechanism = Mechanism(0.1, 1.0, 0.0, float(expected_batch(0.1, 60)))
    assert mechanism.divisor == 6.0  # of the declared 60, whatever the true number
    moves = {
        number: ours(cohort(number), Mechanism(1.0, 1.0, 0.0, 6.0), Keystream(KEY))[0].norm()
        for number in (63, 64)
    }
    assert float(moves[64] - moves[63]) == pytest.approx(1.0 / 6.0, rel=1e-4)


def test_a_loop_that_skips_empty_batches_tells_that_nobody_was_drawn_and_ours_does_not():
    assert not all(bool(move.any()) for move in skipping(40))  # stands still: nobody was drawn
    noisy = ours(cohort(3), Mechanism(0.1, 1.0, 1.0, 1.0), Keystream(KEY), count=40)
    assert all(bool(move.any()) for move in noisy)


def test_opacus_secure_mode_needs_what_is_not_here_and_else_follows_torchs_seed():
    with pytest.raises(ImportError):
        PrivacyEngine(secure_mode=True)
    naive = []
    for _ in range(2):
        torch.manual_seed(5)
        naive.append(epochs(1, poisson=True)[2][0])
    assert torch.equal(*naive)  # whoever knows the seed takes the noise away


def test_our_noise_does_not_follow_torchs_seed_nor_numpys():
    moves = []
    for _ in range(2):
        torch.manual_seed(5)
        np.random.seed(5)
        alone = cohort(0)
        moves.append(ours(alone, Mechanism(0.1, 1.0, 1.0, 1.0), training.keystream(None))[0])
    assert not torch.equal(*moves)


def test_a_records_gradient_is_clipped_by_opacus_and_not_a_patients():
    """A patient with eight records moves the naive sum by 8 C, and ours by C."""
    records = 8
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _, model, optimizer, _ = engine(noise=0.0)
        features = torch.ones(records, WIDTH).requires_grad_()
        ((model(features)[:, 0] - 100.0) ** 2).sum().backward()
        optimizer.pre_step()
    naive = torch.cat([p.summed_grad.flatten() for p in optimizer.params]).norm()
    assert float(naive) == pytest.approx(records, rel=1e-4)
    patient = Patients.of(
        np.ones((records, WIDTH), np.float32),
        np.full(records, 100.0, np.float32),
        np.zeros(records, np.int64),
    )
    (move,) = ours(patient, Mechanism(1.0, 1.0, 0.0, 1.0), Keystream(KEY))
    assert float(move.norm()) == pytest.approx(1.0, rel=1e-4)
