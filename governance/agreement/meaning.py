"""An agreement in plain words, for people who run hospitals' machines and sign for them.

Each function writes one section; the sentences say what happens, never how it is coded.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from governance.agreement.gate_error import HELD_OUT, gate_error
from governance.models import catalogue
from governance.privacy.releases import decimal_text, expected_batch
from governance.yaml_values import duration_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from governance.agreement.cost import Cost
    from governance.agreement.load import Document
    from governance.agreement.schema import Agreement, Feature

_DUO: Final = {
    "DUO:0000004": "no restriction",
    "DUO:0000006": "health, medical or biomedical research",
    "DUO:0000007": "research on a named disease",
    "DUO:0000011": "research on origins or ancestry",
    "DUO:0000018": "not for profit, non-commercial use",
    "DUO:0000042": "general research",
    "DUO:0000046": "non-commercial use",
}
_PAPERS: Final = {
    "fedavg": "McMahan et al. 2017",
    "fedprox": "Li et al. 2020",
    "scaffold": "Karimireddy et al. 2020",
}
_WEEK: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_FEATURES_SHOWN: Final = 8

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
        ("training", "What is trained", _training(agreement)),
        ("leaves", "What leaves each hospital", _leaves(agreement)),
        ("visible", "Who can see it", _visible(agreement)),
        ("privacy", "What it costs in privacy", _privacy(agreement, cost)),
        ("quality", "When a new model is accepted", _quality(agreement)),
        ("time", "How long, and when", _time(agreement)),
        ("exits", "If a hospital leaves", _exits(agreement)),
    )
    return tuple(Part(key, title, tuple(sentences)) for key, title, sentences in written)


def _listed(names: Iterable[str]) -> str:
    known = list(names)
    return f"{', '.join(known[:-1])} and {known[-1]}" if len(known) > 1 else "".join(known)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number:,} {noun}s"


def _percent(share: float) -> str:
    return f"{decimal_text(float(f'{share * 100:.4g}'))} %"


def _metric(name: str) -> str:
    return name.upper() if name in {"auc", "rmse"} else name


def upward(value: float, places: int = 2) -> str:
    """Return a number rounded up, as ε is always shown."""
    scale = 10**places
    return f"{math.ceil(round(value * scale, 6)) / scale:.{places}f}"


def _purpose(document: Document) -> Iterator[str]:
    agreement = document.agreement
    yield f"{agreement.title} (federation {agreement.federation})."
    purposes = [f"{p} ({_DUO[p]})" if p in _DUO else p for p in agreement.purpose]
    yield f"The purpose is {_listed(purposes)}; a model may be trained for nothing else."
    yield f"The model belongs to {agreement.owner}, under the licence {agreement.licence}."
    if document.obligations:
        words = len(document.obligations.split())
        yield (
            f"Rights and duties stand in a text of {_count(words, 'word')} that is part of the "
            f"agreement (SHA-256 {agreement.obligations[:16]}…)."
        )
    else:
        yield "It has no text of rights and duties."


def _parties(agreement: Agreement) -> Iterator[str]:
    sites = agreement.sites
    yield f"{_count(len(sites.roster), 'hospital')}: {_listed(sorted(sites.roster))}."
    several = [name for name, keys in sorted(sites.roster.items()) if len(keys) > 1]
    if several:
        yield f"More than one officer must sign for {_listed(several)}."
    yield (
        f"A round opens when {sites.ready_at_least} of them are ready, and closes with the "
        f"updates of at least {sites.close_at_least}."
    )
    operator = agreement.coordinator
    yield f"{operator.operator} runs the coordinator, under the law of {operator.hosted_in}."
    operators = sorted(agreement.operators.keys)
    are = "Operators are" if len(operators) > 1 else "The operator is"
    yield f"{are} {_listed(operators)}."
    if agreement.operators.two_for:
        yield f"Two of them must sign to {_listed(agreement.operators.two_for)}."


def _data(agreement: Agreement) -> Iterator[str]:
    data = agreement.data
    shown = [_feature(feature) for feature in data.features[:_FEATURES_SHOWN]]
    left = len(data.features) - len(shown)
    more = [f"{left} more"] if left else []
    yield f"Of each patient: {_listed([*shown, *more])}."
    target = data.target
    if target.prevalence is not None:
        low, high = target.prevalence
        yield (
            f"The outcome is {target.name}, which {_percent(low)} to {_percent(high)} of the "
            "patients may have."
        )
    elif target.range is not None:
        low, high = target.range
        unit = f" {target.unit}" if target.unit else ""
        yield f"The target is {target.name}, {decimal_text(low)} to {decimal_text(high)}{unit}."
    yield (
        f"A hospital has at least {_count(data.minimum_patients, 'patient')}, and data that "
        "breaks the contract does not train."
    )
    yield (
        "Values are scaled by reference figures that stand in the agreement; no statistic of a "
        "hospital's data is used for it."
    )
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


def _training(agreement: Agreement) -> Iterator[str]:
    model, local = agreement.model, agreement.round.local
    layers = f" with hidden layers of {_listed(map(str, model.hidden))}" if model.hidden else ""
    yield (
        f"The model is {model.name}{layers}: {_count(agreement.input_width, 'input')}, "
        f"{_count(parameters(agreement), 'parameter')}. It is installed at each hospital; no "
        "program code travels."
    )
    strategy, optimizer = agreement.strategy, agreement.optimizer
    yield (
        f"Up to {_count(agreement.schedule.rounds, 'round')} of {strategy.name} "
        f"({_PAPERS.get(strategy.name, 'not built yet')}), with {optimizer.name} at rate "
        f"{decimal_text(optimizer.rate)}."
    )
    if local.sampling_rate is not None:
        batch = expected_batch(local.sampling_rate, agreement.data.minimum_patients)
        yield (
            f"In a round each hospital takes {_count(local.steps or 0, 'step')}; into a step "
            f"each of its patients comes with a chance of {_percent(local.sampling_rate)} "
            f"(about {decimal_text(float(batch))} of {agreement.data.minimum_patients:,})."
        )
    else:
        work = (
            _count(local.steps, "step") if local.steps else _count(local.epochs or 0, "epoch")
        )
        yield f"In a round each hospital takes {work} in batches of {local.batch} patients."
    weight = (
        "by the number of patients that it declared"
        if agreement.aggregation.weighting == "declared"
        else "the same"
    )
    yield f"In the average each hospital weighs {weight}."


def parameters(agreement: Agreement) -> int:
    """Return how many numbers the model has."""
    shapes = catalogue.parameter_shapes(agreement).values()
    return sum(math.prod(shape) for shape in shapes)


def _leaves(agreement: Agreement) -> Iterator[str]:
    vectors = 2 if agreement.strategy.name == "scaffold" else 1
    size = 4 * vectors * parameters(agreement) / 1024
    unit, shown = ("MiB", size / 1024) if size >= 1024 else ("KiB", size)
    noised = agreement.privacy is not None and agreement.sigma > 0
    guard = (
        "every patient's part in it clipped and noise added before it leaves"
        if noised
        else "without noise"
    )
    yield (
        f"Each round: one update of the model (about {shown:.3g} {unit}), {guard}; after a "
        "round that failed, perhaps once more."
    )
    privacy = agreement.privacy
    minimum = privacy.metrics.minimum if privacy is not None else None
    withheld = f", withheld for a class with fewer than {minimum}" if minimum else ""
    yield (
        "After a round: figures of quality on the patients that the hospital holds back "
        f"(counts by score, never a single score){withheld}."
    )
    yield "Once: the number of its patients, rounded to tens, as its officer declares it."
    yield (
        "For the record: signed statements of what it consented to, did and refused, kept in a "
        "ledger of which every hospital has a copy."
    )
    yield (
        "Nothing else: no record, no patient's name, no statistic of the data, no losses or "
        "gradients of training."
    )


def _visible(agreement: Agreement) -> Iterator[str]:
    if agreement.aggregation.secure:
        yield "Nobody sees a single hospital's update: only the sum of all is ever opened."
    else:
        yield (
            "The coordinator can read each hospital's update (masks are off) and deletes it "
            "when the round is final; other hospitals never see it."
        )
    if agreement.quality.visible_to == "own-site":
        yield (
            "A hospital's own figures of quality are seen by that hospital and by the "
            "coordinator, which pools them; the others see the pool."
        )
    else:
        yield "A hospital's own figures of quality are seen by all members."
    yield "The declared number of patients and every new global model are seen by all members."
    readers = {"members": "members and auditors", "auditors": "auditors"}
    yield (
        "Names of officers, reasons and figures stand outside the ledger's entries and are "
        f"read by {readers[agreement.disclosures.visible_to]}."
    )
    speaks = {
        "names": "names the hospitals",
        "number": "tells only how many hospitals took part",
    }
    yield f"A released model's card {speaks[agreement.release.sites]}."


def _privacy(agreement: Agreement, cost: Cost) -> Iterator[str]:
    privacy = agreement.privacy
    if privacy is None or cost.epsilon is None or cost.per_round is None:
        yield "No ε can be stated."
        return
    yield (
        f"ε = {upward(cost.epsilon)} at δ = {decimal_text(privacy.delta)} for each patient, over "
        f"all {_count(agreement.schedule.rounds, 'round')}, at every hospital alike; one round "
        f"alone is {upward(cost.per_round)}."
    )
    yield (
        "That means: whatever is published, taking part changes the odds of any conclusion "
        f"about a patient by at most a factor of e^ε = {_factor(cost.epsilon)}, but for a "
        "chance of δ; smaller is safer."
    )
    if privacy.target is not None:
        yield (
            f"The noise multiplier {decimal_text(cost.sigma)} is computed from the target "
            f"ε = {decimal_text(privacy.target.epsilon)}."
        )
    yield (
        f"The budget is ε = {decimal_text(privacy.budget.epsilon)} for the whole agreement; it "
        f"bears {_count(cost.spare_rounds, 'lost round')} that must be trained anew. Nothing "
        "spent is ever given back. A hospital may set a lower cap in its own file and then "
        "stops earlier."
    )
    if privacy.metrics.exact is not None:
        yield "Held-out patients' figures are exact and not covered by ε."


def _factor(epsilon: float) -> str:
    return f"{math.exp(epsilon):,.0f}" if epsilon > 3 else f"{math.exp(epsilon):.1f}"


def _quality(agreement: Agreement) -> Iterator[str]:
    gate = agreement.quality.accept_if
    if gate is None:
        yield "Every model whose numbers are finite is accepted."
        return
    yield (
        f"A new model replaces the last one if its {_metric(gate.metric)} on the patients held "
        f"back, all hospitals together, is at most {decimal_text(gate.not_worse_than)} worse."
    )
    error = gate_error(agreement, gate.metric)
    share = f", {error.with_outcome:,} of them with the outcome" if error.with_outcome else ""
    yield (
        f"By chance that figure moves by {error.standard_error:.3f} (its standard error on "
        f"{error.patients:,} patients{share}, if {agreement.sites.close_at_least} hospitals at "
        f"the minimum hold back {_percent(HELD_OUT)} each)."
    )
    if error.at_worst > 1.2 * error.standard_error:
        yield (
            "If every hospital were at the end of the range where the outcome says least, it "
            f"would be {error.at_worst:.3f}."
        )
    every = _evaluated_every(agreement)
    if every > 1:
        yield f"That is asked every {every} rounds; between, a model need only be finite."


def _evaluated_every(agreement: Agreement) -> int:
    metrics = agreement.privacy.metrics if agreement.privacy is not None else None
    if metrics is None:
        return 1
    chosen = metrics.exact or metrics.noised
    return chosen.every if chosen else 1


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
        f"{duration_text(round_.deadline)}; a late update is discarded. After "
        f"{_count(round_.attempts, 'failed attempt')} the federation pauses."
    )
    schedule = agreement.schedule
    if schedule.window is not None:
        window = schedule.window
        days = _listed([day.capitalize() for day in _WEEK if day in window.days])
        yield (
            f"Rounds run from {window.from_} to {window.to} ({window.zone}) on {days}; none "
            "opens that its deadline would carry past the end."
        )
    if schedule.stop is not None:
        yield f"It ends early when {_stops(agreement)}."
    yield (
        f"A change of how rounds run takes force {duration_text(agreement.notice)} after it is "
        "announced, unless a hospital objects; any other change asks for consent anew."
    )


def _stops(agreement: Agreement) -> str:
    stop = agreement.schedule.stop
    assert stop is not None
    ends = []
    if stop.reached is not None:
        ends.append(f"{_metric(stop.metric)} reaches {decimal_text(stop.reached)}")
    if stop.patience is not None:
        evaluations = _count(stop.patience, "evaluation")
        ends.append(f"{evaluations} in a row bring no better {_metric(stop.metric)}")
    return " or ".join(ends)


def _exits(agreement: Agreement) -> Iterator[str]:
    yield "A hospital can pause or withdraw at any moment, without a reason, by one command."
    kept = {"keep": "stay as they are", "recall": "are recalled"}
    yield f"Published models that contain its contribution {kept[agreement.exits.releases]}."
    goes_on = {
        "continue": "goes on from the model as it is",
        "retrain-from-before": "goes back to the last model without it",
    }
    yield f"Training among the others {goes_on[agreement.exits.training]}."
    yield "What it has spent of its privacy budget stays spent."
