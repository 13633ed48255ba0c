"""What all sites of one run are told, and what each of them holds it against.

A site believes none of it: it knows the model, the task, the weights and the bounds from its
own agreement and files, and the peers' keys because their officers vouched for them.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from governance import canonical
from governance.compression.bits import words_of
from governance.secagg.fixed_point import RING_BITS, Scale
from governance.secagg.keys import Attempt
from protos.errors import PeerFault
from protos.words import Digest, KeyId

if TYPE_CHECKING:
    from collections.abc import Mapping

FEWEST: Final = 3
TRAIN: Final = "train"
EVALUATE: Final = "evaluate"
PURPOSES: Final = frozenset({TRAIN, EVALUATE})
"""What is summed: updates, or figures of quality; each by a run of its own."""
STEPS: Final = ("keys", "shares", "masked", "signed", "opened")
"""Of a run, in their order; U1 to U5 are who took them."""
UNMASKED: Final = "unmasked"
"""After them, where wrong shares were found."""


def threshold_of(sites: int) -> int:
    """Return t = ⌊2N/3⌋ + 1: two groups of so many share more than a third of all sites."""
    return 2 * sites // 3 + 1


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch of the vector with a scale of its own: `length` coordinates.

    Δy of SCAFFOLD is weighted, Δc is not; both travel in one vector. `bits` are those of a
    coordinate that leave: all 32, or as many as a sum of updates under int8 needs.
    """

    length: int
    bound: float
    fraction_bits: int
    weighted: bool
    bits: int = RING_BITS

    def scale(self, sites: int, weight: int) -> Scale:
        """Return its scale for so many sites and the largest weight."""
        most = weight if self.weighted else 1
        return Scale(sites, most, self.bound, self.fraction_bits, self.bits)

    @property
    def words(self) -> int:
        """How many words of 32 bits it fills in a vector's file."""
        return words_of(self.length, self.bits)

    def to_json(self) -> dict[str, Any]:
        """Return it as what is hashed and sent; `bits` only where they are fewer than 32."""
        narrow = {} if self.bits == RING_BITS else {"bits": self.bits}
        return {
            "length": self.length,
            "bound": self.bound.hex(),
            "fraction_bits": self.fraction_bits,
            "weighted": "yes" if self.weighted else "no",
            **narrow,
        }


@dataclass(frozen=True)
class Terms:
    """The parameters of one run.

    Attributes:
        federation: Its name.
        round: The round's number.
        attempt: Its attempt.
        purpose: `train` or `evaluate`.
        model: SHA-256 of the global model.
        task: SHA-256 of the task that the sites were asked to do.
        roster: U0, each site's agent key by its name.
        weights: Each site's weight, a public integer.
        parts: What the vector is made of.
        threshold: t.
        checkpoint: Size and root of the ledger's head, in hexadecimal.
    """

    federation: str
    round: int
    attempt: int
    purpose: str
    model: Digest
    task: Digest
    roster: Mapping[str, KeyId]
    weights: Mapping[str, int]
    parts: tuple[Part, ...]
    threshold: int
    checkpoint: tuple[int, str]

    @cached_property
    def digest(self) -> Digest:
        """SHA-256 of all of it, to which every key and signature of the run is bound."""
        return Digest(hashlib.sha256(canonical.encode(self.to_json())).hexdigest())

    @cached_property
    def run(self) -> Attempt:
        """What the run's keys are bound to."""
        place = (self.federation, self.round, self.attempt, self.purpose)
        return Attempt(*place, self.model, self.digest)

    @property
    def sites(self) -> list[str]:
        """U0 in order."""
        return sorted(self.roster)

    @property
    def length(self) -> int:
        """How many coordinates a vector has."""
        return sum(part.length for part in self.parts)

    @property
    def words(self) -> int:
        """How many words of 32 bits its file has."""
        return sum(part.words for part in self.parts)

    def to_json(self) -> dict[str, Any]:
        """Return it as what is hashed and sent."""
        parts = [part.to_json() for part in self.parts]
        size, root = self.checkpoint
        return {
            "federation": self.federation,
            "round": self.round,
            "attempt": self.attempt,
            "purpose": self.purpose,
            "model": self.model,
            "task": self.task,
            "roster": dict(self.roster),
            "weights": dict(self.weights),
            "parts": parts,
            "threshold": self.threshold,
            "checkpoint": {"size": size, "root": root},
        }

    @classmethod
    def from_bytes(cls, said: bytes) -> Terms:
        """Read what `canonical.encode` makes of `to_json`.

        Raises:
            PeerFault: these are no terms.
        """
        try:
            read = canonical.decode(said)
            parts = tuple(
                Part(
                    int(part["length"]),
                    float.fromhex(part["bound"]),
                    int(part["fraction_bits"]),
                    {"yes": True, "no": False}[part["weighted"]],
                    int(part.get("bits", RING_BITS)),
                )
                for part in read["parts"]
            )
            head = read["checkpoint"]
            whole = ("federation", "round", "attempt", "purpose", "threshold")
            terms = cls(
                **{name: read[name] for name in whole},
                model=Digest(read["model"]),
                task=Digest(read["task"]),
                roster={str(site): KeyId(key) for site, key in read["roster"].items()},
                weights={str(site): int(weight) for site, weight in read["weights"].items()},
                parts=parts,
                checkpoint=(int(head["size"]), str(head["root"])),
            )
            again = canonical.encode(terms.to_json())
        except (PeerFault, AttributeError, KeyError, TypeError, ValueError, OverflowError):
            raise broken("the terms cannot be read", rule="secagg-r1") from None
        # What is hashed and signed is what was read, to the last byte.
        if again != said:
            raise broken("the terms cannot be read", rule="secagg-r1")
        return terms


@dataclass(frozen=True, slots=True)
class Own:
    """What a site knows for itself of the run it is asked into.

    Attributes:
        site: Its name.
        model: SHA-256 of the model that it was sent.
        task: SHA-256 of the task that it was sent.
        roster: The agent key of every site of the agreement's roster, as its officer vouched.
        weights: The weight of each, as the agreement and the ledger have it.
        parts: What the agreement's model and strategy make of a vector.
        minimum_sites: The fewest sites in a sum, by its own file.
        newest: The (round, attempt) of this purpose that it took part in last.
        root: The root of its own copy of the ledger at the size of the terms' head.
    """

    site: str
    model: Digest
    task: Digest
    roster: Mapping[str, KeyId]
    weights: Mapping[str, int]
    parts: tuple[Part, ...]
    minimum_sites: int
    newest: tuple[int, int]
    root: str


def broken(what: str, *, rule: str) -> PeerFault:
    """Return the fault of a run that breaks a rule, `secagg-r1` to `secagg-r13`."""
    number = rule.removeprefix("secagg-").upper()
    return PeerFault(f"the masked sum breaks {number}: {what}", rule=rule)
