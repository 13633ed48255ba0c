"""An update that came too late for its round counts in the next: once, and paid for."""

from __future__ import annotations

import pytest
from admission import contribute as contributed
from admission import digest, refused
from sqlalchemy import select

from governance.ledger import query_covered, query_rounds, query_settings, source
from governance.ledger.schema import contributions, reservations
from governance.ledger.verify import verify

LATE = {"amc": "late"}
SPENT = "7.9000"


@pytest.fixture
def missed(agreed):
    """A second round whose first went on without amc, which had reserved for it."""
    agreed.open_round(1)
    agreed.reserve("amc", 1, total=SPENT)
    contribute(agreed, sites=("ucl",))
    agreed.close(1, sites_in=["ucl"], out=LATE)
    agreed.open_round(2, model="m1")
    return agreed


def contribute(fed, *at, **more):
    contributed(fed, *at, spent=SPENT, **more)


def late(fed, round_=2, attempt=1, **changes):
    """Let amc contribute what it trained in round 1."""
    body = fed.contribution_body("amc", round_, attempt, base="m0", update="the late one")
    body |= {"epsilon": SPENT, "trained_in": 1}
    return fed.agent("amc", "contribution-made", body | changes)


def verified(fed):
    verdict = verify(source.Database(fed.connection))
    assert verdict.verified, verdict.sentence


def test_late_update_counts_in_the_next_round_at_no_further_cost(missed):
    late(missed)
    contribute(missed, 2, sites=("ucl",), base="m1")
    missed.close(2, models="m1 m2")
    verified(missed)


def test_late_update_is_of_the_round_just_before(missed):
    refused("late-update", late, missed, trained_in=2)
    contribute(missed, 2, base="m1")
    missed.close(2, models="m1 m2")
    missed.open_round(3, model="m2")
    refused("late-update", late, missed, round_=3)


def test_who_was_not_late_has_no_late_update(missed):
    body = missed.contribution_body("ucl", 2, base="m0") | {"trained_in": 1}
    refused("late-update", missed.agent, "ucl", "contribution-made", body)


def test_who_never_answered_has_no_late_update(agreed):
    agreed.open_round(1)
    contribute(agreed, sites=("ucl",))
    agreed.close(1, sites_in=["ucl"], out={"amc": "no-answer"})
    agreed.open_round(2, model="m1")
    refused("late-update", late, agreed)


def test_late_update_is_of_its_own_rounds_model(missed):
    refused("wrong-base", late, missed, base=digest("m1"))


def test_late_update_was_paid_for_in_its_own_round(agreed):
    agreed.open_round(1)
    contribute(agreed, sites=("ucl",))
    agreed.close(1, sites_in=["ucl"], out=LATE)
    agreed.open_round(2, model="m1")
    agreed.reserve("amc", 2, total=SPENT)
    refused("no-reservation", late, agreed)


def test_an_update_and_a_late_one_do_not_both_count(missed):
    late(missed)
    missed.reserve("amc", 2, total=SPENT)
    body = missed.contribution_body("amc", 2, base="m1") | {"epsilon": SPENT}
    refused("second-contribution", missed.agent, "amc", "contribution-made", body)


def test_late_update_is_sent_again_in_the_next_attempt_and_pays_for_no_other(missed):
    late(missed)
    missed.abandon(2)
    missed.open_round(2, 2, model="m1")
    refused("no-reservation", late, missed, attempt=2, update=digest("another"))
    body = missed.contribution_body("amc", 2, 2, base="m1")
    refused("no-reservation", missed.agent, "amc", "contribution-made", body)
    late(missed, attempt=2)
    contribute(missed, 2, 2, sites=("ucl",), base="m1")
    missed.close(2, 2, models="m1 m2")
    verified(missed)


def test_one_who_trained_anew_after_a_late_update_paid_for_that(missed):
    late(missed)
    missed.abandon(2, reason="gate")
    missed.open_round(2, 2, model="m1")
    contribute(missed, 2, 2, base="m1")
    missed.close(2, 2, models="m1 m2")
    verified(missed)


def test_a_round_tells_who_was_late_and_where_that_update_counts(missed):
    seq = late(missed)
    contribute(missed, 2, sites=("ucl",), base="m1")
    missed.close(2, models="m1 m2")
    c = missed.connection
    assert c.execute(select(contributions.c.base).filter_by(seq=seq)).scalar() == digest("m0")
    first = query_rounds.one_round(c, 1).notes
    assert f"amc was late in attempt 1; its update counts in round 2 (entry {seq})." in first
    second = query_rounds.one_round(c, 2).notes
    assert f"The update of amc in attempt 1 was trained in round 1 (entry {seq})." in second


def test_a_round_tells_who_was_late_for_good_and_who_never_answered(agreed):
    agreed.open_round(1)
    agreed.reserve("amc", 1, total=SPENT)
    contribute(agreed, sites=("ucl",))
    agreed.close(1, sites_in=["ucl"], out=LATE)
    agreed.open_round(2, model="m1")
    contribute(agreed, 2, sites=("ucl",), base="m1")
    agreed.close(2, sites_in=["ucl"], out={"amc": "no-answer"}, models="m1 m2")
    late_said = "amc was late in attempt 1: it had taken its task, and no update of it counts."
    assert late_said in query_rounds.one_round(agreed.connection, 1).notes
    said = "amc was waited for in attempt 1 and never answered."
    assert said in query_rounds.one_round(agreed.connection, 2).notes


def of_round_1(fed):
    return " ".join(query_rounds.one_round(fed.connection, 1).notes)


def test_what_a_late_update_came_to_is_not_told_before_it_is_known(missed):
    assert "amc was late in attempt 1; no update of it has come up so far." in of_round_1(
        missed
    )
    seq = late(missed)
    assert f"late in attempt 1; its update is up for round 2 (entry {seq})." in of_round_1(
        missed
    )


def test_a_late_update_of_who_withdrew_then_is_not_said_to_count(missed):
    seq = late(missed)
    contribute(missed, 2, sites=("ucl",), base="m1")
    missed.agent("amc", "consent-withdrawn", {"agreement": digest("first")})
    missed.close(2, sites_in=["ucl"], out={"amc": "consent"}, models="m1 m2")
    said = f"its update came up for round 2 (entry {seq}) and is not in."
    assert said in of_round_1(missed)


def test_a_late_update_is_told_with_the_reservation_that_paid_for_it(missed):
    asked = select(reservations.c.seq).filter_by(site="amc")
    (paid,) = missed.connection.execute(asked).scalars()
    seq = late(missed)
    answer = query_covered.contributions_covered(missed.connection, round_=2)
    (row,) = (dict(zip(answer.columns, one, strict=True)) for one in answer.rows)
    assert (row["contribution_seq"], row["reservation_seq"]) == (seq, paid)
    assert (row["round"], row["trained_in"]) == (2, 1)
    told = query_rounds.one_round(missed.connection, 2)
    by_site = {one[1]: dict(zip(told.columns, one, strict=True)) for one in told.rows}
    assert by_site["amc"]["reservation_seq"] == paid
    assert by_site["ucl"]["reservation_seq"] is None
    assert query_covered.silent(answer) == {"refusal"}


def test_a_late_updates_settings_are_told_in_the_round_in_which_it_counts(missed):
    seq = late(missed)
    contribute(missed, 2, sites=("ucl",), base="m1")
    missed.close(2, models="m1 m2")
    told = query_settings.settings_of(missed.connection, 2)
    by_site = {one[1]: one[-1] for one in told.rows}
    paid = select(reservations.c.site, reservations.c.seq).where(
        (reservations.c.site == "amc") | (reservations.c.round == 2)
    )
    assert by_site == dict(missed.connection.execute(paid).all())
    assert f"The update of amc in attempt 1 was trained in round 1 (entry {seq})." in told.notes
