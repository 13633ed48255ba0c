"""What a hospital's people hear of: each event begins and ends to stand with its cause."""

from __future__ import annotations

import asyncio
import json
import os
from datetime import timedelta

import pytest
from hospital import FEDERATION

from site_agent import noticing
from site_agent.agent import Event
from site_agent.progress import Told, happen
from site_agent.store import notes


def standing(hospital):
    peer = hospital.identity.peer
    return hospital.store.now(lambda c: list(noticing.standing(c, hospital.m, peer)))


def events(hospital):
    return [one.event for one in standing(hospital)]


def test_a_hospital_where_all_is_well_hears_of_nothing(charite):
    charite.consented()
    assert events(charite) == []


def test_an_agreement_that_waits_for_an_answer_is_consent_due(charite):
    document = charite.proposed()
    (notice,) = standing(charite)
    assert (notice.event, notice.about) == ("consent-due", document.digest)
    charite.consent(document)
    assert events(charite) == []


def test_a_consent_that_ends_within_two_weeks_is_consent_due(charite):
    document = charite.proposed()
    charite.consent(document, until=charite.clock.time + timedelta(days=20))
    assert events(charite) == []
    charite.clock.pass_(days=7)
    assert events(charite) == ["consent-due"]


@pytest.mark.parametrize(("cap", "expected"), [(8.0, []), (0.5, ["budget-80"])])
def test_four_fifths_of_the_cap_are_told(make, cap, expected):
    from test_deciding import decided

    hospital = make()
    decided(hospital, hospital.task(hospital.consented()))
    hospital.rewrite(policy__cap={"epsilon": cap, "delta": 1e-5})
    assert events(hospital) == expected


def test_a_certificate_that_was_not_renewed_in_time_is_told(charite):
    charite.clock.pass_(days=62)
    assert events(charite) == ["certificate-30d"]


def test_an_alarm_about_the_ledger_is_told(charite):
    charite.store.now(lambda c: notes.set_note(c, FEDERATION, notes.ALARM, "fork: two heads"))
    assert events(charite) == ["fork"]


def test_a_refused_task_is_told_with_its_rule_until_another_is_taken(charite):
    document = charite.consented()
    task = charite.task(document)
    charite.take(task)
    held = charite.held(task)
    told = Told(rule="budget-exhausted")
    charite.store.now(lambda c: happen(c, charite.m, held, Event.RULED_OUT, told))
    (notice,) = standing(charite)
    assert (notice.event, notice.about) == ("task-refused", task.task)
    assert "budget-exhausted" in notice.what
    charite.take(charite.task(document, round_=2))
    assert events(charite) == []


async def test_the_program_of_site_yaml_is_told_once_over_restarts(make, tmp_path):
    heard = tmp_path / "heard"
    os.mkfifo(heard)
    run = ["/bin/sh", "-c", f'cat > "{heard}"']
    hospital = make(notify={"run": run, "events": ["consent-due"]})
    hospital.proposed()
    peer = hospital.identity.peer
    telling = asyncio.create_task(noticing.notify(hospital.m, lambda: peer, every_s=0.0))
    (line,) = (await asyncio.to_thread(heard.read_text)).splitlines()
    said = json.loads(line)
    assert (said["event"], said["name"]) == ("consent-due", f"charite in {FEDERATION}")
    kept = ""
    while not kept:
        await asyncio.sleep(0)
        kept = hospital.store.look(lambda c: notes.note(c, FEDERATION, notes.TOLD))
    telling.cancel()
    assert json.loads(kept) == [f"consent-due {said['about']}"]
