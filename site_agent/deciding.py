"""Whether a task may be done: facts, rules, budget and answer in one transaction."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from governance import noised, normalisation, subgroups
from governance.agreement.load import parse
from governance.compression.form import form_of
from governance.counts import count
from governance.ledger.operators import check_stated
from governance.privacy.accountant import format_epsilon
from governance.privacy.budget import Budget
from governance.privacy.releases import (
    ALL,
    LOADER,
    METRICS,
    STATISTICS,
    TRAINING,
    UNIT,
    Release,
    decimal_text,
    expected_batch,
    of_a_round,
    of_an_evaluation,
    of_the_statistics,
)
from protos.errors import PeerFault, Refused
from protos.words import TaskKind
from site_agent import lateness, masking, measuring, patients, rollback
from site_agent.acceptance import check_terms
from site_agent.agent import Event, Outcome, TaskState
from site_agent.policy import Asked, Moment, cap_of, check_moment
from site_agent.progress import Told, happen
from site_agent.standing import standing_of
from site_agent.store import egress, terms, work
from site_agent.store.notes import ALARM, note
from site_agent.store.work import Spent

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sqlalchemy import Connection

    from governance.agreement.load import Document
    from governance.agreement.schema import Agreement
    from governance.privacy.budget import Reservation
    from protos.words import Task
    from site_agent.masking import Known
    from site_agent.measuring import Recorded
    from site_agent.membership import Membership
    from site_agent.policy import Standing
    from site_agent.readiness import Seen
    from site_agent.store.work import Held

_DAY: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Facts:
    """What the transaction cannot know by itself.

    Attributes:
        skew: The clock's distance from the coordinator's.
        seen: What the cohort is like under the task's agreement.
        in_force: Agreements in force by the site's own copy of the ledger.
        outcomes: By round and attempt, how those of the task's round and of the one before
            ended, by that copy.
        not_in_force: Agreements that are proposed, superseded or over, by that copy.
        alone: Why too few others were seen on this site's history, or empty.
        inside: Sites that left under the task's agreement, and are in its model still.
        proposed: What the ledger's entry that proposed the task's agreement says, by that copy.
        known: What that copy says of a masked task's terms.
        statistics: What hospitals' statistics came to by that copy.
    """

    skew: timedelta
    seen: Seen
    in_force: frozenset[str]
    outcomes: Mapping[tuple[int, int], Outcome]
    not_in_force: frozenset[str] = frozenset()
    alone: str = ""
    inside: frozenset[str] = frozenset()
    proposed: Mapping[str, Any] | None = None
    known: Known | None = None
    statistics: Recorded | None = None


def document_of(c: Connection, m: Membership, digest: str) -> Document | None:
    """Return an agreement that was received, or None."""
    offered = terms.find(c, m.federation, digest)
    return parse(offered.document) if offered is not None else None


def decide(c: Connection, m: Membership, held: Held, facts: Facts) -> TaskState:
    """Decide a task that was offered, and write the answer with all that it costs."""
    try:
        event, told = _decided(c, m, held, facts)
    except Refused as refusal:
        event, told = Event.RULED_OUT, Told(rule=refusal.rule or "refused", why=str(refusal))
    except PeerFault as fault:
        masking.complain(c, m, held.task, fault)
        event, told = Event.RULED_OUT, Told(rule=fault.rule, why=str(fault))
    return happen(c, m, held, event, told)


def _decided(c: Connection, m: Membership, held: Held, facts: Facts) -> tuple[Event, Told]:
    task = held.task
    document = document_of(c, m, task.agreement)
    # 0. The agreement is known. Stops a task under terms that nobody here has ever seen.
    if document is None:
        raise Refused("the task's agreement was never received", rule="unknown-agreement")
    # 0b. The store knows all that its keys signed. Stops a budget from being spent twice.
    rollback.check(c, m.federation)
    # 1. The ledger lets those act whom the document names. Stops operators that nobody chose.
    if facts.proposed is not None:
        check_stated(facts.proposed, document.agreement)
    check_terms(document, m.law)
    if held.state is TaskState.OFFERED:
        masking.check_newer(c, m, task)
    moment = _moment(c, m, task, facts)
    check_moment(Asked(task, document, moment, m.law))
    patients.say_left_out(c, m, document.digest, facts.seen)
    if task.kind is TaskKind.MEASURE:
        return _may_measure(c, m, task, document, facts)
    # 17b. Quantities are normalised by what the ledger says. Stops a model for few patients.
    measuring.go_by(c, m, document, facts.statistics)
    # 18. Masked as the agreement says, and by this site's own figures. Stops a sum of one.
    masking.check_asked(task, document)
    if task.kind is TaskKind.EVALUATE:
        return _may_evaluate(c, m, held, document, facts)
    return _may_train(c, m, held, document, facts)


def _may_measure(
    c: Connection, m: Membership, task: Task, document: Document, facts: Facts
) -> tuple[Event, Told]:
    measuring.check_asked(document, facts.statistics)
    if measuring.is_paid(c, m, document):
        return Event.MAY_EVALUATE, Told()
    standing = standing_of(c, m.federation, task.agreement)
    return Event.MAY_MEASURE, _reserved(c, m, task, document, standing)


def _may_evaluate(
    c: Connection, m: Membership, held: Held, document: Document, facts: Facts
) -> tuple[Event, Told]:
    """Decide on figures of quality; what no cap bears joins no sum of them."""
    task = held.task
    _check_figures_due(task, document)
    if not document.agreement.metrics_noised:
        return Event.MAY_EVALUATE, Told()
    standing = standing_of(c, m.federation, task.agreement)
    told = _reserved(c, m, task, document, standing)
    if task.masks and held.state is TaskState.OFFERED:
        masking.join(c, m, task, document, facts.known)
        return Event.MAY_MASK, Told()
    return Event.MAY_MEASURE, told


def _may_train(
    c: Connection, m: Membership, held: Held, document: Document, facts: Facts
) -> tuple[Event, Told]:
    task = held.task
    if task.masks and held.state is TaskState.OFFERED:
        masking.join(c, m, task, document, facts.known)
        return Event.MAY_MASK, Told()
    if lateness.sends_again(c, m, task, facts.outcomes):
        return Event.MAY_RESEND, Told()
    patients.declare_anew(c, m, document, facts.seen)
    standing = standing_of(c, m.federation, task.agreement)  # with the new number
    return Event.MAY_TRAIN, _reserved(c, m, task, document, standing)


def _moment(c: Connection, m: Membership, task: Task, facts: Facts) -> Moment:
    now = m.now()
    offered = terms.find(c, m.federation, task.agreement)
    told = offered is not None and offered.state == "in-force"
    told = told and task.agreement not in facts.not_in_force  # the ledger knows better
    agreement = parse(offered.document).agreement if offered else None
    return Moment(
        now=now,
        skew=facts.skew,
        alarm=note(c, m.federation, ALARM),
        standing=standing_of(c, m.federation, task.agreement),
        in_force=told or task.agreement in facts.in_force,
        newest=work.last_taken_part(c, m.federation, task.kind, but=task.task),
        data_fault=facts.seen.fault,
        cohort=m.cohort,
        bytes_today=egress.bytes_sent(c, since=now - _DAY),
        bytes_next=_most_sent(task, agreement),
        alone=facts.alone,
        inside=facts.inside,
    )


def _most_sent(task: Task, agreement: Agreement | None) -> int:
    """Return how many bytes a task sends at most."""
    sending = task.model.size
    if task.kind is not TaskKind.TRAIN:
        sending = subgroups.most_bytes(agreement.data) if agreement else 0
    elif agreement is not None and (form := form_of(agreement)) is not None:
        return form.most_bytes
    return sending + (task.state.size if task.state is not None and sending else 0)


def _reserved(
    c: Connection, m: Membership, task: Task, document: Document, standing: Standing
) -> Told:
    reservation = reservation_of(c, m, task, document, standing)
    body: dict[str, Any] = {
        "cohort": m.cohort,
        "sampling_rate": decimal_text(reservation.release.sampling_rate),
        "noise_multiplier": decimal_text(reservation.release.noise_multiplier),
        **_SAID_OF[task.kind](document.agreement, standing),
        "steps": reservation.release.steps,
        "delta": decimal_text(reservation.delta),
        "unit": UNIT,
        "epsilon_total": format_epsilon(reservation.epsilon_total),
    }
    spent = Spent(
        federation=m.federation,
        task=task.task,
        cohort=m.cohort,
        agreement=task.agreement,
        round=task.round,
        attempt=task.attempt,
        release=reservation.release,
        delta=reservation.delta,
        epsilon_total=body["epsilon_total"],
        purpose=body.get("purpose", TRAINING),
    )
    return Told(reservation=spent, reserved=body)


def _of_training(agreement: Agreement, standing: Standing) -> dict[str, str]:
    rate = release_of(agreement, standing.declared_patients).sampling_rate
    batch = expected_batch(rate, standing.declared_patients)
    return {
        "clip": decimal_text(agreement.privacy.clip if agreement.privacy else 0.0),
        "expected_batch": format(batch.normalize(), "f"),
        "loader": LOADER,
    }


def _of_figures(agreement: Agreement, _standing: Standing) -> dict[str, str]:
    """Return what a reservation says of a vector whose sensitivity stands for the clip."""
    return {
        "clip": decimal_text(noised.layout_of(agreement).sensitivity),
        "expected_batch": "1",
        "loader": ALL,
        "purpose": METRICS,
    }


def _of_statistics(agreement: Agreement, _standing: Standing) -> dict[str, str]:
    many = len(normalisation.quantities(agreement))
    return {
        "clip": decimal_text(normalisation.sensitivity(many)),
        "expected_batch": "1",
        "loader": ALL,
        "purpose": STATISTICS,
    }


_SAID_OF: Final[Mapping[TaskKind, Callable[[Agreement, Standing], dict[str, str]]]] = {
    TaskKind.TRAIN: _of_training,
    TaskKind.EVALUATE: _of_figures,
    TaskKind.MEASURE: _of_statistics,
}


def reservation_of(
    c: Connection, m: Membership, task: Task, document: Document, standing: Standing
) -> Reservation:
    """Return what one more task would cost; raise Refused when no cap bears it.

    The cap is the lowest of the officer's consent, site.yaml and the agreement. Figures have
    one of their own beside it.
    """
    agreement, policy = document.agreement, m.settings.policy
    cap, delta = cap_of(agreement, policy)
    caps = [f"the officer's consent {standing.cap:g}", f"site.yaml {policy.cap.epsilon:g}"]
    if agreement.privacy is not None:
        caps.append(f"privacy.budget of the agreement {agreement.privacy.budget.epsilon:g}")
    if task.kind is TaskKind.EVALUATE:
        _check_figures_left(c, m, task, document)
    release = release_for(task, agreement, standing)
    assert release is not None
    return budget_of(c, m.cohort).reserve(
        f"{m.federation}:{task.task}",
        release,
        min(cap, standing.cap),
        min(delta, standing.delta),
        caps=f"the lowest of {', '.join(caps)}",
    )


def _check_figures_due(task: Task, document: Document) -> None:
    """Refuse figures of a round that has none. Stops a coordinator from asking more often."""
    if not document.agreement.figures_due(task.round):
        raise Refused(
            f"the agreement asks for no figures of round {task.round}",
            todo="The round goes on without this hospital's figures.",
            rule="figures-not-due",
        )


def _check_figures_left(c: Connection, m: Membership, task: Task, document: Document) -> None:
    """Refuse figures past the metrics' own ε. Stops a coordinator from asking ever again."""
    made = figures_made(c, m, task.agreement)
    if made >= document.agreement.evaluations:
        raise Refused(
            f"the agreement's ε for figures is for {count(made, 'evaluation')}, all made",
            todo="The round goes on without this hospital's figures.",
            rule="metrics-exhausted",
        )


def figures_made(c: Connection, m: Membership, agreement: str) -> int:
    """Return for how many evaluations with noise under an agreement it was reserved."""
    return sum(
        one.purpose == METRICS and one.federation == m.federation and one.agreement == agreement
        for one in work.spent_on(c, m.cohort)
    )


def release_for(task: Task, agreement: Agreement, standing: Standing) -> Release | None:
    """Return what a task releases; None where it costs nothing, as exact figures do."""
    if task.kind is TaskKind.EVALUATE:
        return of_an_evaluation(agreement) if agreement.metrics_noised else None
    if task.kind is TaskKind.MEASURE:
        return next(iter(of_the_statistics(agreement)), None)
    return release_of(agreement, standing.declared_patients)


def release_of(agreement: Agreement, declared_patients: int) -> Release:
    """Return what a round releases; whole epochs without privacy are counted in their steps."""
    local = agreement.round.local
    if local.steps is None and local.batch is not None:
        steps = (local.epochs or 1) * math.ceil(max(declared_patients, 1) / local.batch)
        return Release(1.0, 0.0, steps)
    return of_a_round(agreement)


def budget_of(c: Connection, cohort: str) -> Budget:
    """Return all that was ever reserved from a cohort, over all federations."""
    spent = work.spent_on(c, cohort)
    return Budget(
        releases=tuple(one.release for one in spent),
        tasks=frozenset(f"{one.federation}:{one.task}" for one in spent),
    )
