"""What the whole record says of a time is what a copy said that ended then."""

from __future__ import annotations

import pytest

from governance.ledger import queries, query_exits, query_rounds, store, sums
from governance.statements import parse_time

ASKED = {
    "spending": queries.spent,
    "exits": query_exits.exits_held,
    "rounds": query_rounds.rounds_held,
    "open rounds": lambda c, **more: query_rounds.rounds_held(c, state="open", **more),
}


def answers(c, **more):
    given = {name: ask(c, **more) for name, ask in ASKED.items()}
    return {name: (list(answer.rows), answer.title) for name, answer in given.items()}


@pytest.fixture
def growing(monkeypatch, tmp_path):
    """An empty record of its own, whose spans are short."""
    monkeypatch.setattr(sums, "SPAN", 7)
    engine = store.open_engine(f"sqlite:///{tmp_path}/growing.db")
    store.create(engine)
    with engine.begin() as c:
        yield c
    engine.dispose()


def test_what_the_record_says_of_a_time_is_what_it_said_then(untouched, growing):
    with untouched.reading() as c:
        records = list(store.entries(c, 0, store.size_of(c), disclosed=True))
    last_of = {record.received_at: record.seq for record in records}
    said = {}
    for time, seq in list(last_of.items())[::11]:
        new = records[store.size_of(growing) : seq + 1]
        store.append_mirrored(growing, new)
        said[time] = answers(growing)
    assert len(said) > 10
    assert {time: answers(growing, at=parse_time(time)) for time in said} == said
