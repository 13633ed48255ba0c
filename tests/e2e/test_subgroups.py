"""Figures by subgroup between real processes: what leaves a hospital, and what a card tells."""

from __future__ import annotations

import json

import numpy as np
import pytest
import standing
import yaml
from standing import SITES, edited, of_three

from governance import figures, subgroups
from governance.agreement.load import load
from governance.settings import load_site
from protos import codec
from site_agent.data.cohort import PatientSet
from site_agent.jobs import cohort_spec
from site_agent.ready import ready

MINIMUM = 3
CUTS = [0.062, 0.074]
"""Few patients have a fractal dimension above the second."""


def by_fractal_dimension(place):
    """Write an agreement with these bands, in which a class of three is enough."""
    path = of_three(place, **{"schedule.rounds": 1, "privacy.metrics.minimum": MINIMUM})
    said = yaml.safe_load(path.read_text())
    named = {one["name"]: one for one in said["data"]["features"]}
    named["fractal_dimension_mean"]["bands"] = {"fractal": CUTS}
    said["data"]["subgroups"] = ["fractal"]
    said["quality"]["visible_to"] = "all"
    path.write_text(yaml.safe_dump(said, sort_keys=False, allow_unicode=True))
    return path


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A federation after its one round, with a release of its model."""
    place = tmp_path_factory.mktemp("groups")
    standing.found(place / "fed", by_fractal_dimension(place / "three.yaml"))
    fed = standing.copied(place / "fed", place / "mine")
    for name in SITES:
        edited(
            fed.site_file(name),
            lambda said: said["cohorts"]["needle-aspirates"].update(held_out=0.4),
        )
    try:
        fed.serve()
        fed.run(*SITES)
        for name in SITES:
            assert fed.consent(name).code == 0
        fed.until(lambda: fed.entries("agreement-complete"), why="for a round")
        said = fed.operator("release", 1, "--name", "v1", "--out", place / "v1", "--yes")
        assert said.code == 0, said
        yield fed, place / "v1"
    finally:
        fed.end()


def sent(fed, name):
    """Return what the hospital's message of figures disclosed, from the bytes that left."""
    ((raw,),) = fed.site_rows(name, "SELECT content FROM sent WHERE kind = 'evaluation-made'")
    body = codec.from_site_parse(raw).body
    return {told.label: told.value for told in body.disclosures}


def held_out(fed, name) -> PatientSet:
    site = load_site(fed.site_file(name))
    (cohort,) = site.cohorts.values()
    spec = cohort_spec(cohort, secret=site.state / "held-out.secret")
    return ready(spec, load(fed.agreement)).held_out


def classes(part, places):
    """Return (ill, healthy) of the patients in these bands; each has one record here."""
    inside = np.isin(part.groups["fractal"], places)
    return int(part.target[inside].sum()), int((1 - part.target[inside]).sum())


def test_a_group_under_the_minimum_is_in_no_byte_that_leaves_nor_follows_from_any(done):
    fed, _ = done
    agreement, hidden = load(fed.agreement).agreement, 0
    for name in SITES:
        told = sent(fed, name)
        whole, part = figures.from_json(told["figures"]), held_out(fed, name)
        groups = subgroups.from_json(told["subgroups"], agreement)["fractal"]
        assert whole.count == part.patients
        for place, group in enumerate(groups):
            true = classes(part, [place])
            if group is None:
                hidden += 1
                continue
            assert (sum(group.positives), sum(group.negatives)) == true
            assert min(true) >= MINIMUM
        left = classes(part, [-1, *(i for i, group in enumerate(groups) if group is None)])
        assert sum(left) == 0 or min(left) >= MINIMUM
    assert hidden


def test_a_card_tells_the_groups_and_is_verified_offline(done):
    fed, place = done
    card = json.loads((place / "model-card.json").read_text())["evaluation"]
    agreement = load(fed.agreement).agreement
    every = [subgroups.from_json(sent(fed, name)["subgroups"], agreement) for name in SITES]
    assert [one["value"] for one in card["subgroups"]] == [
        "under 0.062",
        "0.062 to under 0.074",
        "0.074 and over",
    ]
    for number, row in enumerate(card["subgroups"]):
        showing = [one["fractal"][number] for one in every if one["fractal"][number]]
        if showing:
            assert row["hospitals"] == len(showing)
            assert row["auc"] == f"{figures.pooled(showing).auc():.3f}"
        else:
            assert row["withheld"]
    assert any("auc" in row for row in card["subgroups"])
    said = standing.call(standing.LEDGER, "verify-release", place)
    assert said.code == 0, said
    assert fed.verified()["entries"]
