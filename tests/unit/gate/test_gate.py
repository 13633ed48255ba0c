"""The quality gate: which candidates pass."""

from __future__ import annotations

import json
from dataclasses import dataclass
from types import SimpleNamespace

import pytest

from coordinator.gate import judge
from coordinator.store.quality import Summed
from governance.agreement.schema import Agreement
from governance.figures import Figures


@dataclass(frozen=True)
class Gate:
    metric: str = "accuracy"
    not_worse_than: float = 0.1


def right(correct: int, of: int = 10) -> Figures:
    """Figures of a model that is right on so many of so many patients."""
    return Figures(
        "binary",
        correct=correct,
        count=of,
        positives=(of,) + (0,) * 49,
        log_loss_sum=float(of - correct),
        squared_error_sum=float(of - correct),
    )


def test_a_candidate_worse_by_more_than_allowed_is_refused():
    verdict = judge({"a": right(7)}, {"a": right(9)}, Gate())
    assert (verdict.accepted, verdict.rule) == (False, "worse")
    assert (verdict.candidate, verdict.current) == (0.7, 0.9)


def test_a_candidate_worse_by_just_what_is_allowed_passes():
    assert judge({"a": right(3, 4)}, {"a": right(4, 4)}, Gate(not_worse_than=0.25)).accepted


def test_a_better_candidate_passes():
    verdict = judge({"a": right(9)}, {"a": right(7)}, Gate())
    assert (verdict.accepted, verdict.rule) == (True, "not-worse")


@pytest.mark.parametrize("metric", ["log-loss", "brier"])
def test_where_less_is_better_more_is_worse(metric):
    gate = Gate(metric)
    assert not judge({"a": right(7)}, {"a": right(9)}, gate).accepted
    assert judge({"a": right(9)}, {"a": right(7)}, gate).accepted


def test_rmse_is_better_when_less():
    small, large = (Figures("real", squared_error_sum=total, count=1) for total in (1.0, 9.0))
    assert not judge({"a": large}, {"a": small}, Gate("rmse")).accepted
    assert judge({"a": small}, {"a": large}, Gate("rmse")).accepted


def test_sites_are_pooled_by_their_patients_and_not_averaged():
    verdict = judge({"a": right(1, 1), "b": right(0, 9)}, None, Gate())
    assert verdict.candidate == 0.1


def test_only_sites_that_said_figures_of_both_are_compared():
    # c's absence would look like a gain of the candidate, d's coming like a loss.
    candidate = {"a": right(9), "b": right(9), "d": right(0)}
    current = {"a": right(9), "b": right(9), "c": right(0)}
    verdict = judge(candidate, current, Gate())
    assert (verdict.candidate, verdict.current) == (0.9, 0.9)


def test_a_site_that_withholds_one_of_both_is_not_compared():
    withheld = Figures("binary", withheld="under-minimum")
    verdict = judge({"a": right(9), "b": right(0)}, {"a": right(9), "b": withheld}, Gate())
    assert verdict.candidate == 0.9


def test_sums_under_masks_are_compared_where_they_are_of_the_same_hospitals_alone():
    two, three = Summed(("amc", "kul"), right(9)), Summed(("amc", "kul", "ucl"), right(2))
    again = Summed(("amc", "kul"), right(2))
    assert judge({again.name: again.figures}, {two.name: two.figures}, Gate()).rule == "worse"
    other = judge({three.name: three.figures}, {two.name: two.figures}, Gate())
    assert (other.accepted, other.rule, other.current) == (True, "first-figures", None)


def test_the_first_figures_pass():
    assert judge({"a": right(2)}, None, Gate()).rule == "first-figures"
    assert judge({"a": right(2)}, {}, Gate()).rule == "first-figures"
    assert judge({"a": right(2)}, {"b": right(9)}, Gate()).accepted


@pytest.mark.parametrize("said", [{}, {"a": Figures("binary", withheld="under-minimum")}])
def test_without_figures_a_candidate_passes(said):
    verdict = judge(said, {"a": right(9)}, Gate())
    assert (verdict.accepted, verdict.rule) == (True, "no-figures")


def test_without_a_gate_a_candidate_passes():
    assert judge({"a": right(0)}, {"a": right(9)}, None).rule == "no-gate"


@pytest.mark.parametrize("gate", [Gate(), None])
def test_scores_that_are_no_numbers_are_refused_with_a_gate_or_without(gate):
    said = {"a": right(9), "b": Figures("binary", withheld="not-finite")}
    verdict = judge(said, None, gate)
    assert (verdict.accepted, verdict.rule) == (False, "scores-not-finite")


def test_a_pooled_value_can_stand_for_the_current_model():
    assert not judge({"a": right(7)}, 0.9, Gate()).accepted
    assert judge({"a": right(8)}, 0.85, Gate()).accepted


def test_what_a_verdict_rests_on_is_told_with_decimals_as_text():
    told = json.loads(judge({"a": right(7)}, {"a": right(9)}, Gate()).told())
    assert told == {
        "candidate": "0.7",
        "current": "0.9",
        "metric": "accuracy",
        "not_worse_than": "0.1",
        "rule": "worse",
    }


@pytest.mark.parametrize(("round_", "due"), [(1, False), (9, False), (10, True), (20, True)])
def test_figures_are_due_every_so_many_rounds(round_, due):
    metrics = SimpleNamespace(exact=SimpleNamespace(every=10), noised=None)
    agreement = SimpleNamespace(privacy=SimpleNamespace(metrics=metrics))
    assert Agreement.figures_due(agreement, round_) is due


def test_figures_are_due_in_each_round_without_privacy():
    assert Agreement.figures_due(SimpleNamespace(privacy=None), 7)
