"""Holds, and values that are erased: who asks, who may, and what is left of them."""

from __future__ import annotations

import pytest
from admission import content
from sqlalchemy import select

from governance import keeping, statements
from governance.ledger import projections, schema, showing, store
from protos.errors import Refused


def disclosure(label, value):
    return statements.disclose(label, value, salt=bytes(32))


REASON = (disclosure("reason", "a court asked"),)


def subject_of(name):
    return {"subject": name}


def hold(federation, subject, kind="hold-set"):
    return federation.operator(kind, subject_of(subject), told=REASON)


def ask(federation, seq, label="officer", site="amc"):
    return federation.officer(site, "erasure-requested", {"entry": seq, "label": label})


def erase(federation, seq, label="officer"):
    return federation.operator("erased", {"entry": seq, "label": label})


def consent_of(federation, site="amc"):
    wanted = select(schema.entries.c.seq).where(
        schema.entries.c.kind == "consent-given", schema.entries.c.site == site
    )
    return federation.connection.execute(wanted).scalar_one()


def told(federation, seq):
    return {one.label for one in store.disclosures_of(federation.connection, seq, seq + 1)[seq]}


def shown(federation, seq):
    return dict(showing.show(federation.connection, seq).rows)


def test_an_erased_value_is_gone_and_its_entry_and_the_tree_stay(agreed):
    seq = consent_of(agreed)
    ask(agreed, seq)
    before = store.head(agreed.connection)
    leaf = shown(agreed, seq)["leaf"]
    by = erase(agreed, seq)
    assert told(agreed, seq) == {"role"}
    assert shown(agreed, seq)["leaf"] == leaf
    assert shown(agreed, seq)["disclosed officer"] == f"erased, seq {by}"
    assert store.head(agreed.connection).size == before.size + 1
    assert store.consistency(agreed.connection, before.size, before.size + 1)


def test_what_a_hospital_said_is_erased_only_when_its_officer_asked(agreed, refuses):
    seq = consent_of(agreed)
    refuses("owner-did-not-ask", erase, agreed, seq)
    ask(agreed, seq, "role")
    refuses("owner-did-not-ask", erase, agreed, seq, "officer")
    erase(agreed, seq, "role")


def test_an_agent_cannot_ask_for_an_erasure(agreed, refuses):
    body = {"entry": consent_of(agreed), "label": "officer"}
    refuses("wrong-signer", agreed.agent, "amc", "erasure-requested", body)


def test_as_many_officers_ask_as_the_enrolment_says(new):
    new.found()
    new.enrol("operator", "ops")
    new.enrol_site("amc", ["one", "two"], needed=2)
    new.propose("first")
    officers = new.key("one"), new.key("two")
    officer = (disclosure("officer", "A. Person"), disclosure("role", "director"))
    body = new.consent_body("first")
    seq = new.say("consent-given", body, "site/amc", *officers, told=officer)
    asked = {"entry": seq, "label": "officer"}
    with pytest.raises(Refused) as caught:
        new.say("erasure-requested", asked, "site/amc", officers[0])
    assert caught.value.rule == "officer-needed"
    new.say("erasure-requested", asked, "site/amc", *officers)
    erase(new, seq)


def test_a_hospital_asks_for_its_own_values_alone(agreed, refuses):
    refuses("not-yours", ask, agreed, consent_of(agreed, "ucl"))


def test_an_operators_own_value_needs_no_officer(agreed):
    seq = hold(agreed, "site/ucl")
    erase(agreed, seq, "reason")
    assert seq not in store.disclosures_of(agreed.connection, seq, seq + 1)


def test_nothing_is_erased_that_no_entry_commits_to(agreed, refuses):
    refuses("no-such-disclosure", erase, agreed, 0, "officer")
    refuses("no-such-disclosure", erase, agreed, 9999, "officer")
    refuses("no-such-disclosure", ask, agreed, consent_of(agreed), "reason")


def test_a_value_is_erased_once_and_asked_for_once(agreed, refuses):
    seq = consent_of(agreed)
    ask(agreed, seq)
    refuses("erasure-asked", ask, agreed, seq)
    erase(agreed, seq)
    refuses("erased-before", erase, agreed, seq)


@pytest.mark.parametrize("subject", ["all", "site/amc", "entry"])
def test_nothing_is_erased_under_a_hold_until_it_is_lifted(agreed, refuses, subject):
    seq = consent_of(agreed)
    subject = f"entry/{seq}" if subject == "entry" else subject
    ask(agreed, seq)
    hold(agreed, subject)
    refuses("under-hold", erase, agreed, seq)
    hold(agreed, subject, "hold-lifted")
    erase(agreed, seq)


def test_a_hold_on_a_round_protects_what_was_said_of_it_and_nothing_else(agreed, refuses):
    agreed.open_round(1)
    hold(agreed, "round/1")
    figures = (disclosure("figures", "{}"),)
    model = {**agreed.at(1), "model": "0" * 64, "refusal": "gate"}
    seq = agreed.coordinator("candidate-rejected", model, told=figures)
    refuses("under-hold", erase, agreed, seq, "figures")
    ask(agreed, consent_of(agreed))
    erase(agreed, consent_of(agreed))


def test_a_hold_elsewhere_protects_nothing_here(agreed):
    ask(agreed, consent_of(agreed))
    hold(agreed, "site/ucl")
    erase(agreed, consent_of(agreed))


def test_a_hold_is_set_once_and_lifted_once(agreed, refuses):
    hold(agreed, "site/amc")
    refuses("held-already", hold, agreed, "site/amc")
    hold(agreed, "site/amc", "hold-lifted")
    refuses("not-held", hold, agreed, "site/amc", "hold-lifted")
    hold(agreed, "site/amc")


@pytest.mark.parametrize("subject", ["site/nobody", "site/ops", "round/1", "entry/9999"])
def test_a_hold_is_on_something_that_there_is(agreed, refuses, subject):
    refuses("unknown-subject", hold, agreed, subject)


@pytest.mark.parametrize("subject", ["", "amc", "site/", "round/01", "entry/-1", "all/", "x/1"])
def test_a_subject_has_one_form(subject):
    assert not keeping.is_subject(subject)
    with pytest.raises(Refused):
        keeping.check_subject(subject)


@pytest.mark.parametrize("text", ["", "17", "17:", ":officer", "017:officer", "17:Officer"])
def test_a_disclosed_value_is_named_by_entry_and_label(text):
    assert keeping.parse_disclosure("17:officer") == (17, "officer")
    with pytest.raises(Refused):
        keeping.parse_disclosure(text)


def test_a_rebuild_makes_the_same_tables_and_brings_no_value_back(agreed):
    seq = consent_of(agreed)
    ask(agreed, seq)
    erase(agreed, seq)
    hold(agreed, "site/ucl")
    hold(agreed, "site/ucl", "hold-lifted")
    before = content(agreed.connection)
    projections.rebuild(agreed.connection)
    assert content(agreed.connection) == before


def test_a_copy_that_takes_the_erasure_in_takes_its_value_away(agreed):
    seq = consent_of(agreed)
    ask(agreed, seq)
    size = store.size_of(agreed.connection)
    held = list(store.entries(agreed.connection, 0, size, disclosed=True))
    by = erase(agreed, seq)
    news = list(store.entries(agreed.connection, by, by + 1, disclosed=True))
    engine = store.open_engine("sqlite://")
    store.create(engine)
    with engine.begin() as c:
        store.append_mirrored(c, held)
        assert len(store.disclosures_of(c, seq, seq + 1)[seq]) == 2
        store.append_mirrored(c, news)
        assert [one.label for one in store.disclosures_of(c, seq, seq + 1)[seq]] == ["role"]
    engine.dispose()
