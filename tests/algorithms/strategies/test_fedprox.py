"""FedProx: nothing at μ = 0, everything at ημ = 1, and by hand in between."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from governance.privacy.mechanisms import Keystream
from site_agent.dpsgd import Mechanism, Patients
from site_agent.strategies import Strategy, local_rule
from site_agent.strategies.fedavg import FedAvg
from site_agent.strategies.fedprox import FedProx
from site_agent.training import LOSS, LocalTerms, fit

RATE = 0.125


class Named:
    server_rate = 1.0

    def __init__(self, name: str, mu: float | None = None):
        self.name, self.mu = name, mu


def trained(strategy: Strategy, *, private: bool, steps: int = 7) -> list[bytes]:
    """Train a small network by a strategy and return its parameters' bytes."""
    draws = np.random.default_rng(0)
    patients = Patients.of(
        draws.normal(size=(30, 3)).astype(np.float32),
        (draws.random(30) < 0.4).astype(np.float32),
        np.arange(30),
    )
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 1))
    x = {name: p.detach().clone() for name, p in model.named_parameters()}
    terms = LocalTerms(
        loss=LOSS["binary"],
        optimizer="sgd",
        rate=RATE,
        momentum=0.0,
        mechanism=Mechanism(0.3, 1.0, 1.0, 9.0) if private else None,
        steps=steps,
        epochs=None,
        batch=10,
    )
    rule = local_rule(strategy, x=x, c=None, c_i=None, rate=RATE)
    fit(model, patients, terms, Keystream(bytes(32)), rule.correction, lambda steps: None)
    return [p.detach().numpy().tobytes() for p in model.parameters()]


@pytest.mark.parametrize("private", [False, True])
def test_with_mu_0_it_is_fedavg_bit_for_bit(private):
    fedavg = trained(Named("fedavg"), private=private)
    assert trained(Named("fedprox", 0.0), private=private) == fedavg
    assert trained(Named("fedprox", 0.1), private=private) != fedavg


def test_with_mu_0_a_negative_zero_stays_one():
    rule = FedProx(x={"w": torch.tensor([1.0])}, mu=0.0)
    assert rule.correction({"w": torch.tensor([2.0])}) is None


def test_the_correction_is_mu_times_the_way_from_x():
    rule = FedProx(x={"w": torch.tensor([1.0, 5.0])}, mu=0.5)
    assert rule.correction({"w": torch.tensor([2.0, 3.0])})["w"].tolist() == [0.5, -1.0]


def test_three_steps_by_hand(federation):
    sites = {"b": federation.site(a=4, m=4, steps=3)}
    ours, _ = federation(sites, name="fedprox", mu=2.0)
    ours.round()
    # y ← y − (4(y − 4) + 2y)/8 = y/4 + 2: 0 → 2 → 2.5 → 2.625
    assert ours.x == 2.625


def test_with_rate_times_mu_1_each_step_forgets_the_last(federation):
    for steps in (2, 3, 4):
        sites = {"b": federation.site(a=4, m=4, steps=steps)}
        ours, _ = federation(sites, name="fedprox", mu=1 / RATE)
        ours.round()
        # y = x − η g(y before the last step), and g(y) = 4(y − 4)
        before = [0.0, 2.0, 1.0, 1.5][steps - 1]
        assert ours.x == -RATE * 4 * (before - 4)


def test_it_keeps_nothing_and_changes_no_input():
    x, y = {"w": torch.tensor([1.0])}, {"w": torch.tensor([2.0])}
    rule = FedProx(x=x, mu=0.5)
    rule.correction(y)
    assert rule.finish(y, steps=3) is None
    assert (x["w"].item(), y["w"].item()) == (1.0, 2.0)
    assert FedAvg().correction(y) is None
    assert FedAvg().finish(y, steps=3) is None


def test_the_fixed_point_is_the_one_computed_by_hand(federation):
    ours, _ = federation(name="fedprox", mu=4.0)
    for _ in range(40):
        ours.round()
    # Two steps y ← y − (a(y − m) + 4(y − x))/8 from x give y − x = −a(x − m)(1 + r)/8 with
    # r = 1 − (a + 4)/8, so that x = Σ a m(1 + r) / Σ a(1 + r) with r_a = 3/8, r_b = 0:
    # 16/(11/8 + 4) = 128/43.
    assert ours.x == pytest.approx(128 / 43, abs=1e-5)


def test_an_unknown_strategy_is_refused_by_name():
    from protos.errors import Refused

    with pytest.raises(Refused, match="fedavg, fedprox, scaffold"):
        local_rule(Named("fedmagic"), x={}, c=None, c_i=None, rate=RATE)
