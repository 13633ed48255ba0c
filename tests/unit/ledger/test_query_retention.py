"""What may be disposed of and when: six years from the later of creation and last in effect."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from admission import closed_round, digest
from sqlalchemy import select
from test_exits import whole_exit
from test_keeping import ask, consent_of, erase, hold

from governance.ledger import query_retention, schema
from governance.statements import parse_time, timestamp


def asked(federation, at=None):
    now = federation.now
    return query_retention.retention(federation.connection, now=now, at=at)


def rows(federation, what, at=None):
    answer = asked(federation, at)
    found = answer.named()
    return {row["which"]: row for row in found if row["what"] == what}


def consent(federation, site="amc", **how):
    return rows(federation, "consent", **how)[f"{site} {digest('first')}"]


def received(federation, seq):
    wanted = select(schema.entries.c.received_at).where(schema.entries.c.seq == seq)
    return federation.connection.execute(wanted).scalar_one()


def six_years_on(federation, seq):
    moment = parse_time(received(federation, seq))
    return timestamp(moment.replace(year=moment.year + 6))


def test_a_consent_in_force_is_kept_without_an_end(agreed):
    row = consent(agreed)
    assert (row["state"], row["keep_until"], row["values"]) == ("in-effect", None, 2)


def test_a_consent_is_kept_six_years_from_its_end_and_not_from_its_signature(agreed):
    seq = agreed.agent("amc", "consent-withdrawn", {"agreement": digest("first")})
    row = consent(agreed)
    assert row["in_effect_until"] == received(agreed, seq)
    assert row["keep_until"] == six_years_on(agreed, seq)
    assert row["state"] == "kept"


def test_a_consent_whose_time_is_over_is_due_six_years_after_that(agreed):
    row = consent(agreed, at=datetime(2034, 1, 1, tzinfo=UTC))
    assert row["in_effect_until"].startswith("2027-11-21")
    assert (row["keep_until"][:10], row["state"]) == ("2033-11-21", "due")


@pytest.mark.parametrize(("day", "state"), [(20, "kept"), (22, "due")])
def test_at_the_day_decides_what_is_due(agreed, day, state):
    at = datetime(2033, 11, day, tzinfo=UTC)
    assert consent(agreed, at=at)["state"] == state


def test_an_agreement_in_force_keeps_its_rounds(agreed):
    agreed.open_round(1)
    row = rows(agreed, "agreement")[digest("first")]
    assert (row["state"], row["keep_until"]) == ("in-effect", None)
    assert row["entries"] == 3


def test_a_release_that_stands_is_in_effect_and_a_recalled_one_is_kept_six_years(agreed):
    closed_round(agreed)
    agreed.publish()
    assert rows(agreed, "release")["v1"]["state"] == "in-effect"
    seq = agreed.recall()
    row = rows(agreed, "release")["v1"]
    assert (row["entries"], row["keep_until"]) == (2, six_years_on(agreed, seq))


def test_an_agreement_whose_model_is_in_use_is_in_effect_after_its_end(agreed):
    closed_round(agreed)
    agreed.publish()
    over = agreed.moved("complete", "first")
    assert rows(agreed, "agreement")[digest("first")]["keep_until"] is None
    assert consent(agreed)["in_effect_until"] == received(agreed, over)
    agreed.recall()
    row = rows(agreed, "agreement")[digest("first")]
    assert row["keep_until"] == six_years_on(agreed, over)


def test_a_member_is_in_effect_until_it_is_revoked(agreed):
    assert rows(agreed, "member")["amc"]["state"] == "in-effect"
    seq = agreed.operator("revoked", {"name": "amc", "serials": []})
    assert rows(agreed, "member")["amc"]["keep_until"] == six_years_on(agreed, seq)


def test_a_member_who_left_is_in_effect_until_its_keys_ended(agreed):
    whole_exit(agreed)
    of_amc = select(schema.keys.c.until_seq).where(schema.keys.c.name == "amc")
    (ended,) = agreed.connection.execute(of_amc.distinct()).scalars()
    assert rows(agreed, "member")["amc"]["keep_until"] == six_years_on(agreed, ended)
    assert rows(agreed, "member")["ucl"]["state"] == "in-effect"


def test_the_first_entry_is_the_coordinators_on_every_engine(agreed):
    assert {"coordinator"} == {"coordinator", "authority"} & set(rows(agreed, "member"))


def test_every_entry_is_in_one_record(agreed):
    agreed.open_round(1)
    hold(agreed, "site/ucl")
    size = agreed.connection.execute(select(schema.entries.c.seq)).scalars().all()
    assert sum(row[2] for row in asked(agreed).rows) == len(size)


def test_what_a_hold_protects_is_held_and_never_due(agreed):
    hold(agreed, "site/amc")
    at = datetime(2060, 1, 1, tzinfo=UTC)
    row = consent(agreed, at=at)
    assert (row["state"], row["holds"]) == ("held", "site/amc")
    assert consent(agreed, "ucl", at=at)["state"] == "due"
    hold(agreed, "site/amc", "hold-lifted")
    assert consent(agreed, at=at)["state"] == "due"


def test_holds_and_erasures_are_told_with_who_asked(agreed):
    seq = consent_of(agreed)
    first = hold(agreed, "site/ucl")
    request = ask(agreed, seq)
    ask(agreed, seq, "role")
    by = erase(agreed, seq)
    facts = asked(agreed).facts
    (held,), (gone,) = facts["holds"], facts["erased"]
    assert (held["subject"], held["seq"], held["reason"]) == (
        *("site/ucl", first),
        "a court asked",
    )
    assert (gone["entry"], gone["label"], gone["erased_seq"]) == (seq, "officer", by)
    assert (gone["asked_seq"], gone["asked_by"]) == (request, "site/amc")
    assert [one["label"] for one in facts["erasure_requested"]] == ["role"]
    assert consent(agreed)["values"] == 1


def test_six_years_after_a_leap_day_is_the_first_of_march():
    after = query_retention.six_years_after("2028-02-29T12:00:00.000000Z")
    assert after == "2034-03-01T12:00:00.000000Z"
