"""A rehearsal's comparison over every hospital's files: in this process, or confined.

Where the model is a wheel's its code runs in a confined worker that sees every cohort.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from governance import settings as site_files
from governance.agreement.load import parse
from protos.errors import Refused
from site_agent import apart, baseline
from site_agent.confinement import Confinement
from site_agent.jobs import cohort_spec
from site_agent.jobs_apart import CompareJob
from site_agent.premises import Premises

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from governance.settings import CohortSettings, SiteSettings


def baselines(
    document: Path,
    sites: Sequence[Path],
    model: Path,
    out: Path,
    *,
    scales: Path | None = None,
    seed: int | None = None,
) -> dict[str, Any]:
    """Compare, write the comparison as JSON, and return it.

    Args:
        document: The agreement's canonical bytes.
        sites: Every hospital's site.yaml, each with `rehearsal: true`.
        model: The federated model.
        out: The JSON file: `sites` by name, each with patients, held_out, naive, alone (on its
            own held-out patients), alone_on_all, federated, central, drift; and `pooled`.
        scales: What values are normalised by, as the ledger has it; None for the references.
        seed: Of all noise; None draws it from the operating system.

    Raises:
        Refused: `rehearsal-only`, or a cohort can't be read or breaks the contract.
    """
    read = parse(document.read_bytes())
    files = [site_files.load_site(path) for path in sites]
    _check_rehearsal(files)
    job = CompareJob(
        document=document,
        cohorts={site.name: _spec(site) for site in files},
        model=model,
        scales=scales,
        seed=seed,
        threads=max(site.resources.threads for site in files),
        out=out,
        wheels=Premises(files[0].state).wheels,
    )
    if read.agreement.model.wheel is None:
        baseline.compared(job)
    else:
        _confined(job, files)
    said: dict[str, Any] = json.loads(out.read_bytes())
    return said


def _confined(job: CompareJob, files: Sequence[SiteSettings]) -> None:
    """Compare in a worker that sees every hospital's cohort, and has one folder to write."""
    kept = apart.wheels_of(files[0])
    with apart.folder(files[0]) as folder:
        here = replace(
            job,
            document=Path(shutil.copyfile(job.document, folder / "agreement.json")),
            model=Path(shutil.copyfile(job.model, folder / job.model.name)),
            scales=job.scales and Path(shutil.copyfile(job.scales, folder / "scales.json")),
            out=folder / "compared.json",
        )
        reads = [Premises(site.state).held_out_secret_path for site in files]
        reads += [_source(spec) for spec in job.cohorts.values()]
        seen = Confinement((*reads, kept), folder)
        apart.done(files[0], "compare", here, confinement=seen)
        shutil.copyfile(here.out, job.out)


def _spec(site: SiteSettings) -> dict[str, Any]:
    return cohort_spec(_settings(site), secret=Premises(site.state).held_out_secret_path)


def _source(spec: Mapping[str, Any]) -> Path:
    return Path(spec["settings"]["source"]["csv"])


def _settings(site: SiteSettings) -> CohortSettings:
    """Return the cohort that a rehearsal's hospital takes part with."""
    names = {federation.cohort for federation in site.federations} or set(site.cohorts)
    if len(names) != 1:
        raise Refused(
            f"{site.name} has {len(names)} cohorts, but a rehearsal needs to know which one",
            rule="which-cohort",
        )
    return site.cohorts[names.pop()]


def _check_rehearsal(sites: Sequence[SiteSettings]) -> None:
    real = [site.name for site in sites if not site.rehearsal]
    if real:
        raise Refused(
            f"{', '.join(real)}: not a rehearsal, and only there may patients be pooled or a "
            "hospital's training alone be compared",
            todo="`concilium-coordinator rehearse` makes files of its own for that.",
            rule="rehearsal-only",
        )
