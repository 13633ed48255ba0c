"""A passage has what its entries say, whoever wrote before and whatever was taken back."""

from __future__ import annotations

import pytest
from admission import closed_round
from sqlalchemy import select

from governance.ledger import passages, projections, searching
from governance.ledger.schema import entries
from governance.ledger.schema import passages as table
from protos.errors import Refused


@pytest.fixture
def short_passages(monkeypatch):
    monkeypatch.setattr(passages, "SPAN", 5)
    monkeypatch.setattr(searching, "SPAN", 5)


def written(c):
    return c.execute(select(table).order_by(table.c.until_seq)).all()


def test_a_word_that_one_entry_says_is_found_there(short_passages, agreed):
    closed_round(agreed, 1, models="m0 m1")
    c = agreed.connection
    for kind in ("round-opened", "agreement-proposed"):
        here = c.execute(select(entries.c.seq).where(entries.c.kind == kind)).scalars().all()
        assert [row[0] for row in searching.search(c, kind).rows] == here
    assert {row[4] for row in searching.search(c, "A. Person").rows} == {"disclosed officer"}
    assert searching.search(c, "nobody says this").rows == []


def test_a_rebuild_makes_the_same_passages(short_passages, agreed):
    closed_round(agreed, 1, models="m0 m1")
    before = written(agreed.connection)
    projections.rebuild(agreed.connection)
    assert written(agreed.connection) == before
    assert before


def test_what_was_taken_back_is_in_no_passage(short_passages, agreed):
    c = agreed.connection
    before = dict(agreed.keys)
    savepoint = c.begin_nested()
    agreed.enrol_site("taken-back")
    savepoint.rollback()
    agreed.keys = before
    closed_round(agreed, 1, models="m0 m1")
    assert not any("taken-back" in row.said for row in written(c))
    made = written(c)
    projections.rebuild(c)
    assert written(c) == made


def test_another_writers_entries_are_in_the_passage_too(short_passages, agreed):
    c = agreed.connection
    closed_round(agreed, 1, models="m0 m1")
    passages._FILLING[c.engine] = passages.Filling(seq=3, leaf=b"another writer's")
    closed_round(agreed, 2, models="m1 m2")
    made = written(c)
    projections.rebuild(c)
    assert written(c) == made


def test_a_refused_statement_leaves_no_word(short_passages, agreed):
    with pytest.raises(Refused):
        agreed.open_round(9)
    closed_round(agreed, 1, models="m0 m1")
    made = written(agreed.connection)
    projections.rebuild(agreed.connection)
    assert written(agreed.connection) == made
