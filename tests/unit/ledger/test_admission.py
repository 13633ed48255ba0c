"""What enters the log by its form, date and place in the chain, and what it commits to."""

from __future__ import annotations

import dataclasses
from datetime import timedelta

import pytest
from admission import SOFTWARE, content, digest

from governance import statements
from governance.identity import certificate
from governance.ledger import store
from governance.statements import Chain, Log

# --- 1. the log ---------------------------------------------------------------------------


def test_a_statement_to_another_federation_or_root_is_refused(federation, refuses):
    other = [Log.of("lung", federation.log.root), Log.of("heart", digest("another root"))]
    for log in other:
        refuses("wrong-log", federation.agent, "amc", "software-started", SOFTWARE, log=log)


# --- 2. the form --------------------------------------------------------------------------


def test_unknown_kinds_and_fields_are_refused(federation, refuses):
    refuses("unknown-kind", federation.agent, "amc", "software-stopped", SOFTWARE)
    refuses("bad-body", federation.agent, "amc", "software-started", SOFTWARE | {"why": "x"})
    refuses("bad-body", federation.agent, "amc", "software-started", {"program": "x"})


# --- 3. the date --------------------------------------------------------------------------


def test_a_statement_dated_ahead_is_refused_and_an_old_one_is_not(federation, refuses):
    ahead = federation.now + timedelta(minutes=5, seconds=2)
    refuses("dated-ahead", federation.agent, "amc", "software-started", SOFTWARE, at=ahead)
    federation.agent("amc", "software-started", SOFTWARE, at=ahead - timedelta(seconds=1))
    federation.agent(
        "amc", "software-started", SOFTWARE, at=federation.now - timedelta(days=30)
    )


def test_time_never_goes_back(federation):
    c = federation.connection
    latest = list(store.entries(c, 0, 99))[-1].received_at
    federation.now -= timedelta(hours=1)
    seq = federation.agent("amc", "software-started", SOFTWARE)
    assert next(store.entries(c, seq, seq + 1)).received_at == latest


def test_ahead_is_measured_by_the_time_that_is_recorded(federation):
    at = federation.now + timedelta(minutes=4)
    statement = federation.statement(
        "software-started", SOFTWARE, "site/amc", federation.key("amc agent"), at=at
    )
    store.append(
        federation.connection, statement, received_at=federation.now - timedelta(hours=1)
    )


# --- 4. the chain -------------------------------------------------------------------------


def test_the_same_statement_twice_is_one_entry(federation):
    key = federation.key("amc agent")
    statement = federation.statement("software-started", SOFTWARE, "site/amc", key)
    seq = federation.append(statement)
    federation.agent("amc", "software-started", SOFTWARE)
    before = content(federation.connection)
    assert federation.append(statement) == seq
    assert content(federation.connection) == before


def test_the_founding_twice_is_one_entry(new):
    new.found()
    genesis = statements.read(next(store.entries(new.connection, 0, 1)).envelope)
    assert new.append(genesis) == 0


@pytest.mark.parametrize("counter", [0, 2, 7])
def test_a_counter_that_is_not_the_next_is_refused(federation, refuses, counter):
    here = store.chain_of(federation.connection, federation.key("amc agent").key_id)
    chain = Chain(counter, here.previous)
    refuses("broken-chain", federation.agent, "amc", "software-started", SOFTWARE, chain=chain)


def test_another_history_of_the_same_key_is_refused(federation, refuses):
    here = store.chain_of(federation.connection, federation.key("amc agent").key_id)
    chain = Chain(here.counter, digest("another statement"))
    refuses("broken-chain", federation.agent, "amc", "software-started", SOFTWARE, chain=chain)


def test_each_key_has_a_chain_of_its_own(agreed):
    c = agreed.connection
    agent = store.chain_of(c, agreed.key("amc agent").key_id)
    officer = store.chain_of(c, agreed.key("amc officer").key_id)
    assert (agent.counter, officer.counter) == (1, 1)
    assert store.chain_of(c, agreed.key("nobody").key_id) == Chain.START


# --- certificates and disclosures ---------------------------------------------------------


def test_certificates_are_of_members_in_their_role_and_serials_are_new(federation, refuses):
    federation.certify("coordinator", "coordinator", "1")
    federation.certify("amc", "site", "2")
    refuses("serial-taken", federation.certify, "ucl", "site", "2")
    refuses("not-enrolled", federation.certify, "amc", "operator", "3")
    refuses("not-enrolled", federation.certify, "nobody", "site", "3")


def test_what_is_disclosed_is_what_the_entry_commits_to(federation, refuses):
    told = statements.disclose("reason", "because", salt=bytes(32))
    body = {"name": "amc", "serials": []}
    statement = federation.statement(
        "revoked", body, "operator/ops", federation.key("ops"), told=(told,)
    )
    for wrong in (
        dataclasses.replace(told, value="another"),
        dataclasses.replace(told, salt=bytes(31) + b"1"),
        dataclasses.replace(told, label="because"),
    ):
        refuses("disclosure-mismatch", federation.append, statement, (wrong,))
    seq = federation.append(statement, (told,))
    (record,) = store.entries(federation.connection, seq, seq + 1, disclosed=True)
    assert record.disclosures == (told,)
    (record,) = store.entries(federation.connection, seq, seq + 1)
    assert record.disclosures == ()


def test_an_entry_may_come_without_what_it_commits_to(federation):
    told = statements.disclose("reason", "because", salt=bytes(32))
    key = federation.key("ops")
    body = {"name": "amc", "serials": []}
    federation.append(federation.statement("revoked", body, "operator/ops", key, told=(told,)))


def test_the_root_in_the_log_is_the_one_of_every_statement(federation):
    genesis = statements.read(next(store.entries(federation.connection, 0, 1)).envelope)
    root = certificate.read_chain(genesis.body["origin_root"].encode())[0]
    assert certificate.fingerprint(root) == genesis.log.root
