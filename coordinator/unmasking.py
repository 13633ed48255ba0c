"""From masked updates on the disk to the candidate: sum, unmask, and the strategy's rule."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from coordinator import aggregate
from governance.secagg import coordinator as run_of
from governance.secagg.agreed import MASKED, Mean, check_words, from_words
from governance.tensors import chunks, load, verify
from protos.errors import PeerFault

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from coordinator.aggregate import Candidate
    from governance.agreement.schema import Agreement
    from governance.secagg.terms import Terms
    from protos.words import SiteName
    from protos.words_masks import Opened


@dataclass(frozen=True, slots=True)
class MaskedSum:
    """What a masked round has come to: its run, and what was opened of it."""

    run: run_of.Run
    opened: Mapping[str, Opened]


def check_vector(path: Path, terms: Terms | None) -> None:
    """R13: take a file of one masked vector of the agreed length alone.

    Raises:
        PeerFault: it is another file.
    """
    update = load(path)
    if terms is None or list(update) != [MASKED]:
        raise PeerFault("the masked vector has not the model's length", rule="secagg-r13")
    check_words(terms, update[MASKED].view(np.uint32))


def candidate(
    agreement: Agreement,
    before: tuple[Path, Path | None],
    files: Mapping[SiteName, Path],
    masked: MaskedSum,
    *,
    norm_limits: Mapping[str, float],
    out: Path,
) -> Candidate:
    """Return the candidate, with the sites whose shares were wrong.

    Args:
        agreement: The round's.
        before: The global model and the strategy's state.
        files: The masked vector of each site in the sum, U3.
        masked: The run.
        norm_limits: The largest norm of each part of the mean.
        out: The folder of models.

    Raises:
        PeerFault: R12, the sum stays masked.
        Refused: the mean is none that honest sites make.
        Corrupt: a file is not the one that was sent.
    """
    terms = masked.run.terms
    total = _summed(terms, files)
    survivors = sorted(files)
    found = run_of.unmask(masked.run, total, survivors, masked.opened)
    mean = Mean(terms, agreement, found.total, survivors)
    model, state = before
    made = aggregate.aggregate_mean(
        agreement.strategy,
        model,
        state,
        mean,
        share=len(survivors) / len(agreement.sites.roster),
        norm_limits=norm_limits,
        out=out,
    )
    return replace(made, liars=found.liars)


def _summed(terms: Terms, files: Mapping[SiteName, Path]) -> NDArray[np.uint32]:
    """Return the sum of the masked vectors mod 2³²."""
    total = np.zeros(terms.length, dtype=np.uint32)
    for path in files.values():
        verify(path)  # what lies on the disk may have been changed since it was hashed
        vector = from_words(terms, load(path)[MASKED].view(np.uint32))
        for part in chunks(total.size):
            np.add(total[part], vector[part], out=total[part])
    return total
