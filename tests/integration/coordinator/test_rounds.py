"""Rounds, from opening to the final model, with scripted sites."""

from __future__ import annotations

from protos.words import AgreementState, FinalModel


async def test_a_whole_agreement_runs_to_its_final_model(fed):
    await fed.in_force(changes={"schedule.rounds": 2})
    for site in fed.sites.values():
        site.works()
    finals = [await site.next(FinalModel) for site in fed.sites.values()]
    assert len(set(finals)) == 1
    assert fed.rounds() == [(1, 1, "closed", ""), (2, 1, "closed", "")]
    for site in fed.sites.values():
        await site.next(AgreementState, state="complete")
        await site.model(finals[0].model)
