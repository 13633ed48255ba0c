"""Updates become a candidate: checked one by one, then summed chunk by chunk from mapped files.

Memory holds one chunk in float64, whatever the number of sites and parameters.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np

from coordinator.strategies import STATE_PART, initial_state, server_rule
from governance.tensors import Writer, chunks, load, under_prefix
from protos.errors import Corrupt, Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from coordinator.strategies import Strategy
    from protos.words import BlobRef, SiteName

    Floats = NDArray[np.float32]
    Wide = NDArray[np.float64]
    Rule = Callable[[Floats, Iterator[Any]], Wide]
    Pieces = Callable[[str, slice], Iterator[Any]]
    """What all updates have of a tensor's part."""


class Pieced(Protocol):
    """A mean of updates that is read piece by piece: what masks hid, or what was compressed."""

    def piece(self, name: str, part: slice, /) -> Wide:
        """Return some coordinates of a tensor's mean: Δy weighted, Δc not."""


_SUMMED_BYTES: Final = 256 << 10
"""How much of each update is summed at once: what float64 sums of it fit a core's cache."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """The model that may become the global one, and the strategy's state that goes with it.

    `liars` are the sites that opened wrong shares of a masked sum.
    """

    model: BlobRef
    state: BlobRef | None
    liars: frozenset[str] = frozenset()


def weight(weighting: str, declared_patients: int) -> int:
    """Return what an update counts under `aggregation.weighting`: `declared` or `equal`."""
    return max(declared_patients, 1) if weighting == "declared" else 1


def aggregate(  # noqa: PLR0913 - what a sum is made of
    strategy: Strategy,
    model: Path,
    state: Path | None,
    updates: Mapping[SiteName, Path],
    weights: Mapping[SiteName, int],
    *,
    roster_size: int,
    out: Path,
) -> Candidate:
    """Sum updates by the strategy's rule and write the candidate's files into a folder.

    Args:
        strategy: The agreement's strategy.
        model: The global model x that the updates started from.
        state: The strategy's state, or None before the first round and for those without.
        updates: The checked update of each site that is in, at least one.
        weights: What each counts, an integer ≥ 1; see `weight`.
        roster_size: N, all sites of the agreement's roster, in this round or not.
        out: The folder of models.

    Raises:
        Refused: The result is not finite.
        Corrupt: The state does not fit the model.
        Unavailable: The disk is full.
    """
    sites = sorted(updates)
    n = [weights[site] for site in sites]
    deltas = [load(updates[site]) for site in sites]
    flats = {name: [delta[name].reshape(-1) for delta in deltas] for name in deltas[0]}

    def pieces(name: str, part: slice) -> Iterator[Floats]:
        return (flat[part] for flat in flats[name])

    share = len(sites) / roster_size
    return _candidate(strategy, (model, state), pieces, n=n, share=share, out=out)


def aggregate_mean(  # noqa: PLR0913 - what a sum is made of
    strategy: Strategy,
    model: Path,
    state: Path | None,
    mean: Pieced,
    *,
    share: float,
    norm_limits: Mapping[str, float],
    out: Path,
) -> Candidate:
    """Take the updates' mean by the strategy's rule.

    Args:
        strategy: The agreement's strategy.
        model: The global model x that the updates started from.
        state: The strategy's state, or None.
        mean: Of Δy weighted, of Δc not, by tensor and piece.
        share: How many of the roster's sites are in it.
        norm_limits: The largest norm of each part, which no honest mean passes.
        out: The folder of models.

    Raises:
        Refused: norm, or the result is not finite.
        Corrupt: The state does not fit the model.
        Unavailable: The disk is full.
    """
    shapes = {name: tensor.shape for name, tensor in load(model).items()}
    for prefix in server_rule(strategy).parts:
        names = {f"{prefix}/{name}": math.prod(shape) for name, shape in shapes.items()}
        squares = sum(
            float(np.square(mean.piece(name, part)).sum())
            for name, size in names.items()
            for part in chunks(size, size_bytes=_SUMMED_BYTES)
        )
        # Stops a site that masked for other peers, whose noise would become the model.
        if math.sqrt(squares) > norm_limits.get(prefix, math.inf):
            raise Refused("the sum of the updates is longer than any can be", rule="norm")

    def pieces(name: str, part: slice) -> Iterator[Wide]:
        yield mean.piece(name, part)

    return _candidate(strategy, (model, state), pieces, n=[1], share=share, out=out)


def _candidate(
    strategy: Strategy,
    before: tuple[Path, Path | None],
    pieces: Pieces,
    *,
    n: list[int],
    share: float,
    out: Path,
) -> Candidate:
    rule = server_rule(strategy)
    x = load(before[0])
    made = _sum(x, pieces, out, prefix="y/", rule=lambda x, dy: rule.model(x, dy, n))
    if STATE_PART not in rule.parts:
        return Candidate(made, None)
    c = _state(strategy, before[1], x)
    kept = _sum(c, pieces, out, prefix="", rule=lambda c, dc: rule.state(c, dc, share=share))
    return Candidate(made, kept)


def check_update(
    path: Path,
    shapes: Mapping[str, tuple[int, ...]],
    *,
    strategy: Strategy,
    norm_limits: Mapping[str, float] | None = None,
) -> None:
    """Check a site's update before a number of it is used.

    Args:
        path: The spooled file.
        shapes: The global model's shape by parameter name.
        strategy: The agreement's strategy.
        norm_limits: The largest Euclidean norm of each part, as `norm_limits` gives it.

    Raises:
        PeerFault: The file is no tensors.
        Refused: wrong-shape, not-finite or norm.
    """
    update = load(path)
    parts = server_rule(strategy).parts
    # 1. Just the model's parameters. Stops an update that the sum would read past or ignore.
    expected = {f"{part}/{name}": shape for part in parts for name, shape in shapes.items()}
    if {name: tensor.shape for name, tensor in update.items()} != expected:
        raise Refused("the update has not the model's shapes", rule="wrong-shape")
    for part in parts:
        # 2. Finite. Stops one NaN from making every site's model NaN.
        norm = math.sqrt(sum(map(_squares, under_prefix(part, update).values())))
        if not math.isfinite(norm):
            raise Refused("the update has numbers that are not finite", rule="not-finite")
        # 3. No longer than honest training makes it. Stops one site from outshouting all.
        limit = (norm_limits or {}).get(part, math.inf)
        if norm > limit:
            raise Refused(
                f"the update's norm is {norm:.3g}, but its training can make {limit:.3g}",
                rule="norm",
            )


def _sum(
    before: Mapping[str, Floats], pieces: Pieces, out: Path, *, prefix: str, rule: Rule
) -> BlobRef:
    """Write what the rule makes of each chunk of `before` and of the pieces of that name."""
    shapes = {name: tensor.shape for name, tensor in before.items()}
    with Writer(out, shapes) as writer:
        for name in writer.names:
            flat = before[name].reshape(-1)
            for part in chunks(flat.size, size_bytes=_SUMMED_BYTES):
                writer.append(_narrow(rule(flat[part], pieces(f"{prefix}{name}", part))))
        return writer.commit()


def _state(
    strategy: Strategy, state: Path | None, x: Mapping[str, Floats]
) -> dict[str, Floats]:
    """Return c by name, as it is before the first round when there is no file."""
    if state is None:
        return initial_state(strategy, x) or {}
    c = load(state)
    shapes = {f"{STATE_PART}/{name}": tensor.shape for name, tensor in x.items()}
    if {name: tensor.shape for name, tensor in c.items()} != shapes:
        raise Corrupt(
            "the strategy's state does not fit the model", where=str(state), rule="wrong-state"
        )
    return c


def _narrow(wide: Wide) -> Floats:
    with np.errstate(over="ignore"):
        narrow = wide.astype(np.float32)
    if not np.isfinite(narrow).all():
        raise Refused("the sum of the updates is not finite", rule="not-finite")
    return narrow


def _squares(tensor: Floats) -> float:
    """Return the sum of squares, in float64 where it does not fit float32."""
    flat, total = tensor.reshape(-1), 0.0
    for part in chunks(flat.size):
        with np.errstate(over="ignore", invalid="ignore"):
            square = float(np.dot(flat[part], flat[part]))
        if not math.isfinite(square):  # no finite float32 overflows the wider sum
            wide = flat[part].astype(np.float64)
            square = float(np.dot(wide, wide))
        total += square
    return total
