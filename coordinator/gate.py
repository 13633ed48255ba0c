"""The quality gate: whether a candidate becomes the global model.

A candidate is compared with the model in force by the agreement's metric, pooled over the sites
that said figures of both, so that a hospital's absence is no change of quality. Without figures
only what was checked before (finite, norm) decides, and the candidate passes.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

from governance.figures import HIGHER_IS_BETTER, NOT_FINITE, pooled

if TYPE_CHECKING:
    from collections.abc import Mapping

    from governance.figures import Figures
    from protos.words import SiteName


class AcceptIf(Protocol):
    """The gate of an agreement."""

    @property
    def metric(self) -> str:
        """A key of `figures.METRICS`."""

    @property
    def not_worse_than(self) -> float:
        """By how much the candidate may be worse, in the metric's unit."""


NO_GATE: Final = "no-gate"
NO_FIGURES: Final = "no-figures"
FIRST: Final = "first-figures"
NOT_WORSE: Final = "not-worse"
WORSE: Final = "worse"
SCORES_NOT_FINITE: Final = "scores-not-finite"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the gate decided, by which rule, and on what.

    Attributes:
        accepted: Whether the candidate becomes the global model.
        rule: One of this module's rules; it is what `candidate-rejected` says.
        metric: The agreement's metric, or empty without a gate.
        candidate: Its pooled value for the candidate, or None.
        current: The same for the model in force, over the same sites, or None.
        not_worse_than: By how much it may be worse.
        refused: The rule that each site broke, where no candidate came of it.
    """

    accepted: bool
    rule: str
    metric: str = ""
    candidate: float | None = None
    current: float | None = None
    not_worse_than: float | None = None
    refused: Mapping[SiteName, str] = field(default_factory=dict)

    def told(self) -> str:
        """Return what the verdict rests on as JSON; decimals as strings."""
        numbers = {
            "candidate": self.candidate,
            "current": self.current,
            "not_worse_than": self.not_worse_than,
        }
        said = {name: "" if value is None else repr(value) for name, value in numbers.items()}
        return json.dumps(
            {**said, "metric": self.metric, "rule": self.rule},
            sort_keys=True,
            separators=(",", ":"),
        )


def judge(
    candidate: Mapping[SiteName, Figures],
    current: Mapping[SiteName, Figures] | float | None,
    accept_if: AcceptIf | None,
) -> Verdict:
    """Decide on a candidate.

    Args:
        candidate: What each site said of it; sites that said nothing are absent.
        current: What each said of the model in force, or its pooled value, or None when nobody
            said anything of one yet.
        accept_if: The agreement's gate, or None.
    """
    # 1. A model whose scores are no numbers at some site is no model. Stops one that is finite
    #    in its weights alone, with a gate or without.
    if any(said.withheld == NOT_FINITE for said in candidate.values()):
        return Verdict(accepted=False, rule=SCORES_NOT_FINITE)
    if accept_if is None:
        return Verdict(accepted=True, rule=NO_GATE)
    # 2. The same patients on both sides. Stops a change of sites passing for one of quality.
    new, old = _comparable(candidate, current, accept_if.metric)
    rule = _rule(new, old, accept_if)
    return Verdict(
        accepted=rule != WORSE,
        rule=rule,
        metric=accept_if.metric,
        candidate=new,
        current=old,
        not_worse_than=accept_if.not_worse_than,
    )


def _rule(new: float | None, old: float | None, accept_if: AcceptIf) -> str:
    if new is None:
        return NO_FIGURES
    if old is None:
        return FIRST
    loss = old - new if accept_if.metric in HIGHER_IS_BETTER else new - old
    return WORSE if loss > accept_if.not_worse_than else NOT_WORSE


def _comparable(
    candidate: Mapping[SiteName, Figures],
    current: Mapping[SiteName, Figures] | float | None,
    metric: str,
) -> tuple[float | None, float | None]:
    """Return the metric of both, over the sites with figures of both where there are any."""
    if current is None or isinstance(current, int | float):
        return _value(candidate, metric), current
    both = {
        site
        for site in candidate.keys() & current.keys()
        if not candidate[site].withheld and not current[site].withheld
    }
    if not both:
        return _value(candidate, metric), None
    new = {site: candidate[site] for site in both}
    old = {site: current[site] for site in both}
    return _value(new, metric), _value(old, metric)


def _value(said: Mapping[SiteName, Figures], metric: str) -> float | None:
    return pooled(said[site] for site in sorted(said)).metric(metric)
