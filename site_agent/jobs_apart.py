"""What an administrator's own verbs ask of a confined worker, as values that fit into JSON."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class ScoreJob:
    """Score records with a model; all files lie in the folder that the worker may write.

    Args:
        document: The agreement's canonical bytes.
        model: Safetensors.
        records: `.npz` of the model's inputs (`features`), and whose they are.
        out: Where the scores go, `.npy`.
        threads: At most so many.
        wheels: The folder of approved wheels.
    """

    document: Path
    model: Path
    records: Path
    out: Path
    threads: int
    wheels: Path

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON holds it."""
        paths = {
            name: str(getattr(self, name))
            for name in ("document", "model", "records", "out", "wheels")
        }
        return {**paths, "threads": self.threads}

    @classmethod
    def from_json(cls, said: Mapping[str, Any]) -> Self:
        """Read what `to_json` returns."""
        paths = {name: Path(said[name]) for name in said if name != "threads"}
        return cls(**paths, threads=int(said["threads"]))


@dataclass(frozen=True, slots=True)
class CompareJob:
    """Compare a rehearsal's models; `cohorts` are what `jobs.cohort_spec` returns, by site."""

    document: Path
    cohorts: Mapping[str, Mapping[str, Any]]
    model: Path
    scales: Path | None
    seed: int | None
    threads: int
    out: Path
    wheels: Path

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON holds it."""
        return {
            "document": str(self.document),
            "cohorts": {name: dict(spec) for name, spec in self.cohorts.items()},
            "model": str(self.model),
            "scales": None if self.scales is None else str(self.scales),
            "seed": self.seed,
            "threads": self.threads,
            "out": str(self.out),
            "wheels": str(self.wheels),
        }

    @classmethod
    def from_json(cls, said: Mapping[str, Any]) -> Self:
        """Read what `to_json` returns."""
        paths = {name: Path(said[name]) for name in ("document", "model", "out", "wheels")}
        scales = None if said["scales"] is None else Path(said["scales"])
        return cls(**{**said, **paths, "scales": scales})


@dataclass(frozen=True, slots=True)
class AuditJob:
    """Train with canaries, with the agreement's noise or without it.

    `cohort` is what `jobs.cohort_spec` returns, None for patients who do not exist; `rounds`
    None for all of the schedule.
    """

    document: Path
    cohort: Mapping[str, Any] | None
    rounds: int | None
    noise: bool
    wheels: Path

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON holds it."""
        return {
            "document": str(self.document),
            "cohort": None if self.cohort is None else dict(self.cohort),
            "rounds": self.rounds,
            "noise": self.noise,
            "wheels": str(self.wheels),
        }

    @classmethod
    def from_json(cls, said: Mapping[str, Any]) -> Self:
        """Read what `to_json` returns."""
        paths = {name: Path(said[name]) for name in ("document", "wheels")}
        return cls(**{**said, **paths})
