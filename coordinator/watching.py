"""`watch`, `rounds` and `round`: what the operator's program shows of a running federation."""

from __future__ import annotations

import threading
from datetime import datetime
from typing import TYPE_CHECKING, Final

from coordinator import dissenting
from coordinator.board import Board
from governance import terminal
from governance.counts import count
from governance.ledger import upstream
from governance.ledger.upstream import CameUp
from governance.terminal import Answer
from protos.errors import Unavailable
from protos.words_operator import RoundsRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from coordinator.console import Console
    from protos.words_operator import AttemptStatus, ReleaseStatus, SitePart, StatusReport

LOOK_EVERY_S: Final = 1.0
_PAGE: Final = 100
_tick = threading.Event()

_ROUNDS: Final = (
    "round", "attempt", "state", "opened", "seconds", "in", "out", "waits_for", "reason",
)  # fmt: skip
_ROUND: Final = (
    "attempt", "site", "part", "reason", "connected", "doing", "steps_done", "waiting_for",
)  # fmt: skip


def watch(
    open_console: Callable[[], Console], *, wait: Callable[[float], object] = _tick.wait
) -> None:
    """Show the federation until Ctrl-C; a coordinator that is away for a while is waited for.

    Raises:
        Unavailable: it could not be reached at first.
    """
    try:
        with open_console() as console:
            report = console.status()
            with Board() as board:
                while True:
                    board.show(report)
                    report = _next(console, board, wait)
    except KeyboardInterrupt:
        terminal.tell("Stopped watching; the federation goes on.")


def status(report: StatusReport, releases: Iterable[ReleaseStatus] = ()) -> Answer:
    """Say where the federation stands: each site, what waits for an operator, alarms.

    Of the releases those are named for which an exit waits.
    """
    undecided = [(one.release, site) for one in releases for site in one.leavers]
    rows = [
        (
            s.name,
            "yes" if s.connected else "no",
            s.consent,
            s.doing,
            s.steps_done,
            s.waiting_for,
        )
        for s in report.sites
    ]
    facts = {
        "federation": report.federation,
        "state": report.state,
        "agreement": report.agreement,
        "proposed": report.proposed,
        "round": report.round,
        "attempt": report.attempt,
        "round_state": report.round_state,
        "rounds_committed": report.rounds_committed,
        "rounds_planned": report.rounds_planned,
        "ledger_size": report.ledger_size,
        "metric": report.metric,
        "quality": list(report.quality),
        "alarms": list(report.alarms),
        "dissents": dissenting.facts(report.dissents),
        "pending": [{"digest": p.digest, "act": p.act, "by": p.by} for p in report.pending],
        "to_settle": [{"release": name, "site": site} for name, site in undecided],
    }
    columns = ("site", "connected", "consent", "doing", "steps_done", "waiting_for")
    notes = _waits(report, undecided)
    return Answer(columns, rows, title=report.state, notes=notes, facts=facts)


def _waits(report: StatusReport, undecided: Sequence[tuple[str, str]]) -> list[str]:
    """Return a line for whatever waits for an operator."""
    return [
        *(f"ALARM: {alarm}" for alarm in report.alarms),
        *(
            f"waits for a second operator: {p.act} by {p.by}, approve {p.digest[:12]}"
            for p in report.pending
        ),
        *(
            f"the exit of {site} waits for a decision on the release {name}: "
            f"concilium-coordinator settle {name} keep|recall --site {site}"
            for name, site in undecided
        ),
        *dissenting.lines(report.dissents),
    ]


def _next(console: Console, board: Board, wait: Callable[[float], object]) -> StatusReport:
    while True:
        wait(LOOK_EVERY_S)
        try:
            return console.status()
        except Unavailable as problem:
            board.lost(f"{problem.what}; trying again")


def rounds(console: Console, *, last: int) -> Answer:
    """Say what became of the last attempts of rounds; the newest comes last."""
    attempts, more = _newest(console, last)
    rows = [_row(one) for one in reversed(attempts)]
    closed = sum(one.state == "closed" for one in attempts)
    notes = [f"There are older ones: --last {2 * last}"] if more else []
    if not attempts:
        notes = ["No round was opened yet; why: concilium-coordinator status"]
    return Answer(
        _ROUNDS,
        rows,
        title=f"The last {count(len(attempts), 'attempt')}, of which {closed} closed a round",
        notes=notes,
        facts={"attempts": [_facts(one) for one in reversed(attempts)], "more": more},
    )


def one_round(console: Console, number: int) -> Answer:
    """Say who is in, who is out and why, and who is waited for in each attempt of a round."""
    report = console.rounds(RoundsRequest(round=number, most=_PAGE))
    attempts = report.attempts[::-1]
    rows = [(one.attempt, *_part(part)) for one in attempts for part in one.sites]
    return Answer(
        _ROUND,
        rows,
        title=f"Round {number}",
        notes=[
            line
            for one in attempts
            for line in (_told(one), *_line(one), *upstream.said(one.attempt, _up(one)))
        ],
        facts={"round": number, "attempts": [_facts(one) for one in attempts]},
    )


def _newest(console: Console, last: int) -> tuple[list[AttemptStatus], bool]:
    found: list[AttemptStatus] = []
    more = True
    while more and len(found) < last:
        before = found[-1].opened_seq if found else 0
        wanted = RoundsRequest(before=before, most=min(_PAGE, last - len(found)))
        report = console.rounds(wanted)
        found += report.attempts
        more = report.more
    return found, more


def _row(one: AttemptStatus) -> tuple[object, ...]:
    return (
        one.round,
        one.attempt,
        one.state,
        one.opened_at[:16].replace("T", " "),
        _seconds(one),
        ", ".join(_of(one, "in")),
        ", ".join(f"{part.site}: {part.reason}" for part in one.sites if part.part == "out"),
        ", ".join(_of(one, "waited for")),
        one.reason,
    )


def _seconds(one: AttemptStatus) -> int | None:
    if not one.ended_at:
        return None
    took = datetime.fromisoformat(one.ended_at) - datetime.fromisoformat(one.opened_at)
    return round(took.total_seconds())


def _of(one: AttemptStatus, part: str) -> Iterator[str]:
    return (each.site for each in one.sites if each.part == part)


def _part(part: SitePart) -> tuple[object, ...]:
    if part.now is None:
        return (part.site, part.part, part.reason, None, None, None, None)
    return (
        part.site,
        part.part,
        part.reason,
        "yes" if part.now.connected else "no",
        part.now.doing,
        part.now.steps_done,
        part.now.waiting_for,
    )


def _told(one: AttemptStatus) -> str:
    begun = f"Attempt {one.attempt} (entry {one.opened_seq}) of agreement {one.agreement[:12]}"
    if not one.ended_seq:
        return f"{begun} is {one.state}; its time is over at {one.deadline[:16]}Z."
    if one.state == "closed":
        models = f"model {one.model_in[:8]} became {one.model_out[:8]}"
        return f"{begun} closed at entry {one.ended_seq}: {models}."
    return f"{begun} was abandoned at entry {one.ended_seq}: {one.reason}."


def _line(one: AttemptStatus) -> Iterator[str]:
    """Say what the line has borne for an attempt at work, of updates that are not whole too."""
    if not one.ended_seq:
        yield (
            f"{one.down_bytes:,} bytes went down for it since the coordinator started, and "
            f"{_came(one):,} bytes of updates have come up."
        )


def _came(one: AttemptStatus) -> int:
    halves = (part.now.bytes_in for part in one.sites if part.now and part.part != "in")
    return one.update_bytes + sum(halves)


def _up(one: AttemptStatus) -> CameUp:
    return CameUp(one.updates, one.update_bytes)


def _facts(one: AttemptStatus) -> dict[str, object]:
    return {
        "round": one.round,
        "attempt": one.attempt,
        "agreement": one.agreement,
        "state": one.state,
        "reason": one.reason,
        "opened_seq": one.opened_seq,
        "ended_seq": one.ended_seq or None,
        "opened_at": one.opened_at,
        "ended_at": one.ended_at or None,
        "deadline": one.deadline or None,
        "model_in": one.model_in,
        "model_out": one.model_out or None,
        "sites_in": list(_of(one, "in")),
        "sites_out": _reasons(one.sites),
        "waits_for": list(_of(one, "waited for")),
        "updates": one.updates,
        "update_bytes": one.update_bytes,
        "bytes_down": one.down_bytes if not one.ended_seq else None,
        "bytes_up": _came(one) if not one.ended_seq else one.update_bytes,
    }


def _reasons(parts: Iterable[SitePart]) -> dict[str, str]:
    return {part.site: part.reason for part in parts if part.part == "out"}
