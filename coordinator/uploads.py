"""Updates as they come in: what is checked before a byte is taken, and before one is used."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, Self

from coordinator import aggregate, campaign, packing, unmasking
from coordinator.effects import Chores
from coordinator.round_states import Event, State
from coordinator.store import masks, record, roundbook
from coordinator.strategies import server_rule
from governance import statements
from governance.compression.form import form_of
from governance.ledger import lateness
from governance.ledger import store as ledger
from governance.ledger.kinds import check_form
from governance.lengths import norm_limits_of
from governance.models import parameter_shapes
from governance.stragglers import NEXT_ROUND
from governance.tensors import HEADER_LIMIT_BYTES
from protos.errors import PeerFault, Refused
from protos.words import Receipt

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from sqlalchemy import Connection

    from coordinator.foundation import Foundation
    from coordinator.store.roundbook import Asked, Running
    from governance.agreement.schema import Agreement
    from governance.secagg.terms import Terms
    from governance.statements import Statement
    from protos.words import SiteName, UploadHeader, UploadRef

_OTHER_BYTES = frozenset({"wrong-digest", "upload-long"})
_OPEN = frozenset({State.TRAINING.value, State.COLLECTING.value})


def check_header(
    base: Foundation, connection: Connection, site: SiteName, header: UploadHeader
) -> tuple[Statement, Running, Asked]:
    """Check a contribution before a byte of it is used; raise Refused naming the first rule.

    Returns the statement, the round and the site's task.
    """
    statement = statements.read(header.statement)
    running, upload, body = roundbook.running(connection), header.upload, statement.body
    # 1. Identity: the name comes from the certificate. Stops one hospital speaking for another.
    if statement.kind != "contribution-made" or statement.actor != f"site/{site}":
        raise Refused(f"{site} sent a contribution of {statement.actor}", rule="not-yours")
    check_form(statement)
    # 2. The round is at work and still collects. Stops a late update from changing a sum.
    if running is None or (running.round, running.attempt) != (upload.round, upload.attempt):
        raise Refused(f"round {upload.round}.{upload.attempt} is over", rule="round-over")
    _check_collects(connection, running, site, upload)
    # 3. Consent: in force now. Stops a withdrawal racing an upload.
    if site not in record.declared_patients(connection, running.agreement, base.now()):
        raise Refused(f"the consent of {site} is not in force", rule="consent-not-in-force")
    # 4. The site was asked, and is not out. Stops an update that nobody waits for.
    asked = running.training.get(site)
    if asked is None or asked.state not in {"sent", "accepted", "in"}:
        raise Refused(f"{site} is not in round {upload.round}", rule="not-asked")
    # 5. Statement and transfer say the same. Stops one update under another's statement.
    said = (body["round"], body["attempt"], body["update"], body["size"])
    if said != (upload.round, upload.attempt, upload.digest, upload.size):
        raise PeerFault("statement and upload speak of different updates", rule="digest")
    # 6. It was trained from this round's model, or came too late for the one before. Stops an
    #    old update sent again.
    if (body["agreement"], body["base"]) != (running.agreement, _base(connection, site, body)):
        raise Refused("the update was not trained from this round's model", rule="base")
    return statement, running, asked


def _check_collects(
    connection: Connection, running: Running, site: SiteName, upload: UploadRef
) -> None:
    """Check that a round takes an update, or once more one that was spoilt here."""
    again = _is_awaited_again(running, site)
    if running.state not in _OPEN and not again:
        raise Refused(f"round {upload.round} collects no more", rule="round-over")
    # Stops an update from being replaced by another.
    if again and not _is_named(connection, site, upload):
        raise Refused(f"{site} is asked for the update that was in", rule="second-update")


def _base(connection: Connection, site: SiteName, body: Mapping[str, Any]) -> str:
    """Return the model that an update is to be trained from."""
    document = record.read_document(connection, str(body["agreement"]))
    late = lateness.is_late(body)
    if late and (document is None or document.agreement.round.late != NEXT_ROUND):
        raise Refused("the agreement discards a late update", rule="late-update")
    return lateness.base_of(connection, site, body)


def check_before(
    base: Foundation, connection: Connection, site: SiteName, header: UploadHeader
) -> None:
    """Check a contribution before a byte of it is taken, as `check_header` and its size."""
    _, running, _ = check_header(base, connection, site, header)
    # 7. It is no longer than an update of this model is. Stops a disk from being filled.
    document = record.read_document(connection, running.agreement)
    assert document is not None
    most = largest_update(document.agreement)
    if header.upload.size > most:
        raise Refused(
            f"the update has {header.upload.size} bytes; one of this model has at most {most}",
            rule="file-too-large",
        )


def largest_update(agreement: Agreement) -> int:
    """Return how many bytes an update may have: float32 of each of its parts, and a header."""
    form = form_of(agreement)
    whole = sum(math.prod(shape) for shape in parameter_shapes(agreement).values())
    count = form.count if form is not None else whole
    parts = len(server_rule(agreement.strategy).parts)
    return HEADER_LIMIT_BYTES + 4 * count * parts


def open_(base: Foundation, site: SiteName, header: UploadHeader) -> Sink:
    """Open a transfer for writing; one that is whole already keeps nothing more."""
    upload = header.upload
    if base.spool.offset(site, upload).complete:
        return Whole(upload.size)
    return base.spool.begin(site, upload, header.offset)


class Sink(Protocol):
    """Where the bytes of an upload go."""

    def write(self, data: bytes, /) -> None:
        """Take the next bytes."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


class Whole:
    """A transfer that is complete: what is sent again is not looked at."""

    def __init__(self, size_bytes: int) -> None:
        self._left_bytes = size_bytes

    def write(self, data: bytes) -> None:
        """Drop the bytes; raises PeerFault for more of them than there can be."""
        self._left_bytes -= len(data)
        if self._left_bytes < 0:
            raise PeerFault("the upload was complete", rule="upload-long")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


def receipt_of(connection: Connection, site: SiteName, header: UploadHeader) -> Receipt | None:
    """Return the receipt of a site's contribution that is in the ledger already."""
    upload = header.upload
    if not is_in(connection, site, upload):
        return None
    return _receipt(connection, header)


def _receipt(connection: Connection, header: UploadHeader) -> Receipt | None:
    upload = header.upload
    seq = record.statement_seq(connection, statements.read(header.statement).digest)
    return Receipt(upload.digest, seq) if seq is not None else None


def is_in(connection: Connection, site: SiteName, upload: UploadRef) -> bool:
    """Tell whether a site's update is in the ledger, and is not asked for once more."""
    running, at = roundbook.running(connection), (upload.round, upload.attempt)
    here = running is not None and (running.round, running.attempt) == at
    if running is not None and here and _is_awaited_again(running, site):
        return False
    return _is_named(connection, site, upload)


def _is_awaited_again(running: Running, site: SiteName) -> bool:
    """Tell whether a site's update is in the ledger and was spoilt here."""
    asked = running.training.get(site)
    return asked is not None and asked.is_asked_again


def _is_named(connection: Connection, site: SiteName, upload: UploadRef) -> bool:
    return record.updates(connection, upload.round, upload.attempt).get(site) == upload.digest


@dataclass(frozen=True, slots=True)
class Expected:
    """What an update is held against: its agreement, the site's patients, a sum's terms."""

    agreement: Agreement
    declared: int
    masks: Terms | None


def expected(connection: Connection, site: SiteName) -> Expected | None:
    """Return what an update of the round at work is held against; None without a round."""
    running = roundbook.running(connection)
    if running is None:
        return None
    document = record.read_document(connection, running.agreement)
    assert document is not None
    declared = record.declared_ever(connection, running.agreement)
    at = (running.round, running.attempt)
    terms = masks.terms_of(connection, at)
    return Expected(document.agreement, declared.get(site, 0), terms)


def fault_of(path: Path, wanted: Expected | None) -> Refused | None:
    """Return what is wrong with an update's shape or numbers, None when nothing is."""
    if wanted is None:
        return Refused("the round is over", rule="round-over")
    agreement = wanted.agreement
    try:
        if agreement.aggregation.secure:
            unmasking.check_vector(path, wanted.masks)
        else:
            _check_plain(path, agreement, wanted.declared)
    except Refused as problem:
        return problem
    except PeerFault as problem:
        return Refused(problem.what, rule=problem.rule)
    return None


def _check_plain(path: Path, agreement: Agreement, declared: int) -> None:
    limits, form = norm_limits_of(agreement, declared), form_of(agreement)
    if form is not None:
        packing.check_update(path, form, norm_limits=limits)
        return
    shapes = parameter_shapes(agreement)
    aggregate.check_update(path, shapes, strategy=agreement.strategy, norm_limits=limits)


def fault_of_masked(problem: Refused | PeerFault, wanted: Expected | None) -> Refused | None:
    """Return R13's fault where a masked vector came with other bytes than it declared.

    A plain update may be sent again. A masked one is made anew byte for byte, so that who sends
    another will not send the right one: it is out, and nobody waits for it until the deadline.
    """
    if wanted is None or not wanted.agreement.aggregation.secure:
        return None
    if problem.rule not in _OTHER_BYTES:
        return None
    return Refused("the masked vector has not the bytes that were declared", rule="secagg-r13")


def enter(
    base: Foundation,
    connection: Connection,
    site: SiteName,
    header: UploadHeader,
    fault: Refused | None,
) -> tuple[Receipt, Chores]:
    """Enter a contribution, or its refusal, in the ledger, with what follows for the round."""
    statement, running, asked = check_header(base, connection, site, header)
    now = base.now()
    if asked.is_asked_again:
        receipt = _receipt(connection, header)
        if fault is not None or receipt is None:
            raise fault or Refused("it came with another statement", rule="second-update")
        roundbook.mark(connection, asked, "in", roundbook.SENT_AGAIN)
        return receipt, Chores()
    if fault is not None:
        seq = base.chronicle.say(
            connection,
            "contribution-refused",
            {
                "agreement": running.agreement,
                "round": running.round,
                "attempt": running.attempt,
                "site": site,
                "update": header.upload.digest,
                "refusal": fault.rule,
            },
            now=now,
        )
        roundbook.mark(connection, asked, "refused", fault.rule)
        chores = campaign.happen(base, connection, Event.SITE_OUT, now=now)
        chores.updates_withdrawn.add((site, running.round, running.attempt))
        return Receipt(header.upload.digest, seq), chores
    seq = ledger.append(connection, statement, received_at=now)
    roundbook.mark(connection, asked, "in")
    chores = campaign.happen(base, connection, Event.UPDATE_IN, now=now)
    return Receipt(header.upload.digest, seq), chores
