"""The questions that an auditor asks, answered on a short history and pinned by hand."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from answers import NOW, received, rows
from sqlalchemy import select

from governance.ledger import merkle, note, queries, query_lineage, query_rounds, showing
from governance.ledger.checkpoint import parse_body
from governance.ledger.schema import contributions
from protos.errors import Refused


def test_each_consent_is_told_as_it_stands_now(asked, keys):
    answer = queries.consents_at(asked, now=NOW)
    first, second = (keys.at(1, 1, name)["agreement"] for name in ("first", "second"))
    assert rows(answer, "site", "state", "agreement") == [
        ("amc", "superseded", first),
        ("amc", "in-force", second),
        ("kul", "withdrawn", first),
        ("ucl", "superseded", first),
        ("ucl", "in-force", second),
        ("usz", "revoked", first),
    ]


def test_a_consent_says_who_signed_for_what_and_until_when(asked):
    answer = queries.consents_at(asked, now=NOW, site="kul")
    assert rows(answer, "officer", "role", "purposes", "until", "patients", "cap") == [
        ("A. Person", "director", "DUO:0000006", "2027-11-21T09:00:00.000000Z", 120, "12")
    ]


def test_an_erased_officer_is_empty(ledger):
    ledger.run(("DELETE FROM disclosures",))
    with ledger.reading() as connection:
        answer = queries.consents_at(connection, now=NOW, site="kul")
    assert rows(answer, "officer", "role") == [(None, None)]


def test_consents_are_told_as_they_stood_when_a_round_was_opened(asked):
    def states(round_):
        answer = queries.consents_at(asked, now=NOW, round_=round_)
        return dict(rows(answer, "site", "state"))

    assert states(1) == dict.fromkeys(("amc", "kul", "ucl", "usz"), "in-force")
    # Of round 3 the second attempt counts: kul had withdrawn, ucl had resumed.
    assert states(3)["kul"] == "withdrawn"
    assert states(3)["ucl"] == "in-force"


def test_consents_are_told_as_they_stood_at_a_time(asked, ledger):
    def at(seq):
        moment = datetime.fromisoformat(ledger.entries()[seq][1])
        answer = queries.consents_at(asked, now=NOW, at=moment, site="ucl")
        return rows(answer, "state")

    assert at(ledger.seq_of("consent-given", actor="site/ucl") - 1) == []
    assert at(ledger.seq_of("consent-suspended")) == [("paused",)]
    assert at(ledger.seq_of("consent-resumed")) == [("in-force",)]


def test_a_consent_whose_time_is_over_has_lapsed_though_no_entry_says_so(asked):
    answer = queries.consents_at(asked, now=NOW + timedelta(days=400), site="amc")
    assert rows(answer, "state") == [("superseded",), ("lapsed",)]


def test_every_attempt_of_every_round_is_told(asked):
    answer = query_rounds.rounds_held(asked)
    assert rows(answer, "round", "attempt", "state", "in", "out", "reason") == [
        (1, 1, "closed", "amc, kul, ucl", "usz: not-finite", None),
        (2, 1, "abandoned", "", "amc: late, kul: late, ucl: late, usz: late", "deadline"),
        (2, 2, "closed", "amc, kul, ucl, usz", "", None),
        (3, 1, "abandoned", "", "amc: late, kul: late, ucl: late, usz: late", "gate"),
        (3, 2, "closed", "amc, ucl, usz", "", None),
        (4, 1, "closed", "amc, ucl", "", None),
    ]
    assert (answer.facts["committed"], answer.facts["attempts"]) == (4, 6)


def test_a_site_is_asked_for_alone(asked):
    answer = query_rounds.rounds_held(asked, site="kul")
    assert rows(answer, "round", "attempt") == [(1, 1), (2, 1), (2, 2), (3, 1)]


def test_a_round_says_who_was_asked_who_contributed_and_why_others_did_not(asked, ledger):
    answer = query_rounds.one_round(asked, 1)
    assert rows(answer, "site", "outcome", "reason", "steps") == [
        ("amc", "in", None, 5),
        ("kul", "in", None, 5),
        ("ucl", "in", None, 5),
        ("usz", "out", "not-finite", 5),
    ]
    given = {
        site: ledger.seq_of("consent-given", actor=f"site/{site}") for site in ("amc", "usz")
    }
    assert dict(rows(answer, "site", "consent_seq")) | given == dict(
        rows(answer, "site", "consent_seq")
    )
    made = ledger.seq_of("contribution-made", actor="site/usz")
    assert rows(answer, "contribution_seq")[3] == (made,)


def test_an_update_that_was_sent_again_needs_no_second_reservation(asked):
    answer = query_rounds.one_round(asked, 2)
    told = rows(answer, "attempt", "site", "update", "reservation_seq")
    (first,) = [row for row in told if row[:2] == (1, "amc")]
    (again,) = [row for row in told if row[:2] == (2, "amc")]
    assert first[2] == again[2]
    assert first[3] is not None
    assert again[3] is None
    late = [note for note in answer.notes if " was late in attempt 1" in note]
    assert all(note.endswith(", which was given up.") for note in late)
    assert len(answer.notes) == 2 * 2 + len(late)  # how each ended, and what came up in it


def test_a_round_whose_candidate_was_rejected_says_so(asked, ledger):
    answer = query_rounds.one_round(asked, 3)
    assert f"rejected (entry {ledger.seq_of('candidate-rejected')})" in answer.notes[0]


def test_a_round_that_never_was_is_refused(asked):
    with pytest.raises(Refused, match="no round 9"):
        query_rounds.one_round(asked, 9)
    with pytest.raises(Refused, match="no round 9"):
        queries.consents_at(asked, now=NOW, round_=9)


def test_spending_is_recomputed_beside_what_was_stated(asked):
    answer = queries.spent(asked)
    told = rows(answer, "site", "cohort", "reservations", "steps", "delta", "cap")
    assert told == [
        ("amc", "infarction", 5, 25, "1e-05", "12"),
        ("kul", "infarction", 3, 15, "1e-05", "12"),
        ("ucl", "infarction", 4, 20, "1e-05", "12"),
        ("usz", "infarction", 3, 15, "1e-05", "12"),
    ]
    for epsilon, stated, left in rows(answer, "epsilon", "epsilon_stated", "left"):
        assert epsilon == stated
        assert float(left) == pytest.approx(12 - float(epsilon), abs=1e-3)


def test_an_understated_epsilon_stands_beside_the_true_one(ledger, keys, speak):
    body = {**keys.reserve_body(4, agreement="second"), "epsilon_total": "0.1000"}
    forged = speak("budget-reserved", body, "site/ucl", keys.key("ucl agent"))
    ledger.append(forged)
    copied = (
        "CREATE TEMP TABLE one AS SELECT * FROM reservations WHERE site = 'ucl' LIMIT 1",
        f"UPDATE one SET seq = {len(ledger.entries()) - 1}, epsilon_total = '0.1000'",
        "INSERT INTO reservations SELECT * FROM one",
    )
    ledger.run(*((command,) for command in copied))
    with ledger.reading() as connection:
        answer = queries.spent(connection, site="ucl")
    ((epsilon, stated),) = rows(answer, "epsilon", "epsilon_stated")
    assert float(epsilon) > 3
    assert stated == "0.1000"


def test_a_model_tells_what_is_inside(asked, ledger):
    model = ledger.statement(ledger.seq_of("round-closed", round=3)).body["model_out"]
    answer = query_lineage.lineage(asked, model)
    assert rows(answer, "round", "attempt", "site") == [
        (1, 1, "amc"),
        (1, 1, "kul"),
        (1, 1, "ucl"),
        (2, 2, "amc"),
        (2, 2, "kul"),
        (2, 2, "ucl"),
        (2, 2, "usz"),
        (3, 2, "amc"),
        (3, 2, "ucl"),
        (3, 2, "usz"),
    ]
    assert answer.facts["sites"] == ["amc", "kul", "ucl", "usz"]
    assert query_lineage.lineage(asked, model[:8]).facts["model"] == model
    assert rows(query_lineage.lineage(asked, model, site="kul"), "round") == [(1,), (2,)]


@pytest.mark.parametrize("model", ["0" * 64, "abc", "%" * 8, "", "_______________"])
def test_a_model_that_no_round_made_is_refused(asked, model):
    with pytest.raises(Refused, match="no committed model"):
        query_lineage.lineage(asked, model)


def test_certificates_are_told_with_who_was_revoked(asked, ledger):
    answer = queries.certificates_issued(asked, now=NOW)
    revoked = ledger.seq_of("revoked")
    assert rows(answer, "name", "serial", "state", "revoked_seq") == [
        ("amc", "00", "valid", None),
        ("kul", "01", "valid", None),
        ("ucl", "02", "valid", None),
        ("usz", "03", "revoked", revoked),
    ]


def test_certificates_are_told_as_they_stood_at_a_time(asked, ledger):
    before = received(ledger, ledger.seq_of("revoked")) - timedelta(seconds=1)
    then = queries.certificates_issued(asked, now=NOW, site="usz", at=before)
    assert rows(then, "state", "revoked_seq") == [("valid", None)]
    over = queries.certificates_issued(asked, now=NOW, site="amc", at=NOW + timedelta(days=365))
    assert rows(over, "state") == [("expired",)]
    never = queries.certificates_issued(asked, now=NOW, at=NOW - timedelta(days=30))
    assert never.rows == []


def test_rounds_are_asked_for_by_what_they_came_to(asked):
    answer = query_rounds.rounds_held(asked, state="abandoned")
    assert rows(answer, "round", "attempt", "reason") == [(2, 1, "deadline"), (3, 1, "gate")]


def test_an_entry_is_shown_with_what_it_disclosed(asked, ledger):
    seq = ledger.seq_of("consent-given")
    answer = showing.show(asked, seq)
    told = dict(answer.rows)
    assert told["kind"] == "consent-given"
    assert told["disclosed officer"] == "A. Person"
    assert told["basis"] == "dpa: , irb: EA1/026/26, jurisdiction: DE, permit: "
    assert answer.facts["statement"]["kind"] == "consent-given"


def test_what_was_erased_is_shown_by_its_digest_alone(ledger):
    ledger.run(("DELETE FROM disclosures",))
    with ledger.reading() as connection:
        told = dict(showing.show(connection, ledger.seq_of("consent-given")).rows)
    assert told["disclosed officer"].startswith("not disclosed (SHA-256 ")


def test_an_entry_is_proven_by_a_file_that_stands_alone(asked, ledger):
    for seq in (0, 17, 40):
        text = showing.show(asked, seq, proof=True).facts["proof"]
        header, index, *rest = text.split("\n")
        assert header == "c2sp.org/tlog-proof@v1"
        assert index == f"index {seq}"
        blank = rest.index("")
        from base64 import b64decode

        hashes = [b64decode(line) for line in rest[:blank]]
        head = parse_body(note.parse("\n".join(rest[blank + 1 :])).text)
        leaf = bytes.fromhex(dict(showing.show(asked, seq).rows)["leaf"])
        merkle.verify_inclusion(seq, head.size, leaf, hashes, head.root)


def test_an_entry_without_a_checkpoint_has_no_proof_yet(asked, ledger):
    with pytest.raises(Refused, match="no checkpoint covers"):
        showing.show(asked, len(ledger.entries()) - 1, proof=True)


def test_an_entry_that_is_not_there_is_refused(asked):
    with pytest.raises(Refused, match="no entry 1000"):
        showing.show(asked, 1000)


def test_spending_says_that_exact_figures_are_not_covered(asked):
    said = " ".join(queries.spent(asked).notes)
    assert (
        "Held-out patients' figures are exact and not covered by ε: they left so 3 times"
        in said
    )
    assert rows(queries.spent(asked), "metrics")[0] == ("0.0000",)


def test_how_many_bytes_came_up_is_said_of_each_attempt(asked):
    answer = query_rounds.one_round(asked, 1)
    (attempt,) = answer.facts["attempts"]
    made = asked.execute(select(contributions.c.size_bytes).where(contributions.c.round == 1))
    sizes = [row.size_bytes for row in made]
    assert (attempt["updates"], attempt["update_bytes"]) == (len(sizes), sum(sizes))
    assert any(note.endswith(f"{sum(sizes):,} bytes in all.") for note in answer.notes)
