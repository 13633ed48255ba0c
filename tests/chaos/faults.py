"""What befalls a federation, and when: all of it drawn from one number."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Final

COORDINATOR: Final = "coordinator"
KILL, KILL_AT, KILL_WORKER, KILL_BOTH = "kill", "kill-at", "kill-worker", "kill-both"
FREEZE, THAW, ASK = "freeze", "thaw", "ask-to-end"
CUT, PARTITION, HALF_OPEN, SLOW = "cut", "partition", "half-open", "slow"
TRUNCATE, DUPLICATE, REORDER, FLIP = "truncate", "duplicate", "reorder", "flip"
LINES: Final = (CUT, PARTITION, HALF_OPEN, SLOW, TRUNCATE, DUPLICATE, REORDER, FLIP)
_WEIGHTS: Final = {
    KILL: 3, KILL_AT: 6, KILL_WORKER: 2, KILL_BOTH: 1, CUT: 4, PARTITION: 1, HALF_OPEN: 1,
    SLOW: 1, TRUNCATE: 1, DUPLICATE: 1, REORDER: 1, FLIP: 1,
}  # fmt: skip
_OFTEN: Final = {
    "one": 5, "again": 4, "many": 2, "burst": 3, FREEZE: 2, ASK: 3, KILL_WORKER: 3,
    KILL_BOTH: 1, CUT: 4,
}  # fmt: skip
KEEPALIVE_S: Final = 40.0
"""After so long a silent line is given up by both ends."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault: at which second, what, whom, for how long, and at which instruction.

    Who is killed for some seconds is started again after them.
    """

    at_s: float
    kind: str
    whom: tuple[str, ...]
    seconds: float = 0.0
    point: str = ""
    turn: int = 1

    def __str__(self) -> str:
        more = f" {self.point} turn {self.turn}" if self.point else ""
        lasting = f" for {self.seconds:.1f} s" if self.seconds else ""
        return f"{self.at_s:7.2f} s  {self.kind}{more} {', '.join(self.whom)}{lasting}"


def draw(
    seed: int,
    sites: tuple[str, ...],
    *,
    lasting_s: float,
    every_s: float,
    long_silences: bool = False,
    kinds: tuple[str, ...] = tuple(_WEIGHTS),
) -> tuple[Fault, ...]:
    """Draw a schedule; the same arguments give the same one.

    `every_s` is the mean time between two faults; with `long_silences` a partition lasts
    longer than the keepalive.
    """
    chance = random.Random(seed)
    weights = [_WEIGHTS[kind] for kind in kinds]
    found, at_s = [], 0.0
    while (at_s := at_s + chance.expovariate(1 / every_s)) < lasting_s:
        kind = chance.choices(kinds, weights)[0]
        found.append(_fault(chance, round(at_s, 2), kind, sites, long_silences=long_silences))
    return tuple(found)


def partitions(sites: tuple[str, ...]) -> tuple[Fault, ...]:
    """Return partitions of one site, of two others and of all, each longer than the keepalive.

    They overlap, so that a round that waits for everybody is at work in each.
    """
    lasts_s = KEEPALIVE_S + 10
    whom = (sites[:1], sites[1:3], sites)
    return tuple(
        Fault(3.0 + 30 * number, PARTITION, some, lasts_s) for number, some in enumerate(whom)
    )


def wild(
    seed: int, sites: tuple[str, ...], *, lasting_s: float, every_s: float, light: bool
) -> tuple[Fault, ...]:
    """Draw a schedule that knows nothing of the programs: any moment, and several at once.

    Killed once, again while it starts, with others, or thrice within a second; frozen for 5 to
    60 s; asked to end; its line reset.
    """
    chance, everybody = random.Random(seed), (COORDINATOR, *sites)
    often = {kind: n for kind, n in _OFTEN.items() if not (light and kind == KILL_WORKER)}
    found: list[Fault] = []
    at_s = 0.0
    while (at_s := at_s + chance.expovariate(1 / every_s)) < lasting_s:
        kind = chance.choices(list(often), list(often.values()))[0]
        whom = COORDINATOR if chance.random() < 0.35 else chance.choice(sites)
        found += _wildly(chance, at_s, kind, whom, everybody)
    return tuple(sorted(found, key=lambda fault: fault.at_s))


def _wildly(chance, at_s, kind, whom, everybody) -> list[Fault]:
    def kill(after_s, *who):
        return Fault(round(at_s + after_s, 2), KILL, who, round(chance.uniform(0.01, 1), 2))

    sites = everybody[1:]
    match kind:
        case "one":
            found = [kill(0, whom)]
        case "again":  # while it starts
            found = [Fault(at_s, KILL, (whom,), 0.01), kill(chance.uniform(0.1, 4), whom)]
        case "many":
            found = [kill(0, *chance.sample(everybody, chance.randint(2, len(everybody))))]
        case "burst":
            who = (whom, whom, chance.choice(everybody))
            found = [Fault(at_s + chance.uniform(0, 1), KILL, (one,), 0.01) for one in who]
        case "freeze":
            lasts_s = round(chance.choice((chance.uniform(5, 15), chance.uniform(15, 60))), 1)
            found = [
                Fault(at_s, FREEZE, (whom,), lasts_s),
                Fault(at_s + lasts_s, THAW, (whom,)),
            ]
        case "cut":
            some = sites if chance.random() < 0.2 else (chance.choice(sites),)
            found = [Fault(at_s, CUT, some)]
        case _:
            found = [Fault(at_s, kind, (whom if kind == ASK else chance.choice(sites),))]
    return found


def _fault(chance, at_s, kind, sites, *, long_silences) -> Fault:
    import points  # needs the tools of killing, which a relay alone does not

    if kind in {KILL, KILL_AT}:
        whom = COORDINATOR if chance.random() < 0.5 else chance.choice(sites)
        if kind == KILL:
            return Fault(at_s, kind, (whom,))
        here = points.COORDINATOR if whom == COORDINATOR else points.SITE
        point = chance.choice(sorted(here))
        most = 60 if point in points.FREQUENT else 12 if point.startswith("chunk") else 3
        return Fault(at_s, kind, (whom,), point=point, turn=chance.randint(1, most))
    if kind in {KILL_WORKER, KILL_BOTH}:
        return Fault(at_s, kind, (chance.choice(sites),))
    if kind == PARTITION:
        some = tuple(chance.sample(sites, chance.choice((1, 2, len(sites)))))
        longest = KEEPALIVE_S + 15 if long_silences else 6.0
        return Fault(at_s, kind, some, round(chance.uniform(longest / 2, longest), 1))
    if kind == SLOW:
        return Fault(at_s, kind, (chance.choice(sites),), round(chance.uniform(1, 8), 1))
    some = sites if chance.random() < 0.2 else (chance.choice(sites),)
    return Fault(at_s, kind, some, turn=chance.randint(0, 1))
