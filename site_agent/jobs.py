"""What an agent asks its worker for, and what comes back, as values that fit into JSON.

Known to both ends of the pipe; needs neither torch nor the hospital's data.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from governance import figures, noised, normalisation
from governance.noised import Noised
from protos.words import Digest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from governance.agreement.schema import Agreement
    from governance.figures import Figures
    from governance.settings import CohortSettings


@dataclass(frozen=True, slots=True)
class TrainJob:
    """Train one update.

    Args:
        document: The agreement's canonical bytes.
        cohort: What `cohort_spec` returns.
        model: The global model x, safetensors.
        state: The strategy's state from the coordinator (`c/…`), or none.
        control: This site's own control variate c_i (`c/…`), or none yet.
        out: The one folder that is written.
        declared_patients: Those of the consent, in tens; L = q × this.
        noise_seed: None, but where the agreement fixes the noise (Unsafe).
        threads: At most so many.
        wheels: The folder of approved wheels; none where the worker is not confined.
        scales: What quantities are normalised by, in place of the agreement's references.
        device: Where tensors lie and are computed on: cpu or cuda.
    """

    document: Path
    cohort: Mapping[str, Any]
    model: Path
    state: Path | None
    control: Path | None
    out: Path
    declared_patients: int
    noise_seed: int | None
    threads: int
    wheels: Path | None = None
    scales: Mapping[str, Any] | None = None
    device: str = "cpu"

    def normalised(self, agreement: Agreement) -> Agreement | None:
        """Return the agreement with these scales for its references; None without any."""
        return _normalised(agreement, self.scales)

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON holds it."""
        return {
            "document": str(self.document),
            "cohort": dict(self.cohort),
            "model": str(self.model),
            "state": _text(self.state),
            "control": _text(self.control),
            "out": str(self.out),
            "declared_patients": self.declared_patients,
            "noise_seed": self.noise_seed,
            "threads": self.threads,
            "wheels": _text(self.wheels),
            "scales": self.scales,
            "device": self.device,
        }

    @classmethod
    def from_json(cls, said: Mapping[str, Any]) -> Self:
        """Read what `to_json` returns."""
        paths = {name: Path(said[name]) for name in ("document", "model", "out")}
        may = {name: _path(said[name]) for name in ("state", "control", "wheels")}
        return cls(**{**said, **paths, **may})


@dataclass(frozen=True, slots=True)
class EvaluateJob:
    """Score a model on the held-out patients; the fields are `TrainJob`'s."""

    document: Path
    cohort: Mapping[str, Any]
    model: Path
    threads: int
    noise_seed: int | None = None
    wheels: Path | None = None
    scales: Mapping[str, Any] | None = None
    device: str = "cpu"

    def normalised(self, agreement: Agreement) -> Agreement | None:
        """As `TrainJob.normalised`."""
        return _normalised(agreement, self.scales)

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON holds it."""
        return {
            "document": str(self.document),
            "cohort": dict(self.cohort),
            "model": str(self.model),
            "threads": self.threads,
            "noise_seed": self.noise_seed,
            "wheels": _text(self.wheels),
            "scales": self.scales,
            "device": self.device,
        }

    @classmethod
    def from_json(cls, said: Mapping[str, Any]) -> Self:
        """Read what `to_json` returns."""
        paths = {name: Path(said[name]) for name in ("document", "model")}
        return cls(**{**said, **paths, "wheels": _path(said["wheels"])})


@dataclass(frozen=True, slots=True)
class MeasureJob:
    """Sum what quantities are to be normalised by; the fields are `TrainJob`'s."""

    document: Path
    cohort: Mapping[str, Any]
    threads: int
    noise_seed: int | None = None

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON holds it."""
        return {
            "document": str(self.document),
            "cohort": dict(self.cohort),
            "threads": self.threads,
            "noise_seed": self.noise_seed,
        }

    @classmethod
    def from_json(cls, said: Mapping[str, Any]) -> Self:
        """Read what `to_json` returns."""
        return cls(**{**said, "document": Path(said["document"])})


@dataclass(frozen=True, slots=True)
class Measured:
    """A cohort's noised sums, as `governance.normalisation` writes them."""

    text: str

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON holds it."""
        return {"text": self.text}

    @classmethod
    def from_json(cls, said: Mapping[str, Any]) -> Self:
        """Read what `to_json` returns."""
        return cls(str(said["text"]))


@dataclass(frozen=True, slots=True)
class Trained:
    """An update on disk; size in bytes.

    `control` is the new c_i, which is the site's only when a closed round names the update;
    `residual` what compression left out of it, which is so too. The worker leaves none.
    """

    update: Path
    digest: Digest
    size: int
    steps: int
    control: Path | None
    residual: Path | None = None

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON holds it."""
        return {
            "update": str(self.update),
            "digest": self.digest,
            "size": self.size,
            "steps": self.steps,
            "control": _text(self.control),
        }

    @classmethod
    def from_json(cls, said: Mapping[str, Any]) -> Self:
        """Read what `to_json` returns."""
        return cls(
            **{
                **said,
                "update": Path(said["update"]),
                "digest": Digest(said["digest"]),
                "control": _path(said["control"]),
            }
        )


@dataclass(frozen=True, slots=True)
class Evaluated:
    """What a model is worth on the held-out patients.

    `figures` are noised where the agreement wants noise. `subgroups` is what
    `governance.subgroups` writes; empty where the agreement names none, or wants noise.
    """

    figures: Figures | Noised
    subgroups: str = ""

    @property
    def told(self) -> str:
        """The text of the figures that leaves."""
        if isinstance(self.figures, Noised):
            return noised.to_json(self.figures)
        return figures.to_json(self.figures)

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON holds it."""
        return {"figures": self.told, "subgroups": self.subgroups}

    @classmethod
    def from_json(cls, said: Mapping[str, Any]) -> Self:
        """Read what `to_json` returns."""
        text = str(said["figures"])
        read = noised.parse if noised.is_noised(text) else figures.from_json
        return cls(read(text), str(said["subgroups"]))


def cohort_spec(
    settings: CohortSettings, *, secret: Path, opt_outs: Iterable[str] = ()
) -> dict[str, Any]:
    """Return all that a worker must know in order to read a cohort.

    Args:
        settings: The cohort's part of site.yaml, its paths absolute.
        secret: The file of 32 bytes that decides who is held out.
        opt_outs: Identifiers as the source writes them.
    """
    said = settings.model_dump(mode="json", by_alias=True, exclude_none=True)
    return {"settings": said, "secret": str(secret), "opt_outs": sorted(opt_outs)}


def settings_of(spec: Mapping[str, Any]) -> CohortSettings:
    """Return the settings in a cohort's specification."""
    from governance.settings import CohortSettings

    return CohortSettings.model_validate(spec["settings"])


def _normalised(agreement: Agreement, scales: Mapping[str, Any] | None) -> Agreement | None:
    if scales is None:
        return None
    return normalisation.applied(agreement, normalisation.read(scales))


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)


def _path(text: str | None) -> Path | None:
    return None if text is None else Path(text)
