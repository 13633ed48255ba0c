"""Statistics at a hospital: paid for once, said once, and gone by as the ledger has them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hospital import FEDERATION
from test_deciding import FINE, answers, decided

from governance import normalisation
from governance.normalisation import GRID, Scale
from governance.privacy.accountant import epsilon
from governance.privacy.releases import Release
from protos.words import AgreementState, StatementReceipt, TaskKind
from site_agent import measuring
from site_agent.agent import Event, TaskState
from site_agent.measuring import Recorded
from site_agent.progress import Told, happen
from site_agent.store import journal, work

STATED = {
    "data__statistics": "federated",
    "data__minimum_patients": 4000,
    "privacy__statistics": {"epsilon": 2.0},
}
SCALES = {"one": Scale("0", "10", "5", "2"), "two": Scale("0", "10", "4", "1")}


@pytest.fixture
def asked(charite):
    document = charite.consented(patients=4000, **STATED)
    return document, charite.task(document, kind=TaskKind.MEASURE)


def vector(document, number=1):
    deviation = normalisation.decimal_text(normalisation.deviation_of(document.agreement))
    made = normalisation.Released(
        deviation, tuple(GRID * n * number for n in (90, 9, -36, 1, 0))
    )
    return normalisation.to_json(made)


def receipt(hospital, kind, *, accepted=True):
    said = hospital.said(kind)[-1].statement
    rule = "" if accepted else "round-over"
    hospital.take(StatementReceipt(said.digest, accepted=accepted, seq=40, rule=rule))


def say(hospital, document, task, text):
    """Let the worker's vector be said, as the agent does."""

    def change(c):
        told = measuring.disclosed(c, hospital.m, document, text)
        work.move(c, FEDERATION, task.task, state=TaskState.WORKING)
        now = work.find(c, FEDERATION, task.task)
        return happen(c, hospital.m, now, Event.FIGURES_READY, Told(measured=told))

    return hospital.store.now(change)


def test_statistics_are_paid_for_before_anything_is_computed(charite, asked):
    document, task = asked
    assert decided(charite, task) is TaskState.RESERVING
    (spent,) = charite.spent()
    sigma = document.agreement.statistics_sigma
    assert (spent.release, spent.purpose) == (Release(1.0, sigma, 1), "statistics")
    body = charite.said("budget-reserved")[0].statement.body
    assert (body["purpose"], body["loader"], body["steps"]) == ("statistics", "all", 1)
    assert float(body["clip"]) == normalisation.sensitivity(2)
    assert float(body["epsilon_total"]) == pytest.approx(
        epsilon([spent.release], 1e-5), abs=1e-3
    )


def test_statistics_and_training_come_to_one_epsilon(charite, asked):
    document, task = asked
    decided(charite, task)
    facts = replace(FINE, statistics=Recorded(SCALES))
    assert decided(charite, charite.task(document), facts) is TaskState.RESERVING
    releases = [one.release for one in charite.spent()]
    last = charite.said("budget-reserved")[-1].statement.body
    assert float(last["epsilon_total"]) == pytest.approx(epsilon(releases, 1e-5), abs=1e-3)


def test_no_statistics_past_the_cap(make):
    careful = make(policy__cap={"epsilon": 0.5, "delta": 1e-5})
    document = careful.consented(patients=4000, **STATED)
    task = careful.task(document, kind=TaskKind.MEASURE)
    assert decided(careful, task) is TaskState.REFUSED
    assert answers(careful)[-1] == (task.task, False, "budget-exhausted")
    assert careful.spent() == []


def test_no_statistics_without_consent(charite):
    document = charite.proposed(**STATED)
    charite.take(AgreementState(document.digest, "in-force"))
    task = charite.task(document, kind=TaskKind.MEASURE)
    assert decided(charite, task) is TaskState.REFUSED
    assert answers(charite)[-1] == (task.task, False, "no-consent")


def test_statistics_that_no_agreement_asks_for_are_refused(charite):
    task = charite.task(charite.consented(), kind=TaskKind.MEASURE)
    assert decided(charite, task) is TaskState.REFUSED
    assert answers(charite)[-1] == (task.task, False, "statistics-not-due")
    assert charite.spent() == []


def test_statistics_that_are_recorded_already_are_not_said_again(charite, asked):
    _, task = asked
    facts = replace(FINE, statistics=Recorded(SCALES))
    assert decided(charite, task, facts) is TaskState.REFUSED
    assert answers(charite)[-1] == (task.task, False, "statistics-not-due")


def test_a_reservation_survives_a_power_cut_and_pays_for_what_was_not_drawn_yet(charite, asked):
    document, task = asked
    decided(charite, task)
    receipt(charite, "budget-reserved")
    charite.restart()
    assert len(charite.spent()) == 1
    again = charite.task(document, attempt=2, kind=TaskKind.MEASURE)
    assert decided(charite, again) is TaskState.FETCHING
    assert len(charite.spent()) == 1


def test_a_reservation_that_the_ledger_refused_pays_for_nothing_and_stays_spent(charite, asked):
    document, task = asked
    decided(charite, task)
    receipt(charite, "budget-reserved", accepted=False)
    again = charite.task(document, attempt=2, kind=TaskKind.MEASURE)
    assert decided(charite, again) is TaskState.RESERVING
    assert len(charite.spent()) == 2


def test_a_retry_says_the_very_same_vector_at_no_cost(charite, asked):
    document, task = asked
    decided(charite, task)
    receipt(charite, "budget-reserved")
    assert say(charite, document, task, vector(document)) is TaskState.DONE
    receipt(charite, "statistics-released", accepted=False)
    again = charite.task(document, attempt=2, kind=TaskKind.MEASURE)
    assert decided(charite, again) is TaskState.FETCHING
    say(charite, document, again, vector(document, number=2))
    first, second = charite.said("statistics-released")
    assert first.disclosures == second.disclosures
    assert first.statement.commitments == second.statement.commitments
    assert len(charite.spent()) == 1


def test_a_vector_that_was_said_and_is_lost_needs_a_reservation_of_its_own(charite, asked):
    document, task = asked
    decided(charite, task)
    receipt(charite, "budget-reserved")
    say(charite, document, task, vector(document))
    said = charite.said("statistics-released")[0].statement.digest
    charite.store.now(lambda c: journal.erase(c, FEDERATION, said, "statistics"))
    again = charite.task(document, attempt=2, kind=TaskKind.MEASURE)
    assert decided(charite, again) is TaskState.RESERVING


@pytest.mark.parametrize("kind", [TaskKind.TRAIN, TaskKind.EVALUATE])
def test_nothing_is_trained_or_judged_before_the_ledger_has_the_statistics(
    charite, asked, kind
):
    task = charite.task(asked[0], kind=kind)
    assert decided(charite, task) is TaskState.REFUSED
    assert answers(charite)[-1] == (task.task, False, "statistics-unknown")
    assert charite.spent() == []


def test_statistics_that_cannot_be_are_not_trained_by(charite, asked):
    facts = replace(FINE, statistics=Recorded(SCALES, "they are of other quantities"))
    task = charite.task(asked[0])
    assert decided(charite, task, facts) is TaskState.REFUSED
    assert answers(charite)[-1] == (task.task, False, "statistics-differ")


def test_what_is_recorded_is_what_the_worker_gets(charite, asked):
    document, _ = asked
    decided(charite, charite.task(document), replace(FINE, statistics=Recorded(SCALES)))
    kept = charite.store.look(lambda c: measuring.kept(c, charite.m, document))
    assert kept == {name: one.to_json() for name, one in SCALES.items()}
