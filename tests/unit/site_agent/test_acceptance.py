"""All that a hospital's own file says against an agreement is said at once, with who acts."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hospital import FEDERATION

from governance.findings import Verdict
from governance.privacy.releases import Release
from protos.errors import Refused
from site_agent import desk
from site_agent.acceptance import Law, objections
from site_agent.preflight import practice
from site_agent.preflight.limits import limits
from site_agent.store import work
from site_agent.store.work import Spent

STRICT = {
    "policy__require_secure_aggregation": True,
    "policy__minimum_sites": 4,
    "policy__purposes": ["DUO:0000042"],
    "policy__models": ["builtin:mlp"],
    "policy__unsafe": [],
    "resources__isolation": "required",
}
STRICT_RULES = (
    "unsafe-terms",
    "secure-aggregation-required",
    "purpose-not-allowed",
    "model-not-approved",
    "minimum-sites",
)


def test_every_rule_that_an_agreement_breaks_is_found(make):
    strict = make(**STRICT)
    found = objections(strict.document(), Law.of(strict.settings))
    assert tuple(one.rule for one in found) == STRICT_RULES


def test_each_objection_says_what_to_do(make):
    strict = make(**STRICT)
    outside = strict.document(roster=("amc", "ucl", "kth"), aggregation__secure=True)
    unlisted = replace(Law.of(strict.settings), isolation="none")
    found = objections(outside, unlisted) + objections(strict.document(), unlisted)
    assert {"not-in-roster", "no-isolation"} < {one.rule for one in found}
    assert all(one.todo for one in found)


def test_all_foreign_purposes_are_named(charite):
    document = charite.document(purpose=["DUO:0000006", "DUO:0000042", "DUO:0000007"])
    (found,) = objections(document, Law.of(charite.settings))
    assert "DUO:0000007, DUO:0000042" in found.what


WHEEL = "ab" * 32
OF_A_WHEEL = {
    "model": {
        "name": "own",
        "wheel": WHEEL,
        "parameters": [{"name": "weight", "shape": [1, 2]}, {"name": "bias", "shape": [1]}],
    }
}


@pytest.mark.parametrize(
    ("models", "isolation", "rules"),
    [
        ([WHEEL], "required", set()),
        (["builtin:linear"], "required", {"model-not-approved"}),
        (["builtin:own"], "required", {"model-not-approved"}),
        ([WHEEL], "none", {"wheel-not-confined"}),
    ],
)
def test_a_wheel_trains_where_its_digest_is_approved_and_the_worker_confined(
    make, models, isolation, rules
):
    h = make(policy__models=models, resources__isolation=isolation)
    found = objections(h.document(**OF_A_WHEEL), Law.of(h.settings))
    assert {one.rule for one in found} == rules


def test_the_review_names_the_wheel_whose_code_would_run(make):
    h = make(policy__models=[WHEEL], resources__isolation="required")
    said = " ".join(desk.reviewed(h.m, h.proposed(**OF_A_WHEEL)).text.split())
    assert "Its code is a wheel, abababababab" in said


def test_preflight_lists_every_objection_also_before_the_roster_is_filled(make):
    strict = make(**STRICT)
    draft = strict.document(roster=("amc", "ucl", "kth"))
    found = list(practice.own_law(draft, strict.settings))
    assert [one.verdict for one in found] == [Verdict.LOOK] + 5 * [Verdict.STOPS]
    assert all(one.who and one.todo for one in found)


def test_the_review_lists_every_objection(make):
    strict = make(**STRICT)
    reviewed = desk.reviewed(strict.m, strict.proposed())
    said = " ".join(reviewed.text.split())
    assert "own file refuses it, for 5 reasons:" in said
    for one in reviewed.objections:
        assert one.what[1:] in said
        assert one.todo in said
    assert max(map(len, reviewed.text.splitlines())) < 80


def test_a_refused_consent_names_every_objection(make):
    strict = make(**STRICT)
    with pytest.raises(Refused) as told:
        strict.consent(strict.proposed())
    assert told.value.rule == "own-policy"
    assert "for 5 reasons" in str(told.value)
    assert "minimum_sites" in str(told.value)


# --- limits that stop later ------------------------------------------------------------------


def limited(hospital, **changes):
    agreement = hospital.document(**changes).agreement
    return {one.check: one for one in limits(agreement, hospital.settings, "patients")}


def test_a_cap_that_bears_all_rounds_is_fine(charite):
    assert limited(charite)["budget"].verdict is Verdict.FINE


def test_a_cap_that_bears_some_rounds_is_for_the_officer_to_look_at(make):
    found = limited(make(policy__cap={"epsilon": 1.0, "delta": 1e-5}))["budget"]
    assert (found.verdict, found.who) == (Verdict.LOOK, "the officer")


def test_a_cap_that_bears_no_round_stops(make):
    found = limited(make(policy__cap={"epsilon": 0.01, "delta": 1e-5}))["budget"]
    assert found.verdict is Verdict.STOPS
    assert "bears 0 of 20 rounds" in found.found


def test_what_the_cohort_spent_before_counts_against_the_cap(charite):
    release = Release(0.3, 1.0, 20)
    spent = Spent(FEDERATION, "t", "patients", "a" * 64, 1, 1, release, 1e-5, "5.1")
    charite.store.now(lambda c: work.reserve(c, spent, at=charite.clock()))
    assert limited(charite)["budget"].verdict is Verdict.STOPS


def test_an_update_larger_than_the_bytes_of_a_day_stops(make):
    small = make(policy__bytes_per_day="8B")
    assert limited(small)["bytes a day"].verdict is Verdict.STOPS
    assert "bytes a day" not in limited(make())
