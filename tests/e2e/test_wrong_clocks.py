"""A machine with a clock five minutes off is told so, and goes on once it is right.

The machine lies to the program: its Python is started with a clock that is ahead or behind.
"""

from __future__ import annotations

import os
import shutil

import pytest
from programs import SITE, Running, call, refused
from standing import DEMO, SITES, edited

_CLOCK = """\
import datetime, os

class Clock(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        ahead = datetime.timedelta(minutes=int(os.environ["CLOCK_AHEAD_MIN"]))
        return super().now(tz) + ahead

datetime.datetime = Clock
"""


@pytest.fixture
def machine(tmp_path):
    """Return the environment of a machine whose clock is so many minutes ahead."""
    (tmp_path / "clock").mkdir()
    (tmp_path / "clock" / "sitecustomize.py").write_text(_CLOCK)

    def ahead(minutes):
        where = str(tmp_path / "clock")
        return {**os.environ, "PYTHONPATH": where, "CLOCK_AHEAD_MIN": str(minutes)}

    return ahead


def test_a_newcomer_with_a_wrong_clock_is_told_which_way_and_enrols_with_a_right_one(
    served, machine, tmp_path
):
    folder = tmp_path / "newcomer"
    shutil.copytree(DEMO / "sites" / "hillcrest", folder)
    entry = {"coordinator": "localhost:1", "folder": "enrolled/here", "proxy": "none"}

    def change(said):
        entry["cohort"] = next(iter(said["cohorts"]))
        said.update(name="st-clock", federations=[entry])

    edited(folder / "site.yaml", change)
    token, before = served.token("site", "st-clock"), served.entries("enrolled")
    enrol = (SITE, "enrol", token, "--site", folder / "site.yaml", *served.secret)
    for minutes, words in ((10, "10 minutes ahead of the"), (-10, "behind")):
        said = call(*enrol, env=machine(minutes))
        refused(said, words, "timedatectl")
        assert served.entries("enrolled") == before
    assert call(*enrol, env=machine(4)).code == 0


def test_an_agent_with_a_wrong_clock_says_so_and_goes_on_with_a_right_one(fed, machine):
    fed.serve()
    name = SITES[0]
    fed.running[name] = Running(SITE, "run", "--site", fed.site_file(name), env=machine(10))
    lost = fed.running[name].until("session-lost")
    assert "clock-skew" in lost
    told = fed.site_status(name)
    assert told["running"] is True
    assert any("minutes" in note for note in told["notes"]), told
    before = len(fed.entries("software-started"))
    fed.stop(name)
    fed.run(name)
    fed.until(lambda: len(fed.entries("software-started")) > before)
    assert fed.site_status(name)["connected"]
