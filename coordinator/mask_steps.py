"""What a round does when a step of its masked sum ends, in the transaction of the event."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from coordinator import masking
from coordinator.store import masks, outbox, roundbook
from governance.secagg.terms import PURPOSES, TRAIN
from protos.words import Cancel, SiteName
from protos.words_masks import MaskAsked, Peers, Signed, Survivors, Unmask

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from coordinator.effects import Turn
    from governance.secagg.terms import Terms
    from protos.words_masks import AskedBody


def bring_keys(turn: Turn) -> None:
    """End step 1: U1 are those whose keys came."""
    terms = _terms(turn)
    sites = _still_in(turn, terms, "keys")
    keys = masking.keys(turn.connection, terms)
    peers = Peers(tuple(keys[site] for site in sites))
    _record(turn, terms, "keys", sites)
    _bring(turn, terms, dict.fromkeys(sites, peers))
    _wait(turn, turn.now + masking.patience(turn.document))


def bring_shares(turn: Turn) -> None:
    """End step 2: U2 are those that shared; they may work until the round's deadline."""
    terms = _terms(turn)
    sites = _still_in(turn, terms, "shares")
    whole = masking.run(turn.connection, terms)
    _record(turn, terms, "shares", sites)
    _bring(turn, terms, {site: whole.delivered_to(site) for site in sites})
    since = turn.running.opened_at if terms.purpose == TRAIN else turn.now
    _wait(turn, since + timedelta(seconds=turn.document.agreement.round.deadline))


def ask_consistency(turn: Turn) -> None:
    """End step 3: U3 are those whose masked vectors are in."""
    terms = _terms(turn)
    sites = masking.in_sum(turn.connection, turn.running, terms)
    _record(turn, terms, "masked", sites)
    _bring(turn, terms, {site: Survivors(tuple(sites)) for site in sites})
    _wait(turn, turn.now + masking.patience(turn.document))


def ask_shares(turn: Turn) -> None:
    """End step 4: U4 are those that signed who is in the sum."""
    terms = _terms(turn)
    survivors = masking.in_sum(turn.connection, turn.running, terms)
    signed: dict[str, bytes] = {
        site: said.signature
        for site, said in masks.said(turn.connection, terms, "signed").items()
        if isinstance(said, Signed)
    }
    shared = masks.times(turn.connection, terms, "shares")
    dropped = tuple(sorted(shared.keys() - set(survivors)))
    _record(turn, terms, "signed", sorted(signed), dropped=dropped)
    asked = Unmask(tuple(survivors), dropped, signed)
    _bring(turn, terms, {SiteName(site): asked for site in sorted(signed)})
    _wait(turn, turn.now + masking.patience(turn.document))


def record_opened(turn: Turn) -> None:
    """End step 5: U5 are those that opened their shares."""
    terms = _terms(turn)
    _record(turn, terms, "opened", sorted(masking.opened(turn.connection, terms)))


def forget(turn: Turn) -> None:
    """Forget all that was said, and let each site forget its secrets, when the round ends."""
    for purpose in sorted(PURPOSES):
        terms = masks.terms_of(turn.connection, turn.at, purpose)
        mine = masking.tasks(turn.running, terms) if terms is not None else {}
        for site, asked in sorted(mine.items()):
            if asked.state in {"in", "withdrawn"}:  # others' were cancelled when they ended
                outbox.send(turn.connection, site, Cancel(asked.task, "round-over"))
    masks.forget(turn.connection, turn.at)


def _terms(turn: Turn) -> Terms:
    terms = masking.run_at_work(turn.connection, turn.running)
    assert terms is not None
    return terms


def _still_in(turn: Turn, terms: Terms, step: str) -> list[SiteName]:
    """Return who took a step and is still in the round; cancel the tasks of the others."""
    taken = masks.said(turn.connection, terms, step)
    sites: list[SiteName] = []
    for site, asked in sorted(masking.tasks(turn.running, terms).items()):
        if not asked.is_waited_for:
            continue
        if site in taken:
            sites.append(site)
        else:
            outbox.send(turn.connection, site, Cancel(asked.task, asked.why_out))
            roundbook.mark(turn.connection, asked, "cancelled", asked.why_out)
    masks.keep_only(turn.connection, terms, step, sites)
    return sites


def _record(
    turn: Turn, terms: Terms, step: str, sites: Sequence[str], *, dropped: Sequence[str] = ()
) -> None:
    refused = {str(s): rule for s, rule in masks.refused(turn.connection, terms).items()}
    body = masking.step(turn.running, terms, step, sites, dropped=dropped, refused=refused)
    turn.base.chronicle.say(turn.connection, "masking-step", body, now=turn.now)


def _bring(turn: Turn, terms: Terms, words: dict[SiteName, AskedBody]) -> None:
    mine = masking.tasks(turn.running, terms)
    for site, asked in words.items():
        task = mine[site].task
        outbox.send(turn.connection, site, MaskAsked(task, asked))


def _wait(turn: Turn, until: datetime) -> None:
    state = roundbook.running(turn.connection)
    assert state is not None
    roundbook.move(turn.connection, state.state, deadline=until)
