"""Rules between the fields of one agreement: what must hold for it to mean anything at all.

Each names the line that is wrong and the line it does not agree with.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from governance.privacy.releases import decimal_text
from governance.yaml_models import guess
from governance.yaml_positions import Problem, dotted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from governance.agreement.data_terms import Feature
    from governance.agreement.schema import Agreement
    from governance.agreement.training_terms import Privacy
    from governance.yaml_positions import YamlPath

METRICS_OF: Final = {
    "binary": ("auc", "accuracy", "log-loss", "brier"),
    "real": ("rmse",),
    "category": ("accuracy", "log-loss"),
}
"""Which figures a kind of target has."""


def problems(agreement: Agreement) -> list[Problem]:
    """Return every rule that is broken, in the order of the file."""
    return [problem for rule in _RULES for problem in rule(agreement)]


def _problem(path: str, said: str, *, against: str = "") -> Problem:
    other = tuple(against.split(".")) if against else ()
    return Problem(tuple(path.split(".")), f"{path} {said}", against=other)


def _times(agreement: Agreement) -> Iterator[Problem]:
    if agreement.valid.until <= agreement.valid.from_:
        valid = agreement.valid
        yield _problem(
            "valid.until",
            f"is {valid.until:%Y-%m-%d}, but must be after valid.from, {valid.from_:%Y-%m-%d}",
        )
    window = agreement.schedule.window
    if window is not None and window.from_ == window.to:
        yield _problem(
            "schedule.window.to", "is the same as schedule.window.from, but must not"
        )
    stop = agreement.schedule.stop
    if stop is not None and stop.reached is None and stop.patience is None:
        yield _problem("schedule.stop", "names no end, but must have reached, patience or both")


def _sites(agreement: Agreement) -> Iterator[Problem]:
    sites, count = agreement.sites, len(agreement.sites.roster)
    if sites.ready_at_least > count:
        said = f"is {sites.ready_at_least}, but must be at most {count}, the hospitals in it"
        yield _problem("sites.ready_at_least", f"{said}s roster")
    if sites.close_at_least > sites.ready_at_least:
        said = f"is {sites.close_at_least}, but must be at most sites.ready_at_least = "
        yield _problem("sites.close_at_least", f"{said}{sites.ready_at_least}")
    if isinstance(sites.per_round, int) and not (
        sites.ready_at_least <= sites.per_round <= count
    ):
        said = f"is {sites.per_round}, but must be from sites.ready_at_least = "
        yield _problem("sites.per_round", f"{said}{sites.ready_at_least} to {count}")
    yield from _keys(agreement)


def _keys(agreement: Agreement) -> Iterator[Problem]:
    holders: dict[str, str] = {}
    for name, keys in agreement.sites.roster.items():
        for key in keys:
            if key in holders:
                path: YamlPath = ("sites", "roster", name)
                said = f"is the key of {holders[key]} too, but every key must have one holder"
                yield Problem(path, f"{dotted(path)} {said}")
            holders.setdefault(key, name)
    for name, key in agreement.operators.keys.items():
        if key and key in holders:
            path = ("operators", "keys", name)
            said = f"is the key of {holders[key]} too, but every key must have one holder"
            yield Problem(path, f"{dotted(path)} {said}")
        holders.setdefault(key, name)
    if agreement.operators.two_for and len(agreement.operators.keys) < 2:
        said = "asks for two operators, but operators.keys has one"
        yield _problem("operators.two_for", said)


def _local(agreement: Agreement) -> Iterator[Problem]:
    local = agreement.round.local
    given = {
        name for name in ("steps", "epochs", "sampling_rate", "batch") if getattr(local, name)
    }
    if agreement.privacy is not None and given != {"steps", "sampling_rate"}:
        said = "must have steps and sampling_rate and nothing else, because privacy is on:"
        reason = "patients are drawn by Poisson sampling at a public rate"
        yield _problem("round.local", f"{said} {reason}")
    if agreement.privacy is None and given not in ({"steps", "batch"}, {"epochs", "batch"}):
        said = "must have batch and either steps or epochs, because privacy is off"
        yield _problem("round.local", said)


_OF_A_TARGET: Final[Mapping[str, tuple[str, ...]]] = {
    "binary": ("prevalence",),
    "real": ("range", "reference"),
    "category": ("values",),
}
"""What each kind of target must have, and no other may."""


def _target(agreement: Agreement) -> Iterator[Problem]:
    target = agreement.data.target
    for kind, names in _OF_A_TARGET.items():
        for name in names:
            given = getattr(target, name) is not None
            if kind == target.kind and not given:
                said = f"is missing, but a {kind} target must have it"
                yield _problem(f"data.target.{name}", said)
            if kind != target.kind and given:
                yield _problem(
                    f"data.target.{name}", f"does not belong to a {target.kind} target"
                )


def _features(agreement: Agreement) -> Iterator[Problem]:
    names = [agreement.data.target.name]
    for index, feature in enumerate(agreement.data.features):
        path = ("data", "features", index)
        if feature.name in names:
            said = f"is {feature.name!r}, but that name is taken"
            yield Problem((*path, "name"), f"{dotted(path)}.name {said}")
        names.append(feature.name)
        check = _quantity if feature.kind == "real" else _category
        for key, said in check(feature):
            yield Problem((*path, *key.split(".")), f"{dotted(path)}.{key} {said}")
    bands = [name for feature in agreement.data.features for name in feature.bands]
    groups = {f.name for f in agreement.data.features if f.kind == "category"} | set(bands)
    for index, group in enumerate(agreement.data.subgroups):
        if group not in groups:
            said = f"names {group!r}, but must name categories and bands of data.features"
            said += guess(group, groups)
            yield Problem(("data", "subgroups", index), f"data.subgroups {said}")


def _quantity(feature: Feature) -> Iterator[tuple[str, str]]:
    for name in ("range", "reference"):
        if getattr(feature, name) is None:
            yield name, "is missing, but a real feature must have it"
    if feature.values:
        yield "values", "does not belong to a real feature"
    if feature.range is None:
        return
    low, high = feature.range
    within = f"must be within the range {decimal_text(low)} to {decimal_text(high)}"
    if feature.reference is not None and not low <= feature.reference.mean <= high:
        yield "reference.mean", f"is {decimal_text(feature.reference.mean)}, but {within}"
    yield from _fill_of_quantity(feature, within)
    for name, cuts in feature.bands.items():
        if not low < cuts[0] <= cuts[-1] < high:
            yield f"bands.{name}", f"has cuts outside, but all {within}"


def _fill_of_quantity(feature: Feature, within: str) -> Iterator[tuple[str, str]]:
    fill = feature.missing.fill
    if fill is None:
        if feature.missing.at_most > 0:
            yield "missing.fill", "is missing, but must say what stands for a missing value"
    elif isinstance(fill, str):
        yield "missing.fill", f"is {fill!r}, but must be a number"
    elif feature.range is not None and not feature.range[0] <= fill <= feature.range[1]:
        yield "missing.fill", f"is {decimal_text(fill)}, but {within}"


def _category(feature: Feature) -> Iterator[tuple[str, str]]:
    if len(feature.values) < 2:
        yield "values", "must be a list of at least two, because the feature is a category"
    for name in ("range", "reference", "bands"):
        if getattr(feature, name):
            yield name, "does not belong to a category"
    fill = feature.missing.fill
    if fill is None:
        if feature.missing.at_most > 0:
            yield "missing.fill", "is missing, but must say what stands for a missing value"
    elif fill not in feature.values:
        yield "missing.fill", f"is {fill!r}, but must be one of {', '.join(feature.values)}"


def _wheel(agreement: Agreement) -> Iterator[Problem]:
    model = agreement.model
    if (model.wheel is None) != (model.parameters is None):
        missing = "parameters" if model.parameters is None else "wheel"
        yield _problem(f"model.{missing}", "is missing: a model from a wheel has both")
    if model.wheel is not None and (model.hidden or model.norm != "none"):
        field = "hidden" if model.hidden else "norm"
        yield _problem(f"model.{field}", "does not belong to a model from a wheel")


def _model(agreement: Agreement) -> Iterator[Problem]:
    model, strategy = agreement.model, agreement.strategy
    if model.name == "linear" and model.hidden:
        yield _problem("model.hidden", "does not belong to a linear model")
    if model.name == "linear" and model.norm == "group":
        yield _problem("model.norm", "does not belong to a linear model")
    if model.name == "mlp" and not model.hidden and model.wheel is None:
        yield _problem("model.hidden", "is missing, but an mlp must have at least one layer")
    if strategy.name == "fedprox" and strategy.mu is None:
        yield _problem("strategy.mu", "is missing, but fedprox must have it")
    if strategy.name != "fedprox" and strategy.mu is not None:
        yield _problem("strategy.mu", f"does not belong to {strategy.name}")
    if strategy.name in {"fedavg", "fedprox"} and strategy.server_rate != 1:
        said = f"does not belong to {strategy.name}, whose server step is the average itself"
        yield _problem("strategy.server_rate", said)


def _privacy(agreement: Agreement) -> Iterator[Problem]:
    privacy = agreement.privacy
    if privacy is None:
        return
    if (privacy.noise_multiplier is None) == (privacy.target is None):
        said = "must have either noise_multiplier or target, from which it is computed"
        yield _problem("privacy", said)
    patients = agreement.data.minimum_patients
    if privacy.delta >= 1 / patients:
        said = (
            f"is {decimal_text(privacy.delta)}, but must be below 1/data.minimum_patients = "
            f"{decimal_text(1 / patients)}; above, publishing one patient's record would pass"
        )
        yield _problem("privacy.delta", said, against="data.minimum_patients")
    if (privacy.metrics.noised is None) == (privacy.metrics.exact is None):
        yield _problem("privacy.metrics", "must have either noised or exact")
    yield from _statistics(agreement, privacy)
    if privacy.target is not None and privacy.target.epsilon > privacy.budget.epsilon:
        said = (
            f"is {decimal_text(privacy.target.epsilon)}, but must be at most "
            f"privacy.budget.epsilon = {decimal_text(privacy.budget.epsilon)}"
        )
        yield _problem("privacy.target.epsilon", said, against="privacy.budget.epsilon")


def _statistics(agreement: Agreement, privacy: Privacy) -> Iterator[Problem]:
    terms, wanted = privacy.statistics, agreement.statistics_federated
    said, against = f"data.statistics is {agreement.data.statistics}", "data.statistics"
    if terms is None and wanted:
        yield _problem("privacy.statistics.epsilon", f"is missing, but {said}", against=against)
    if terms is not None and not wanted:
        yield _problem("privacy.statistics", f"does not belong here: {said}", against=against)
    if terms is not None and terms.epsilon > privacy.budget.epsilon:
        said = (
            f"is {decimal_text(terms.epsilon)}, but must be at most "
            f"privacy.budget.epsilon = {decimal_text(privacy.budget.epsilon)}"
        )
        yield _problem("privacy.statistics.epsilon", said, against="privacy.budget.epsilon")


def _aggregation(agreement: Agreement) -> Iterator[Problem]:
    compression = agreement.aggregation.compression
    if (compression.name == "random-k") != (compression.keep is not None):
        said = "belongs to random-k, and random-k must have it"
        yield _problem("aggregation.compression.keep", said)


def _figures(agreement: Agreement) -> Iterator[Problem]:
    kind = agreement.data.target.kind
    gate, stop = agreement.quality.accept_if, agreement.schedule.stop
    named = {
        "quality.accept_if.metric": gate.metric if gate else None,
        "schedule.stop.metric": stop.metric if stop else None,
    }
    for path, metric in named.items():
        if metric is not None and metric not in METRICS_OF[kind]:
            known = ", ".join(METRICS_OF[kind])
            said = f"is {metric}, but must be one of {known}, because data.target is {kind}"
            yield _problem(path, said)


_RULES: Final[tuple[Callable[[Agreement], Iterator[Problem]], ...]] = (
    _times, _sites, _local, _target, _features, _wheel, _model, _privacy, _aggregation,
    _figures,
)  # fmt: skip
