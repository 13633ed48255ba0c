"""The figures as a table, as a plot, and as a page."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from logs.pages import markdown, put

from governance.terminal import Answer
from utility.tuning import CLIPS, ETAS, RATES, STEPS, TRIED
from utility.ways import ROUNDS, WAYS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from utility.ways import Choice

_COLOURS: Final = {"central": "#2166ac", "alone": "#b35806", "federated": "#1b7837"}
_TITLES: Final = {
    "demo": "The demonstration: malignancy of breast tumours, 569 patients of five hospitals",
    "heart": "The heart study: coronary heart disease, 740 patients of four hospitals",
}


@dataclass(frozen=True, slots=True)
class Row:
    """The AUC of one ε and way, by seed."""

    epsilon: float | None
    way: str
    choice: Choice
    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        """The mean over seeds."""
        return statistics.mean(self.values)

    @property
    def deviation(self) -> float:
        """The standard deviation over seeds."""
        return statistics.stdev(self.values) if len(self.values) > 1 else 0.0


@dataclass(frozen=True, slots=True)
class Table:
    """All rows of a study."""

    rows: list[Row]

    @property
    def epsilons(self) -> list[float | None]:
        """Every ε, in order."""
        return list(dict.fromkeys(row.epsilon for row in self.rows))

    def of(self, epsilon: float | None, way: str) -> Row:
        """Return one row."""
        return next(row for row in self.rows if (row.epsilon, row.way) == (epsilon, way))


def answer(name: str, table: Table) -> Answer:
    """Return a study's table of means and deviations."""
    rows = [
        (_epsilon(epsilon), *(_figure(table.of(epsilon, way)) for way in WAYS))
        for epsilon in table.epsilons
    ]
    title = f"{_TITLES[name]}; AUC, mean ± sd over {len(table.rows[0].values)} seeds"
    return Answer(("ε", *WAYS), rows, title=title)


def plot(found: Mapping[str, Table], path: Path) -> None:
    """Draw each study's AUC over ε; the same figures, the same bytes."""
    import matplotlib as mpl

    mpl.use("svg")
    from matplotlib import pyplot as plt

    mpl.rcParams.update({"svg.hashsalt": "privacy-utility", "font.size": 9})
    figure, axes = plt.subplots(
        1, len(found), figsize=(4.5 * len(found), 3.4), squeeze=False, layout="constrained"
    )
    for panel, (name, table) in zip(axes[0], found.items(), strict=True):
        places = range(len(table.epsilons))
        for way in WAYS:
            rows = [table.of(epsilon, way) for epsilon in table.epsilons]
            panel.errorbar(
                places,
                [row.mean for row in rows],
                [row.deviation for row in rows],
                label=way,
                color=_COLOURS[way],
                capsize=3,
                marker="o",
                markersize=3,
            )
        panel.set_xticks(list(places), [_epsilon(epsilon) for epsilon in table.epsilons])
        panel.set(xlabel="ε", ylabel="AUC, patients held out", title=name)
        panel.legend(loc="lower right")
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


_ABOUT: Final = f"""\
# What privacy costs a model

Written by `python bench/privacy_utility.py --heart DIR --docs`: AUC on held-out patients at ε = 1, 3 and 8 and
without privacy (δ = 10⁻⁵, the patient is the unit), for all patients in one place, for each hospital alone, and
for the federation.

- ε is the whole of what a patient spends, in each of the three ways. Each hospital's noise is its own and full:
  nothing is taken off for being one of several.
- *Central* is a model of all patients in one place; *alone* is the mean over hospitals of what a model of that
  hospital's patients is worth to everybody's; *federated* is FedAvg over {ROUNDS} rounds.
- The model is the agreement's, a linear one. All is trained by the code that trains for real, in one process.
- **Terms were chosen without a look at any patient**: on hospitals of the same sizes whose patients do not exist,
  made from the agreement's data contract (`rehearse --synthetic`), for each ε and way apart. So choosing costs no ε,
  and no held-out patient was seen before the figures below. Tried were {TRIED} combinations of steps {STEPS},
  sampling rates {RATES}, clips {CLIPS} and rates {ETAS}.
- A seed decides who is held out, a fifth of the patients, and the noise. Mean ± standard deviation over seeds.

![AUC by ε](privacy_utility.svg)
"""  # noqa: E501 - lines of the page


_CAVEAT: Final = """\
- Terms that are good for patients who do not exist are not the best for those who do. For hospitals alone, of which the
  smallest have 46 and 57 patients, they are sometimes poor, so that an AUC at ε = 3 can be below that at ε = 1.
  Choosing on real patients would give better figures and cost an ε of its own for each try.
"""  # noqa: E501 - lines of the page
_NEAR: Final = 0.01


def verdicts(found: Mapping[str, Table]) -> Iterator[tuple[str, bool]]:
    """Yield what the figures are said to show, and whether they do."""
    tables = found.values()

    def everywhere(holds: Callable[[Table, float | None], bool], least: float) -> bool:
        return all(holds(t, e) for t in tables for e in t.epsilons if e is None or e >= least)

    yield (
        "At every ε the federation is worth more than a hospital alone.",
        everywhere(lambda t, e: t.of(e, "federated").mean > t.of(e, "alone").mean, 0),
    )
    yield (
        f"From ε = 3 on it is within {_NEAR:g} of a model of all patients in one place.",
        everywhere(lambda t, e: t.of(e, "federated").mean > t.of(e, "central").mean - _NEAR, 3),
    )
    yield (
        f"From ε = 3 on it is within {_NEAR:g} of itself without privacy.",
        everywhere(
            lambda t, e: t.of(e, "federated").mean > t.of(None, "federated").mean - _NEAR, 3
        ),
    )


def write(found: Mapping[str, Table], path: Path) -> None:
    """Write the page's part."""
    put(path, "utility", "bench/privacy_utility.py", _page(found))


def _page(found: Mapping[str, Table]) -> Iterator[str]:
    yield from _ABOUT.splitlines()
    for name, table in found.items():
        yield from ("", f"## {_TITLES[name]}", "", *markdown(answer(name, table)), "")
        yield from (*_loss(table), "", "What was chosen on invented patients:", "")
        yield from markdown(_choices(table))
    yield from ("", "## What follows", "")
    for said, holds in verdicts(found):
        yield f"- {'Holds' if holds else 'Does not hold'}: {said}"
    yield from (*_CAVEAT.splitlines(), "")


def _loss(table: Table) -> Iterator[str]:
    """Say what the least ε costs each way."""
    least = min(epsilon for epsilon in table.epsilons if epsilon)
    costs = {way: table.of(None, way).mean - table.of(least, way).mean for way in WAYS}
    yield (
        f"ε = {least:g} costs the federation {costs['federated']:.3f} of AUC, a hospital alone "
        f"{costs['alone']:.3f}, and {costs['central']:.3f} where all patients are in one place."
    )


def _choices(table: Table) -> Answer:
    rows = [
        (_epsilon(epsilon), *(table.of(epsilon, way).choice.text() for way in WAYS))
        for epsilon in table.epsilons
    ]
    return Answer(("ε", *WAYS), rows)


def _epsilon(value: float | None) -> str:
    return "∞" if value is None else f"{value:g}"


def _figure(row: Row) -> str:
    return f"{row.mean:.3f} ± {row.deviation:.3f}"
