"""Two histories, shown to three hospitals and to two: the two stop, and the notes convict."""

from __future__ import annotations

import pytest

from site_agent import answers
from site_agent.store import notes

TWO = ("karolinska", "ucl")


async def begun(five):
    """Let all cosign that the agreement is in force."""
    sent = five.log.head()
    for name in five.sites:
        five.coordinator.tell(name, sent)
    await five.log.cosigned_by(*five.sites)


async def parted(five):
    """Hold rounds 1 and 2 on two logs that part after the agreement took force."""
    await begun(five)
    other = five.part(*TWO)
    for version in "1234":  # as many entries as the third hospital brings
        body = {"program": "p", "version": version, "os": "Linux"}
        other.coordinator("software-started", body)
    for number in (1, 2):
        await five.round(number, five.log)
        await five.round(number, other, model="w")
    return other


async def test_five_hospitals_on_one_history_take_every_task(five):
    await begun(five)
    for number in (1, 2, 3):
        await five.round(number, five.log)
    assert set((await five.rules(4, five.log)).values()) == {""}


@pytest.mark.slow
async def test_two_of_five_on_another_history_stop_within_two_rounds(five):
    other = await parted(five)
    assert set((await five.rules(3, five.log)).values()) == {""}
    rules, why = await five.out_of_time(3, other)
    assert rules == dict.fromkeys(TWO, "not-compared")
    assert "more than half of 5 hospitals" in why["ucl"]
    assert why["ucl"].endswith("seen so far: karolinska, ucl")


@pytest.mark.slow
async def test_a_site_that_waits_says_who_was_seen(five):
    await begun(five)
    other = five.part(*TWO)
    for log in (five.log, other):
        await five.round(1, log)
        await five.round(2, log)
    _, why = await five.out_of_time(3, other)
    site = five.sites["ucl"].hospital
    said = "\n".join(answers.status(site.m).notes)
    assert f"A task waits until other hospitals are seen on this history: {why['ucl']}." in said


@pytest.mark.slow
async def test_a_head_that_the_others_cosigned_convicts_the_coordinator(five):
    other = await parted(five)
    theirs = five.log.latest()
    ucl = five.sites["ucl"]
    five.coordinator.tell("ucl", other.head(predecessor=theirs))
    assert (await ucl.until_noted(notes.ALARM)).startswith("history-differs")
    said = "\n".join(answers.status(ucl.hospital.m).notes)
    assert "the coordinator's key signed them" in said
    assert theirs in said
    held = answers.status(ucl.hospital.m).facts["head_held"]
    assert held.split("\n")[:2] == theirs.split("\n")[:2], "two heads of one size"
    assert held.split("\n")[2] != theirs.split("\n")[2]
    assert await ucl.asked(five.document, 3) == "integrity-alarm"


async def test_a_head_shorter_than_the_one_before_it_is_a_log_that_was_cut(five):
    await begun(five)
    before = five.part(*TWO)
    await five.round(1, five.log)
    before.coordinator("software-started", {"program": "p", "version": "1", "os": "Linux"})
    ucl = five.sites["ucl"]
    five.coordinator.tell("ucl", before.head(predecessor=five.log.latest()))
    assert "it was cut" in await ucl.until_noted(notes.ALARM)
