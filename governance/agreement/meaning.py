"""An agreement in plain words, for people who run hospitals' machines and sign for them.

Each function writes one section; the sentences say what happens, never how it is coded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from governance.agreement import meaning_training
from governance.agreement.phrases import listed, metric, percent
from governance.counts import count
from governance.privacy.releases import decimal_text
from governance.stragglers import NEXT_ROUND
from governance.yaml_values import duration_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from governance.agreement.cost import Cost
    from governance.agreement.load import Document
    from governance.agreement.schema import Agreement, Feature, Target

_DUO: Final = {
    "DUO:0000004": "no restriction",
    "DUO:0000006": "health, medical or biomedical research",
    "DUO:0000007": "research on a named disease",
    "DUO:0000011": "research on origins or ancestry",
    "DUO:0000018": "not for profit, non-commercial use",
    "DUO:0000042": "general research",
    "DUO:0000046": "non-commercial use",
}
_WEEK: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_LATE: Final = {
    "discard": "a late update is discarded",
    NEXT_ROUND: "a late update counts in the next round, in place of that hospital's training "
    "in it, as much as any other and at no further cost",
}
_FEATURES_SHOWN: Final = 8
_VALUES_SHOWN: Final = 12


SHOUTED: Final = {
    "no-privacy": "privacy is off: what leaves a hospital can tell of single patients.",
    "no-noise": "there is no noise: what leaves a hospital can tell of single patients, and no "
    "ε can be stated.",
    "fixed-noise-seed": "the noise comes from a fixed seed: whoever reads this agreement can "
    "take it away again. Only a rehearsal may do that.",
    "exact-small-classes": "exact figures of classes with few patients leave: such a figure "
    "can tell of a single patient.",
}


@dataclass(frozen=True, slots=True)
class Part:
    """A section of a plan: a stable key, its title and its sentences."""

    key: str
    title: str
    sentences: tuple[str, ...]


def parts(document: Document, cost: Cost) -> tuple[Part, ...]:
    """Return all sections in the order in which one reads them."""
    agreement = document.agreement
    written: tuple[tuple[str, str, Iterable[str]], ...] = (
        ("purpose", "What it is for", _purpose(document)),
        ("parties", "Who takes part", _parties(agreement)),
        ("data", "What each hospital's data must be", _data(agreement)),
        ("training", "What is trained", meaning_training.training_said(agreement)),
        ("leaves", "What leaves each hospital", meaning_training.leaves_said(agreement)),
        ("visible", "Who can see it", meaning_training.visible_said(agreement)),
        ("privacy", "What it costs in privacy", meaning_training.privacy_said(agreement, cost)),
        ("quality", "When a new model is accepted", meaning_training.quality_said(agreement)),
        ("time", "How long, and when", _time(agreement)),
        ("exits", "If a hospital leaves", _exits(agreement, cost)),
    )
    return tuple(Part(key, title, tuple(sentences)) for key, title, sentences in written)


def _purpose(document: Document) -> Iterator[str]:
    agreement = document.agreement
    yield f"{agreement.title} (federation {agreement.federation})."
    purposes = [f"{p} ({_DUO[p]})" if p in _DUO else p for p in agreement.purpose]
    yield f"The purpose is {listed(purposes)}; a model may be trained for nothing else."
    yield f"The model belongs to {agreement.owner}, under the licence {agreement.licence}."
    if document.obligations:
        words = len(document.obligations.split())
        yield (
            f"Rights and duties stand in a text of {count(words, 'word')} that is part of the "
            f"agreement (SHA-256 {agreement.obligations[:16]}…)."
        )
    else:
        yield "It has no text of rights and duties."


def _parties(agreement: Agreement) -> Iterator[str]:
    sites = agreement.sites
    yield f"{count(len(sites.roster), 'hospital')}: {listed(sorted(sites.roster))}."
    several = [name for name, keys in sorted(sites.roster.items()) if len(keys) > 1]
    if several:
        yield f"More than one officer must sign for {listed(several)}."
    yield (
        f"A round opens when {sites.ready_at_least} of them are ready, and closes with the "
        f"updates of at least {sites.close_at_least}."
    )
    if sites.per_round != "all":
        yield (
            f"In each round {sites.per_round} of those ready take part, drawn by a seed that "
            "follows from the ledger, so that anybody can draw again; what it costs in privacy "
            "is reckoned as if a hospital were drawn every time."
        )
    operator = agreement.coordinator
    yield f"{operator.operator} runs the coordinator, under the law of {operator.hosted_in}."
    operators = sorted(agreement.operators.keys)
    are = "Operators are" if len(operators) > 1 else "The operator is"
    yield f"{are} {listed(operators)}."
    if agreement.operators.two_for:
        yield f"Two of them must sign to {listed(agreement.operators.two_for)}."


def _target(target: Target) -> Iterator[str]:
    if target.prevalence is not None:
        low, high = target.prevalence
        yield (
            f"The outcome is {target.name}, which {percent(low)} to {percent(high)} of the "
            "patients may have."
        )
    elif target.values is not None:
        shown, left = target.values[:_VALUES_SHOWN], len(target.values[_VALUES_SHOWN:])
        named = listed([*shown, *([f"{left} more"] if left else [])])
        yield f"The target is {target.name}, one of {len(target.values)} values: {named}."
    elif target.range is not None:
        low, high = target.range
        unit = f" {target.unit}" if target.unit else ""
        yield f"The target is {target.name}, {decimal_text(low)} to {decimal_text(high)}{unit}."


def _data(agreement: Agreement) -> Iterator[str]:
    data = agreement.data
    shown = [_feature(feature) for feature in data.features[:_FEATURES_SHOWN]]
    left = len(data.features) - len(shown)
    more = [f"{left} more"] if left else []
    yield f"Of each patient: {listed([*shown, *more])}."
    yield from _target(data.target)
    yield (
        f"A hospital has at least {count(data.minimum_patients, 'patient')}, and data that "
        "breaks the contract does not train."
    )
    yield from meaning_training.scaling_said(agreement)
    needs = agreement.sites.requires
    if needs.memory:
        yield f"The machine has at least {needs.memory / (1 << 30):.3g} GiB of memory."
    if needs.upload:
        yield f"It sends at least {needs.upload / 10**6:.3g} Mbit/s."


def _feature(feature: Feature) -> str:
    if feature.range is None:
        return f"{feature.name} ({' or '.join(feature.values[:6])})"
    low, high = feature.range
    unit = f" {feature.unit}" if feature.unit not in {None, "1"} else ""
    return f"{feature.name} ({decimal_text(low)} to {decimal_text(high)}{unit})"


def _time(agreement: Agreement) -> Iterator[str]:
    valid, round_ = agreement.valid, agreement.round
    yield f"From {valid.from_:%Y-%m-%d %H:%M} to {valid.until:%Y-%m-%d %H:%M} UTC."
    late = (
        f" or {duration_text(round_.stragglers)} after {agreement.sites.close_at_least} "
        "updates are in"
        if round_.stragglers
        else ""
    )
    yield (
        f"A round ends when all updates are in{late}, at the latest after "
        f"{duration_text(round_.deadline)}; {_LATE[round_.late]}. After "
        f"{count(round_.attempts, 'failed attempt')} the federation pauses."
    )
    schedule = agreement.schedule
    if schedule.window is not None:
        window = schedule.window
        days = listed([day.capitalize() for day in _WEEK if day in window.days])
        yield (
            f"Rounds run from {window.from_} to {window.to} ({window.zone}) on {days}; none "
            "opens that its deadline would carry past the end."
        )
    if schedule.stop is not None:
        yield f"It ends early when {_stops(agreement)}."
    yield (
        "A new title asks nothing of the hospitals; other hours, deadlines and the like take "
        f"force {duration_text(agreement.notice)} after they are proposed, and a hospital that "
        "objects is suspended; any other change asks every hospital for its consent anew."
    )


def _stops(agreement: Agreement) -> str:
    stop = agreement.schedule.stop
    assert stop is not None
    ends = []
    if stop.reached is not None:
        ends.append(f"{metric(stop.metric)} reaches {decimal_text(stop.reached)}")
    if stop.patience is not None:
        evaluations = count(stop.patience, "evaluation")
        ends.append(f"{evaluations} in a row bring no better {metric(stop.metric)}")
    return " or ".join(ends)


def _exits(agreement: Agreement, cost: Cost) -> Iterator[str]:
    yield "A hospital can pause or withdraw at any moment, without a reason, by one command."
    kept = {"keep": "stay, but for those that an operator recalls", "recall": "are recalled"}
    yield f"Published models that contain its contribution {kept[agreement.exits.releases]}."
    goes_on = {
        "continue": "goes on from the model as it is",
        "retrain-from-before": "goes back to the last model without it",
    }
    yield f"Training among the others {goes_on[agreement.exits.training]}."
    yield from _retraining(agreement, cost)
    yield "What it has spent of its privacy budget stays spent."


def _retraining(agreement: Agreement, cost: Cost) -> Iterator[str]:
    """Say what going back costs the others, by the round of the exit."""
    if agreement.exits.training == "continue":
        return
    rounds = agreement.schedule.rounds
    if not cost.retraining:
        yield f"The others then train up to {count(rounds, 'round')} again; no ε bounds that."
        return
    told = [f"ε {value:.2f} after an exit in round {k}" for k, value in cost.retraining]
    yield (
        f"The others then train up to {count(rounds, 'round')} again, which is "
        f"ε {cost.epsilon:.2f} by itself; with what they had spent they come to {listed(told)}."
    )
    last = min(cost.spare_rounds, rounds)
    bears = (
        f"bear that up to an exit in round {last}" if last else "bear that after no exit at all"
    )
    yield f"Their budgets {bears}; beyond it the federation pauses and asks its operators."
