"""Privacy tests on record: admitted when their figures agree, held against them by `verify`."""

from __future__ import annotations

import pytest
from answers import rows
from verdicts import found

from governance.ledger import query_privacy
from protos.errors import Refused

LIES = [
    ({"finding": "refuted"}, "another finding"),
    ({"claimed": "0.1"}, "another finding"),
    ({"without_noise": "1.5"}, "proves nothing"),
    ({"right": 201}, "more guesses"),
    ({"canaries": 1_000_000}, "more than 100,000"),
]
DEEPER = [
    ({"at_least": "0.0500"}, "another bound"),
    ({"at_least": "0.3000"}, "another bound"),
    ({"claimed": "3.9"}, "larger ε than its steps cost"),
]


def appended(ledger, keys, speak, body, site="amc"):
    key = {"amc": "amc agent 2"}.get(site, f"{site} agent")
    ledger.append(speak("privacy-audited", body, f"site/{site}", keys.key(key)))
    return len(ledger.entries()) - 1


def test_a_privacy_test_whose_figures_agree_is_no_fault(ledger, keys, speak):
    appended(ledger, keys, speak, keys.audit_body())
    assert ledger.verdict().verified


@pytest.mark.parametrize(("change", "said"), LIES + DEEPER)
def test_a_privacy_test_that_does_not_follow_from_its_numbers_is_named(
    ledger, keys, speak, change, said
):
    seq = appended(ledger, keys, speak, keys.audit_body(**change))
    assert said in found(ledger.verdict(), seq, "audit-misstated")


def test_a_privacy_test_of_terms_that_its_site_never_consented_to_is_named(ledger, keys, speak):
    second = keys.at(1, 1, "second")["agreement"]
    seq = appended(ledger, keys, speak, keys.audit_body(agreement=second), "kul")
    found(ledger.verdict(), seq, "no-consent")


@pytest.mark.parametrize(("change", "said"), LIES)
def test_the_coordinator_admits_no_privacy_test_that_contradicts_itself(
    asked, keys, change, said
):
    from types import SimpleNamespace

    from governance.ledger import project_privacy

    entry = SimpleNamespace(body=keys.audit_body(**change), actor_name="amc")
    with pytest.raises(Refused, match=said) as refused:
        project_privacy.privacy_audited(asked, entry)
    assert refused.value.rule == "audit-misstated"


def test_tests_are_asked_for_by_the_release_of_their_agreement(ledger, keys, speak):
    with ledger.reading() as connection:
        none = query_privacy.audits(connection)
        assert (none.rows, none.notes) == ([], ("No privacy test was recorded.",))
    appended(ledger, keys, speak, keys.audit_body())
    with ledger.reading() as connection:
        answer = query_privacy.audits(connection)
        assert rows(answer, "site", "at_least", "finding") == [
            ("amc", "0.1579", "within-claim")
        ]
        with pytest.raises(Refused) as refused:
            query_privacy.audits(connection, "v9")
    assert refused.value.rule == "unknown-release"


def test_statistics_that_left_exactly_have_no_epsilon(asked):
    answer = query_privacy.statistics(asked, site="kul")
    assert rows(answer, "round", "mechanism", "epsilon") == [(1, "exact", None)]
    assert "Figures left exactly 1 time" in " ".join(answer.notes)
    nobody = query_privacy.statistics(asked, site="usz")
    assert nobody.notes == ("No statistic of patients left.",)
