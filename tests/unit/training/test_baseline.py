"""Naive, alone, federated and central side by side, in a rehearsal and nowhere else."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from governance import tensors
from protos.errors import Refused
from site_agent.baseline import Judged, drift, pool, train_alone, train_central
from site_agent.data.cohort import PatientSet
from site_agent.ready import ready
from site_agent.rehearsal_figures import baselines
from site_agent.training import train

GOOD = {
    "linear.weight": np.array([[2.0, -2.0]], np.float32),
    "linear.bias": np.zeros(1, np.float32),
}


@pytest.fixture
def three(hospital, tmp_path):
    made = [
        hospital(name, patients=n, seed=n)
        for name, n in zip("abc", (60, 120, 240), strict=True)
    ]
    paths = [h.write_site(f"site-{h.folder.name}") for h in made]
    model = made[0].write_model(GOOD)
    return made, (made[0].folder / "agreement.json", paths, model, tmp_path / "out.json")


def test_rehearsal_compares_four_ways_for_each_hospital_and_pooled(three):
    made, files = three
    found = baselines(*files, seed=1)
    assert json.loads(files[-1].read_text()) == found
    assert set(found["sites"]) == {"site-a", "site-b", "site-c"}
    for h, said in zip(made, found["sites"].values(), strict=True):
        cohort = ready(h.spec(), h.document)
        assert said["patients"] == cohort.patients
        assert said["held_out"]["patients"] == cohort.held_out.patients
        assert said["naive"]["auc"] == 0.5
        assert said["federated"]["auc"] > 0.9
        assert set(said["alone_on_all"]) == {"auc", "accuracy"}
    pooled = found["pooled"]
    assert pooled["patients"] == 420
    assert pooled["central"]["auc"] > 0.5
    assert pooled["naive"]["accuracy"] < pooled["federated"]["accuracy"]
    assert 0 < pooled["alone_mean"]["auc"] <= 1


@pytest.mark.parametrize(("ill", "well"), [(9, 1), (4, 30), (30, 4), (0, 9)])
def test_an_area_against_fewer_than_five_patients_is_not_computed(ill, well):
    labels = np.repeat([1.0, 0.0], [ill, well])
    judged = Judged(np.linspace(1, 0, ill + well), labels)
    assert judged.metrics("binary")["auc"] is None
    assert judged.metrics("binary")["accuracy"] is not None


def test_five_patients_of_each_class_make_an_area():
    judged = Judged(np.linspace(1, 0, 10), np.repeat([1.0, 0.0], 5))
    assert judged.metrics("binary")["auc"] == 1.0


def test_fixed_seed_gives_the_same_comparison_twice(three):
    _, files = three
    assert baselines(*files, seed=1) == baselines(*files, seed=1)
    assert baselines(*files, seed=1) != baselines(*files, seed=2)


def test_hospital_that_is_no_rehearsal_is_refused(three):
    _, (document, paths, model, out) = three
    text = paths[1].read_text().replace("rehearsal: true", "rehearsal: false")
    paths[1].write_text(text)
    with pytest.raises(Refused) as error:
        baselines(document, paths, model, out)
    assert error.value.rule == "rehearsal-only"
    assert "site-b" in str(error.value)
    assert not out.exists()


def test_alone_and_central_take_all_the_schedules_steps(hospital, monkeypatch):
    from site_agent import training

    counted = []
    fit = training.fit
    monkeypatch.setattr(training, "fit", lambda *a: counted.append(fit(*a)) or counted[-1])
    h = hospital()
    cohort = ready(h.spec(), h.document)
    train_alone(h.document, cohort, declared_patients=200, noise_seed=1)
    train_central(h.document, [cohort, cohort], declared_patients=400, noise_seed=1)
    assert counted == [20, 20]


def test_pooling_keeps_patients_apart():
    one = PatientSet(
        np.ones((3, 1), np.float32), np.zeros(3, np.float32), np.array([0, 0, 1]), 2
    )
    pooled = pool([one, one])
    assert pooled.patients == 4
    assert pooled.patient.tolist() == [0, 0, 1, 2, 2, 3]


def test_real_target_is_compared_by_its_error(hospital, tmp_path):
    target = {"name": "ill", "kind": "real", "range": [0, 200], "unit": "mmHg"}
    target["reference"] = {"mean": 100, "std": 14}
    h = hospital(data__target=target)
    model = h.write_model({**GOOD, "linear.weight": GOOD["linear.weight"] / 2 * 10 / 14})
    site = h.write_site("site-a")
    found = baselines(h.folder / "agreement.json", [site], model, tmp_path / "out.json")
    said = found["sites"]["site-a"]
    assert said["federated"]["rmse"] < 3 < said["naive"]["rmse"]
    assert "positives" not in said["held_out"]


def test_drift_is_the_length_of_the_first_rounds_update(hospital):
    h = hospital()
    cohort = ready(h.spec(), h.document)
    update = tensors.load(train(h.job(), lambda _: None).update)
    length = np.sqrt(sum((np.asarray(v, np.float64) ** 2).sum() for v in update.values()))
    found = drift(h.document, cohort, declared_patients=200, noise_seed=h.job().noise_seed)
    assert found == pytest.approx(length, rel=1e-6)


def test_a_pull_towards_the_global_model_shortens_the_drift(hospital):
    found = []
    for mu in (0, 0.1, 1):
        h = hospital(f"mu-{mu}", strategy={"name": "fedprox", "mu": mu})
        cohort = ready(h.spec(), h.document)
        found.append(drift(h.document, cohort, declared_patients=200, noise_seed=1))
    assert found[0] > found[1] > found[2]


def test_drift_of_all_is_the_root_mean_square(three):
    _, files = three
    found = baselines(*files, seed=1)
    each = [said["drift"] for said in found["sites"].values()]
    assert found["pooled"]["drift"] == pytest.approx(
        np.sqrt(np.mean(np.square(each))), rel=1e-5
    )


def test_comparison_takes_no_more_threads_than_the_sites_files_say(three):
    _, files = three
    for path in files[1]:
        path.write_text(path.read_text() + "resources: {threads: 1}\n")
    torch.set_num_threads(2)
    baselines(*files, seed=1)
    assert torch.get_num_threads() == 1
