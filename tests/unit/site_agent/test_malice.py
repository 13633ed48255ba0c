"""A coordinator that means no good: what it says never binds the site beyond its own rules."""

from __future__ import annotations

import grpc
import pytest
from hospital import FEDERATION, SITE, officer_of

from governance.consent import Consent
from protos.errors import Refused
from protos.words import BlobRef, FinalModel, StatementReceipt, TaskAnswer
from site_agent import drafts, link, office
from site_agent.standing import standing_of
from site_agent.store import letters, notes


@pytest.mark.parametrize(
    "details",
    [
        "Received http2 header with status: 403",
        "RBAC: access denied",
        f"{'x' * 200}: too long",
        "no\x1b[2J: steers a terminal",
        "no rule at all",
        "",
    ],
)
def test_a_rule_that_is_none_does_not_stop_the_outbox_for_ever(charite, details):
    problem = link._ours(grpc.StatusCode.PERMISSION_DENIED, details, "download")
    assert isinstance(problem, Refused)
    assert problem.rule == "call-failed"
    answer = TaskAnswer("hearts/1/1/train", accepted=False, rule=problem.rule)
    charite.store.now(lambda c: letters.send(c, FEDERATION, answer, rule="task-refused"))
    assert charite.sent(TaskAnswer) == [answer]


def test_a_rule_that_is_one_is_kept():
    problem = link._ours(grpc.StatusCode.NOT_FOUND, "round-over: it is over", "upload")
    assert (problem.rule, problem.what) == ("round-over", "upload: it is over")


# --- receipts that come, change and come again -----------------------------------------------


def standing(charite, document):
    return charite.store.look(lambda c: standing_of(c, FEDERATION, document.digest))


def refused_at_first(charite, document, **told):
    """Consent, and have the ledger refuse it."""
    statement = charite.consent(document, **told)
    charite.take(StatementReceipt(statement.digest, accepted=False, rule="over-cap"))
    return statement


def test_a_refused_consent_does_not_come_back_after_the_officer_declined(charite):
    document = charite.proposed()
    given = refused_at_first(charite, document)
    draft = charite.store.look(lambda c: office.decline_draft(c, charite.m, document, "no"))
    charite.deliver(drafts.sign(draft, officer_of(SITE)))
    charite.take(StatementReceipt(given.digest, accepted=True, seq=9))
    assert standing(charite, document).state is Consent.DECLINED


def test_a_refused_consent_does_not_come_back_in_the_place_of_the_next(charite):
    document = charite.proposed()
    given = refused_at_first(charite, document, patients=60)
    charite.consent(document, patients=50)
    charite.take(StatementReceipt(given.digest, accepted=True, seq=9))
    now = standing(charite, document)
    assert (now.state, now.declared_patients) == (Consent.IN_FORCE, 50)


def test_a_consent_that_the_ledger_took_after_all_counts(charite):
    document = charite.proposed()
    given = refused_at_first(charite, document)
    charite.take(StatementReceipt(given.digest, accepted=True, seq=9))
    assert standing(charite, document).state is Consent.IN_FORCE


def test_a_final_model_larger_than_it_can_be_is_not_fetched(charite):
    document = charite.consented()
    charite.take(FinalModel(document.digest, BlobRef("e" * 64, 1 << 40)))
    assert charite.store.look(lambda c: notes.note(c, FEDERATION, notes.FINAL)) == ""
