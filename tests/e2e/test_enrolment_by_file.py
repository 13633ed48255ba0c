"""A hospital that may open no second port enrols by file, with whole programs."""

from __future__ import annotations

import shutil

import pytest
from programs import SITE, Running, call, refused
from standing import DEMO, edited

NAME = "riverside"


@pytest.fixture
def by_file(fed):
    """A federation without an enrolment port, whose coordinator serves."""
    edited(fed.coordinator / "coordinator.yaml", lambda said: said.pop("enrolment"))
    fed.serve()
    return fed


@pytest.fixture
def hospital(by_file, tmp_path):
    folder = tmp_path / NAME
    shutil.copytree(DEMO / "sites" / "hillcrest", folder)
    listen = by_file.rows("SELECT 1") and (by_file.coordinator / "coordinator.yaml").read_text()
    port = listen.split("listen: 127.0.0.1:")[1].split()[0]

    def change(said):
        cohort = next(iter(said["cohorts"]))
        place = {"folder": "enrolled/here", "cohort": cohort, "proxy": "none"}
        place["coordinator"] = f"localhost:{port}"
        said.update(name=NAME, federations=[place])

    edited(folder / "site.yaml", change)
    return folder


def test_the_whole_round_trip(by_file, hospital, tmp_path):
    site = ("--site", hospital / "site.yaml")
    asked, given = tmp_path / "request.json", tmp_path / "response.json"
    token = by_file.token("site", NAME)
    refused(call(SITE, "enrol", token, *site, *by_file.secret), "enrols by file", "--request")
    said = call(SITE, "enrol", token, "--request", asked, *site, *by_file.secret)
    assert said.code == 0, said
    assert asked.stat().st_mode & 0o777 == 0o600
    refused(
        by_file.operator(
            "invite", "site", "elsewhere", "--request", asked, "--response", given
        ),
        f"of site {NAME}, not of site elsewhere",
    )
    refused(by_file.operator("invite", "site", NAME, "--request", asked), "go together")
    carried = by_file.operator("invite", "site", NAME, "--request", asked, "--response", given)
    assert carried.code == 0, carried
    taken = call(SITE, "enrol", "--response", given, *site)
    assert (taken.code, f"Enrolled as site/{NAME}" in taken.err) == (0, True), taken
    listed = call(SITE, "sent", "--format", "csv", *site)
    assert "enrol-request" in listed.out, listed
    with Running(SITE, "run", *site) as agent:
        agent.until("session-open")
    assert NAME in [site["site"] for site in by_file.status()["rows"]]
