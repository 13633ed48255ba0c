"""The updates of a round, from the spool to the candidate: plain, or under masks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from coordinator import aggregate, masking, packing, unmasking
from coordinator.store import masks, record
from coordinator.unmasking import MaskedSum
from governance.compression.form import form_of
from governance.lengths import norm_limits_of
from governance.tensors import verify
from protos.errors import Corrupt

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from sqlalchemy import Connection

    from coordinator.aggregate import Candidate
    from coordinator.foundation import Foundation
    from coordinator.store.roundbook import Running
    from governance.agreement.load import Document
    from protos.words import SiteName


@dataclass(frozen=True, slots=True)
class Inside:
    """What is summed: files by site, every site's declared patients, and the run of masks."""

    files: Mapping[SiteName, Path]
    declared: Mapping[SiteName, int]
    masked: MaskedSum | None = None


def inside(base: Foundation, connection: Connection, running: Running) -> Inside:
    """Return the updates that are in.

    Raises:
        Corrupt: a file is not the one that the ledger names.
    """
    at = (running.round, running.attempt)
    named = record.updates(connection, *at)
    files = {
        site: base.spool.whole(site, *at)
        for site, asked in running.training.items()
        if asked.state == "in"
    }
    for site, path in files.items():
        if path.stem != named[site]:
            raise Corrupt(
                f"the update of {site} is not the one in the ledger",
                where=str(path),
                rule="update-differs",
            )
    declared = record.declared_ever(connection, running.agreement)
    terms = masks.terms_of(connection, at)
    if terms is None:
        return Inside(files, declared)
    run = masking.run(connection, terms)
    return Inside(files, declared, MaskedSum(run, masking.opened(connection, terms)))


def add(base: Foundation, running: Running, document: Document, updates: Inside) -> Candidate:
    """Sum the updates by the strategy's rule; raises as `aggregate` and `unmasking` do."""
    state, terms, files = running.strategy_state, document.agreement, updates.files
    model = base.model_path(running.model.digest)
    kept = base.model_path(state.digest) if state else None
    fewest, form = min(updates.declared[site] for site in files), form_of(terms)
    limits = norm_limits_of(terms, fewest)
    if updates.masked is not None:
        return unmasking.candidate(
            terms,
            (model, kept),
            files,
            updates.masked,
            norm_limits=limits if form is None else packing.widened(form, limits),
            out=base.models,
        )
    for path in files.values():
        verify(path)  # what lies on the disk may have been changed since it was hashed
    weighting = terms.aggregation.weighting
    weights = {site: aggregate.weight(weighting, updates.declared[site]) for site in files}
    if form is not None:
        before = (model, kept)
        return packing.candidate(
            terms, running, before, files, weights, fewest=fewest, out=base.models
        )
    return aggregate.aggregate(
        terms.strategy,
        model,
        kept,
        files,
        weights,
        roster_size=len(terms.sites.roster),
        out=base.models,
    )
