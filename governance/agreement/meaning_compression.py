"""An agreement's compression in sentences: what leaves, how large it is, what stays behind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from governance import tensors
from governance.agreement.phrases import percent
from governance.compression.form import form_of
from governance.models import parameter_shapes
from governance.secagg.agreed import parts_of, weight_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from governance.agreement.schema import Agreement

TIMES_FEWEST: Final = 10
"""How much larger than an agreement's fewest patients its largest hospital is taken to be."""


def whole_bytes(agreement: Agreement) -> int:
    """Return how long the file of an update is that leaves whole."""
    parts = ("y", "c") if agreement.strategy.name == "scaffold" else ("y",)
    shapes = parameter_shapes(agreement)
    return tensors.size_of(
        {f"{part}/{name}": s for part in parts for name, s in shapes.items()}
    )


def sent_bytes(agreement: Agreement) -> int:
    """Return how long the file of an update is that leaves."""
    form = form_of(agreement)
    if form is None:
        return whole_bytes(agreement)
    if not agreement.aggregation.secure:
        return form.file_bytes
    largest = TIMES_FEWEST * agreement.data.minimum_patients
    weights = [weight_of(agreement, largest)] * len(agreement.sites.roster)
    words = sum(part.words for part in parts_of(agreement, weights))
    return tensors.size_of({"masked": (words,)})


def compression_said(agreement: Agreement) -> Iterator[str]:
    """Say how updates are made smaller, by how much, and what becomes of what is left out."""
    form = form_of(agreement)
    if form is None:
        return
    if form.digits:
        step = 2.0 ** -form.digits["y"]
        yield (
            f"Each number of an update leaves as one of 255 steps of {step:.2g}, rounded up or "
            "down by chance, so that on average nothing is changed; the steps follow from this "
            "agreement alone, not from any patient."
        )
    else:
        keep = agreement.aggregation.compression.keep or 1.0
        yield (
            f"Of the {form.size:,} numbers of an update {form.count:,} leave in a round "
            f"({percent(keep)}), the same at every hospital, drawn from a seed that anybody "
            f"can compute; each one about every {round(1 / keep)} rounds."
        )
    whole, sent = whole_bytes(agreement), sent_bytes(agreement)
    yield (
        f"So an update takes {sent:,} bytes in the place of {whole:,}, {whole / sent:.3g} "
        "times fewer. What is left out stays at the hospital, is added to its next update, and "
        "is deleted when it leaves; where patients opt out it is thrown away."
    )
    if agreement.privacy is not None and agreement.sigma > 0:
        yield "The noise was added before: making an update smaller costs no ε and saves none."


def masks_said(agreement: Agreement) -> Iterator[str]:
    """Say what masks do to numbers that were made smaller."""
    form = form_of(agreement)
    assert form is not None
    sites = len(agreement.sites.roster)
    largest = TIMES_FEWEST * agreement.data.minimum_patients
    for part in parts_of(agreement, [weight_of(agreement, largest)] * sites):
        what = "the update" if part.weighted else "the change of the control variates"
        if form.digits:
            yield (
                f"Under masks each number of {what} takes {part.bits} bits, as many as the sum "
                f"of {sites} hospitals needs where the largest has {largest:,} patients; that "
                "sum is exact."
            )
        else:
            yield (
                f"Under masks each number of {what} that leaves is kept within "
                f"±{part.bound:.3g}, what is beyond waits for the next update, and rounded: "
                f"the mean moves by at most {2.0 ** -(part.fraction_bits + 1):.1g} where the "
                f"largest hospital has {largest:,} patients."
            )
