"""What an operator hears of: offline hospitals, ends of certificates, failed rounds."""

from __future__ import annotations

import asyncio
import json
import os
from datetime import UTC, datetime, timedelta

import pytest
from federations import SITES, Clock, Here, Timed

from coordinator import noticing
from coordinator.store import kept


@pytest.fixture
def base(folders):
    Timed.clock = Clock(datetime.now(UTC))
    opened = Timed.open(folders.coordinator)
    opened.opened_at -= timedelta(hours=1)
    yield opened
    opened.close_now()


def standing(base, *, after=timedelta()):
    base.clock.set(base.now() + after)
    return base.store.write_now(lambda c: list(noticing.standing(base, c)))


def seen(base):
    base.store.write_now(lambda c: noticing.note_seen(base, c))


def test_a_federation_where_all_is_well_tells_of_nothing(base):
    seen(base)
    assert standing(base) == []


def test_a_hospital_that_was_away_for_a_day_is_told(base):
    seen(base)
    assert standing(base, after=timedelta(hours=23)) == []
    told = standing(base, after=timedelta(hours=2))
    assert [(one.event, one.about) for one in told] == [
        ("site-offline-24h", name) for name in ("amc", "charite", "ucl")
    ]


def test_a_connected_hospital_is_not_told(base):
    seen(base)
    base.sessions.open("amc", None)
    told = standing(base, after=timedelta(hours=25))
    assert [one.about for one in told] == ["charite", "ucl"]


def test_hospitals_may_come_back_after_the_coordinator_started(base):
    seen(base)
    base.opened_at = base.now() + timedelta(hours=25)
    assert standing(base, after=timedelta(hours=25)) == []


def test_when_a_hospital_was_seen_last_outlives_a_restart(base, folders):
    long_ago = base.timestamp(base.now() - timedelta(days=3))
    said = json.dumps(dict.fromkeys(("amc", "charite", "ucl"), long_ago))
    base.store.write_now(lambda c: kept.set_note(c, "seen", said))
    seen(base)
    assert len(standing(base)) == 3


def test_a_certificate_that_no_agent_renews_is_told(base):
    seen(base)
    told = standing(base, after=timedelta(days=62))
    ends = sorted(one.about for one in told if one.event == "certificate-30d")
    assert ends == ["amc", "charite", "ucl"]


def test_an_issuing_authority_that_ends_is_told_with_the_command(base):
    base.sessions.open("amc", None)
    told = standing(base, after=timedelta(days=375))
    (issuing,) = [one for one in told if one.about == "issuing CA"]
    assert issuing.todo.endswith("concilium-coordinator rotate-key issuing")


async def test_a_coordinator_at_work_tells_the_program_that_its_file_names(folders, tmp_path):
    heard, file = tmp_path / "heard", folders.coordinator / "coordinator.yaml"
    os.mkfifo(heard)
    run = json.dumps(["/bin/sh", "-c", f"cat > {heard}"])
    file.write_text(f"{file.read_text()}\nnotify: {{run: {run}, events: [certificate-30d]}}\n")
    fed = Here(folders)
    fed.clock = Clock(datetime.now(UTC) + timedelta(days=375))
    await fed.start()
    (line,) = (await asyncio.to_thread(heard.read_text)).splitlines()
    await fed.end()
    said = json.loads(line)
    assert (said["event"], said["about"], said["name"]) == (
        "certificate-30d",
        "issuing CA",
        fed.base.federation,
    )


async def test_when_a_hospital_was_here_is_kept_where_nobody_is_told(fed):
    """Prometheus reads the same events, also where no program is named."""
    assert fed.base.settings.notify is None

    def is_kept():
        with fed.base.store.engine.connect() as connection:
            return set(json.loads(kept.note(connection, "seen") or "{}")) == set(SITES)

    await fed.until(is_kept)
