"""Compressed updates: checked one by one, then their mean by the strategy's rule."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from coordinator import aggregate
from governance.compression.form import Packed, PackedMean, Spread, form_of
from governance.lengths import norm_limits_of
from governance.tensors import chunks, load
from protos.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from coordinator.aggregate import Candidate
    from coordinator.store.roundbook import Running
    from governance.agreement.schema import Agreement
    from governance.compression.form import Form
    from protos.words import SiteName


def check_update(path: Path, form: Form, *, norm_limits: Mapping[str, float]) -> None:
    """Check a site's compressed update before a number of it is used.

    Args:
        path: The spooled file.
        form: The agreement's.
        norm_limits: The largest Euclidean norm of each part, before it is rounded.

    Raises:
        PeerFault: The file is no tensors, or not of the agreed form.
        Refused: not-finite or norm.
    """
    update = Packed(form, load(path))
    for part in form.parts:
        # 1. Finite. Stops one NaN from making every site's model NaN.
        norm = math.sqrt(sum(_square(update, part, span) for span in chunks(form.count)))
        if not math.isfinite(norm):
            raise Refused("the update has numbers that are not finite", rule="not-finite")
        # 2. No longer than honest training makes it. Stops one site from outshouting all.
        limit = widened(form, norm_limits).get(part, math.inf)
        if norm > limit:
            raise Refused(
                f"the update's norm is {norm:.3g}, but its training can make {limit:.3g}",
                rule="norm",
            )


def candidate(  # noqa: PLR0913 - what a sum is made of
    agreement: Agreement,
    running: Running,
    before: tuple[Path, Path | None],
    files: Mapping[SiteName, Path],
    weights: Mapping[SiteName, int],
    *,
    fewest: int,
    out: Path,
) -> Candidate:
    """Sum compressed updates by the strategy's rule; raises as `aggregate` does.

    Args:
        agreement: The round's.
        running: The round, whose indices those of the updates are.
        before: The global model and the strategy's state.
        files: The checked update of each site that is in, at least one.
        weights: What each counts in Δy.
        fewest: The smallest number of patients that one of them declared.
        out: The folder of models.
    """
    form, sites = form_of(agreement), sorted(files)
    assert form is not None
    at = form.at(agreement.federation, running.round, running.model.digest)
    updates = [Packed(form, load(files[site])) for site in sites]
    mean = PackedMean(Spread(form, at), updates, [weights[site] for site in sites])
    return aggregate.aggregate_mean(
        agreement.strategy,
        before[0],
        before[1],
        mean,
        share=len(sites) / len(agreement.sites.roster),
        norm_limits=widened(form, norm_limits_of(agreement, fewest)),
        out=out,
    )


def widened(form: Form, norm_limits: Mapping[str, float]) -> dict[str, float]:
    """Return the limits of what was rounded: each number by up to a step."""
    return {part: limit + form.rounding(part) for part, limit in norm_limits.items()}


def _square(update: Packed, part: str, span: slice) -> float:
    with np.errstate(over="ignore", invalid="ignore"):
        wide = update.values(part, span).astype(np.float64)
        return float(np.dot(wide, wide))
