"""Federated statistics in an agreement: priced, said, and refused where they cannot be."""

from __future__ import annotations

import pytest

from governance.agreement.load import load
from governance.agreement.plan import plan
from governance.privacy.accountant import epsilon
from governance.privacy.releases import Release
from protos.errors import Refused

FEDERATED = ("statistics: reference ", "statistics: federated ")
EPSILON = ("  local_baseline: false", "  statistics: {epsilon: 0.5}\n  local_baseline: false")


def refusal(file):
    with pytest.raises(Refused) as raised:
        plan(load(file))
    return raised.value


def test_statistics_cost_one_gaussian_release_beside_training_and_are_said(changed):
    document = load(changed(FEDERATED, EPSILON))
    agreement, planned = document.agreement, plan(document)
    sigma = agreement.statistics_sigma
    assert epsilon([Release(1.0, sigma, 1)], 1e-5) <= 0.5
    assert epsilon([Release(1.0, sigma - 0.002, 1)], 1e-5) > 0.5
    training = Release(0.05, 1.25, 20 * 40)
    assert planned.epsilon == epsilon([training, Release(1.0, sigma, 1)], 1e-5)
    said = planned.text().replace("\n    ", " ")
    assert "ε counts the statistics (ε = 0.50 alone), said once" in said
    assert "sums of 3 quantities and of their squares" in said
    assert "no other statistic of the data" in said
    assert "Values are scaled by means and deviations of the hospitals' own patients" in said


def test_an_agreement_on_references_is_as_it_was(changed):
    document = load(changed())
    assert b"statistics" in document.raw
    assert "federated" not in plan(document).text()
    assert document.agreement.statistics_sigma == 0


@pytest.mark.parametrize(
    ("pairs", "said"),
    [
        (
            [FEDERATED],
            "privacy.statistics.epsilon is missing, but data.statistics (line 46) is federated",
        ),
        (
            [EPSILON],
            "privacy.statistics does not belong here: data.statistics (line 46) is reference",
        ),
        (
            [FEDERATED, (EPSILON[0], EPSILON[1].replace("0.5", "0"))],
            "privacy.statistics.epsilon is 0, but must be",
        ),
        (
            [FEDERATED, (EPSILON[0], EPSILON[1].replace("0.5", "-1"))],
            "privacy.statistics.epsilon is -1, but must be",
        ),
        (
            [FEDERATED, (EPSILON[0], EPSILON[1].replace("0.5", "9"))],
            "epsilon is 9, but must be at most privacy.budget.epsilon (line 64) = 8",
        ),
    ],
)
def test_terms_that_contradict_themselves_are_refused_with_their_line(changed, pairs, said):
    with pytest.raises(Refused) as raised:
        load(changed(*pairs))
    assert said in str(raised.value)
    assert "agreement.yaml:" in str(raised.value)


@pytest.mark.parametrize(
    ("pairs", "both"),
    [
        (
            [("secure: false", "secure: true")],
            ("data.statistics (line 46)", "aggregation.secure (line 70)"),
        ),
        (
            [("noise_multiplier: 1.25", "noise_multiplier: 0")],
            ("data.statistics (line 46)", "privacy.noise_multiplier (line 62)"),
        ),
    ],
)
def test_combinations_that_cannot_be_name_both_lines(changed, pairs, both):
    assert " and ".join(both) in str(refusal(changed(FEDERATED, EPSILON, *pairs)))


def test_a_budget_that_does_not_bear_them_says_what_they_cost(changed):
    refused = refusal(changed(FEDERATED, EPSILON, ("epsilon: 8.0", "epsilon: 6.52")))
    assert refused.rule == "budget-too-small"
    assert "with the noised statistics (training 6.51, statistics 0.50)" in str(refused)


def test_noise_that_would_drown_them_is_refused_with_what_would_do(changed):
    terms = (EPSILON[0], EPSILON[1].replace("0.5", "0.05"))
    refused = refusal(changed(FEDERATED, terms))
    assert refused.rule == "gate-below-noise"
    said = str(refused)
    assert "privacy.statistics.epsilon (line 66) gives so much noise" in said
    assert "data.minimum_patients (line 47) = 2000 patients; it may by 1 %" in said


def test_no_noise_for_an_epsilon_is_said_at_its_line(changed):
    terms = (EPSILON[0], EPSILON[1].replace("0.5", "0.0000001"))
    refused = refusal(changed(FEDERATED, terms))
    assert refused.rule == "unfittable-target"
    assert "agreement.yaml:66" in str(refused)


def test_privacy_off_and_statistics_do_not_go_together(changed, agreement_text):
    start = agreement_text.index("privacy:  ")
    end = agreement_text.index("\naggregation:")
    off = (agreement_text[start:end], "privacy: off\n")
    local = ("local: {steps: 20, sampling_rate: 0.05}", "local: {steps: 20, batch: 10}")
    assert "data.statistics (line 46) and privacy" in str(
        refusal(changed(FEDERATED, off, local))
    )
