"""The review: what an officer must know before signing, in words, at this very hospital."""

from __future__ import annotations

import hashlib

from hospital import FEDERATION

from governance.privacy.releases import Release
from protos.words import AgreementState
from site_agent import desk
from site_agent.store import work
from site_agent.store.work import Spent


def review(hospital, document):
    return desk.reviewed(hospital.m, document)


def test_it_says_what_is_read_what_leaves_and_who_can_see_it(charite):
    text = review(charite, charite.proposed()).text
    for words in (
        "What leaves this hospital, and who can read it",
        "Read by the coordinator",
        "one from ONE",
        "two from TWO × 0.1",
        "died from DIED, where J is 1, N is 0",
        "patients by the column MRN",
        "20 % of the patients",
    ):
        assert words in text.replace("\n    ", " "), words


def test_figures_by_subgroup_are_said_where_the_agreement_names_them(charite):
    assert "Also by subgroup" not in review(charite, charite.proposed()).text
    terms = {"data__subgroups": ["band"], "data__features__0__bands": {"band": [5]}}
    text = review(charite, charite.proposed(**terms, privacy__metrics__minimum=12)).text
    assert "Also by subgroup (band): no group under 12" in text.replace("\n    ", " ")


def test_what_becomes_of_a_late_update_is_said_where_it_still_counts(charite):
    assert "too late" not in review(charite, charite.proposed()).text
    text = review(charite, charite.proposed(round__late="next-round")).text
    assert "too late counts in the next round, in place of" in text.replace("\n    ", " ")


def test_its_digest_is_that_of_the_very_text(charite):
    reviewed = review(charite, charite.proposed())
    assert reviewed.digest == hashlib.sha256(reviewed.text.encode()).hexdigest()
    assert max(map(len, reviewed.text.splitlines())) < 80


def test_what_was_spent_before_counts_and_the_stop_is_named(charite):
    document = charite.proposed()
    fresh = review(charite, document)
    assert fresh.stops_in_round == 0
    spent = Spent(
        "lungs", "lungs/1", "patients", "a" * 64, 1, 1, Release(0.3, 1.0, 20), 1e-5, "5.1"
    )
    charite.store.now(lambda c: work.reserve(c, spent, at=charite.clock()))
    later = review(charite, document)
    assert 0 < later.stops_in_round <= 20
    assert f"stops this hospital in round {later.stops_in_round} of 20" in later.text


def test_rounds_already_trained_are_not_counted_twice(charite):
    document = charite.consented()
    release = Release(0.1, 2.0, 4)
    for round_ in range(1, 21):
        spent = Spent(
            FEDERATION, f"t{round_}", "patients", document.digest, round_, 1, release, 1e-5, "1"
        )
        charite.store.now(lambda c, s=spent: work.reserve(c, s, at=charite.clock()))
    reviewed = review(charite, document)
    assert reviewed.stops_in_round == 0
    (sentence,) = [s for s in reviewed.text.split(";") if "rounds of this one" in s]
    so_far = reviewed.text.split("spent ε ")[1].split()[0]
    assert f"bring it to ε {so_far}" in sentence.replace("\n    ", " ")


def test_the_noise_that_a_target_asks_for_is_said_before_anybody_signs(charite):
    terms = {"privacy__noise_multiplier": None, "privacy__target": {"epsilon": 2.0}}
    document = charite.proposed(**terms)
    said = review(charite, document).text.replace("\n    ", " ")
    sigma = f"{document.agreement.sigma:g}"
    assert f"The noise multiplier {sigma} is computed from the target ε = 2" in said


def test_unsafe_terms_are_shouted(make):
    liberal = make(policy__unsafe=["no-isolation", "exact-small-classes", "no-noise"])
    text = review(liberal, liberal.proposed(privacy__noise_multiplier=0)).text
    assert "UNSAFE (no-noise)" in text
    assert "UNSAFE (no-isolation)" in text
    assert "no ε bounds" in text


def test_what_this_hospitals_own_file_refuses_is_said_first(make):
    strict = make(policy__minimum_sites=4)
    reviewed = review(strict, strict.proposed())
    assert "own file refuses it" in reviewed.text.splitlines()[2]
    assert "minimum_sites: 4" in reviewed.objections[0].what


def test_what_changed_since_the_last_signature_is_said_with_its_class(charite):
    first = charite.consented()
    assert "not signed an agreement" in review(charite, first).text
    second = charite.proposed(schedule__rounds=30, title="A longer study")
    text = review(charite, second).text
    assert "[m] material" in text
    assert "schedule.rounds: 20 -> 30" in text
    assert "[e] editorial" in text


def test_the_newest_agreement_that_waits_is_the_one_at_hand(charite):
    first = charite.consented()
    assert desk.proposal(charite.m).digest == first.digest
    second = charite.proposed(title="Another")
    assert desk.proposal(charite.m).digest == second.digest
    charite.take(AgreementState(second.digest, "proposed"))
    assert desk.proposal(charite.m, first.digest[:10]).digest == first.digest


def test_a_column_that_is_not_mapped_is_said(make):
    lacking = make(cohorts__patients__map={"one": {"column": "ONE"}, "x": {"column": "X"}})
    text = review(lacking, lacking.proposed()).text
    assert "two: site.yaml maps no column to it" in text
    assert "not read for this agreement: x" in text


def test_the_demonstrations_review_fits_two_screens(charite):
    """Thirty features, under the names that hospitals give them."""
    from pathlib import Path

    from governance.agreement.load import load
    from governance.privacy.releases import Release
    from governance.settings import load_site
    from site_agent.review import Place
    from site_agent.review import review as written

    demo = Path(__file__).parents[3] / "configs" / "breast-cancer"
    for name in ("lakeside", "eastfield"):
        settings = load_site(demo / "sites" / name / "site.yaml")
        place = Place(settings, "needle-aspirates", (), Release(0.2, 1.25, 5))
        lines = written(load(demo / "agreement.yaml"), place).text.splitlines()
        assert len(lines) <= 100
        assert max(map(len, lines)) < 80


def test_epsilon_is_said_in_plain_words(charite):
    text = " ".join(review(charite, charite.proposed()).text.split())
    assert "what anybody can learn of one patient" in text
    assert "1 in 100,000" in text
    assert "a factor of " in text


def test_all_terms_are_there_for_who_reads_on(charite):
    reviewed = review(charite, charite.proposed())
    for title in ("Who takes part", "When a new model is accepted", "How long, and when"):
        assert title in reviewed.terms
        assert title not in reviewed.text
    assert "two (1): your column TWO × 0.1" in reviewed.terms


def test_the_paper_to_sign_has_the_text_its_digest_and_lines(charite):
    reviewed = review(charite, charite.proposed())
    assert reviewed.to_sign.startswith(reviewed.text)
    assert reviewed.digest in reviewed.to_sign
    assert "Signature" in reviewed.to_sign


# --- figures with noise ----------------------------------------------------------------------

NOISED = {"noised": {"epsilon_total": 1.0, "every": 5}, "minimum": 10}


def test_exact_figures_are_said_to_be_outside_of_every_epsilon(charite):
    text = review(charite, charite.proposed()).text
    assert "Held-out patients' figures are exact and not covered by ε." in text


def test_noised_figures_are_counted_and_said_with_what_they_cost(charite):
    exact = review(charite, charite.proposed())
    noised = review(charite, charite.proposed(privacy__metrics=NOISED))
    said = " ".join(noised.text.split())
    assert "Every 5 rounds: figures of quality on patients held back (noised;" in said
    assert "counts the figures of held-out patients: 4 times with noise, ε 0.99" in said
    assert "not covered" not in noised.text
    assert after(noised) > after(exact) + 0.05


def after(reviewed):
    """Return what ε the review says that all rounds bring the cohort to."""
    said = " ".join(reviewed.text.split())
    return float(said.partition("of this one bring it to ε ")[2].split(":")[0])


def test_the_round_in_which_a_cap_stops_is_sooner_with_noised_figures(make):
    careful = make(policy__cap={"epsilon": 1.2, "delta": 1e-5})
    exact = review(careful, careful.proposed(schedule__rounds=100))
    terms = {"privacy__metrics": NOISED, "schedule__rounds": 100}
    assert 0 < review(careful, careful.proposed(**terms)).stops_in_round < exact.stops_in_round
