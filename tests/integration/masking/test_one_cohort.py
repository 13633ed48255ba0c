"""Two federations, each with its own coordinator, that train on one hospital's one cohort."""

from __future__ import annotations

import asyncio
import copy

import folders as folders_module
import masked
import pytest
import pytest_asyncio

from governance.privacy.accountant import epsilon, format_epsilon
from governance.privacy.releases import Release
from site_agent.membership import open_membership

pytestmark = [pytest.mark.asyncio, pytest.mark.slow]

SHARED = "amc"
HEARTS, LUNGS = (SHARED, "charite", "ucl"), (SHARED, "gemelli", "karolinska")
TERMS = {
    "schedule.rounds": 1,
    "round.attempts": 1,
    "sites.ready_at_least": 3,
    "sites.close_at_least": 3,
}
DELTA = 1e-5
RELEASE = Release(0.1, 4.0, 2)
ONE, BOTH = (epsilon([RELEASE] * count, DELTA) for count in (1, 2))


class Elsewhere(masked.Agent):
    """The same hospital in a second federation: one process, one store, one cohort."""

    number = 1

    def __init__(self, first, folders):
        self.name, self.folders, self.federation = first.name, folders, folders.federation
        self.worker = masked.StepWorker(first.name)
        self.hospital = copy.copy(first.hospital)
        h = self.hospital
        h.m, h.identity = open_membership(
            h.settings,
            h.settings.federations[1],
            store=h.store,
            premises=h.premises,
            now=h.clock,
        )
        self._running = self.member = None

    async def close(self):
        await self.stop()  # the store is the first one's to close


@pytest.fixture(scope="module")
def founded(tmp_path_factory):
    """Two coordinators with three hospitals each, one of them in both."""
    both = [
        folders_module.found(tmp_path_factory.mktemp(name), name)
        for name in ("hearts", "lungs")
    ]
    for made, names in zip(both, (HEARTS, LUNGS), strict=True):
        asyncio.run(masked.populate(made, names))
    return both


@pytest_asyncio.fixture
async def pair(founded, tmp_path, request):
    """Both federations at work; the hospital's file caps the cohort's ε as the test says."""
    hearts, lungs = (folders_module.copied(one, tmp_path / one.federation) for one in founded)
    here, there = masked.Federation(hearts, HEARTS), masked.Federation(lungs, LUNGS[1:])
    first = here.agents[SHARED]
    places = [
        {
            "coordinator": made.identity(SHARED).coordinator,
            "folder": str(made.sites / SHARED),
            "cohort": "patients",
        }
        for made in (hearts, lungs)
    ]
    cap = {"policy.cap.epsilon": getattr(request, "param", 8.0)}
    own = {n: v for n, v in first.settings.items() if not n.startswith("federations")}
    first.hospital.write(own | {"federations": places} | cap)
    first.hospital.restart()
    there.agents[SHARED] = Elsewhere(first, lungs)
    masked.journal_enrolment(lungs, there.agents[SHARED])
    feds = [await here.start(), await there.start()]
    yield feds
    for fed in reversed(feds):
        await fed.end()
        fed.verified()


def reserved(fed):
    return [
        e.body["epsilon_total"]
        for e in fed.entries("budget-reserved")
        if e.actor == f"site/{SHARED}"
    ]


def refused(fed):
    return [
        e.body["refusal"] for e in fed.entries("task-refused") if e.actor == f"site/{SHARED}"
    ]


async def test_what_either_federation_spends_counts_in_both(pair):
    for fed in pair:
        await fed.agreed(changes=TERMS | {"federation": fed.folders.federation})
        await fed.until_closed_round(1)
    first, second = (reserved(fed) for fed in pair)
    assert (first, second) == ([format_epsilon(ONE)], [format_epsilon(BOTH)])
    assert [one.federation for one in pair[0].agents[SHARED].spent()] == ["hearts", "lungs"]


@pytest.mark.parametrize("pair", [(ONE + BOTH) / 2], indirect=True, ids=["one fits"])
async def test_two_federations_at_once_do_not_overspend_a_cohort(pair):
    here, there = pair
    await asyncio.gather(
        *(fed.agreed(changes=TERMS | {"federation": fed.folders.federation}) for fed in pair)
    )
    await asyncio.gather(*(fed.until(lambda fed=fed: over(fed)) for fed in pair))
    assert sorted([*reserved(here), *reserved(there)]) == [format_epsilon(ONE)]
    assert [*refused(here), *refused(there)] == ["budget-exhausted"]
    assert sorted(row[2] for fed in pair for row in fed.rounds()) == ["abandoned", "closed"]
    assert len(here.agents[SHARED].spent()) == 1


def over(fed):
    return [row for row in fed.rounds() if row[2] != "open"]
