"""A wheel's model in the administrator's own verbs: run in a confined worker, or not at all."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

sys.path.insert(0, str(Path(__file__).parent))

import wheels_made

from governance import models, terminal
from governance.settings import load_site
from protos.errors import Refused, Unavailable
from site_agent import cli, predicting, wheels
from site_agent.data.cohort import PatientSet
from site_agent.rehearsal_figures import baselines


class Home:
    """A hospital that approved a wheel, and whose worker is confined."""

    def __init__(self, hospital, folder, code, isolation):
        wheel = wheels_made.write(folder / "model.whl", code)
        said = {
            "name": "own",
            "wheel": wheels.digest_of(wheel),
            "parameters": wheels_made.PARAMETERS,
        }
        self.hospital = hospital(model=said, privacy__noise_multiplier=2.0)
        self.file = self.hospital.write_site("lakeside")
        (self.hospital.folder / "state" / "held-out.secret").chmod(0o600)
        terms = yaml.safe_load(self.file.read_text())
        terms["resources"] = {"threads": 1, "isolation": isolation}
        terms["policy"]["models"] = [said["wheel"]]
        if isolation == "none":
            terms["policy"]["unsafe"] = ["no-isolation"]
        self.file.write_text(yaml.safe_dump(terms))
        self.settings = load_site(self.file)
        wheels.approve(self.settings, wheel)

    @property
    def model(self):
        return self.hospital.write_model(models.initial_state(self.hospital.agreement))


@pytest.fixture
def home(hospital, tmp_path):
    def make(code=wheels_made.GOOD, isolation="required"):
        return Home(hospital, tmp_path, code, isolation)

    return make


def part():
    features = np.array([[0.5, -1.0], [2.0, 1.0], [0.1, 0.2]], np.float32)
    return PatientSet(features, np.zeros(3, np.float32), np.array([0, 0, 1]), 2)


def scored(own):
    return predicting.scores_of(part(), own.hospital.document, own.model, settings=own.settings)


@pytest.mark.slow
def test_a_wheels_model_scores_patients_in_a_confined_worker_and_leaves_nothing(home):
    own = home()
    said = scored(own)
    weights = models.initial_state(own.hospital.agreement)
    hidden = np.tanh(part().features @ weights["0.weight"].T + weights["0.bias"])
    outputs = (hidden @ weights["2.weight"].T + weights["2.bias"])[:, 0]
    each = 1 / (1 + np.exp(-outputs.astype(np.float64)))
    assert said == pytest.approx([each[:2].mean(), each[2]], rel=1e-5)
    assert not list((own.hospital.folder / "state" / "work").iterdir())


@pytest.mark.slow
def test_a_wheel_that_reads_a_key_while_it_scores_fails(home, tmp_path):
    key = tmp_path / "agent.key"
    key.write_text("secret")
    with pytest.raises(Unavailable) as told:
        scored(home(wheels_made.READS.replace("{path!r}", repr(str(key)))))
    assert told.value.rule == "worker-gone"


def test_a_wheel_scores_nothing_where_no_worker_is_confined(home):
    with pytest.raises(Refused) as told:
        scored(home(isolation="none"))
    assert told.value.rule == "wheel-not-confined"


@pytest.fixture
def audited(home, monkeypatch, capsys):
    def call(own, *options):
        monkeypatch.chdir(own.hospital.folder)
        argv = ["concilium-site", "audit-privacy", "agreement.yaml", *options]
        monkeypatch.setattr(sys, "argv", argv)
        with pytest.raises(SystemExit) as ended:
            terminal.run(cli.app)
        said = capsys.readouterr()
        return ended.value.code or 0, said.out, said.err

    return call


@pytest.mark.slow
@pytest.mark.parametrize("source", [[], ["--synthetic"]])
def test_a_wheels_training_is_audited_in_a_confined_worker(home, audited, source):
    code, out, err = audited(home(), "--format", "json", "--rounds", "1", *source)
    assert code == 0, err
    noised, bare = json.loads(out)["rows"]
    assert float(noised["at_least"]) <= float(noised["claimed_epsilon"])
    assert float(bare["at_least"]) > float(bare["claimed_epsilon"])


def test_a_wheel_is_not_audited_where_no_worker_is_confined(home, audited):
    code, _, err = audited(home(isolation="none"), "--rounds", "1")
    assert code == 2
    assert "[wheel-not-confined]" in err


@pytest.mark.slow
def test_a_rehearsals_figures_of_a_wheels_model_are_made_in_a_confined_worker(home, tmp_path):
    own = home()
    terms = yaml.safe_load(own.file.read_text())
    terms["rehearsal"] = True
    own.file.write_text(yaml.safe_dump(terms))
    out = tmp_path / "compared.json"
    document = own.hospital.folder / "agreement.json"
    said = baselines(document, [own.file], own.model, out, seed=3)
    assert said == json.loads(out.read_text())
    assert said["sites"]["lakeside"]["patients"] == 200
    for model in ("naive", "federated", "central", "alone_mean"):
        assert 0 <= said["pooled"][model]["auc"] <= 1
