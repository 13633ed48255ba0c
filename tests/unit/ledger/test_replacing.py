"""A hospital's lost keys are replaced after 72 hours in which its officer said nothing."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import select

from governance.identity.keys import SigningKey
from governance.ledger import source
from governance.ledger.entry import Entry
from governance.ledger.replacing import VETO, asked
from governance.ledger.rules import Replay
from governance.ledger.schema import consents, entries, keys
from governance.ledger.verify import verify
from governance.statements import parse_time, read, timestamp
from protos.errors import Refused

STARTED = {"program": "concilium-site", "version": "1", "os": "Linux"}


@pytest.fixture
def lost(agreed):
    """A federation in which operators said that the officer's key of amc is lost."""
    body = {
        "act": "replace",
        "role": "site",
        "name": "amc",
        "secret": "ab" * 32,
        "expires": timestamp(agreed.now + timedelta(days=9)),
    }
    agreed.operator("operator-acted", body)
    agreed.old = dict(agreed.keys)
    return agreed


def enrols_again(fed):
    for usage in ("agent", "officer"):
        fed.keys[f"amc {usage}"] = SigningKey.from_seed(f"new {usage}".encode().ljust(32))
    return fed.enrol_site("amc")


def refused(rule, act, *given):
    with pytest.raises(Refused) as refusal:
        act(*given)
    assert refusal.value.rule == rule


def verified(fed):
    verdict = verify(source.Database(fed.connection))
    assert verdict.verified, verdict.sentence


def test_after_the_wait_the_name_has_new_keys_and_no_consent(lost):
    lost.now += VETO
    enrols_again(lost)
    state = lost.connection.execute(
        select(consents.c.state).where(consents.c.site == "amc")
    ).scalar()
    assert state == "lapsed"
    counting = select(keys.c.key_id).where(keys.c.name == "amc", keys.c.until_seq.is_(None))
    known = set(lost.connection.execute(counting).scalars())
    assert known == {lost.key("amc agent").key_id, lost.key("amc officer").key_id}
    lost.agent("amc", "software-started", STARTED)
    verified(lost)


def test_a_key_that_was_replaced_says_nothing_more(lost):
    lost.now += VETO
    enrols_again(lost)
    old = lost.old["amc agent"]
    refused("key-replaced", lost.say, "software-started", STARTED, "site/amc", old)


def test_before_the_wait_is_over_nobody_takes_the_name(lost):
    lost.now += VETO - timedelta(hours=1)
    refused("replacement-waits", enrols_again, lost)


def test_any_statement_of_the_old_officers_key_vetoes(lost):
    lost.officer("amc", "consent-suspended", {"agreement": asked_agreement(lost)})
    lost.now += VETO
    refused("replacement-vetoed", enrols_again, lost)


def asked_agreement(fed):
    return fed.connection.execute(select(consents.c.agreement)).scalars().first()


def test_what_the_agent_goes_on_saying_is_no_veto(lost):
    lost.agent("amc", "software-started", STARTED)
    lost.now += VETO
    enrols_again(lost)
    verified(lost)


def test_one_act_replaces_keys_once(lost):
    lost.now += VETO
    enrols_again(lost)
    assert asked(lost.connection, "amc") is None
    for usage in ("agent", "officer"):
        lost.keys[f"amc {usage}"] = SigningKey.from_seed(f"third {usage}".encode().ljust(32))
    refused("name-taken", lost.enrol_site, "amc")


def test_what_was_spent_stays_spent(lost):
    lost.open_round(1)
    lost.reserve("amc", 1, total="3.0000")
    lost.abandon(1)
    lost.now += VETO
    enrols_again(lost)
    replay = Replay()
    for row in lost.connection.execute(select(entries).order_by(entries.c.seq)).all():
        replay.take(Entry(row.seq, parse_time(row.received_at), read(row.envelope)))
    assert replay.state.spending.cohorts["amc", "infarction"].reservations == 1


@pytest.mark.parametrize("how", ["too soon", "vetoed", "never asked"])
def test_an_auditor_finds_a_name_that_was_taken_without_leave(lost, how):
    """The log may have let it slip in; the replay has its own rule."""
    replay = Replay()
    rows = lost.connection.execute(select(entries).order_by(entries.c.seq)).all()
    for row in rows[: -1 if how == "never asked" else None]:
        replay.take(Entry(row.seq, parse_time(row.received_at), read(row.envelope)))
    at, seq = lost.now, len(rows)
    if how == "vetoed":
        body = {"agreement": asked_agreement(lost)}
        key = lost.key("amc officer")
        said = lost.statement("consent-suspended", body, "site/amc", key)
        replay.take(Entry(seq, at, said))
    lost.keys["amc agent"] = SigningKey.from_seed(b"new agent".ljust(32))
    lost.keys["amc officer"] = SigningKey.from_seed(b"new officer".ljust(32))
    body = lost.enrol_body("site", "amc", ["amc officer"], 1)
    signers = [lost.key("amc agent"), lost.key("amc officer"), lost.authority]
    said = lost.statement("enrolled", body, "site/amc", *signers)
    later = at if how == "too soon" else at + VETO
    fault = replay.take(Entry(seq + 1, later, said))
    assert fault is not None
    assert fault.rule == "name-taken"
