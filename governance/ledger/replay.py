"""The state of a federation as the entries alone tell it: what the state rules look at."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from governance.ledger.spending import Spending
from governance.ledger.standing import Standing
from governance.ledger.values import Keeping
from protos.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from governance.exits import Closed, Decision, Exit, Scope
    from governance.ledger.new_log import NewLog
    from governance.ledger.spending import Reserved
    from governance.statements import Statement
    from protos.words import Digest


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with a log: where, by which rule, and in one sentence what it means."""

    seq: int
    rule: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Contributed:
    """A contribution as its site stated it; `fault` is what is wrong with it if it counts.

    Its size is in bytes.
    """

    seq: int
    update: str
    fault: Fault | None
    masked: bool = False
    size: int = 0


@dataclass(frozen=True, slots=True)
class Masking:
    """A masked sum as its steps tell it: who took the last one, who shared, who is in it."""

    terms: str
    step: str
    sites: frozenset[str]
    shared: frozenset[str] = frozenset()
    summed: frozenset[str] = frozenset()

    def after(self, step: str, sites: frozenset[str]) -> Masking:
        """Return it after one more step of these sites."""
        return Masking(
            self.terms,
            step,
            sites,
            sites if step == "shares" else self.shared,
            sites if step == "masked" else self.summed,
        )


@dataclass(slots=True)
class Evaluating:
    """Figures of a candidate that are summed under masks.

    `said` are the sites that stated a masked vector; `ended` is `summed` or `missing`.
    """

    model: str
    sites: frozenset[str]
    said: set[str] = field(default_factory=set)
    ended: str = ""


@dataclass(slots=True)
class Attempt:
    """One attempt of a round; `end` is `open`, `closed` or `abandoned`.

    `drawn_from` are the sites that were ready where some were drawn; `counted` those inside the
    model that it committed, which is `made` with `made_state`; `late` those it went on without,
    though they had taken its task; `undone` when an exit went back to before it.
    `masks` are its masked sums by purpose, `figures` those that one of them is of.
    """

    round: int
    attempt: int
    agreement: str
    model: str
    state: str
    sites: frozenset[str]
    drawn_from: frozenset[str] = frozenset()
    contributions: dict[str, Contributed] = field(default_factory=dict)
    counted: frozenset[str] = frozenset()
    end: str = "open"
    made: str = ""
    made_state: str = ""
    late: frozenset[str] = frozenset()
    undone: bool = False
    masks: dict[str, Masking] = field(default_factory=dict)
    figures: Evaluating | None = None

    @property
    def fault(self) -> Fault | None:
        """The first contribution that should have been refused and was not."""
        given = (one.fault for one in self.contributions.values())
        faults = [fault for fault in given if fault is not None]
        return min(faults, key=lambda fault: fault.seq, default=None)


@dataclass(frozen=True, slots=True)
class Committed:
    """The model and the strategy's state that an agreement has come to."""

    model: str
    state: str


@dataclass(slots=True)
class Released:
    """A model that was published under a name, and the sites inside it.

    `recalled_seq` is None while it stands.
    """

    model: str
    agreement: str
    sites: frozenset[str] = frozenset()
    recalled_seq: int | None = None


@dataclass(slots=True)
class Leaving:
    """An exit as its entries tell it; `rests_on` are its request and its steps.

    `releases` are those that it lists, each with what was decided of it.
    """

    site: str
    scope: Scope
    state: Exit
    rests_on: list[int]
    releases: dict[str, Decision] = field(default_factory=dict)


@dataclass(slots=True)
class Begun:
    """A new log: since when entries are lost, who must accept it, who did by which entry."""

    new: NewLog
    since: datetime | None
    sites: frozenset[str]
    accepted: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class State:
    """What follows from the entries taken so far.

    `in_force` has the digest of the statement that put an agreement in force; `reserved` and
    `updates` go by (site, round), `tasks` are (site, task), `evaluated` counts noised figures
    by (site, round, attempt). `statistics` are those that were released, each with its seq;
    `combined` has the seq of what those of a basis were combined to. `closed` are the committed
    rounds in the order of their closing, `exits` go by the seq of their request. `replacing`
    has when it was asked that a name's keys be replaced, None once that was vetoed; `officers`
    have the name of each key. `latest` is when the last entry was received.
    """

    standing: Standing = field(default_factory=Standing)
    spending: Spending = field(default_factory=Spending)
    attempts: dict[tuple[int, int], Attempt] = field(default_factory=dict)
    last: Attempt | None = None
    committed: dict[str, Committed] = field(default_factory=dict)
    in_force: dict[str, Digest] = field(default_factory=dict)
    reserved: dict[tuple[str, int], list[Reserved]] = field(default_factory=dict)
    updates: dict[tuple[str, int], set[str]] = field(default_factory=dict)
    tasks: set[tuple[str, str]] = field(default_factory=set)
    evaluated: dict[tuple[str, int, int], int] = field(default_factory=dict)
    statistics: list[tuple[int, Statement]] = field(default_factory=list)
    combined: dict[str, int] = field(default_factory=dict)
    releases: dict[str, Released] = field(default_factory=dict)
    closed: list[Closed] = field(default_factory=list)
    exits: dict[int, Leaving] = field(default_factory=dict)
    keeping: Keeping = field(default_factory=Keeping)
    new_logs: list[Begun] = field(default_factory=list)
    replacing: dict[str, datetime | None] = field(default_factory=dict)
    officers: dict[str, str] = field(default_factory=dict)
    latest: datetime | None = None

    def attempt(self, body: Mapping[str, Any]) -> Attempt:
        """Return the attempt that an entry speaks of, or raise Refused."""
        here = (int(body["round"]), int(body["attempt"]))
        attempt = self.attempts.get(here)
        if attempt is None or attempt.agreement != body["agreement"]:
            raise Refused(
                f"there is no round {here[0]}, attempt {here[1]} under this agreement",
                rule="no-round",
            )
        return attempt

    def closing(self, round_: int) -> Attempt | None:
        """Return the attempt by which a round was closed, if it was."""
        number = 1
        while (found := self.attempts.get((round_, number))) is not None:
            if found.end == "closed":
                return found
            number += 1
        return None

    def running(self, body: Mapping[str, Any]) -> Attempt:
        """Return the attempt that an entry speaks of, still open, or raise Refused."""
        attempt = self.attempt(body)
        if attempt.end != "open":
            raise Refused(
                f"round {attempt.round}, attempt {attempt.attempt} had ended",
                rule="round-ended",
            )
        return attempt
