"""Holds and erasures in a record: broken rules are found, and values that came back or went."""

from __future__ import annotations

import pytest
from verdicts import found

from governance import statements
from governance.ledger import projections, store
from governance.ledger.export import export
from governance.ledger.signatures import Signatures
from governance.ledger.source import Database, Export

REASON = (statements.disclose("reason", "a court asked", salt=bytes(32)),)


@pytest.fixture
def consent(ledger):
    """Return the seq of a consent of ucl, which discloses officer and role."""
    return ledger.seq_of("consent-given", actor="site/ucl")


@pytest.fixture
def say(ledger, keys, speak):
    """Append a statement that nobody admitted; return its seq."""

    def say(kind, body, who="ops"):
        actor = "operator/ops" if who == "ops" else f"site/{who.split()[0]}"
        told = REASON if kind.startswith("hold") else ()
        ledger.append(speak(kind, body, actor, keys.key(who), told=told))
        return len(ledger.entries()) - 1

    return say


def value(seq, label="officer"):
    return {"entry": seq, "label": label}


def judged(ledger):
    return ledger.verdict(signatures=Signatures.SITE)


def forget(ledger, seq, label="officer"):
    ledger.run(("DELETE FROM disclosures WHERE seq = ? AND label = ?", seq, label))


def of_the_coordinator(ledger):
    """Put the coordinator's own tables beside the ledger, as they are in its database."""
    ledger.run(("CREATE TABLE invitations (secret TEXT)",))


def test_an_erasure_that_its_owner_asked_for_is_no_fault(ledger, consent, say):
    say("erasure-requested", value(consent), "ucl officer")
    say("erased", value(consent))
    forget(ledger, consent)
    assert judged(ledger).verified


def test_an_erased_value_that_is_still_disclosed_is_found(ledger, consent, say):
    say("erasure-requested", value(consent), "ucl officer")
    seq = say("erased", value(consent))
    assert "still" in found(judged(ledger), seq, "still-disclosed")


def test_an_erasure_that_no_officer_asked_for_is_found(ledger, consent, say):
    forget(ledger, consent)
    seq = say("erased", value(consent))
    found(judged(ledger), seq, "owner-did-not-ask")


def test_an_erasure_asked_for_by_another_hospital_is_found(ledger, consent, say):
    seq = say("erasure-requested", value(consent), "amc officer")
    found(judged(ledger), seq, "not-yours")


def test_evidence_destroyed_under_a_hold_is_found(ledger, consent, say):
    say("erasure-requested", value(consent), "ucl officer")
    say("hold-set", {"subject": "site/ucl"})
    seq = say("erased", value(consent))
    found(judged(ledger), seq, "under-hold")


def test_what_is_erased_after_its_hold_was_lifted_is_no_fault(ledger, consent, say):
    say("erasure-requested", value(consent), "ucl officer")
    say("hold-set", {"subject": "site/ucl"})
    say("hold-lifted", {"subject": "site/ucl"})
    say("erased", value(consent))
    forget(ledger, consent)
    assert judged(ledger).verified


@pytest.mark.parametrize(
    ("acts", "rule"),
    [
        (("hold-set", "hold-set"), "held-already"),
        (("hold-lifted",), "not-held"),
    ],
)
def test_a_hold_that_cannot_follow_is_found(ledger, say, acts, rule):
    seqs = [say(act, {"subject": "all"}) for act in acts]
    found(judged(ledger), seqs[-1], rule)


def test_an_erasure_of_what_was_never_disclosed_is_found(ledger, consent, say):
    seq = say("erased", value(consent, "reason"))
    found(judged(ledger), seq, "no-such-disclosure")


def test_a_value_erased_twice_is_found(ledger, consent, say):
    say("erasure-requested", value(consent), "ucl officer")
    forget(ledger, consent)
    say("erased", value(consent))
    seq = say("erased", value(consent))
    found(judged(ledger), seq, "erased-before")


def test_a_value_that_went_without_an_entry_is_found_at_the_coordinator(ledger, consent):
    of_the_coordinator(ledger)
    assert ledger.verdict().verified
    forget(ledger, consent)
    assert "officer" in found(ledger.verdict(), consent, "disclosure-lost")


def test_a_hospitals_copy_may_lack_values(ledger, consent):
    forget(ledger, consent)
    assert ledger.verdict().verified


def test_an_export_made_after_an_erasure_lacks_the_value(ledger, consent, say, tmp_path):
    say("erasure-requested", value(consent), "ucl officer")
    say("erased", value(consent))
    engine = store.open_engine(f"sqlite:///{ledger.path}")
    with engine.begin() as c:
        projections.rebuild(c)
    with store.reading(engine) as c:
        export(Database(c), tmp_path / "export")
    engine.dispose()
    told = {(seq, one.label) for seq, one in Export(tmp_path / "export").disclosures()}
    assert (consent, "role") in told
    assert (consent, "officer") not in told
