"""Figures by subgroup: what they are of, their one form, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from governance import figures, subgroups
from governance.agreement.load import load
from protos.errors import PeerFault

EXAMPLE = Path(__file__).parents[3] / "configs" / "agreement-example" / "agreement.yaml"
AGREEMENT = load(EXAMPLE).agreement
NAMES = [column.name for column in subgroups.columns_of(AGREEMENT.data)]


def of(positives, negatives):
    """Figures of so many ill and healthy patients, half of them scored right."""
    scores = np.resize([0.2, 0.9], positives + negatives)
    labels = np.repeat([1, 0], [positives, negatives])
    return figures.figures_of(scores, labels, kind="binary", minimum=1)


def told(sex=(None, None), age_band=(None,) * 4):
    return {"age_band": tuple(age_band), "sex": tuple(sex)}


def refused(text_or_told, whole=None):
    check = subgroups.from_json if whole is None else subgroups.check
    given_ = (text_or_told,) if whole is None else (text_or_told, whole)
    with pytest.raises(PeerFault, check=lambda problem: problem.rule == "bad-figures") as found:
        check(*given_, AGREEMENT)
    return str(found.value)


def test_groups_are_the_values_of_a_category_and_the_bands_of_a_quantity():
    bands, sex = subgroups.columns_of(AGREEMENT.data)
    assert (sex.name, sex.feature, sex.groups, sex.cuts) == ("sex", "sex", ("f", "m"), ())
    assert (bands.name, bands.feature, bands.cuts) == ("age_band", "age", (50, 65, 80))
    assert bands.groups == ("under 50", "50 to under 65", "65 to under 80", "80 and over")


counts = st.tuples(st.integers(1, 60), st.integers(1, 60))
groups = st.one_of(st.none(), counts.map(lambda both: of(*both)))


@given(st.tuples(groups, groups), st.tuples(*[groups] * 4))
def test_what_is_written_is_read_back(sex, age_band):
    said = told(sex, age_band)
    assert subgroups.from_json(subgroups.to_json(said), AGREEMENT) == said


@given(st.recursive(st.none() | st.integers() | st.text(), st.lists) | st.text())
def test_whatever_else_is_read_is_refused(said):
    for broken in (said, dict.fromkeys(NAMES, said), {**json.loads(TEXT), "sex": [said, None]}):
        if broken != json.loads(TEXT):
            refused(json.dumps(broken, sort_keys=True, separators=(",", ":")))


TEXT = subgroups.to_json(told(sex=(None, None)))
SHOWN = subgroups.to_json(told(sex=(of(12, 20), None)))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("no JSON", "no JSON"),
        (" " * 70_000, "too long"),
        (TEXT.replace('"sex"', '"region"'), "other columns"),
        (TEXT.replace("[null,null]}", "[null,null,null]}"), "other groups"),
        (TEXT.replace("[null,null]}", "[null]}"), "other groups"),
        (TEXT.replace(":", ": "), "one form"),
        (SHOWN.replace('"count":32', '"count":33'), "count patients in different ways"),
        (SHOWN.replace('"count"', '"patient"'), "other fields"),
    ],
)
def test_figures_of_another_form_or_of_other_groups_are_refused(text, why):
    assert why in refused(text)


def test_a_histogram_with_a_bin_twice_or_beyond_the_last_is_refused():
    said = json.loads(SHOWN)
    for bins in ([[1, 6], [1, 6]], [[50, 12]], [[-1, 12]], [[1, 12.0]], [[1]], {"1": 12}):
        said["sex"][0]["positives"] = bins
        refused(json.dumps(said, sort_keys=True, separators=(",", ":")))


WHOLE = of(40, 100)


def test_groups_and_a_rest_of_at_least_the_minimum_pass():
    subgroups.check(told(sex=(of(30, 90), None)), WHOLE, AGREEMENT)
    subgroups.check(told(sex=(of(20, 50), of(20, 50))), WHOLE, AGREEMENT)
    subgroups.check(told(), WHOLE, AGREEMENT)


@pytest.mark.parametrize(
    ("sex", "why"),
    [
        ((of(9, 50), None), "under the minimum"),
        ((of(20, 9), None), "under the minimum"),
        ((of(31, 50), None), "leave a rest under the minimum"),
        ((of(30, 92), None), "leave a rest under the minimum"),
        ((of(20, 50), of(11, 30)), "leave a rest under the minimum"),
        ((of(30, 80), of(20, 50)), "more patients than all together"),
    ],
)
def test_what_tells_of_fewer_than_the_minimum_is_refused(sex, why):
    assert why in refused(told(sex=sex), WHOLE)


def test_groups_of_a_whole_that_is_withheld_are_refused():
    nothing = figures.Figures("binary", withheld=figures.UNDER_MINIMUM)
    assert "withheld" in refused(told(sex=(of(20, 50), None)), nothing)


def test_figures_by_two_bandings_of_one_feature_are_refused():
    data = AGREEMENT.data
    (age,) = [one for one in data.features if one.name == "age"]
    two = age.model_copy(update={"bands": {"age_band": (50, 65, 80), "old": (66,)}})
    changed = {"features": (two,), "subgroups": ("age_band", "old")}
    agreement = AGREEMENT.model_copy(update={"data": data.model_copy(update=changed)})
    said = {"age_band": (of(20, 50), None, None, None), "old": (of(20, 50), None)}
    with pytest.raises(PeerFault, match="two bandings"):
        subgroups.check(said, WHOLE, agreement)


def test_of_two_bandings_of_one_feature_the_first_alone_is_shown():
    columns = [
        subgroups.Column("fine", "age", ("under 50", "50 and over"), (50,)),
        subgroups.Column("rough", "age", ("under 51", "51 and over"), (51,)),
        subgroups.Column("sex", "sex", ("f", "m")),
    ]
    assert [one.name for one in subgroups.shown_columns(columns)] == ["fine", "sex"]
