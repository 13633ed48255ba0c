"""Statements are found by what they say, and by nothing else."""

from __future__ import annotations

import pytest

from governance.ledger import searching, store
from governance.ledger.schema import entries
from governance.statements import parse_time
from protos.errors import Refused


def seqs(answer):
    return [row[0] for row in answer.rows]


def test_a_word_is_found_in_upper_and_lower_case(asked):
    assert seqs(searching.search(asked, "DUO:0000006")) == seqs(
        searching.search(asked, "duo:0000006")
    )


def test_a_kind_is_found_by_its_name_and_all_of_it(asked):
    wanted = [
        seq
        for seq, kind in asked.execute(
            entries.select().with_only_columns(*entries.c["seq", "kind"]).order_by("seq")
        )
        if kind == "round-closed"
    ]
    found = searching.search(asked, "round-closed", kind="round-closed")
    assert seqs(found) == wanted


@pytest.mark.parametrize("word", ["1.0", "120", "site/ucl", "ä", '"', "a b", "ROUND-closed"])
def test_a_word_is_found_wherever_reading_every_entry_would_find_it(asked, monkeypatch, word):
    found = searching.search(asked, word)
    monkeypatch.setattr(searching, "_may_say", lambda *_: True)
    assert found == searching.search(asked, word)


def test_what_is_disclosed_is_found_and_said_to_be_disclosed(asked):
    found = searching.search(asked, "a. person")
    assert found.rows
    assert {row[4] for row in found.rows} == {"disclosed officer"}


def test_a_time_narrows_it(asked):
    found = searching.search(asked, "amc")
    middle = found.rows[len(found.rows) // 2][1]
    early = searching.search(asked, "amc", until=parse_time(middle))
    late = searching.search(asked, "amc", since=parse_time(middle))
    assert seqs(early) + seqs(late) == seqs(found)
    assert early.rows
    assert late.rows


def test_what_nobody_said_is_not_found(asked):
    found = searching.search(asked, "no such word")
    assert (list(found.rows), found.notes) == ([], ("Nothing says 'no such word'.",))


def test_a_kind_that_there_is_not_is_refused_with_the_nearest(asked):
    with pytest.raises(Refused, match="did you mean consent-given"):
        searching.search(asked, "amc", kind="consent-givn")


def test_every_entry_is_found_by_its_actor(asked):
    everything = searching.search(asked, "")
    assert set(seqs(everything)) == set(range(store.size_of(asked)))
