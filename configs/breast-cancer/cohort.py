"""Deal the Wisconsin diagnostic breast cancer cohort to five hospitals, each with its own ways.

569 real patients, the copy that scikit-learn ships (W. H. Wolberg, W. N. Street, O. L.
Mangasarian 1995; UCI Machine Learning Repository, data set 17; CC BY 4.0): thirty measures of
cell nuclei in an image of a fine needle aspirate, and whether the tumour is malignant. The
hospitals are invented; so are the patients' identifiers. Every patient is in one hospital.

    python configs/breast-cancer/cohort.py [--out DIR] [--seed N]
"""

from __future__ import annotations

import argparse
import csv
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

SPLIT_SEED: Final = 1
SIZES: Final = (0.34, 0.25, 0.18, 0.13, 0.10)
"""The hospitals' shares of all patients."""
TILTS: Final = (-0.8, -0.4, 0.0, 0.4, 0.8)
"""What is added to the log-odds of malignancy, dealt to the hospitals by the seed."""

MEASURES: Final = (
    "radius", "texture", "perimeter", "area", "smoothness", "compactness", "concavity",
    "concave_points", "symmetry", "fractal_dimension",
)  # fmt: skip
STATISTICS: Final = ("mean", "se", "worst")
FEATURES: Final = tuple(f"{m}_{s}" for s in STATISTICS for m in MEASURES)
"""The agreement's names, in the order of scikit-learn's columns."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """How one hospital writes its file.

    Args:
        column: A feature's column, from measure and statistic.
        units: What a measure's value is multiplied by in the file; 1 where it is not named.
        patient_id: The identifier's column.
        target: The outcome's column.
        codes: How benign and malignant are written.
        encoding: Of the file.
        identifier: An identifier's form.
    """

    column: Callable[[str, str], str]
    units: Mapping[str, float]
    patient_id: str
    target: str
    codes: tuple[str, str]
    encoding: str
    identifier: str


_GERMAN: Final = {
    "radius": "Radius", "texture": "Textur", "perimeter": "Umfang", "area": "Fläche",
    "smoothness": "Glätte", "compactness": "Kompaktheit", "concavity": "Konkavität",
    "concave_points": "Konkavpunkte", "symmetry": "Symmetrie",
    "fractal_dimension": "Fraktaldimension",
    "mean": "Mittel", "se": "Standardfehler", "worst": "Höchstwert",
}  # fmt: skip
_SHORT: Final = {"mean": "AVG", "se": "SE", "worst": "MAX"}


def _eight(measure: str) -> str:
    """Shorten a name as an old laboratory system does."""
    return measure.replace("_", "").upper()[:8]


DIALECTS: Final[Mapping[str, Dialect]] = {
    "north-general": Dialect(
        column=lambda measure, statistic: f"{measure}_{statistic}",
        units={},
        patient_id="patient",
        target="diagnosis",
        codes=("B", "M"),
        encoding="utf-8",
        identifier="NG{:05d}",
    ),
    "harbour-university": Dialect(
        column=lambda measure, statistic: f"{measure}_{statistic[0]}".upper(),
        units={"radius": 10.0, "perimeter": 10.0},
        patient_id="MRN",
        target="MALIGNANT",
        codes=("0", "1"),
        encoding="utf-8",
        identifier="{:08d}",
    ),
    "lakeside": Dialect(
        column=lambda measure, statistic: f"{_GERMAN[measure]} {_GERMAN[statistic]}",
        units={"radius": 0.001, "perimeter": 0.001, "area": 0.000001},
        patient_id="Fallnummer",
        target="Dignität",
        codes=("gutartig", "bösartig"),
        encoding="latin-1",
        identifier="L-{:06d}",
    ),
    "hillcrest": Dialect(
        column=lambda measure, statistic: f"{statistic}.{measure}",
        units={"compactness": 100.0, "concavity": 100.0, "concave_points": 100.0},
        patient_id="id",
        target="tumour",
        codes=("benign", "malign"),
        encoding="utf-8",
        identifier="hc{:05d}",
    ),
    "eastfield": Dialect(
        column=lambda measure, statistic: f"FNA_{_eight(measure)}_{_SHORT[statistic]}",
        units={"radius": 1000.0, "perimeter": 1000.0, "smoothness": 1000.0},
        patient_id="PATNO",
        target="CLASS",
        codes=("2", "4"),
        encoding="utf-8",
        identifier="E{:04d}",
    ),
}


def write_sites(out: Path, seed: int = SPLIT_SEED) -> dict[str, Path]:
    """Write each hospital's patients.csv and return where it is; the same seed, the same bytes.

    Args:
        out: A folder that gets one folder for each hospital; those that are there are kept.
        seed: Of the split, the identifiers and the order of the lines.
    """
    features, malignant = _patients()
    rng = np.random.default_rng(seed)
    written = {}
    for (name, dialect), patients in zip(DIALECTS.items(), split(malignant, rng), strict=True):
        path = out / name / "patients.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        numbers = rng.choice(10**4, size=len(patients), replace=False)
        with path.open("w", encoding=dialect.encoding, newline="") as text:
            lines = csv.writer(text, lineterminator="\n")
            lines.writerow(_header(dialect))
            for number, patient in zip(numbers, rng.permutation(patients), strict=True):
                cells = _cells(features[patient], dialect)
                outcome = dialect.codes[int(malignant[patient])]
                lines.writerow([dialect.identifier.format(number), outcome, *cells])
        written[name] = path
    return written


def split(malignant: NDArray[np.int64], rng: np.random.Generator) -> list[NDArray[np.int64]]:
    """Deal the patients: sizes by `SIZES`, the share of malignant ones tilted by `TILTS`."""
    sizes = _rounded(np.array(SIZES) * len(malignant), len(malignant))
    tilts = rng.permutation(TILTS)
    ill = int(malignant.sum())
    counts = _rounded(sizes * _prevalences(sizes, tilts, ill), ill)
    with_, without = (rng.permutation(np.flatnonzero(malignant == o)) for o in (1, 0))
    ends_with, ends_without = np.cumsum(counts)[:-1], np.cumsum(sizes - counts)[:-1]
    dealt = zip(np.split(with_, ends_with), np.split(without, ends_without), strict=True)
    return [np.sort(np.concatenate(parts)) for parts in dealt]


def _prevalences(
    sizes: NDArray[np.int64], tilts: NDArray[np.float64], ill: int
) -> NDArray[np.float64]:
    """Return prevalences with these tilts that come to this many ill patients in all."""
    low, high = -10.0, 10.0
    for _ in range(60):
        middle = (low + high) / 2
        too_few = np.sum(sizes / (1 + np.exp(-(middle + tilts)))) < ill
        low, high = (middle, high) if too_few else (low, middle)
    shares: NDArray[np.float64] = 1 / (1 + np.exp(-(low + tilts)))
    return shares


def _rounded(parts: NDArray[np.float64], total: int) -> NDArray[np.int64]:
    """Round to whole numbers with this sum, the largest remainders upwards."""
    whole = np.floor(parts).astype(np.int64)
    for place in np.argsort(whole - parts, kind="stable")[: total - int(whole.sum())]:
        whole[place] += 1
    return whole


def _patients() -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    from sklearn.datasets import load_breast_cancer

    features, benign = load_breast_cancer(return_X_y=True)
    return np.asarray(features, np.float64), 1 - np.asarray(benign, np.int64)


def _header(dialect: Dialect) -> list[str]:
    columns = [dialect.column(m, s) for s in STATISTICS for m in MEASURES]
    return [dialect.patient_id, dialect.target, *columns]


def _cells(values: NDArray[np.float64], dialect: Dialect) -> list[str]:
    measures = [measure for _ in STATISTICS for measure in MEASURES]
    return [
        f"{value * dialect.units.get(measure, 1.0):.10g}"
        for value, measure in zip(values, measures, strict=True)
    ]


def main() -> None:
    """Write the five files beside this script, or where `--out` says."""
    from governance.terminal import tell

    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "sites")
    parser.add_argument("--seed", type=int, default=SPLIT_SEED)
    given = parser.parse_args()
    for name, path in write_sites(given.out, given.seed).items():
        tell(f"{name}: {path}")


if __name__ == "__main__":
    main()
