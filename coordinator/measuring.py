"""A round that begins with statistics: every hospital's noised sums, combined once.

The first round under an agreement whose quantities are normalised by federated statistics asks
each of its sites for its sums, waits for them as it waits for updates, records what they come
to, and only then lets anybody train. Any later round uses what is recorded.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from coordinator import heads
from coordinator.rounds import OUT_CONSENT, RoundView
from coordinator.store import measured, outbox, record, recovered, roundbook
from coordinator.store.roundbook import Asked
from governance import normalisation
from protos.words import Cancel, Task, TaskKind

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from sqlalchemy import Connection

    from coordinator.foundation import Foundation
    from coordinator.store.roundbook import Running
    from governance.agreement.load import Document
    from protos.words import SiteName

_OUT = frozenset({"refused", "withdrawn", "cancelled"})


def is_due(connection: Connection, document: Document) -> bool:
    """Tell whether a round under an agreement has to begin with statistics."""
    if not document.agreement.statistics_federated:
        return False
    basis = normalisation.basis_of(document.agreement)
    return measured.scales(connection, basis) is None


def ask(
    base: Foundation,
    connection: Connection,
    document: Document,
    task: Task,
    sites: Iterable[SiteName],
) -> None:
    """Give each site its task, but for those whose statistics of this basis are recorded."""
    at = (task.round, task.attempt)
    known = measured.released(connection, normalisation.basis_of(document.agreement))
    name = recovered.task_of(connection, base.federation, at, TaskKind.MEASURE.value)
    for site in sites:
        state = "in" if site in known else "sent"
        roundbook.ask(connection, Asked(site, name, TaskKind.MEASURE, state, ""), at)
        if state == "sent":
            outbox.send(connection, site, replace(task, task=name, kind=TaskKind.MEASURE))


def view(
    connection: Connection, running: Running, document: Document, plain: RoundView
) -> RoundView:
    """Return what the policies look at while statistics are waited for."""
    basis = normalisation.basis_of(document.agreement)
    known = measured.released(connection, basis)
    inside = {
        site: known[site].received_at
        for site, asked in running.measuring.items()
        if asked.state == "in" and site in known
    }
    out = {s: a.reason or a.state for s, a in running.measuring.items() if a.state in _OUT}
    return replace(plain, asked=frozenset(running.measuring), arrived=inside, out=out)


def combine(
    base: Foundation,
    connection: Connection,
    running: Running,
    document: Document,
    now: datetime,
) -> None:
    """Record what the statistics that are in come to, and let everybody train by them."""
    at, agreement = (running.round, running.attempt), document.agreement
    for asked in running.measuring.values():
        if asked.is_waited_for:
            outbox.send(connection, asked.site, Cancel(asked.task, asked.why_out))
            roundbook.mark(connection, asked, "cancelled", asked.why_out)
    basis = normalisation.basis_of(agreement)
    known = measured.released(connection, basis)
    sites = sorted(s for s, a in running.measuring.items() if a.state == "in" and s in known)
    texts = [normalisation.from_json(known[site].text, agreement) for site in sites]
    scales = normalisation.combined(texts, agreement)
    body = {
        "agreement": document.digest,
        "round": at[0],
        "attempt": at[1],
        "basis": basis,
        "released": [known[site].commitment for site in sites],
        "sites": sites,
        "values": {name: one.to_json() for name, one in scales.items()},
    }
    base.chronicle.say(connection, "statistics-combined", body, now=now)
    heads.publish(base, connection)  # each site takes them from its own copy of the log
    members = record.declared_patients(connection, document.digest, now)
    name = recovered.task_of(connection, base.federation, at)
    files = (running.model, running.strategy_state)
    task = Task(name, TaskKind.TRAIN, *at, document.digest, *files, running.deadline)
    give(connection, task, running.measuring, members=members.keys())


def give(
    connection: Connection,
    task: Task,
    sites: Iterable[SiteName],
    *,
    members: Iterable[SiteName],
) -> None:
    """Give each site its task to train; one whose consent ended meanwhile is out."""
    here = frozenset(members)
    for site in sites:
        inside = site in here
        state, why = ("sent", "") if inside else ("withdrawn", OUT_CONSENT)
        asked = Asked(site, task.task, TaskKind.TRAIN, state, why)
        roundbook.ask(connection, asked, (task.round, task.attempt))
        if inside:
            outbox.send(connection, site, task)
