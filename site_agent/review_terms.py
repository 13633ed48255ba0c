"""What an agreement would do, and what would leave for it, in an officer's words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from governance import normalisation
from governance.agreement import meaning_compression
from governance.agreement.meaning_training import installed, parameters
from governance.agreement.phrases import listed
from governance.counts import count
from governance.stragglers import NEXT_ROUND
from governance.yaml_values import duration_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from governance.agreement.load import Document
    from governance.agreement.plan import Plan
    from governance.agreement.schema import Agreement


def what(document: Document, planned: Plan) -> Iterator[str]:
    """Say what is trained, by whom, for whom, and until when."""
    agreement = document.agreement
    model, data, sites = agreement.model, agreement.data, agreement.sites
    yield (
        f"A {model.name} model of {count(parameters(agreement), 'number')} that tells "
        f"{data.target.name} from {count(len(data.features), 'feature')} of each patient. "
        f"{installed(agreement)}"
    )
    yield (
        f"{_purpose(planned)} It belongs to {agreement.owner}, under the licence "
        f"{agreement.licence}. {_obligations(document)}"
    )
    yield (
        f"With {count(len(sites.roster), 'hospital')}: {listed(sorted(sites.roster))}. "
        f"{agreement.coordinator.operator} runs the coordinator, under the law of "
        f"{agreement.coordinator.hosted_in}."
    )
    yield (
        f"Up to {count(agreement.schedule.rounds, 'round')}, each of at most "
        f"{duration_text(agreement.round.deadline)} and of at least {sites.close_at_least} "
        f"hospitals; consent ends on {agreement.valid.until:%Y-%m-%d} at the latest."
    )
    yield f"Your data: at least {data.minimum_patients} patients who meet the contract."


def _purpose(planned: Plan) -> str:
    """Return the plan's sentence on the purpose, which explains its terms."""
    said = planned.sections.get("purpose", ())
    return next((sentence for sentence in said if sentence.startswith("The purpose")), "")


def _obligations(document: Document) -> str:
    if not document.obligations:
        return "It has no text of rights and duties."
    return "Its rights and duties stand in a text that is part of it: ask for it."


def leaves(agreement: Agreement) -> Iterator[str]:
    """Say what leaves, how often and who reads it, and that nothing else does."""
    privacy = agreement.privacy
    numbers = parameters(agreement) * (2 if agreement.strategy.name == "scaffold" else 1)
    noised = privacy is not None and agreement.sigma > 0
    guard = "each patient's part clipped, noise added" if noised else "WITHOUT NOISE"
    reader = (
        "nobody alone: only the sum of all hospitals is opened"
        if agreement.aggregation.secure
        else "the coordinator, which deletes it when the round is final"
    )
    whole = agreement.aggregation.compression.name == "none"
    size = 4 * numbers if whole else meaning_compression.sent_bytes(agreement)
    yield (
        f"Each round (again after one that failed): an update of {count(numbers, 'number')}, "
        f"{_size(size)}, {guard}. Read by {reader}.{_late(agreement)}"
    )
    yield from meaning_compression.compression_said(agreement)
    yield _figures(agreement)
    if agreement.statistics_federated:
        yield (
            "Once, before the first round: sums of "
            f"{count(len(normalisation.quantities(agreement)), 'quantity')} and of their "
            "squares over the patients who train, noise added. Read by the coordinator, "
            f"{_readers(agreement)}auditors."
        )
    yield (
        "Once: how many patients you declare, in tens. For the record: signed statements of "
        "what you consented to, did and refused. Read by all hospitals and auditors, for ever."
    )
    yield (
        "With them the officer's name and role, and reasons: read by the coordinator, "
        f"{_readers(agreement)}auditors; they can be erased."
    )
    yield (
        "While the agent runs: its version, that it is alive, its steps done, its quiet hours. "
        "Read by the coordinator."
    )
    other = "other " if agreement.statistics_federated else ""
    yield (
        f"Nothing else: no record, no patient's name, no {other}statistic of your data. Each "
        "message is listed by `concilium-site sent`."
    )


def _late(agreement: Agreement) -> str:
    if agreement.round.late != NEXT_ROUND:
        return ""
    return " One that is too late counts in the next round, in place of a training for it."


def _readers(agreement: Agreement) -> str:
    return "members and " if agreement.disclosures.visible_to == "members" else ""


def _figures(agreement: Agreement) -> str:
    privacy = agreement.privacy
    metrics = privacy.metrics if privacy is not None else None
    chosen = (metrics.exact or metrics.noised) if metrics is not None else None
    every = chosen.every if chosen is not None else 1
    often = "After each round" if every == 1 else f"Every {every} rounds"
    how = "noised" if metrics is not None and metrics.noised is not None else "exact"
    least = f", none for a class under {metrics.minimum}" if metrics is not None else ""
    if agreement.figures_masked:
        how, least = "noised and masked", ""
    by = ", ".join(agreement.data.subgroups)
    groups = ""
    if by and agreement.metrics_noised:
        groups = f" Nothing by subgroup ({by})."
    elif by:
        groups = (
            f" Also by subgroup ({by}): no group under {agreement.figures_minimum}, nor what "
            "would tell of one."
        )
    reader = (
        "the coordinator, which pools them"
        if agreement.quality.visible_to == "own-site"
        else "all members"
    )
    if agreement.figures_masked:
        reader = "nobody alone: only the sum of all hospitals is opened"
    return (
        f"{often}: figures of quality on patients held back ({how}; counts, never one score"
        f"{least}).{groups} Read by {reader}."
    )


def _size(size_bytes: int) -> str:
    for unit, shown in (("MiB", 1 << 20), ("KiB", 1 << 10)):
        if size_bytes >= shown:
            return f"{size_bytes / shown:.1f} {unit}"
    return f"{size_bytes} bytes"
