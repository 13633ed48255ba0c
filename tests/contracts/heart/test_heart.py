"""The heart study is what its files say; invented rows of the published form stand in."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

from governance.agreement.load import load
from governance.agreement.refusals import objections
from governance.agreement.schema import unsafe_terms
from governance.privacy.accountant import epsilon
from governance.privacy.releases import of_a_round
from governance.settings import load_site
from protos.errors import Refused
from site_agent.data import contract, table

CONFIG = Path(__file__).parents[3] / "configs" / "heart"
SITES = ("cleveland", "hungarian", "switzerland", "va")
ROWS = {"cleveland": 90, "hungarian": 90, "switzerland": 60, "va": 80}


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("heart_hospitals", CONFIG / "hospitals.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def agreement():
    return load(CONFIG / "agreement.yaml").agreement


def stand_in(place, *, missing="?"):
    """Write four files of the published form; like those, some cells have no value."""
    rng = np.random.default_rng(5)
    place.mkdir(parents=True, exist_ok=True)
    for name, count in ROWS.items():
        lines = [",".join(_row(rng, name, place_in)) for place_in in range(count)]
        text = "\n".join(lines).replace("?", missing) + "\n"
        (place / f"processed.{name}.data").write_text(text, encoding="latin-1")
    return place


def _row(rng, name, number):
    ill = 0 if name == "switzerland" and number == 1 else int(rng.integers(1, 5))
    ill = 0 if name != "switzerland" and rng.random() < 0.5 else ill
    row = {
        "age": rng.integers(30, 77),
        "sex": rng.integers(0, 2),
        "cp": rng.integers(1, 5),
        "trestbps": rng.integers(94, 200),
        "chol": 0 if name == "switzerland" else rng.integers(120, 400),
        "fbs": rng.integers(0, 2),
        "restecg": rng.integers(0, 3),
        "thalach": rng.integers(70, 200),
        "exang": rng.integers(0, 2),
        "oldpeak": f"{rng.uniform(-1, 6):.1f}",
        "slope": "?",
        "ca": "?",
        "thal": "?",
        "num": ill,
    }
    if name != "cleveland" and number % 6 == 0:
        row |= {"trestbps": "?", "thalach": "?", "fbs": "?"}
    whole = name == "cleveland"  # it writes 63.0 where the others write 63
    return [f"{v}.0" if whole and k in {"age", "sex", "cp"} else str(v) for k, v in row.items()]


def checked(script, agreement, data, out):
    """Return what the contract says of each hospital's written file."""
    found = {}
    for name, path in script.write_sites(data, out).items():
        cohort = load_site(CONFIG / "sites" / name / "site.yaml").cohorts["angiography"]
        source = cohort.source.model_copy(update={"csv": path})
        cohort = cohort.model_copy(update={"source": source})
        found[name] = contract.check(table.read(cohort, agreement), agreement, cohort)
    return found


def test_the_agreement_can_be_and_costs_an_epsilon_of_one(agreement):
    assert objections(load(CONFIG / "agreement.yaml")) == []
    assert tuple(sorted(agreement.sites.roster)) == SITES
    assert unsafe_terms(agreement) == frozenset()
    cost = epsilon([of_a_round(agreement).times(agreement.schedule.rounds)], 1e-5)
    assert cost <= 1.0
    assert cost == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize("name", SITES)
def test_a_sites_file_loads_and_accepts_no_more_than_it_must(name, agreement):
    site = load_site(CONFIG / "sites" / name / "site.yaml")
    assert site.name == name
    assert not site.rehearsal
    assert site.policy.unsafe == ("no-isolation",)
    mapped = set(site.cohorts["angiography"].map)
    assert mapped == {agreement.data.target.name, *(f.name for f in agreement.data.features)}


def test_complete_rows_meet_the_contract(script, agreement, tmp_path):
    found = checked(script, agreement, stand_in(tmp_path / "data"), tmp_path / "out")
    assert {name: f.broken for name, f in found.items()} == dict.fromkeys(SITES, ())
    assert found["switzerland"].records == 50


@pytest.mark.parametrize("written", ["0", "-9"])
@pytest.mark.parametrize("name", ["hungarian", "switzerland", "va"])
def test_copies_in_which_a_missing_value_became_a_number_break_the_contract(
    script, agreement, tmp_path, written, name
):
    data = stand_in(tmp_path / "data", missing=written)
    found = checked(script, agreement, data, tmp_path / "out")[name]
    assert "maximum_heart_rate" in found.broken
    said = " ".join(row.finding for row in found.rows)
    assert f'`codes: {{"{written}": missing}}`' in said


def test_a_copy_of_cleveland_differs_in_columns_that_the_study_leaves_out_alone(
    script, tmp_path
):
    first = script.write_sites(stand_in(tmp_path / "data"), tmp_path / "a")["cleveland"]
    copy = stand_in(tmp_path / "copy", missing="0")
    assert script.write_sites(copy, tmp_path / "b")["cleveland"].read_bytes() == (
        first.read_bytes()
    )


def test_a_folder_without_the_data_is_refused_in_one_sentence(script, tmp_path):
    with pytest.raises(Refused, match=r"there is no .*processed\.cleveland\.data"):
        script.write_sites(tmp_path, tmp_path / "out")


def test_a_file_of_another_form_is_refused_with_its_line(script, tmp_path):
    data = stand_in(tmp_path / "data")
    (data / "processed.va.data").write_text("1,2,3\n")
    with pytest.raises(Refused, match="line 1 has 3 cells"):
        script.write_sites(data, tmp_path / "out")
