"""Histories that honest parties make, admitted entry by entry: verification finds no fault."""

from __future__ import annotations

import pytest
from histories import History, beginning

from governance.ledger import source
from governance.ledger.verify import verify

PAIR = ("amc", "kul")


@pytest.fixture
def story(authorities, first_issuing, tmp_path):
    """A federation in which the first agreement is in force and nothing was trained yet."""
    with beginning(tmp_path / "ledger.db", authorities, first_issuing) as federation:
        told = History(federation)
        told.begin()
        yield told
        verdict = verify(source.Database(federation.connection))
        assert verdict.fault is None, verdict.sentence


def round_of(story, round_, agreement, sites=PAIR):
    story.open(round_, sites=sites, agreement=agreement)
    for site in sites:
        story.train(site, round_, agreement=agreement)
    story.close(round_, sites=sites, agreement=agreement)


def test_a_consent_to_a_proposal_outlives_that_another_agreement_takes_force(story):
    fed = story.fed
    for agreement in ("second", "third"):
        fed.propose(agreement)
        for site in PAIR:
            fed.consent(site, agreement, cap="12")
    fed.moved("superseded", "first")
    fed.moved("in-force", "third", *PAIR)
    round_of(story, 1, "third")
    fed.moved("superseded", "third")
    fed.moved("in-force", "second", *PAIR)
    round_of(story, 2, "second")


def test_a_consent_to_a_proposal_outlives_a_late_one_to_the_agreement_in_force(story):
    fed = story.fed
    fed.enrol_site("late")
    fed.propose("second")
    for site in ("amc", "late"):
        fed.consent(site, "second", cap="12")
    fed.consent("late", "first", cap="12")
    fed.moved("superseded", "first")
    fed.moved("in-force", "second", "amc", "late")
    story.trained["late"] = 0
    round_of(story, 1, "second", ("amc", "late"))


def test_an_agreement_with_the_same_material_terms_follows_without_new_consents(story):
    fed, terms = story.fed, story.fed.at(1)["agreement"]
    second = {"agreement": story.fed.at(1, agreement="second")["agreement"]}
    round_of(story, 1, "first")
    fed.propose("second", material="first")
    fed.moved("superseded", "first")
    fed.moved("in-force", "second", *PAIR, material="first")
    fed.consent("amc", "second", material="first", cap="12")
    round_of(story, 2, "second")
    fed.agent("kul", "consent-withdrawn", second)
    fed.agent("amc", "consent-suspended", second)
    fed.officer("amc", "consent-resumed", {**second, "material": terms})
    story.open(3, sites=("amc",), agreement="second")


def test_a_site_leaves_an_agreement_though_it_consented_to_the_same_terms_again(story):
    fed = story.fed
    fed.propose("second", material="first")
    for site in PAIR:
        fed.consent(site, "second", material="first", cap="12")
    story.open(1, sites=("amc", "kul", "ucl"))
    for site in ("amc", "kul", "ucl"):
        story.train(site, 1)
    fed.agent("kul", "consent-withdrawn", {"agreement": fed.at(1)["agreement"]})
    story.close(1, sites=("amc", "ucl"), out={"kul": "consent"})
    fed.moved("superseded", "first", material="first")
    fed.moved("in-force", "second", *PAIR, material="first")
    round_of(story, 2, "second")


def test_after_an_agreement_is_complete_another_follows(story):
    fed, second = story.fed, {"agreement": story.fed.at(1, agreement="second")["agreement"]}
    round_of(story, 1, "first")
    fed.moved("complete", "first")
    fed.agent("ucl", "consent-withdrawn", {"agreement": fed.at(1)["agreement"]})
    fed.propose("second")
    for site in PAIR:
        fed.consent(site, "second", cap="12")
    fed.officer("ucl", "consent-declined", second)
    fed.moved("in-force", "second", *PAIR)
    fed.agent("usz", "consent-withdrawn", {"agreement": fed.at(1)["agreement"]})
    round_of(story, 2, "second")


def test_a_site_that_is_revoked_while_a_round_is_open_is_left_out(story):
    fed = story.fed
    story.open(1, sites=("amc", "kul", "usz"))
    for site in ("amc", "kul", "usz"):
        story.train(site, 1)
    fed.operator("revoked", {"name": "usz", "serials": ["03"]})
    story.close(1, sites=PAIR, out={"usz": "consent"})
    round_of(story, 2, "first")


def test_enrolments_follow_a_new_issuing_authority(story):
    fed = story.fed
    for _ in range(2):
        key, pem = fed.authorities.issue()
        body = {
            "name": "authority",
            "usage": "authority",
            "old": fed.authority.key_id,
            "new": key.key_id,
            "issuing": pem,
        }
        fed.say("key-rotated", body, "coordinator", fed.key("ledger"), key)
        fed.authority = key
        name = f"new-{fed.now.second}"
        fed.enrol_site(name)
        fed.certify(name, "site", f"a{fed.now.second:x}")
    fed.enrol("operator", "other")
    round_of(story, 1, "first")


def test_an_officers_key_is_replaced_and_the_new_one_consents(story):
    fed = story.fed
    body = {
        "name": "amc",
        "usage": "officer",
        "old": fed.key("amc officer").key_id,
        "new": fed.key("amc officer 2").key_id,
    }
    fed.say("key-rotated", body, "site/amc", fed.key("amc officer"), fed.key("amc officer 2"))
    fed.keys["amc officer"] = fed.key("amc officer 2")
    fed.propose("second")
    for site in PAIR:
        fed.consent(site, "second", cap="12")
    fed.moved("superseded", "first")
    fed.moved("in-force", "second", *PAIR)
    round_of(story, 1, "second")
