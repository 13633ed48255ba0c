"""Statistics at this site: what it said once, what all of them came to, and what it goes by.

What hospitals' sums were combined to is read from this site's own copy of the ledger, and from
nowhere else: it is then the same for everybody who cosigns that history.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from governance import normalisation, statements
from governance.agreement.load import parse
from governance.ledger import project_statistics
from governance.ledger import store as ledger
from governance.normalisation import LABEL
from governance.privacy.releases import STATISTICS, purpose_of
from protos.errors import PeerFault, Refused
from site_agent.store import journal, notes, terms, work

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from governance.agreement.load import Document
    from governance.normalisation import Scales
    from governance.statements import Statement
    from protos.words import Disclosure
    from site_agent.membership import Membership
    from site_agent.store.journal import Said

_NOTE: Final = "statistics"


@dataclass(frozen=True, slots=True)
class Recorded:
    """What the ledger says that statistics came to; `fault` is what is wrong with it."""

    scales: Scales
    fault: str = ""


def recorded(c: Connection, document: Document) -> Recorded | None:
    """Return what an agreement's statistics came to by a copy of the ledger, None if unsaid."""
    agreement = document.agreement
    if not agreement.statistics_federated:
        return None
    basis = normalisation.basis_of(agreement)
    found = project_statistics.combined(c, basis)
    if found is None:
        return None
    said = found[1]
    scales = normalisation.read(said.body["values"])
    try:
        normalisation.check(scales, agreement)
        texts = _disclosed(c, basis, said)
        made = [normalisation.from_json(text, agreement) for text in texts]
        if made and normalisation.combined(made, agreement) != scales:
            return Recorded(scales, "they are not those of what the hospitals released")
    except PeerFault as fault:
        return Recorded(scales, fault.what)
    return Recorded(scales)


def _disclosed(c: Connection, basis: str, said: Statement) -> Sequence[str]:
    """Return the sums that were combined; none unless all are disclosed to this site."""
    texts = {
        one.commitments[LABEL]: told.value
        for seq, one in project_statistics.released(c, basis=basis)
        for told in ledger.disclosures_of(c, seq, seq + 1).get(seq, ())
        if told.label == LABEL
    }
    wanted = said.body["released"]
    return [texts[one] for one in wanted] if set(wanted) <= texts.keys() else []


def go_by(c: Connection, m: Membership, document: Document, found: Recorded | None) -> None:
    """Check what quantities are to be normalised by, and keep it for the worker.

    Stops a model from being trained by other means and deviations at each hospital, or by such
    that single some patients out.
    """
    if not document.agreement.statistics_federated:
        return
    if found is None:
        raise Refused(
            "the ledger does not say yet what the hospitals' statistics came to",
            todo="The coordinator offers the task again once they are recorded.",
            rule="statistics-unknown",
        )
    if found.fault:
        raise Refused(
            f"the statistics in the ledger cannot be used: {found.fault}",
            todo="Ask the operator; nothing is trained by them here.",
            rule="statistics-differ",
        )
    keep(c, m, document, found.scales)


def keep(c: Connection, m: Membership, document: Document, scales: Scales) -> None:
    """Keep what quantities are normalised by under an agreement's basis."""
    told = json.dumps({name: one.to_json() for name, one in scales.items()}, sort_keys=True)
    notes.set_note(c, m.federation, _note_of(document), told)


def kept(c: Connection, m: Membership, document: Document) -> dict[str, dict[str, str]] | None:
    """Return what quantities are normalised by as a worker takes it; None for references."""
    if not document.agreement.statistics_federated:
        return None
    told = notes.note(c, m.federation, _note_of(document))
    found: dict[str, dict[str, str]] | None = json.loads(told) if told else None
    return found


def _note_of(document: Document) -> str:
    return f"{_NOTE}/{normalisation.basis_of(document.agreement)}"


# --- what this site says, once -------------------------------------------------------------


def check_asked(document: Document, found: Recorded | None) -> None:
    """Refuse statistics that are of no use. Stops a coordinator from asking at any time."""
    if not document.agreement.statistics_federated:
        raise Refused("the agreement asks for no statistics", rule="statistics-not-due")
    if found is not None:
        raise Refused(
            "the hospitals' statistics are recorded already",
            todo="The rounds go on with those.",
            rule="statistics-not-due",
        )


def is_paid(c: Connection, m: Membership, document: Document) -> bool:
    """Tell whether statistics may be said, or said again, at no further cost.

    A reservation that is in the ledger pays for one vector: the one that was said, or where
    none was, the one that is still to be drawn.
    """
    basis = normalisation.basis_of(document.agreement)
    paid = sum(
        one.status == journal.ACCEPTED
        and purpose_of(one.statement.body) == STATISTICS
        and _basis_of(c, m, str(one.statement.body["agreement"])) == basis
        for one in journal.of_kind(c, m.federation, "budget-reserved")
    )
    if said(c, m, document) is not None:
        return paid > 0
    drawn = {one.statement.commitments[LABEL] for one in _every(c, m, basis)}
    return paid > len(drawn)


def is_reserved(c: Connection, m: Membership, document: Document) -> bool:
    """Tell whether an agreement's statistics were ever reserved for: a task was paid."""
    basis = normalisation.basis_of(document.agreement)
    return any(
        one.purpose == STATISTICS
        and one.federation == m.federation
        and _basis_of(c, m, one.agreement) == basis
        for one in work.spent_on(c, m.cohort)
    )


def said(c: Connection, m: Membership, document: Document) -> Disclosure | None:
    """Return the vector that this site said of an agreement's basis, if it still has it."""
    basis = normalisation.basis_of(document.agreement)
    told = [one for said in _every(c, m, basis) for one in said.disclosures]
    return next((one for one in reversed(told) if one.label == LABEL), None)


def disclosed(c: Connection, m: Membership, document: Document, text: str) -> Disclosure:
    """Return what is to be said: the vector as it was said before, or this one."""
    before = said(c, m, document)
    if before is not None:
        return before
    return statements.disclose(LABEL, text, salt=secrets.token_bytes(32))


def _every(c: Connection, m: Membership, basis: str) -> list[Said]:
    released = journal.of_kind(c, m.federation, project_statistics.RELEASED)
    return [one for one in released if one.statement.body["basis"] == basis]


def _basis_of(c: Connection, m: Membership, agreement: str) -> str:
    offered = terms.find(c, m.federation, agreement)
    return normalisation.basis_of(parse(offered.document).agreement) if offered else ""
