"""Patients who opt out: in no batch and no evaluation from the next task on, named nowhere."""

from __future__ import annotations

import dataclasses
import io
import json
import re
from types import SimpleNamespace

import pytest
from hospital import FEDERATION

from protos.words import TaskKind
from site_agent import opting
from site_agent.agent import TaskState
from site_agent.store import journal, letters, optouts, work
from site_agent.store.work import Update

COHORT = "patients"


def opt_out(hospital, *names):
    return opting.opt_out(hospital.m, COHORT, frozenset(names))


def opted_out(hospital):
    return hospital.store.look(lambda c: optouts.of_cohort(c, COHORT))


def told(hospital):
    return [one.statement.body["patients"] for one in hospital.said("opt-outs-applied")]


# --- the list --------------------------------------------------------------------------------


@pytest.fixture
def feed(tmp_path):
    def write(text):
        path = tmp_path / "feed.txt"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def test_a_nightly_feed_may_say_the_same_every_night(program, today, feed):
    for said in ("2 patients are newly", "0 patients are newly"):
        code, _, err = program(
            *("opt-out", "add", "--from", feed("p1\np2\n\np1\n"), "--site", today.file)
        )
        assert code == 0
        assert said in err
        assert "2 are in all" in err
    assert opted_out(today) == {"p1", "p2"}


def test_patients_can_come_back_and_nobody_else_does(program, today, feed):
    opt_out(today, "p1", "p2")
    back = feed("\ufeffp2\r\np9\r\n")
    code, _, err = program("opt-out", "remove", "--from", back, "--site", today.file)
    assert code == 0
    assert "1 patient is no longer" in err
    assert opted_out(today) == {"p1"}


def test_the_list_says_who_is_in_the_file_and_who_may_come(program, today):
    opt_out(today, "p1", "unborn")
    code, out, _ = program("opt-out", "list", "--format", "json", "--site", today.file)
    assert code == 0
    rows = json.loads(out)["rows"]
    assert {row["patient"]: row["in_file"] for row in rows} == {"p1": "yes", "unborn": "no"}


def test_a_list_comes_by_standard_input_too(program, today, monkeypatch):
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(b"p4\n")))
    assert program("opt-out", "add", "--from", "-", "--site", today.file)[0] == 0
    assert opted_out(today) == {"p4"}


@pytest.mark.parametrize(
    "text", ["p1\nsecret-name,1990\n", b"\xff\xfe", "p1\n" + "secret" * 50, "se\x07cret"]
)
def test_what_is_no_list_of_identifiers_changes_nothing_and_is_not_repeated(
    program, today, feed, text
):
    code, _, err = program("opt-out", "add", "--from", feed(text), "--site", today.file)
    assert code == 2
    assert "[bad-opt-outs]" in err
    assert "secret" not in err
    assert opted_out(today) == frozenset()


def test_more_than_a_worker_can_be_told_are_refused(today, monkeypatch):
    monkeypatch.setattr(opting, "LIMIT", 2)
    with pytest.raises(opting.Refused) as refused:
        opt_out(today, "a", "b", "c")
    assert refused.value.rule == "bad-opt-outs"
    assert opted_out(today) == frozenset()


def test_a_list_that_is_not_there_is_said(program, today, tmp_path):
    gone = tmp_path / "none"
    code, _, err = program("opt-out", "add", "--from", gone, "--site", today.file)
    assert (code, "cannot be read" in err) == (2, True)


# --- the next task ---------------------------------------------------------------------------


async def test_an_opt_out_reaches_the_next_training_and_the_next_evaluation(bench, charite):
    document = charite.consented()
    await bench.done(document)
    opt_out(charite, "p3")
    await bench.done(document, round_=2)
    task = bench.offer(document, round_=2, kind=TaskKind.EVALUATE)
    await bench.until(task, TaskState.DONE)
    before, train, evaluate = bench.worker.jobs
    assert before.cohort["opt_outs"] == []
    assert train.cohort["opt_outs"] == evaluate.cohort["opt_outs"] == ["p3"]


async def test_the_ledger_hears_that_before_the_task_is_paid_for_and_hears_it_once(
    bench, charite
):
    document = charite.consented()
    opt_out(charite, "p3")
    await bench.done(document)
    await bench.done(document, round_=2)
    (applied,) = charite.said("opt-outs-applied")
    assert applied.statement.body == {
        "agreement": document.digest,
        "cohort": COHORT,
        "patients": "some",
    }
    assert applied.statement.counter < charite.said("budget-reserved")[0].statement.counter


async def test_no_identifier_is_in_anything_that_leaves(bench, charite):
    opt_out(charite, "p3", "p17")
    document = charite.consented()
    await bench.done(document)

    def everything(c):
        words = [repr(word.body) for word in letters.unsent(c, FEDERATION, after=0)]
        said = journal.of_kind(c, FEDERATION, "opt-outs-applied")
        kinds = ("budget-reserved", "contribution-made", "data-declared")
        said += [one for kind in kinds for one in journal.of_kind(c, FEDERATION, kind)]
        return words + [one.statement.payload.decode() for one in said]

    left = "\n".join(charite.store.look(everything))
    assert "opt-outs-applied" in left
    # Three letters stand in many a signature: a name is what nothing of base64 surrounds.
    assert re.search(r"(?<![\w+/])(p3|p17)(?![\w+/])", left) is None


async def test_who_is_unknown_here_is_kept_for_later(bench, charite):
    document = charite.consented()
    opt_out(charite, "p60")
    await bench.done(document)
    assert told(charite) == []
    with (charite.folder / "patients.csv").open("a") as file:
        file.write("p60,5.0,50.0,N\n")
    await bench.done(document, round_=2)
    assert told(charite) == ["some"]


async def test_the_record_says_when_nobody_is_left_out_any_more(bench, charite):
    document = charite.consented()
    opt_out(charite, *(f"p{n}" for n in range(12)))
    await bench.done(document)
    opting.opt_in(charite.m, COHORT, frozenset(f"p{n}" for n in range(12)))
    await bench.done(document, round_=2)
    assert told(charite) == [10, 0]


@pytest.mark.parametrize(("patients", "said"), [(0, 0), (1, "some"), (9, "some"), (19, 10)])
def test_numbers_left_out_are_said_in_tens_or_not_at_all(patients, said):
    from site_agent.patients import rounded

    assert rounded(patients) == said


def test_an_update_made_of_a_patient_who_opted_out_is_not_sent_again(charite):
    from test_deciding import retry, sent_once

    document = charite.consented()
    sent_once(charite, document)
    opt_out(charite, "p3")
    seen = dataclasses.replace(SEEN_ONE, patients=50)
    assert retry(charite, document, "too-few-sites", seen=seen) is TaskState.RESERVING
    assert len(charite.spent()) == 2


def test_an_update_made_since_is_sent_again(charite):
    from test_deciding import decided, retry

    document = charite.consented()
    opt_out(charite, "p3")
    facts = facts_of(SEEN_ONE)
    task = charite.task(document, round_=3)
    decided(charite, task, facts)

    def change(c):
        work.keep_update(c, FEDERATION, task.task, Update("e" * 64, 100, "work/u", 4))
        work.move(c, FEDERATION, task.task, state=TaskState.DONE)

    charite.store.now(change)
    assert retry(charite, document, "too-few-sites", seen=SEEN_ONE) is TaskState.SENDING


# --- declared patients -----------------------------------------------------------------------


def test_a_cohort_that_shrank_is_declared_anew_before_it_is_paid_for(charite):
    from test_deciding import decided

    document = charite.consented()
    task = charite.task(document)
    decided(charite, task, facts_of(dataclasses.replace(SEEN_ONE, patients=44)))
    _, anew = charite.said("data-declared")
    (reserved,) = charite.said("budget-reserved")
    assert anew.statement.body["declared_patients"] == 40
    assert reserved.statement.body["expected_batch"] == "4"
    assert anew.statement.counter < reserved.statement.counter


def test_new_patients_are_declared_when_the_administrator_says_so(program, today):
    from test_deciding import decided

    document = today.consented(patients=40)
    code, _, err = program("declare", "--site", today.file)
    assert (code, "60 patients are declared with the next task" in err) == (0, True), err
    today.restart()
    decided(today, today.task(document), facts_of(SEEN_ONE))
    assert [one.statement.body["declared_patients"] for one in today.said("data-declared")] == [
        40,
        60,
    ]
    decided(today, today.task(document, round_=2), facts_of(SEEN_ONE))
    assert len(today.said("data-declared")) == 2


@pytest.mark.parametrize("number", [70, 55, 30])
def test_a_number_that_the_cohort_or_the_agreement_does_not_bear_is_refused(
    program, today, number
):
    today.consented()
    code, _, err = program("declare", "--patients", number, "--site", today.file)
    assert (code, "[declared-patients]" in err) == (2, True), err


def facts_of(seen):
    from test_deciding import FINE

    return dataclasses.replace(FINE, seen=seen)


def _seen_one():
    from site_agent.readiness import Seen

    return Seen(patients=60, opted_out=frozenset({"p3"}))


SEEN_ONE = _seen_one()
