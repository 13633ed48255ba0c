"""SCAFFOLD, FedAvg and FedProx on hospitals that see different labels, and on like ones.

    python bench/strategies.py [--seeds 1 2 3 4 5] [--part dirichlet fedprox iid] [--docs]

Ten hospitals with scikit-learn's digits, softmax regression, 50 local steps of batch 16 at rate
0.5, no privacy; every run is a whole rehearsal (`concilium-coordinator rehearse`): real
processes, real TLS, real consents. What has run is kept in build/strategies and not run
again, so that a study can be stopped and gone on with. Prints tables and exits 1 where a claim
does not hold.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from digits import rehearsals, report, study

from governance.terminal import Format, say, tell

HERE = Path(__file__).resolve().parent.parent


def main() -> int:
    """Run what has not run yet, then say what all runs come to."""
    given = asked()
    given.work.mkdir(parents=True, exist_ok=True)
    for run in rehearsals.planned(given.seeds, given.part):
        if rehearsals.result(run, given.work) is None:
            said = rehearsals.rehearse(run, given.work)
            tell(f"{run.name}: accuracy {said['final']:.4f} in {said['seconds']:.0f} s")
    found = study.read(given.work, given.seeds)
    for answer in report.tables(found):
        say(answer, Format.TABLE)
    verdicts = found.verdicts()
    for sentence, holds in verdicts:
        tell(f"{'holds' if holds else 'does not hold'}: {sentence}")
    report.plot(found, given.work / "strategies.svg")
    if given.docs:
        report.plot(found, HERE / "docs" / "strategies.svg")
        report.write_section(found, HERE / "docs" / "studies.md")
    return 0 if all(holds for _, holds in verdicts) else 1


def asked() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5], help="of splits"
    )
    parts = rehearsals.PARTS
    parser.add_argument("--part", nargs="+", choices=parts, default=parts, help="default: all")
    parser.add_argument("--work", type=Path, default=HERE / "build" / "strategies")
    parser.add_argument(
        "--docs", action="store_true", help="write docs/studies.md and its plot"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
