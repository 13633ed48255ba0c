"""The files of hospitals that do not exist, so that an agreement can be tried alone.

What is written looks like what hospitals have: a folder each, with site.yaml and a file of
patients, and the agreement beside them. All of it says that it is synthetic: the federation's
name, the agreement's title, the patients' identifiers and the names of the files.
"""

from __future__ import annotations

import csv
import math
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import yaml

from coordinator.rehearsal import invented
from governance.agreement.gate_error import HELD_OUT, gate_error
from governance.agreement.load import load
from governance.secagg.terms import FEWEST
from governance.yaml_positions import read
from protos.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from coordinator.rehearsal.invented import Hospital
    from governance.agreement.schema import Agreement

DEFAULT_SEED: Final = 1
"""Of the patients, when a rehearsal's noise is not fixed."""
DEFAULT_SKEW: Final = 0.3
MOST_SKEW: Final = 3.0
PATIENTS: Final = "synthetic-patients.csv"
COHORT: Final = "synthetic"
_PATIENT_ID: Final = "patient"
_MARK: Final = "-synthetic"
_LONGEST_NAME: Final = 63
_LONGEST_TITLE: Final = 150
_AGREEMENT_HEAD: Final = """\
# SYNTHETIC: made by `rehearse --synthetic` from {source}.
# Its hospitals and patients do not exist.
"""
_SITE_HEAD: Final = """\
# SYNTHETIC: {name} does not exist; its patients are made from the data contract alone.
"""


@dataclass(frozen=True, slots=True)
class Invention:
    """What is asked for.

    Args:
        site_count: How many hospitals stand in for the roster; None for one of each name in it.
        skew: How much they differ in size, prevalence and feature means.
    """

    site_count: int | None
    skew: float

    def __post_init__(self) -> None:
        if not 0 <= self.skew <= MOST_SKEW:
            raise Refused(
                f"--skew is {self.skew:g}, but must be from 0 to {MOST_SKEW:g}",
                todo="0 makes hospitals alike but for chance; 0.3 is the default.",
                rule="rehearsal-files",
            )


def asked(
    *, synthetic: bool, sites: Path | None, site_count: int | None, skew: float | None
) -> Invention | None:
    """Return what a command line asks for; None where hospitals have files of their own.

    Raises:
        Refused: it asks for both, or for a detail of what it does not ask for.
    """
    if synthetic and sites is None:
        return Invention(site_count, DEFAULT_SKEW if skew is None else skew)
    if synthetic or site_count is not None or skew is not None:
        raise Refused(
            "--site-count and --skew shape synthetic patients; --sites names real files",
            todo="Say --synthetic for the former, or --sites for the latter, and not both.",
            rule="rehearsal-files",
        )
    return None


@dataclass(frozen=True, slots=True)
class Written:
    """Where the files are, and which of the agreement's terms were set aside, in words."""

    agreement: Path
    sites: Path
    set_aside: tuple[str, ...]


def write(
    source: Path,
    agreement: Agreement,
    folder: Path,
    wanted: Invention,
    *,
    seed: int | None,
) -> Written:
    """Write the agreement's copy and each hospital's folder.

    Args:
        source: The agreement's file.
        agreement: What it says.
        folder: Gets `agreement.yaml` and `sites/`.
        wanted: How many hospitals, and how different.
        seed: Of the patients.
    """
    folder.mkdir(parents=True, exist_ok=True)
    said = dict(read(source).value)
    names = _names(agreement, wanted.site_count)
    set_aside = [*_fitted(said, agreement, names, datetime.now(UTC))]
    if said.get("obligations"):
        shutil.copy(source.parent / said["obligations"], folder)
    copy, head = folder / "agreement.yaml", _AGREEMENT_HEAD.format(source=source)
    _write_yaml(copy, said, head)
    if wanted.site_count is not None and (wider := _wider_gate(load(copy).agreement)):
        said["quality"]["accept_if"]["not_worse_than"] = wider
        _write_yaml(copy, said, head)
        why = "since chance moves the figures of few patients more"
        set_aside.append(f"the gate (not_worse_than: {wider:g}, {why})")
    fitted = load(copy).agreement
    drawn = DEFAULT_SEED if seed is None else seed
    for hospital in invented.hospitals(fitted, names, skew=wanted.skew, seed=drawn):
        _write_site(folder / "sites" / hospital.name, hospital, fitted)
    return Written(copy, folder / "sites", tuple(set_aside))


def _wider_gate(agreement: Agreement) -> float | None:
    """Return the least that the gate must let pass with these hospitals; None if it does."""
    gate = agreement.quality.accept_if
    if gate is None:
        return None
    needed = 2 * gate_error(agreement, gate.metric).standard_error
    return None if gate.not_worse_than >= needed else math.ceil(100 * needed) / 100


def _names(agreement: Agreement, count: int | None) -> tuple[str, ...]:
    if count is None:
        return tuple(agreement.sites.roster)
    return tuple(f"hospital-{number}" for number in range(1, count + 1))


def _fitted(
    said: dict[str, Any], agreement: Agreement, names: tuple[str, ...], now: datetime
) -> Iterator[str]:
    """Fit an agreement to hospitals that do not exist, and say what was set aside for it."""
    said["federation"] = said["federation"][: _LONGEST_NAME - len(_MARK)].rstrip("-") + _MARK
    said["title"] = f"Synthetic patients: {said['title']}"[:_LONGEST_TITLE]
    yield from _fitted_sites(said, agreement, names)
    if agreement.aggregation.secure and len(names) < FEWEST:
        said["aggregation"] = {**said.get("aggregation", {}), "secure": False}
        yield f"masks, which hide nobody among fewer than {FEWEST} hospitals"
    if not agreement.valid.from_ <= now < agreement.valid.until:
        said["valid"] = {"from": f"{now:%Y-%m-%d}", "until": f"{now.year + 1}-12-31"}
        yield "the dates of valid"
    schedule = dict(said["schedule"])
    if schedule.pop("window", None) is not None:
        said["schedule"] = schedule
        yield "schedule.window"
    said["operators"] = {"keys": [next(iter(agreement.operators.keys))], "two_for": []}
    if agreement.operators.two_for:
        yield "operators.two_for"


def _fitted_sites(
    said: dict[str, Any], agreement: Agreement, names: tuple[str, ...]
) -> Iterator[str]:
    """Replace the roster; what counted hospitals keeps its share of them."""
    terms = agreement.sites
    sites = {**said["sites"], "roster": list(names)}
    share = len(names) / len(terms.roster)
    if share != 1:
        ready = min(len(names), math.ceil(terms.ready_at_least * share))
        close = min(ready, math.ceil(terms.close_at_least * share))
        if (
            agreement.aggregation.secure and len(names) >= FEWEST
        ):  # masks open with more than two thirds alone
            close = max(close, 2 * len(names) // 3 + 1)
            ready = max(ready, close)
        sites["ready_at_least"], sites["close_at_least"] = ready, close
        if isinstance(terms.per_round, int):
            sites["per_round"] = min(len(names), max(ready, math.ceil(terms.per_round * share)))
        yield f"the roster ({len(names)} hospitals instead of {len(terms.roster)})"
    if sites.pop("requires", None):
        yield "sites.requires"
    said["sites"] = sites


def _write_site(folder: Path, hospital: Hospital, agreement: Agreement) -> None:
    folder.mkdir(parents=True)
    with (folder / PATIENTS).open("w", encoding="utf-8", newline="") as text:
        lines = csv.writer(text, lineterminator="\n")
        lines.writerow([_PATIENT_ID, *hospital.columns])
        lines.writerows(hospital.records)
    settings = _settings(hospital, agreement)
    _write_yaml(folder / "site.yaml", settings, _SITE_HEAD.format(name=hospital.name))


def _settings(hospital: Hospital, agreement: Agreement) -> dict[str, Any]:
    """Return the site.yaml of a hospital that accepts this agreement and no more."""
    privacy = agreement.privacy
    cap = {
        "epsilon": privacy.budget.epsilon if privacy else 1.0,
        "delta": privacy.delta if privacy else 1e-5,
    }
    return {
        "site": 1,
        "name": hospital.name,
        "state": "state/",
        "officer_key": "keys/officer.pem",
        "federations": [],
        "cohorts": {
            COHORT: {
                "source": {"csv": PATIENTS, "encoding": "utf-8"},
                "patient_id": _PATIENT_ID,
                "held_out": HELD_OUT,
                "map": {name: {"column": name} for name in hospital.columns},
            }
        },
        "policy": {
            "cap": cap,
            "minimum_sites": min(agreement.sites.close_at_least, 3),
            "purposes": list(agreement.purpose),
            "models": [f"builtin:{agreement.model.name}"],
            "require_secure_aggregation": agreement.aggregation.secure,
            "unsafe": ["no-isolation"],
        },
        "resources": {"threads": 1, "isolation": "none"},
    }


def _write_yaml(path: Path, said: dict[str, Any], head: str) -> None:
    body = yaml.safe_dump(said, sort_keys=False, allow_unicode=True, width=100)
    path.write_text(head + body, encoding="utf-8")
