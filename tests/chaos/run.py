"""Disturb a federation of five by schedules drawn from seeds; each seed replays its run.

    make chaos SEED=7            or        python tests/chaos/run.py --seed 7 [--seeds 20]

Real processes over real TLS: the coordinator and its hospitals' agents and workers are killed
at random and at named instructions, and their lines are cut, silent, slow or wrong. At its end
every round is committed once, the ledger verifies, nobody's ε is under-counted, and each model
is that of the undisturbed run, bit for bit.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path

_TESTS = Path(__file__).parents[1]
sys.path[:0] = [
    str(_TESTS / place) for place in ("chaos", "e2e", "integration/coordinator", ".")
]

import faults  # noqa: E402 - found by the line above
import five  # noqa: E402
import wires  # noqa: E402
from ordeal import Ordeal  # noqa: E402


def asked(argv=None):
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seeds", type=int, default=1, help="as many, from --seed on")
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--way", nargs="+", choices=five.WAYS, default=("masked", "plain"))
    parser.add_argument(
        "--wild", action="store_true", help="nothing at named instructions: see faults.WILD"
    )
    parser.add_argument("--light", action="store_true", help="workers draw their updates")
    parser.add_argument(
        "--seconds", type=float, default=60, help="so long faults are drawn for"
    )
    parser.add_argument("--every", type=float, default=2.5, help="mean seconds between faults")
    parser.add_argument(
        "--partitions", action="store_true", help="of one site, two and all, and nothing else"
    )
    parser.add_argument(
        "--namespaces",
        action="store_true",
        help="a network of its own for each, 20 Mbit/s; partitions and kills",
    )
    parser.add_argument("--silences", action="store_true", help="longer than the keepalive")
    parser.add_argument("--kinds", nargs="*", default=None)
    parser.add_argument("--patience", type=float, default=600)
    parser.add_argument("--place", type=Path, default=None)
    given = parser.parse_args(argv)
    if given.namespaces and given.wild:
        parser.error("--wild needs lines that can be cut, which --namespaces has not")
    return given


def main(argv=None) -> int:
    given = asked(argv)
    if given.namespaces:
        wires.go_inside([__file__, *(sys.argv[1:] if argv is None else argv)])
    place = given.place or Path(tempfile.mkdtemp(prefix="chaos-"))
    place.mkdir(parents=True, exist_ok=True)
    bad = 0
    for seed in range(given.seed, given.seed + given.seeds):
        for way in given.way:
            bad += bool(disturbed(given, place, seed, way))
    return 1 if bad else 0


def undisturbed(given, place, way):
    """Return the models of a run that nothing befalls, kept for all seeds."""
    name = f"{way}-{'light' if given.light else 'real'}-{given.rounds}"
    template, kept = place / name, place / f"{name}.json"
    if not kept.exists():
        shutil.rmtree(template, ignore_errors=True)
        say(f"founding {name}")
        five.found(template, rounds=given.rounds, way=way)
        run = Ordeal(template, place / f"{name}-calm", **ordeal(given, way))
        outcome = run.run(patience_s=given.patience)
        assert not outcome.findings, outcome.findings
        say(f"undisturbed: {outcome.figures}")
        kept.write_text(json.dumps(outcome.models), encoding="utf-8")
    models = {int(n): model for n, model in json.loads(kept.read_text("utf-8")).items()}
    return template, models


def ordeal(given, way):
    """Return what an ordeal is told beside its places."""
    return {"rounds": given.rounds, "light": given.light, "waits": five.waits(way)}


def disturbed(given, place, seed, way):
    """Run one schedule; return what does not hold."""
    template, models = undisturbed(given, place, way)
    schedule = faults.partitions(five.SITES) if given.partitions else drawn(given, seed)
    say(f"seed {seed}, {way}: {len(schedule)} faults")
    here = place / f"seed-{seed}-{way}"
    shutil.rmtree(here, ignore_errors=True)
    run = Ordeal(template, here, **ordeal(given, way), wired=given.namespaces)
    outcome = run.run(schedule, patience_s=given.patience, seed=seed, tell=say)
    others = [n for n, model in outcome.models.items() if models.get(n) != model]
    if others and five.waits(way):
        outcome.findings.append(f"other models than undisturbed after rounds {others}")
    say(json.dumps(outcome.figures))
    for finding in outcome.findings:
        say(f"FINDING seed {seed}: {finding}")
    if outcome.findings:
        logs = here / "logs"
        logs.mkdir(exist_ok=True)
        for name, program in run.programs.items():
            (logs / name).write_text("".join(program.lines), encoding="utf-8")
        say(f"its folder and logs: {here}")
    else:
        say(f"seed {seed}: all holds")
        shutil.rmtree(here)
    return outcome.findings


def drawn(given, seed):
    """Return the schedule that a seed draws."""
    if given.wild:
        return faults.wild(
            seed, five.SITES, lasting_s=given.seconds, every_s=given.every, light=given.light
        )
    kinds = given.kinds or (wires.KINDS if given.namespaces else None)
    return faults.draw(
        seed,
        five.SITES,
        lasting_s=given.seconds,
        every_s=given.every,
        long_silences=given.silences,
        **({"kinds": tuple(kinds)} if kinds else {}),
    )


def say(text):
    sys.stdout.write(f"{time.strftime('%H:%M:%S')} {text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
