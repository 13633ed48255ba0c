"""The sums that quantities are to be normalised by, made in the worker: noised, or not at all.

Of the patients who train alone: those held out are no part of it.
"""

from __future__ import annotations

import numpy as np

from governance import normalisation
from governance.agreement.load import parse
from site_agent.jobs import Measured, MeasureJob
from site_agent.ready import ready
from site_agent.training import keystream, use_threads


def measure(job: MeasureJob) -> Measured:
    """Return a cohort's noised sums; what is without noise does not leave this process.

    Raises:
        Refused: The cohort can't be read or breaks the contract.
    """
    use_threads(job.threads)
    document = parse(job.document.read_bytes())
    agreement = document.agreement
    train = ready(job.cohort, document, by=normalisation.scaled(agreement)).train
    places, width = {}, 0
    for feature in agreement.data.features:
        places[feature.name], width = width, width + feature.input_width
    columns = [places[one.name] for one in normalisation.quantities(agreement)]
    units = train.features[:, columns].astype(np.float64)
    total = normalisation.sum_of(units, train.patient, train.patients)
    draw = keystream(job.noise_seed).gaussian
    return Measured(normalisation.to_json(normalisation.noised_of(total, agreement, draw)))
