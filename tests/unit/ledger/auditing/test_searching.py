"""Statements are found by what they say, and by nothing else."""

from __future__ import annotations

import pytest
from sqlalchemy import func, select

from governance.ledger import passages, rebuild, schema, searching, source, store
from governance.ledger.paging import Page
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


WORDS = ("amc", "round-closed", "5", "ed25519:", "a. person", "no such word", "duo", "first")


def test_passages_of_any_length_give_the_same_answers(history, tmp_path, ledger, monkeypatch):
    with ledger.reading() as connection:
        whole = [searching.search(connection, word) for word in WORDS]
    monkeypatch.setattr(passages, "SPAN", 5)
    monkeypatch.setattr(searching, "SPAN", 5)
    monkeypatch.setattr(searching, "_AT_ONCE", 2)
    with rebuild.empty() as copy, ledger.reading() as connection:
        rebuild.load(copy, source.Database(connection))
        assert copy.execute(select(func.count()).select_from(schema.passages)).scalar_one()
        assert [searching.search(copy, word) for word in WORDS] == whole


@pytest.mark.parametrize("limit", [1, 4, 30])
@pytest.mark.parametrize("word", ["amc", "round-closed"])
def test_the_pages_of_a_search_are_all_that_it_finds(asked, word, limit):
    given, after = [], None
    while not given or after is not None:
        found = searching.search(asked, word, page=Page(limit, after))
        after = found.facts["next_after"]
        given += found.rows
    assert given == searching.search(asked, word).rows


def test_a_frequent_kind_is_searched_by_passages(asked, monkeypatch):
    few = searching.search(asked, "amc", kind="contribution-made")
    monkeypatch.setattr(searching, "_FEW", 0)
    assert searching.search(asked, "amc", kind="contribution-made") == few


def test_a_key_and_a_disclosed_name_are_found_though_no_passage_has_them(asked, monkeypatch):
    monkeypatch.setattr(searching, "_MANY", 1000)
    key = asked.execute(select(entries.c.signer).where(entries.c.seq == 9)).scalar_one()
    assert 9 in seqs(searching.search(asked, key[10:20]))
    assert searching.search(asked, "A. PERSON").rows
