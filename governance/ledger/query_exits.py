"""What an auditor asks of exits: who left, what it set in motion, and what is still due."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Row, select

from governance.exits import WORDS, Decision, Exit, Scope, Step, advance, still_due
from governance.ledger import exit_certificate, project_settling
from governance.ledger.reading import as_of, disclosed, received_at, size_at
from governance.ledger.schema import entries, exit_steps, exits
from governance.terminal import Answer
from protos.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime
    from pathlib import Path

    from sqlalchemy import Connection

_EXITS: Final = (
    *("seq", "site", "scope", "agreement", "cause", "asked_by", "asked", "state"),
    *("closed", "rounds", "training", "still_due"),
)
_STEPS: Final = ("seq", "at", "step", "decision", "rounds", "model", "means")


def exits_held(c: Connection, *, site: str | None = None, at: datetime | None = None) -> Answer:
    """List every exit with where it stands, the rounds it touched and what is still due.

    Args:
        c: The ledger.
        site: This one's alone.
        at: As of this moment.
    """
    size = size_at(c, at)
    question = select(exits).order_by(exits.c.seq)
    if site is not None:
        question = question.where(exits.c.site == site)
    if size is not None:
        question = question.where(exits.c.seq < size)
    rows = [_exit(c, row, size) for row in c.execute(question).all()]
    open_ = sum(1 for row in rows if row[7] != Exit.CLOSED.value)
    return Answer(
        _EXITS,
        rows,
        title=f"{len(rows)} exits, {open_} not closed",
        notes=() if rows else ("Nobody had left." if at else "Nobody has left.",),
        facts={"exits": len(rows), "open": open_, **as_of(at)},
    )


def exit_of(c: Connection, site: str) -> Answer:
    """Say step by step what a site's exits set in motion, with the time of each.

    Raises:
        Refused: the site has not left, nor withdrawn from any agreement.
    """
    begun = c.execute(select(exits).where(exits.c.site == site).order_by(exits.c.seq)).all()
    if not begun:
        raise Refused(
            f"{site} has no exit",
            todo="See who has: concilium-ledger exits",
            rule="no-exit",
        )
    rows = [row for one in begun for row in sorted(_course(c, one), key=lambda row: row[0])]
    due = [step for one in begun for step in still_due(Scope(one.scope), Exit(one.state))]
    notes = [note for one in begun for note in _undecided(c, one)]
    notes += [f"Still due: {step.value}, so that {WORDS[step]}." for step in due]
    return Answer(
        _STEPS,
        rows,
        title=f"How {site} left",
        notes=notes or ["Nothing is due any more."],
        facts={"site": site, "still_due": [step.value for step in due]},
    )


def certified(file: Path) -> Answer:
    """Check a hospital's exit certificate, and say what it shows.

    Raises:
        Refused: it is none, or it was altered.
    """
    shown = exit_certificate.check(file.read_bytes(), where=str(file))
    facts = {
        "federation": shown.federation,
        "site": shown.site,
        "closed": shown.closed,
        "steps": list(shown.steps),
        "log": shown.key,
        "size": shown.size,
        "signed_by": list(shown.signers),
    }
    said = {name: ", ".join(v) if isinstance(v, list) else str(v) for name, v in facts.items()}
    return Answer(
        ("field", "value"),
        list(said.items()),
        title=f"{shown.site} left {shown.federation}",
        notes=["Compare the log's key with the one that the hospital's ledger_key says."],
        facts=facts,
    )


def _exit(c: Connection, row: Row[Any], size: int | None) -> tuple[object, ...]:
    steps = {one.step: one for one in _steps(c, row) if size is None or one.seq < size}
    listed = steps.get(Step.LIST.value)
    trained = steps.get(Step.SETTLE_TRAINING.value)
    state = _stood(row, steps, size)
    closed = state is Exit.CLOSED
    return (
        *(row.seq, row.site, row.scope, row.agreement, row.cause, row.asked_by),
        received_at(c, row.seq),
        state.value,
        received_at(c, row.changed_seq) if closed else None,
        _numbers(listed.rounds) if listed is not None else None,
        trained.decision if trained is not None else None,
        ", ".join(step.value for step in still_due(Scope(row.scope), state)),
    )


def _stood(row: Row[Any], steps: Iterable[str], size: int | None) -> Exit:
    """Return the state of an exit after the first so many entries, which have these steps."""
    if size is None or row.changed_seq < size:
        return Exit(row.state)
    state = Exit.REQUESTED
    for step in steps:
        state = advance(Scope(row.scope), state, Step(step))
    return state


def _course(c: Connection, row: Row[Any]) -> Iterator[tuple[Any, ...]]:
    reason = disclosed(c, row.seq).get("reason", "")
    why = f"{row.asked_by}: {row.cause}{f', {reason}' if reason else ''}"
    yield row.seq, received_at(c, row.seq), "requested", row.scope, "", "", why
    for one in _steps(c, row):
        step = Step(one.step)
        decided = Decision(one.decision).value
        at = received_at(c, one.seq)
        yield one.seq, at, step.value, decided, _numbers(one.rounds), one.model, WORDS[step]
    yield from _releases(c, row)
    if row.state == Exit.CLOSED.value:
        at = received_at(c, row.changed_seq)
        yield row.changed_seq, at, row.state, "", "", "", WORDS[Step.CLOSE]


def _releases(c: Connection, row: Row[Any]) -> Iterator[tuple[Any, ...]]:
    """Say of each release that an exit lists what was decided, by whom and why."""
    for one in project_settling.listed(c, row.seq):
        if one.seq is None:
            continue
        entry = c.execute(select(entries).where(entries.c.seq == one.seq)).one()
        ground = disclosed(c, one.seq).get(project_settling.GROUND, "")
        why = f"{entry.actor}{f': {ground}' if ground else ', as the agreement says'}"
        at = received_at(c, one.seq)
        yield one.seq, at, f"release {one.release}", one.decision, "", "", why


def _undecided(c: Connection, row: Row[Any]) -> Iterator[str]:
    for one in project_settling.listed(c, row.seq):
        if one.seq is None:
            yield (
                f"Nobody has decided on the release {one.release} yet: "
                f"concilium-coordinator settle {one.release} keep|recall --ground …"
            )


def _steps(c: Connection, row: Row[Any]) -> list[Row[Any]]:
    mine = select(exit_steps).where(exit_steps.c.exit_seq == row.seq)
    return list(c.execute(mine.order_by(exit_steps.c.seq)))


def _numbers(text: str) -> str:
    return ", ".join(str(number) for number in json.loads(text))
