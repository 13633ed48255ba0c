"""The patient is the unit: what one contributes is bounded, however many records there are."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from governance.privacy.mechanisms import Keystream
from site_agent import dpsgd
from site_agent.dpsgd import Mechanism, Patients, PrivateSteps

KEY = bytes(range(32))
CLIP = 0.7
WIDTH = 4


def records(counts, scale=1.0, seed=3):
    draws = np.random.default_rng(seed)
    patient = np.repeat(np.arange(len(counts)), counts)
    features = draws.normal(size=(len(patient), WIDTH)) * scale
    return features.astype(np.float32), draws.normal(size=len(patient)), patient


def summed(patients, rate=1.0):
    """Return the sum of clipped gradients that one step without noise releases."""
    model = nn.Sequential(nn.Linear(WIDTH, 1))
    for p in model.parameters():
        nn.init.zeros_(p)
    steps = PrivateSteps(
        model,
        torch.optim.SGD(model.parameters(), lr=1.0),
        lambda outputs, target: ((outputs[:, 0] - target) ** 2).sum(),
        Mechanism(rate, CLIP, 0.0, 1.0),
        Keystream(KEY),
    )
    steps.step(patients, lambda _: None)
    return torch.cat([p.detach().flatten() for p in model.parameters()])


@pytest.mark.parametrize("copies", [1, 2, 50, 3000])
def test_patients_influence_on_the_sum_is_at_most_the_clip(copies):
    features, target, patient = records([1] * 10)
    huge = np.full((copies, WIDTH), 1e4, np.float32)
    without = Patients.of(features, target, patient)
    with_one = Patients.of(
        np.concatenate([features, huge]),
        np.concatenate([target, np.full(copies, 1e4)]),
        np.concatenate([patient, np.full(copies, 99)]),
    )
    influence = (summed(with_one) - summed(without)).norm()
    assert influence <= CLIP * (1 + 1e-5)
    assert influence == pytest.approx(CLIP, rel=1e-3)


def test_clipping_each_record_instead_would_break_the_bound():
    features, _, _ = records([50])
    per_record = Patients.of(features, np.full(50, 1e4), np.arange(50))
    per_patient = Patients.of(features, np.full(50, 1e4), np.zeros(50, np.int64))
    assert summed(per_record).norm() > CLIP
    assert summed(per_patient).norm() <= CLIP * (1 + 1e-5)


@pytest.mark.parametrize("broken", [np.nan, np.inf, 3e38])
def test_gradient_that_is_not_finite_counts_as_zero(broken):
    features, target, patient = records([1] * 5)
    bad = features.copy()
    bad[2] = broken
    others = np.delete(np.arange(5), 2)
    expected = summed(Patients.of(features[others], target[others], patient[others]))
    found = summed(Patients.of(bad, target, patient))
    assert torch.isfinite(found).all()
    assert (found - expected).norm() <= CLIP * (1 + 1e-5)


def test_draw_takes_each_patient_apart_and_one_record_of_it():
    features, target, patient = records([1, 5, 2, 9])
    patients = Patients.of(features, target, patient)
    stream, takes = Keystream(KEY), []
    for _ in range(4000):
        drawn = patients.drawn(0.25, stream)
        owners = np.searchsorted(patients.first, drawn, side="right") - 1
        assert len(set(owners.tolist())) == len(owners)
        takes.append(np.bincount(owners, minlength=4))
    share = np.mean(takes, axis=0)
    assert share == pytest.approx(np.full(4, 0.25), abs=0.03)
    sizes = np.sum(takes, axis=1)
    assert sizes.var() == pytest.approx(4 * 0.25 * 0.75, rel=0.1)  # fixed batches have none


def test_every_record_of_a_patient_is_as_likely():
    patients = Patients.of(*records([1, 4]))
    stream = Keystream(KEY)
    drawn = np.concatenate([patients.drawn(1.0, stream) for _ in range(8000)])
    shares = np.bincount(drawn, minlength=5) / 8000
    assert shares == pytest.approx([1, 0.25, 0.25, 0.25, 0.25], abs=0.02)


def test_records_are_sorted_by_patient_whatever_their_order():
    features, target, patient = records([2, 3, 1])
    shuffled = np.random.default_rng(1).permutation(6)
    sorted_ = Patients.of(features[shuffled], target[shuffled], patient[shuffled] * 7 + 1)
    assert len(sorted_) == 3
    assert sorted_.first.tolist() == [0, 2, 5, 6]
    assert set(sorted_.target[:2].tolist()) == set(target[:2].astype(np.float32).tolist())


def test_batch_larger_than_memory_gives_the_same_sum(monkeypatch):
    patients = Patients.of(*records([1] * 25))
    whole = summed(patients)
    for size in (1, 5, 24, 25):
        monkeypatch.setattr(dpsgd, "RECORDS_AT_ONCE", size)
        assert torch.allclose(summed(patients), whole, atol=1e-5)
