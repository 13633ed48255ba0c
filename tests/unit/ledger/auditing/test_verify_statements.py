"""A statement that nobody may make is named, although it was truly signed."""

from __future__ import annotations

from datetime import timedelta

import pytest
from verdicts import cut, found

from governance import statements
from governance.draw import draw, seed_of
from governance.ledger.signatures import Signatures


def test_an_invented_consent_is_named(ledger, keys, speak):
    body = {**keys.consent_body("second"), "cap": "99"}
    told = [statements.disclose(label, "x", salt=bytes(32)) for label in ("officer", "role")]
    # The coordinator signs in the hospital's name, then with a key that it made for it.
    forged = speak("consent-given", body, "site/kul", keys.key("ledger"), told=told)
    ledger.append(forged)
    seq = len(ledger.entries()) - 1
    found(ledger.verdict(), seq, "not-yours")


def test_an_invented_consent_by_the_agents_key_is_named(ledger, keys, speak):
    told = [statements.disclose(label, "x", salt=bytes(32)) for label in ("officer", "role")]
    forged = speak(
        "consent-given",
        keys.consent_body("second"),
        "site/kul",
        keys.key("kul agent"),
        told=told,
    )
    ledger.append(forged)
    found(ledger.verdict(), len(ledger.entries()) - 1, "wrong-signer")


def test_an_old_consent_played_again_after_a_withdrawal_is_named(ledger):
    rows = ledger.entries()
    seq = ledger.seq_of("consent-given", actor="site/kul")
    ledger.append(rows[seq][2])
    found(ledger.verdict(), len(rows), "counter-repeated")


def test_a_contribution_after_a_withdrawal_is_named(ledger, history, keys, speak):
    withdrawn = ledger.seq_of("consent-withdrawn")
    rows = [(at, envelope) for _, at, envelope in ledger.entries()][: withdrawn + 1]
    ledger.rewrite(rows)
    ledger.run(
        ("DELETE FROM checkpoints WHERE size > ?", withdrawn),
        ("DELETE FROM cosignatures WHERE size > ?", withdrawn),
    )
    body = {
        **keys.contribution_body("kul", 3, base="m2"),
        "epsilon": "9.0000",
    }
    reserved = {**keys.reserve_body(3), "epsilon_total": "9.0000"}
    first = statements.read(
        speak("budget-reserved", reserved, "site/kul", keys.key("kul agent"))
    )
    ledger.append(first.envelope)
    found(ledger.verdict(), withdrawn + 1, "no-consent")
    ledger.rewrite(rows)
    ledger.append(speak("contribution-made", body, "site/kul", keys.key("kul agent")))
    assert "withdrawn" in found(ledger.verdict(), withdrawn + 1, "no-consent")


def reopened(ledger, round_):
    """Cut the log after it opened a round, checkpoints and all."""
    cut(ledger, ledger.seq_of("round-opened", round=round_) + 1)
    return len(ledger.entries())


def test_an_understated_epsilon_is_named(ledger, keys, speak):
    seq = reopened(ledger, 3)
    body = {**keys.reserve_body(3), "epsilon_total": "0.5000"}
    ledger.append(speak("budget-reserved", body, "site/amc", keys.key("amc agent")))
    assert "less ε" in found(ledger.verdict(), seq, "epsilon-understated")


def test_spending_past_the_consents_cap_is_named(ledger, keys, speak):
    seq = reopened(ledger, 3)
    body = {**keys.reserve_body(3), "epsilon_total": "11.9000", "steps": 5000}
    ledger.append(speak("budget-reserved", body, "site/amc", keys.key("amc agent")))
    assert found(ledger.verdict(), seq, "epsilon-understated")
    reopened(ledger, 3)
    body = {**keys.reserve_body(3), "epsilon_total": "900.0000", "steps": 5000}
    ledger.append(speak("budget-reserved", body, "site/amc", keys.key("amc agent")))
    assert "allows" in found(ledger.verdict(), seq, "budget-exceeded")


def test_a_contribution_that_nobody_paid_for_is_named(ledger, keys, speak):
    seq = reopened(ledger, 3)
    body = {**keys.contribution_body("amc", 3, base="m2"), "epsilon": "9.0000"}
    ledger.append(speak("contribution-made", body, "site/amc", keys.key("amc agent")))
    found(ledger.verdict(), seq, "no-reservation")


def test_noised_figures_that_nobody_paid_for_are_named(ledger, keys, speak):
    seq = reopened(ledger, 3)
    told = (statements.disclose("figures", "{}", salt=bytes(32)),)
    body, key = keys.evaluation_body(3), keys.key("amc agent")
    ledger.append(speak("evaluation-made", body, "site/amc", key, told=told))
    assert "figures" in found(ledger.verdict(), seq, "no-reservation")


def test_a_contribution_paid_for_as_figures_is_named(ledger, keys, speak):
    seq = reopened(ledger, 3)
    key = keys.key("amc agent")
    reserved = speak("budget-reserved", keys.metrics_body(3, total="9.0000"), "site/amc", key)
    ledger.append(reserved)
    said = statements.read(reserved)
    body = {**keys.contribution_body("amc", 3, base="m2"), "epsilon": "9.0000", "steps": 1}
    chain = statements.Chain(said.counter, said.digest)
    ledger.append(speak("contribution-made", body, "site/amc", key, chain=chain))
    found(ledger.verdict(), seq + 1, "no-reservation")


def test_a_contribution_from_another_model_is_named(ledger, keys, speak):
    cut(ledger, ledger.seq_of("budget-reserved", round=3) + 1)
    seq = len(ledger.entries())
    body = {**keys.contribution_body("amc", 3, base="m0"), "epsilon": "9.0000"}
    ledger.append(speak("contribution-made", body, "site/amc", keys.key("amc agent")))
    found(ledger.verdict(), seq, "other-base")


def test_a_contribution_that_was_refused_is_no_fault(ledger, keys, speak):
    cut(ledger, ledger.seq_of("budget-reserved", round=3) + 1)
    body = {**keys.contribution_body("amc", 3, base="m2"), "epsilon": "0.0001"}
    made = speak("contribution-made", body, "site/amc", keys.key("amc agent"))
    ledger.append(made)
    seq = len(ledger.entries()) - 1
    found(ledger.verdict(), seq, "epsilon-understated")
    refusal = {"site": "amc", "update": body["update"], "refusal": "epsilon-understated"}
    refused = {**keys.at(3), **refusal}
    ledger.append(speak("contribution-refused", refused, "coordinator", keys.key("ledger")))
    assert ledger.verdict(signatures=Signatures.SITE).verified


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"round": 6}, "round-order"),
        ({"attempt": 2}, "round-order"),
        ({"model": "0" * 64}, "other-base"),
        ({"agreement": "0" * 64}, "unknown-agreement"),
        ({"sites": ["amc", "kul"]}, "no-consent"),
    ],
)
def test_a_round_opened_wrongly_is_named(ledger, keys, speak, change, rule):
    cut(ledger, ledger.seq_of("revoked"))
    seq = len(ledger.entries())
    body = {
        **keys.at(5, 1, "second"),
        "model": ledger.statement(ledger.seq_of("round-closed", round=4)).body["model_out"],
        "state": "",
        "sites": ["amc", "ucl"],
        "deadline": statements.timestamp(keys.now + timedelta(hours=1)),
    }
    opened = speak("round-opened", body | change, "coordinator", keys.key("ledger"))
    ledger.append(opened)
    found(ledger.verdict(), seq, rule)


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({}, ""),
        ({"sites": "the others"}, "draw"),
        ({"drawn_from": ["amc"]}, "draw"),
        ({"seed": "0" * 64}, "draw"),
    ],
)
def test_a_round_whose_hospitals_were_picked_and_not_drawn_is_named(
    ledger, keys, speak, change, rule
):
    cut(ledger, ledger.seq_of("revoked"))
    seq = len(ledger.entries())
    in_force = ledger.statement(
        ledger.seq_of("agreement-in-force", agreement=keys.at(5, 1, "second")["agreement"])
    )
    seed = seed_of(in_force.digest, 5)
    drawn = draw(seed, ["amc", "ucl"], 1)
    body = {
        **keys.at(5, 1, "second"),
        "model": ledger.statement(ledger.seq_of("round-closed", round=4)).body["model_out"],
        "state": "",
        "sites": drawn,
        "drawn_from": ["amc", "ucl"],
        "seed": seed,
        "deadline": statements.timestamp(keys.now + timedelta(hours=1)),
    }
    others = [site for site in ("amc", "ucl") if site not in drawn]
    change = {k: others if v == "the others" else v for k, v in change.items()}
    if change == {"drawn_from": ["amc"]}:
        change = {"drawn_from": others}
    ledger.append(speak("round-opened", body | change, "coordinator", keys.key("ledger")))
    if rule:
        found(ledger.verdict(), seq, rule)
    else:
        assert ledger.verdict(signatures=Signatures.SITE).verified


def test_a_round_under_an_agreement_that_is_over_is_named(ledger, keys, speak):
    cut(ledger, ledger.seq_of("revoked"))
    body = {
        **keys.at(5, 1, "first"),
        "model": "0" * 64,
        "state": "",
        "sites": ["amc"],
        "deadline": statements.timestamp(keys.now),
    }
    ledger.append(speak("round-opened", body, "coordinator", keys.key("ledger")))
    found(ledger.verdict(), len(ledger.entries()) - 1, "no-agreement")


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"sites_in": ["amc", "ucl", "usz"]}, "no-contribution"),
        ({"sites_in": ["amc", "rad"]}, "round-sites"),
        ({"sites_in": []}, "round-sites"),
        ({"sites_out": {"amc": "late"}}, "round-sites"),
        ({"model_in": "0" * 64}, "other-base"),
    ],
)
def test_a_round_closed_wrongly_is_named(ledger, keys, speak, change, rule):
    seq = ledger.seq_of("contribution-made", round=3, attempt=2, actor="site/usz")
    cut(ledger, seq)  # usz has reserved and not sent
    closed = {
        **keys.at(3, 2),
        "model_in": ledger.statement(ledger.seq_of("round-closed", round=2)).body["model_out"],
        "model_out": "1" * 64,
        "state_in": "",
        "state_out": "",
        "sites_in": ["amc", "ucl"],
        "sites_out": {"usz": "late"},
    }
    if "sites_in" in change:
        closed["sites_out"] = {}
    ledger.append(speak("round-closed", closed | change, "coordinator", keys.key("ledger")))
    found(ledger.verdict(), seq, rule)


def test_a_round_abandoned_for_a_rule_that_a_stranger_broke_is_named(ledger, keys, speak):
    seq = ledger.seq_of("contribution-made", round=3, attempt=2, actor="site/usz")
    cut(ledger, seq)
    why = {"reason": "gate", "rule": "secagg-r12", "refused": {"rad": "secagg-r12"}}
    body = {**keys.at(3, 2), **why, "sites_in": [], "sites_out": {}}
    ledger.append(speak("round-abandoned", body, "coordinator", keys.key("ledger")))
    found(ledger.verdict(), seq, "round-sites")


def test_a_statement_by_a_key_that_was_replaced_is_named(ledger, keys, speak):
    body = {"program": "p", "version": "1", "os": "Linux"}
    ledger.append(speak("software-started", body, "site/amc", keys.key("amc agent")))
    found(ledger.verdict(), len(ledger.entries()) - 1, "key-replaced")


def test_a_statement_of_a_revoked_site_is_named(ledger, keys, speak):
    body = {"program": "p", "version": "1", "os": "Linux"}
    ledger.append(speak("software-started", body, "site/usz", keys.key("usz agent")))
    found(ledger.verdict(), len(ledger.entries()) - 1, "key-replaced")


def test_a_statement_from_another_federation_is_named(ledger, keys, speak):
    body = {"program": "p", "version": "1", "os": "Linux"}
    other = statements.Log.of("other", keys.log.root)
    said = speak("software-started", body, "site/ucl", keys.key("ucl agent"), log=other)
    ledger.append(said)
    found(ledger.verdict(), len(ledger.entries()) - 1, "wrong-log")
