"""Federated statistics over the wire: paid for, combined once, and only then is trained."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from federations import PATIENTS, SITES, ledger_of
from released import release, witnessed
from scripted_site import small_step
from small_agreement import PRIVATE

from coordinator import handing
from coordinator import measuring as combining
from governance import normalisation, statements
from governance.ledger import query_privacy, release_folder, release_proof, source
from governance.ledger.verify import verify
from governance.privacy.mechanisms import Keystream
from protos.errors import Refused
from protos.words import Cancel, CheckpointSent, TaskAnswer, TaskKind
from site_agent import measuring, predicting

TERMS = {
    **PRIVATE,
    "data.statistics": "federated",
    "data.minimum_patients": 4000,
    "privacy": {**PRIVATE["privacy"], "statistics": {"epsilon": 2.0}},
    "schedule.rounds": 1,
}
TRAINING = {
    "sampling_rate": "0.01",
    "noise_multiplier": "5",
    "clip": "1",
    "expected_batch": "1",
    "epsilon_total": "3",
}
TRUTH = {"one": (4.0, 1.5), "two": (7.0, 1.0)}


def vector(agreement, key, patients):
    """Return what a hospital says whose patients are drawn around the truth."""
    draw = np.random.default_rng(key)
    mean, std = (np.array([each[place] for each in TRUTH.values()]) for place in (0, 1))
    units = (draw.normal(mean, std, (patients, 2)).clip(0, 10) - 5) / 5
    total = normalisation.sum_of(units, np.arange(patients), patients)
    noise = Keystream(bytes([key + 1]) * 32).gaussian
    return normalisation.to_json(normalisation.noised_of(total, agreement, noise))


async def reserve(site, task, agreement, **changes):
    await site.send(TaskAnswer(task.task, accepted=True))
    said = {
        "noise_multiplier": str(agreement.statistics_sigma),
        "clip": "1.8708286933869707",
        "expected_batch": "1",
        "loader": "all",
        "purpose": "statistics",
        "epsilon_total": "2",
    }
    return await site.say("budget-reserved", site.reservation(task, **{**said, **changes}))


async def say(site, task, agreement, text, told=None, **changes):
    body = {
        **site.place(task),
        "basis": normalisation.basis_of(agreement),
        "mechanism": "gaussian",
        **changes,
    }
    told = told or site.disclose("statistics", text)
    return await site.say("statistics-released", body, told=(told,))


async def released(fed, agreement, *names, patients=40_000):
    """Let sites reserve for their statistics and say them."""
    for key, (name, task) in enumerate(
        (await fed.tasks(TaskKind.MEASURE, sites=names)).items()
    ):
        site = fed.site(name)
        assert (await reserve(site, task, agreement)).accepted
        assert (await say(site, task, agreement, vector(agreement, key, patients))).accepted


async def trained(fed, *names):
    for name, task in (await fed.tasks(sites=names)).items():
        site = fed.site(name)
        await site.accept(task, reserve=False)
        await site.reserve(task, **TRAINING)
        await site.hand_in(task, small_step(site, task), epsilon="3")


async def test_statistics_are_combined_before_anybody_trains_and_verify(fed):
    agreement = (await fed.in_force(changes=TERMS)).agreement
    await released(fed, agreement, *SITES)
    await fed.until_round("training")
    (combined,) = fed.entries("statistics-combined")
    found = normalisation.read(combined.body["values"])
    normalisation.check(found, agreement)
    for name, (mean, std) in TRUTH.items():
        assert float(found[name].mean) == pytest.approx(mean, abs=0.05)
        assert float(found[name].std) == pytest.approx(std, abs=0.05)
    assert combined.body["sites"] == sorted(SITES)
    await trained(fed, *SITES)
    for name, task in (await fed.tasks(TaskKind.EVALUATE)).items():
        await fed.site(name).evaluate(task)
    await fed.until_ended((1, 1, "closed", ""))
    kinds = [one.kind for one in fed.entries()]
    assert kinds.index("statistics-combined") < kinds.index("contribution-made")
    fed.verified()


async def test_a_site_gets_its_task_only_after_the_head_that_holds_the_statistics(fed):
    agreement = (await fed.in_force(changes=TERMS)).agreement
    await released(fed, agreement, *SITES)
    site = fed.site("amc")
    await site.task(TaskKind.TRAIN)
    heads = [word for word in site.inbox if isinstance(word, CheckpointSent)]
    assert any(
        int(head.note.splitlines()[1]) > index
        for head in heads
        for index, one in enumerate(fed.entries())
        if one.kind == "statistics-combined"
    )


async def test_statistics_without_a_reservation_are_refused_and_one_pays_for_one(fed):
    agreement = (await fed.in_force(changes=TERMS)).agreement
    site = fed.site("amc")
    task = await site.task(TaskKind.MEASURE)
    first = site.disclose("statistics", vector(agreement, 1, 100))
    receipt = await say(site, task, agreement, "", told=first)
    assert (receipt.accepted, receipt.rule) == (False, "no-reservation")
    assert (await reserve(site, task, agreement)).accepted
    assert (await say(site, task, agreement, "", told=first)).accepted
    receipt = await say(site, task, agreement, vector(agreement, 2, 100))
    assert (receipt.accepted, receipt.rule) == (False, "no-reservation")
    assert (await say(site, task, agreement, "", told=first)).accepted


async def test_statistics_with_less_noise_or_of_another_basis_are_refused(fed):
    agreement = (await fed.in_force(changes=TERMS)).agreement
    site = fed.site("amc")
    task = await site.task(TaskKind.MEASURE)
    await reserve(site, task, agreement)
    text = vector(agreement, 1, 100)
    stated = f'"noise":"{normalisation.parse(text).deviation}"'
    for told, changes in (
        (text.replace(stated, '"noise":"0.5"'), {}),
        ("{}", {}),
        (text, {"basis": "0" * 64}),
    ):
        receipt = await say(site, task, agreement, told, **changes)
        assert (receipt.accepted, receipt.rule) == (False, "bad-statistics")


async def test_a_reservation_past_the_consents_cap_is_refused(fed):
    agreement = (await fed.in_force(changes=TERMS)).agreement
    site = fed.site("amc")
    task = await site.task(TaskKind.MEASURE)
    receipt = await reserve(site, task, agreement, epsilon_total="8.1")
    assert (receipt.accepted, receipt.rule) == (False, "over-cap")


async def test_who_withdrew_meanwhile_is_in_no_statistics_and_gets_no_task(fed):
    document = await fed.in_force(changes=TERMS)
    await released(fed, document.agreement, "amc", "charite")
    await fed.site("amc").withdraw(document)
    await released(fed, document.agreement, "ucl")
    await fed.until_round("training")
    (combined,) = fed.entries("statistics-combined")
    assert combined.body["sites"] == ["charite", "ucl"]
    await trained(fed, "charite", "ucl")
    for name, task in (await fed.tasks(TaskKind.EVALUATE, sites=("charite", "ucl"))).items():
        await fed.site(name).evaluate(task)
    await fed.until_ended((1, 1, "closed", ""))
    assert fed.entries("round-closed")[0].body["sites_out"] == {"amc": "consent"}
    assert not any(isinstance(w, Cancel) for w in fed.site("ucl").inbox)
    fed.verified()


async def test_too_few_abandon_the_round_and_a_retry_asks_only_who_did_not_say(fed):
    document = await fed.in_force(changes=TERMS)
    await released(fed, document.agreement, "amc")
    for name in ("charite", "ucl"):
        await fed.site(name).refuse(await fed.site(name).task(TaskKind.MEASURE), "quiet-hours")
    await fed.until_ended((1, 1, "abandoned", "too-few-sites"))
    await released(fed, document.agreement, "charite", "ucl")
    await fed.until_round("training")
    (combined,) = fed.entries("statistics-combined")
    assert combined.body["sites"] == sorted(SITES)
    said = [(one.actor, one.body["attempt"]) for one in fed.entries("statistics-released")]
    assert said == [("site/amc", 1), ("site/charite", 2), ("site/ucl", 2)]
    fed.verified()


async def test_a_restart_while_statistics_are_waited_for_goes_on(fed):
    document = await fed.in_force(changes=TERMS)
    await released(fed, document.agreement, "amc")
    for site in fed.sites.values():
        site.persists()
    await fed.restart()
    await released(fed, document.agreement, "charite", "ucl")
    await fed.until_round("training")
    assert fed.entries("statistics-combined")[0].body["sites"] == sorted(SITES)


async def test_the_operator_sees_who_is_waited_for(fed):
    document = await fed.in_force(changes=TERMS)
    await released(fed, document.agreement, "amc")
    status = await fed.status()
    assert "round 1, attempt 1: measuring" in status.state
    doing = {site.name: site.doing for site in status.sites}
    assert doing["amc"] == "measure: in"
    assert doing["ucl"] in {"measure: sent", "measure: accepted"}
    assert set(PATIENTS) == set(doing)


async def test_a_site_goes_by_what_its_copy_says_and_checks_it_by_what_was_released(fed):
    document = await fed.in_force(changes=TERMS)
    with ledger_of(fed.url) as c:
        assert measuring.recorded(c, document) is None
    await released(fed, document.agreement, *SITES)
    await fed.until_round("training")
    with ledger_of(fed.url) as c:
        found = measuring.recorded(c, document)
    assert found.fault == ""
    (combined,) = fed.entries("statistics-combined")
    assert found.scales == normalisation.read(combined.body["values"])


async def test_statistics_other_than_those_released_are_found_by_sites_and_by_verify(
    fed, monkeypatch
):
    honest = normalisation.combined

    def shifted(said, agreement):
        found = honest(said, agreement)
        return {**found, "one": normalisation.Scale("0", "10", "9", "0.5")}

    monkeypatch.setattr(combining.normalisation, "combined", shifted)
    document = await fed.in_force(changes=TERMS)
    await released(fed, document.agreement, *SITES)
    await fed.until_round("training")
    monkeypatch.undo()
    fed.verified = lambda *_: None  # what it finds is looked at here
    with ledger_of(fed.url) as c:
        assert (
            "not those of what the hospitals released" in measuring.recorded(c, document).fault
        )
        fault = verify(source.Database(c)).fault
    seq = next(n for n, one in enumerate(fed.entries()) if one.kind == "statistics-combined")
    assert (fault.seq, fault.rule) == (seq, "statistics-invented")


async def test_the_auditor_is_told_what_left_by_which_mechanism_at_which_epsilon(fed):
    document = await fed.in_force(changes=TERMS)
    await released(fed, document.agreement, *SITES)
    with ledger_of(fed.url) as c:
        answer = query_privacy.statistics(c, site="amc")
    (row,) = answer.rows
    told = dict(zip(answer.columns, row, strict=True))
    assert told["what"] == "sums for normalisation"
    assert told["mechanism"] == "gaussian"
    assert 1.9 < float(told["epsilon"]) <= 2.0
    assert told["noise_multiplier"] == str(document.agreement.statistics_sigma)
    assert "no smallest or largest value" in answer.notes[0]


async def completed(fed, document, round_=1):
    """Let a round be trained and judged to the agreement's end."""
    await trained(fed, *SITES)
    for name, task in (await fed.tasks(TaskKind.EVALUATE, round=round_)).items():
        await fed.site(name).evaluate(task)
    await fed.until(
        lambda: (
            document.digest
            in {one.body["agreement"] for one in fed.entries("agreement-complete")}
        )
    )


async def test_a_release_says_what_values_are_scaled_by_and_proves_it(fed, tmp_path):
    document = await fed.in_force(changes=TERMS)
    await released(fed, document.agreement, *SITES)
    await completed(fed, document)
    await witnessed(fed, *SITES)
    await release(fed)
    await witnessed(fed, *SITES)
    place = tmp_path / "v1"
    await fed.ask(
        lambda console: handing.fetch(console, "v1", place, wait_s=0, tell=lambda _: None)
    )
    verdict = release_folder.verify(place)
    assert verdict.verified, verdict.sentence
    (combined,) = fed.entries("statistics-combined")
    card = verdict.proven.card
    assert card["normalisation"]["values"] == combined.body["values"]
    assert f"| one | {combined.body['values']['one']['mean']} |" in (
        place / release_folder.CARD_IN_WORDS
    ).read_text(encoding="utf-8")
    assert any("statistics that values are normalised by" in s for s in card["privacy"]["said"])
    scored_by = predicting.normalised(document.agreement, card).data.features[0].reference
    assert str(scored_by.mean) == combined.body["values"]["one"]["mean"]
    parts = release_folder.read(place)
    kept = [
        one
        for one in parts.entries
        if statements.read(one.envelope).kind != "statistics-combined"
    ]
    with pytest.raises(Refused) as broken:
        release_proof.check(replace(parts, entries=tuple(kept)))
    assert broken.value.rule == "release-unproven"


async def test_an_agreement_of_the_same_basis_goes_by_what_is_recorded(fed):
    first = await fed.in_force(changes=TERMS)
    await released(fed, first.agreement, *SITES)
    await completed(fed, first)
    second = await fed.propose(changes={**TERMS, "optimizer.rate": 0.1})
    for site in fed.sites.values():
        await site.consent(second)
    tasks = await fed.tasks(TaskKind.TRAIN, round=2)
    assert {task.agreement for task in tasks.values()} == {second.digest}
    assert len(fed.entries("statistics-released")) == len(SITES)
    with ledger_of(fed.url) as c:
        assert measuring.recorded(c, second) == measuring.recorded(c, first)


async def test_an_agreement_of_another_epsilon_asks_anew(fed):
    first = await fed.in_force(changes=TERMS)
    await released(fed, first.agreement, *SITES)
    await completed(fed, first)
    privacy = {**TERMS["privacy"], "statistics": {"epsilon": 1.5}}
    second = await fed.propose(changes={**TERMS, "privacy": privacy})
    for site in fed.sites.values():
        await site.consent(second)
    tasks = await fed.tasks(TaskKind.MEASURE, round=2)
    assert {task.agreement for task in tasks.values()} == {second.digest}
