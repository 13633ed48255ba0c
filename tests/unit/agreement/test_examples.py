"""The files in configs/agreement-example are good to copy from."""

from __future__ import annotations

from pathlib import Path

from governance.agreement.load import load
from governance.agreement.plan import plan
from governance.settings import load_coordinator, load_site

EXAMPLE = Path(__file__).parents[3] / "configs" / "agreement-example"


def test_agreement_to_copy_from_is_a_draft_that_passes_plan():
    document = load(EXAMPLE / "agreement.yaml")
    made = plan(document)
    assert made.is_draft
    assert len(made.warnings) == 1
    assert made.unsafe == frozenset()
    assert document.obligations.startswith("# Rights and duties")


def test_site_and_coordinator_fit_the_agreement_to_copy_from():
    agreement = load(EXAMPLE / "agreement.yaml").agreement
    site = load_site(EXAMPLE / "site.yaml")
    coordinator = load_coordinator(EXAMPLE / "coordinator.yaml")
    assert coordinator.federation == agreement.federation
    assert site.name in agreement.sites.roster
    (federation,) = site.federations
    mapped = set(site.cohorts[federation.cohort].map)
    named = {feature.name for feature in agreement.data.features} | {agreement.data.target.name}
    assert mapped == named
    assert set(agreement.purpose) <= set(site.policy.purposes)
