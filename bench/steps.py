"""What a private step costs beside a plain one: ours, Opacus's hooks, and its ghost clipping.

    python bench/steps.py [--steps 200] [--out build/bench.json]

The reference of each step is one of plain SGD on a batch as large. Ours draws its batch, clips
in Opacus's hooks, and makes its noise of a keystream in float64; Opacus's own steps are given
the same batch each time and draw nothing. A task in the agent's worker is held against a bare
script's loop of Opacus for as many steps on as many patients, who are drawn as Opacus's pages
show it: reading the cohort, files and the pipe are what only the task does.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import warnings
from dataclasses import dataclass, replace
from itertools import chain, islice, pairwise, repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from cohorts import DEMO
from logs.figures import fastest, lasting, options, parsed, tell
from logs.pages import markdown, put
from opacus import PrivacyEngine
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from governance import models, tensors
from governance.settings import Resources, load_site
from governance.terminal import Answer
from site_agent import training
from site_agent.dpsgd import Mechanism, Patients, PrivateSteps
from site_agent.jobs import TrainJob, cohort_spec
from site_agent.worker import Worker

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator

HERE: Final = Path(__file__).resolve().parent.parent
BENCH: Final = "steps"
INPUTS: Final = 30
RATE: Final = 0.2
CASES: Final = (((), 64), ((), 512), ((256, 128), 64), ((256, 128), 512))
"""Hidden units by layer, and how large a batch is."""


def main() -> int:
    given = asked()
    torch.set_num_threads(1)
    figures = [
        figure for hidden, batch in CASES for figure in of_case(hidden, batch, given.steps)
    ]
    figures.append(worker(given.steps * 5))
    tell("Steps of DP-SGD", given.out, figures)
    if given.docs:
        put(HERE / "docs" / "privacy_utility.md", "steps", "bench/steps.py", page(figures))
    return 0


def asked() -> argparse.Namespace:
    parser = options(__doc__)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument(
        "--docs", action="store_true", help="write into docs/privacy_utility.md"
    )
    return parsed(parser)


ABOUT: Final = """\
## What a private step costs in time

`python bench/steps.py --docs`, one thread. A plain step is one of SGD without privacy on a batch as large. Opacus's own
steps get the same batch each time; ours draws its patients anew and makes its noise of a keystream in float64, which is
what it takes longer. Ghost clipping needs two backward passes and no gradient of each patient: on small models it gains
nothing, on large ones much. The last row is a task in the agent's worker, from its question to its answer, beside a bare
script's loop of Opacus that draws as many patients by Opacus's own loader.
"""  # noqa: E501 - lines of the page


def page(figures: list[dict[str, Any]]) -> Iterator[str]:
    """Yield the section of docs/privacy_utility.md."""
    rows = [
        (
            figure["case"],
            figure["figure"],
            f"{figure['value']:.2f} ms",
            f"{figure['reference']:.2f} ms",
            f"{figure['ratio']:.1f}",
        )
        for figure in figures
    ]
    columns = ("model and batch", "what", "takes", "beside", "ratio")
    yield from (*ABOUT.splitlines(), "", *markdown(Answer(columns, rows)), "")


@dataclass(frozen=True)
class Batch:
    """A batch, and a model made anew for each measurement."""

    hidden: tuple[int, ...]
    features: torch.Tensor
    target: torch.Tensor

    def model(self) -> nn.Module:
        """Return the model with the same first weights."""
        torch.manual_seed(1)
        widths = (INPUTS, *self.hidden)
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [nn.Linear(before, after), nn.Tanh()]
        return nn.Sequential(*layers, nn.Linear(widths[-1], 1))


def of_case(hidden: tuple[int, ...], size: int, steps: int) -> list[dict[str, Any]]:
    """Measure each kind of step beside the plain one."""
    draws = np.random.default_rng(1)
    features = draws.normal(size=(size, INPUTS)).astype(np.float32)
    target = (draws.random(size) < 0.5).astype(np.float32)
    batch = Batch(hidden, torch.from_numpy(features), torch.from_numpy(target))
    plain = fastest(plainly(batch, steps))
    kinds = {
        "ours": ours(batch, steps),
        "Opacus, hooks": opacus(batch, steps, "hooks"),
        "Opacus, ghost clipping": opacus(batch, steps, "ghost"),
    }
    case = f"{'-'.join(map(str, (INPUTS, *hidden, 1)))}, batch {size}"
    return [
        lasting(BENCH, case, f"a step: {name}", steps, (fastest(doing), plain))
        for name, doing in kinds.items()
    ]


def plainly(batch: Batch, steps: int) -> Callable[[], None]:
    """Return what takes plain steps."""
    model = batch.model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    def doing() -> None:
        for _ in range(steps):
            optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward(loss(model(batch.features), batch.target))
            optimizer.step()

    return doing


def ours(batch: Batch, steps: int) -> Callable[[], None]:
    """Return what takes our steps on as many patients that the batch has its size."""
    times = round(1 / RATE)
    patients = Patients.of(
        np.tile(batch.features.numpy(), (times, 1)),
        np.tile(batch.target.numpy(), times),
        np.arange(times * len(batch.target)),
    )
    model = batch.model()
    private = PrivateSteps(
        model,
        torch.optim.SGD(model.parameters(), lr=0.1),
        training.LOSS["binary"],
        Mechanism(RATE, 1.0, 1.0, float(len(batch.target))),
        training.keystream(1),
    )

    def doing() -> None:
        for _ in range(steps):
            private.step(patients, lambda _: None)

    return doing


def opacus(batch: Batch, steps: int, mode: str) -> Callable[[], None]:
    """Return what takes Opacus's steps as its pages show them."""
    model = batch.model()
    data = DataLoader(TensorDataset(batch.features, batch.target), batch_size=len(batch.target))
    criterion = nn.BCEWithLogitsLoss()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = PrivacyEngine().make_private(
            module=model,
            optimizer=torch.optim.SGD(model.parameters(), lr=0.1),
            data_loader=data,
            noise_multiplier=1.0,
            max_grad_norm=1.0,
            criterion=criterion,
            grad_sample_mode=mode,
        )
    private, optimizer = made[0], made[1]
    told = made[2] if mode == "ghost" else criterion

    def doing() -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for _ in range(steps):
                optimizer.zero_grad()
                told(private(batch.features)[:, 0], batch.target).backward()
                optimizer.step()

    return doing


def loss(outputs: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return nn.functional.binary_cross_entropy_with_logits(outputs[:, 0], target)


def worker(steps: int) -> dict[str, Any]:
    """Measure a task of the demonstration in the agent's worker beside a bare script's loop."""
    with tempfile.TemporaryDirectory(prefix="steps-") as name:
        job, patients = task(Path(name), steps)
        seconds = asyncio.run(in_worker(job))
        bare = fastest(script(patients, steps))
    case = f"{INPUTS}-1, batch {round(RATE * patients)}, {steps} steps"
    return lasting(BENCH, case, "a step of a task in the worker", steps, (seconds, bare))


def script(patients: int, steps: int) -> Callable[[], None]:
    """Return what takes as many steps of a script that is written as Opacus's pages show it."""
    draws = np.random.default_rng(1)
    data = TensorDataset(
        torch.from_numpy(draws.normal(size=(patients, INPUTS)).astype(np.float32)),
        torch.from_numpy((draws.random(patients) < 0.5).astype(np.float32)),
    )
    model = nn.Linear(INPUTS, 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        private, optimizer, loader = PrivacyEngine().make_private(
            module=model,
            optimizer=torch.optim.SGD(model.parameters(), lr=0.1),
            data_loader=DataLoader(data, batch_size=round(RATE * patients)),
            noise_multiplier=1.0,
            max_grad_norm=1.0,
        )

    def doing() -> None:
        batches = chain.from_iterable(repeat(loader))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for features, target in islice(batches, steps):
                optimizer.zero_grad()
                loss(private(features), target).backward()
                optimizer.step()

    return doing


def task(folder: Path, steps: int) -> tuple[TrainJob, int]:
    """Return a task of one of the demonstration's hospitals, and how many it trains on."""
    document = DEMO.document
    said = document.raw.replace(b'"steps":10', b'"steps":%d' % steps)
    (folder / "agreement.json").write_bytes(said)
    (folder / "secret").write_bytes(bytes(32))
    model = tensors.write(models.initial_state(document.agreement), folder)
    (folder / "out").mkdir()
    site = load_site(DEMO.sites(folder) / "north-general" / "site.yaml")
    (cohort,) = site.cohorts.values()
    job = TrainJob(
        document=folder / "agreement.json",
        cohort=cohort_spec(cohort, secret=folder / "secret"),
        model=tensors.path_of(folder, model.digest),
        state=None,
        control=None,
        out=folder / "out",
        declared_patients=190,
        noise_seed=None,
        threads=1,
    )
    return job, round(0.8 * 190)


async def in_worker(job: TrainJob) -> float:
    """Return the seconds of a task after a first one, in a worker that is warm."""
    made = Worker(Resources(threads=1))
    await made.start()
    try:
        await made.train(job, lambda _: None)
        loop = asyncio.get_running_loop()
        begun = loop.time()
        done = await made.train(replace(job), lambda _: None)
        if done.steps < 1:
            sys.exit("the worker took no step")
        return loop.time() - begun
    finally:
        await made.stop()


if __name__ == "__main__":
    sys.exit(main())
