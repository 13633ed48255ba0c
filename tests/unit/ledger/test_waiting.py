"""Rows that wait to be written are there for whoever looks, and gone if taken back."""

from __future__ import annotations

import sys

import pytest
from admission import closed_round
from sqlalchemy import func, select, text

from governance.ledger import ending, prepared, projections, remembered, store, waiting
from governance.ledger.prepared import Prepared
from governance.ledger.savepoint import savepoint
from governance.ledger.schema import (
    PROJECTIONS,
    certificates,
    contributions,
    disclosures,
    entries,
    nodes,
    rounds,
)
from governance.ledger.source import rows_of
from protos.errors import Refused


def waits(c):
    known = remembered.of(c)
    return set(known.waiting) if known is not None else set()


def counted(c, table):
    return c.execute(select(func.count()).select_from(table)).scalar_one()


def test_rows_wait_until_somebody_looks(agreed):
    c = agreed.connection
    agreed.open_round(1)
    assert {"entries", "nodes", "rounds"} <= waits(c)
    assert c.execute(text("SELECT count(*) FROM rounds")).scalar() == 1
    assert waits(c) == set()


def test_a_prepared_question_has_the_rows_of_its_own_table_written(agreed):
    c = agreed.connection
    agreed.open_round(1)
    question = Prepared(select(entries.c.seq).order_by(entries.c.seq.desc()).limit(1))
    assert question.first(c).seq == ending.of(c, agreed.key("ledger").key_id).seq
    assert "entries" not in waits(c)
    assert "nodes" in waits(c)


def by_sqlalchemy(agreed):
    point = agreed.connection.begin_nested()
    agreed.open_round(1)
    point.rollback()


def by_the_driver(agreed):
    with pytest.raises(Refused):
        taken_back(agreed.connection, lambda: agreed.open_round(1))


def taken_back(c, act):
    with savepoint(c):
        act()
        raise Refused("no")


@pytest.mark.parametrize("take_back", [by_sqlalchemy, by_the_driver])
def test_what_a_savepoint_takes_back_was_never_there(agreed, take_back):
    c = agreed.connection
    size = store.size_of(c)
    take_back(agreed)
    assert (store.size_of(c), waits(c)) == (size, set())
    assert counted(c, nodes) == len(set(c.execute(select(nodes.c.level, nodes.c.idx))))
    head = store.head(c)
    agreed.open_round(1)
    assert (store.head(c).size, head.size) == (size + 1, size)


def test_savepoint_within_another_takes_back_its_own_alone(agreed):
    c = agreed.connection
    size = store.size_of(c)
    with savepoint(c):
        agreed.certify("amc", "site", "77")
        with pytest.raises(Refused):
            taken_back(c, lambda: agreed.open_round(1))
    assert (store.size_of(c), counted(c, rounds)) == (size + 1, 0)


def test_what_was_before_a_savepoint_stays_when_it_takes_back(agreed):
    c = agreed.connection
    before = counted(c, certificates)
    agreed.open_round(1)
    with pytest.raises(Refused):
        taken_back(c, lambda: agreed.certify("amc", "site", "77"))
    assert counted(c, rounds) == 1
    assert counted(c, certificates) == before


def test_a_commit_writes_and_a_rollback_does_not(engine, authorities, first_issuing):
    make = sys.modules[type(authorities).__module__].Federation
    with engine.connect() as c:
        federation = make(authorities, *first_issuing, c)
        with c.begin():
            federation.found()
        with c.begin() as transaction:
            federation.enrol_site("amc")
            transaction.rollback()
        with c.begin():
            assert store.size_of(c) == 1
            federation.enrol_site("ucl")
    with store.reading(engine) as c:
        assert store.size_of(c) == 2


def test_an_answer_that_grows_has_rows_that_nobody_asked_for(agreed):
    c = agreed.connection
    agreed.open_round(1)
    agreed.reserve("amc", 1)
    amc = select(contributions.c.seq).where(contributions.c.site == "amc")
    asked = Prepared(amc, grows_by=("site",))
    try:
        agreed.contribute("amc", 1)
        assert "contributions" in waits(c)
        assert len(asked.all(c, site="amc")) == 1
    finally:
        prepared._GROWING["contributions"].remove(asked)


def test_a_round_in_one_transaction_makes_what_its_replay_makes(agreed):
    c = agreed.connection
    for number in (1, 2, 3):
        closed_round(agreed, number, models=f"m{number - 1} m{number}")
    made = [rows_of(c, table) for table in PROJECTIONS]
    projections.rebuild(c)
    assert [rows_of(c, table) for table in PROJECTIONS] == made
    assert store.head(c).size == counted(c, entries)
    assert counted(c, disclosures)


def test_many_rows_do_not_wait_for_ever(agreed, monkeypatch):
    monkeypatch.setattr(waiting, "_MOST", 10)
    c = agreed.connection
    for number in (1, 2, 3):
        closed_round(agreed, number, models=f"m{number - 1} m{number}")
        assert remembered.answers(c).waits <= 10 + 1
    assert store.head(c).size == counted(c, entries)


def test_a_raw_write_of_entries_makes_the_end_be_read_anew(agreed):
    c = agreed.connection
    agreed.open_round(1)
    assert remembered.of(c).end is not None
    with pytest.raises(Exception, match="append-only"), c.begin_nested():
        c.execute(text("DELETE FROM entries"))
    known = remembered.of(c)
    assert known is None or known.end is None
