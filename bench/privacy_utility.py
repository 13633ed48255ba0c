"""What ε costs: AUC at ε = 1, 3, 8 and without privacy, together, alone and federated.

    python bench/privacy_utility.py [--heart DIR] [--seeds 1 2 3 4 5] [--docs]

On the demonstration's patients, and with `--heart DIR` on UCI data set 45. Terms are chosen on
invented patients (`utility.tuning`), then each cell is trained with five seeds, which decide
who is held out, and the noise. What has been computed is kept in build/privacy_utility and not
computed again, so that it can be stopped and gone on with. `--docs` writes the page.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import torch
from cohorts import DEMO, Study, cohorts, heart, invented
from utility import report
from utility.tuning import SEEDS as TUNING_SEEDS
from utility.tuning import chosen
from utility.ways import WAYS, Choice, Setting, auc, digest

from governance.terminal import Format, say, tell

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HERE = Path(__file__).resolve().parent.parent
EPSILONS: Final = (1.0, 3.0, 8.0, None)


def main() -> int:
    """Compute what has not been computed yet, then say all of it."""
    given = asked()
    torch.set_num_threads(1)
    given.work.mkdir(parents=True, exist_ok=True)
    kept = Kept(given.work / "cells.jsonl")
    studies = [DEMO, *([heart(given.heart)] if given.heart else [])]
    found = {study.name: report.Table(list(rows(study, given, kept))) for study in studies}
    for name, table in found.items():
        say(report.answer(name, table), Format.TABLE)
    if given.docs:
        report.plot(found, HERE / "docs" / "privacy_utility.svg")
        report.write(found, HERE / "docs" / "privacy_utility.md")
    return 0


def asked() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--heart", type=Path, help="the folder of UCI's data set 45")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    parser.add_argument("--work", type=Path, default=HERE / "build" / "privacy_utility")
    parser.add_argument("--docs", action="store_true", help="write docs/privacy_utility.md")
    return parser.parse_args()


class Kept:
    """Figures by name, each kept as a line as soon as it is there."""

    def __init__(self, path: Path) -> None:
        self._path = path
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        self._known = {said["name"]: said["value"] for said in map(json.loads, lines)}

    def get(self, name: str, compute: Callable[[], Any]) -> Any:  # noqa: ANN401 - JSON
        """Return the figure of this name, computed if it is not known."""
        if name not in self._known:
            self._known[name] = compute()
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"name": name, "value": self._known[name]}) + "\n")
            tell(f"{name}: {self._known[name]}")
        return self._known[name]


def rows(study: Study, given: argparse.Namespace, kept: Kept) -> Iterator[report.Row]:
    """Yield a row for each ε and way."""
    agreement = study.document.agreement
    real = {seed: cohorts(study, given.work, seed) for seed in given.seeds}
    like = real[given.seeds[0]]
    made = {seed: invented(study, given.work, seed, like) for seed in TUNING_SEEDS}
    for epsilon in EPSILONS:
        for way in WAYS:
            place = f"{study.name}/{epsilon or 'none'}/{way}"

            def tune(way: str = way, epsilon: float | None = epsilon) -> list[Any]:
                choice, value = chosen(way, agreement, epsilon, made)
                return [choice.steps, choice.sampling_rate, choice.clip, choice.rate, value]

            *parts, _ = kept.get(f"{place}/chosen", tune)
            setting = Setting(agreement, epsilon, Choice(*parts))
            values = [
                kept.get(
                    f"{place}/{digest(setting)}/{seed}",
                    lambda seed=seed, setting=setting, way=way, place=place: auc(
                        way, setting, real[seed], seed=f"{place}/{seed}"
                    ),
                )
                for seed in given.seeds
            ]
            yield report.Row(epsilon, way, setting.choice, tuple(values))


if __name__ == "__main__":
    sys.exit(main())
