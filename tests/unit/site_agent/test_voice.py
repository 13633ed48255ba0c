"""A key's chain: no gap, nothing said twice, and what was given up is said anew."""

from __future__ import annotations

import pytest
from hospital import FEDERATION
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from simulated import Log

from governance import statements
from governance.ledger import store as ledger
from protos.errors import Refused
from protos.words import StatementReceipt, StatementSent
from site_agent import voice
from site_agent.store import journal
from site_agent.voice import Saying

STARTED = {"program": "concilium-site", "version": "1", "os": "Linux"}


def say(charite, version="1"):
    saying = Saying("software-started", STARTED | {"version": version}, "always")
    return charite.store.now(lambda c: voice.say(c, charite.m.voice, saying))


def fly(charite, task="t"):
    saying = Saying("contribution-made", {"agreement": "a"}, "budget", task=task)
    return charite.store.now(lambda c: voice.contribute(c, charite.m.voice, saying))


def status(charite, statement):
    found = charite.store.look(lambda c: journal.find(c, FEDERATION, statement.digest))
    return found.status


def test_statements_follow_the_enrolment_and_each_other(charite):
    first, second = say(charite), say(charite)
    assert (first.counter, second.counter) == (2, 3)
    assert first.previous == statements.read(charite.enrolled).digest
    assert second.previous == first.digest


def test_a_contribution_in_the_air_is_not_in_the_outbox(charite):
    flying = fly(charite)
    assert charite.sent(StatementSent) == []
    assert status(charite, flying) == journal.FLYING


def test_what_must_be_said_meanwhile_takes_its_place(charite):
    flying = fly(charite)
    said = say(charite)
    assert status(charite, flying) == journal.VOID
    assert (said.counter, said.previous) == (flying.counter, flying.previous)


def test_a_contribution_said_anew_follows_what_overtook_it(charite):
    fly(charite)
    said = say(charite)
    again = fly(charite)
    assert (again.counter, again.previous) == (said.counter + 1, said.digest)


def test_what_was_queued_behind_a_refused_statement_is_signed_again(charite):
    first, second, third = say(charite, "1"), say(charite, "2"), say(charite, "3")
    charite.take(StatementReceipt(first.digest, accepted=False, rule="over-cap"))
    assert [status(charite, one) for one in (first, second, third)] == [journal.VOID] * 3
    rows = charite.store.look(
        lambda c: journal.by_key(c, FEDERATION, first.key, status=journal.QUEUED)
    )
    said = [one.statement for one in rows]
    assert [one.body["version"] for one in said] == ["2", "3"]
    assert [one.counter for one in said] == [2, 3]
    assert said[0].previous == statements.read(charite.enrolled).digest
    assert said[1].previous == said[0].digest


def test_late_receipts_of_what_is_void_change_nothing(charite):
    first, second = say(charite), say(charite)
    charite.take(StatementReceipt(first.digest, accepted=False, rule="over-cap"))
    before = len(charite.sent())
    charite.take(StatementReceipt(second.digest, accepted=False, rule="broken-chain"))
    assert len(charite.sent()) == before


def test_a_receipt_for_something_never_said_changes_nothing(charite):
    charite.take(StatementReceipt("f" * 64, accepted=True, seq=3))
    assert charite.sent() == []


ACTS = st.lists(st.sampled_from(["say", "fly", "accept", "refuse", "restart"]), max_size=25)


@settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(acts=ACTS)
@pytest.mark.slow
def test_whatever_happens_the_ledger_can_take_what_is_queued(make, tmp_path_factory, acts):
    """A log that takes or refuses as it likes never sees a gap, and never one thing twice."""
    charite = make()
    log = Log(charite, tmp_path_factory.mktemp("log") / "log.db")
    answered = set()
    for number, act in enumerate(acts):
        if act == "say":
            say(charite, str(number))
        elif act == "fly":
            fly(charite, str(number))
        elif act == "restart":
            charite.restart()
        else:
            _answer(charite, log, answered, accept=act == "accept")
    while _answer(charite, log, answered, accept=True):
        pass
    key = charite.m.voice.key.key_id
    queued = charite.store.look(
        lambda c: journal.by_key(c, FEDERATION, key, status=journal.QUEUED)
    )
    assert queued == []
    with ledger.reading(log.engine) as c:
        assert ledger.chain_of(c, key) == charite.store.look(
            lambda c: journal.settled_chain(c, FEDERATION, key)
        )
    log.close()


def _answer(charite, log, answered, *, accept):
    """Answer the first statement of the outbox that has no receipt yet, as a log would."""
    for sent in charite.sent(StatementSent):
        statement = statements.read(sent.envelope)
        if statement.digest in answered:
            continue
        answered.add(statement.digest)
        receipt = _receipt(log, statement, accept=accept)
        charite.take(receipt)
        return True
    return False


def _receipt(log, statement, *, accept):
    if not accept:
        return StatementReceipt(statement.digest, accepted=False, rule="no")
    try:
        seq = log.append(statement)
    except Refused as refusal:
        return StatementReceipt(statement.digest, accepted=False, rule=refusal.rule)
    return StatementReceipt(statement.digest, accepted=True, seq=seq)


@pytest.mark.parametrize("which", ["agent.key"])
def test_a_key_that_was_replaced_is_read_again(charite, which):
    from governance.identity import folder

    before = charite.m.voice.key.key_id
    folder.begin_rotation(charite.identity)
    folder.finish_rotation(charite.identity)
    assert charite.m.voice.key.key_id != before
    assert which
