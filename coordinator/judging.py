"""Who is asked for figures of a candidate, and how long they are waited for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from coordinator import drawing
from coordinator.rounds import RoundView
from coordinator.store import quality, record
from governance.stragglers import LATE, NEXT_ROUND, NO_ANSWER

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from coordinator.effects import Turn
    from coordinator.store.roundbook import Running
    from governance.agreement.load import Document
    from protos.words import SiteName


def judges(turn: Turn) -> list[SiteName]:
    """Return the sites of the round that are asked for figures: who is here, or was lately.

    A site whose update is in comes back and is waited for: after a restart nobody is connected
    yet, and the gate is not to decide on nothing. One that did not answer its task to train
    would be waited for again in vain, and so would one that is still at its training.
    """
    members = record.declared_patients(turn.connection, turn.running.agreement, turn.now)
    training = turn.running.training
    here = turn.base.sessions.connected
    here |= {site for site, asked in training.items() if asked.state == "in"}
    busy = {NO_ANSWER}
    if turn.document.agreement.round.late == NEXT_ROUND:
        busy.add(LATE)
    here -= {site for site, asked in training.items() if asked.reason in busy}
    asked = training.keys() | drawing.judges(turn.connection, turn.document, *turn.at)
    return sorted(asked & members.keys() & here)


def view(connection: Connection, running: Running, document: Document) -> RoundView:
    """Return what the policies look at while figures come that no masks hide."""
    assert running.candidate is not None
    at = (running.round, running.attempt, running.candidate.digest)
    times = quality.arrivals(connection, *at)
    asked = running.evaluating
    least = min(document.agreement.sites.close_at_least, len(asked))
    return RoundView(
        asked=frozenset(asked),
        close_at_least=max(1, least),
        deadline=running.deadline,
        close_early_after_s=document.agreement.round.stragglers,
        arrived={s: times[s] for s, a in asked.items() if a.state == "in" and s in times},
        out={
            s: a.reason or a.state
            for s, a in asked.items()
            if a.state != "in" and not a.is_waited_for
        },
    )
