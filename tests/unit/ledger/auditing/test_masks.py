"""Masked sums as an auditor asks for them, also where somebody asked for too much."""

from __future__ import annotations

from hashlib import sha256

import pytest
from answers import rows
from verdicts import cut

from governance.ledger import query_masks

RUN = {"purpose": "train", "terms": sha256(b"terms").hexdigest(), "refused": {}}


@pytest.fixture
def masked(ledger, keys, speak):
    """Append what was said of masks in round 3's first attempt, which is open again."""
    cut(ledger, ledger.seq_of("round-opened", round=3) + 1)
    ledger.run(("UPDATE rounds SET reason = NULL, ended_seq = NULL WHERE round = ?", 3))

    def append(step, sites, dropped=()):
        who = {"step": step, "sites": list(sites), "dropped": list(dropped)}
        body = {**keys.at(3), **RUN, **who}
        key = keys.key("ledger")
        ledger.append(speak("masking-step", body, "coordinator", key))

    return append


def test_a_round_without_masks_says_so(asked):
    answer = query_masks.masks_of(asked, 1)
    assert (answer.rows, answer.notes[0]) == (
        [],
        "Round 1 had no masked sum: updates were sent singly.",
    )


def test_a_key_asked_for_of_a_site_in_the_sum_is_told(ledger, masked):
    three = ("amc", "kul", "ucl")
    masked("masked", three)
    masked("signed", three, dropped=("kul",))
    with ledger.reading() as connection:
        answer = query_masks.masks_of(connection, 3)
    assert answer.facts["both_asked"] == ["kul"]
    assert "Both kinds of share were asked for of kul" in " ".join(answer.notes)


def test_too_few_sites_in_a_step_are_told(ledger, masked):
    masked("keys", ("amc", "kul"))
    with ledger.reading() as connection:
        answer = query_masks.masks_of(connection, 3)
    assert rows(answer, "step", "out", "needed", "met")[-1] == ("keys", "ucl, usz", 3, "no")


def test_a_complaint_is_told_with_its_rule(ledger, keys, speak, masked):
    masked("keys", ("amc", "kul", "ucl", "usz"))
    said = {name: RUN[name] for name in ("purpose", "terms")}
    body = {**keys.at(3), **said, "broken": "secagg-r8"}
    ledger.append(speak("complaint", body, "site/amc", keys.key("amc agent")))
    with ledger.reading() as connection:
        answer = query_masks.masks_of(connection, 3)
    assert answer.notes[-1].startswith("amc complained in attempt 1: secagg-r8")
