"""Figures of quality under masks: a sum of its own while the round is evaluating.

    asked → keys → shares → masked → signed → opened → over

The steps are those of a sum of updates, with fresh keys for the purpose `evaluate`, and go by
the same policies. Where too few take one, nobody's figures are read: the evaluation is said to
be missing, and the candidate is judged as one of which nobody said anything.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Final

import numpy as np
import structlog

from coordinator import judging, mask_steps, masked_figures, masking
from coordinator.effects import Turn
from coordinator.round_states import Event, Reason
from coordinator.rounds import RoundView, may_close, must_abandon, next_wakeup, waits_until
from coordinator.store import masks, record
from governance import noised
from governance.ledger.kinds_masks import FIGURES, SUMMED
from governance.secagg import coordinator as run_of
from governance.secagg import counted
from governance.secagg.terms import EVALUATE
from governance.stragglers import LATE
from protos.errors import PeerFault
from protos.words import SiteName
from protos.words_masks import Vector

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from numpy.typing import NDArray
    from sqlalchemy import Connection

    from coordinator.foundation import Foundation
    from coordinator.store.roundbook import Running
    from governance.agreement.load import Document
    from governance.secagg.coordinator import Run
    from governance.secagg.terms import Terms
    from protos.words_masks import Opened

_log = structlog.get_logger("masks")


def wakes_at(
    connection: Connection, running: Running, document: Document, now: datetime
) -> datetime:
    """Return when time alone changes what is due."""
    terms = masked_figures.at_work(connection, running)
    if terms is None:
        return waits_until(judging.view(connection, running, document))
    return next_wakeup(_view(connection, running, document, terms), now)


def _view(
    connection: Connection, running: Running, document: Document, terms: Terms
) -> RoundView:
    lost = {
        site: asked.reason or asked.state
        for site, asked in running.evaluating.items()
        if asked.state in {"refused", "withdrawn", "cancelled"}
    }
    plain = RoundView(
        asked=frozenset(running.evaluating),
        close_at_least=max(terms.threshold, document.agreement.sites.close_at_least),
        deadline=running.deadline,
        close_early_after_s=document.agreement.round.stragglers,
        out=lost,
    )
    step = masks.step_of(connection, terms)
    return masking.view_of_step(connection, running, terms, step, plain)


async def go_on(base: Foundation, running: Running, document: Document) -> bool:
    """End the step that the sum of figures waits for, if that is due; say whether it was."""

    def question(connection: Connection) -> tuple[str, str]:
        terms = masked_figures.at_work(connection, running)
        assert terms is not None
        return _due(connection, running, document, terms, base.now())

    step, reason = await base.store.read(question)
    if reason:
        end = partial(masked_figures.miss, reason=reason)
        await base.store.write(lambda c: end(_turn(base, c, running, document)))
    elif step == "opened":
        await _sum(base, running, document)
    elif step:
        await base.store.write(lambda c: _END[step](_turn(base, c, running, document)))
    return bool(step or reason)


def _due(
    connection: Connection, running: Running, document: Document, terms: Terms, now: datetime
) -> tuple[str, str]:
    """Return the step that ends now, and why the sum cannot go on; both empty for neither."""
    view = _view(connection, running, document, terms)
    step = masks.step_of(connection, terms)
    if step in {"signed", "opened"}:
        in_sum = masking.in_sum(connection, running, terms)
        if any(running.evaluating[site].state == "withdrawn" for site in in_sum):
            return "", Reason.CONSENT.value
    reason = must_abandon(view, now)
    if reason is not None:
        return "", reason.value
    return (step, "") if may_close(view, now) else ("", "")


def _turn(base: Foundation, c: Connection, running: Running, document: Document) -> Turn:
    return Turn(base, c, running, document, Event.CLOSE, base.now())


def _keys_came(turn: Turn) -> None:
    mask_steps.bring_keys(turn)
    _move(turn, "shares")


def _shares_came(turn: Turn) -> None:
    mask_steps.bring_shares(turn)
    _move(turn, "masked")


def _vectors_came(turn: Turn) -> None:
    masked_figures.cancel(turn, LATE)
    mask_steps.ask_consistency(turn)
    _move(turn, "signed")


def _signatures_came(turn: Turn) -> None:
    mask_steps.ask_shares(turn)
    _move(turn, "opened")


_END: Final[Mapping[str, Callable[[Turn], None]]] = {
    "keys": _keys_came,
    "shares": _shares_came,
    "masked": _vectors_came,
    "signed": _signatures_came,
}


def _move(turn: Turn, step: str) -> None:
    terms = masked_figures.at_work(turn.connection, turn.running)
    assert terms is not None
    masks.move(turn.connection, terms, step)


# --- the sum -------------------------------------------------------------------------------


async def _sum(base: Foundation, running: Running, document: Document) -> None:
    """Open the sum, and say what it comes to; or that it comes to nothing, by which rule."""

    def inside(c: Connection) -> tuple[Run, Mapping[str, Opened], Mapping[str, bytes]]:
        terms = masked_figures.at_work(c, running)
        assert terms is not None
        came = masks.said(c, terms, masking.VECTOR)
        vectors: dict[str, bytes] = {
            site: said.values
            for site, said in came.items()
            if isinstance(said, Vector) and site in masking.in_sum(c, running, terms)
        }
        return masking.run(c, terms), masking.opened(c, terms), vectors

    run, shares, vectors = await base.store.read(inside)
    total = _summed(run.terms, vectors)
    try:
        found = await asyncio.to_thread(run_of.unmask, run, total, sorted(vectors), shares)
    except PeerFault as fault:
        _log.warning("figures-not-opened", rule=fault.rule, what=fault.what)
        rule = fault.rule
        liars = fault.liars if isinstance(fault, run_of.WrongShares) else frozenset()
    else:
        rule, liars = "", found.liars

    def end(c: Connection) -> None:
        turn = _turn(base, c, running, document)
        mask_steps.record_opened(turn)
        masking.record_liars(base, c, liars, EVALUATE)
        _say(turn, total, sorted(vectors), rule)

    await base.store.write(end)


def _summed(terms: Terms, vectors: Mapping[str, bytes]) -> NDArray[np.uint32]:
    """Return the sum of the masked vectors mod 2³²."""
    total = np.zeros(terms.length, dtype=np.uint32)
    for values in vectors.values():
        total += np.frombuffer(values, "<u4")
    return total


def _say(turn: Turn, total: NDArray[np.uint32], sites: list[str], rule: str) -> None:
    every = record.declared_ever(turn.connection, turn.running.agreement)
    declared = {site: every.get(SiteName(site), 0) for site in sites}
    if rule:
        masked_figures.miss(turn, rule)
        return
    try:
        figures = counted.opened(turn.document.agreement, total, declared)
    except PeerFault as fault:
        masked_figures.miss(turn, fault.rule)
        return
    model = masked_figures.candidate(turn)
    body = {**masked_figures.place(turn), "model": model, "sites": sites}
    told = [turn.base.disclose(FIGURES, noised.to_json(figures))]
    turn.base.chronicle.say(turn.connection, SUMMED, body, now=turn.now, disclosures=told)
    _move(turn, masks.OVER)
