"""What leaving writes and changes: consents, keys, the base of rounds, and who may say what."""

from __future__ import annotations

import pytest
from admission import closed_round, digest, refused, rows
from sqlalchemy import select

from governance.ledger import projections, query_releases, schema, store
from governance.ledger.entry import Entry
from governance.ledger.rules import Replay
from site_agent.store import copy

LEAVES = {"site": "amc", "scope": "federation", "cause": "own-wish"}
SPENT = "7.5000"
REMOVED = {"site": "amc", "scope": "federation", "cause": "removed"}


def step(fed, request, name, decision="", rounds=(), base=("", ""), *, releases=()):
    body = {
        "exit": request,
        "site": "amc",
        "step": name,
        "decision": decision,
        "rounds": list(rounds),
        "releases": list(releases),
        "model": base[0],
        "state": base[1],
    }
    return fed.coordinator("exit-step", body)


def one(fed, table, **where):
    asked = select(table).filter_by(**where).order_by(*table.primary_key)
    found = fed.connection.execute(asked).all()
    return found[-1] if found else None


def state_of(fed, request):
    return one(fed, schema.exits, seq=request).state


def to_training(fed, request, *, rounds, releases=()):
    step(fed, request, "quiesced", "no-round")
    step(fed, request, "credentials-revoked")
    step(fed, request, "cleaned")
    step(fed, request, "impact-listed", rounds=rounds, releases=releases)


def whole_exit(fed, *, rounds=()):
    """Let amc leave, with all that follows; return the seq of its request."""
    request = fed.officer("amc", "exit-requested", LEAVES)
    to_training(fed, request, rounds=rounds)
    step(fed, request, "training-settled", "continue" if rounds else "")
    last = step(fed, request, "releases-settled")
    rests_on = [request, *range(last - 5, last + 1)]
    body = {"exit": request, "site": "amc", "rests_on": rests_on}
    fed.coordinator("exit-closed", body)
    return request


def replayed(fed, *more):
    """Return the first fault of the log by the state rules, then of further entries."""
    replay, last = Replay(), 0
    for entry in [*projections.log_of(fed.connection), *more]:
        fault = replay.take(entry)
        if fault is not None:
            return fault
        last = entry.seq
    assert last
    return None


def next_entry(fed, kind, body, actor, key):
    statement = fed.statement(kind, body, actor, fed.key(key))
    return Entry(store.size_of(fed.connection), fed.now, statement)


def test_leaving_ends_every_consent_and_no_other_can_be_given(agreed):
    agreed.officer("amc", "exit-requested", LEAVES)
    assert one(agreed, schema.consents, site="amc").state == "withdrawn"
    agreed.propose("second")
    refused("leaving", agreed.consent, "amc", "second")
    assert one(agreed, schema.consents, site="ucl").state == "in-force"


def test_a_removal_lapses_consents_and_is_an_operators_act(agreed):
    agreed.operator("exit-requested", REMOVED)
    assert one(agreed, schema.consents, site="amc").state == "lapsed"
    assert one(agreed, schema.acts, act="remove").operator == "ops"


def test_nobody_says_that_another_left_of_its_own_wish(agreed):
    refused("not-yours", agreed.operator, "exit-requested", LEAVES)
    refused("not-yours", agreed.officer, "ucl", "exit-requested", LEAVES)
    refused("not-yours", agreed.officer, "amc", "exit-requested", REMOVED)
    refused("wrong-signer", agreed.agent, "amc", "exit-requested", LEAVES)


def test_an_exit_is_asked_for_once(agreed):
    agreed.officer("amc", "exit-requested", LEAVES)
    refused("leaving", agreed.officer, "amc", "exit-requested", LEAVES)
    refused("leaving", agreed.operator, "exit-requested", REMOVED)


def test_an_exit_goes_its_course_to_the_end(agreed):
    request = whole_exit(agreed)
    assert state_of(agreed, request) == "closed"
    assert replayed(agreed) is None


def test_no_step_is_left_out(agreed):
    request = agreed.officer("amc", "exit-requested", LEAVES)
    refused("exit-order", step, agreed, request, "credentials-revoked")
    step(agreed, request, "quiesced", "no-round")
    refused("exit-order", step, agreed, request, "cleaned")
    refused("exit-step", step, agreed, request, "credentials-revoked", "keep")
    refused("no-exit", step, agreed, request + 1, "credentials-revoked")


def test_the_end_rests_on_every_step(agreed):
    request = whole_exit(agreed)
    other = agreed.agent("ucl", "consent-withdrawn", {"agreement": digest("first")})
    assert state_of(agreed, other) == "requested"
    body = {"exit": request, "site": "amc", "rests_on": [request]}
    refused("exit-order", agreed.coordinator, "exit-closed", body)


def test_keys_end_with_the_step_that_revokes_them(agreed):
    request = agreed.officer("amc", "exit-requested", LEAVES)
    step(agreed, request, "quiesced", "no-round")
    started = {"program": "concilium-site", "version": "1", "os": "Linux"}
    agreed.agent("amc", "software-started", started)
    step(agreed, request, "credentials-revoked")
    refused("key-replaced", agreed.agent, "amc", "software-started", started)


def test_a_withdrawal_begins_an_exit_that_leaves_the_keys(agreed):
    request = agreed.agent("amc", "consent-withdrawn", {"agreement": digest("first")})
    row = one(agreed, schema.exits, seq=request)
    assert (row.scope, row.agreement, row.state) == (
        "agreement",
        digest("first"),
        "requested",
    )
    step(agreed, request, "quiesced", "no-round")
    refused("exit-order", step, agreed, request, "credentials-revoked")
    step(agreed, request, "cleaned")
    assert replayed(agreed) is None


def test_the_impact_names_every_round_that_the_hospital_has_touched(agreed):
    closed_round(agreed, spent=SPENT)
    closed_round(agreed, 2, models="m1 m2", spent=SPENT)
    request = agreed.officer("amc", "exit-requested", LEAVES)
    for name, decision in (("quiesced", "no-round"), ("credentials-revoked", "")):
        step(agreed, request, name, decision)
    step(agreed, request, "cleaned")
    refused("exit-rounds", step, agreed, request, "impact-listed", rounds=[1])
    step(agreed, request, "impact-listed", rounds=[1, 2])
    assert replayed(agreed) is None


def test_going_back_marks_the_rounds_since_and_moves_the_base(agreed):
    agreed.enrol_site("gemelli")
    agreed.consent("gemelli", "first")
    closed_round(agreed, spent=SPENT)
    closed_round(agreed, 2, models="m1 m2", spent=SPENT)
    request = agreed.officer("amc", "exit-requested", LEAVES)
    to_training(agreed, request, rounds=[1, 2])
    settle = (agreed, request, "training-settled", "retrain-from-before")
    refused("other-base", step, *settle, rounds=[1, 2], base=(digest("m1"), ""))
    refused("exit-rounds", step, *settle, rounds=[2], base=(digest("m0"), ""))
    went = step(*settle, rounds=[1, 2], base=(digest("m0"), ""))
    marked = agreed.connection.execute(select(schema.rounds.c.undone_seq)).scalars().all()
    assert marked == [went, went]
    refused("wrong-base", agreed.open_round, 3, sites=("ucl", "gemelli"), model="m2")
    assert copy.given_up_with(agreed.connection) == 2  # c_i of these rounds are dropped
    agreed.open_round(3, sites=("ucl", "gemelli"), model="m0")
    assert replayed(agreed) is None


def went_back(fed, *, rounds=(1,), releases=()):
    """Let amc leave, and training go back to before it; return the step that says so."""
    request = fed.officer("amc", "exit-requested", LEAVES)
    to_training(fed, request, rounds=rounds, releases=releases)
    settle = (fed, request, "training-settled", "retrain-from-before")
    return step(*settle, rounds=rounds, base=(digest("m0"), ""))


def test_who_left_is_inside_until_training_went_back(agreed):
    force = digest_in_force(agreed)
    closed_round(agreed, spent=SPENT)
    assert copy.left_inside(agreed.connection, force) == frozenset()
    request = agreed.officer("amc", "exit-requested", LEAVES)
    assert copy.left_inside(agreed.connection, force) == {"amc"}
    to_training(agreed, request, rounds=[1])
    assert copy.left_inside(agreed.connection, force) == {"amc"}
    step(
        agreed,
        request,
        "training-settled",
        "retrain-from-before",
        rounds=[1],
        base=(digest("m0"), ""),
    )
    assert copy.left_inside(agreed.connection, force) == frozenset()


@pytest.mark.parametrize("decision", ["continue", ""])
def test_who_left_stays_inside_where_training_went_on(agreed, decision):
    force = digest_in_force(agreed)
    closed_round(agreed, spent=SPENT)
    request = agreed.officer("amc", "exit-requested", LEAVES)
    to_training(agreed, request, rounds=[1])
    step(agreed, request, "training-settled", decision)
    assert copy.left_inside(agreed.connection, force) == {"amc"}


def test_who_left_before_they_contributed_is_not_inside(agreed):
    force = digest_in_force(agreed)
    whole_exit(agreed)
    assert copy.left_inside(agreed.connection, force) == frozenset()


def digest_in_force(fed):
    (found,) = copy.in_force(fed.connection)
    return found


def test_a_round_that_an_exit_undid_is_released_no_more(agreed):
    closed_round(agreed, spent=SPENT)
    went_back(agreed)
    refused("release-undone", agreed.publish)


def test_a_replay_finds_the_release_of_a_round_that_an_exit_undid(agreed):
    closed_round(agreed, spent=SPENT)
    went_back(agreed)
    body = {
        **agreed.at(1),
        **agreed.release_body(),
        "card": digest("the card"),
        "rounds": [1],
        "sites": ["amc", "ucl"],
    }
    entry = next_entry(agreed, "release-published", body, "operator/ops", "ops")
    assert replayed(agreed, entry).rule == "release-undone"


def test_a_release_of_a_round_that_was_undone_later_says_since_when(agreed):
    closed_round(agreed, spent=SPENT)
    agreed.publish()
    seq = went_back(agreed, releases=["v1"])
    (row,) = query_releases.releases_held(agreed.connection).rows
    assert row[-1] == seq
    told = query_releases.one_release(agreed.connection, "v1")
    assert f"Undone since entry {seq}" in told.notes[0]


def test_a_replay_finds_a_round_that_goes_on_from_a_model_that_was_given_up(agreed):
    closed_round(agreed, spent=SPENT)
    request = agreed.officer("amc", "exit-requested", LEAVES)
    to_training(agreed, request, rounds=[1])
    went = (agreed, request, "training-settled", "retrain-from-before")
    step(*went, rounds=[1], base=(digest("m0"), ""))
    body = {
        **agreed.at(2),
        "model": digest("m1"),
        "state": "",
        "sites": ["ucl"],
        "deadline": "2026-12-01T00:00:00.000000Z",
    }
    entry = next_entry(agreed, "round-opened", body, "coordinator", "ledger")
    assert replayed(agreed, entry).rule == "other-base"


@pytest.mark.parametrize(
    ("rule", "name", "changes"),
    [
        ("exit-order", "cleaned", {}),
        ("exit-step", "credentials-revoked", {"decision": "keep"}),
        ("exit-step", "credentials-revoked", {"model": digest("m9")}),
        ("exit-rounds", "credentials-revoked", {"rounds": [1]}),
        ("no-exit", "credentials-revoked", {"exit": 0}),
        ("no-exit", "credentials-revoked", {"site": "ucl"}),
    ],
)
def test_a_replay_names_each_rule_of_a_step_that_is_broken(agreed, rule, name, changes):
    request = agreed.officer("amc", "exit-requested", LEAVES)
    step(agreed, request, "quiesced", "no-round")
    empty = {"decision": "", "rounds": [], "releases": [], "model": "", "state": ""}
    body = {"exit": request, "site": "amc", "step": name, **empty, **changes}
    entry = next_entry(agreed, "exit-step", body, "coordinator", "ledger")
    assert replayed(agreed, entry).rule == rule


def test_a_replay_finds_an_end_without_its_steps(agreed):
    request = whole_exit(agreed)
    body = {"exit": request, "site": "amc", "rests_on": [request]}
    entry = next_entry(agreed, "exit-closed", body, "coordinator", "ledger")
    assert replayed(agreed, entry).rule == "exit-order"


def test_a_replay_finds_who_speaks_of_anothers_exit(agreed):
    entry = next_entry(agreed, "exit-requested", REMOVED, "site/amc", "amc officer")
    assert replayed(agreed, entry).rule == "not-yours"


def test_a_name_is_enrolled_again_after_its_exit_with_new_keys(agreed):
    refused("name-taken", enrol_again, agreed)
    whole_exit(agreed)
    enrol_again(agreed)
    assert replayed(agreed) is None
    agreed.propose("second")
    agreed.say(
        "consent-declined",
        {"agreement": digest("second")},
        "site/amc",
        agreed.key("amc second officer"),
    )


def test_old_keys_do_not_come_back(agreed):
    whole_exit(agreed)
    refused("key-taken", agreed.enrol_site, "amc")


def enrol_again(fed):
    officers = ["amc second officer"]
    body = fed.enrol_body("site", "amc", officers, 1)
    body |= {"agent": fed.key("amc second agent").key_id}
    signers = [fed.key("amc second agent"), fed.key(officers[0]), fed.authority]
    return fed.say("enrolled", body, "site/amc", *signers)


def test_a_rebuild_makes_the_same_tables(agreed):
    closed_round(agreed, spent=SPENT)
    whole_exit(agreed, rounds=[1])
    tables = (schema.exits, schema.exit_steps, schema.rounds, schema.consents, schema.keys)
    before = [rows(agreed, table) for table in tables]
    projections.rebuild(agreed.connection)
    assert before == [rows(agreed, table) for table in tables]
