"""Quality against bytes: what compression of updates costs a study of scikit-learn's digits.

    python bench/compression.py [--seeds 1 2 3] [--rounds 800] [--out build/bench.json]

Five hospitals with like shares of 1,797 images, a network with 64 hidden units (4,810 numbers),
five local steps of batch 32 at rate 0.1, no privacy; a fifth of the images is held out. Steps
are `site_agent.training.fit`, what is sent and left `governance.compression`, the sum and the
strategy's rule the coordinator's. Bytes are those of the files that a hospital sends. With and
without error feedback, under the very same terms but for compression. The figures are appended
to a JSON list of {bench, case, figure, unit, value, reference, ratio}; exits 1 where random-k
loses more than half a point at forty times fewer bytes.
"""

from __future__ import annotations

import argparse
import hashlib
import statistics
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from digits import hospitals
from logs.figures import figure_of, keep, options, parsed

from coordinator.strategies.fedavg import FedAvg
from governance import models, tensors
from governance.agreement.load import load
from governance.agreement.meaning_compression import sent_bytes
from governance.agreement.schema import Agreement
from governance.compression.feedback import Limits, send_chosen
from governance.compression.form import (
    PACKED,
    Form,
    Packed,
    PackedMean,
    Spread,
    form_of,
    to_words,
)
from governance.privacy.mechanisms import Keystream
from governance.terminal import Answer, Format, say, tell
from site_agent import training
from site_agent.dpsgd import Patients

KEEP = 0.02
SITES = 5
LOST_AT_MOST = 0.5
FEWER_AT_LEAST = 40.0
HELD_OUT = 0.2


@dataclass(frozen=True)
class Way:
    """How updates are sent."""

    name: str
    compression: dict[str, Any]
    feedback: bool = True


WAYS = (
    Way("whole", {"name": "none"}),
    Way("random-k 0.02", {"name": "random-k", "keep": KEEP}),
    Way(
        "random-k 0.02, what is left thrown away",
        {"name": "random-k", "keep": KEEP},
        feedback=False,
    ),
)


@dataclass(frozen=True)
class Study:
    """The hospitals' images and those held out."""

    sites: list[Patients]
    images: torch.Tensor
    labels: torch.Tensor


def main() -> int:
    given = asked()
    torch.set_num_threads(1)
    found: dict[str, list[float]] = {}
    for seed in given.seeds:
        study = dealt(seed)
        for way in WAYS:
            last = accuracy(way, study, seed=seed, rounds=given.rounds)
            found.setdefault(way.name, []).append(last)
            tell(f"seed {seed}, {way.name}: {last:.2f} %")
    sizes = {way.name: sent_bytes(agreement(way, given.rounds)) for way in WAYS}
    whole, small = WAYS[0].name, WAYS[1].name
    means = {name: statistics.mean(each) for name, each in found.items()}
    rows = [
        (name, *(f"{one:.2f}" for one in found[name]), f"{means[name]:.2f}", sizes[name],
         f"{sizes[whole] / sizes[name]:.1f}")
        for name in found
    ]  # fmt: skip
    columns = ("updates", *(f"seed {seed}" for seed in given.seeds), "mean", "bytes", "fewer")
    title = f"Accuracy in % on held-out digits after {given.rounds} rounds"
    say(Answer(columns, rows, title=title), Format.TABLE)
    record(given.out, means, sizes)
    lost, fewer = means[whole] - means[small], sizes[whole] / sizes[small]
    tell(f"{small}: {lost:+.2f} points lost at {fewer:.1f} times fewer bytes")
    return 0 if lost <= LOST_AT_MOST and fewer >= FEWER_AT_LEAST else 1


def asked() -> argparse.Namespace:
    parser = options(__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--rounds", type=int, default=800)
    return parsed(parser)


def agreement(way: Way, rounds: int) -> Agreement:
    """Return the agreement of a way: that of the digits' study, with another model."""
    said = yaml.safe_load(hospitals.agreement({"name": "fedavg"}, rounds=rounds))
    said["sites"] = {"roster": list(hospitals.SITES[:SITES]), "ready_at_least": SITES}
    said["sites"]["close_at_least"] = SITES
    said["model"] = {"name": "mlp", "hidden": [64], "norm": "none", "seed": 1}
    said["round"]["local"] = {"steps": 5, "batch": 32}
    said["optimizer"]["rate"] = 0.1
    said["aggregation"]["compression"] = way.compression
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "agreement.yaml"
        path.write_text(yaml.safe_dump(said), encoding="utf-8")
        return load(path).agreement


def dealt(seed: int) -> Study:
    """Deal the images to the hospitals at random, and hold a fifth of them out."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    features = torch.from_numpy((images / 16).astype(np.float32))
    target = torch.from_numpy(labels.astype(np.float32))
    order = np.random.default_rng(seed).permutation(len(labels))
    held, rest = np.split(order, [int(HELD_OUT * len(order))])
    sites = [
        Patients.of(features[part].numpy(), target[part].numpy(), np.arange(len(part)))
        for part in np.array_split(rest, SITES)
    ]
    return Study(sites, features[held], target[held])


def accuracy(way: Way, study: Study, *, seed: int, rounds: int) -> float:
    """Train a federation to its end and return its accuracy on the held-out images, in %."""
    terms = agreement(way, rounds)
    form, local = form_of(terms), training.terms_of(terms, 280)
    model = models.build(terms)
    x = {n: p.clone().numpy() for n, p in training.parameters(model).items()}
    left = [np.zeros(sum(v.size for v in x.values()), np.float32) for _ in study.sites]
    for round_ in range(1, rounds + 1):
        deltas = []
        for number, patients in enumerate(study.sites):
            model.load_state_dict({n: torch.from_numpy(v.copy()) for n, v in x.items()})
            key = hashlib.sha256(f"{seed}/{number}/{round_}".encode()).digest()
            steps = (lambda _: None, lambda _: None)
            training.fit(model, patients, local, Keystream(key), *steps)
            y = training.parameters(model)
            deltas.append({n: y[n].numpy() - x[n] for n in x})
        x = summed(way, form, round_, x, deltas, left)
    model.load_state_dict({n: torch.from_numpy(v) for n, v in x.items()})
    with torch.no_grad():
        right = model(study.images).argmax(1) == study.labels
    return 100 * float(right.float().mean())


def summed(
    way: Way,
    form: Form | None,
    round_: int,
    x: dict[str, Any],
    deltas: list[dict[str, Any]],
    left: list[Any],
) -> dict[str, Any]:
    """Return the next model; what is left of each hospital's update is changed."""
    if form is None:
        each = [1] * len(deltas)
        return {
            n: FedAvg().model(v, (d[n] for d in deltas), each).astype(np.float32)
            for n, v in x.items()
        }
    at = form.at("digits", round_, tensors.Digest("0" * 64))
    assert at is not None
    updates = []
    for delta, rest in zip(deltas, left, strict=True):
        np.add(rest, np.concatenate([delta[n].reshape(-1) for n, _ in form.names]), out=rest)
        sent = send_chosen(rest, at, Limits())
        updates.append(Packed(form, {PACKED: to_words(form, {"y": sent})}))
        if not way.feedback:
            rest[:] = 0
    mean = PackedMean(Spread(form, at), updates, [1] * len(updates))
    return {
        n: (v + mean.piece(f"y/{n}", slice(0, v.size)).reshape(v.shape)).astype(np.float32)
        for n, v in x.items()
    }


def record(out: Path, means: dict[str, float], sizes: dict[str, int]) -> None:
    """Append the figures to the list of all benchmarks."""
    whole = WAYS[0].name
    for name, mean in means.items():
        accurate = figure_of("compression", name, "accuracy", "%", (mean, means[whole]))
        size = figure_of("compression", name, "update", "bytes", (sizes[name], sizes[whole]))
        keep(out, [accurate, size])


if __name__ == "__main__":
    sys.exit(main())
