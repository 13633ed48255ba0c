"""What is asked of the whole record is added up from spans, as if entry by entry."""

from __future__ import annotations

from collections import Counter

import pytest
from admission import closed_round
from sqlalchemy import select

from governance.ledger import projections, queries, query_members, query_retention, store, sums
from governance.ledger.schema import entries, measured, rounds, spent, tallied

SITES = (("amc", "ucl"), ("amc",), ("amc", "ucl"))


@pytest.fixture
def short_spans(monkeypatch):
    monkeypatch.setattr(sums, "SPAN", 7)


def history(federation):
    for number, sites in enumerate(SITES, start=1):
        closed_round(federation, number, sites=sites, models=f"m{number - 1} m{number}")
    return federation.connection


def test_spans_of_any_length_give_the_same_answers(agreed, monkeypatch):
    c = history(agreed)
    whole = answers(c, agreed.now)
    monkeypatch.setattr(sums, "SPAN", 7)
    projections.rebuild(c)
    assert c.execute(select(tallied)).all()
    assert c.execute(select(spent)).all()
    assert answers(c, agreed.now) == whole


def answers(c, now):
    asked = (queries.spent(c), query_members.members(c), query_retention.retention(c, now=now))
    return [(answer.rows, answer.facts, list(answer.notes)) for answer in asked]


def test_the_tallies_count_every_entry_once(short_spans, agreed):
    c = history(agreed)
    counted = Counter()
    for row in sums.tallies(c):
        counted[row["kind"]] += row["entries"]
    assert counted == Counter(c.execute(select(entries.c.kind)).scalars())
    assert {row.until_seq % 7 for row in c.execute(select(tallied))} == {6}


def test_a_rebuild_makes_the_same_sums(short_spans, agreed):
    c = history(agreed)
    before = [c.execute(select(table)).all() for table in (tallied, spent, measured)]
    projections.rebuild(c)
    after = [c.execute(select(table)).all() for table in (tallied, spent, measured)]
    assert [sorted(rows) for rows in before] == [sorted(rows) for rows in after]
    assert before[0]


def test_what_was_reserved_is_added_over_spans(short_spans, agreed):
    c = history(agreed)
    (amc,) = [row for row in queries.spent(c).named() if row["site"] == "amc"]
    assert (amc["reservations"], store.size_of(c) > 14) == (3, True)


def test_the_highest_of_a_span_is_the_first_that_was_as_high():
    rows = [
        ("amc", "c", "0.1", "1", "training", 5, 10, "9.5"),
        ("amc", "c", "0.1", "1", "training", 5, 11, "10.5"),
        ("amc", "c", "0.1", "1", "training", 5, 12, "10.50"),
    ]
    (row,) = sums._added(rows)
    assert (row["highest"], row["highest_seq"], row["last_seq"]) == ("10.5", 11, 12)
    assert (row["steps"], row["reservations"]) == (15, 3)


def test_attempts_that_ask_the_same_sites_are_marked_as_one_run(agreed):
    c = history(agreed)
    opened = c.execute(select(rounds.c.opened_seq, rounds.c.alike_seq)).all()
    assert [seq == alike for seq, alike in opened] == [True, True, True]
    closed_round(agreed, 4, sites=("amc", "ucl"), models="m3 m4")
    *_, third, fourth = c.execute(select(rounds).order_by(rounds.c.round))
    assert fourth.alike_seq == third.opened_seq
