"""A hospital that lost its keys trains on with new ones, and what it spent stays spent."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import federations
import folders as folders_module
import hospital
import masked
import pytest
import pytest_asyncio

from governance.identity.folder import officer_key
from governance.ledger import replacing
from governance.privacy.accountant import epsilon, format_epsilon
from governance.privacy.releases import Release
from governance.settings import load_site
from site_agent import joining

pytestmark = [pytest.mark.asyncio, pytest.mark.slow]

NAMES = ("amc", "charite", "ucl")
LOST = "amc"
TERMS = {"schedule.rounds": 1, "sites.ready_at_least": 3, "sites.close_at_least": 3}


@pytest.fixture(scope="module")
def founded(tmp_path_factory):
    made = folders_module.found(tmp_path_factory.mktemp("three"))
    asyncio.run(masked.populate(made, NAMES))
    return made


@pytest_asyncio.fixture
async def fed(founded, tmp_path, monkeypatch):
    """Three agents, and a coordinator at which nobody has to wait for a veto."""
    monkeypatch.setattr(replacing, "VETO", timedelta())
    federation = masked.Federation(folders_module.copied(founded, tmp_path), NAMES)
    await federation.start()
    yield federation
    await federation.end()
    federation.verified()


async def enrolled_anew(agent, token):
    """Enrol as the program does, into a folder that waits, with an officer's key made anew."""
    h = agent.hospital
    h.close()
    anew = {"federations.0.folder": "enrolled/anew", "officer_key": "keys/anew.pem"}
    h.write(agent.settings | anew)
    await asyncio.to_thread(joining.enrol, load_site(h.file), token, hospital.SECRET)
    h.open()


async def test_a_hospital_with_new_keys_trains_on_and_what_it_spent_stays_spent(
    fed, monkeypatch
):
    await fed.agreed(changes=TERMS)
    await fed.until_closed_round(1)
    now = datetime.now(UTC)
    token, _ = await fed.ask(
        lambda console: console.invite("site", LOST, hours=24, now=now, replace_keys=True)
    )
    lost = fed.agents[LOST]
    await lost.stop()
    await enrolled_anew(lost, token)
    officer = officer_key(lost.hospital.settings.officer_key, hospital.SECRET)
    known = hospital.officer_of
    for module in (federations, hospital):
        monkeypatch.setattr(
            module, "officer_of", lambda name: officer if name == LOST else known(name)
        )
    lost.start()
    await fed.agreed(changes=TERMS | {"title": "The study goes on"})
    await fed.until_closed_round(2)
    assert LOST in fed.closed(2)["sites_in"]
    said = [
        e.body["epsilon_total"]
        for e in fed.entries("budget-reserved")
        if e.actor == f"site/{LOST}"
    ]
    release = Release(0.1, 4.0, 2)
    assert said == [format_epsilon(epsilon([release] * n, 1e-5)) for n in (1, 2)]
