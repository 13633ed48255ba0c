"""What the command line works on: the hospital's file, its store, one federation of it."""

from __future__ import annotations

import logging
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import structlog

from governance.agreement.load import parse
from governance.privacy.releases import METRICS, TRAINING
from governance.settings import load_site
from protos.errors import Refused
from site_agent import deciding, doorbell, measuring, office
from site_agent.membership import chosen, open_membership
from site_agent.premises import Premises
from site_agent.process import now
from site_agent.review import Place, Reviewed, review
from site_agent.standing import standing_of
from site_agent.store import optouts, terms, work
from site_agent.upgrading import open_store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy import Connection

    from governance.agreement.load import Document
    from governance.consent import Consent
    from site_agent.membership import Membership

_PATIENCE_S: Final = 10.0
_LOOK_EVERY_S: Final = 0.2
_tick = threading.Event()


@contextmanager
def opened(file: Path, federation: str | None) -> Iterator[Membership]:
    """Open what a verb needs of one federation; the running agent, if any, goes on meanwhile.

    Raises:
        Refused: the file is wrong, or this site is not enrolled.
    """
    settings = load_site(file)
    premises = Premises(settings.state)
    premises.prepare()
    store = open_store(premises, at=now())
    try:
        m, _ = open_membership(
            settings,
            chosen(settings, federation),
            store=store,
            premises=premises,
            now=now,
        )
        with _without_log():
            yield m
    finally:
        store.close()


@contextmanager
def _without_log() -> Iterator[None]:
    """Keep the agent's log out of what a verb says: a verb answers in sentences."""
    former = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    try:
        yield
    finally:
        structlog.configure(**former)


def proposal(m: Membership, digest: str = "") -> Document:
    """Return the agreement that a verb is about, the newest that waits for an answer.

    When none came yet and the agent runs, it is given a moment to take one.
    """
    waited = 0.0
    while True:
        try:
            found = m.store.look(lambda c: office.agreement_at_hand(c, m, digest))
            return parse(found.document)
        except Refused:
            if waited >= _PATIENCE_S or doorbell.ring(m.premises.state) is None:
                raise
            _tick.wait(_LOOK_EVERY_S)
            waited += _LOOK_EVERY_S


def in_state(m: Membership, *states: Consent) -> Document:
    """Return the newest agreement whose consent stands in one of these states."""

    def question(c: Connection) -> list[bytes]:
        return [
            one.document
            for one in terms.every(c, m.federation)
            if standing_of(c, m.federation, one.digest).at(m.now()) in states
        ]

    found = m.store.look(question)
    if not found:
        said = " or ".join(state.value for state in states)
        raise Refused(
            f"no consent of this site is {said}",
            todo="See concilium-site status.",
            rule="no-such-consent",
        )
    return parse(found[-1])


def reviewed(m: Membership, document: Document) -> Reviewed:
    """Write the review of an agreement as it is at this hospital now."""

    def known(c: Connection) -> tuple[list[work.Spent], bytes | None]:
        return work.spent_on(c, m.cohort), _last_signed(c, m, document)

    spent, last = m.store.look(known)
    here = [one for one in spent if one.agreement == document.digest]
    place = Place(
        settings=m.settings,
        cohort=m.cohort,
        releases=[one.release for one in spent],
        release=deciding.release_of(document.agreement, 0),
        trained=len({one.round for one in here if one.purpose == TRAINING}),
        measured=sum(one.purpose == METRICS for one in here),
        stated=m.store.look(lambda c: measuring.is_reserved(c, m, document)),
    )
    return review(document, place, last=parse(last) if last is not None else None)


def _last_signed(c: Connection, m: Membership, document: Document) -> bytes | None:
    signed = [
        one.document
        for one in terms.every(c, m.federation)
        if one.digest != document.digest
        and standing_of(c, m.federation, one.digest).agreement == one.digest
    ]
    return signed[-1] if signed else None


def patients_of(m: Membership, document: Document) -> int:
    """Return how many patients of the cohort an agreement can use.

    Raises:
        Refused: the cohort cannot be read.
    """
    from site_agent.readiness import findings

    gone = m.store.look(lambda c: optouts.of_cohort(c, m.cohort))
    return findings(m.settings.cohorts[m.cohort], document, opt_outs=gone).patients
