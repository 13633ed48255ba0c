"""Updates are summed exactly, in name order, in little memory; hostile ones never are."""

from __future__ import annotations

import resource
import tracemalloc
from contextlib import contextmanager
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.aggregate import aggregate, check_update, weight
from coordinator.strategies import initial_state, server_rule
from governance import tensors
from governance.lengths import norm_limits
from protos.errors import Corrupt, PeerFault, Refused, Unavailable

SHAPES = {"b": (2,), "w": (3, 2)}


@dataclass(frozen=True)
class Strategy:
    name: str = "fedavg"
    server_rate: float = 1.0


def filled(value: float) -> dict[str, np.ndarray]:
    return {name: np.full(shape, value, np.float32) for name, shape in SHAPES.items()}


def save(folder, content):
    return tensors.path_of(folder, tensors.write(content, folder).digest)


def update(folder, dy: float, dc: float | None = None):
    content = tensors.add_prefix("y", filled(dy))
    if dc is not None:
        content |= tensors.add_prefix("c", filled(dc))
    return save(folder, content)


def run(folder, strategy, updates, weights, *, model=None, state=None, roster=5):
    model = model or save(folder, filled(1.0))
    made = aggregate(
        strategy, model, state, updates, weights, roster_size=roster, out=folder / "models"
    )
    loaded = tensors.load(tensors.path_of(folder / "models", made.model.digest))
    if made.state is None:
        return loaded, None
    return loaded, tensors.load(tensors.path_of(folder / "models", made.state.digest))


def test_fedavg_weighs_by_declared_patients(tmp_path):
    updates = {"a": update(tmp_path, 2.0), "b": update(tmp_path, -4.0)}
    model, state = run(tmp_path, Strategy(), updates, {"a": 30, "b": 10})
    assert model["w"].tolist() == np.full((3, 2), 1 + (30 * 2 - 10 * 4) / 40).tolist()
    assert state is None


def test_the_server_rate_scales_the_step(tmp_path):
    updates = {"a": update(tmp_path, 2.0)}
    model, _ = run(tmp_path, Strategy(server_rate=0.25), updates, {"a": 10})
    assert model["b"].tolist() == [1.5, 1.5]


def test_fedprox_sums_as_fedavg(tmp_path):
    updates = {"a": update(tmp_path, 2.0), "b": update(tmp_path, -4.0)}
    weights = {"a": 30, "b": 10}
    model = save(tmp_path, filled(1.0))
    made = [
        aggregate(Strategy(name), model, None, updates, weights, roster_size=5, out=tmp_path)
        for name in ("fedavg", "fedprox")
    ]
    assert made[0] == made[1]


def test_scaffold_weighs_the_step_and_never_the_control(tmp_path):
    updates = {"a": update(tmp_path, 2.0, 1.0), "b": update(tmp_path, -4.0, 4.0)}
    state = save(tmp_path, tensors.add_prefix("c", filled(0.5)))
    model, c = run(tmp_path, Strategy("scaffold"), updates, {"a": 30, "b": 10}, state=state)
    assert model["b"].tolist() == [1.5, 1.5]
    assert c["c/b"].tolist() == [1.5, 1.5]  # 0.5 + (2/5) × (1 + 4)/2


def test_scaffold_starts_from_a_control_of_zero(tmp_path):
    updates = {"a": update(tmp_path, 0.0, 5.0)}
    _, c = run(tmp_path, Strategy("scaffold"), updates, {"a": 10})
    assert list(c) == ["c/b", "c/w"]
    assert c["c/w"].tolist() == np.ones((3, 2)).tolist()


def test_a_state_of_another_model_is_corrupt(tmp_path):
    state = save(tmp_path, {"c/b": np.zeros(2, np.float32)})
    with pytest.raises(Corrupt):
        run(
            tmp_path,
            Strategy("scaffold"),
            {"a": update(tmp_path, 0.0, 0.0)},
            {"a": 1},
            state=state,
        )


def test_the_order_in_which_updates_came_does_not_matter(tmp_path):
    rng = np.random.default_rng(1)
    sites = [f"site-{i}" for i in range(7)]
    updates = {
        site: save(tmp_path, {"y/v": rng.normal(size=999).astype(np.float32)}) for site in sites
    }
    weights = {site: 10 * (i + 1) for i, site in enumerate(sites)}
    model = save(tmp_path, {"v": rng.normal(size=999).astype(np.float32)})
    made = {
        aggregate(Strategy(), model, None, dict(order), weights, roster_size=7, out=tmp_path)
        for order in (updates.items(), reversed(updates.items()))
    }
    assert len(made) == 1


@given(
    deltas=st.lists(
        st.tuples(st.floats(-100, 100, width=32), st.integers(1, 1 << 20)),
        min_size=1,
        max_size=8,
    ),
    x=st.floats(-100, 100, width=32),
)
def test_the_sum_is_the_exact_mean_rounded_once(deltas, x):
    from fractions import Fraction

    dy = [np.array([delta], np.float32) for delta, _ in deltas]
    made = server_rule(Strategy()).model(
        np.array([x], np.float32), iter(dy), [n for _, n in deltas]
    )
    exact = Fraction(x) + sum(Fraction(d) * n for d, n in deltas) / sum(n for _, n in deltas)
    assert abs(Fraction(float(made[0])) - exact) <= 1e-12


def test_a_model_of_many_chunks_is_summed_as_a_whole(tmp_path):
    rng = np.random.default_rng(2)
    x, a, b = (rng.normal(size=700_001).astype(np.float32) for _ in range(3))
    made, _ = run(
        tmp_path,
        Strategy(),
        {"a": save(tmp_path, {"y/v": a}), "b": save(tmp_path, {"y/v": b})},
        {"a": 10, "b": 30},
        model=save(tmp_path, {"v": x}),
    )
    expected = (x + (10.0 * a.astype(np.float64) + 30.0 * b.astype(np.float64)) / 40).astype(
        np.float32
    )
    assert np.array_equal(made["v"], expected)


def test_memory_does_not_grow_with_sites_and_model(tmp_path):
    def peak(sites: int, size: int) -> int:
        content = np.ones(size, np.float32)
        path = save(tmp_path, {"y/v": content, "c/v": content})
        model = save(tmp_path, {"v": content})
        state = save(tmp_path, {"c/v": content})
        names = [f"site-{i}" for i in range(sites)]
        tracemalloc.start()
        aggregate(
            Strategy("scaffold"),
            model,
            state,
            dict.fromkeys(names, path),
            dict.fromkeys(names, 10),
            roster_size=sites,
            out=tmp_path,
        )
        return tracemalloc.get_traced_memory()[1]

    try:
        assert peak(2, 1 << 19) < 16 << 20
        assert peak(20, 1 << 21) < 16 << 20
    finally:
        tracemalloc.stop()


def test_a_sum_that_is_not_finite_is_no_candidate(tmp_path):
    model = save(tmp_path, filled(3e38))
    with pytest.raises(Refused) as caught:
        run(tmp_path, Strategy(), {"a": update(tmp_path, 3e38)}, {"a": 1}, model=model)
    assert caught.value.rule == "not-finite"
    assert list((tmp_path / "models").iterdir()) == []


@contextmanager
def file_size_limit(size_bytes: int):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_leaves_no_candidate(tmp_path):
    updates = {"a": update(tmp_path, 1.0)}
    model = save(tmp_path, filled(1.0))
    with file_size_limit(100), pytest.raises(Unavailable):
        run(tmp_path, Strategy(), updates, {"a": 1}, model=model)
    assert list((tmp_path / "models").iterdir()) == []


def test_weights_are_declared_patients_or_equal():
    assert weight("declared", 130) == 130
    assert weight("declared", 0) == 1
    assert weight("equal", 130) == 1


def test_an_unknown_strategy_is_refused_by_name():
    with pytest.raises(Refused, match="fedavg, fedprox, scaffold"):
        server_rule(Strategy("fedmagic"))


def test_only_scaffold_has_a_state():
    assert initial_state(Strategy(), filled(1.0)) is None
    state = initial_state(Strategy("scaffold"), filled(1.0))
    assert {name: array.tolist() for name, array in state.items()} == {
        "c/b": [0.0, 0.0],
        "c/w": np.zeros((3, 2)).tolist(),
    }


def refused(path, strategy="fedavg", **limits) -> str:
    with pytest.raises(Refused) as caught:
        check_update(path, SHAPES, strategy=Strategy(strategy), **limits)
    return caught.value.rule


def test_a_good_update_passes(tmp_path):
    check_update(update(tmp_path, 1.0), SHAPES, strategy=Strategy())
    check_update(update(tmp_path, 1.0, 1.0), SHAPES, strategy=Strategy("scaffold"))


@pytest.mark.parametrize(
    "change",
    [
        {"y/w": None},
        {"y/b": np.zeros(3, np.float32)},
        {"y/w": np.zeros((2, 3), np.float32)},
        {"y/more": np.zeros(1, np.float32)},
        {"c/b": np.zeros(2, np.float32)},
        {"b": np.zeros(2, np.float32)},
    ],
    ids=["missing", "longer", "turned", "more", "a control", "no prefix"],
)
def test_an_update_of_another_shape_is_refused(tmp_path, change):
    content = tensors.add_prefix("y", filled(1.0)) | change
    path = save(tmp_path, {name: array for name, array in content.items() if array is not None})
    assert refused(path) == "wrong-shape"


def test_an_update_without_its_control_is_refused_under_scaffold(tmp_path):
    assert refused(update(tmp_path, 1.0), "scaffold") == "wrong-shape"


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["y/w", "c/b"])
def test_a_number_that_is_not_finite_is_refused(tmp_path, value, name):
    content = tensors.add_prefix("y", filled(1.0)) | tensors.add_prefix("c", filled(1.0))
    content[name].reshape(-1)[-1] = value
    assert refused(save(tmp_path, content), "scaffold") == "not-finite"


def test_opposite_infinities_are_refused(tmp_path):
    content = tensors.add_prefix("y", filled(1.0))
    content["y/b"][:] = np.inf, -np.inf
    assert refused(save(tmp_path, content)) == "not-finite"


def test_the_largest_finite_numbers_are_finite(tmp_path):
    check_update(update(tmp_path, 3e38), SHAPES, strategy=Strategy())


def test_an_update_that_is_too_long_is_refused_in_either_part(tmp_path):
    path = update(tmp_path, 1.0, 2.0)  # norms √8 and 2√8
    assert refused(path, "scaffold", norm_limits={"y": 2.8}) == "norm"
    assert refused(path, "scaffold", norm_limits={"c": 5.6}) == "norm"
    check_update(
        path, SHAPES, strategy=Strategy("scaffold"), norm_limits={"y": 2.83, "c": 5.66}
    )


def test_a_file_that_is_no_tensors_is_a_fault_of_the_peer(tmp_path):
    path = tmp_path / "update"
    path.write_bytes(b"no tensors at all")
    with pytest.raises(PeerFault):
        check_update(path, SHAPES, strategy=Strategy())


def agreement(strategy="fedavg", *, privacy=True, momentum=0.0, name="sgd"):
    return SimpleNamespace(
        privacy=SimpleNamespace(clip=1.5) if privacy else None,
        sigma=1.25,
        round=SimpleNamespace(local=SimpleNamespace(steps=20)),
        optimizer=SimpleNamespace(rate=0.1, momentum=momentum, name=name),
        strategy=SimpleNamespace(name=strategy),
    )


def honest(rng, *, patients, batch, size, drift):
    """One round of DP-SGD whose every clipped gradient points the same way; Δy and mean g̃."""
    clip, sigma, rate, steps = 1.5, 1.25, 0.1, 20
    way = np.zeros(size)
    way[0] = 1.0
    y, total = np.zeros(size), np.zeros(size)
    for _ in range(steps):
        drawn = rng.binomial(patients, batch / patients)
        g = (drawn * clip * way + rng.normal(0, sigma * clip, size)) / batch
        total += g
        y -= rate * (g + drift)
    return y, total / steps


@pytest.mark.parametrize(("batch", "size"), [(0.5, 4), (5, 31), (5, 100_000), (100, 1000)])
@pytest.mark.parametrize("seed", range(3))
def test_honest_updates_stay_under_the_norm_limits(batch, size, seed):
    rng = np.random.default_rng(seed)
    limits = norm_limits(agreement("scaffold"), expected_batch=batch, parameters=size)
    plain = norm_limits(agreement(), expected_batch=batch, parameters=size)
    terms = {"patients": int(20 * batch), "batch": batch, "size": size}
    dy, c_i = honest(rng, **terms, drift=np.zeros(size))
    assert np.linalg.norm(dy) < plain["y"]
    dy, fresh = honest(rng, **terms, drift=-2 * c_i)  # c opposite to c_i
    assert np.linalg.norm(dy) < limits["y"]
    assert np.linalg.norm(fresh + c_i) < limits["c"]


def test_an_update_ten_times_as_long_as_honest_ones_is_over_the_limit():
    limits = norm_limits(agreement(), expected_batch=100, parameters=1000)
    dy, _ = honest(
        np.random.default_rng(0), patients=2000, batch=100, size=1000, drift=np.zeros(1000)
    )
    assert np.linalg.norm(10 * dy) > limits["y"]


def test_momentum_makes_steps_longer():
    plain = norm_limits(agreement(), expected_batch=10, parameters=10)
    moved = norm_limits(agreement(momentum=0.9), expected_batch=10, parameters=10)
    assert moved["y"] == pytest.approx(10 * plain["y"])


def test_without_privacy_nothing_bounds_an_update():
    assert norm_limits(agreement(privacy=False), expected_batch=10, parameters=10) == {}
    assert norm_limits(agreement(name="adam"), expected_batch=10, parameters=10) == {}
