"""Training, privacy and what leaves a hospital, in plain words."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from governance import normalisation
from governance.agreement import meaning_compression
from governance.agreement.gate_error import HELD_OUT, gate_error
from governance.agreement.phrases import listed, metric, percent, upward
from governance.counts import count
from governance.models import catalogue
from governance.noised import least_said
from governance.privacy.releases import decimal_text, expected_batch
from governance.secagg.agreed import parts_of, weight_of
from governance.secagg.terms import threshold_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from governance.agreement.cost import Cost
    from governance.agreement.schema import Agreement

_PAPERS: Final = {
    "fedavg": "McMahan et al. 2017",
    "fedprox": "Li et al. 2020",
    "scaffold": "Karimireddy et al. 2020",
}


def training_said(agreement: Agreement) -> Iterator[str]:
    """Say which model is trained, how, and how each hospital weighs."""
    model, local = agreement.model, agreement.round.local
    layers = f" with hidden layers of {listed(map(str, model.hidden))}" if model.hidden else ""
    yield (
        f"The model is {model.name}{layers}: {count(agreement.input_width, 'input')}, "
        f"{count(parameters(agreement), 'parameter')}. {installed(agreement)}"
    )
    strategy, optimizer = agreement.strategy, agreement.optimizer
    yield (
        f"Up to {count(agreement.schedule.rounds, 'round')} of {strategy.name} "
        f"({_PAPERS.get(strategy.name, 'not built yet')}), with {optimizer.name} at rate "
        f"{decimal_text(optimizer.rate)}."
    )
    if local.sampling_rate is not None:
        batch = expected_batch(local.sampling_rate, agreement.data.minimum_patients)
        yield (
            f"In a round each hospital takes {count(local.steps or 0, 'step')}; into a step "
            f"each of its patients comes with a chance of {percent(local.sampling_rate)} "
            f"(about {decimal_text(float(batch))} of {agreement.data.minimum_patients:,})."
        )
    else:
        work = count(local.steps, "step") if local.steps else count(local.epochs or 0, "epoch")
        drawn = count(local.batch or 0, "patient")
        yield f"In a round each hospital takes {work} in batches of {drawn}."
    weight = (
        "by the number of patients that it declared"
        if agreement.aggregation.weighting == "declared"
        else "the same"
    )
    yield f"In the average each hospital weighs {weight}."


def scaling_said(agreement: Agreement) -> Iterator[str]:
    """Say what values are scaled by."""
    if not agreement.statistics_federated:
        yield (
            "Values are scaled by reference figures that stand in the agreement; no statistic "
            "of a hospital's data is used for it."
        )
        return
    hospitals = agreement.sites.close_at_least
    patients = hospitals * agreement.data.minimum_patients * (1 - HELD_OUT)
    error = 100 * normalisation.error_of(agreement, patients) / 2
    yield (
        "Values are scaled by means and deviations of the hospitals' own patients who train, "
        "which each hospital says once, with noise, before the first round; they are recorded, "
        "used for good, and stay as they are when a hospital leaves. The noise moves a mean by "
        f"about {error:.2g} % of its range."
    )


def installed(agreement: Agreement) -> str:
    """Say where the model's code comes from."""
    wheel = agreement.model.wheel
    if wheel is None:
        return "It is installed at each hospital; no program code travels."
    return (
        f"Its code is a wheel, {wheel[:12]}…, which each hospital has to approve for itself; "
        "no program code travels."
    )


def parameters(agreement: Agreement) -> int:
    """Return how many numbers the model has."""
    shapes = catalogue.parameter_shapes(agreement).values()
    return sum(math.prod(shape) for shape in shapes)


def _size_of_update(agreement: Agreement) -> str:
    vectors = 2 if agreement.strategy.name == "scaffold" else 1
    size = 4 * vectors * parameters(agreement)
    if agreement.aggregation.compression.name != "none":
        size = meaning_compression.sent_bytes(agreement)
    for unit, bytes_of in (("MiB", 1 << 20), ("KiB", 1 << 10)):
        if size >= bytes_of:
            return f"{size / bytes_of:.3g} {unit}"
    return f"{size} bytes"


def leaves_said(agreement: Agreement) -> Iterator[str]:
    """Say every kind of thing that leaves a hospital, and that nothing else does."""
    noised = agreement.privacy is not None and agreement.sigma > 0
    guard = (
        "every patient's part in it clipped and noise added before it leaves"
        if noised
        else "without noise"
    )
    yield (
        f"Each round: one update of the model (about {_size_of_update(agreement)}), {guard}; "
        "after a round that failed, perhaps once more."
    )
    yield from meaning_compression.compression_said(agreement)
    privacy = agreement.privacy
    minimum = privacy.metrics.minimum if privacy is not None else None
    withheld = f", withheld for a class with fewer than {minimum}" if minimum else ""
    if agreement.figures_masked:
        withheld = (
            "; they leave masked for their sum, which is read where each class has "
            f"{minimum} patients in all hospitals together"
        )
    counted = (
        "how many it is right on and one sum"
        if agreement.data.target.kind == "category"
        else "counts by score"
    )
    often, noise = "After a round", ""
    if agreement.metrics_noised:
        often = f"After every {_evaluated_every(agreement)} rounds"
        noise = ", each number with noise added before it leaves"
    yield (
        f"{often}: figures of quality on the patients that the hospital holds back "
        f"({counted}, never a single score){noise}{withheld}."
    )
    if agreement.data.subgroups and agreement.metrics_noised:
        yield (
            f"Nothing by subgroup ({', '.join(agreement.data.subgroups)}): with noise, figures "
            "of small groups would say nothing and cost ε."
        )
    elif agreement.data.subgroups:
        yield (
            f"With them: the same figures by subgroup ({', '.join(agreement.data.subgroups)}), "
            f"for the card of a released model. A group with fewer than "
            f"{agreement.figures_minimum} patients{_of_a_class(agreement)} is withheld by the "
            "hospital itself, and so is one that would make such a group follow by subtraction."
        )
    yield from _statistics_leave(agreement)
    yield "Once: the number of its patients, rounded to tens, as its officer declares it."
    yield (
        "For the record: signed statements of what it consented to, did and refused, kept in a "
        "ledger of which every hospital has a copy."
    )
    other = "other " if agreement.statistics_federated else ""
    yield (
        f"Nothing else: no record, no patient's name, no {other}statistic of the data, no "
        "losses or gradients of training."
    )


def _statistics_leave(agreement: Agreement) -> Iterator[str]:
    if agreement.statistics_federated:
        many = count(len(normalisation.quantities(agreement)), "quantity")
        yield (
            f"Once, before the first round: sums of {many} and of their squares over the "
            "patients who train, with noise added to each before it leaves; no smallest or "
            "largest value. Each patient counts once, however many records it has."
        )


def _of_a_class(agreement: Agreement) -> str:
    return " of a class" if agreement.data.target.kind == "binary" else ""


def visible_said(agreement: Agreement) -> Iterator[str]:
    """Say who can read what leaves."""
    if agreement.aggregation.secure:
        yield from masks_said(agreement)
    else:
        yield (
            "The coordinator can read each hospital's update (masks are off) and deletes it "
            "when the round is final; other hospitals never see it."
        )
    if agreement.statistics_federated:
        yield (
            "Each hospital's sums for normalisation are read, with their noise, by the "
            "coordinator; what they come to is in the ledger, for all."
        )
    if agreement.figures_masked:
        yield _sum_visible(agreement)
    elif agreement.quality.visible_to == "own-site":
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


def _sum_visible(agreement: Agreement) -> str:
    readers = (
        "the coordinator reads it, the others what a released model's card says"
        if agreement.quality.visible_to == "own-site"
        else "all members read it"
    )
    return (
        "Nobody sees a hospital's own figures of quality: each vector leaves with noise and "
        f"masked, and only the sum of at least {agreement.sites.close_at_least} hospitals is "
        f"opened: {readers}. No figure of one hospital is in the record, on a card or at "
        "the gate. A sum is compared with one of the same hospitals alone: where another one "
        "dropped out, a candidate is judged like the first."
    )


def masks_said(agreement: Agreement) -> Iterator[str]:
    """Say who can read what under masks, what it rests on, and what it costs in exactness."""
    sites, fewest = len(agreement.sites.roster), agreement.sites.close_at_least
    yield (
        "Nobody sees a single hospital's update: each is masked before it leaves, and only the "
        f"sum of at least {fewest} hospitals is ever opened, by {threshold_of(sites)} of "
        f"{sites} together."
    )
    yield (
        "That holds against the coordinator and whoever helps it, as long as fewer than a "
        "third of the hospitals do; hospitals that put all updates but one together know that "
        "one too. What follows from the sum itself, only the noise hides."
    )
    if agreement.privacy is None:
        return  # refused: nothing bounds what is summed
    if agreement.aggregation.compression.name != "none":
        yield from meaning_compression.masks_said(agreement)
        return
    largest = meaning_compression.TIMES_FEWEST * agreement.data.minimum_patients
    for part in parts_of(agreement, [weight_of(agreement, largest)] * sites):
        what = "the update" if part.weighted else "the change of the control variates"
        yield (
            f"Under masks each number of {what} is kept within ±{part.bound:.3g}, which honest "
            "training passes with a chance below one in a billion, and rounded: the mean moves "
            f"by at most {2.0 ** -(part.fraction_bits + 1):.1g} where the largest hospital has "
            f"{largest:,} patients."
        )


def privacy_said(agreement: Agreement, cost: Cost) -> Iterator[str]:
    """Say what ε is, what it means and what the budget bears."""
    privacy = agreement.privacy
    if privacy is None or cost.epsilon is None or cost.per_round is None:
        yield "No ε can be stated."
        return
    yield (
        f"ε = {upward(cost.epsilon)} at δ = {decimal_text(privacy.delta)} for each patient, "
        f"over all {count(agreement.schedule.rounds, 'round')}, at every hospital alike; one "
        f"round alone is {upward(cost.per_round)}."
    )
    yield (
        "That means: whatever is published, taking part changes the odds of any conclusion "
        f"about a patient by at most a factor of e^ε = {_factor(cost.epsilon)}, but for a "
        "chance of δ; smaller is safer."
    )
    if privacy.target is not None:
        yield noise_said(agreement)
    yield (
        f"The budget is ε = {decimal_text(privacy.budget.epsilon)} for the whole agreement; it "
        f"bears {count(cost.spare_rounds, 'lost round')} that must be trained anew. Nothing "
        "spent is ever given back. A hospital may set a lower cap in its own file and then "
        "stops earlier."
    )
    yield from _figures_covered(agreement, cost)
    if agreement.statistics_federated:
        yield (
            f"ε counts the statistics (ε = {upward(cost.statistics)} alone), said once, with "
            f"the noise multiplier {decimal_text(agreement.statistics_sigma)}."
        )


def _figures_covered(agreement: Agreement, cost: Cost) -> Iterator[str]:
    if not agreement.metrics_noised:
        yield "Held-out patients' figures are exact and not covered by ε."
        return
    whose = " of all hospitals together" if agreement.figures_masked else ""
    yield (
        f"That counts training (ε = {upward(cost.training)} alone) and the figures of held-out "
        f"patients (ε = {upward(cost.metrics)} alone): "
        f"{count(cost.evaluations, 'evaluation')}, each with the noise multiplier "
        f"{decimal_text(cost.metrics_sigma)}. A further one, as after a model that the gate "
        "refused, is not answered. Figures of a class with fewer "
        f"than about {least_said(agreement)} held-out patients{whose} drown in the noise and "
        "are withheld."
    )


def noise_said(agreement: Agreement) -> str:
    """Say which σ follows from the agreement's target; every site computes the same."""
    assert agreement.privacy is not None
    assert agreement.privacy.target is not None
    return (
        f"The noise multiplier {decimal_text(agreement.sigma)} is computed from the target "
        f"ε = {decimal_text(agreement.privacy.target.epsilon)} for all "
        f"{count(agreement.schedule.rounds, 'round')}: the least, in thousandths, that keeps "
        "it."
    )


def _factor(epsilon: float) -> str:
    return f"{math.exp(epsilon):,.0f}" if epsilon > 3 else f"{math.exp(epsilon):.1f}"


def quality_said(agreement: Agreement) -> Iterator[str]:
    """Say what a new model must pass, and how far chance moves the figure."""
    gate = agreement.quality.accept_if
    if gate is None:
        yield "Every model whose numbers are finite is accepted."
        return
    yield (
        f"A new model replaces the last one if its {metric(gate.metric)} on the patients held "
        f"back, all hospitals together, is at most {decimal_text(gate.not_worse_than)} worse."
    )
    error = gate_error(agreement, gate.metric)
    share = f", {error.with_outcome:,} of them with the outcome" if error.with_outcome else ""
    yield (
        f"By chance that figure moves by {error.standard_error:.3f} (its standard error on "
        f"{error.patients:,} patients{share}, if {agreement.sites.close_at_least} hospitals at "
        f"the minimum hold back {percent(HELD_OUT)} each)."
    )
    if error.noise:
        yield f"The noise of the figures alone moves it by {error.noise:.3f}."
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
