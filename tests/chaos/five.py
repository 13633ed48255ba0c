"""A federation of five that is founded once and disturbed many times."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import standing

NOISE_SEED: Final = 7
STEPS: Final = 2
MANY: Final = 50
"""Of so many rounds ε is small only with more noise."""
HIDDEN: Final = [700, 700]
"""A model of 2 MB: a transfer is of several messages, and can be cut between them."""
SITES: Final = ("eastfield", "harbour-university", "hillcrest", "lakeside", "north-general")
LAST: Final = SITES[0]
"""The hospital whose consent a run begins with."""

_FEDAVG: Final = {"strategy": {"name": "fedavg"}}
_INT8: Final = {"aggregation.compression": {"name": "int8"}}
_RANDOM_K: Final = {"aggregation.compression": {"name": "random-k", "keep": 0.05}}
_SOON: Final = {
    "sites.ready_at_least": 4,
    "sites.close_at_least": 4,
    "round.stragglers": {"close_early_after": "3s"},
}
_PLAIN: Final = {"aggregation.secure": False}
WAYS: Final = {
    "masked": _FEDAVG,
    "plain": _PLAIN | {"strategy": {"name": "scaffold"}},
    "masked-int8": _FEDAVG | _INT8,
    "masked-random-k": _FEDAVG | _RANDOM_K,
    "plain-int8": _PLAIN | _FEDAVG | _INT8,
    "plain-random-k": _PLAIN | _FEDAVG | _RANDOM_K,
    "masked-early": _FEDAVG | _SOON,
    "plain-late": _PLAIN | _FEDAVG | _SOON | {"round.late": "next-round"},
    "scaffold-late": _PLAIN
    | {"strategy": {"name": "scaffold"}}
    | _SOON
    | {"round.late": "next-round"},
}
"""What an agreement differs in, by name: how updates travel, and who is waited for."""


def waits(way: str) -> bool:
    """Tell whether its rounds wait for everybody, so that each model is what it must be."""
    return "round.late" not in WAYS[way] and "round.stragglers" not in WAYS[way]


def found(place: Path, *, rounds: int, way: str) -> None:
    """Found a federation of five, in which one hospital is still to consent."""
    terms = {
        "sites.ready_at_least": 5,
        "sites.close_at_least": 5,
        "schedule.rounds": rounds,
        "round.stragglers": "wait",
        "round.deadline": "2h",
        "round.local.steps": STEPS,
        "privacy.noise_multiplier": 8.0 if rounds < MANY else 200.0,
        "privacy.budget": {"epsilon": 8.0},
        "privacy.noise_seed": NOISE_SEED,
        "model": {"name": "mlp", "hidden": HIDDEN, "seed": 1},
        "quality.accept_if.not_worse_than": 0.5,
    } | WAYS[way]
    place.mkdir(parents=True)
    agreement = standing.agreement_with(place / "agreement.yaml", terms)
    standing.found(place / "half", agreement, seed=NOISE_SEED)
    fed = standing.copied(place / "half", place / "fed")
    try:
        fed.serve()
        listen = port_of(fed)
        for name in SITES:
            dialling(fed, name, listen)
        others = [name for name in SITES if name != LAST]
        fed.run(*others)
        with ThreadPoolExecutor(2) as beside:
            for said in beside.map(fed.consent, others):
                assert said.code == 0, said
    finally:
        for name in list(fed.running):
            fed.stop(name)


def port_of(fed: standing.Federation) -> int:
    text = (fed.coordinator / "coordinator.yaml").read_text(encoding="utf-8")
    return int(re.search(r"(?m)^listen: \S+:(\d+)", text)[1])


def listening(fed: standing.Federation, listen: str) -> None:
    """Have the coordinator listen elsewhere."""
    file = fed.coordinator / "coordinator.yaml"
    text = file.read_text(encoding="utf-8")
    file.write_text(re.sub(r"(?m)^listen: \S+", f"listen: {listen}", text), encoding="utf-8")


def dialling(fed: standing.Federation, name: str, port: int) -> None:
    def change(said):
        said["federations"][0]["coordinator"] = f"localhost:{port}"

    standing.edited(fed.site_file(name), change)
