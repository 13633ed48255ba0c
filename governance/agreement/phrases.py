"""How an agreement's numbers and names are written in sentences."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from governance.privacy.releases import decimal_text

if TYPE_CHECKING:
    from collections.abc import Iterable


def listed(names: Iterable[str]) -> str:
    """Return names as people list them."""
    known = list(names)
    return f"{', '.join(known[:-1])} and {known[-1]}" if len(known) > 1 else "".join(known)


def percent(share: float) -> str:
    """Return a share in per cent."""
    return f"{decimal_text(float(f'{share * 100:.4g}'))} %"


def metric(name: str) -> str:
    """Return how a metric's name is written."""
    return name.upper() if name in {"auc", "rmse"} else name


def upward(value: float, places: int = 2) -> str:
    """Return a number rounded up, as ε is always shown."""
    scale = 10**places
    return f"{math.ceil(round(value * scale, 6)) / scale:.{places}f}"
