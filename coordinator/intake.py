"""What a site says, and what it changes: one place where its statements enter the ledger.

Every statement is answered with a receipt. A refusal is one too: it names the rule, and the
session goes on.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final, TypeAlias

import structlog

from coordinator import masked_figures, masking
from coordinator.round_states import Event
from coordinator.store import record, roundbook
from governance import noised, normalisation, statements, subgroups
from governance.ledger import project_statistics
from governance.ledger import store as ledger
from governance.ledger.kind import Carrier
from governance.ledger.kinds import check_form
from governance.ledger.savepoint import savepoint
from protos.errors import PeerFault, Refused
from protos.words import Digest, StatementReceipt, TaskAnswer, TaskId, TaskKind

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sqlalchemy import Connection

    from coordinator.foundation import Foundation
    from governance.agreement.load import Document
    from governance.statements import Statement
    from protos.errors import ConciliumError
    from protos.words import CosignatureSent, SiteName, StatementSent

_log = structlog.get_logger("intake")


def take_statement(
    base: Foundation, connection: Connection, site: SiteName, sent: StatementSent
) -> tuple[StatementReceipt, Event | None]:
    """Append a site's statement; return the receipt, and what it means for the round."""
    try:
        statement = statements.read(sent.envelope)
    except PeerFault as problem:
        unread = Digest(hashlib.sha256(sent.envelope).hexdigest())
        return _refusal(unread, problem), None
    try:
        with savepoint(connection):
            seq = _append(base, connection, site, statement, sent)
            follow = _FOLLOWS.get(statement.kind)
            event = follow(base, connection, site, statement) if follow is not None else None
    except (Refused, PeerFault) as problem:
        return _refusal(statement.digest, problem), None
    return StatementReceipt(statement.digest, accepted=True, seq=seq), event


def _refusal(statement: Digest, problem: ConciliumError) -> StatementReceipt:
    sentence = f"{problem.what} {problem.todo}".strip()
    return StatementReceipt(statement, accepted=False, rule=problem.rule, sentence=sentence)


def _append(
    base: Foundation,
    connection: Connection,
    site: SiteName,
    statement: Statement,
    sent: StatementSent,
) -> int:
    # 1. The name comes from the certificate. Stops one hospital speaking for another.
    if statement.actor != f"site/{site}":
        raise Refused(f"{site} sent a statement of {statement.actor}", rule="not-yours")
    # 2. The kind travels by session. Stops a contribution without its update.
    if check_form(statement).carried_by is not Carrier.SESSION:
        raise Refused(f"a {statement.kind} does not come by session", rule="wrong-way")
    # 3. It speaks of a task that this site was given. Stops invented rounds.
    if statement.kind in _OF_A_TASK:
        _check_task(connection, site, statement)
    # 4. Its figures can be read. Stops a text that the gate would stumble over for ever.
    if statement.kind == "evaluation-made":
        _check_figures(base, connection, site, statement, sent)
    if statement.kind == project_statistics.RELEASED:
        _check_statistics(connection, statement, sent)
    # 5. It stands in the roster. Stops a site that the others did not agree to work with.
    if statement.kind == "consent-given":
        _check_roster(connection, site, statement)
    # 6. It comes with every value it commits to. Stops a commitment that nobody can ever open.
    statements.check_all_told(statement, sent.disclosures)
    return ledger.append(
        connection, statement, received_at=base.now(), disclosures=sent.disclosures
    )


def _check_task(connection: Connection, site: SiteName, statement: Statement) -> None:
    round_, attempt = int(statement.body["round"]), int(statement.body["attempt"])
    if roundbook.task_of(connection, site, round_, attempt) is None:
        raise Refused(
            f"{site} was given no task in round {round_}, attempt {attempt}",
            rule="no-such-task",
        )


def _check_roster(connection: Connection, site: SiteName, statement: Statement) -> None:
    document = record.read_document(connection, str(statement.body["agreement"]))
    if document is not None and site not in document.agreement.sites.roster:
        raise Refused(
            f"{site} does not stand in the agreement's roster",
            rule="not-in-roster",
            todo="Ask the operator to propose an agreement that names it.",
        )


def _check_figures(
    base: Foundation,
    connection: Connection,
    site: SiteName,
    statement: Statement,
    sent: StatementSent,
) -> None:
    body = statement.body
    document = record.read_document(connection, str(body["agreement"]))
    if document is None:
        raise PeerFault("the figures are of no agreement", rule="bad-figures")
    if document.agreement.figures_masked != ("masked" in body):
        raise PeerFault("the figures are not masked as agreed", rule="bad-figures")
    if not document.agreement.figures_masked:
        _check_told(document, statement, sent)
        return
    if sent.disclosures or body["mechanism"] != noised.MECHANISM:
        raise PeerFault("masked figures come without their values", rule="bad-figures")
    model, vector = str(body["model"]), str(body["masked"])
    masked_figures.stated(base, connection, site, model, vector)


def _check_told(document: Document, statement: Statement, sent: StatementSent) -> None:
    told = [d.value for d in sent.disclosures if d.label == "figures"]
    if len(told) != 1:
        raise PeerFault("an evaluation comes with its figures", rule="bad-figures")
    whole = noised.read(told[0], document.agreement)
    wanted = noised.MECHANISM if document.agreement.metrics_noised else "exact"
    if statement.body["mechanism"] != wanted:
        raise PeerFault(f"the figures are to be {wanted}", rule="bad-figures")
    by_group = [d.value for d in sent.disclosures if d.label == subgroups.LABEL]
    if by_group and wanted == noised.MECHANISM:
        raise PeerFault("noised figures come without subgroups", rule="bad-figures")
    if by_group:
        said = subgroups.from_json(by_group[0], document.agreement)
        subgroups.check(said, whole, document.agreement)


def _check_statistics(
    connection: Connection, statement: Statement, sent: StatementSent
) -> None:
    told = [d.value for d in sent.disclosures if d.label == normalisation.LABEL]
    document = record.read_document(connection, str(statement.body["agreement"]))
    if len(told) != 1 or document is None or not document.agreement.statistics_federated:
        raise PeerFault("statistics come for an agreement that asks", rule="bad-statistics")
    normalisation.from_json(told[0], document.agreement)
    if statement.body["basis"] != normalisation.basis_of(document.agreement):
        raise PeerFault("the statistics are of another basis", rule="bad-statistics")


def _measured(
    base: Foundation,  # noqa: ARG001 - one row of the table
    connection: Connection,
    site: SiteName,
    statement: Statement,
) -> Event | None:
    running = roundbook.running(connection)
    asked = running.measuring.get(site) if running is not None else None
    here = (statement.body["round"], statement.body["attempt"])
    if running is None or here != (running.round, running.attempt) or asked is None:
        return None
    if asked.is_waited_for:
        roundbook.mark(connection, asked, "in")
    return None


def _evaluated(
    base: Foundation,  # noqa: ARG001 - one row of the table
    connection: Connection,
    site: SiteName,
    statement: Statement,
) -> Event | None:
    running = roundbook.running(connection)
    if running is None or running.candidate is None:
        return None
    asked = running.evaluating.get(site)
    if asked is not None and statement.body["model"] == running.candidate.digest:
        roundbook.mark(connection, asked, "in")
    return None


def _refused(
    base: Foundation,
    connection: Connection,
    site: SiteName,
    statement: Statement,
) -> Event | None:
    task, rule = TaskId(str(statement.body["task"])), str(statement.body["refusal"])
    answer = TaskAnswer(task, accepted=False, rule=rule)
    return take_answer(base, connection, site, answer)


def _complained(
    base: Foundation,
    connection: Connection,
    site: SiteName,
    statement: Statement,
) -> Event | None:
    return masking.object_to(base, connection, site, str(statement.body["purpose"]))


_Follow: TypeAlias = "Callable[[Foundation, Connection, SiteName, Statement], Event | None]"
_OF_A_TASK: Final = frozenset(
    {
        *("budget-reserved", "complaint", "evaluation-made", "task-refused"),
        project_statistics.RELEASED,
    }
)
_FOLLOWS: Final[Mapping[str, _Follow]] = {
    "complaint": _complained,
    "evaluation-made": _evaluated,
    project_statistics.RELEASED: _measured,
    "task-refused": _refused,
}


def take_cosignature(connection: Connection, site: SiteName, sent: CosignatureSent) -> None:
    """Keep a site's cosignature, or log why it is none; a session does not end over it."""
    try:
        ledger.add_cosignature(connection, sent.size, sent.line, site)
    except (Refused, PeerFault) as problem:
        _log.warning("cosignature-refused", site=site, rule=problem.rule)


def take_answer(
    base: Foundation, connection: Connection, site: SiteName, answer: TaskAnswer
) -> Event | None:
    """Note whether a site took its task, or could not do it."""
    asked = roundbook.find(connection, site, answer.task)
    if asked is None or (answer.accepted and not asked.is_waited_for):
        return None
    if asked.is_asked_again:
        return Event.INTEGRITY  # it has no more what was spoilt here
    if not asked.is_waited_for:
        return masking.object_to(base, connection, site, asked.kind.value)
    if answer.accepted:
        roundbook.mark(connection, asked, "accepted")
        return None
    roundbook.mark(connection, asked, "refused", answer.rule or "refused")
    return Event.SITE_OUT if asked.kind is TaskKind.TRAIN else None
