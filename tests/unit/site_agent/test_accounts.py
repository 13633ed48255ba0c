"""A cohort has one account: over rounds, retries, agreements and federations, at one figure."""

from __future__ import annotations

import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from hospital import FEDERATION
from hypothesis import given, settings
from hypothesis import strategies as st

from governance.privacy.accountant import epsilon, noise_for
from governance.privacy.budget import Budget
from governance.privacy.releases import Release, decimal_text
from protos.errors import Refused
from site_agent import deciding
from site_agent.agent import TaskState
from site_agent.deciding import Facts
from site_agent.readiness import Seen
from site_agent.standing import standing_of
from site_agent.store import Store, work
from site_agent.store.work import Spent

DELTA = 1e-5
FINE = Facts(timedelta(), Seen(patients=60), frozenset(), {})
TRAINED, LATER = Release(0.1, 2.0, 4), Release(0.05, 1.5, 20)
OTHERS = Release(0.2, 3.0, 10)


def paid(task, agreement, attempt, release, *, federation=FEDERATION, cohort="patients"):
    round_ = int(task[0])
    digest = agreement * 64
    return Spent(federation, task, cohort, digest, round_, attempt, release, DELTA, "1")


HERE = [paid(task, "a", 1, TRAINED) for task in ("1", "2", "3")]
RETRY = paid("3/2", "a", 2, TRAINED)
NEXT = paid("4", "b", 1, LATER)
ELSEWHERE = paid("1", "c", 1, OTHERS, federation="lungs")
OTHER_COHORT = paid("9", "a", 1, Release(0.9, 0.5, 99), cohort="infants")


def decided(hospital, document):
    task = hospital.task(document)
    hospital.take(task)
    held = hospital.held(task)
    return hospital.store.now(lambda c: deciding.decide(c, hospital.m, held, FINE))


@pytest.fixture
def account(charite):
    for spent in (*HERE, RETRY, NEXT, ELSEWHERE, OTHER_COHORT):
        charite.store.now(lambda c, s=spent: work.reserve(c, s, at=charite.clock()))
    return charite.store.now(lambda c: deciding.budget_of(c, "patients"))


def test_rounds_retries_agreements_and_federations_are_one_account_of_a_cohort(account):
    from dp_accounting import GaussianDpEvent, PoissonSampledDpEvent
    from dp_accounting.pld import PLDAccountant

    reference = PLDAccountant(value_discretization_interval=1e-4)
    for q, sigma, steps in ((0.1, 2.0, 16), (0.05, 1.5, 20), (0.2, 3.0, 10)):
        reference.compose(PoissonSampledDpEvent(q, GaussianDpEvent(sigma)), steps)
    assert len(account.tasks) == 6
    assert account.spent(DELTA) == pytest.approx(reference.get_epsilon(DELTA), abs=1e-3)


@pytest.mark.filterwarnings("ignore")
def test_two_other_accountants_agree_on_an_account_of_many_kinds(account):
    from opacus.accountants import PRVAccountant, RDPAccountant

    prv, rdp = PRVAccountant(), RDPAccountant()
    prv.history = rdp.history = [(2.0, 0.1, 16), (1.5, 0.05, 20), (3.0, 0.2, 10)]
    assert prv.get_epsilon(DELTA) == pytest.approx(account.spent(DELTA), abs=0.02)
    assert rdp.get_epsilon(DELTA) >= account.spent(DELTA)


def test_an_account_costs_more_than_its_dearest_part_and_less_than_their_sum(account):
    parts = [epsilon([part], DELTA) for part in (TRAINED.times(4), LATER, OTHERS)]
    assert max(parts) < account.spent(DELTA) < sum(parts)


def test_whose_cap_it_was_is_said(make):
    poor = make(policy__cap={"epsilon": 0.1, "delta": 1e-5})
    document = poor.consented()
    with pytest.raises(Refused) as refusal:
        poor.store.now(
            lambda c: deciding.reservation_of(
                c,
                poor.m,
                poor.task(document),
                document,
                standing_of(c, FEDERATION, document.digest),
            )
        )
    assert "past the cap of 0.1" in refusal.value.what
    assert "the officer's consent 0.1, site.yaml 0.1, privacy.budget of the agreement 6" in (
        refusal.value.what
    )


def test_every_site_reserves_the_noise_that_follows_from_the_target(charite):
    terms = {"privacy__noise_multiplier": None, "privacy__target": {"epsilon": 2.0}}
    document = charite.consented(**terms)
    assert decided(charite, document) is TaskState.RESERVING
    body = charite.said("budget-reserved")[0].statement.body
    expected = noise_for(2.0, sampling_rate=0.1, steps=80, delta=1e-5)
    assert body["noise_multiplier"] == decimal_text(expected)


def test_two_tasks_at_the_same_moment_cannot_both_have_what_is_left(make):
    one = epsilon([TRAINED], DELTA)
    poor = make(policy__cap={"epsilon": round(one * 1.05, 3), "delta": DELTA})
    document = poor.consented()
    tasks = [poor.task(document, round_=round_) for round_ in (1, 2)]
    for task in tasks:
        poor.take(task)
    together = threading.Barrier(2)

    def decide(task):
        store = Store.open(poor.premises.database)  # as another process has it
        try:
            held = store.look(lambda c: work.find(c, FEDERATION, task.task))
            together.wait()
            return store.now(lambda c: deciding.decide(c, poor.m, held, FINE))
        finally:
            store.close()

    with ThreadPoolExecutor(2) as pool:
        states = list(pool.map(decide, tasks))
    assert sorted(state.value for state in states) == ["refused", "reserving"]
    assert len(poor.spent()) == 1


@pytest.mark.slow
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["heart", "lungs"]),
            st.sampled_from([0.05, 0.1, 0.3]),
            st.sampled_from([1.0, 2.0, 4.0]),
            st.integers(1, 30),
        ),
        max_size=6,
    ),
    st.sampled_from([0.3, 1.0, 4.0]),
)
@settings(max_examples=12, deadline=None)
def test_no_order_of_tasks_of_two_federations_passes_the_cap(asked, cap):
    budget = Budget()
    for number, (federation, q, sigma, steps) in enumerate(asked):
        before = budget.spent(DELTA)
        with contextlib.suppress(Refused):
            made = budget.reserve(
                f"{federation}:{number}", Release(q, sigma, steps), cap, DELTA
            )
            budget = budget.after(made)
        assert before <= budget.spent(DELTA) <= cap
