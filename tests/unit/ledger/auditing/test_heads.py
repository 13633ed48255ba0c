"""The heads of the log: which there are, who cosigned each, and who could have and did not."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from governance.ledger import merkle, note, query_heads
from governance.ledger.checkpoint import parse_body
from governance.ledger.schema import entries
from protos.errors import Refused


def column(answer, name):
    place = answer.columns.index(name)
    return [row[place] for row in answer.rows]


def of_site(answer, site):
    return next(row for row in answer.rows if row[0] == site)


def test_each_head_says_who_cosigned_it(asked):
    answer = query_heads.heads(asked)
    assert column(answer, "size") == sorted(column(answer, "size"))
    assert column(answer, "cosigned_by")[0] == "amc, kul, ucl, usz"
    assert column(answer, "of")[0] == 4
    assert set(column(answer, "majority")) == {"yes"}


def test_the_root_of_a_head_is_that_of_its_entries(asked):
    leaves = list(asked.execute(select(entries.c.leaf_hash).order_by(entries.c.seq)).scalars())
    answer = query_heads.heads(asked)
    for size, root in zip(column(answer, "size"), column(answer, "root"), strict=True):
        assert merkle.root(leaves[:size]).hex() == root


def test_the_newest_heads_alone_can_be_asked(asked):
    assert query_heads.heads(asked, last=2).rows == query_heads.heads(asked).rows[-2:]


def test_the_note_is_that_of_the_newest_head_with_its_cosignatures(asked):
    text = query_heads.note_of(asked)
    assert (
        parse_body(note.parse(text).text).size == column(query_heads.heads(asked), "size")[-1]
    )
    assert "/site/amc" in text


def test_a_head_that_was_never_signed_is_said(asked):
    with pytest.raises(Refused, match="no checkpoint covers 2"):
        query_heads.note_of(asked, 2)


def test_a_hospital_that_cosigned_all_misses_none(asked):
    assert of_site(query_heads.witnessing(asked), "amc")[2:] == (5, 5, 19, 81, "")


def test_a_head_that_a_hospital_left_out_is_named(asked):
    assert of_site(query_heads.witnessing(asked), "kul")[2:] == (4, 5, 19, 81, "68")


def test_many_heads_left_out_are_counted(ledger):
    ledger.run(("DELETE FROM cosignatures WHERE site = 'ucl'",))
    with ledger.reading() as asked:
        assert of_site(query_heads.witnessing(asked), "ucl")[2:] == (
            *(0, 5, None, None),
            "19, 34, 51, 68, 81",
        )
        assert column(query_heads.heads(asked, last=1), "majority") == ["no"]
