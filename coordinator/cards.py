"""What a model card says: facts of the agreement and of the record, and what is withheld.

It names no hospital where the agreement says `number`, rounds what could tell of few patients,
and says each thing that it leaves out. The same record makes the same card, so that an operator
signs what anybody with the record can compose again.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from coordinator import card_groups
from governance import normalisation
from governance.agreement.schema import unsafe_terms
from governance.figures import METRICS, pooled
from governance.ledger import spending
from governance.models import parameter_shapes
from governance.privacy import releases
from governance.privacy.accountant import format_epsilon
from governance.privacy.releases import decimal_text
from governance.statements import timestamp

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from coordinator.store.released import Inside
    from governance.agreement.data_terms import Feature, Target
    from governance.agreement.load import Document
    from governance.agreement.schema import Agreement
    from governance.figures import Figures
    from protos.words import SiteName

FORM: Final = 1
_PLACES: Final = 3
_WHY: Final = {
    "under-minimum": "too few patients of a class, under the agreement's minimum",
    "no-figures": "no hospital said figures of it",
    "not-finite": "its predictions are no numbers",
}
_OWN_SITE: Final = (
    "each hospital's own figures, since the agreement shows them to that hospital alone"
)
_MASKED: Final = (
    "each hospital's own figures, which nobody has: masked, their sum alone is read"
)


def composed(
    document: Document, made: Inside, *, release: str, size: int, at: datetime
) -> dict[str, Any]:
    """Return the facts of a model card.

    Args:
        document: The agreement of the round.
        made: What the record says of the round's model.
        release: How the release is called.
        size: Bytes of the model's file.
        at: When it is composed.
    """
    agreement = document.agreement
    named = agreement.release.sites == "names"
    return {
        **_normalisation(agreement, made),
        "card": FORM,
        "release": release,
        "federation": agreement.federation,
        "title": agreement.title,
        "owner": agreement.owner,
        "licence": agreement.licence,
        "composed_at": timestamp(at),
        "intended_use": _use(agreement),
        "model": {
            "name": agreement.model.name,
            "digest": made.model,
            "bytes": size,
            "parameters": sum(math.prod(s) for s in parameter_shapes(agreement).values()),
        },
        "data": _data(agreement),
        "sites": {"count": len(made.sites), "names": made.sites if named else []},
        "training": {
            "agreement": document.digest,
            "material": document.material,
            "round": made.round,
            "attempt": made.attempt,
            "rounds": made.rounds,
            "strategy": agreement.strategy.name,
            "declared_patients": sum(made.patients.values()),
        },
        "evaluation": _evaluation(agreement, made, named=named),
        "privacy": _privacy(agreement, made, named=named),
        "limits": _limits(agreement),
    }


def _use(agreement: Agreement) -> list[str]:
    target = agreement.data.target
    what = {
        "binary": f"the probability of {target.name}",
        "real": f"{target.name}, in {target.unit or 'its unit'}",
        "category": f"a probability for each value of {target.name}",
    }[target.kind]
    return [
        f"It gives {what} for one {agreement.data.unit} with the features below.",
        f"It was trained for the purposes {', '.join(agreement.purpose)}, and for no other.",
        "It is a result of research: no regulator has approved it to decide on treatment.",
    ]


def _data(agreement: Agreement) -> dict[str, Any]:
    target = agreement.data.target
    return {
        "unit": agreement.data.unit,
        "features": [
            {
                "name": one.name,
                "kind": one.kind,
                "unit": one.unit or "",
                "values": _values(one),
                "missing": f"{100 * one.missing.at_most:g} %",
                "fill": _fill(one),
            }
            for one in agreement.data.features
        ],
        "target": {"name": target.name, "kind": target.kind, "values": _values(target)},
    }


def _normalisation(agreement: Agreement, made: Inside) -> dict[str, Any]:
    """Return what quantities are normalised by where the agreement does not say it."""
    if made.scales is None:
        return {}
    values = {name: one.to_json() for name, one in made.scales.items()}
    basis = normalisation.basis_of(agreement)
    return {"normalisation": {"by": "statistics", "basis": basis, "values": values}}


def _values(field: Feature | Target) -> str:
    if field.values:
        return ", ".join(field.values)
    if field.range is not None:
        low, high = field.range
        return f"{low:g} to {high:g}"
    return "0 or 1" if field.kind == "binary" else "any"


def _fill(feature: Feature) -> str:
    fill = feature.missing.fill
    if fill is None:
        return "" if feature.kind == "category" else "its mean"
    return fill if isinstance(fill, str) else f"{fill:g}"


def _evaluation(agreement: Agreement, made: Inside, *, named: bool) -> dict[str, Any]:
    every = agreement.quality.visible_to == "all"
    sites = _each(made.figures, named=named) if every else []
    by_group, unsaid = card_groups.composed(agreement, made, told=_told)
    return {
        "what": "On held-out patients of the hospitals, who never train. Counts are rounded to "
        "tens.",
        "pooled": _told(_pooled(made)),
        "sites": sites,
        "subgroups": by_group,
        "withheld": [*_unsaid(agreement, made), *unsaid],
    }


def _pooled(made: Inside) -> Figures:
    if made.summed is not None:
        return made.summed.figures
    return pooled(made.figures[site] for site in sorted(made.figures))


def _unsaid(agreement: Agreement, made: Inside) -> Iterator[str]:
    """Say what of each hospital the card does not tell."""
    told = made.figures if made.summed is None else made.summed.sites
    if agreement.figures_masked:
        yield _MASKED
    elif agreement.quality.visible_to != "all":
        yield _OWN_SITE
    silent = [site for site in made.sites if site not in told]
    if silent and told:
        yield f"{len(silent)} of the hospitals inside it said no figures"


def _each(figures: Mapping[SiteName, Figures], *, named: bool) -> list[dict[str, Any]]:
    told = [(site, _told(figures[site])) for site in sorted(figures)]
    if named:
        return [{"site": site, **said} for site, said in told]
    # By what is said, since an order of names would tell who is who.
    ordered = sorted(
        (said for _, said in told), key=lambda said: sorted(map(str, said.items()))
    )
    return [{"site": f"hospital {place}", **said} for place, said in enumerate(ordered, 1)]


def _told(figures: Figures) -> dict[str, Any]:
    if figures.withheld:
        return {"withheld": _WHY.get(figures.withheld, figures.withheld)}
    found = {name: figures.metric(name) for name in METRICS}
    said: dict[str, Any] = {
        name.replace("-", "_"): f"{value:.{_PLACES}f}"
        for name, value in found.items()
        if value is not None
    }
    return said | {"patients": 10 * round(figures.count / 10)}


def _privacy(agreement: Agreement, made: Inside, *, named: bool) -> dict[str, Any]:
    privacy = agreement.privacy
    if privacy is None or not made.spent:
        said = ["There is no differential privacy: the model may tell of single patients."]
        return {"unit": "", "epsilon": "", "delta": "", "said": said, "sites": []}
    epsilon = {
        site: max(
            spending.epsilon(cohort.releases, cohort.last.delta)
            for cohort in cohorts
            if cohort.last is not None
        )
        for site, cohorts in made.spent.items()
    }
    largest, delta = format_epsilon(max(epsilon.values())), decimal_text(privacy.delta)
    said = [
        (
            f"ε is at most {largest} at δ = {delta}, for one patient of any hospital, by "
            "adding or removing all records of that patient."
        ),
        (
            "It counts every training that a hospital reserved for up to this round, also of "
            "attempts that came to nothing, by the Gaussian mechanism with Poisson sampling "
            "and Google's PLD accountant. A hospital that trains elsewhere has spent more."
        ),
    ]
    said.append(_figures_covered(agreement, made))
    if agreement.statistics_federated:
        alone = format_epsilon(_apart(made, releases.STATISTICS))
        said.append(
            "It counts the statistics that values are normalised by, which left with noise, of "
            f"the patients who train: ε is at most {alone} for them alone."
        )
    sites = [{"site": s, "epsilon": format_epsilon(e)} for s, e in sorted(epsilon.items())]
    return {
        "unit": "patient",
        "epsilon": largest,
        "delta": delta,
        "said": said,
        "sites": sites if named else [],
    }


def _figures_covered(agreement: Agreement, made: Inside) -> str:
    if not agreement.metrics_noised:
        return (
            "The evaluation's figures are exact, so this ε says nothing of held-out patients."
        )
    return (
        "It counts the evaluation's figures, which left with noise: ε is at most "
        f"{format_epsilon(_apart(made, releases.METRICS))} for them alone."
    )


def _apart(made: Inside, purpose: str) -> float:
    """Return the largest ε that any hospital spent on one purpose alone."""
    return max(
        spending.epsilon(cohort.apart.get(purpose, ()), cohort.last.delta)
        for cohorts in made.spent.values()
        for cohort in cohorts
        if cohort.last is not None
    )


def _limits(agreement: Agreement) -> list[str]:
    limits = [
        (
            "It was evaluated on patients of the hospitals that trained it; elsewhere it may "
            "do worse."
        ),
        "A value outside its range in the data contract counts as missing.",
        "The number of patients is what the hospitals declare; nobody else counted them.",
        "No measure was taken to make it fair between groups of patients.",
    ]
    weak = sorted(unsafe_terms(agreement))
    if weak:
        limits.append(f"Its agreement has terms that weaken a guarantee: {', '.join(weak)}.")
    return limits
