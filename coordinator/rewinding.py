"""Training goes back to a model from before a hospital: files, figures, and who can afford it.

The round numbers go on; the rounds since are marked in the record, and what later candidates
and the schedule look at is what it was before them. Training goes on by itself only where the
budgets of enough hospitals bear all rounds that are needed again: else the federation pauses
and an operator decides. It never goes on with the model that was given up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from coordinator import ending
from coordinator.store import exits, kept, pausing, quality, record
from governance.counts import count
from governance.privacy.releases import of_a_round
from protos.errors import Corrupt
from protos.words import BlobRef, Digest

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection

    from coordinator.foundation import Foundation
    from governance.agreement.load import Document
    from protos.words import SiteName

_log = structlog.get_logger("conductor")


def move_base(base: Foundation, connection: Connection, model: str, state: str) -> None:
    """Make an earlier model and strategy state those that the next round starts from.

    Raises:
        Corrupt: the file is not there any more.
    """
    kept.set_blob_note(connection, "model", _blob(base, model))
    kept.set_blob_note(connection, "state", _blob(base, state) if state else None)


def rewind(
    base: Foundation, connection: Connection, site: str, document: Document, step: int
) -> None:
    """Forget what was judged of the rounds that a step has undone; pause if it costs too much.

    Args:
        base: The coordinator.
        connection: The transaction of the step.
        site: Who left.
        document: The agreement in force.
        step: The seq of the step.
    """
    undone = exits.undone_by(connection, step)
    judged = [one for one in undone if quality.said(connection, *one)]
    history = kept.history(connection)
    kept.set_history(connection, history[: max(0, len(history) - len(judged))])
    ending.forget(connection, document, len(judged))
    last = exits.last_judged(connection)
    kept.set_note(connection, "judged", f"{last[0]} {last[1]} {last[2]}" if last else "")
    why = unaffordable(connection, document, base.now())
    if why:
        first = undone[0][0]
        said = f"{site} left, and training goes back to before round {first}: {why}"
        pausing.pause(connection, said)
    _log.info("went-back", site=site, rounds=len(undone), paused=bool(why))


def unaffordable(connection: Connection, document: Document, now: datetime) -> str:
    """Return in words why budgets do not bear the rounds that are still needed, or nothing.

    Hospitals' own caps in their site.yaml may be lower than what they consented to; they are
    not known here.
    """
    terms = document.agreement
    needed = terms.schedule.rounds - record.rounds_of_schedule(connection)
    if terms.privacy is None or terms.privacy.noise_multiplier == 0:
        return ""
    members = record.declared_patients(connection, document.digest, now)
    bears = {site: _rounds_left(connection, document, site, needed) for site in sorted(members)}
    short = {site: count for site, count in bears.items() if count < needed}
    if len(bears) - len(short) >= terms.sites.ready_at_least:
        return ""
    few = ", ".join(f"{site} {borne}" for site, borne in short.items())
    return (
        f"{count(needed, 'round')} must be trained again, but budgets bear fewer ({few}); "
        "resume to train as far as they bear, or propose an agreement that fits"
    )


def _rounds_left(
    connection: Connection, document: Document, site: SiteName, needed: int
) -> int:
    from governance.privacy.accountant import rounds_within

    spent = exits.spent_by(connection, site, document.digest)
    return rounds_within(
        of_a_round(document.agreement),
        already=spent.releases,
        cap=spent.cap,
        delta=spent.delta,
        most=max(needed, 1),
    )


def _blob(base: Foundation, digest: str) -> BlobRef:
    path = base.model_path(Digest(digest))
    if not path.exists():
        raise Corrupt(
            f"the model {digest[:12]} that training must go back to is not there any more",
            where=str(path),
            todo="Restore the coordinator's folder from a backup.",
            rule="model-missing",
        )
    return BlobRef(Digest(digest), path.stat().st_size)
