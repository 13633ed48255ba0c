"""The study as tables, as a plot, and as a section of docs/studies.md."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Final

from digits.rehearsals import MUS, ROUNDS, STRATEGIES
from digits.study import TARGET, rounds_to
from governance.terminal import Answer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from digits.study import Study

BEGIN: Final = "<!-- strategies: written by bench/strategies.py -->"
END: Final = "<!-- strategies: end -->"
_NAMES: Final = {"fedavg": "FedAvg", "scaffold": "SCAFFOLD"}
_COLOURS: Final = {"fedavg": "#b35806", "scaffold": "#2166ac"}
_HEAD: Final = (
    "seed", f"FedAvg to {TARGET}", f"SCAFFOLD to {TARGET}", "ratio", "FedAvg ends",
    "SCAFFOLD ends", "central",
)  # fmt: skip


def tables(study: Study) -> Iterator[Answer]:
    """Yield a table for each part of the study that has been run."""
    if study.unlike:
        title = f"Dirichlet 0.1: rounds to {TARGET}, and accuracy after {ROUNDS} rounds"
        yield Answer(_HEAD, [*_unlike(study)], title=title)
    if study.alike:
        title = f"IID: accuracy after {ROUNDS} rounds"
        yield Answer(
            ("seed", *(_NAMES[name] for name in STRATEGIES)), [*_alike(study)], title=title
        )
    if study.prox:
        title = "FedProx on Dirichlet 0.1: root mean square of ‖y_i − x‖ in round 1"
        yield Answer(("seed", *(f"μ = {mu:g}" for mu in MUS)), [*_prox(study)], title=title)


def _unlike(study: Study) -> Iterator[tuple[object, ...]]:
    for seed, runs in study.unlike.items():
        took = [rounds_to(runs[name]) for name in STRATEGIES]
        ends = [f"{runs[name]['final']:.4f}" for name in STRATEGIES]
        central = statistics.mean(runs[name]["central"] for name in STRATEGIES)
        shown = [f">{ROUNDS}" if n > ROUNDS else n for n in took]
        yield (seed, *shown, f"{took[1] / took[0]:.2f}", *ends, f"{central:.4f}")
    means = [study.rounds(name) for name in STRATEGIES]
    ends = [f"{study.ends(name):.4f}" for name in STRATEGIES]
    yield ("mean", *(f"{n:.1f}" for n in means), f"{means[1] / means[0]:.2f}", *ends, "")


def _alike(study: Study) -> Iterator[tuple[object, ...]]:
    for seed, runs in study.alike.items():
        yield (seed, *(f"{runs[name]['final']:.4f}" for name in STRATEGIES))
    yield ("mean", *(f"{study.ends(name, alike=True):.4f}" for name in STRATEGIES))


def _prox(study: Study) -> Iterator[tuple[object, ...]]:
    for seed, runs in study.prox.items():
        yield (seed, *(f"{runs[mu]['drift']:.3f}" for mu in MUS))
    yield ("mean", *(f"{study.drift(mu):.3f}" for mu in MUS))


def plot(study: Study, path: Path) -> None:
    """Draw accuracy by round, and FedProx's drift by μ; the same study, the same bytes."""
    import matplotlib as mpl

    mpl.use("svg")
    from matplotlib import pyplot as plt

    mpl.rcParams.update({"svg.hashsalt": "strategies", "font.size": 9})
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(9, 3.6), width_ratios=(3, 1), layout="constrained"
    )
    for name in STRATEGIES:
        _courses(left, [run[name]["accuracy"] for run in study.unlike.values()], name, "-")
        _courses(left, [run[name]["accuracy"] for run in study.alike.values()], name, ":")
    left.axhline(TARGET, color="#888888", linewidth=0.8)
    left.set(xlabel="round", ylabel="accuracy on all held-out images", ylim=(0.5, 1.0))
    left.legend(loc="lower right")
    if study.prox:
        right.bar([f"{mu:g}" for mu in MUS], [study.drift(mu) for mu in MUS], color="#5aae61")
    right.set(xlabel="FedProx's μ", ylabel="rms ‖y_i − x‖ in round 1")
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def _courses(axes: object, courses: Sequence[Sequence[float]], name: str, style: str) -> None:
    """Draw each split's course faintly, and the mean of all."""
    if not courses:
        return
    draw = axes.plot  # type: ignore[attr-defined]  # matplotlib's axes
    rounds = range(1, len(courses[0]) + 1)
    for course in courses:
        draw(rounds, course, color=_COLOURS[name], alpha=0.2, linewidth=0.8, linestyle=style)
    mean = [statistics.mean(values) for values in zip(*courses, strict=True)]
    split = "Dirichlet 0.1" if style == "-" else "IID"
    label = f"{_NAMES[name]}, {split} (mean of {len(courses)})"
    draw(rounds, mean, color=_COLOURS[name], linewidth=1.8, linestyle=style, label=label)


def write_section(study: Study, path: Path) -> None:
    """Put the study's section into a page, in the place of an earlier one, or at its end."""
    text = path.read_text(encoding="utf-8") if path.exists() else "# Studies\n"
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2].lstrip("\n")
    made = "\n".join([BEGIN, *_section(study), END, ""])
    path.write_text("\n".join(p for p in (before.rstrip() + "\n", made, after) if p), "utf-8")


_ABOUT: Final = f"""\
## Strategies: hospitals that see different labels

`python bench/strategies.py` deals scikit-learn's 1,797 handwritten digits to ten hospitals and
runs whole rehearsals: real processes, real TLS, a ledger that is verified at the end. Softmax
regression (`model: linear` with a target of `kind: category`), 50 local steps of batch 16 at
rate 0.5, equal weights, no privacy, {ROUNDS} rounds. With Dirichlet 0.1 most hospitals see few
labels; IID deals at random. A fifth of each hospital's images is held out, and the accuracy is
that of all of them together; of a model in the course of training it is what the hospitals'
figures in the ledger come to. FedProx's drift is told by the rehearsal's comparison, which does
each hospital's first task again, in the same batches for every μ. `--seeds 1` is a short run;
what has run is kept in `build/strategies` and not run again.

![Accuracy by round, and drift by μ](strategies.svg)
"""


def _section(study: Study) -> Iterator[str]:
    yield from _ABOUT.splitlines()
    for answer in tables(study):
        yield from ("", f"{answer.title}:", "")
        yield f"| {' | '.join(answer.columns)} |"
        yield f"|{'---|' * len(answer.columns)}"
        yield from (f"| {' | '.join(map(str, row))} |" for row in answer.rows)
    yield ""
    for said, holds in study.verdicts():
        yield f"- {'Holds' if holds else 'Does not hold'}: {said}."
    yield ""
