"""What a masked round must come to."""

from __future__ import annotations

import numpy as np


def is_the_mean_of(fed, sites, round_=1, attempt=1):
    """Hold that the committed model moved by the plain fixed-point mean of these sites."""
    before, after = fed.committed(round_)
    mean = fed.plain_mean(sites, round_, attempt)
    for name, x in before.items():
        moved = x.reshape(-1) + mean.piece(f"y/{name}", slice(0, x.size))
        assert moved.astype(np.float32).tolist() == after[name].reshape(-1).tolist()
