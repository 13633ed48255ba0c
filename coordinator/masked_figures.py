"""Figures of quality under masks: who is asked, what they state, and that there are none."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import structlog

from coordinator import heads, masking
from coordinator.round_states import Reason, State
from coordinator.store import masks, outbox, recovered, roundbook
from coordinator.store.roundbook import Asked
from governance.ledger import masking as record_of
from governance.ledger.kinds_masks import MISSING, OPENED
from governance.secagg.terms import EVALUATE, FEWEST
from protos.errors import PeerFault
from protos.words import Cancel, Task, TaskKind
from protos.words_masks import Vector

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from coordinator.effects import Turn
    from coordinator.foundation import Foundation
    from coordinator.store.roundbook import Running
    from governance.secagg.terms import Terms
    from protos.words import SiteName

_log = structlog.get_logger("masks")


def ask(turn: Turn, sites: Sequence[SiteName]) -> None:
    """Ask sites for figures of the candidate; the head that their terms name has the question.

    Where too few are here the evaluation is said to be missing, once.
    """
    terms = turn.document.agreement
    if len(sites) < max(FEWEST, terms.sites.close_at_least):
        if record_of.evaluation(turn.connection, place(turn), kind=MISSING) is None:
            miss(turn, Reason.TOO_FEW.value)
        return
    body = {**place(turn), "model": candidate(turn), "sites": list(sites)}
    turn.base.chronicle.say(turn.connection, OPENED, body, now=turn.now)
    heads.publish(turn.base, turn.connection)
    task = _task(turn)
    said = masking.begin(turn.base, turn.connection, turn.document, task, sites)
    for site in sites:
        asked = Asked(site, task.task, TaskKind.EVALUATE, "sent", "")
        roundbook.ask(turn.connection, asked, turn.at)
        outbox.send(turn.connection, site, replace(task, masks=said))
    until = turn.now + masking.patience(turn.document)
    roundbook.move(turn.connection, State.EVALUATING.value, deadline=until)


def _task(turn: Turn) -> Task:
    model, document = turn.running.candidate, turn.document
    assert model is not None
    what = f"{EVALUATE}/{model.digest[:12]}"
    name = recovered.task_of(turn.connection, turn.base.federation, turn.at, what)
    deadline = turn.now + timedelta(seconds=document.agreement.round.deadline)
    return Task(name, TaskKind.EVALUATE, *turn.at, document.digest, model, None, deadline)


def stated(
    base: Foundation, connection: Connection, site: SiteName, model: str, vector: str
) -> None:
    """Take a site's statement of masked figures, whose vector came before it.

    Raises:
        PeerFault: it is of another vector or model, or comes out of its turn.
    """
    running = roundbook.running(connection)
    terms = at_work(connection, running) if running is not None else None
    if running is None or terms is None or masks.step_of(connection, terms) != "masked":
        raise PeerFault("masked figures come when none are summed", rule="figures-late")
    asked = running.evaluating.get(site)
    if asked is None or not asked.is_waited_for:
        raise PeerFault("masked figures of a site that is out of the sum", rule="figures-late")
    came = masks.said(connection, terms, masking.VECTOR).get(site)
    held = hashlib.sha256(came.values).hexdigest() if isinstance(came, Vector) else ""
    if (held, terms.model) != (vector, model):
        raise PeerFault("masked figures of another vector or model", rule="bad-figures")
    masks.keep(connection, terms, "masked", site, None, now=base.now())


def at_work(connection: Connection, running: Running) -> Terms | None:
    """Return the terms of the sum of figures that the round waits for, None for none."""
    if running.state != State.EVALUATING.value:
        return None
    terms = masks.terms_of(connection, (running.round, running.attempt), EVALUATE)
    over = terms is None or masks.step_of(connection, terms) == masks.OVER
    return None if over else terms


def cancel(turn: Turn, rule: str) -> None:
    """Cancel the tasks of those who have not said their figures."""
    for site, asked in turn.running.evaluating.items():
        if asked.is_waited_for:
            outbox.send(turn.connection, site, Cancel(asked.task, rule))
            roundbook.mark(turn.connection, asked, "cancelled", rule)


def miss(turn: Turn, reason: str) -> None:
    """Say that there are no figures of the candidate, and let sites forget their secrets."""
    _log.warning("evaluation-missing", round=turn.at[0], reason=reason)
    body = {**place(turn), "model": candidate(turn), "reason": reason}
    turn.base.chronicle.say(turn.connection, MISSING, body, now=turn.now)
    terms = at_work(turn.connection, turn.running)
    if terms is None:
        return
    cancel(turn, reason)
    for site, asked in turn.running.evaluating.items():
        if asked.state == "in":
            outbox.send(turn.connection, site, Cancel(asked.task, reason))
    masks.move(turn.connection, terms, masks.OVER)


def place(turn: Turn) -> dict[str, object]:
    """Return the round at work, as entries say it."""
    at = {"round": turn.running.round, "attempt": turn.running.attempt}
    return {"agreement": turn.running.agreement, **at}


def candidate(turn: Turn) -> str:
    """Return the model that figures are asked of."""
    assert turn.running.candidate is not None
    return turn.running.candidate.digest
