"""When an agreement is complete, by what, and what follows: the record, and the final model."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

import structlog

from coordinator import heads
from coordinator.store import kept, outbox, record
from governance.agreement.schedule import Ending, ending_of
from governance.counts import count
from governance.figures import pooled
from protos.words import AgreementState, FinalModel, SiteName

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Connection

    from coordinator.foundation import Foundation
    from governance.agreement.load import Document
    from governance.agreement.party_terms import Stop
    from governance.figures import Figures

_log = structlog.get_logger("conductor")
_FIGURES: Final = "stop"
"""The note of the figures that `schedule.stop` looks at."""
_ENDED: Final = "ended"
"""The note of how the last agreement came to be complete, in words."""


def remember(
    connection: Connection, document: Document, said: Mapping[SiteName, Figures]
) -> None:
    """Keep the pooled metric of a model that was committed, when `schedule.stop` names one."""
    stop = document.agreement.schedule.stop
    if stop is None:
        return
    figure = pooled(said[site] for site in sorted(said)).metric(stop.metric)
    if figure is None:  # nobody was asked, or every site withheld
        return
    history = [*figures(connection, document), figure]
    note = {"agreement": document.digest, "figures": history}
    kept.set_note(connection, _FIGURES, json.dumps(note))


def figures(connection: Connection, document: Document) -> list[float]:
    """Return the metric of the agreement's `stop` after each evaluation, the oldest first."""
    note = json.loads(kept.note(connection, _FIGURES) or "{}")
    if note.get("agreement") != document.digest:
        return []
    return [float(value) for value in note["figures"]]


def forget(connection: Connection, document: Document, count: int) -> None:
    """Forget the last figures: the models that they are of were given up."""
    known = figures(connection, document)
    note = {"agreement": document.digest, "figures": known[: max(0, len(known) - count)]}
    kept.set_note(connection, _FIGURES, json.dumps(note))


def due(connection: Connection, document: Document) -> Ending | None:
    """Return by what the agreement is complete now, or None."""
    rounds = record.rounds_of_schedule(connection)
    return ending_of(document.agreement.schedule, rounds, figures(connection, document))


def complete(
    base: Foundation, connection: Connection, document: Document, ending: Ending
) -> None:
    """End the agreement: record why, tell its sites, and hand them the final model."""
    members = record.declared_patients(connection, document.digest, base.now())
    model = kept.blob_note(connection, "model")
    body = {
        "agreement": document.digest,
        "material": document.material,
        "rests_on": record.seqs_of_consents(connection, document.digest),
        "sites": sorted(members),
        "reason": ending.value,
    }
    base.chronicle.say(connection, "agreement-complete", body, now=base.now())
    why = _words(ending, document, figures(connection, document))
    _close(connection, f"is complete: {why}" if why else "is complete")
    for site in sorted(members):
        outbox.send(connection, site, AgreementState(document.digest, "complete"))
        if model is not None:
            outbox.send(connection, site, FinalModel(document.digest, model))
    heads.publish(base, connection)
    _log.info("agreement-complete", agreement=document.digest[:12], reason=ending.value)


def expire(base: Foundation, connection: Connection, document: Document) -> None:
    """End an agreement whose time is over: record it and tell every hospital of its roster."""
    body = {
        "agreement": document.digest,
        "material": document.material,
        "rests_on": record.seqs_of_consents(connection, document.digest),
        "sites": [],
    }
    base.chronicle.say(connection, "agreement-expired", body, now=base.now())
    end = document.agreement.valid.until
    _close(connection, f"has expired: its time ended on {end:%Y-%m-%d %H:%M} UTC")
    for site in document.agreement.sites.roster:
        outbox.send(connection, SiteName(site), AgreementState(document.digest, "expired"))
    heads.publish(base, connection)
    _log.info("agreement-expired", agreement=document.digest[:12])


def _close(connection: Connection, said: str) -> None:
    """Keep how an agreement ended, and forget what belonged to it alone."""
    kept.set_note(connection, _ENDED, said)
    kept.set_note(connection, _FIGURES, "")
    kept.set_history(connection, [])


def words(connection: Connection) -> str:
    """Return how the last agreement came to its end, for an operator's eyes."""
    return f"the agreement {kept.note(connection, _ENDED) or 'is complete'}"


def _words(ending: Ending, document: Document, history: list[float]) -> str:
    """Return why it ended early; that all its rounds are done needs no word."""
    stop = document.agreement.schedule.stop
    if stop is None or ending is Ending.ROUNDS:
        return ""
    return _TOLD[ending](stop, history)


def _target(stop: Stop, history: list[float]) -> str:
    return f"{stop.metric} reached {history[-1]:.3f}, its schedule's target is {stop.reached}"


def _patience(stop: Stop, history: list[float]) -> str:
    assert stop.patience is not None
    times = count(stop.patience, "evaluation")
    return f"{stop.metric} got no better in {times}, its last is {history[-1]:.3f}"


_TOLD: Final = {Ending.TARGET: _target, Ending.PATIENCE: _patience}
