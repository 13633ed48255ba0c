"""Which models and strategy states a site may have: those of its own agreements alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import or_, select

from coordinator.store import kept, record, roundbook
from governance.consent import Consent
from governance.ledger.schema import consents, rounds

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from coordinator.store.roundbook import Running
    from protos.words import Digest, SiteName

_AT_WORK: Final = frozenset({"sent", "accepted", "in"})
_NEVER_OR_ENDED: Final = tuple(
    state.value
    for state in (Consent.PROPOSED, Consent.OBJECTED, Consent.DECLINED, Consent.WITHDRAWN)
)
_NOTES: Final = ("model", "state")


def may_fetch(c: Connection, site: SiteName, digest: Digest) -> bool:
    """Tell whether a file is one that a site works on, or that came of what it consented to."""
    return _of_its_task(c, site, digest) or _of_its_rounds(c, site, digest)


def attempt_of(c: Connection, digest: Digest) -> tuple[int, int] | None:
    """Return the round and attempt at work that a file belongs to, or None."""
    running = roundbook.running(c)
    if running is None or digest not in _digests(running):
        return None
    return running.round, running.attempt


def _digests(running: Running) -> set[Digest]:
    parts = (running.model, running.strategy_state, running.candidate, running.candidate_state)
    return {part.digest for part in parts if part is not None}


def _of_its_task(c: Connection, site: SiteName, digest: Digest) -> bool:
    running = roundbook.running(c)
    if running is None:
        return False
    asked = (running.training, running.evaluating, running.measuring)
    return digest in _digests(running) and any(
        site in kind and kind[site].state in _AT_WORK for kind in asked
    )


def _of_its_rounds(c: Connection, site: SiteName, digest: Digest) -> bool:
    """Tell whether a round under an agreement of the site began or ended with a file.

    The model that training goes on from counts for the agreement that binds: after a recovery
    the ledger may know no round of it.
    """
    consented = select(consents.c.agreement).where(
        consents.c.site == site, consents.c.state.not_in(_NEVER_OR_ENDED)
    )
    columns = (rounds.c.model_in, rounds.c.model_out, rounds.c.state_in, rounds.c.state_out)
    named = select(rounds.c.round).where(
        or_(*(column == digest for column in columns)), rounds.c.agreement.in_(consented)
    )
    if c.execute(named.limit(1)).first() is not None:
        return True
    notes = (kept.blob_note(c, name) for name in _NOTES)
    binding = record.agreement_that_binds(c)
    if binding is None or all(blob is None or blob.digest != digest for blob in notes):
        return False
    mine = consented.where(consents.c.agreement == binding.digest)
    return c.execute(mine).first() is not None
