"""Rounds, reservations and contributions as the log's tables have them."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from admission import FIRST, contribute, digest, refused, rows
from sqlalchemy import select

from governance.draw import draw, seed_of
from governance.ledger import queries, schema
from governance.privacy.accountant import epsilon
from governance.privacy.releases import Release
from protos.errors import PeerFault, Refused


@pytest.fixture
def opened(agreed):
    """A federation with its first round open."""
    agreed.open_round(1)
    return agreed


@pytest.fixture
def trained(opened):
    """A round to which both sites contributed."""
    contribute(opened)
    return opened


# --- opening ------------------------------------------------------------------------------


def test_no_round_without_an_agreement_in_force(federation):
    refused("unknown-agreement", federation.open_round, 1)
    federation.propose("first")
    refused("agreement-not-in-force", federation.open_round, 1)


def drawn(federation, **changes):
    """Return what a round says whose only site was drawn."""
    sql = select(schema.entries.c.statement).where(
        schema.entries.c.kind == "agreement-in-force"
    )
    seed = seed_of(federation.connection.execute(sql).scalar_one(), 1)
    ready = ["amc", "ucl"]
    told = {"sites": draw(seed, ready, 1), "drawn_from": ready, "seed": seed}
    return told | changes


def test_sites_that_the_seed_draws_are_asked(agreed):
    agreed.open_round(1, draw=drawn(agreed))
    assert rows(agreed, schema.rounds)[0].state == "open"


def test_no_site_is_picked_where_the_seed_draws_another(agreed):
    told = drawn(agreed)
    others = sorted({"amc", "ucl"} - set(told["sites"]))
    refused("draw", agreed.open_round, 1, draw=drawn(agreed, sites=others))
    refused("draw", agreed.open_round, 1, draw=drawn(agreed, drawn_from=others))


def test_no_seed_is_chosen(agreed):
    refused("draw", agreed.open_round, 1, draw=drawn(agreed, seed=digest("a lucky one")))


def test_no_site_is_drawn_from_whose_consent_is_not_in_force(agreed):
    told = drawn(agreed)
    other = next(site for site in ("amc", "ucl") if site not in told["sites"])
    agreed.officer(other, "consent-suspended", FIRST)
    refused("no-consent", agreed.open_round, 1, draw=told)


def test_no_site_is_asked_whose_consent_is_not_in_force(agreed):
    agreed.officer("ucl", "consent-suspended", FIRST)
    refused("no-consent", agreed.open_round, 1)
    agreed.enrol_site("ki")
    refused("no-consent", agreed.open_round, 1, sites=["amc", "ki"])
    agreed.open_round(1, sites=["amc"])


@pytest.mark.parametrize("at", [(0, 1), (2, 1), (1, 2), (1, 0)])
def test_the_first_round_is_the_first(agreed, at):
    with pytest.raises(Refused) as caught:
        agreed.open_round(*at)
    assert caught.value.rule in {"round-number", "bad-body"}


def test_only_one_round_is_open(opened):
    refused("round-open", opened.open_round, 2)
    refused("round-open", opened.open_round, 1, 2)


def test_an_abandoned_round_is_tried_again_as_its_next_attempt(opened):
    opened.abandon(1)
    for at in ((1, 1), (2, 1), (1, 3)):
        refused("round-number", opened.open_round, *at)
    refused("wrong-base", opened.open_round, 1, 2, model="another")
    opened.open_round(1, 2)
    states = [(row.round, row.attempt, row.state) for row in rows(opened, schema.rounds)]
    assert states == [(1, 1, "abandoned"), (1, 2, "open")]


def test_a_round_starts_from_what_was_committed_last(trained):
    trained.close(1)
    refused("round-number", trained.open_round, 1, 2, model="m1")
    refused("wrong-base", trained.open_round, 2, model="m0")
    trained.open_round(2, model="m1")


def test_numbers_run_on_under_a_new_agreement_from_weights_of_its_own(trained):
    trained.close(1)
    trained.moved("superseded", "first")
    trained.agree("second")
    refused("round-number", trained.open_round, 1, model="n0", agreement="second")
    trained.open_round(2, model="n0", agreement="second")


# --- budget -------------------------------------------------------------------------------


def test_budget_is_reserved_in_the_open_attempt_by_who_was_asked(agreed):
    refused("unknown-round", agreed.reserve, "amc", 1)
    agreed.open_round(1, sites=["amc"])
    refused("not-asked", agreed.reserve, "ucl", 1)
    refused("unknown-round", agreed.reserve, "amc", 1, 2)
    agreed.reserve("amc", 1)
    refused("reserved-twice", agreed.reserve, "amc", 1)
    agreed.abandon(1)
    refused("round-over", agreed.reserve, "amc", 1)


def test_no_reservation_passes_the_cap_that_the_officer_signed(opened):
    for total in ("8.0001", "80", "inf"):
        refused("over-cap", opened.reserve, "amc", 1, total=total)
    opened.reserve("amc", 1, total="8.0000")
    (row,) = rows(opened, schema.reservations)
    assert (row.site, row.cohort, row.epsilon_total) == ("amc", "infarction", "8.0000")


def test_a_site_that_withdrew_reserves_and_contributes_nothing(opened):
    opened.reserve("amc", 1)
    for site in ("amc", "ucl"):
        opened.agent(site, "consent-withdrawn", FIRST)
    refused("no-consent", opened.reserve, "ucl", 1)
    refused("no-consent", opened.contribute, "amc", 1)
    model = {"model": digest("m1"), "mechanism": "exact"}
    refused("no-consent", opened.agent, "amc", "evaluation-made", opened.at(1) | model)


def test_noised_figures_are_paid_for_each_by_a_reservation_of_its_own(opened):
    figures = opened.evaluation_body(1)
    refused("no-reservation", opened.agent, "amc", "evaluation-made", figures)
    opened.reserve("amc", 1)  # for training
    refused("no-reservation", opened.agent, "amc", "evaluation-made", figures)
    opened.agent("amc", "budget-reserved", opened.metrics_body(1))
    opened.agent("amc", "evaluation-made", figures)
    refused("no-reservation", opened.agent, "amc", "evaluation-made", figures)


def test_spending_tells_training_and_metrics_apart_in_one_figure_of_both(opened):
    opened.reserve("amc", 1)
    opened.agent("amc", "budget-reserved", opened.metrics_body(1))
    answer = queries.spent(opened.connection)
    (row,) = [dict(zip(answer.columns, row, strict=True)) for row in answer.rows]
    total, training, metrics = (float(row[n]) for n in ("epsilon", "training", "metrics"))
    assert metrics == pytest.approx(epsilon([Release(1.0, 9.0, 1)], 1e-5), abs=1e-3)
    assert training == pytest.approx(epsilon([Release(0.1, 1.1, 5)], 1e-5), abs=1e-3)
    assert max(training, metrics) < total < training + metrics
    assert "exact" not in " ".join(answer.notes)


def test_a_reservation_for_figures_pays_for_no_training(opened):
    opened.agent("amc", "budget-reserved", opened.metrics_body(1, steps=1))
    refused("no-reservation", opened.contribute, "amc", 1)


def test_a_reservation_for_figures_is_of_all_patients_once(opened):
    for wrong in ({"loader": "poisson"}, {"sampling_rate": "0.1"}, {"steps": 2}):
        body = opened.metrics_body(1, **wrong)
        with pytest.raises(PeerFault) as fault:
            opened.agent("amc", "budget-reserved", body)
        assert fault.value.rule == "malformed-release"


# --- contributions ------------------------------------------------------------------------


def test_a_contribution_is_to_the_open_attempt_from_its_model(opened):
    refused("no-reservation", opened.contribute, "amc", 1)
    opened.reserve("amc", 1)
    refused("unknown-round", opened.contribute, "amc", 1, 2)
    refused("wrong-base", opened.contribute, "amc", 1, base="another")
    more = opened.contribution_body("amc", 1) | {"steps": 6}
    refused("no-reservation", opened.agent, "amc", "contribution-made", more)
    opened.contribute("amc", 1)
    refused("second-contribution", opened.contribute, "amc", 1, update="another")
    opened.abandon(1)
    refused("round-over", opened.contribute, "ucl", 1)


def test_an_update_is_sent_again_without_a_new_reservation_and_no_other_is(opened):
    opened.reserve("amc", 1)
    opened.contribute("amc", 1, update="u")
    opened.abandon(1)
    opened.open_round(1, 2)
    refused("no-reservation", opened.contribute, "amc", 1, 2, update="trained anew")
    opened.contribute("amc", 1, 2, update="u")


def test_no_contribution_states_less_than_was_reserved(opened):
    opened.reserve("amc", 1)
    for stated in ("0", "0.9999"):
        less = opened.contribution_body("amc", 1) | {"epsilon": stated}
        refused("epsilon-understated", opened.agent, "amc", "contribution-made", less)
    opened.contribute("amc", 1, update="u")
    opened.abandon(1)
    opened.open_round(1, 2)
    opened.reserve("amc", 1, 2, total="2.0000")
    refused("epsilon-understated", opened.contribute, "amc", 1, 2, update="trained anew")
    opened.contribute("amc", 1, 2, update="u")


def test_a_consent_that_ends_in_mid_round_ends_at_its_second(federation):
    federation.propose("first")
    until = federation.now + timedelta(minutes=5)
    federation.consent("amc", "first", until=until)
    federation.consent("ucl", "first")
    federation.moved("in-force", "first", "amc", "ucl")
    federation.open_round(1)
    for site in ("amc", "ucl"):
        federation.reserve(site, 1)
    federation.contribute("amc", 1)
    federation.now = until
    federation.contribute("ucl", 1)
    refused("consent-ended", federation.close, 1)
    federation.close(1, sites_in=["ucl"], out={"amc": "consent"})


def test_a_refused_contribution_does_not_count(trained):
    update = digest("update of amc 1 1")
    body = trained.at(1) | {"site": "amc", "update": update, "refusal": "not-finite"}
    trained.coordinator("contribution-refused", body)
    refused("no-contribution", trained.close, 1)
    trained.close(1, sites_in=["ucl"], out={"amc": "not-finite"})
    states = {row.site: (row.state, row.refusal) for row in rows(trained, schema.contributions)}
    assert states == {"amc": ("refused", "not-finite"), "ucl": ("made", "")}


def test_a_contribution_that_never_came_in_is_refused_in_a_row_of_its_own(opened):
    body = opened.at(1) | {"site": "amc", "update": digest("u"), "refusal": "wrong-shape"}
    opened.coordinator("contribution-refused", body)
    opened.reserve("amc", 1)
    opened.contribute("amc", 1)
    states = [(row.state, row.refusal) for row in rows(opened, schema.contributions)]
    assert states == [("refused", "wrong-shape"), ("made", "")]


# --- closing ------------------------------------------------------------------------------


def test_a_round_closes_with_who_contributed(trained):
    trained.close(1)
    (row,) = rows(trained, schema.rounds)
    assert (row.state, row.model_in, row.model_out) == ("closed", digest("m0"), digest("m1"))
    assert json.loads(row.sites_in) == json.loads(row.sites) == ["amc", "ucl"]
    refused("round-over", trained.close, 1)
    refused("round-over", trained.abandon, 1)


def test_a_round_is_abandoned_with_the_rule_and_those_of_it_who_broke_that(opened):
    why = {"rule": "secagg-r12", "refused": {"ki": "secagg-r12"}}
    refused("not-asked", lambda: opened.abandon(1, reason="gate", **why))
    refused("bad-body", lambda: opened.abandon(1, reason="gate", rule="secagg-r12"))
    opened.abandon(1, reason="gate", **why | {"refused": {"ucl": "secagg-r12"}})


def test_a_round_closes_without_invented_or_hidden_participants(trained):
    refused("round-sites", trained.close, 1, sites_in=[])
    refused("round-sites", trained.close, 1, sites_in=["amc", "ki"], out={"ucl": "late"})
    refused("round-sites", trained.close, 1, sites_in=["amc"])
    refused("round-sites", trained.close, 1, out={"ucl": "late"})
    refused("wrong-base", trained.close, 1, models="another m1")
    refused("unknown-round", trained.close, 1, 2)


def test_a_round_does_not_close_with_one_who_contributed_nothing(opened):
    opened.reserve("amc", 1)
    opened.contribute("amc", 1)
    refused("no-contribution", opened.close, 1)
    opened.close(1, sites_in=["amc"], out={"ucl": "late"})


def test_a_round_does_not_close_over_a_withdrawal_but_over_a_pause(trained):
    trained.agent("amc", "consent-suspended", FIRST)
    trained.agent("ucl", "consent-withdrawn", FIRST)
    refused("consent-ended", trained.close, 1)
    trained.close(1, sites_in=["amc"], out={"ucl": "consent"})


# --- what changes no table ----------------------------------------------------------------


def test_what_is_said_of_a_round_is_of_one_that_was_opened(trained):
    task = {"task": "heart/1/1/train", "refusal": "quiet-hours"}
    model = {"model": digest("m1"), "refusal": "gate"}
    deleted = {"updates": [digest("update of amc 1 1")]}
    figures = {"model": digest("m1"), "mechanism": "exact"}
    refused("unknown-round", trained.agent, "amc", "task-refused", trained.at(2) | task)
    refused("unknown-round", trained.agent, "amc", "evaluation-made", trained.at(2) | figures)
    refused("unknown-round", trained.coordinator, "candidate-rejected", trained.at(2) | model)
    refused("round-open", trained.coordinator, "updates-deleted", trained.at(1) | deleted)
    trained.agent("amc", "task-refused", trained.at(1) | task)
    trained.agent("amc", "evaluation-made", trained.at(1) | figures)
    trained.coordinator("candidate-rejected", trained.at(1) | model)
    trained.close(1)
    trained.coordinator("updates-deleted", trained.at(1) | deleted)
    refused("round-over", trained.coordinator, "candidate-rejected", trained.at(1) | model)
    (row,) = rows(trained, schema.evaluations)
    assert (row.site, row.model, row.mechanism) == ("amc", digest("m1"), "exact")


def test_a_round_of_another_agreement_is_unknown(opened):
    opened.propose("second")
    body = opened.at(1, agreement="second") | {"task": "t", "refusal": "r"}
    refused("unknown-round", opened.agent, "amc", "task-refused", body)


def test_data_is_declared_for_an_agreement_that_was_proposed(agreed):
    body = {
        "agreement": digest("second"),
        "cohort": "infarction",
        "declared_patients": 120,
        "schema": digest("schema"),
        "expected_batch": "12.0",
    }
    refused("unknown-agreement", agreed.agent, "amc", "data-declared", body)
    agreed.agent("amc", "data-declared", body | FIRST)
