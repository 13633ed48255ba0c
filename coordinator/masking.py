"""A round's masked sum at the coordinator: it brings what sites say to one another.

Each step goes on by the round's own policies (`rounds`): when everybody in the run has taken
it, or enough did and the time for stragglers is over. Everything said is in the store before
anything follows from it, so that a restart goes on where the sum stood.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, assert_never

import structlog

from coordinator.round_states import Event, State
from coordinator.rounds import RoundView
from coordinator.store import masks, outbox, roundbook
from governance.ledger import checkpoint, note
from governance.ledger import masking as record_of
from governance.ledger import store as ledger
from governance.secagg import agreed
from governance.secagg import coordinator as run_of
from governance.secagg.messages import check_agent
from governance.secagg.terms import UNMASKED, Terms, broken, threshold_of
from protos.errors import PeerFault, Refused
from protos.words import Cancel, SiteName
from protos.words_masks import (
    Keys,
    Opened,
    Sealed,
    Signed,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from sqlalchemy import Connection

    from coordinator.foundation import Foundation
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
_BEFORE: Final = frozenset({State.KEYS, State.SHARES})
"""The steps that are taken before anybody trains."""
_WORDS: Final = {
    State.KEYS: "its keys for the masked sum",
    State.SHARES: "its shares for the masked sum",
    State.CONSISTENCY: "its signature over who is in the sum",
    State.UNMASKING: "its shares of what unmasks the sum",
}
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
    weights = {site: agreed.weight_of(document.agreement, declared[site]) for site in sites}
    terms = Terms(
        federation=base.federation,
        round=task.round,
        attempt=task.attempt,
        purpose=masks.TRAIN,
        model=task.model.digest,
        task=agreed.task_digest(task),
        roster={site: agents[site] for site in sites},
        weights=weights,
        parts=agreed.parts_of(document.agreement, weights.values()),
        threshold=threshold_of(len(sites)),
        checkpoint=(head.size, head.root.hex()),
    )
    return masks.begin(connection, terms)


def view(connection: Connection, running: Running, plain: RoundView) -> RoundView:
    """Return what the policies look at, in a round whose updates are masked.

    Args:
        connection: A connection.
        running: The round.
        plain: What they look at while updates are collected.
    """
    state = State(running.state)
    terms = masks.terms_of(connection, (running.round, running.attempt))
    if terms is None or state not in _STEP_OF:
        return RoundView(
            asked=plain.asked,
            close_at_least=plain.close_at_least,
            deadline=plain.deadline,
            close_early_after_s=plain.close_early_after_s,
            arrived=plain.arrived,
            out=plain.out,
            masked=terms is not None,
        )
    before = state in _BEFORE
    asked = plain.asked if before else _in_step(connection, running, terms, state)
    taken = masks.times(connection, terms, _STEP_OF[state])
    objected = masks.times(connection, terms, OBJECTED)
    out = {site: rule for site, rule in plain.out.items() if site in asked}
    out |= {site: OBJECTED for site in objected if site in asked and site not in taken}
    return RoundView(
        asked=asked,
        close_at_least=plain.close_at_least if before else terms.threshold,
        deadline=plain.deadline,
        close_early_after_s=plain.close_early_after_s,
        arrived={site: at for site, at in taken.items() if site in asked and site not in out},
        out=out,
        masked=True,
    )


def awaited(connection: Connection, running: Running | None) -> dict[SiteName, str]:
    """Return what each site is still waited for in the step of a masked sum, in words."""
    if running is None or State(running.state) not in _STEP_OF:
        return {}
    state = State(running.state)
    terms = masks.terms_of(connection, (running.round, running.attempt))
    if terms is None:
        return {}
    gone = masks.times(connection, terms, OBJECTED).keys()
    taken = masks.times(connection, terms, _STEP_OF[state]).keys() | gone
    still = {site for site, a in running.training.items() if a.state in {"sent", "accepted"}}
    asked = still if state in _BEFORE else _in_step(connection, running, terms, state)
    return dict.fromkeys(sorted(asked - taken), _WORDS[state])


def is_bound(connection: Connection, running: Running) -> bool:
    """Tell whether who is in the round's masked sum stands fast."""
    at = (running.round, running.attempt)
    return State(running.state) in BOUND and masks.terms_of(connection, at) is not None


def _in_step(
    connection: Connection, running: Running, terms: Terms, state: State
) -> frozenset[SiteName]:
    """Return who is asked in a step after the updates: U3 to sign, U4 to open."""
    if state is State.UNMASKING:
        return frozenset(masks.said(connection, terms, "signed"))
    return frozenset(in_sum(running))


def in_sum(running: Running) -> list[SiteName]:
    """Return U3: the sites whose masked updates are in."""
    return sorted(site for site, asked in running.training.items() if asked.state == "in")


# --- what sites say ------------------------------------------------------------------------


def take(
    base: Foundation, connection: Connection, site: SiteName, word: MaskSaid
) -> Event | None:
    """Take what a site says in a step; what is wrong takes the site out of the run."""
    running = roundbook.running(connection)
    asked = running.training.get(site) if running is not None else None
    if running is None or asked is None or asked.task != word.task:
        return None
    terms = masks.terms_of(connection, (running.round, running.attempt))
    step = _STEP_OF.get(State(running.state))
    if terms is None or asked.state not in {"sent", "accepted", "in"}:
        return None
    try:
        if _step_of(word) != step:
            _log.info("mask-step-late", site=site, step=_step_of(word))
            return None
        _check(connection, running, terms, site, word)
    except PeerFault as fault:
        _log.warning("mask-step-refused", site=site, rule=fault.rule, what=fault.what)
        return _out(base, connection, terms, asked, fault.rule)
    masks.keep(connection, terms, step, site, word, now=base.now())
    return None


def _step_of(word: MaskSaid) -> str:
    said = word.said
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
    """Check a step as the protocol says; raises PeerFault naming R3, R8 or R12."""
    said = word.said
    if isinstance(said, Keys | Sealed) and said.site != site:
        raise broken(f"{site} speaks for {said.site}", rule="secagg-r3")
    if isinstance(said, Keys):
        check_agent(terms, said)
        return
    if isinstance(said, Sealed):
        run_of.check_sealed(terms, keys(connection, terms), said)
        return
    survivors = in_sum(running)
    if isinstance(said, Signed):
        run_of.check_consistent(terms, site, said.signature, survivors)
        return
    shared = masks.times(connection, terms, "shares")
    run_of.check_opened(site, said, survivors=survivors, shared=shared)


def _out(
    base: Foundation, connection: Connection, terms: Terms, asked: Asked, rule: str
) -> Event:
    if asked.state == "in":
        masks.keep(connection, terms, OBJECTED, asked.site, None, now=base.now())
    else:
        roundbook.mark(connection, asked, "refused", rule)
    outbox.send(connection, asked.site, Cancel(asked.task, rule))
    return Event.SITE_OUT


def object_to(base: Foundation, connection: Connection, site: SiteName) -> Event | None:
    """Note that a site whose update is in complained, and takes no further step."""
    running = roundbook.running(connection)
    asked = running.training.get(site) if running is not None else None
    if running is None or asked is None or asked.state != "in":
        return None
    terms = masks.terms_of(connection, (running.round, running.attempt))
    if terms is None:
        return None
    masks.keep(connection, terms, OBJECTED, site, None, now=base.now())
    return Event.SITE_OUT


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


def record_liars(base: Foundation, connection: Connection, liars: Collection[str]) -> None:
    """Say in the ledger who opened wrong shares (R12)."""
    running = roundbook.running(connection)
    if running is None or not liars:
        return
    _log.warning("wrong-shares", sites=sorted(liars))
    terms = masks.terms_of(connection, (running.round, running.attempt))
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
