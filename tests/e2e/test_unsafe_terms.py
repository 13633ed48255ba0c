"""What weakens a guarantee is refused unless the hospital's own file lists it."""

from __future__ import annotations

import pytest
from programs import SITE, call, refused
from standing import SITES, copied, edited, of_three


def law(fed, name, **policy):
    edited(fed.site_file(name), lambda said: said["policy"].update(policy))


@pytest.fixture(scope="module")
def offered(proposed, tmp_path_factory):
    """A hospital that was sent several agreements; no program runs any more."""
    fed = copied(proposed, tmp_path_factory.mktemp("offered") / "fed")
    privacy = {"metrics": {"exact": {"every": 1}, "minimum": 10}}
    told = {
        "no-privacy": {
            "privacy": "off",
            "round.local": {"steps": 5, "batch": 16},
            "aggregation.secure": False,
        },
        "fixed-noise-seed": {"privacy.noise_seed": 7},
        "exact-small-classes": {"privacy.metrics": {**privacy["metrics"], "minimum": 2}},
        "without-masks": {"aggregation.secure": False},
    }
    fed.serve()
    digests = {}
    for term, changes in told.items():
        path = of_three(fed.place / f"{term}.yaml", title=term, **changes)
        fed.propose(path)
        digests[term] = fed.status()["proposed"]
    fed.run(SITES[0])
    every = "SELECT count(*) FROM agreements"
    fed.until(lambda: fed.site_rows(SITES[0], every)[0][0] == 1 + len(told))
    fed.end()
    return fed, digests


@pytest.mark.parametrize("term", ["no-privacy", "fixed-noise-seed", "exact-small-classes"])
def test_an_unsafe_agreement_is_shouted_and_refused_until_it_is_listed(offered, term):
    fed, digests = offered
    name, which = SITES[0], ("--agreement", digests[term][:12])
    journal = fed.site_rows(name, "SELECT count(*) FROM journal")
    review = fed.site(name, "review", *which)
    assert f"UNSAFE ({term})" in review.out
    assert "This hospital's own file refuses it" in review.out
    said = fed.consent(name, *which)
    refused(said, "own file refuses the agreement", term, "policy.unsafe in site.yaml")
    assert fed.site_rows(name, "SELECT count(*) FROM journal") == journal


def test_a_listed_term_can_be_consented_to(offered):
    fed, digests = offered
    name = SITES[0]
    law(fed, name, unsafe=["no-isolation", "exact-small-classes"])
    assert fed.consent(name, "--agreement", digests["exact-small-classes"][:12]).code == 0


def test_a_hospital_that_demands_masked_sums_consents_to_none_without(offered):
    fed, digests = offered
    name, which = SITES[0], ("--agreement", digests["without-masks"][:12])
    law(fed, name, require_secure_aggregation=True)
    journal = fed.site_rows(name, "SELECT count(*) FROM journal")
    said = fed.consent(name, *which)
    refused(said, "require_secure_aggregation", "own file refuses")
    assert fed.site_rows(name, "SELECT count(*) FROM journal") == journal
    law(fed, name, require_secure_aggregation=False)
    assert fed.consent(name, *which).code == 0


@pytest.mark.parametrize("verb", ["run", "review", "status"])
def test_a_worker_without_confinement_must_be_listed(fed, verb):
    name = SITES[0]
    law(fed, name, unsafe=[])
    said = call(SITE, verb, "--site", fed.site_file(name))
    refused(said, "site.yaml:", "isolation is none", "does not list no-isolation")


def test_an_agent_does_not_start_where_its_worker_cannot_be_confined(fed, monkeypatch):
    name = SITES[0]
    law(fed, name, unsafe=[])
    edited(fed.site_file(name), lambda said: said["resources"].update(isolation="required"))
    monkeypatch.setenv("PATH", "/nowhere")
    refused(fed.site(name, "run"), "cannot be confined here", "bubblewrap")
