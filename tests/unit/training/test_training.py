"""A task's update: what it holds, what it does not depend on, and what it refuses."""

from __future__ import annotations

import hmac

import numpy as np
import pytest

from governance import files, tensors
from governance.privacy import releases
from protos.errors import PeerFault, Refused
from site_agent.jobs import TrainJob
from site_agent.training import keystream, read_model, terms_of, train

DIVERGING = {"name": "fedprox", "mu": 1e9}
PLAIN = {"privacy": "off", "round__local": {"steps": 6, "batch": 16}}


def run(job, progress=lambda _: None):
    return train(job, progress)


def update_of(job):
    return {name: np.array(v) for name, v in tensors.load(run(job).update).items()}


def test_update_is_the_difference_named_by_its_digest(hospital):
    done = []
    made = run((h := hospital()).job(), done.append)
    assert made.update == h.folder / "out" / f"{made.digest}.safetensors"
    assert files.digest_of(made.update).digest == made.digest
    assert made.size == made.update.stat().st_size
    assert set(tensors.load(made.update)) == {"y/linear.weight", "y/linear.bias"}
    assert made.steps == 5
    assert done == [0, 1, 2, 3, 4, 5]
    assert made.control is None


def test_fixed_noise_seed_gives_the_same_bytes_and_another_does_not(hospital):
    h = hospital()
    assert run(h.job()).digest == run(h.job()).digest
    assert run(h.job(noise_seed=8)).digest != run(h.job()).digest


def test_without_a_seed_the_noise_is_new_each_time(hospital):
    h = hospital()
    assert run(h.job(noise_seed=None)).digest != run(h.job(noise_seed=None)).digest


def test_order_of_the_file_does_not_matter(hospital):
    h = hospital()
    before = run(h.job()).digest
    header, *rows = h.csv.read_text().splitlines()
    kept = [row for row in rows if row.split(",")[0] != "P1"]
    h.csv.write_text("\n".join([header, *[r for r in rows if r not in kept], *kept]) + "\n")
    assert run(h.job()).digest == before


def test_held_out_patients_do_not_train(hospital):
    h = hospital()
    before = run(h.job()).digest
    header, *rows = h.csv.read_text().splitlines()
    mixed = []
    for row in rows:
        patient, u, v, ill = row.split(",")
        mac = hmac.digest(bytes(range(32)), patient.encode(), "sha256")
        held_out = int.from_bytes(mac, "big") < 2**254  # a quarter
        mixed.append(f"{patient},{-float(u)},{v},{ill}" if held_out else row)
    assert mixed != rows
    h.csv.write_text("\n".join([header, *mixed]) + "\n")
    assert run(h.job()).digest == before


def test_patients_who_opted_out_do_not_train(hospital):
    h = hospital()
    gone = {"P1", "P2", "P3"}
    without = run(h.job(cohort=h.spec(opt_outs=gone))).digest
    assert without != run(h.job()).digest
    header, *rows = h.csv.read_text().splitlines()
    kept = [row for row in rows if row.split(",")[0] not in gone]
    h.csv.write_text("\n".join([header, *kept]) + "\n")
    assert run(h.job()).digest == without


def test_divisor_comes_from_the_declared_patients_alone(hospital):
    h = hospital()
    assert terms_of(h.agreement, 180).mechanism.divisor == 45.0
    small, large = (
        update_of(h.job(declared_patients=n))["y/linear.bias"] for n in (100, 100_000)
    )
    assert abs(large).max() < abs(small).max() / 100


def test_epsilon_is_the_same_whatever_the_strategy(hospital):
    scaffold = hospital("s", strategy={"name": "scaffold"}).agreement
    prox = hospital("p", strategy={"name": "fedprox", "mu": 0.5}).agreement
    plain = hospital("f").agreement
    expected = releases.Release(0.25, 1.0, 5)
    assert [releases.of_a_round(a) for a in (plain, prox, scaffold)] == [expected] * 3
    assert releases.of_a_round(hospital("o", **PLAIN).agreement).noise_multiplier == 0


def test_fedprox_differs_from_fedavg_by_its_correction_alone(hospital):
    plain = update_of(hospital("f").job())
    still = update_of(hospital("z", strategy={"name": "fedprox", "mu": 0.0}).job())
    pulled = update_of(hospital("p", strategy={"name": "fedprox", "mu": 1.0}).job())
    assert all((plain[name] == still[name]).all() for name in plain)
    assert any((plain[name] != pulled[name]).any() for name in plain)


def test_scaffold_sends_both_differences_and_keeps_its_new_control(hospital):
    h = hospital(strategy={"name": "scaffold"})
    made = run(h.job())
    update, kept = tensors.load(made.update), tensors.load(made.control)
    rate, steps = h.agreement.optimizer.rate, made.steps
    for name in ("linear.weight", "linear.bias"):
        expected = -update[f"y/{name}"] / (rate * steps)  # c_i = c = 0 at the start
        assert kept[f"c/{name}"] == pytest.approx(expected, abs=1e-6)
        assert (update[f"c/{name}"] == kept[f"c/{name}"]).all()


def test_scaffolds_second_round_starts_from_what_it_kept(hospital):
    h = hospital(strategy={"name": "scaffold"})
    first = run(h.job())
    state = h.write_model({k: v / 2 for k, v in tensors.load(first.control).items()})
    second = run(h.job(control=first.control, state=state))
    update, kept = tensors.load(second.update), tensors.load(second.control)
    before, c = tensors.load(first.control), tensors.load(state)
    for name in ("linear.weight", "linear.bias"):
        moved = -update[f"y/{name}"] / (h.agreement.optimizer.rate * second.steps)
        expected = before[f"c/{name}"] - c[f"c/{name}"] + moved
        assert kept[f"c/{name}"] == pytest.approx(expected, abs=1e-6)
        change = kept[f"c/{name}"] - before[f"c/{name}"]
        assert update[f"c/{name}"] == pytest.approx(change, abs=1e-6)


def test_mlp_with_group_norm_trains(hospital):
    h = hospital(model={"name": "mlp", "hidden": [8], "norm": "group", "seed": 3})
    update = update_of(h.job())
    assert all(np.isfinite(v).all() and (v != 0).any() for v in update.values())


def test_private_training_learns(hospital):
    h = hospital(round__local={"steps": 60, "sampling_rate": 0.25})
    weights = update_of(h.job())["y/linear.weight"][0]
    assert weights[0] > 0.5
    assert weights[1] < -0.5


@pytest.mark.parametrize("local", [{"steps": 30, "batch": 16}, {"epochs": 3, "batch": 16}])
def test_without_privacy_plain_batches_train(hospital, local):
    h = hospital(privacy="off", round__local=local)
    made = run(h.job())
    weights = tensors.load(made.update)["y/linear.weight"][0]
    assert weights[0] > 0.3 > -0.3 > weights[1]
    assert made.steps == 30
    assert run(h.job()).digest == made.digest


def test_epochs_count_the_last_batch_too(hospital):
    h = hospital(privacy="off", round__local={"epochs": 2, "batch": 10_000})
    assert run(h.job()).steps == 2


def test_adam_and_momentum_train(hospital):
    for name, optimizer in [
        ("adam", {"name": "adam", "rate": 0.05}),
        ("momentum", {"name": "sgd", "rate": 0.1, "momentum": 0.9}),
    ]:
        assert run(hospital(name, optimizer=optimizer).job()).steps == 5


def test_real_target_trains_in_units_of_its_reference(hospital):
    target = {"name": "ill", "kind": "real", "range": [0, 200], "unit": "mmHg"}
    target["reference"] = {"mean": 100, "std": 14}
    h = hospital(data__target=target, round__local={"steps": 60, "sampling_rate": 0.25})
    weights = update_of(h.job())["y/linear.weight"][0]
    assert weights[0] == pytest.approx(10 / 14, abs=0.25)


def test_result_that_is_not_finite_is_refused_and_nothing_is_written(hospital):
    h = hospital(privacy="off", round__local={"steps": 200, "batch": 16}, strategy=DIVERGING)
    with pytest.raises(Refused) as error:
        run(h.job())
    assert error.value.rule == "not-finite"
    assert not (h.folder / "out").exists()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_model_that_is_not_finite_is_the_peers_fault(hospital, value):
    h = hospital()
    broken = h.write_model(
        {
            "linear.weight": np.full((1, 2), value, np.float32),
            "linear.bias": np.zeros(1, np.float32),
        }
    )
    with pytest.raises(PeerFault) as error:
        run(h.job(model=broken))
    assert error.value.rule == "not-finite"


@pytest.mark.parametrize(
    "state",
    [
        {"linear.weight": np.zeros((1, 3), np.float32), "linear.bias": np.zeros(1, np.float32)},
        {"linear.weight": np.zeros((1, 2), np.float32)},
        {"other": np.zeros((1, 2), np.float32)},
    ],
)
def test_model_of_another_shape_is_the_peers_fault(hospital, state):
    h = hospital()
    with pytest.raises(PeerFault) as error:
        run(h.job(model=h.write_model(state)))
    assert error.value.rule == "model-shape"


def test_cohort_that_breaks_the_contract_does_not_train(hospital):
    h = hospital(data__minimum_patients=5000)
    with pytest.raises(Refused) as error:
        run(h.job())
    assert error.value.rule == "data-contract"


def test_job_crosses_the_pipe_as_it_is(hospital):
    job = hospital().job(state=None)
    assert TrainJob.from_json(job.to_json()) == job


def test_keystreams_without_a_seed_differ_and_with_one_do_not():
    assert (keystream(3).uniform(4) == keystream(3).uniform(4)).all()
    assert not (keystream(None).uniform(4) == keystream(None).uniform(4)).any()


def test_parameters_are_read_as_they_were_written(hospital):
    h = hospital(model={"name": "mlp", "hidden": [8], "seed": 3})
    state = read_model(h.model, h.agreement)
    assert list(state) == ["hidden1.weight", "hidden1.bias", "output.weight", "output.bias"]
