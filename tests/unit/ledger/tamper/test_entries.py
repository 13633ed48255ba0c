"""Entries are deleted, inserted, swapped, repeated and reordered: each is found, and named."""

from __future__ import annotations

import pytest
from saga import HOSPITALS, told
from verdicts import cut, found

from governance.identity.keys import SigningKey


def rows_of(ledger):
    return [(at, envelope) for _, at, envelope in ledger.entries()]


def test_a_deleted_entry_is_named(ledger):
    seq = ledger.seq_of("consent-withdrawn", actor="site/kul")
    ledger.run(("DELETE FROM entries WHERE seq = ?", seq))
    assert "deleted" in found(ledger.verdict(), seq, "entry-missing")


def test_a_statement_left_out_is_a_gap_in_its_signers_counter(ledger):
    # All hashes are made anew: what the site said before its next statement is missed.
    seq = ledger.seq_of("budget-reserved", round=9, actor="site/gem")
    rows = rows_of(ledger)
    del rows[seq]
    ledger.rewrite(rows)
    after = ledger.seq_of("contribution-made", round=9, actor="site/gem")
    assert "left out" in found(ledger.verdict(), after, "counter-gap")


def test_the_last_word_of_a_site_left_out_is_found_by_what_was_signed_over_it(ledger):
    seq = ledger.seq_of("consent-withdrawn", actor="site/usz")
    rows = rows_of(ledger)
    del rows[seq]
    ledger.rewrite(rows)
    assert ledger.verdict().fault.rule == "history-rewritten"


def test_an_inserted_statement_of_a_stranger_is_named(ledger, speak):
    seq = ledger.seq_of("round-opened", round=5)
    body = {"program": "p", "version": "1", "os": "Linux"}
    stranger = SigningKey.from_seed(bytes(range(32)))
    rows = rows_of(ledger)
    rows.insert(seq, (rows[seq][0], speak("software-started", body, "site/gem", stranger)))
    ledger.rewrite(rows)
    found(ledger.verdict(), seq, "key-not-enrolled")


def test_two_swapped_statements_of_one_site_are_named(ledger):
    first = ledger.seq_of("budget-reserved", round=9, actor="site/gem")
    second = ledger.seq_of("contribution-made", round=9, actor="site/gem")
    rows = rows_of(ledger)
    rows[first], rows[second] = (
        (rows[first][0], rows[second][1]),
        (rows[second][0], rows[first][1]),
    )
    ledger.rewrite(rows)
    found(ledger.verdict(), first, "counter-gap")


def test_two_sites_reordered_are_found_by_the_head_signed_over_them(ledger):
    first = ledger.seq_of("budget-reserved", round=9, actor="site/amc")
    second = ledger.seq_of("budget-reserved", round=9, actor="site/gem")
    rows = rows_of(ledger)
    rows[first], rows[second] = (
        (rows[first][0], rows[second][1]),
        (rows[second][0], rows[first][1]),
    )
    ledger.rewrite(rows)
    assert ledger.verdict().fault is not None


def test_a_repeated_entry_is_named(ledger):
    rows = rows_of(ledger)
    seq = ledger.seq_of("contribution-made", round=9)
    rows.insert(seq + 1, rows[seq])
    ledger.rewrite(rows)
    assert "played again" in found(ledger.verdict(), seq + 1, "counter-repeated")


def test_an_entry_replaced_in_its_place_is_named(ledger):
    # The triggers are gone, and a row is put in the place of another, as INSERT OR REPLACE and
    # ON CONFLICT DO UPDATE do.
    seq = ledger.seq_of("consent-withdrawn", actor="site/kul")
    other = ledger.seq_of("consent-suspended")
    ledger.replace(seq, other)
    fault = ledger.verdict().fault
    assert (fault.seq, fault.rule) in {(seq, "altered"), (other, "entry-missing")}


@pytest.mark.parametrize("with_heads", [True, False])
def test_a_tail_that_was_cut_off_is_named(ledger, untouched, with_heads):
    from governance.ledger import source

    size = ledger.seq_of("round-opened", round=25)
    cut(ledger, size, checkpoints=not with_heads)
    with untouched.reading() as c:
        pinned = source.Database(c).checkpoints()[-1]
    verdict = ledger.verdict() if with_heads else ledger.verdict(against=pinned)
    assert "cut off" in found(verdict, size, "tail-cut")


# --- statements that nobody may make ----------------------------------------------------------


def test_an_invented_consent_is_named(ledger, keys, speak):
    forged = speak(
        "consent-given",
        {**keys.consent_body("first"), "cap": "99"},
        "site/kul",
        keys.key("ledger"),
        told=told(),
    )
    ledger.append(forged)
    found(ledger.verdict(), len(ledger.entries()) - 1, "not-yours")


def test_an_old_consent_played_again_after_a_withdrawal_is_named(ledger):
    rows = ledger.entries()
    ledger.append(rows[ledger.seq_of("consent-given", actor="site/kul")][2])
    assert "played again" in found(ledger.verdict(), len(rows), "counter-repeated")


def test_a_contribution_after_a_withdrawal_is_named(ledger, keys, speak):
    cut(ledger, ledger.seq_of("round-opened", round=17) + 1)
    seq = len(ledger.entries())
    body = {**keys.reserve_body(17), "epsilon_total": "50.0000"}
    ledger.append(speak("budget-reserved", body, "site/kul", keys.key("kul agent")))
    found(ledger.verdict(), seq, "no-consent")


def test_a_contribution_after_an_exit_is_named(ledger, keys, speak):
    # Its agent key ended with its exit; somebody who has it goes on.
    cut(ledger, ledger.seq_of("round-opened", round=29) + 1)
    seq = len(ledger.entries())
    body = {
        **keys.contribution_body("ucl", 29),
        "base": ledger.statement(seq - 1).body["model"],
    }
    ledger.append(speak("contribution-made", body, "site/ucl", keys.key("ucl agent")))
    assert "had ended" in found(ledger.verdict(), seq, "key-replaced")


def test_a_contribution_between_the_wish_to_leave_and_the_end_of_the_keys_is_named(
    ledger, keys, speak
):
    cut(ledger, ledger.seq_of("budget-reserved", round=27, actor="site/ucl") + 1)
    body = {"site": "ucl", "scope": "federation", "cause": "own-wish"}
    ledger.append(speak("exit-requested", body, "site/ucl", keys.key("ucl officer")))
    seq = len(ledger.entries())
    opened = ledger.statement(ledger.seq_of("round-opened", round=27)).body
    paid = ledger.statement(ledger.seq_of("budget-reserved", round=27, actor="site/ucl")).body
    said = {"base": opened["model"], "epsilon": paid["epsilon_total"]}
    made = {**keys.contribution_body("ucl", 27), **said}
    ledger.append(speak("contribution-made", made, "site/ucl", keys.key("ucl agent")))
    assert "withdrawn" in found(ledger.verdict(), seq, "no-consent")


def test_a_release_from_an_abandoned_round_is_named(ledger, keys, speak):
    opened = ledger.statement(ledger.seq_of("round-opened", round=7, attempt=1)).body
    seq = len(ledger.entries())
    body = {
        **keys.at(7, 1),
        **keys.release_body("v3", "m7"),
        "model": opened["model"],
        "card": "0" * 64,
        "rounds": list(range(1, 8)),
        "sites": list(HOSPITALS),
    }
    ledger.append(speak("release-published", body, "operator/ops", keys.key("ops")))
    assert "abandoned" in found(ledger.verdict(), seq, "release-not-committed")


def test_an_understated_epsilon_is_named(ledger, keys, speak):
    cut(ledger, ledger.seq_of("round-opened", round=17) + 1)
    seq = len(ledger.entries())
    body = {**keys.reserve_body(17), "epsilon_total": "0.5000"}
    ledger.append(speak("budget-reserved", body, "site/gem", keys.key("gem agent")))
    assert "less ε" in found(ledger.verdict(), seq, "epsilon-understated")


def test_an_operators_act_by_a_key_of_somebody_else_is_named(ledger, keys, speak):
    seq = len(ledger.entries())
    body = {"act": "pause", "round": 0}
    ledger.append(speak("operator-acted", body, "operator/ops", keys.key("gem officer")))
    assert found(ledger.verdict(), seq, "not-yours")
    stranger = SigningKey.from_seed(bytes(range(32)))
    ledger.run(("DELETE FROM entries WHERE seq = ?", seq))
    ledger.append(speak("operator-acted", body, "operator/ops", stranger))
    assert found(ledger.verdict(), seq, "key-not-enrolled")


def test_an_operators_act_by_a_key_that_is_not_in_the_agreement_is_named(ledger, keys, speak):
    # It is enrolled, so that its signature is good; no hospital agreed to it.
    seq = len(ledger.entries())
    body = {"act": "pause", "round": 0}
    ledger.append(speak("operator-acted", body, "operator/stranger", keys.key("stranger")))
    sentence = found(ledger.verdict(), seq, "operator-not-in-agreement")
    assert "does not stand in the agreement" in sentence


def test_an_operators_act_by_one_where_two_must_sign_is_named(ledger, keys, speak):
    seq = len(ledger.entries())
    body = keys.release_body("v2", "m21")
    ledger.append(speak("release-recalled", body, "operator/ops", keys.key("ops")))
    assert "two operators" in found(ledger.verdict(), seq, "two-operators")


@pytest.mark.parametrize(
    ("second", "rule"),
    [("stranger", "operator-not-in-agreement"), ("amc officer", "key-not-enrolled")],
)
def test_an_operators_act_whose_second_signature_counts_for_nothing_is_named(
    ledger, keys, speak, second, rule
):
    seq = len(ledger.entries())
    body = keys.release_body("v2", "m21")
    signers = [keys.key("ops"), keys.key(second)]
    ledger.append(speak("release-recalled", body, "operator/ops", *signers))
    found(ledger.verdict(), seq, rule)


def test_a_statement_of_one_site_by_the_key_of_another_is_named(ledger, keys, speak):
    seq = len(ledger.entries())
    body = {"program": "p", "version": "1", "os": "Linux"}
    ledger.append(speak("software-started", body, "site/kul", keys.key("usz agent")))
    assert "usz" in found(ledger.verdict(), seq, "not-yours")


def test_a_statement_by_the_key_that_was_renewed_is_named(ledger, keys, speak):
    seq = len(ledger.entries())
    body = {"program": "p", "version": "1", "os": "Linux"}
    ledger.append(speak("software-started", body, "site/amc", keys.key("amc agent")))
    assert ledger.verdict().fault.seq == seq
