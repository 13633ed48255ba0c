"""Which groups a hospital says: nobody under the minimum is shown, or follows from it."""

from __future__ import annotations

from itertools import chain, combinations, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from governance import figures, subgroups
from governance.subgroups import Column
from site_agent.data.cohort import PatientSet
from site_agent.evaluation import evaluate
from site_agent.grouping import by_group
from site_agent.ready import ready

MINIMUM = 3
SEX = Column("sex", "sex", ("f", "m"))
WARD = Column("ward", "ward", ("a", "b", "c"))


class Patients:
    """Patients with a class and a place in some columns; one record each."""

    def __init__(self, labels, **places):
        self.labels = np.array(labels)
        every = len(labels)
        features, target = np.zeros((every, 1), np.float32), self.labels.astype(np.float32)
        groups = {name: np.array(values, np.int64) for name, values in places.items()}
        self.part = PatientSet(features, target, np.arange(every), every, groups)

    def judge(self, mask):
        scores = np.full(int(mask.sum()), 0.5)
        return figures.figures_of(scores, self.labels[mask], kind="binary", minimum=MINIMUM)

    def said(self, *columns):
        return by_group(self.part, columns, self.judge)

    def classes(self, mask):
        return int(self.labels[mask].sum()), int((1 - self.labels[mask]).sum())


def rows(*groups):
    """Patients as lists: each group is (ill, healthy, its place in each column)."""
    labels, places = [], []
    for ill, healthy, *place in groups:
        labels += [1] * ill + [0] * healthy
        places += [place] * (ill + healthy)
    return labels, *(list(column) for column in zip(*places, strict=True))


def shown(said):
    return {
        name: [place for place, one in enumerate(told) if one] for name, told in said.items()
    }


def test_groups_that_are_large_enough_are_shown():
    labels, sex = rows((5, 9, 0), (4, 6, 1))
    said = Patients(labels, sex=sex).said(SEX)
    f, m = said["sex"]
    assert (sum(f.positives), sum(f.negatives)) == (5, 9)
    assert (sum(m.positives), sum(m.negatives)) == (4, 6)


@pytest.mark.parametrize("few", [(2, 30), (30, 2), (0, 30), (2, 2)])
def test_the_rest_of_a_column_is_not_shown_beside_a_group_under_the_minimum(few):
    labels, sex = rows((50, 50, 0), (*few, 1))
    assert shown(Patients(labels, sex=sex).said(SEX)) == {"sex": []}


def test_the_smallest_group_is_withheld_beside_one_under_the_minimum():
    labels, ward = rows((20, 20, 0), (2, 9, 1), (5, 7, 2))
    assert shown(Patients(labels, ward=ward).said(WARD)) == {"ward": [0]}


def test_two_groups_under_the_minimum_hide_each_other():
    labels, ward = rows((20, 20, 0), (2, 2, 1), (1, 1, 2))
    assert shown(Patients(labels, ward=ward).said(WARD)) == {"ward": [0]}


def test_a_group_of_nobody_makes_nothing_else_withheld():
    labels, ward = rows((20, 20, 0), (5, 5, 1))
    assert shown(Patients(labels, ward=ward).said(WARD)) == {"ward": [0, 1]}


def test_patients_without_a_value_are_a_rest_too():
    labels, sex = rows((20, 20, 0), (9, 9, 1), (1, 0, -1))
    assert shown(Patients(labels, sex=sex).said(SEX)) == {"sex": [0]}


def test_of_nested_groups_the_few_between_do_not_follow():
    # Each of 6 + 6 pregnant patients is one of the 7 + 7 women: two women are left.
    pregnant = Column("pregnant", "pregnant", ("yes", "no"))
    labels, sex, state = rows((6, 6, 0, 0), (1, 1, 0, 1), (30, 30, 1, 1))
    said = shown(Patients(labels, sex=sex, pregnant=state).said(pregnant, SEX))
    assert not (said["sex"] and said["pregnant"])


def test_two_bandings_of_one_feature_do_not_tell_the_few_between_their_cuts():
    rough = Column("rough", "age", ("under 51", "51 and over"), (51,))
    fine = Column("fine", "age", ("under 50", "50 and over"), (50,))
    labels, in_rough, in_fine = rows((20, 20, 0, 0), (1, 0, 0, 1), (20, 20, 1, 1))
    said = Patients(labels, rough=in_rough, fine=in_fine).said(fine, rough)
    assert shown(said) == {"fine": [0, 1], "rough": []}


def test_columns_that_make_the_text_too_long_are_withheld_the_last_first(monkeypatch):
    labels, sex, ward = rows(*((9, 9, s, w) for s in range(2) for w in range(3)))
    patients = Patients(labels, sex=sex, ward=ward)
    assert shown(patients.said(SEX, WARD)) == {"sex": [0, 1], "ward": [0, 1, 2]}
    monkeypatch.setattr(subgroups, "TEXT_LIMIT_CHARS", 400)
    assert shown(patients.said(SEX, WARD)) == {"sex": [0, 1], "ward": []}


def test_a_patient_is_in_the_group_of_most_of_its_records():
    features, target = np.zeros((5, 1), np.float32), np.ones(5, np.float32)
    patient, sex = np.array([0, 0, 0, 1, 1]), np.array([1, 0, 1, -1, 0])
    part = PatientSet(features, target, patient, 2, {"sex": sex})
    masks = []

    def judge(mask):
        masks.append(mask.tolist())
        return figures.Figures("binary", withheld=figures.UNDER_MINIMUM)

    by_group(part, [SEX], judge)
    assert masks == [[False, True], [True, False]]


@st.composite
def hospitals(draw):
    cells = draw(
        st.dictionaries(
            st.tuples(st.integers(-1, 1), st.integers(-1, 2)),
            st.tuples(st.integers(0, 9), st.integers(0, 9)),
            min_size=1,
        )
    )
    labels, sex, ward = [], [], []
    for (in_sex, in_ward), (ill, healthy) in cells.items():
        labels += [1] * ill + [0] * healthy
        sex += [in_sex] * (ill + healthy)
        ward += [in_ward] * (ill + healthy)
    return Patients(labels, sex=sex, ward=ward)


def follows(known, wanted):
    """Tell whether a number is a sum and difference of those that are known."""
    matrix = np.array(known, float)
    return np.linalg.matrix_rank(np.vstack([matrix, wanted])) == np.linalg.matrix_rank(matrix)


@given(hospitals())
def test_nobody_under_the_minimum_follows_from_what_is_shown(patients):
    """By linear algebra: each cell of sex × ward is an unknown, shown groups are its sums."""
    said = shown(patients.said(SEX, WARD))
    cells = list(product((-1, 0, 1), (-1, 0, 1, 2)))
    places = {"sex": 0, "ward": 1}

    def indicator(name, wanted):
        return [float(cell[places[name]] in wanted) for cell in cells]

    known = [indicator(name, {place}) for name, groups in said.items() for place in groups]
    if patients.judge(np.ones(len(patients.labels), bool)).withheld:
        assert not known
        return
    known.append([1.0] * len(cells))
    for name, width in (("sex", 2), ("ward", 3)):
        every = range(-1, width)
        for wanted in chain.from_iterable(combinations(every, r) for r in range(1, width + 1)):
            mask = np.isin(patients.part.groups[name], wanted)
            if mask.any() and follows(known, indicator(name, wanted)):
                assert min(patients.classes(mask)) >= MINIMUM, (name, wanted)


@given(hospitals())
def test_what_a_hospital_says_passes_the_coordinators_own_check(patients):
    whole = patients.judge(np.ones(len(patients.labels), bool))
    for groups in patients.said(SEX, WARD).values():
        told = [one for one in groups if one]
        if told:
            left = subgroups.rest(whole, told)
            assert not left.count or subgroups.enough(left, MINIMUM)


FEATURES = [
    {"name": "u", "unit": "1", "kind": "real", "range": [-9, 9], "bands": {"side": [0.0]},
     "reference": {"mean": 0, "std": 1}, "missing": {"at_most": 0.1, "fill": 0}},
    {"name": "v", "unit": "1", "kind": "real", "range": [-9, 9],
     "reference": {"mean": 0, "std": 1}},
]  # fmt: skip


def test_an_evaluation_says_the_bands_that_the_agreement_names(hospital):
    h = hospital(patients=800, data__features=FEATURES, data__subgroups=["side"])
    made = evaluate(h.evaluation())
    told = subgroups.from_json(made.subgroups, h.agreement)
    subgroups.check(told, made.figures, h.agreement)
    low, high = told["side"]
    assert low.count + high.count == made.figures.count
    held_out = ready(h.spec(), h.document).held_out
    assert abs(low.count - (held_out.features[:, 0] < 0).mean() * held_out.patients) < 20


def test_bands_are_of_values_before_a_missing_one_is_filled(hospital):
    h = hospital(patients=800, data__features=FEATURES, data__subgroups=["side"])
    lines = h.csv.read_text().splitlines()
    cut = [line.split(",") for line in lines[1:]]
    gone = [[row[0], "" if int(row[0][1:]) % 20 == 0 else row[1], *row[2:]] for row in cut]
    h.csv.write_text("\n".join([lines[0], *map(",".join, gone)]) + "\n")
    held_out = ready(h.spec(), h.document).held_out
    assert (held_out.groups["side"] == -1).any()
    assert (ready(h.spec(), h.document).train.groups["side"] >= -1).all()


def test_an_agreement_without_subgroups_says_none(hospital):
    assert evaluate(hospital().evaluation()).subgroups == ""
