"""The audit of a training's privacy: it holds as agreed, and finds each loop that is broken."""

from __future__ import annotations

import hashlib
import json
import sys

import numpy as np
import pytest

from governance import terminal
from governance.privacy.mechanisms import Keystream
from protos.errors import Refused
from site_agent import canaries, cli, dpsgd, privacy_audit, training
from site_agent.data.cohort import PatientSet
from site_agent.dpsgd import PatientOptimizer, Patients

ONE_STEP = {
    "round__local": {"steps": 1, "sampling_rate": 1.0},
    "schedule__rounds": 1,
    "privacy__noise_multiplier": 2.0,
}
"""ε = 1.99 in one step of everybody: the sharpest there is to find again."""


def counted(name):
    """Return a maker of keystreams, a new one each time and the same ones each run."""
    made = iter(range(10**6))
    return lambda: Keystream(hashlib.sha256(f"{name}/{next(made)}".encode()).digest())


def found(hospital, *, noise=True, seed="a", **changes):
    """Return the claim and what an audit of an agreement with these changes finds."""
    document = hospital(**changes).document
    claim = privacy_audit.claim_of(document.agreement)
    patients = canaries.invented(document.agreement, 100, training.keystream(3))
    audited = privacy_audit.audited(
        claim,
        patients,
        declared_patients=100,
        noise=noise,
        randomness=counted(seed),
        progress=lambda _: None,
    )
    return claim, audited


@pytest.mark.parametrize("strategy", [{"name": "fedavg"}, {"name": "fedprox", "mu": 0.1}])
@pytest.mark.parametrize("model", [{"name": "linear"}, {"name": "mlp", "hidden": [4]}])
def test_as_agreed_the_bound_is_within_the_claim_and_without_noise_far_above(
    hospital, strategy, model
):
    changes = {"strategy": strategy, "model": {**model, "seed": 1}}
    changes["privacy__noise_multiplier"] = 2.0
    claim, noised = found(hospital, **changes)
    assert 0 < noised.at_least <= claim.epsilon
    _, bare = found(hospital, noise=False, **changes)
    assert bare.at_least > claim.epsilon + 1
    assert bare.guesses.right >= bare.guesses.made - 2  # who is drawn in no step is not found


def test_one_step_of_everybody_is_within_its_claim(hospital):
    claim, noised = found(hospital, **ONE_STEP)
    assert 0.2 < noised.at_least <= claim.epsilon


def test_a_loop_that_does_not_clip_is_refuted(hospital, monkeypatch):
    def unclipped(self):
        for p in self.params:
            p.summed_grad = p.grad_sample.sum(0)

    monkeypatch.setattr(PatientOptimizer, "clip_and_accumulate", unclipped)
    claim, audited = found(hospital, **ONE_STEP)
    assert audited.at_least > claim.epsilon


def test_a_loop_that_bounds_records_and_not_patients_is_refuted(hospital, monkeypatch):
    def every_record(self, rate, randomness):
        return np.flatnonzero(randomness.uniform(len(self.target)) < rate)

    monkeypatch.setattr(Patients, "drawn", every_record)
    claim, audited = found(hospital, **ONE_STEP)
    assert audited.at_least > claim.epsilon


def test_a_loop_whose_noise_is_a_third_is_refuted(hospital, monkeypatch):
    whole = Keystream.gaussian
    monkeypatch.setattr(Keystream, "gaussian", lambda self, count: whole(self, count) / 3)
    claim, audited = found(hospital, **ONE_STEP)
    assert audited.at_least > claim.epsilon


def test_a_loop_that_draws_the_same_noise_for_each_coordinate_is_refuted(hospital, monkeypatch):
    monkeypatch.setattr(Keystream, "gaussian", lambda _, count: np.full(count, 0.7))
    claim, audited = found(hospital, **ONE_STEP)
    assert audited.at_least > claim.epsilon


def test_half_of_the_canaries_are_in_and_the_patients_stay_themselves():
    own = PatientSet(
        np.ones((3, 2), np.float32), np.array([0, 1, 1], np.float32), np.array([0, 0, 1]), 2
    )
    every = canaries._among(own, [1, 4])
    assert every.patients == 4
    assert every.features[:3].tolist() == [[1, 1, 0]] * 3  # the last input: of no canary
    assert every.features[3:, -1].tolist() == [1, 1, 1, 4, 4, 4]
    assert np.unique(every.patient, return_counts=True)[1].tolist() == [2, 1, 3, 3]


def test_a_canarys_clipped_gradient_is_the_clip_in_its_own_coordinate(hospital):
    agreement = hospital().agreement
    terms = training.LocalTerms(
        loss=training.LOSS["binary"],
        optimizer="sgd",
        rate=1.0,
        momentum=0.0,
        mechanism=dpsgd.Mechanism(1.0, 0.5, 0.0, 1.0),
        steps=3,
        epochs=None,
        batch=None,
    )
    patients = canaries.invented(agreement, 20, training.keystream(1))
    rehearsal = canaries.Rehearsal(agreement, patients, terms, rounds=2, canaries=40)
    watched = canaries.train(rehearsal, counted("own"), lambda _: None)
    expected = np.where(watched.inside, 3 * 2 * 0.5, 0.0)
    assert watched.scores == pytest.approx(expected, rel=1e-4)
    assert 5 < watched.inside.sum() < 35


def test_an_agreement_without_noise_claims_nothing_to_audit(hospital):
    agreement = hospital(privacy__noise_multiplier=0.0).agreement
    with pytest.raises(Refused) as refused:
        privacy_audit.claim_of(agreement)
    assert refused.value.rule == "nothing-claimed"


def test_a_claim_that_no_audit_could_exceed_is_refused_and_fewer_rounds_are_named(hospital):
    agreement = hospital(privacy__noise_multiplier=0.4).agreement
    with pytest.raises(Refused) as refused:
        privacy_audit.claim_of(agreement)
    assert refused.value.rule == "audit-too-weak"
    assert "--rounds 1" in str(refused.value)


def test_fewer_rounds_claim_less(hospital):
    agreement = hospital(privacy__noise_multiplier=2.0).agreement
    one, every = (privacy_audit.claim_of(agreement, rounds).epsilon for rounds in (1, None))
    assert one < every


@pytest.fixture
def audit(hospital, monkeypatch, capsys):
    """Return a caller of `audit-privacy` in a hospital's folder: its exit code and output."""
    home = hospital(privacy__noise_multiplier=2.0)
    home.write_site("lakeside")
    (home.folder / "state" / "held-out.secret").chmod(0o600)
    monkeypatch.chdir(home.folder)

    def call(*options):
        argv = ["concilium-site", "audit-privacy", "agreement.yaml", *options]
        monkeypatch.setattr(sys, "argv", argv)
        with pytest.raises(SystemExit) as ended:
            terminal.run(cli.app)
        return ended.value.code or 0, capsys.readouterr().out

    return call


@pytest.mark.parametrize("source", [[], ["--synthetic"]])
def test_both_bounds_stand_beside_the_claim(audit, source):
    code, out = audit("--format", "json", *source)
    said = json.loads(out)
    noised, bare = said["rows"]
    assert code == 0
    assert float(noised["at_least"]) <= float(noised["claimed_epsilon"])
    assert float(bare["at_least"]) > float(bare["claimed_epsilon"])
    assert (noised["finding"], bare["finding"]) == (
        "within the claim",
        "exceeds it, as it must",
    )
    assert (said["confidence"], said["rounds"], said["steps"]) == (0.95, 4, 20)


def test_few_steps_let_nobody_be_guessed_to_have_been_out(hospital):
    """In five steps at rate ¼ a quarter of who is in is never drawn, as if they were out."""
    claim = privacy_audit.claim_of(
        hospital(privacy__noise_multiplier=2.0).document.agreement, 1
    )
    patients = canaries.invented(claim.agreement, 100, training.keystream(3))
    bare = privacy_audit.audited(
        claim,
        patients,
        declared_patients=100,
        noise=False,
        randomness=counted("few"),
        progress=lambda _: None,
    )
    assert bare.guesses.right == bare.guesses.made
    assert bare.at_least > claim.epsilon + 1


def test_a_training_without_noise_refutes_the_claim_and_exits_1(audit):
    code, out = audit("--without-noise", "--rounds", "1")
    assert code == 1
    assert "REFUTES the claim" in out
