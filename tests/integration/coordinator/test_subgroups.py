"""Figures by subgroup over the wire: into the record and the card, or refused."""

from __future__ import annotations

import json

import pytest
from federations import SITES, ledger_of
from released import release, trained, witnessed
from scripted_site import good_figures
from small_agreement import _TERMS

from coordinator import handing
from coordinator.store import disclosing
from governance import canonical, subgroups
from governance.ledger import release_folder
from governance.ledger import store as ledger
from protos.words import TaskKind

FEATURES = [
    {**feature, "bands": {"age_band": [2, 4]}} if feature["name"] == "one" else feature
    for feature in _TERMS["data"]["features"]
]
BY_AGE = {"data.features": FEATURES, "data.subgroups": ["age_band"]}
READERS = ("site/amc", "site/ucl", "auditor/inspector", "operator/van-dijk")
WHOLE = good_figures(count=200)


def said(*counts):
    """What a site says of these groups; None for one that it withholds."""
    groups = tuple(None if count is None else good_figures(count=count) for count in counts)
    return {"figures": WHOLE, "subgroups": subgroups.to_json({"age_band": groups})}


async def card_of(fed):
    drafted = await fed.ask(lambda console: console.draft(1, "v1"))
    return canonical.decode(drafted.card)


async def test_a_card_tells_groups_pooled_over_the_hospitals_that_showed_them(fed):
    each = {
        "amc": said(100, 60, 40),
        "charite": said(100, None, None),
        "ucl": said(100, 60, 40),
    }
    await trained(fed, changes=BY_AGE, said=each)
    young, middle, old = (await card_of(fed))["evaluation"]["subgroups"]
    assert (young["subgroup"], young["value"]) == ("age_band", "under 2")
    assert (young["hospitals"], young["patients"], young["accuracy"]) == (3, 300, "0.900")
    # two hospitals are too few: each would have the other's own figures
    assert "hospitals" in middle["withheld"]
    assert "hospitals" in old["withheld"]
    assert "auc" not in middle


async def test_each_groups_figures_are_told_where_hospitals_show_their_own(fed):
    each = {"amc": said(100, 60, 40), "ucl": said(120, None, None)}
    changes = {**BY_AGE, "quality": {"visible_to": "all"}}
    await trained(fed, changes=changes, said=each)
    evaluation = (await card_of(fed))["evaluation"]
    assert [one.get("hospitals") for one in evaluation["subgroups"]] == [2, 1, 1]
    assert evaluation["subgroups"][0]["patients"] == 220
    assert "1 of the hospitals inside it said no figures by subgroup" in evaluation["withheld"]


async def test_a_card_says_that_nobody_told_groups(fed):
    await trained(fed, changes=BY_AGE)
    evaluation = (await card_of(fed))["evaluation"]
    assert evaluation["subgroups"] == []
    assert "figures by subgroup (age_band), which no hospital said" in evaluation["withheld"]


async def test_a_release_with_groups_is_verified_offline(fed, tmp_path):
    await trained(fed, changes=BY_AGE, said=dict.fromkeys(SITES, said(100, 60, 40)))
    await release(fed)
    await witnessed(fed, *SITES)
    place = tmp_path / "v1"

    def asking(console):
        handing.fetch(console, "v1", place, wait_s=0, tell=lambda _: None)

    await fed.ask(asking)
    verdict = release_folder.verify(place)
    assert verdict.verified, verdict.sentence
    words = (place / "model-card.md").read_text()
    assert "- age_band = 2 to under 4: AUC 1.000" in words
    assert "on about 180 patients of 3 hospitals" in words


async def test_figures_by_subgroup_are_committed_to_and_seen_by_who_said_them(fed):
    await trained(fed, changes=BY_AGE, said={"amc": said(100, 60, 40)})
    with ledger_of(fed.url) as c:
        every = ledger.entries(c, 0, ledger.size_of(c), disclosed=True)
        (mine,) = [one for one in every if "subgroups" in {d.label for d in one.disclosures}]
        seen = {by: disclosing.seen(c, [mine], by=by)[0].disclosures for by in READERS}
    labels = {by: [told.label for told in disclosures] for by, disclosures in seen.items()}
    assert labels.pop("site/amc") == ["figures", "subgroups"]
    assert set(map(tuple, labels.values())) == {()}


@pytest.mark.parametrize(
    ("text", "changes"),
    [
        (subgroups.to_json({"region": (None, None, None)}), BY_AGE),
        (subgroups.to_json({"age_band": (None, None)}), BY_AGE),
        (said(182, None, None)["subgroups"], BY_AGE),  # the rest has nine of a class
        (said(18, None, None)["subgroups"], BY_AGE),
        (said(100, 60, 60)["subgroups"], BY_AGE),
        (json.dumps({"age_band": [None] * 3}), BY_AGE),
        (subgroups.to_json({"age_band": (None, None, None)}), {}),
    ],
)
async def test_groups_that_nobody_agreed_on_or_that_tell_of_few_are_refused(fed, text, changes):
    await fed.in_force(changes={"schedule.rounds": 1, **changes})
    await fed.all_in()
    task = (await fed.tasks(TaskKind.EVALUATE))["amc"]
    receipt = await fed.site("amc").evaluate(task, WHOLE, subgroups=text)
    assert (receipt.accepted, receipt.rule) == (False, "bad-figures")
    assert not fed.entries("evaluation-made")
