"""What a malicious hospital does to a sum of figures, and who is named."""

from __future__ import annotations

from dataclasses import replace

import pytest
from masked import NAMES, NOISED
from test_figures import added
from test_malicious_sites import LIAR, REST, moved

from governance.secagg import site
from protos.words_masks import Opened
from site_agent import masked_figures, masking

pytestmark = [pytest.mark.asyncio, pytest.mark.long]


async def is_summed_without_the_liar(fed):
    await fed.until_closed_round(1)
    said, sites = await fed.summed()
    assert (said.values, sites) == (added(fed, REST), REST)


def sends(monkeypatch, *, vector=bytes, masked=str):
    """Let a hospital send another vector than it masked, or state another."""
    send, make = masked_figures.send, masked_figures.Vector

    def says(c, m, task, figures):
        mine = m.site == LIAR
        change = (lambda values: make(vector(values))) if mine else make
        monkeypatch.setattr(masked_figures, "Vector", change)
        said = send(c, m, task, figures)
        return said | {"masked": masked(said["masked"])} if mine else said

    monkeypatch.setattr(masked_figures, "send", says)


async def test_r12_who_opens_wrong_shares_is_named_and_the_sum_is_right(fed, monkeypatch):
    say = masking._say

    def says(c, m, task, said):
        if m.site == LIAR and isinstance(said, Opened) and task.kind.value == "evaluate":
            said = Opened(moved(said.own_masks), said.keys)
        say(c, m, task, said)

    monkeypatch.setattr(masking, "_say", says)
    await fed.agreed(changes=NOISED)
    await fed.until_closed_round(1)
    said, _ = await fed.summed()
    assert said.values == added(fed, NAMES)
    named = [e.body for e in fed.entries("masking-step") if e.body["refused"]]
    assert [(one["purpose"], one["refused"]) for one in named] == [
        ("evaluate", {LIAR: "secagg-r12"})
    ]


async def test_r13_a_vector_of_another_length_is_not_in_the_sum(fed, monkeypatch):
    sends(monkeypatch, vector=lambda values: values[:8])
    await fed.agreed(changes=NOISED)
    await is_summed_without_the_liar(fed)


async def test_a_statement_of_another_vector_than_came_is_refused(fed, monkeypatch):
    sends(monkeypatch, masked=lambda _: "d" * 64)
    await fed.agreed(changes=NOISED | {"round.stragglers": {"close_early_after": "1s"}})
    await is_summed_without_the_liar(fed)
    assert {e.actor for e in fed.entries("evaluation-made")} == {f"site/{n}" for n in REST}


async def test_a_site_that_masks_for_other_peers_takes_the_figures_away_and_names_nobody(
    fed, monkeypatch
):
    mask = site.apply

    def masks_for_some(state, vector):
        before, held = state.before.before, dict(state.held)
        if before.site == LIAR and before.terms.purpose == "evaluate":
            del held["ucl"]
        mask(replace(state, held=held), vector)

    monkeypatch.setattr(site, "apply", masks_for_some)
    await fed.agreed(changes=NOISED)
    assert await fed.missing() == "secagg-r13"
    await fed.until_closed_round(1)
    assert fed.closed()["sites_in"] == list(NAMES)
    assert not fed.entries("complaint")
    assert not any(e.body["refused"] for e in fed.entries("masking-step"))
