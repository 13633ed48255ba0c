"""A recovered coordinator's own state, brought in line with what its ledger says.

The round at work is abandoned, since its updates are in no backup. Training goes on from the
model that the ledger last committed to; where that file is not here the federation is paused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from coordinator import heads
from coordinator.round_states import Reason
from coordinator.store import (
    exits,
    holders,
    kept,
    outbox,
    pausing,
    record,
    recovered,
    roundbook,
)
from governance.agreement.load import load
from protos.errors import Refused
from protos.words import AgreementState, BlobRef, Cancel, Digest, Proposal, SiteName

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from pathlib import Path

    from sqlalchemy import Connection

    from coordinator.foundation import Foundation

_OUT: Final = "round-over"
_NOTES: Final = ("model", "state")
_OPEN: Final = ("proposed", "in-force")


def keep_agreements(connection: Connection, files: Sequence[Path]) -> None:
    """Keep agreements that were proposed after the backup; the log knows them by their digests.

    Raises:
        Refused: it was never proposed in this log, or is no agreement.
    """
    proposed = recovered.agreements_ever(connection)
    for file in files:
        document = load(file)
        if document.digest not in proposed:
            raise Refused(
                "this agreement was never proposed in the log",
                where=str(file),
                todo="Name the very file that was proposed: hospitals keep it to the byte.",
                rule="unknown-agreement",
            )
        kept.keep_document(connection, document.digest, document.raw)


def bring_in_line(base: Foundation, connection: Connection, now: datetime) -> tuple[str, ...]:
    """Make the coordinator's state follow from its ledger; return what is missing, in words."""
    for site in holders.officer_keys(connection):
        outbox.part(connection, SiteName(site))
    _end_round(base, connection, now)
    missing = (*_models(base, connection), *_agreements(connection))
    if missing:
        pausing.pause(connection, f"recovered, but not whole: {'; '.join(missing)}")
    last = exits.last_judged(connection)
    kept.set_note(connection, "judged", f"{last[0]} {last[1]} {last[2]}" if last else "")
    heads.publish(base, connection)
    return missing


def check_models(base: Foundation, connection: Connection) -> None:
    """Take the global model's files, which may have been brought since, before rounds open.

    Raises:
        Refused: one of them is not here still.
    """
    for name in _NOTES:
        blob = kept.blob_note(connection, name)
        if blob is not None and blob.size == 0:
            found = _blob(base, blob.digest)
            if found.size == 0:
                raise Refused(
                    f"the model {blob.digest[:12]} that training goes on from is not here",
                    where=str(base.model_path(blob.digest)),
                    todo="Bring it from a hospital, which keeps the last ones, to that place.",
                    rule="model-not-here",
                )
            kept.set_blob_note(connection, name, found)


def _end_round(base: Foundation, connection: Connection, now: datetime) -> None:
    roundbook.end(connection)
    was = recovered.open_attempt(connection)
    if was is None:
        return
    at = (was.round, was.attempt)
    place = {"agreement": was.agreement, "round": was.round, "attempt": was.attempt}
    updates = record.updates(connection, *at)
    who = {
        "sites_in": sorted(updates),
        "sites_out": {site: _OUT for site in was.sites if site not in updates},
    }
    body = {**place, "reason": Reason.INTEGRITY.value, **who}
    base.chronicle.say(connection, "round-abandoned", body, now=now)
    if updates:
        gone = {**place, "updates": sorted(set(updates.values()))}
        base.chronicle.say(connection, "updates-deleted", gone, now=now)
    task = recovered.task_of(connection, base.federation, at, before=was.opened_seq)
    for site in was.sites:
        outbox.send(connection, site, Cancel(task, _OUT))


def _models(base: Foundation, connection: Connection) -> tuple[str, ...]:
    """Note the model and strategy state that the ledger last came to; say which is not here."""
    said = []
    for name, digest in zip(_NOTES, recovered.committed(connection), strict=True):
        blob = _blob(base, digest) if digest else None
        kept.set_blob_note(connection, name, blob)
        if blob is not None and blob.size == 0:
            place = base.model_path(blob.digest).relative_to(base.folder)
            said.append(f"the model {place} is not in the backup: bring it, and resume")
    return tuple(said)


def _blob(base: Foundation, digest: Digest) -> BlobRef:
    """Return a file as it lies here; of size 0 where it does not."""
    path = base.model_path(digest)
    return BlobRef(digest, path.stat().st_size if path.exists() else 0)


def begin_anew(connection: Connection, site: SiteName) -> None:
    """Count messages to and from a site from one, and tell it again what is open.

    Its store was recovered: it knows neither what it was sent nor what it said.
    """
    outbox.begin_anew(connection, site)
    _agreements(connection, site)


def _agreements(connection: Connection, only: SiteName | None = None) -> tuple[str, ...]:
    """Tell every hospital of a roster again what is proposed and in force, or one alone."""
    said = []
    for state in _OPEN:
        for digest in record.agreement_digests(connection, state):
            document = record.read_document(connection, digest)
            if document is None:
                said.append(f"the document of the agreement {digest[:12]} is not in the backup")
                continue
            roster = document.agreement.sites.roster
            for site in roster if only is None else {only} & set(roster):
                outbox.send(connection, SiteName(site), Proposal(document.raw))
                outbox.send(connection, SiteName(site), AgreementState(Digest(digest), state))
    return tuple(said)
