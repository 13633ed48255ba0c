"""A round's masked sum at the coordinator: it brings what sites say to one another.

Each step goes on by the round's own policies (`rounds`): when everybody in the run has taken
it, or enough did and the time for stragglers is over. Everything said is in the store before
anything follows from it, so that a restart goes on where the sum stood.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, assert_never

import numpy as np
import structlog

from coordinator.round_states import Event, State
from coordinator.store import masks, outbox, roundbook
from governance.ledger import checkpoint, note
from governance.ledger import masking as record_of
from governance.ledger import store as ledger
from governance.secagg import agreed, counted
from governance.secagg import coordinator as run_of
from governance.secagg.messages import check_agent
from governance.secagg.terms import EVALUATE, TRAIN, UNMASKED, Terms, broken, threshold_of
from protos.errors import PeerFault, Refused
from protos.words import Cancel, SiteName, TaskKind
from protos.words_masks import (
    Keys,
    Opened,
    Sealed,
    Signed,
    Vector,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from sqlalchemy import Connection

    from coordinator.foundation import Foundation
    from coordinator.rounds import RoundView
    from coordinator.store.roundbook import Asked, Running
    from governance.agreement.load import Document
    from protos.words import Task
    from protos.words_masks import MaskSaid

_log = structlog.get_logger("masks")

_STEP_OF: Final = {
    State.KEYS: "keys",
    State.SHARES: "shares",
    State.CONSISTENCY: "signed",
    State.UNMASKING: "opened",
}
_BEFORE: Final = frozenset({"keys", "shares", "masked"})
"""The steps that whoever is in the round takes; those after are for who is in the sum."""
_WORDS: Final = {
    "keys": "its keys for the masked sum",
    "shares": "its shares for the masked sum",
    "masked": "its masked figures",
    "signed": "its signature over who is in the sum",
    "opened": "its shares of what unmasks the sum",
}
VECTOR: Final = "vector"
"""What a site is noted to have sent, until it states figures of just this digest."""
OBJECTED: Final = "objected"
"""What a site is noted to have done that will not take its next step."""
BOUND: Final = frozenset(
    {State.CONSISTENCY, State.UNMASKING, State.AGGREGATING, State.EVALUATING}
)
"""The states in which who is in the sum stands fast: who withdraws then ends the round."""
_PART_OF_DEADLINE: Final = 10


def patience(document: Document) -> timedelta:
    """Return how long a step that is no training may take: a tenth of the round's deadline."""
    return timedelta(seconds=document.agreement.round.deadline / _PART_OF_DEADLINE)


def begin(
    base: Foundation,
    connection: Connection,
    document: Document,
    task: Task,
    sites: Sequence[str],
) -> bytes:
    """Keep the terms of a round's sum, and return them; the ledger's head is signed before."""
    head = checkpoint.parse_body(note.parse(ledger.latest_checkpoint(connection) or "").text)
    agents = record_of.agents_at(connection, document, head.size)
    declared = record_of.declared_at(connection, document, head.size)
    unknown = sorted(set(sites) - (agents.keys() & declared.keys()))
    if unknown:
        raise Refused(
            f"the ledger has no agent key of {', '.join(unknown)} that the roster's officers "
            "vouched for",
            todo="Compare the agreement's roster with the keys that enrolled: keys.",
            rule="agent-not-vouched",
        )
    purpose = task.kind.value
    every = counted.weights_of(document.agreement, purpose, declared)
    weights = {site: every[site] for site in sites}
    terms = Terms(
        federation=base.federation,
        round=task.round,
        attempt=task.attempt,
        purpose=purpose,
        model=task.model.digest,
        task=agreed.task_digest(task),
        roster={site: agents[site] for site in sites},
        weights=weights,
        parts=counted.parts_for(document.agreement, purpose, list(weights.values())),
        threshold=threshold_of(len(sites)),
        checkpoint=(head.size, head.root.hex()),
    )
    return masks.begin(connection, terms, step="keys" if purpose == EVALUATE else "")


def run_at_work(connection: Connection, running: Running) -> Terms | None:
    """Return the terms of the sum that the round is at: of updates, or of figures after it."""
    purpose = EVALUATE if running.state == State.EVALUATING.value else TRAIN
    return masks.terms_of(connection, (running.round, running.attempt), purpose)


def tasks(running: Running, terms: Terms) -> Mapping[SiteName, Asked]:
    """Return the tasks that a sum belongs to."""
    return running.training if terms.purpose == TRAIN else running.evaluating


def step_at_work(connection: Connection, running: Running, terms: Terms) -> str | None:
    """Return the step that a sum waits for; None where it waits for none."""
    if terms.purpose == TRAIN:
        return _STEP_OF.get(State(running.state))
    step = masks.step_of(connection, terms)
    return step if step != masks.OVER else None


def view(connection: Connection, running: Running, plain: RoundView) -> RoundView:
    """Return what the policies look at, in a round whose updates are masked.

    Args:
        connection: A connection.
        running: The round.
        plain: What they look at while updates are collected.
    """
    terms = masks.terms_of(connection, (running.round, running.attempt))
    step = _STEP_OF.get(State(running.state))
    if terms is None or step is None:
        return replace(plain, masked=terms is not None)
    return view_of_step(connection, running, terms, step, plain)


def view_of_step(
    connection: Connection, running: Running, terms: Terms, step: str, plain: RoundView
) -> RoundView:
    """Return what the policies look at in a step: who took it is in.

    Args:
        connection: A connection.
        running: The round.
        terms: Those of the sum.
        step: The one that it waits for.
        plain: Who is asked until vectors are in, and who is out.
    """
    before = step in _BEFORE
    asked = plain.asked if before else _in_step(connection, running, terms, step)
    taken = masks.times(connection, terms, step)
    objected = masks.left(connection, terms)
    out = {site: rule for site, rule in plain.out.items() if site in asked}
    out |= {site: OBJECTED for site in objected if site in asked and site not in taken}
    return replace(
        plain,
        asked=asked,
        close_at_least=plain.close_at_least if before else terms.threshold,
        arrived={site: at for site, at in taken.items() if site in asked and site not in out},
        out=out,
        masked=True,
    )


def awaited(connection: Connection, running: Running | None) -> dict[SiteName, str]:
    """Return what each site is still waited for in the step of a masked sum, in words."""
    terms = run_at_work(connection, running) if running is not None else None
    step = step_at_work(connection, running, terms) if running and terms else None
    if running is None or terms is None or step is None:
        return {}
    gone = masks.left(connection, terms)
    taken = masks.times(connection, terms, step).keys() | gone
    mine = tasks(running, terms).items()
    asked = frozenset(site for site, a in mine if a.is_waited_for)
    if step not in _BEFORE:
        asked = _in_step(connection, running, terms, step)
    return dict.fromkeys(sorted(asked - taken), _WORDS[step])


def is_bound(connection: Connection, running: Running) -> bool:
    """Tell whether who is in the round's masked sum stands fast."""
    at = (running.round, running.attempt)
    return State(running.state) in BOUND and masks.terms_of(connection, at) is not None


def _in_step(
    connection: Connection, running: Running, terms: Terms, step: str
) -> frozenset[SiteName]:
    """Return who is asked in a step after the vectors: U3 to sign, U4 to open."""
    if step == "opened":
        return frozenset(masks.times(connection, terms, "signed"))
    return frozenset(in_sum(connection, running, terms))


def in_sum(connection: Connection, running: Running, terms: Terms) -> list[SiteName]:
    """Return U3: the sites whose masked vectors are in."""
    if terms.purpose == EVALUATE:
        return sorted(masks.times(connection, terms, "masked"))
    return sorted(site for site, asked in running.training.items() if asked.state == "in")


# --- what sites say ------------------------------------------------------------------------


def take(
    base: Foundation, connection: Connection, site: SiteName, word: MaskSaid
) -> Event | None:
    """Take what a site says in a step; what is wrong takes the site out of the run."""
    running = roundbook.running(connection)
    terms = run_at_work(connection, running) if running is not None else None
    if running is None or terms is None:
        return None
    asked = tasks(running, terms).get(site)
    if asked is None or asked.task != word.task:
        return None
    if asked.state not in {"sent", "accepted", "in"}:
        return None
    step, said = step_at_work(connection, running, terms), _step_of(word)
    try:
        if step is None or (said == VECTOR and step != "masked") or said not in {step, VECTOR}:
            _log.info("mask-step-late", site=site, step=said)
            return None
        _check(connection, running, terms, site, word)
    except PeerFault as fault:
        _log.warning("mask-step-refused", site=site, rule=fault.rule, what=fault.what)
        return _out(base, connection, terms, asked, fault.rule)
    masks.keep(connection, terms, said, site, word, now=base.now())
    return None


def _step_of(word: MaskSaid) -> str:
    said = word.said
    if isinstance(said, Vector):
        return VECTOR
    if isinstance(said, Keys):
        return "keys"
    if isinstance(said, Sealed):
        return "shares"
    if isinstance(said, Signed):
        return "signed"
    if isinstance(said, Opened):
        return "opened"
    assert_never(said)


def _check(
    connection: Connection, running: Running, terms: Terms, site: SiteName, word: MaskSaid
) -> None:
    """Check a step as the protocol says; raises PeerFault naming R3, R8, R12 or R13."""
    said = word.said
    if isinstance(said, Keys | Sealed) and said.site != site:
        raise broken(f"{site} speaks for {said.site}", rule="secagg-r3")
    if isinstance(said, Keys):
        check_agent(terms, said)
        return
    if isinstance(said, Sealed):
        run_of.check_sealed(terms, keys(connection, terms), said)
        return
    if isinstance(said, Vector):
        run_of.check_vector(terms, site, np.frombuffer(said.values, "<u4"))
        return
    survivors = in_sum(connection, running, terms)
    if isinstance(said, Signed):
        run_of.check_consistent(terms, site, said.signature, survivors)
        return
    shared = masks.times(connection, terms, "shares")
    run_of.check_opened(site, said, survivors=survivors, shared=shared)


def _out(
    base: Foundation, connection: Connection, terms: Terms, asked: Asked, rule: str
) -> Event | None:
    if asked.state == "in":
        masks.leave(connection, terms, asked.site, rule, now=base.now())
    else:
        roundbook.mark(connection, asked, "refused", rule)
    outbox.send(connection, asked.site, Cancel(asked.task, rule))
    return Event.SITE_OUT if asked.kind is TaskKind.TRAIN else None


def object_to(
    base: Foundation, connection: Connection, site: SiteName, purpose: str
) -> Event | None:
    """Note that a site whose vector is in takes no further step: it complained, or cannot."""
    running = roundbook.running(connection)
    terms = run_at_work(connection, running) if running is not None else None
    if running is None or terms is None or terms.purpose != purpose:
        return None
    asked = tasks(running, terms).get(site)
    if asked is None or asked.state != "in":
        return None
    masks.leave(connection, terms, site, "", now=base.now())
    return Event.SITE_OUT if purpose == TRAIN else None


def run(connection: Connection, terms: Terms) -> run_of.Run:
    """Return what the coordinator knows of a run: keys of U1, shares of U2."""
    sealed: dict[str, Sealed] = {
        site: said
        for site, said in masks.said(connection, terms, "shares").items()
        if isinstance(said, Sealed)
    }
    return run_of.Run(terms, keys(connection, terms), sealed)


def keys(connection: Connection, terms: Terms) -> dict[str, Keys]:
    """Return the keys of each site of U1."""
    every = masks.said(connection, terms, "keys")
    return {site: said for site, said in every.items() if isinstance(said, Keys)}


def opened(connection: Connection, terms: Terms) -> dict[str, Opened]:
    """Return what each site opened."""
    every = masks.said(connection, terms, "opened")
    return {site: said for site, said in every.items() if isinstance(said, Opened)}


def record_liars(
    base: Foundation, connection: Connection, liars: Collection[str], purpose: str = TRAIN
) -> None:
    """Say in the ledger who opened wrong shares (R12)."""
    running = roundbook.running(connection)
    if running is None or not liars:
        return
    _log.warning("wrong-shares", sites=sorted(liars))
    terms = masks.terms_of(connection, (running.round, running.attempt), purpose)
    assert terms is not None
    took = sorted(opened(connection, terms))
    body = step(running, terms, UNMASKED, took, refused=dict.fromkeys(liars, "secagg-r12"))
    base.chronicle.say(connection, "masking-step", body, now=base.now())


def step(
    running: Running,
    terms: Terms,
    step: str,
    sites: Sequence[str],
    *,
    dropped: Sequence[str] = (),
    refused: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Return what `masking-step` says."""
    return {
        "agreement": running.agreement,
        "round": running.round,
        "attempt": running.attempt,
        "purpose": terms.purpose,
        "terms": terms.digest,
        "step": step,
        "sites": list(sites),
        "dropped": list(dropped),
        "refused": dict(refused or {}),
    }
