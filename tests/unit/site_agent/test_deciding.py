"""A task is decided in one transaction: answer, journal and reservation, or nothing of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hospital import FEDERATION, SITE, digest_of, officer_of

from governance import noised, statements
from governance.privacy.accountant import epsilon
from governance.privacy.releases import Release
from protos.words import (
    AgreementState,
    BlobRef,
    Cancel,
    StatementReceipt,
    StatementSent,
    TaskAnswer,
    TaskKind,
)
from site_agent import dating, deciding, drafts, office, progress
from site_agent.agent import Event, Outcome, TaskState
from site_agent.deciding import Facts
from site_agent.progress import Told
from site_agent.readiness import Seen
from site_agent.store import carried, egress, journal, work
from site_agent.store.carried import COMMITTED, PENDING, Control
from site_agent.store.egress import Left
from site_agent.store.work import Spent, Update

SEEN = Seen(patients=60)
FINE = Facts(timedelta(), SEEN, frozenset(), {})


def decided(hospital, task, facts=FINE):
    if hospital.held(task) is None:
        hospital.take(task)
    held = hospital.held(task)
    return hospital.store.now(lambda c: deciding.decide(c, hospital.m, held, facts))


def answers(hospital):
    return [(a.task, a.accepted, a.rule) for a in hospital.sent(TaskAnswer)]


def kinds(hospital):
    return [statements.read(s.envelope).kind for s in hospital.sent(StatementSent)]


def test_a_task_under_a_consent_in_force_is_taken_and_paid_for(charite):
    document = charite.consented()
    task = charite.task(document)
    assert decided(charite, task) is TaskState.RESERVING
    assert answers(charite) == [(task.task, True, "")]
    (spent,) = charite.spent()
    assert spent.release == Release(0.1, 2.0, 4)
    (said,) = charite.said("budget-reserved")
    body = said.statement.body
    expected = epsilon([Release(0.1, 2.0, 4)], 1e-5)
    assert float(body["epsilon_total"]) >= expected > float(body["epsilon_total"]) - 1e-3
    assert (body["expected_batch"], body["steps"], body["cohort"]) == ("6", 4, "patients")
    assert (said.task, said.status) == (task.task, journal.QUEUED)
    statements.check_signatures(said.statement, [charite.m.voice.key.key_id])


def test_a_site_without_consent_never_accepts_a_task(charite):
    document = charite.proposed()
    charite.take(AgreementState(document.digest, "in-force"))
    task = charite.task(document)
    assert decided(charite, task) is TaskState.REFUSED
    assert answers(charite) == [(task.task, False, "no-consent")]
    assert charite.spent() == []
    assert kinds(charite) == ["task-refused"]


def test_the_coordinators_word_does_not_stand_against_the_ledger(charite):
    document = charite.consented(state="in-force")
    facts = Facts(timedelta(), SEEN, frozenset(), {}, frozenset({document.digest}))
    assert decided(charite, charite.task(document), facts) is TaskState.REFUSED
    assert answers(charite)[-1][2] == "agreement-not-in-force"
    assert charite.spent() == []


@pytest.mark.parametrize(
    "stated",
    [{}, {"operators": {"ops": officer_of("somebody").key_id}, "two_for": []}],
)
def test_an_agreement_whose_operators_the_ledger_states_otherwise_gets_no_work(charite, stated):
    document = charite.consented(state="in-force")
    facts = replace(FINE, in_force=frozenset({document.digest}), proposed=stated)
    assert decided(charite, charite.task(document), facts) is TaskState.REFUSED
    assert answers(charite)[-1][2] == "operators-misstated"
    assert charite.spent() == []


def test_a_task_under_an_agreement_that_was_never_received_is_refused(charite):
    task = charite.task(charite.document())
    assert decided(charite, task) is TaskState.REFUSED
    assert answers(charite) == [(task.task, False, "unknown-agreement")]


def test_a_declined_paused_or_withdrawn_consent_takes_no_task(charite):
    document = charite.consented()
    charite.store.now(lambda c: office.suspend(c, charite.m, document))
    first = charite.task(document)
    assert decided(charite, first) is TaskState.REFUSED
    draft = charite.store.look(lambda c: office.resume_draft(c, charite.m, document))
    charite.deliver(drafts.sign(draft, officer_of(SITE)))
    assert decided(charite, charite.task(document, round_=2)) is TaskState.RESERVING
    charite.store.now(lambda c: office.withdraw(c, charite.m, document))
    assert decided(charite, charite.task(document, round_=3)) is TaskState.REFUSED


def test_a_consent_that_runs_out_takes_no_task(charite):
    document = charite.proposed()
    charite.consent(document, until=charite.clock.time + timedelta(days=1))
    charite.take(AgreementState(document.digest, "in-force"))
    assert decided(charite, charite.task(document)) is TaskState.RESERVING
    charite.clock.pass_(days=1)
    assert decided(charite, charite.task(document, round_=2)) is TaskState.REFUSED


def test_unsafe_terms_are_refused_whoever_signed(make):
    liberal = make(policy__unsafe=["no-isolation", "exact-small-classes", "no-noise"])
    document = liberal.consented(privacy__noise_multiplier=0)
    liberal.rewrite(policy__unsafe=["no-isolation", "exact-small-classes"])
    task = liberal.task(document)
    assert decided(liberal, task) is TaskState.REFUSED
    assert answers(liberal)[-1] == (task.task, False, "unsafe-terms")


def test_what_no_noise_bounds_is_said_as_infinite(make):
    liberal = make(policy__unsafe=["no-isolation", "exact-small-classes", "no-noise"])
    document = liberal.consented(privacy__noise_multiplier=0)
    assert decided(liberal, liberal.task(document)) is TaskState.RESERVING
    assert liberal.said("budget-reserved")[0].statement.body["epsilon_total"] == "inf"
    assert liberal.said("consent-given")[0].statement.body["cap"] == "inf"


def test_an_exhausted_budget_refuses_and_says_what_is_left(make, capfd):
    poor = make(policy__cap={"epsilon": 1.0, "delta": 1e-5})
    document = poor.consented()
    for round_ in range(1, 20):
        if decided(poor, poor.task(document, round_=round_)) is TaskState.REFUSED:
            break
    assert answers(poor)[-1][2] == "budget-exhausted"
    assert poor.spent()
    assert epsilon([one.release for one in poor.spent()], 1e-5) <= 1.0


def test_what_was_spent_in_another_federation_counts(charite):
    document = charite.consented()
    elsewhere = Spent(
        "lungs", "lungs/1/1/train", "patients", "a" * 64, 1, 1, Release(0.5, 0.7, 40), 1e-5, "9"
    )
    charite.store.now(lambda c: work.reserve(c, elsewhere, at=charite.clock()))
    assert decided(charite, charite.task(document)) is TaskState.REFUSED
    assert answers(charite)[-1][2] == "budget-exhausted"


def test_the_days_bytes_are_the_hospitals_and_not_each_federations(make):
    slow = make(policy__bytes_per_day="1MiB")
    document = slow.consented()
    left = Left(slow.clock(), "update", 1 << 20, digest_of("update"), "budget")
    slow.store.now(lambda c: egress.record(c, "lungs", left))
    assert decided(slow, slow.task(document)) is TaskState.REFUSED
    assert answers(slow)[-1][2] == "bytes-per-day"


@pytest.mark.parametrize(
    ("way", "state"),
    [
        ({"name": "none"}, TaskState.REFUSED),
        ({"name": "random-k", "keep": 0.5}, TaskState.RESERVING),
    ],
)
def test_of_a_compressed_update_what_is_sent_counts_among_the_days_bytes(make, way, state):
    slow = make(policy__bytes_per_day="1KiB")
    document = slow.consented(aggregation__compression=way)
    model = BlobRef(digest_of("large"), 1 << 20)
    assert decided(slow, slow.task(document, model=model)) is state


def test_figures_by_subgroup_count_among_the_days_bytes(make):
    slow = make(policy__bytes_per_day="1KiB")
    terms = {"data__subgroups": ["band"], "data__features__0__bands": {"band": [5]}}
    document = slow.consented(**terms)
    task = slow.task(document, kind=TaskKind.EVALUATE)
    assert decided(slow, task) is TaskState.REFUSED
    assert answers(slow)[-1][2] == "bytes-per-day"


def test_a_crash_between_decision_and_commit_leaves_nothing_of_it(charite):
    document = charite.consented()
    task = charite.task(document)
    charite.take(task)
    before = len(charite.sent())

    def cut(c):
        deciding.decide(c, charite.m, charite.held(task), FINE)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        charite.store.now(cut)
    charite.restart()
    assert charite.held(task).state is TaskState.OFFERED
    assert (charite.spent(), len(charite.sent())) == ([], before)


def test_a_reservation_is_kept_whatever_becomes_of_its_task(charite):
    document = charite.consented()
    task = charite.task(document)
    decided(charite, task)
    charite.take(Cancel(task.task, "late"))
    charite.restart()
    assert charite.held(task).state is TaskState.CANCELLED
    assert len(charite.spent()) == 1


def test_the_receipt_of_the_reservation_lets_work_begin(charite):
    task = charite.task(charite.consented())
    decided(charite, task)
    digest = charite.said("budget-reserved")[0].statement.digest
    charite.take(StatementReceipt(digest, accepted=True, seq=40))
    assert charite.held(task).state is TaskState.FETCHING


def test_a_receipt_that_the_witness_was_faster_than_still_lets_work_begin(charite):
    task = charite.task(charite.consented())
    decided(charite, task)
    digest = charite.said("budget-reserved")[0].statement.digest
    charite.store.now(
        lambda c: journal.mark(c, FEDERATION, digest, status=journal.ACCEPTED, seq=40)
    )
    charite.take(StatementReceipt(digest, accepted=True, seq=40))
    assert charite.held(task).state is TaskState.FETCHING


def test_a_refused_reservation_fails_the_task_and_stays_spent(charite):
    task = charite.task(charite.consented())
    decided(charite, task)
    digest = charite.said("budget-reserved")[0].statement.digest
    charite.take(StatementReceipt(digest, accepted=False, rule="over-cap", sentence="too much"))
    assert charite.held(task).state is TaskState.FAILED
    assert answers(charite)[-1] == (task.task, False, "over-cap")
    assert len(charite.spent()) == 1


def test_a_reservation_that_was_dated_by_a_wrong_clock_waits_and_fails_nothing(charite):
    task = charite.task(charite.consented())
    decided(charite, task)
    digest = charite.said("budget-reserved")[0].statement.digest
    charite.take(StatementReceipt(digest, accepted=False, rule="dated-ahead"))
    assert charite.held(task).state is TaskState.RESERVING
    charite.store.now(lambda c: dating.say_again(c, charite.m))
    again = charite.said("budget-reserved")[-1].statement.digest
    charite.take(StatementReceipt(again, accepted=True, seq=40))
    assert charite.held(task).state is TaskState.FETCHING
    assert len(charite.spent()) == 1


def test_the_same_task_offered_again_is_answered_and_not_paid_again(charite):
    task = charite.task(charite.consented())
    decided(charite, task)
    charite.take(task)
    assert answers(charite) == [(task.task, True, "")] * 2
    assert len(charite.spent()) == 1


def test_one_id_for_two_tasks_is_dropped(charite):
    document = charite.consented()
    task = charite.task(document)
    decided(charite, task)
    other = charite.task(document, round_=2)
    from dataclasses import replace

    charite.take(replace(other, task=task.task))
    assert charite.held(task).task == task


def test_an_older_round_or_attempt_is_never_trained_again(charite):
    document = charite.consented()
    decided(charite, charite.task(document, round_=5))
    old = charite.task(document, round_=4, attempt=7)
    assert decided(charite, old) is TaskState.REFUSED
    assert answers(charite)[-1][2] == "not-newer"


def test_a_candidate_is_evaluated_once(charite):
    document = charite.consented()
    first = charite.task(document, kind=TaskKind.EVALUATE)
    assert decided(charite, first) is TaskState.FETCHING
    from dataclasses import replace

    again = replace(first, task=first.task + "/again")
    assert decided(charite, again) is TaskState.REFUSED
    assert charite.spent() == []


# --- sending again ---------------------------------------------------------------------------


def sent_once(charite, document):
    task = charite.task(document, round_=3)
    decided(charite, task)

    def change(c):
        work.keep_update(c, FEDERATION, task.task, Update("e" * 64, 100, "work/u", 4))
        carried.keep_control(
            c, FEDERATION, Control(document.digest, 3, 1, "work/c", PENDING, "work/e")
        )
        work.move(c, FEDERATION, task.task, state=TaskState.DONE)

    charite.store.now(change)
    return task


def retry(charite, document, reason, *, seen=SEEN, **fields):
    facts = Facts(
        timedelta(), seen, frozenset(), {(3, 1): Outcome("abandoned", frozenset(), reason)}
    )
    return decided(charite, charite.task(document, round_=3, attempt=2, **fields), facts)


def test_a_retry_before_aggregation_sends_the_stored_update_at_no_cost(charite):
    document = charite.consented()
    sent_once(charite, document)
    assert retry(charite, document, "too-few-sites") is TaskState.SENDING
    assert len(charite.spent()) == 1
    again = charite.held(charite.task(document, round_=3, attempt=2))
    assert again.update.digest == "e" * 64
    controls = charite.store.look(lambda c: carried.controls(c, FEDERATION, state=PENDING))
    left = [(one.attempt, one.path, one.residual) for one in controls]
    assert left == [(2, "work/c", "work/e"), (1, "work/c", "work/e")]


def test_a_retry_after_a_gate_refusal_trains_anew_and_pays(charite):
    document = charite.consented()
    sent_once(charite, document)
    assert retry(charite, document, "gate") is TaskState.RESERVING
    assert len(charite.spent()) == 2


def test_a_retry_from_another_model_trains_anew(charite):
    document = charite.consented()
    sent_once(charite, document)
    other = BlobRef("d" * 64, 268)
    assert retry(charite, document, "too-few-sites", model=other) is TaskState.RESERVING


# --- consent that ends while a task is at work -----------------------------------------------


def test_a_pause_cancels_the_task_at_work_and_its_contribution(charite):
    from site_agent import voice
    from site_agent.voice import Saying

    document = charite.consented()
    task = charite.task(document)
    decided(charite, task)
    digest = charite.said("budget-reserved")[0].statement.digest
    charite.take(StatementReceipt(digest, accepted=True, seq=40))

    def on_its_way(c):
        held = work.find(c, FEDERATION, task.task)
        for event in (Event.FETCHED, Event.UPDATE_READY):
            progress.happen(c, charite.m, held, event, Told())
            held = work.find(c, FEDERATION, task.task)
        voice.contribute(
            c,
            charite.m.voice,
            Saying(
                "contribution-made", {"agreement": document.digest}, "budget", task=task.task
            ),
        )

    charite.store.now(on_its_way)
    assert charite.held(task).state is TaskState.SENDING
    charite.store.now(lambda c: office.suspend(c, charite.m, document))
    assert charite.held(task).state is TaskState.CANCELLED
    (contribution,) = charite.said("contribution-made")
    (pause,) = charite.said("consent-suspended")
    assert contribution.status == journal.VOID
    assert pause.statement.counter == contribution.statement.counter


def test_a_consent_that_lapses_cancels_what_is_at_work(charite):
    document = charite.proposed()
    charite.consent(document, until=charite.clock.time + timedelta(hours=1))
    charite.take(AgreementState(document.digest, "in-force"))
    task = charite.task(document)
    decided(charite, task)
    charite.store.now(lambda c: progress.cancel_without_consent(c, charite.m))
    assert charite.held(task).state is TaskState.RESERVING
    charite.clock.pass_(hours=1)
    charite.store.now(lambda c: progress.cancel_without_consent(c, charite.m))
    assert charite.held(task).state is TaskState.CANCELLED


def test_controls_survive_a_restart(charite):
    document = charite.consented()
    control = Control(document.digest, 1, 1, "work/c", PENDING)
    charite.store.now(lambda c: carried.keep_control(c, FEDERATION, control))
    charite.restart()
    charite.store.now(lambda c: carried.set_control(c, FEDERATION, control, COMMITTED))
    charite.restart()
    own = charite.store.look(lambda c: carried.own_control(c, FEDERATION, document.digest))
    assert own.path == "work/c"


# --- figures with noise ----------------------------------------------------------------------

NOISED = {"noised": {"epsilon_total": 1.0, "every": 5}, "minimum": 10}


def measured(charite, **terms):
    return charite.consented(privacy__metrics=NOISED, **terms)


def test_an_evaluation_with_noise_is_taken_and_paid_for_before_anything_is_computed(charite):
    document = measured(charite)
    task = charite.task(document, round_=5, kind=TaskKind.EVALUATE)
    assert decided(charite, task) is TaskState.RESERVING
    sigma = document.agreement.metrics_sigma
    (spent,) = charite.spent()
    assert (spent.release, spent.purpose) == (Release(1.0, sigma, 1), "metrics")
    body = charite.said("budget-reserved")[0].statement.body
    assert (body["purpose"], body["loader"], body["steps"]) == ("metrics", "all", 1)
    assert float(body["clip"]) == noised.layout_of(document.agreement).sensitivity
    # Four evaluations of 20 rounds, one every 5, come to what was agreed.
    assert 0.99 < epsilon([spent.release.times(4)], 1e-5) <= 1.0


def test_exact_figures_cost_nothing(charite):
    task = charite.task(charite.consented(), kind=TaskKind.EVALUATE)
    assert decided(charite, task) is TaskState.FETCHING
    assert charite.spent() == []


def test_training_and_figures_come_to_one_epsilon_of_the_cohort(charite):
    document = measured(charite)
    decided(charite, charite.task(document))
    decided(charite, charite.task(document, round_=5, kind=TaskKind.EVALUATE))
    releases = [one.release for one in charite.spent()]
    last = charite.said("budget-reserved")[-1].statement.body
    assert float(last["epsilon_total"]) == pytest.approx(epsilon(releases, 1e-5), abs=1e-3)


def test_no_figures_are_made_past_the_metrics_own_epsilon(charite):
    document = measured(charite, schedule__rounds=10)
    tasks = [charite.task(document, round_=n, kind=TaskKind.EVALUATE) for n in (5, 10, 15)]
    states = [decided(charite, task) for task in tasks]
    assert states == [TaskState.RESERVING, TaskState.RESERVING, TaskState.REFUSED]
    assert answers(charite)[-1] == (tasks[-1].task, False, "metrics-exhausted")
    assert len(charite.spent()) == 2


def test_no_figures_are_made_past_the_cap(make):
    careful = make(policy__cap={"epsilon": 0.1, "delta": 1e-5})
    document = measured(careful)
    task = careful.task(document, round_=5, kind=TaskKind.EVALUATE)
    assert decided(careful, task) is TaskState.REFUSED
    assert answers(careful)[-1] == (task.task, False, "budget-exhausted")


@pytest.mark.parametrize("how", ["exact", "noised"])
def test_figures_of_a_round_that_has_none_are_refused(charite, how):
    chosen = {"exact": {"every": 5}} if how == "exact" else {"noised": NOISED["noised"]}
    document = charite.consented(privacy__metrics={**chosen, "minimum": 10})
    task = charite.task(document, round_=4, kind=TaskKind.EVALUATE)
    assert decided(charite, task) is TaskState.REFUSED
    assert answers(charite)[-1] == (task.task, False, "figures-not-due")
    due = charite.task(document, round_=5, kind=TaskKind.EVALUATE)
    assert decided(charite, due) is not TaskState.REFUSED
