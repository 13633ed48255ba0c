"""One federation after another, as `concilium-coordinator rehearse` runs it; each is kept."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from digits import hospitals

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

ROUNDS: Final = 40
MUS: Final = (0.0, 0.01, 0.1, 1.0)
STRATEGIES: Final = ("fedavg", "scaffold")
PARTS: Final = ("dirichlet", "fedprox", "iid")
_GAINED: Final = (0, 1)  # 1: federation gained nothing over training alone, which is a result


@dataclass(frozen=True, slots=True)
class Run:
    """One federation: how the images are dealt, by which seed, and the strategy's terms."""

    split: str
    seed: int
    strategy: str
    rounds: int
    mu: float | None = None

    @property
    def name(self) -> str:
        """What its file is called."""
        mu = "" if self.mu is None else f"-{self.mu:g}"
        return f"{self.split}-{self.seed}-{self.strategy}{mu}"

    @property
    def agreement(self) -> str:
        """Its agreement's text."""
        terms: dict[str, Any] = {"name": self.strategy}
        if self.mu is not None:
            terms["mu"] = self.mu
        return hospitals.agreement(terms, rounds=self.rounds)

    @property
    def terms(self) -> str:
        """The digest of its agreement: a result under other terms is not this run's."""
        return hashlib.sha256(self.agreement.encode()).hexdigest()


def planned(seeds: Sequence[int], parts: Sequence[str]) -> Iterator[Run]:
    """Yield every run of these parts, seed by seed."""
    for seed in seeds:
        if "dirichlet" in parts:
            yield from (Run("dirichlet", seed, name, ROUNDS) for name in STRATEGIES)
        if "fedprox" in parts:
            yield from (Run("dirichlet", seed, "fedprox", 1, mu) for mu in MUS)
        if "iid" in parts:
            yield from (Run("iid", seed, name, ROUNDS) for name in STRATEGIES)


def result(run: Run, work: Path) -> Mapping[str, Any] | None:
    """Return what a run came to, if it was run under these very terms; else None."""
    kept = work / f"{run.name}.json"
    if not kept.exists():
        return None
    said: dict[str, Any] = json.loads(kept.read_text(encoding="utf-8"))
    return said if said["terms"] == run.terms else None


def rehearse(run: Run, work: Path) -> Mapping[str, Any]:
    """Run a federation of ten hospitals to its end and keep what it came to.

    Raises:
        SystemExit: The rehearsal failed; its last words are said.
    """
    folder = work / run.name
    hospitals.write(folder / "sites", split=run.split, seed=run.seed)
    agreement = folder / "agreement.yaml"
    agreement.write_text(run.agreement, encoding="utf-8")
    program = Path(sys.executable).parent / "concilium-coordinator"
    out = folder / "out"
    shutil.rmtree(out, ignore_errors=True)
    command = [str(program), "rehearse", str(agreement), "--out", str(out)]
    command += ["--seed", str(run.seed)]
    began = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode not in _GAINED:
        raise SystemExit(f"{run.name}: {done.stderr.strip()[-2000:]}")
    summary = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    said = {
        "terms": run.terms,
        "seconds": round(time.monotonic() - began, 1),
        "accuracy": _by_round(summary),
        "final": summary["pooled"]["accuracy_global"],
        "central": summary["pooled"]["accuracy_central"],
        "drift": summary["pooled"]["drift"],
        "verified": summary["ledger"]["verified"] and summary["ledger"]["proven"],
    }
    (work / f"{run.name}.json").write_text(json.dumps(said, indent=1), encoding="utf-8")
    return said


def _by_round(summary: Mapping[str, Any]) -> list[float]:
    """Return the pooled accuracy of each round's model, as the sites' figures come to."""
    closed = [row for row in summary["rounds"] if row["state"] == "closed"]
    return [row["quality"]["accuracy"] for row in closed]
