"""What a worker says for normalisation: the patients who train, noised, each of them once."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from governance import normalisation
from protos.errors import Refused
from site_agent import training
from site_agent.evaluation import evaluate
from site_agent.jobs import MeasureJob
from site_agent.measurement import measure
from site_agent.ready import ready

TERMS = {
    "data__statistics": "federated",
    "privacy__statistics": {"epsilon": 99.0},
    "schedule__rounds": 1,
}


@pytest.fixture
def stated(hospital, monkeypatch):
    """Return a hospital of federated statistics, and a way to draw other noise than its own."""
    h = hospital(patients=2000, **TERMS)

    class Drawn:
        def __init__(self, scale):
            self._scale = scale

        def gaussian(self, count):
            return self._scale * np.random.default_rng(3).standard_normal(count)

    def noise(scale):
        monkeypatch.setattr("site_agent.measurement.keystream", lambda _: Drawn(scale))

    return h, noise


def job(h, **changes):
    made = MeasureJob(h.folder / "agreement.json", h.spec(), threads=1, noise_seed=5)
    return dataclasses.replace(made, **changes)


def said(h, **changes):
    return normalisation.from_json(measure(job(h, **changes)).text, h.agreement)


@pytest.mark.slow
def test_without_noise_they_would_be_the_pooled_mean_and_deviation_of_who_trains(stated):
    h, noise = stated
    noise(0.0)
    found = normalisation.combined([said(h)], h.agreement)
    train = ready(h.spec(), h.document).train  # references are 0 and 1: the values themselves
    for place, name in enumerate(("u", "v")):
        of_patients = np.bincount(train.patient, weights=train.features[:, place])
        of_patients /= np.bincount(train.patient)
        assert float(found[name].mean) == pytest.approx(of_patients.mean(), abs=1e-3)
        squares = np.bincount(train.patient, weights=train.features[:, place] ** 2.0)
        squares /= np.bincount(train.patient)
        deviation = np.sqrt(squares.mean() - of_patients.mean() ** 2)
        assert float(found[name].std) == pytest.approx(deviation, abs=1e-3)


def test_held_out_patients_are_no_part_of_them(stated):
    h, noise = stated
    noise(0.0)
    assert said(h).values[0] == normalisation.GRID * ready(h.spec(), h.document).train.patients


def test_a_missing_value_counts_as_what_the_agreement_says(stated):
    h, noise = stated
    noise(0.0)
    lines = h.csv.read_text().splitlines()
    emptied = [",".join([*line.split(",")[:1], "", *line.split(",")[2:]]) for line in lines]
    some = [
        lines[0],
        *(e if n % 20 == 0 else o for n, (e, o) in enumerate(zip(emptied, lines, strict=True))),
    ]
    h.csv.write_text("\n".join(some[:1] + some[2:]) + "\n")
    found = normalisation.combined([said(h)], h.agreement)
    train = ready(h.spec(), h.document).train
    of_patients = np.bincount(train.patient, weights=train.features[:, 0])
    expected = (of_patients / np.bincount(train.patient)).mean()
    assert float(found["u"].mean) == pytest.approx(expected, abs=1e-3)


def test_noise_is_drawn_anew_each_time_from_the_operating_system(stated):
    h, _ = stated
    first, again = (said(h, noise_seed=None).values for _ in range(2))
    assert first != again
    assert said(h).values == said(h).values  # by the Unsafe seed


def test_a_cohort_that_breaks_the_contract_says_nothing(stated):
    h, _ = stated
    h.csv.write_text(h.csv.read_text().replace("ILL", "WELL"))
    with pytest.raises(Refused):
        measure(job(h))


def test_training_and_evaluation_go_by_the_scales_and_not_by_the_references(hospital):
    h = hospital(patients=400, **TERMS)
    scales = {
        name: normalisation.Scale("-9", "9", mean, std).to_json()
        for name, mean, std in (("u", "1", "2"), ("v", "-1", "0.5"))
    }
    plain, scaled = h.job(noise_seed=7), h.job(noise_seed=7, scales=scales)
    by = scaled.normalised(h.agreement)
    one, other = ready(h.spec(), h.document).train, ready(h.spec(), h.document, by=by).train
    assert other.features[:, 0] == pytest.approx((one.features[:, 0] - 1) / 2, abs=1e-6)
    assert other.features[:, 1] == pytest.approx((one.features[:, 1] + 1) / 0.5, abs=1e-6)
    digests = {training.train(each, lambda _: None).digest for each in (plain, scaled)}
    assert len(digests) == 2
    model = h.write_model(
        {
            "linear.weight": np.array([[2.0, -1.0]], np.float32),
            "linear.bias": np.zeros(1, np.float32),
        }
    )
    judged = [
        evaluate(dataclasses.replace(h.evaluation(model), scales=each)).figures
        for each in (None, scales)
    ]
    assert judged[0] != judged[1]
