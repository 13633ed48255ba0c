"""A long list is given a page at a time, and never cut in silence."""

from __future__ import annotations

import csv
import io
import json

import pytest
from typer.testing import CliRunner

from governance.ledger import query_covered, query_heads, query_lineage, query_rounds
from governance.ledger.cli import app
from governance.ledger.paging import Page

LISTS = {
    "rounds": query_rounds.rounds_held,
    "contributions": query_covered.contributions_covered,
    "lineage": lambda c, **more: query_lineage.lineage(c, last_model(c), **more),
}


def last_model(c):
    return next(row[-1] for row in reversed(query_rounds.rounds_held(c).rows) if row[-1])


def pages(ask, c, limit):
    """Every page of a list, each after the one before."""
    given, after = [], None
    while not given or after is not None:
        given.append(ask(c, page=Page(limit, after)))
        after = given[-1].facts["next_after"]
    return given


@pytest.mark.parametrize("limit", [1, 2, 3, 1000])
@pytest.mark.parametrize("name", LISTS)
def test_the_pages_one_after_another_are_the_whole_list(asked, name, limit):
    whole = LISTS[name](asked)
    given = pages(LISTS[name], asked, limit)
    assert [row for page in given for row in page.rows] == list(whole.rows)
    assert {page.facts["in_all"] for page in given} == {len(whole.rows)}
    assert {page.title for page in given} == {whole.title}


def test_a_round_is_never_on_two_pages(asked):
    given = pages(query_rounds.rounds_held, asked, 1)
    numbers = [{row[0] for row in page.rows} for page in given]
    assert sum(len(each) for each in numbers) == len(set.union(*numbers))


@pytest.mark.parametrize("name", LISTS)
def test_a_page_says_how_many_there_are_and_how_to_get_on(asked, name):
    first = LISTS[name](asked, page=Page(1))
    in_all, next_after = first.facts["in_all"], first.facts["next_after"]
    assert first.notes[-1].startswith(f"{len(first.rows)} of {in_all} rows are shown.")
    assert f"--after {next_after}" in first.notes[-1]


@pytest.mark.parametrize("name", LISTS)
def test_a_list_that_is_all_there_says_nothing_of_pages(asked, name):
    assert not any("are shown" in note for note in LISTS[name](asked).notes)


def run(*args):
    return CliRunner().invoke(app, [str(arg) for arg in args])


def test_csv_says_on_standard_error_what_it_does_not_hold(ledger):
    told = run("contributions", "--url", ledger.path, "--limit", 2, "--format", "csv")
    assert len(list(csv.reader(io.StringIO(told.stdout)))) == 3
    assert told.stderr.startswith("2 of ")


def test_json_says_where_to_go_on_and_all_gives_every_row(ledger):
    verb = ("contributions", "--url", ledger.path, "--format", "json")
    part = json.loads(run(*verb, "--limit", 2).stdout)
    rest = json.loads(run(*verb, "--all", "--after", part["next_after"]).stdout)
    whole = json.loads(run(*verb, "--all").stdout)
    assert part["rows"] + rest["rows"] == whole["rows"]
    assert (whole["next_after"], whole["in_all"]) == (None, len(whole["rows"]))


def test_the_newest_checkpoints_say_how_many_there_are(asked):
    newest = query_heads.heads(asked, last=2)
    assert newest.notes == [
        "The newest 2 of 5 checkpoints are shown. More: --last N; every one: --all"
    ]
    assert query_heads.heads(asked).notes == []
