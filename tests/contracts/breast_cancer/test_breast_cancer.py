"""The demonstration is what its files say, and its five hospitals meet the contract."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from governance.agreement.load import load
from governance.agreement.roster import fill_roster
from governance.agreement.schema import unsafe_terms
from governance.identity.keys import SigningKey
from governance.privacy.accountant import epsilon, rounds_within
from governance.privacy.releases import of_a_round
from governance.settings import load_site
from site_agent.data import cohort as cohorts
from site_agent.data import contract, table
from site_agent.review import Place, review

if TYPE_CHECKING:
    from types import ModuleType

    from governance.agreement.schema import Agreement
    from governance.settings import CohortSettings

CONFIG = Path(__file__).parents[3] / "configs" / "breast-cancer"
SITES = ("north-general", "harbour-university", "lakeside", "hillcrest", "eastfield")
COHORT = "needle-aspirates"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("breast_cancer_cohort", CONFIG / "cohort.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def agreement() -> Agreement:
    return load(CONFIG / "agreement.yaml").agreement


@pytest.fixture(scope="module")
def written(script: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return script.write_sites(tmp_path_factory.mktemp("sites"))


def test_the_review_of_thirty_features_fits_two_screens(tmp_path: Path) -> None:
    names = (*SITES, "operator")
    keys = {name: SigningKey.from_seed(name.ljust(32).encode()).key_id for name in names}
    filled = tmp_path / "agreement.yaml"
    officers = {name: (keys[name],) for name in SITES}
    filled.write_text(
        fill_roster(CONFIG / "agreement.yaml", officers, {"operator": keys["operator"]})
    )
    document = load(filled)
    settings = load_site(CONFIG / "sites" / "lakeside" / "site.yaml")
    released = of_a_round(document.agreement)
    place = Place(settings=settings, cohort=COHORT, releases=(), release=released)
    reviewed = review(document, place)
    lines = reviewed.text.splitlines()
    assert not reviewed.objections
    assert len(lines) <= 2 * 40
    assert max(map(len, lines)) < 80
    assert "and 7 more. What each is read as: --full." in " ".join(reviewed.text.split())
    assert "radius_mean (µm): your column Radius Mittel × 1000" in reviewed.terms


@pytest.fixture
def cohort_at(written: dict[str, Path]) -> Any:
    """Return what gives a site's cohort with its file where this test wrote it."""

    def at(name: str) -> CohortSettings:
        settings = load_site(CONFIG / "sites" / name / "site.yaml").cohorts[COHORT]
        source = settings.source.model_copy(update={"csv": written[name]})
        return settings.model_copy(update={"source": source})

    return at


def test_the_agreement_loads_and_names_the_five_hospitals(agreement: Agreement) -> None:
    assert tuple(sorted(agreement.sites.roster)) == tuple(sorted(SITES))
    assert agreement.is_draft
    assert unsafe_terms(agreement) == frozenset()
    assert agreement.input_width == 30


def test_the_privacy_that_the_agreement_says_is_what_its_rounds_cost(
    agreement: Agreement,
) -> None:
    privacy = agreement.privacy
    assert privacy is not None
    each = of_a_round(agreement)
    assert epsilon([each.times(agreement.schedule.rounds)], privacy.delta) == pytest.approx(
        2.98, abs=0.005
    )
    bears = rounds_within(each, cap=privacy.budget.epsilon, delta=privacy.delta)
    assert bears - agreement.schedule.rounds == 7


@pytest.mark.parametrize("name", SITES)
def test_a_sites_file_loads_and_accepts_no_more_than_it_must(
    name: str, agreement: Agreement
) -> None:
    site = load_site(CONFIG / "sites" / name / "site.yaml")
    assert site.name == name
    assert not site.rehearsal
    assert site.policy.unsafe == ("no-isolation",)
    assert not site.policy.require_secure_aggregation
    assert site.policy.cap.epsilon == 8
    assert set(agreement.purpose) <= set(site.policy.purposes)
    assert f"builtin:{agreement.model.name}" in site.policy.models
    assert site.cohorts[COHORT].source.csv == CONFIG / "sites" / name / "patients.csv"


@pytest.mark.parametrize("name", SITES)
def test_every_hospital_meets_the_contract(
    name: str, agreement: Agreement, cohort_at: Any
) -> None:
    cohort = cohort_at(name)
    found = contract.check(table.read(cohort, agreement), agreement, cohort)
    assert found.broken == ()
    assert all(
        row.finding == "as agreed" for row in found.rows if row.feature in cohort.map
        and row.feature != "malignant"
    )  # fmt: skip


def test_each_real_patient_is_in_one_hospital_with_the_values_as_published(
    agreement: Agreement, cohort_at: Any
) -> None:
    from sklearn.datasets import load_breast_cancer

    features, benign = load_breast_cancer(return_X_y=True)
    published = np.column_stack([features, 1 - benign])
    tables = [table.read(cohort_at(name), agreement) for name in SITES]
    dealt = np.concatenate(
        [
            np.column_stack(
                [
                    *(
                        read.features[feature.name].values
                        for feature in agreement.data.features
                    ),
                    read.target.values,
                ]
            )
            for read in tables
        ]
    )
    assert len({patient for read in tables for patient in read.ids}) == 569

    def in_order(rows: np.ndarray) -> np.ndarray:
        return rows[np.lexsort(rows.T)]

    np.testing.assert_allclose(in_order(dealt), in_order(published), rtol=1e-9)


def test_sizes_are_unequal_and_prevalence_is_skewed(
    agreement: Agreement, cohort_at: Any
) -> None:
    made = [
        cohorts.load(cohort_at(name), agreement, secret=bytes(32), opt_outs=frozenset())
        for name in SITES
    ]
    assert [cohort.patients for cohort in made] == [194, 142, 102, 74, 57]
    assert all(cohort.patients >= agreement.data.minimum_patients for cohort in made)
    shares = [
        float(np.concatenate([cohort.train.target, cohort.held_out.target]).mean())
        for cohort in made
    ]
    assert min(shares) < 0.25
    assert max(shares) > 0.5
    held_out = sum(cohort.held_out.patients for cohort in made)
    assert 0.15 < held_out / 569 < 0.25


def test_references_are_the_published_statistics_rounded(agreement: Agreement) -> None:
    from sklearn.datasets import load_breast_cancer

    features, _ = load_breast_cancer(return_X_y=True)
    for column, feature in zip(features.T, agreement.data.features, strict=True):
        assert feature.reference is not None
        assert feature.reference.mean == pytest.approx(column.mean(), rel=0.005)
        assert feature.reference.std == pytest.approx(column.std(), rel=0.01)


def test_the_same_seed_writes_the_same_bytes_and_another_deals_anew(
    script: ModuleType, written: dict[str, Path], tmp_path: Path
) -> None:
    again = script.write_sites(tmp_path / "again")
    other = script.write_sites(tmp_path / "other", seed=7)
    for name in SITES:
        assert again[name].read_bytes() == written[name].read_bytes()
        assert other[name].read_bytes() != written[name].read_bytes()
