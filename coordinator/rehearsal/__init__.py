"""`rehearse`: the whole federation on one machine, as real processes over real TLS.

Nothing is bypassed: the programs are started by their command lines, on files as people write
them; keys, tokens, certificates, consents and the ledger are what they always are. Only two
things are a rehearsal's alone: training alone and centrally for comparison, and scores of every
hospital side by side.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from coordinator.console import open_console
from coordinator.rehearsal import acts, cast, finale, place
from coordinator.rehearsal.progress import Progress
from coordinator.rehearsal.stage import Stage
from governance import terminal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from coordinator.rehearsal.synthetic import Invention

__all__ = ["rehearse"]


def rehearse(
    agreement: Path,
    *,
    sites: Path | Invention | None,
    out: Path,
    seed: int | None,
    replaces: bool,
    wheel: Path | None = None,
) -> int:
    """Run a rehearsal and return the exit code: 0, or 1 when federation gains nothing.

    Args:
        agreement: The agreement's YAML file.
        sites: One folder a site, with site.yaml and its data; default: beside the agreement. Or
            how hospitals and patients are to be invented.
        out: The folder that it leaves everything in, in place of an unfinished rehearsal's.
        seed: Fixes noise, sampling and held-out patients (Unsafe), so that the same model comes
            out twice; None for real noise.
        wheel: The file of the agreement's model, where its code is a wheel's.
        replaces: Whether a finished rehearsal in the folder is replaced, too.

    Raises:
        Refused: a file is missing or wrong, or a program gave up.
    """
    try:
        return _rehearsed(agreement, sites, out, seed=seed, replaces=replaces, wheel=wheel)
    except KeyboardInterrupt:
        if not place.unfinished(out):
            raise
        terminal.interrupted(
            f"interrupted; every program of the rehearsal has ended, what it left is in {out}",
            todo="The same command begins it anew, in the same folder.",
        )


def _rehearsed(
    agreement: Path,
    sites: Path | Invention | None,
    out: Path,
    *,
    seed: int | None,
    replaces: bool,
    wheel: Path | None,
) -> int:
    began = time.monotonic()
    where = sites or agreement.parent / "sites"
    roles = cast.prepare(agreement, where, out, seed=seed, replaces=replaces, wheel=wheel)
    stage = Stage()
    with Progress(roles.document) as progress:
        for sentence in _about(roles):
            progress.step(sentence)
        try:
            acts.found(roles, stage, progress)
            acts.enrol(roles, progress)
            acts.consent(roles, stage, progress)
            with open_console(roles.coordinator, None) as console:
                rounds = acts.train(stage, progress, console)
            acts.let_finish(roles, stage, progress)
        finally:
            stage.leave()
        progress.step("Scoring naive, alone, federated, central; exporting and verifying")
        result = finale.conclude(roles, rounds)
    seconds = time.monotonic() - began
    finale.show(roles, result, seconds=seconds, ended=datetime.now(UTC))
    return 0 if result.gains else 1


def _about(roles: cast.Cast) -> Iterator[str]:
    """Say of invented hospitals that they are, and what of the agreement they leave aside."""
    if not roles.synthetic:
        return
    where = roles.out / cast.SYNTHETIC
    yield f"Synthetic: {len(roles.names)} invented hospitals, their files in {where}"
    if roles.set_aside:
        yield f"Set aside, since it binds real hospitals alone: {', '.join(roles.set_aside)}"
