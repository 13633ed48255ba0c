"""The questions of an auditor, each by one command, with answers worked out by hand.

Five hospitals; round 7 is abandoned once; gem applies opt-outs before round 5; ucl pauses from
10 to 12; v1 is released after round 14 and recalled after 23, v2 after 21; kul withdraws before
round 16 and usz before 26; noised figures judge rounds 10, 20 and 30; rounds 14 and 17 are
masked, and usz is lost in 17; gem has its training audited before 14; amc renews its key before
20; ucl leaves the federation before 28, and its exit is closed: v2 is kept, training goes on.
Two operators are in the agreement, and both must sign a recall.
"""

from __future__ import annotations

import json
import sys

import pytest

from governance.ledger import cli
from governance.privacy.accountant import epsilon
from governance.privacy.releases import Release


@pytest.fixture
def ask(monkeypatch, capsys, untouched):
    """Ask as an auditor does; return the answer's rows and its facts."""

    def ask(*words):
        command = ["concilium-ledger", *words, "--url", str(untouched.path), "--format", "json"]
        monkeypatch.setattr(sys, "argv", command)
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capsys.readouterr()
        assert not ended.value.code, said.err
        answer = json.loads(said.out)
        return answer.pop("rows", []), answer

    return ask


def told(rows, *names):
    return [tuple(row[name] for name in names) for row in rows]


def test_1_which_consent_was_in_force_when_a_round_ran(ask):
    rows, _ = ask("consents", "--site", "kul", "--round", "14")
    (answer,) = told(rows, "site", "state", "officer", "purposes")
    assert answer == ("kul", "in-force", "A. Person", "DUO:0000006")
    assert rows[0]["until"] == "2027-11-21T09:00:00.000000Z"
    later, _ = ask("consents", "--site", "kul", "--round", "16")
    assert told(later, "state") == [("withdrawn",)]


def test_2_each_contribution_was_covered_when_training_started_and_when_it_was_accepted(ask):
    rows, _ = ask("contributions", "--round", "14")
    assert told(rows, "site", "at_start", "at_acceptance") == [
        (site, "covered", "covered") for site in ("amc", "gem", "kul", "ucl", "usz")
    ]


def test_3_none_was_accepted_without_a_consent_and_none_was_refused(ask):
    _, facts = ask("contributions")
    assert facts["accepted_without_consent"] == 0
    assert ask("contributions", "--refused")[0] == []


def test_4_the_history_of_a_consent(ask):
    rows, _ = ask("consents", "--history", "--site", "ucl")
    assert told(rows, "kind", "state") == [
        ("consent-given", "in-force"),
        ("consent-suspended", "paused"),
        ("consent-resumed", "in-force"),
        ("exit-requested", "withdrawn"),
    ]
    assert len(rows[0]["review"]) == 64


def test_5_the_purposes_agreed_to_and_who_lacks_one(ask):
    rows, _ = ask("agreements")
    assert told(rows, "state", "purposes", "without_purpose") == [
        ("in-force", "DUO:0000006", None)
    ]


def test_6_which_releases_contain_a_hospital(ask):
    rows, _ = ask("releases", "--site", "kul")
    assert told(rows, "release", "state") == [("v1", "recalled"), ("v2", "published")]


def test_7_who_stands_behind_a_release_round_by_round(ask):
    rows, facts = ask("lineage", "v1")
    assert facts["rounds"] == 14
    # Five in each round but 10, 11 and 12, in which ucl paused.
    assert len(rows) == 14 * 5 - 3
    assert {row["patients"] for row in rows} == {120}


def test_8_what_was_spent_on_a_cohort_and_what_is_left(ask):
    rows, _ = ask("spending", "--site", "kul")
    ((reservations, steps, cap),) = told(rows, "reservations", "steps", "cap")
    # Rounds 1 to 15, and figures of round 10; the abandoned attempt was given up before anybody
    # trained.
    assert (reservations, steps, cap) == (16, 76, "60")
    assert (
        0 < float(rows[0]["metrics"]) < float(rows[0]["training"]) < float(rows[0]["epsilon"])
    )
    assert float(rows[0]["left"]) == pytest.approx(60 - float(rows[0]["epsilon"]), abs=1e-3)


def test_9_which_rounds_passed_a_share_of_the_budget(ask):
    _, facts = ask("spending")
    # 30 rounds cost less than half of a cap of 60.
    assert facts["passed"] == []


def test_10_the_privacy_settings_that_each_hospital_signed(ask):
    rows, _ = ask("round", "14", "--settings")
    settings = ("sampling_rate", "noise_multiplier", "clip", "steps", "loader")
    assert set(told(rows, *settings)) == {("0.1", "1.1", "1", 5, "poisson")}


def test_11_which_rounds_used_fewer_patients(ask):
    rows, _ = ask("patients", "--site", "gem")
    assert told(rows, "what", "patients", "from_round")[-1] == ("left-out", "some", 5)


def test_12_when_a_hospital_left_and_what_became_of_it(ask):
    rows, facts = ask("exits")
    assert told(rows, "site", "scope", "state", "asked_by") == [
        ("kul", "agreement", "requested", "site/kul"),
        ("usz", "agreement", "requested", "site/usz"),
        ("ucl", "federation", "closed", "site/ucl"),
    ]
    assert facts["open"] == 2
    steps, _ = ask("exit", "ucl")
    assert told(steps, "step", "decision") == [
        ("requested", "federation"),
        ("quiesced", "no-round"),
        ("credentials-revoked", ""),
        ("cleaned", ""),
        ("impact-listed", ""),
        ("training-settled", "continue"),
        ("release v2", "keep"),
        ("releases-settled", "keep"),
        ("closed", ""),
    ]


def test_13_which_models_still_contain_it_and_what_was_decided(ask):
    rows, _ = ask("exits", "--site", "ucl")
    # In from round 1 on: each model since has its patients in it, pause or not.
    assert told(rows, "rounds", "training", "still_due") == [
        (", ".join(map(str, range(1, 28))), "continue", "")
    ]
    assert told(ask("releases", "--site", "ucl")[0], "release", "state") == [
        ("v1", "recalled"),
        ("v2", "published"),
    ]
    assert ask("exit", "ucl")[1]["still_due"] == []
    assert ask("exit", "kul")[1]["still_due"] == [
        "quiesced",
        "cleaned",
        "impact-listed",
        "training-settled",
        "releases-settled",
        "closed",
    ]


def test_14_who_was_given_a_release(ask):
    rows, _ = ask("releases", "v1")
    assert told(rows, "what", "told") == [
        ("published", None),
        ("given", "a registry"),
        ("recalled", None),
    ]


def test_15_who_did_each_administrative_act(ask):
    rows, _ = ask("acts")
    assert told(rows, "operator", "act", "approved_by", "reason") == [
        ("ops", "propose", None, None),
        ("ops", "release", None, None),
        ("ops", "give", None, None),
        ("ops", "release", None, None),
        ("ops", "give", None, None),
        ("ops", "recall", "rossi", None),
        ("ops", "settle", None, "in use"),
    ]


def test_16_which_certificates_were_valid_on_a_day(ask):
    rows, _ = ask("certificates", "--site", "kul", "--at", "2026-11-22")
    assert told(rows, "state") == [("valid",)]
    over, _ = ask("certificates", "--site", "kul", "--at", "2027-06-01")
    assert told(over, "state") == [("expired",)]
    # It left, and its credentials with it.
    assert told(ask("certificates", "--site", "ucl")[0], "state") == [("revoked",)]


def test_17_who_took_each_step_of_a_masked_sum_and_what_was_asked_of_whom(ask):
    rows, facts = ask("masks", "14")
    everybody = "amc, gem, kul, ucl, usz"
    assert told(rows, "step", "sites", "out", "needed", "met", "keys_asked_of") == [
        (step, everybody, "", 4, "yes", "")
        for step in ("invited", "keys", "shares", "masked", "signed", "opened")
    ]
    assert facts["both_asked"] == []
    # In round 17 usz shared its keys and then sent nothing: its key is asked for, of no other.
    rows, facts = ask("masks", "17")
    three, four = "amc, gem, ucl", "amc, gem, ucl, usz"
    assert told(rows, "step", "sites", "out", "needed", "keys_asked_of") == [
        ("invited", four, "", 3, ""),
        ("keys", four, "", 3, ""),
        ("shares", four, "", 3, ""),
        ("masked", three, "usz", 3, ""),
        ("signed", three, "", 3, "usz"),
        ("opened", three, "", 3, ""),
    ]
    assert (facts["both_asked"], facts["complaints"]) == ([], 0)


def test_18_which_rounds_were_abandoned_and_why(ask):
    rows, _ = ask("rounds", "--state", "abandoned")
    assert told(rows, "round", "attempt", "reason", "model") == [(7, 1, "deadline", None)]


def test_19_what_produced_a_release(ask):
    rows, _ = ask("lineage", "v2")
    assert len({row["worker"] for row in rows}) == 1
    assert len({row["agreement"] for row in rows}) == 1


def test_20_which_statistics_left_a_hospital_by_which_mechanism_at_which_epsilon(ask):
    rows, _ = ask("statistics", "--site", "kul")
    columns = ("round", "what", "mechanism", "noise_multiplier", "sensitivity", "delta")
    # It withdrew before round 16: of 10, 20 and 30 it was in the first.
    assert told(rows, *columns) == [
        (10, "figures of quality", "gaussian", "9", "1.323", "0.00001")
    ]
    assert float(rows[0]["epsilon"]) == pytest.approx(
        epsilon([Release(1, 9, 1)], 1e-5), abs=1e-3
    )
    assert [row["round"] for row in ask("statistics", "--site", "gem")[0]] == [10, 20, 30]
    assert [row["round"] for row in ask("statistics", "--site", "ucl")[0]] == [20]


def test_21_which_privacy_tests_were_run_on_a_release_with_what_result(ask):
    rows, _ = ask("audits", "v1")
    columns = ("site", "test", "canaries", "guesses", "right", "at_least", "finding")
    assert told(rows, *columns) == [
        ("gem", "canaries", 1000, 200, 120, "0.1579", "within-claim")
    ]
    assert float(rows[0]["claimed"]) == pytest.approx(
        epsilon([Release(0.1, 1.1, 5)], 1e-5), abs=1e-3
    )


def test_22_which_updates_were_refused(ask):
    assert ask("search", "candidate-rejected")[0] == []
    assert ask("contributions", "--refused")[0] == []


def test_23_the_ledger_verifies_and_nobody_missed_a_head(ask):
    _, verdict = ask("verify")
    assert (verdict["verified"], verdict["proven"]) == (True, False)
    rows, _ = ask("witness")
    assert {row["missing"] for row in rows} == {""}


def test_24_that_an_entry_existed_without_showing_another(ask):
    _, facts = ask("show", "40", "--proof")
    assert facts["proof"].startswith("c2sp.org/tlog-proof@v1")


def test_25_all_about_one_hospital_is_found_by_its_name(ask):
    rows, _ = ask("search", "kul")
    kinds = {row["kind"] for row in rows}
    assert {"enrolled", "consent-given", "consent-withdrawn", "round-closed"} <= kinds
