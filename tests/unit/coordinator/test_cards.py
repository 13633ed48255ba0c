"""The model card: what it says of hospitals and patients, and what it leaves out."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime
from pathlib import Path

import pytest

from coordinator import cards
from coordinator.store.released import Inside
from governance import canonical, model_card, subgroups
from governance.agreement.data_terms import Feature
from governance.agreement.load import load
from governance.figures import Figures
from governance.ledger import spending

AGREEMENT = Path(__file__).parents[3] / "configs" / "breast-cancer" / "agreement.yaml"
SITES = ["eastfield", "hillcrest", "lakeside"]
NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


def figures(right, count):
    bins = [0] * 50
    bins[10], bins[40] = count - right, right
    others = [0] * 50
    others[10], others[40] = right, count - right
    return Figures(
        "binary",
        positives=tuple(bins),
        negatives=tuple(others),
        correct=2 * right,
        log_loss_sum=1.0,
        squared_error_sum=1.0,
        count=2 * count,
    )


def spent(steps):
    every = spending.Spending()
    body = {
        "task": "t",
        "round": 1,
        "attempt": 1,
        "cohort": "c",
        "sampling_rate": "0.1",
        "noise_multiplier": "2",
        "steps": steps,
        "delta": "0.00001",
        "epsilon_total": "1",
        "loader": "poisson",
        "unit": "patient",
    }
    every.take("x", spending.read(1, body))
    return list(every.cohorts.values())


def made(**changes):
    inside = Inside(
        round=4,
        attempt=2,
        agreement="a" * 64,
        model="b" * 64,
        closed_seq=90,
        rounds=[1, 2, 4],
        sites=SITES,
        patients=dict.fromkeys(SITES, 120),
        spent={"eastfield": spent(10), "hillcrest": spent(20), "lakeside": spent(30)},
        figures={"eastfield": figures(30, 34), "hillcrest": figures(20, 41)},
    )
    return dataclasses.replace(inside, **changes)


def card(inside=None, **terms):
    document = load(AGREEMENT)
    parts = {
        name: getattr(document.agreement, name).model_copy(update=change)
        for name, change in terms.items()
    }
    changed = document.agreement.model_copy(update=parts)
    return cards.composed(
        dataclasses.replace(document, agreement=changed),
        inside or made(),
        release="v1",
        size=268,
        at=NOW,
    )


def test_the_same_record_makes_the_same_card():
    assert canonical.encode(card()) == canonical.encode(card())
    assert model_card.rendered(card()) == model_card.rendered(
        canonical.decode(canonical.encode(card()))
    )


def test_hospitals_are_named_or_counted_as_the_agreement_says():
    assert card(release={"sites": "names"})["sites"]["names"] == SITES
    said = card(release={"sites": "number"}, quality={"visible_to": "all"})
    assert said["sites"] == {"count": 3, "names": []}
    assert not any(site in model_card.rendered(said) for site in SITES)


def test_a_hospitals_own_figures_stay_with_it_where_the_agreement_says_so():
    said = card(quality={"visible_to": "own-site"})["evaluation"]
    assert said["sites"] == []
    assert any("own figures" in sentence for sentence in said["withheld"])
    assert said["pooled"]["patients"] == 150


def test_each_hospitals_figures_are_told_where_all_may_see_them():
    terms = {"quality": {"visible_to": "all"}, "release": {"sites": "names"}}
    said = card(**terms)["evaluation"]
    assert [one["site"] for one in said["sites"]] == ["eastfield", "hillcrest"]
    assert said["sites"][0]["accuracy"] == f"{30 / 34:.3f}"
    assert any("said no figures" in sentence for sentence in said["withheld"])


def test_counts_of_patients_are_rounded_to_tens():
    said = card(quality={"visible_to": "all"})["evaluation"]
    assert {one["patients"] for one in said["sites"]} == {70, 80}


def test_figures_under_the_minimum_are_withheld_and_it_is_said_why():
    few = made(figures={"eastfield": Figures("binary", withheld="under-minimum")})
    said = card(few, quality={"visible_to": "all"})["evaluation"]
    assert "too few patients" in said["sites"][0]["withheld"]
    assert "withheld" in said["pooled"]


def test_epsilon_is_the_largest_of_any_hospital_with_its_unit():
    said = card(release={"sites": "number"})["privacy"]
    largest = spending.epsilon(spent(30)[0].releases, 1e-5)
    assert float(said["epsilon"]) == pytest.approx(largest, abs=1e-3)
    assert (said["unit"], said["sites"]) == ("patient", [])
    named = card(release={"sites": "names"})["privacy"]
    assert [one["site"] for one in named["sites"]] == SITES


def test_a_model_without_privacy_says_so():
    document = load(AGREEMENT)
    plain = dataclasses.replace(
        document, agreement=document.agreement.model_copy(update={"privacy": None})
    )
    said = cards.composed(plain, made(spent={}), release="v1", size=1, at=NOW)
    assert "no differential privacy" in said["privacy"]["said"][0]
    assert any("no-privacy" in limit for limit in said["limits"])


# --- subgroups ---------------------------------------------------------------------------


FEATURES = [Feature(name="sex", kind="category", values=("f", "m"))]


def by_sex(**said):
    """A record in which hospitals showed these groups: (f, m), each (right, count) or None."""
    texts = {
        site: subgroups.to_json({"sex": tuple(one and figures(*one) for one in groups)})
        for site, groups in said.items()
    }
    return made(figures=dict.fromkeys(SITES, figures(60, 80)), subgroups=texts)


def groups_in(inside, *, visible_to="own-site"):
    terms = {"data": {"subgroups": ("sex",), "features": FEATURES}}
    said = card(inside, quality={"visible_to": visible_to}, **terms)["evaluation"]
    return said["subgroups"], said["withheld"]


ALL = {"eastfield": ((30, 34), (40, 46)), "hillcrest": ((20, 41), (30, 39))}


def test_a_group_is_the_pool_of_the_hospitals_that_showed_it():
    (women, men), withheld = groups_in(by_sex(**ALL, lakeside=((30, 45), (20, 35))))
    assert women == {
        "subgroup": "sex",
        "value": "f",
        "accuracy": f"{80 / 120:.3f}",
        "auc": women["auc"],
        "log_loss": f"{3 / 240:.3f}",
        "brier": f"{3 / 240:.3f}",
        "patients": 240,
        "hospitals": 3,
    }
    assert men["hospitals"] == 3
    assert not any("subgroup" in sentence for sentence in withheld)


def test_a_group_of_two_hospitals_would_tell_each_the_others_own_figures():
    (women, men), _ = groups_in(by_sex(**ALL, lakeside=((30, 40), None)))
    assert women["hospitals"] == 3
    assert "hospitals" in men["withheld"]
    (_, men), _ = groups_in(by_sex(**ALL, lakeside=((30, 40), None)), visible_to="all")
    assert men["hospitals"] == 2


def test_what_is_left_of_all_patients_tells_of_no_single_hospital():
    # All of a fourth hospital would be what is left, so that the smaller group is withheld too.
    four = by_sex(**ALL, lakeside=((30, 45), (20, 35)), northside=(None, None))
    four = dataclasses.replace(four, figures={**four.figures, "northside": figures(60, 80)})
    (women, men), _ = groups_in(four)
    assert "hospitals" in women["withheld"] or "hospitals" in men["withheld"]
    assert {women.get("hospitals"), men.get("hospitals")} == {3, None}


def test_a_group_that_no_hospital_showed_is_withheld_by_name():
    few = by_sex(**dict.fromkeys(SITES, (None, None)))
    (women, men), _ = groups_in(few)
    assert (women["value"], men["value"]) == ("f", "m")
    assert "too few patients" in women["withheld"]
    assert "sex = f: withheld (too few" in model_card.rendered(
        card(
            few,
            data={"subgroups": ("sex",), "features": FEATURES},
            quality={"visible_to": "own-site"},
        )
    )


def test_hospitals_that_said_nothing_by_subgroup_are_counted():
    _, withheld = groups_in(by_sex(**ALL))
    assert "1 of the hospitals inside it said no figures by subgroup" in withheld
    rows, withheld = groups_in(by_sex())
    assert rows == []
    assert "figures by subgroup (sex), which no hospital said" in withheld
