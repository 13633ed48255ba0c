"""Other processes check signatures ahead; what they do not call good the walk checks itself."""

from __future__ import annotations

import pytest
from test_verify_incremental import badly_signed
from verdicts import found

from governance.ledger import ahead, source
from governance.ledger.verify import verify

SAID = {"program": "concilium-site", "version": "0.1.0", "os": "Linux 6.1"}
CORES = frozenset({0, 1})


@pytest.fixture
def held(ledger, monkeypatch):
    """The history as it lies there, on a machine with two cores."""
    monkeypatch.setattr("os.sched_getaffinity", lambda _: CORES)
    with ledger.reading() as connection:
        yield source.Database(connection)


def by_authority(entry):
    return b'"keyid":"x509:' in entry.envelope


def test_good_signatures_are_found_ahead_but_for_the_authoritys(held):
    with ahead.beginning(held, worth_it=1) as others:
        told = list(others.checked(held.entries()))
    assert [entry for entry, _ in told] == list(held.entries())
    assert [good for _, good in told] == [not by_authority(entry) for entry, _ in told]


def test_entries_that_nobody_asks_about_are_handed_on_unchecked(held):
    with ahead.beginning(held, worth_it=1) as others:
        told = list(others.checked(held.entries(), since=20))
    assert not any(good for entry, good in told if entry.seq < 20)
    assert all(good for entry, good in told if entry.seq >= 20 and not by_authority(entry))


def test_bad_signature_is_found_with_other_processes_too(ledger, keys, speak, held):
    said = badly_signed(speak("software-started", SAID, "site/ucl", keys.key("ucl agent")))
    seq = len(ledger.entries())
    ledger.append(said)
    with ledger.reading() as connection:
        log = source.Database(connection)
        with ahead.beginning(log, worth_it=1) as others:
            found(verify(log, ahead=others), seq, "bad-signature")


def test_processes_that_died_leave_the_work_to_the_walk(held, monkeypatch):
    monkeypatch.setattr(ahead, "_ANSWERING", "governance.ledger.signatures")
    with ahead.beginning(held, worth_it=1) as others:
        assert not any(good for _, good in others.checked(held.entries()))
        assert verify(held, ahead=others).verified


def test_short_logs_are_not_worth_a_process(held):
    with ahead.beginning(held) as others:
        assert others is None
