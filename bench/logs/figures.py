"""Figures beside their references, as every benchmark of this folder keeps them."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from governance.terminal import Answer, Format, say

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

COLUMNS: Final = ("case", "figure", "unit", "value", "reference", "ratio")
_REPEATS: Final = 3


def timed(doing: Callable[[], object]) -> float:
    """Return how many seconds something took."""
    begun = time.perf_counter()
    doing()
    return time.perf_counter() - begun


def fastest(doing: Callable[[], object]) -> float:
    """Return the seconds of the fastest of some tries: other work on the machine only adds."""
    return min(timed(doing) for _ in range(_REPEATS))


def rate(
    bench: str, case: str, figure: str, unit: str, count: int, seconds: tuple[float, float]
) -> dict[str, Any]:
    """Return how many a second there were, beside the reference's; `seconds` are of both."""
    value, reference = (count / each for each in seconds)
    return figure_of(bench, case, figure, unit, (value, reference))


def lasting(
    bench: str, case: str, figure: str, count: int, seconds: tuple[float, float]
) -> dict[str, Any]:
    """Return how many milliseconds each took, beside the reference's."""
    value, reference = (each / count * 1000 for each in seconds)
    return figure_of(bench, case, figure, "ms", (value, reference))


def options(doc: str | None) -> argparse.ArgumentParser:
    """Return the parser that every measurement begins with."""
    parser = argparse.ArgumentParser(description=(doc or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("build/bench.json"))
    return parser


def parsed(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Return what was asked, with a folder for the figures."""
    given = parser.parse_args()
    given.out.parent.mkdir(parents=True, exist_ok=True)
    return given


def tell(title: str, path: Path, figures: Sequence[dict[str, Any]]) -> None:
    """Keep figures, and show them."""
    keep(path, figures)
    show(title, figures)


def show(title: str, figures: Sequence[dict[str, Any]]) -> None:
    """Show figures as a table."""
    rows = [tuple(figure[name] for name in COLUMNS) for figure in figures]
    say(Answer(COLUMNS, rows, title=title), Format.TABLE)


def kept(path: Path) -> list[dict[str, Any]]:
    """Return the figures in a file, none where there is no file."""
    return json.loads(path.read_text("utf-8")) if path.exists() else []


def keep(path: Path, figures: Sequence[dict[str, Any]]) -> None:
    """Append figures to the list in a file."""
    known = kept(path)
    path.write_text(json.dumps([*known, *figures], indent=1) + "\n", "utf-8")


def figure_of(
    bench: str, case: str, figure: str, unit: str, values: tuple[float, float]
) -> dict[str, Any]:
    """Return a figure beside its reference."""
    value, reference = values
    return {
        "bench": bench,
        "case": case,
        "figure": figure,
        "unit": unit,
        "value": round(value, 4),
        "reference": round(reference, 4),
        "ratio": round(value / reference, 5),
    }


if __name__ == "__main__":
    show("Every figure", kept(Path(sys.argv[1])))
