"""A privacy audit that is put on record: of whom, saying what, and signed by whom."""

from __future__ import annotations

import pytest

from governance.ledger import check_privacy
from governance.privacy.accountant import epsilon, format_epsilon
from governance.privacy.auditing import Guesses, lower_bound
from governance.privacy.releases import Release
from governance.terminal import Answer
from protos.errors import Refused
from site_agent import privacy_record

COLUMNS = ("noise", "claimed_epsilon", "at_least", "canaries", "guesses", "right", "finding")
CLAIMED = format_epsilon(epsilon([Release(0.1, 2.0, 4)], 1e-5))


def answer(right, bare=200):
    """What an audit of one round of the small agreement says."""
    rows = [
        ("", CLAIMED, f"{lower_bound(Guesses(1000, 200, v), 1e-5):.4f}", 1000, 200, v, "")
        for v in (right, bare)
    ]
    facts = {"rounds": 1, "steps": 4, "delta": 1e-5, "confidence": 0.95}
    return Answer(COLUMNS, rows, facts=facts)


@pytest.mark.parametrize(("right", "finding"), [(120, "within-claim"), (190, "refuted")])
def test_what_is_recorded_follows_from_the_audits_numbers(charite, right, finding):
    document = charite.consented()
    body = privacy_record.body_of(document, answer(right))
    check_privacy.check_bound(body)
    assert (body["finding"], body["agreement"]) == (finding, document.digest)


def test_a_recorded_audit_is_signed_by_the_agent_and_waits_to_be_sent(charite):
    document = charite.consented()
    privacy_record.record(document, answer(120), charite.file, None)
    (said,) = charite.said("privacy-audited")
    assert said.statement.body["right"] == 120


def test_an_audit_that_finds_nothing_without_noise_is_not_recorded(charite):
    with pytest.raises(Refused) as refused:
        privacy_record.record(charite.consented(), answer(120, 100), charite.file, None)
    assert refused.value.rule == "audit-too-weak"
    assert charite.said("privacy-audited") == []


@pytest.mark.parametrize(
    ("synthetic", "without_noise"), [(False, False), (True, True), (False, True)]
)
def test_no_audit_of_patients_or_without_the_agreed_noise_is_recorded(synthetic, without_noise):
    with pytest.raises(Refused) as refused:
        privacy_record.check_may(synthetic=synthetic, without_noise=without_noise)
    assert refused.value.rule == "audit-not-recordable"
