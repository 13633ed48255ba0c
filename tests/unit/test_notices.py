"""A person's program hears of what begins to stand: once, and again only until it listens."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from governance import notices
from governance.notices import Listener, Notice, Teller

FORK = Notice("fork", "amc", "amc's copy differs", "concilium-ledger verify")
DISK = Notice("disk-10", "state", "the disk has 4% free", "Make room.")


class Place:
    """A program that writes down what it reads, and fails while a file is there."""

    def __init__(self, folder):
        self.heard, self.deaf = folder / "heard", folder / "deaf"
        self.now = datetime(2026, 11, 21, tzinfo=UTC)
        script = (
            f'[ -e "{self.deaf}" ] && {{ echo "no line" >&2; exit 3; }}; cat >> "{self.heard}"'
        )
        run = ("/bin/sh", "-c", script)
        self.listener = Listener(run, frozenset({"fork"}), "concilium-coordinator", "hearts")
        self.teller = self.begun()

    def begun(self):
        return Teller(self.listener, lambda: self.now)

    def lines(self):
        text = self.heard.read_text() if self.heard.exists() else ""
        return [json.loads(line) for line in text.splitlines()]


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path)


async def test_the_program_reads_the_notice_as_json_on_its_standard_input(place):
    await place.teller.tell([FORK], frozenset())
    assert place.lines() == [
        {
            "event": "fork",
            "about": "amc",
            "what": "amc's copy differs",
            "todo": "concilium-ledger verify",
            "program": "concilium-coordinator",
            "name": "hearts",
            "at": "2026-11-21T00:00:00+00:00",
        }
    ]


async def test_what_goes_on_standing_is_told_once_even_over_a_restart(place):
    told = await place.teller.tell([FORK], frozenset())
    told = await place.teller.tell([FORK], told)
    restarted = notices.read(notices.kept(told))
    assert await place.begun().tell([FORK], restarted) == told
    assert len(place.lines()) == 1


async def test_what_was_over_in_between_is_told_again(place):
    told = await place.teller.tell([FORK], frozenset())
    told = await place.teller.tell([], told)
    assert told == frozenset()
    await place.teller.tell([FORK], told)
    assert len(place.lines()) == 2


async def test_an_event_that_the_settings_do_not_name_is_not_told(place):
    assert await place.teller.tell([DISK], frozenset()) == frozenset()
    assert place.lines() == []


async def test_a_program_that_fails_is_run_again_but_not_at_once(place):
    place.deaf.touch()
    assert await place.teller.tell([FORK], frozenset()) == frozenset()
    place.deaf.unlink()
    assert await place.teller.tell([FORK], frozenset()) == frozenset()
    place.now += notices.AGAIN_AFTER
    assert await place.teller.tell([FORK], frozenset()) == {FORK.mark}
    assert len(place.lines()) == 1


async def test_a_program_that_goes_on_failing_is_run_less_and_less_often(place):
    place.deaf.touch()
    await place.teller.tell([FORK], frozenset())
    place.now += notices.AGAIN_AFTER
    await place.teller.tell([FORK], frozenset())
    place.deaf.unlink()
    place.now += notices.AGAIN_AFTER
    assert await place.teller.tell([FORK], frozenset()) == frozenset()
    place.now += notices.AGAIN_AFTER
    assert await place.teller.tell([FORK], frozenset()) == {FORK.mark}


async def test_a_program_that_is_not_there_loses_nothing(place):
    run = ("/nowhere/page-it",)
    absent = Listener(run, frozenset({"fork"}), "concilium-site", "amc")
    assert await Teller(absent, lambda: place.now).tell([FORK], frozenset()) == frozenset()


async def test_a_program_that_reads_nothing_is_told_all_the_same(place):
    deaf = Listener(("/bin/true",), frozenset({"fork"}), "concilium-site", "amc")
    long = Notice("fork", "amc", "x" * 1_000_000, "")
    assert await Teller(deaf, lambda: place.now).tell([long], frozenset()) == {long.mark}


async def test_a_notice_whose_sentence_changes_is_still_the_same(place):
    told = await place.teller.tell([FORK], frozenset())
    later = Notice(FORK.event, FORK.about, "amc's copy differs since yesterday", FORK.todo)
    place.now += timedelta(days=1)
    assert await place.teller.tell([later], told) == told
    assert len(place.lines()) == 1
