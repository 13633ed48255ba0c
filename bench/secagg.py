"""What masks cost a site and the coordinator, beside the keystream and the addition they are.

    python bench/secagg.py [--parameters 1000000] [--out build/bench.json]

The reference of a mask is AES-256-CTR over as many bytes, made in parts that fit the cache, and
numpy's addition: nothing else. Whole runs, with all sites in this one process, say what each
step costs; a site's is the mean over the sites. There the reference is as many raw masks as are
made or taken off, and one raw mask for a step that makes none.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR
from logs.figures import fastest, lasting, options, parsed, tell

from governance.identity.keys import SigningKey
from governance.secagg import coordinator, masks, site
from governance.secagg.fixed_point import Scale, encode
from governance.secagg.terms import Own, Part, Terms, threshold_of
from protos.words import Digest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

BENCH = "secagg"
MODEL, TASK, ROOT = Digest("a" * 64), Digest("b" * 64), "c" * 64
CASES: Final = ((5, 0), (5, 1), (20, 4), (100, 5))
_AT_ONCE: Final = 1 << 18


def main() -> int:
    given = asked()
    figures = [one_mask(given.parameters)]
    for sites, dropped in CASES:
        figures += whole(
            sites, dropped, given.parameters if sites < 100 else given.parameters // 10
        )
    tell("Masked sums", given.out, figures)
    return 0


def asked() -> argparse.Namespace:
    parser = options(__doc__)
    parser.add_argument("--parameters", type=int, default=10**6)
    return parsed(parser)


def one_mask(length: int) -> dict[str, Any]:
    """Add four masks; beside it, four keystreams and four additions."""
    vector = np.zeros(length, dtype=np.uint32)
    seeds = [os.urandom(32) for _ in range(4)]
    ours = fastest(lambda: masks.apply(vector, added=seeds[:2], subtracted=seeds[2:]))
    return lasting(
        BENCH, f"P = {length}", "a mask of one neighbour", 4, (ours, raw(vector, seeds))
    )


def raw(vector: NDArray[np.uint32], seeds: list[bytes]) -> float:
    """Return the seconds of as many keystreams and additions as there are seeds."""
    zeros, drawn = bytes(4 * _AT_ONCE), bytearray(4 * _AT_ONCE + 15)

    def streams() -> None:
        for seed in seeds:
            stream = Cipher(AES(seed), CTR(bytes(16))).encryptor()
            for start in range(0, len(vector), _AT_ONCE):
                part = vector[start : start + _AT_ONCE]
                stream.update_into(memoryview(zeros)[: 4 * len(part)], drawn)
                np.add(part, np.frombuffer(drawn, np.uint32, len(part)), out=part)

    return fastest(streams)


# --- whole runs ---------------------------------------------------------------------------


@dataclass
class Clock:
    """Seconds by step."""

    seconds: Counter[str] = field(default_factory=Counter)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Count what is done within as this step's."""
        begun = time.perf_counter()
        yield
        self.seconds[name] += time.perf_counter() - begun


def whole(count: int, dropped: int, length: int) -> list[dict[str, Any]]:
    """Play a run of so many sites, of which some drop out before they upload."""
    terms, clock = terms_of(count, length), Clock()
    values = np.random.default_rng(1).uniform(-1, 1, length).astype(np.float32)
    total, expected, neighbours = play(terms, values, dropped, clock)
    if not np.array_equal(total, expected):
        sys.exit("the masked sum is not the plain one")
    case = f"N = {count}, {dropped} dropped out, P = {length}"
    mask = raw(np.zeros(length, dtype=np.uint32), [os.urandom(32)])
    removed = (count - dropped) * (1 + dropped)
    per_site = {"site: keys", "site: shares", "site: encode", "site: masks", "site: open"}
    figures = []
    for name, seconds in clock.seconds.items():
        each = seconds / count if name in per_site else seconds
        reference = {"site: masks": neighbours * mask, "unmask": removed * mask}.get(name, mask)
        figures.append(lasting(BENCH, case, name, 1, (each, reference)))
    return figures


def play(
    terms: Terms, values: NDArray[np.float32], dropped: int, clock: Clock
) -> tuple[NDArray[np.uint32], NDArray[np.uint32], int]:
    names = terms.sites
    states: dict[str, Any] = {}
    keys, sealed, signatures = {}, {}, {}
    with clock.step("site: keys"):
        for name in names:
            states[name], keys[name] = site.advertise(
                terms, own_of(terms, name), draw=os.urandom, signer=key_of(name)
            )
    with clock.step("site: shares"):
        for name in names:
            states[name], sealed[name] = site.share(
                states[name], list(keys.values()), draw=os.urandom, signer=key_of(name)
            )
    run = coordinator.Run(terms, keys, sealed)
    scale = terms.parts[0].scale(len(names), 1)
    total = np.zeros(terms.length, dtype=np.uint32)
    survivors = names[dropped:]
    for _ in names:
        with clock.step("site: encode"):
            coded, _ = encode(values, 1, scale)
    for name in survivors:
        vector = coded.copy()
        with clock.step("site: masks"):
            states[name] = site.receive(states[name], run.delivered_to(name))
            site.apply(states[name], vector)
        with clock.step("sum"):
            np.add(total, vector, out=total)
    with clock.step("site: sign"):
        for name in survivors:
            states[name], signatures[name] = site.agree(
                states[name], survivors, signer=key_of(name)
            )
    gone = {"survivors": survivors, "dropped": names[:dropped]}
    with clock.step("site: open"):
        opened = {name: site.unmask(states[name], signatures, **gone) for name in survivors}
    with clock.step("unmask"):
        found = coordinator.unmask(run, total, survivors, opened)
    return found.total, coded * np.uint32(len(survivors)), len(names)


def terms_of(count: int, length: int) -> Terms:
    names = [f"site{place:03}" for place in range(count)]
    scale = Scale.finest(sites=count, weight=1, bound=1.0)
    return Terms(
        federation="bench",
        round=1,
        attempt=1,
        purpose="train",
        model=MODEL,
        task=TASK,
        roster={name: key_of(name).key_id for name in names},
        weights=dict.fromkeys(names, 1),
        parts=(Part(length, 1.0, scale.fraction_bits, weighted=True),),
        threshold=threshold_of(count),
        checkpoint=(1, ROOT),
    )


def own_of(terms: Terms, name: str) -> Own:
    return Own(
        site=name,
        model=MODEL,
        task=TASK,
        roster=terms.roster,
        weights=terms.weights,
        parts=terms.parts,
        minimum_sites=3,
        newest=(0, 0),
        root=ROOT,
    )


def key_of(name: str) -> SigningKey:
    return SigningKey.from_seed(name.encode().ljust(32, b"."))


if __name__ == "__main__":
    sys.exit(main())
