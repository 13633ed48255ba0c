"""FedAvg on the four hospitals of the UCI Heart Disease data, with and without privacy.

    python bench/heart.py --data DIR [--seeds 1 2 3 4 5] [--out build/heart]

Each figure comes from a whole rehearsal (`concilium-coordinator rehearse`): real processes,
real TLS, real consents. A seed decides who is held out, and the noise. Prints a table and exits
1 when a mean over the seeds is below its target.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from governance.terminal import Answer, Format, say, tell
from governance.yaml_positions import read

HEART = Path(__file__).parents[1] / "configs" / "heart"
BIN = Path(sys.executable).parent
SEEDS = (1, 2, 3, 4, 5)
MODELS = {"naive": "naive", "alone": "alone_mean", "federated": "global", "central": "central"}


@dataclass(frozen=True)
class Variant:
    """One way to train: what it changes in the agreement, and the AUC that it must reach."""

    name: str
    folder: str
    changes: dict[str, dict[str, Any]]
    target: float


WITHOUT = Variant(
    "no privacy",
    "without",
    {
        "privacy": {"privacy": "off"},
        "round": {"local": {"steps": 10, "batch": 32}},
        "schedule": {"rounds": 10},
        "optimizer": {"rate": 0.3},
    },
    0.84,
)
WITH = Variant("ε = 1, δ = 1e-5", "with", {}, 0.82)
VARIANTS = (WITHOUT, WITH)


def main() -> int:
    given = asked()
    sites = prepare(given.data, given.out)
    if sites is None:
        return 2
    rows, reached = [], True
    for variant in VARIANTS:
        summaries = [rehearse(variant, seed, sites, given.out) for seed in given.seeds]
        rows += rows_of(variant, given.seeds, summaries)
        mean = statistics.mean(said["pooled"]["auc_global"] for said in summaries)
        reached = reached and mean >= variant.target
        rows.append(mean_row(variant, summaries))
    columns = ("variant", "seed", *MODELS, "ε", "target")
    title = "AUC on the patients held out at all four hospitals, 740 patients in all"
    say(
        Answer(columns, rows, title=title, notes=notes(given.out, given.seeds[0])), Format.TABLE
    )
    return 0 if reached else 1


def asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, help="the folder of UCI's data set 45")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--out", type=Path, default=Path("build/heart"))
    given = parser.parse_args()
    if given.data is None:
        parser.exit(
            0, "bench/heart.py: no --data DIR with UCI's data set 45, nothing measured\n"
        )
    return given


def prepare(data: Path, out: Path) -> Path | None:
    """Write the hospitals' folders with their patients; None where there are no data."""
    sites = out / "sites"
    shutil.rmtree(sites, ignore_errors=True)
    shutil.copytree(HEART / "sites", sites, ignore=shutil.ignore_patterns("*.csv"))
    script = [sys.executable, HEART / "hospitals.py", "--data", data, "--out", sites]
    return sites if subprocess.run(script, check=False).returncode == 0 else None


def rehearse(variant: Variant, seed: int, sites: Path, out: Path) -> dict[str, Any]:
    """Run one rehearsal and return its summary."""
    agreement = out / f"{variant.folder}.yaml"
    agreement.write_text(written(variant), encoding="utf-8")
    folder = folder_of(variant, seed, out)
    shutil.rmtree(folder, ignore_errors=True)
    command = [BIN / "concilium-coordinator", "rehearse", agreement, "--sites", sites]
    command += ["--out", folder, "--seed", str(seed)]
    tell(f"{variant.name}, seed {seed} …")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode not in {0, 1}:
        sys.exit(f"{variant.name}, seed {seed}: {done.stderr}")
    summary: dict[str, Any] = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    return summary


def folder_of(variant: Variant, seed: int, out: Path) -> Path:
    return out / f"{variant.folder}-{seed}"


def written(variant: Variant) -> str:
    """Return the agreement's text with a variant's changes."""
    said = dict(read(HEART / "agreement.yaml").value)
    for section, changes in variant.changes.items():
        if section in changes:
            said[section] = changes[section]
        else:
            said[section] = {**said[section], **changes}
    return yaml.safe_dump(said, sort_keys=False, allow_unicode=True)


def rows_of(
    variant: Variant, seeds: list[int], summaries: list[dict[str, Any]]
) -> list[tuple[object, ...]]:
    return [
        (variant.name, seed, *figures(said), epsilon(said), "")
        for seed, said in zip(seeds, summaries, strict=True)
    ]


def figures(said: dict[str, Any]) -> list[str]:
    return [f"{said['pooled'][f'auc_{key}']:.3f}" for key in MODELS.values()]


def epsilon(said: dict[str, Any]) -> str:
    spent = [site["epsilon"] for site in said["sites"].values()]
    return "∞" if None in spent else f"{max(spent):.2f}"


def mean_row(variant: Variant, summaries: list[dict[str, Any]]) -> tuple[object, ...]:
    means = [
        f"{statistics.mean(said['pooled'][f'auc_{key}'] for said in summaries):.3f}"
        for key in MODELS.values()
    ]
    return (variant.name, "mean", *means, epsilon(summaries[0]), f"≥ {variant.target}")


def notes(out: Path, seed: int) -> list[str]:
    """Say of each hospital what it has, and what cannot be computed there."""
    summary = json.loads((folder_of(WITH, seed, out) / "summary.json").read_text())
    lines = ["", f"Each hospital under {WITH.name}, seed {seed}:"]
    for name, site in summary["sites"].items():
        held = site["held_out"]
        auc = site["auc_global"]
        said = (
            f"AUC {auc:.3f}" if auc is not None else "no AUC: it takes patients of both kinds"
        )
        ill = f"{held['positives']} of {held['patients']} held out have the disease"
        lines.append(f"{name}: {site['patients']} patients, {ill}; {said}")
    return lines


if __name__ == "__main__":
    sys.exit(main())
