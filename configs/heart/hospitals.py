"""Write the four hospitals' files of the UCI Heart Disease study from the published data.

A. Janosi, W. Steinbrunn, M. Pfisterer, R. Detrano 1988; UCI Machine Learning Repository, data
set 45; CC BY 4.0. The data are not part of this repository: give the folder that holds
`processed.cleveland.data`, `.hungarian.data`, `.switzerland.data` and `.va.data`.

Of the fourteen columns slope, ca and thal are left out, which two hospitals hardly recorded;
then every row in which a value is missing (`?`). 740 patients stay: 303, 261, 46 and 130. Cells
are copied as they are: what they mean stands in each hospital's site.yaml.

    python configs/heart/hospitals.py --data DIR [--out DIR]
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path
from typing import TYPE_CHECKING, Final

from protos.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Iterator

SITES: Final = ("cleveland", "hungarian", "switzerland", "va")
COLUMNS: Final = (
    "age", "sex", "cp", "trestbps", "chol", "fbs", "restecg", "thalach", "exang", "oldpeak",
    "slope", "ca", "thal", "num",
)  # fmt: skip
LEFT_OUT: Final = ("slope", "ca", "thal")
KEPT: Final = tuple(name for name in COLUMNS if name not in LEFT_OUT)
MISSING: Final = "?"


def write_sites(data: Path, out: Path) -> dict[str, Path]:
    """Write each hospital's patients.csv and return where it is.

    Args:
        data: The folder with the four published files.
        out: A folder that gets one folder for each hospital; those that are there are kept.

    Raises:
        Refused: a file is missing, or is not one of these.
    """
    sources = {name: _source(data, name) for name in SITES}
    written = {}
    for name, source in sources.items():
        path = out / name / "patients.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", encoding="utf-8", newline="") as text:
            lines = csv.writer(text, lineterminator="\n")
            lines.writerow(["patient", *KEPT])
            lines.writerows(_patients(name, source))
        written[name] = path
    return written


def _source(data: Path, name: str) -> Path:
    path = data / f"processed.{name}.data"
    if not path.is_file():
        raise Refused(
            f"there is no {path}",
            todo="Give the folder of UCI's data set 45, with its processed files: --data DIR.",
            rule="no-file",
        )
    return path


def _patients(name: str, source: Path) -> Iterator[list[str]]:
    """Yield the complete rows; a patient's identifier is the row's number in the source."""
    with source.open(encoding="latin-1", newline="") as text:
        for number, cells in enumerate(csv.reader(text), start=1):
            if not cells:
                continue
            if len(cells) != len(COLUMNS):
                raise Refused(
                    f"line {number} has {len(cells)} cells, but must have {len(COLUMNS)}",
                    where=f"{source}:{number}",
                    rule="malformed-source",
                )
            row = {column: cell.strip() for column, cell in zip(COLUMNS, cells, strict=True)}
            kept = [row[column] for column in KEPT]
            if MISSING not in kept:
                yield [f"{name}-{number:03d}", *kept]


def main() -> None:
    """Write the four files beside this script, or where `--out` says."""
    from governance.terminal import tell

    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="UCI's data set 45.")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "sites")
    given = parser.parse_args()
    try:
        written = write_sites(given.data, given.out)
    except Refused as refused:
        parser.exit(2, f"error: {refused}\n")
    for name, path in written.items():
        tell(f"{name}: {path}")


if __name__ == "__main__":
    main()
