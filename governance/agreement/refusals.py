"""What this version refuses in an agreement that is well formed: by name, never silently.

Three kinds: what is not built yet, what cannot work together (both lines are named), and what
the arithmetic of privacy or statistics rules out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from governance import normalisation
from governance.agreement.gate_error import HELD_OUT, gate_error, naive_figure
from governance.agreement.schedule import longest_opening_s
from governance.agreement.training_terms import BUILT_STRATEGIES
from governance.counts import count
from governance.figures import HIGHER_IS_BETTER
from governance.models import catalogue
from governance.privacy.releases import decimal_text
from governance.stragglers import NEXT_ROUND
from governance.yaml_values import duration_text
from protos.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from governance.agreement.cost import Cost
    from governance.agreement.gate_error import GateError
    from governance.agreement.load import Document
    from governance.agreement.schema import Agreement

NOT_BUILT: Final = "not-built"
COMBINATION: Final = "refused-combination"
BUDGET: Final = "budget-too-small"
GATE: Final = "gate-below-noise"
OVERSHOOT: Final = "step-overshoots"
WINDOW: Final = "window-too-short"

METRICS_EPSILON: Final = "privacy.metrics.noised.epsilon_total"
STATISTICS_EPSILON: Final = "privacy.statistics.epsilon"
STATISTICS_LIMIT: Final = 0.02
"""By how much of half a range the noise may move a mean."""
ROBUST_STRATEGIES: Final = ("trimmed-mean", "median", "krum", "norm-bound")


@dataclass(frozen=True, slots=True)
class Objection:
    """One thing that cannot be: where it stands, what to read, what to do, and its rule."""

    path: str
    said: str
    rule: str
    todo: str = ""


def objections(document: Document) -> list[Objection]:
    """Return everything that is refused but for what the accountant says."""
    rules: tuple[Callable[[Document], Iterator[Objection]], ...] = (
        _not_built, _masks, _compression, _strategy, _model, _hours, _metrics, _statistics,
        _gate, _stop,
    )  # fmt: skip
    return [objection for rule in rules for objection in rule(document)]


def over_budget(document: Document, cost: Cost) -> list[Objection]:
    """Return the objection to a schedule that costs more than the budget."""
    agreement = document.agreement
    privacy, local = agreement.privacy, agreement.round.local
    if privacy is None or cost.epsilon is None or cost.epsilon <= privacy.budget.epsilon:
        return []
    said = (
        f"{_line(document, 'schedule.rounds')} is {agreement.schedule.rounds}, with "
        f"{_line(document, 'round.local.steps')} {local.steps}: together they cost "
        f"ε = {cost.epsilon:.2f}{_with_metrics(cost)}, but "
        f"{_line(document, 'privacy.budget.epsilon')} is {decimal_text(privacy.budget.epsilon)}"
    )
    bears = count(cost.affordable_rounds, "round")
    todo = f"The budget bears {bears} as planned; {_noise_that_fits(agreement)}."
    return [Objection("schedule.rounds", said, BUDGET, todo)]


def _noise_that_fits(agreement: Agreement) -> str:
    """Say with which σ the budget bears every round, where any σ does."""
    from governance.privacy.accountant import noise_for

    if agreement.evaluations or agreement.statistics_federated:
        return "more noise, fewer steps a round or less for what else leaves make room for more"
    privacy, local, rounds = agreement.privacy, agreement.round.local, agreement.schedule.rounds
    assert privacy is not None
    assert local.steps is not None
    assert local.sampling_rate is not None
    try:
        sigma = noise_for(
            privacy.budget.epsilon,
            sampling_rate=local.sampling_rate,
            steps=local.steps * rounds,
            delta=privacy.delta,
        )
    except Refused:
        return "no noise makes room for all, so plan fewer rounds or steps a round"
    return f"a noise multiplier of {decimal_text(sigma)} makes room for all {rounds}"


def unfittable(document: Document, problem: Refused) -> Objection:
    """Return the objection to a target that no noise reaches, with what can be reached."""
    from governance.privacy.accountant import LARGEST_SIGMA, rounds_within
    from governance.privacy.releases import Release

    if problem.where in {METRICS_EPSILON, STATISTICS_EPSILON}:
        return Objection(problem.where, problem.what, problem.rule, problem.todo)
    agreement = document.agreement
    privacy, local = agreement.privacy, agreement.round.local
    assert privacy is not None
    assert privacy.target is not None
    said = (
        f"{_line(document, 'privacy.target.epsilon')} is "
        f"{decimal_text(privacy.target.epsilon)}, but no noise keeps "
        f"{_line(document, 'schedule.rounds')} = {agreement.schedule.rounds}, with "
        f"{_line(document, 'round.local.steps')} = {local.steps}, within it at "
        f"{_line(document, 'privacy.delta')} = {decimal_text(privacy.delta)}"
    )
    one = Release(local.sampling_rate or 0.0, LARGEST_SIGMA, local.steps or 0)
    bears = rounds_within(one, cap=privacy.target.epsilon, delta=privacy.delta)
    fits = f"; this target bears {count(bears, 'round')} of so many steps at the most"
    return Objection(
        "privacy.target.epsilon", said, problem.rule, f"{problem.todo.rstrip('.')}{fits}."
    )


def _with_metrics(cost: Cost) -> str:
    parts = {"figures": cost.metrics, "statistics": cost.statistics}
    others = {name: value for name, value in parts.items() if value}
    if not others:
        return ""
    apart = "".join(f", {name} {value:.2f}" for name, value in others.items())
    return f" with the noised {' and '.join(others)} (training {cost.training:.2f}{apart})"


def raised(document: Document, found: list[Objection]) -> Refused:
    """Return the refusal that lists all objections, each with its place."""
    lines = []
    for objection in found:
        place = document.place(objection.path)
        todo = f"\n  {objection.todo}" if objection.todo else ""
        lines.append(f"{place}: {objection.said}{todo}" if place else f"{objection.said}{todo}")
    rules = {objection.rule for objection in found}
    return Refused(
        "\n".join(lines), rule=rules.pop() if len(rules) == 1 else "agreement-refused"
    )


def _line(document: Document, path: str) -> str:
    """Return a path with the line where it stands."""
    place = document.place(path)
    return f"{path} (line {place.split(':')[-2]})" if place else path


def _together(document: Document, first: str, second: str, why: str) -> Objection:
    said = f"{_line(document, first)} and {_line(document, second)} do not go together: {why}"
    return Objection(first, said, COMBINATION)


def _not_built(document: Document) -> Iterator[Objection]:
    agreement = document.agreement
    privacy = agreement.privacy
    strategy = agreement.strategy.name
    terms: tuple[tuple[str, str, bool, str], ...] = (
        (
            "privacy.local_baseline",
            "true",
            privacy is not None and privacy.local_baseline,
            "local_baseline: false",
        ),
        (
            "strategy.name",
            strategy,
            strategy not in BUILT_STRATEGIES,
            f"one of {', '.join(BUILT_STRATEGIES)}",
        ),
        ("optimizer.name", "adam", agreement.optimizer.name == "adam", "name: sgd"),
    )
    for path, value, holds, instead in terms:
        if holds:
            said = f"{path} is {value}, which is not built yet"
            yield Objection(path, said, NOT_BUILT, f"Write {instead}.")


def _masks(document: Document) -> Iterator[Objection]:
    agreement = document.agreement
    secure, sites = "aggregation.secure", agreement.sites
    if not agreement.aggregation.secure:
        return
    if agreement.privacy is None:
        why = "only clipped gradients are bounded, and a masked sum must have room for them"
        yield _together(document, secure, "privacy", why)
    if agreement.strategy.name in ROBUST_STRATEGIES:
        why = "under masks nobody sees the single updates that this rule compares"
        yield _together(document, secure, "strategy.name", why)
    if agreement.round.late == NEXT_ROUND:
        why = "a masked update is of its own round alone"
        yield _together(document, secure, "round.late", why)
    count = len(sites.roster)
    if count < 3:
        why = "among fewer than 3 hospitals a sum hides nobody"
        yield _together(document, secure, "sites.roster", why)
    threshold = 2 * count // 3 + 1
    if sites.close_at_least < threshold:
        why = f"masks of {count} hospitals open with {threshold} of them, not with fewer"
        yield _together(document, secure, "sites.close_at_least", why)


def _compression(document: Document) -> Iterator[Objection]:
    agreement = document.agreement
    name = "aggregation.compression.name"
    if (
        agreement.aggregation.compression.name == "random-k"
        and agreement.round.late == NEXT_ROUND
    ):
        why = (
            "the coordinates of random-k are drawn for one round, and a late update has others"
        )
        yield _together(document, name, "round.late", why)
    if agreement.aggregation.compression.name == "int8" and agreement.privacy is None:
        why = "only clipped gradients are bounded, and the steps of int8 follow from that bound"
        yield _together(document, name, "privacy", why)
    if agreement.aggregation.compression.name == "none":
        return
    if agreement.strategy.name in ROBUST_STRATEGIES:
        why = "this rule compares whole updates, and these leave a part of theirs out"
        yield _together(document, name, "strategy.name", why)


def _strategy(document: Document) -> Iterator[Objection]:
    agreement = document.agreement
    strategy, optimizer = agreement.strategy, agreement.optimizer
    if strategy.name == "scaffold" and optimizer.momentum > 0:
        why = "scaffold computes its control from (x − y)/(K·rate), which plain SGD alone keeps"
        yield _together(document, "strategy.name", "optimizer.momentum", why)
    if strategy.name == "scaffold" and optimizer.name != "sgd":
        why = "scaffold computes its control from (x − y)/(K·rate), which plain SGD alone keeps"
        yield _together(document, "strategy.name", "optimizer.name", why)
    if strategy.mu is not None and strategy.mu * optimizer.rate > 1:
        limit = decimal_text(float(f"{1 / optimizer.rate:.6g}"))
        said = (
            f"{_line(document, 'strategy.mu')} is {decimal_text(strategy.mu)}, but must be "
            f"between 0 and 1/rate = {limit}, because {_line(document, 'optimizer.rate')} is "
            f"{decimal_text(optimizer.rate)}"
        )
        todo = "With a larger one FedProx overshoots the global model."
        yield Objection("strategy.mu", said, OVERSHOOT, todo)


def _model(document: Document) -> Iterator[Objection]:
    model = document.agreement.model
    if model.norm == "batch":
        said = (
            "model.norm is batch, which mixes the patients of a batch, so that no clip would "
            "bound what one patient contributes"
        )
        todo = "Write norm: group, which normalises each patient alone."
        yield Objection("model.norm", said, "model-not-trainable", todo)
        return
    try:
        catalogue.validate(document.agreement)
    except Refused as problem:
        path = problem.where or "model"
        said = f"{path}: {problem.what}"
        yield Objection(path, said, problem.rule, problem.todo)


def _hours(document: Document) -> Iterator[Objection]:
    agreement = document.agreement
    window, deadline = agreement.schedule.window, agreement.round.deadline
    if window is None or deadline <= (longest := longest_opening_s(window)):
        return
    said = (
        f"{_line(document, 'round.deadline')} is {duration_text(deadline)}, but "
        f"{_line(document, 'schedule.window')} is open for {duration_text(int(longest))} at a "
        "time, so that no round could ever open"
    )
    yield Objection("round.deadline", said, WINDOW)


def _metrics(document: Document) -> Iterator[Objection]:
    agreement = document.agreement
    if not agreement.metrics_noised:
        return
    noised = "privacy.metrics.noised"
    if agreement.privacy is not None and agreement.privacy.noise_multiplier == 0:
        why = "noised figures of patients whose updates leave bare protect nobody"
        yield _together(document, noised, "privacy.noise_multiplier", why)


def _statistics(document: Document) -> Iterator[Objection]:
    agreement, federated = document.agreement, "data.statistics"
    if not agreement.statistics_federated:
        return
    privacy, many = agreement.privacy, len(normalisation.quantities(agreement))
    if privacy is None:
        why = "statistics of patients leave with noise and at a cost, or not at all"
        yield _together(document, federated, "privacy", why)
        return
    if privacy.noise_multiplier == 0:
        why = "noised statistics of patients whose updates leave bare protect nobody"
        yield _together(document, federated, "privacy.noise_multiplier", why)
    if agreement.aggregation.secure:
        why = "statistics are not summed under masks yet, so that the coordinator sees each "
        why += "hospital's, noised; write statistics: reference, or secure: false"
        yield _together(document, federated, "aggregation.secure", why)
    most = normalisation.MOST_QUANTITIES
    if not 0 < many <= most:
        why = f"statistics are of 1 to {most} quantities, and there are {many}"
        yield _together(document, federated, "data.features", why)
    if _noise_fits(agreement):
        yield from _drowned(document)


def _drowned(document: Document) -> Iterator[Objection]:
    """Object to statistics that the noise would make useless, and say what would do."""
    agreement = document.agreement
    hospitals = agreement.sites.close_at_least
    patients = int(hospitals * agreement.data.minimum_patients * (1 - HELD_OUT))
    error = normalisation.error_of(agreement, patients)
    if error <= STATISTICS_LIMIT:
        return
    enough = agreement.data.minimum_patients * error / STATISTICS_LIMIT
    said = (
        f"{_line(document, STATISTICS_EPSILON)} gives so much noise that it moves a mean by "
        f"{100 * error / 2:.0f} % of its range where {count(hospitals, 'hospital')} have "
        f"{_line(document, 'data.minimum_patients')} = {agreement.data.minimum_patients} "
        f"patients; it may by {100 * STATISTICS_LIMIT / 2:g} %"
    )
    todo = f"More ε for them, {math.ceil(enough / 10) * 10} patients, or statistics: reference."
    yield Objection(STATISTICS_EPSILON, said, GATE, todo)


def _gate(document: Document) -> Iterator[Objection]:
    agreement = document.agreement
    gate = agreement.quality.accept_if
    if gate is None or not _noise_fits(agreement):
        return
    error = gate_error(agreement, gate.metric)
    needed = 2 * error.standard_error
    if gate.not_worse_than >= needed:
        return
    patients = _patients_for(agreement, error, gate.not_worse_than / 2)
    said = (
        f"{_line(document, 'quality.accept_if.not_worse_than')} is "
        f"{decimal_text(gate.not_worse_than)}, but must be at least {needed:.3f}, twice the "
        f"standard error of {gate.metric} on {error.patients} held-out patients"
        f"{_by_noise(error)}; below, chance would refuse good models"
    )
    todo = f"Or raise {_line(document, 'data.minimum_patients')} to {patients}."
    if error.noise:
        todo += f" Or evaluate less often, or raise {_line(document, METRICS_EPSILON)}."
    yield Objection("quality.accept_if.not_worse_than", said, GATE, todo)


def _stop(document: Document) -> Iterator[Objection]:
    agreement = document.agreement
    stop = agreement.schedule.stop
    if stop is None or stop.reached is None or not _noise_fits(agreement):
        return
    error = gate_error(agreement, stop.metric)
    naive = naive_figure(agreement, stop.metric)
    better = stop.reached - naive if stop.metric in HIGHER_IS_BETTER else naive - stop.reached
    if better >= 2 * error.standard_error:
        return
    said = (
        f"{_line(document, 'schedule.stop.reached')} is {decimal_text(stop.reached)}, but a "
        f"guess from the prevalence alone has {stop.metric} {naive:.3f} and chance moves it by "
        f"{error.standard_error:.3f}{_by_noise(error)}; the target must be better by twice that"
    )
    yield Objection("schedule.stop.reached", said, GATE)


def _noise_fits(agreement: Agreement) -> bool:
    """Tell whether there is noise for what else leaves at all; the cost says it where not."""
    try:
        return agreement.metrics_sigma >= 0 and agreement.statistics_sigma >= 0
    except Refused:
        return False


def _by_noise(error: GateError) -> str:
    return f", {error.noise:.3f} of it by the figures' noise" if error.noise else ""


def _patients_for(agreement: Agreement, error: GateError, limit: float) -> int:
    """Return how many patients a hospital must have for an error of this limit at the most.

    Chance falls with the root of their number, the noise with the number itself.
    """
    noise, chance = error.noise**2, error.standard_error**2 - error.noise**2
    factor = (chance + math.sqrt(chance**2 + 4 * noise * limit**2)) / (2 * limit**2)
    return int(-(-agreement.data.minimum_patients * factor // 10) * 10)
