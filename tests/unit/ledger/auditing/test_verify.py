"""Tampering with a history, each kind found and named by its entry; and none in a clean one."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from governance import statements
from governance.draw import draw, seed_of
from governance.identity.keys import SigningKey
from governance.ledger import checkpoint, source
from governance.ledger.signatures import Signatures
from governance.ledger.verify import CONSISTENT, PROVEN
from governance.statements import Chain

SITES = ("amc", "kul", "ucl", "usz")


def found(verdict, seq, rule):
    assert verdict.fault is not None
    assert (verdict.fault.seq, verdict.fault.rule) == (seq, rule), verdict.fault
    assert not verdict.verified
    assert not verdict.proven
    return verdict.fault.sentence


def trusted(keys, sites=SITES):
    return {site: frozenset({keys.key(f"{site} officer").key_id}) for site in sites}


# --- a clean history ---------------------------------------------------------------------


@pytest.mark.parametrize("signatures", list(Signatures))
def test_an_untouched_history_is_clean(ledger, signatures):
    verdict = ledger.verdict(signatures=signatures)
    assert verdict.fault is None
    assert verdict.verified
    assert verdict.entries == len(ledger.entries())
    assert (verdict.checkpoint_size, verdict.witnessed) == (verdict.entries - 2,) * 2
    assert verdict.cosignatures == 3


def test_a_clean_history_without_trusted_keys_is_consistent_and_not_proven(ledger):
    verdict = ledger.verdict()
    assert not verdict.proven
    assert verdict.sentence == CONSISTENT


def test_a_clean_history_with_the_hospitals_keys_is_proven(ledger, keys):
    verdict = ledger.verdict(trusted=trusted(keys))
    assert verdict.proven
    assert verdict.sentence == PROVEN


def test_a_history_of_which_not_all_signatures_were_checked_is_not_proven(ledger, keys):
    verdict = ledger.verdict(trusted=trusted(keys), signatures=Signatures.SITE)
    assert verdict.verified
    assert not verdict.proven


def test_a_history_that_few_sites_witnessed_is_not_proven(ledger, keys):
    ledger.run(("DELETE FROM cosignatures WHERE site <> 'amc'",))
    verdict = ledger.verdict(trusted=trusted(keys))
    assert verdict.verified
    assert not verdict.proven
    assert "more than half" in verdict.unproven


def test_a_clean_history_extends_each_checkpoint_that_was_kept(ledger):
    for head in checkpoints_of(ledger):
        assert ledger.verdict(against=head).verified


def test_the_verdict_says_all_in_json(ledger):
    said = ledger.verdict().to_json()
    assert json.loads(json.dumps(said)) == said
    assert said["verified"] is True
    assert said["proven"] is False
    assert said["fault"] is None


def checkpoints_of(ledger):
    engine = source.open_database(str(ledger.path))
    with engine.connect() as connection:
        heads = source.Database(connection).checkpoints()
    engine.dispose()
    return heads


# --- bytes and columns -------------------------------------------------------------------


def test_an_altered_byte_is_named(ledger):
    seq = ledger.seq_of("contribution-made")
    for place in (3, 40, 300):
        ledger.run(
            (
                (
                    "UPDATE entries SET envelope = CAST(substr(envelope, 1, ?) || 'x' ||"
                    " substr(envelope, ?) AS BLOB) WHERE seq = ?"
                ),
                place,
                place + 2,
                seq,
            )
        )
        assert "altered" in found(ledger.verdict(), seq, "altered")


def test_an_altered_time_is_named(ledger):
    ledger.run(
        ("UPDATE entries SET received_at = '2026-11-21T09:00:59.000000Z' WHERE seq = 9",)
    )
    found(ledger.verdict(), 9, "altered")


def test_an_entry_turned_into_text_or_nothing_is_named(ledger):
    ledger.run(("UPDATE entries SET envelope = CAST(envelope AS TEXT) || 'é' WHERE seq = 8",))
    found(ledger.verdict(), 8, "altered")
    ledger.run(("UPDATE entries SET envelope = x'ff' WHERE seq = 7",))
    found(ledger.verdict(), 7, "altered")
    ledger.run(("UPDATE entries SET received_at = 'never' WHERE seq = 6",))
    found(ledger.verdict(), 6, "altered")


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("kind", "consent-given"),
        ("actor", "site/kul"),
        ("site", "nobody"),
        ("round", 7),
        ("attempt", 7),
        ("agreement", None),
        ("signer", "ed25519:00"),
        ("counter", 77),
        ("statement", "00"),
    ],
)
def test_an_altered_column_is_named(ledger, column, value):
    seq = ledger.seq_of("contribution-made", round=2)
    ledger.run((f"UPDATE entries SET {column} = ? WHERE seq = ?", value, seq))
    assert column in found(ledger.verdict(), seq, "column-altered")


def test_an_altered_leaf_is_named(ledger):
    ledger.run(("UPDATE entries SET leaf_hash = zeroblob(32) WHERE seq = 11",))
    found(ledger.verdict(), 11, "altered")


def test_an_altered_entry_is_named_although_all_hashes_were_made_anew(ledger):
    seq = ledger.seq_of("contribution-made", round=2)
    rows = [(at, envelope) for _, at, envelope in ledger.entries()]
    said = statements.read(rows[seq][1])
    body = {**said.body, "steps": 1}
    payload = statements.compose(
        said.kind,
        body,
        actor=said.actor,
        key=said.key,
        chain=Chain(said.counter - 1, said.previous),
        log=said.log,
        at=said.at,
    )
    signature = type("Signed", (), {"key_id": said.key, "sign": lambda *_: bytes(64)})()
    rows[seq] = (rows[seq][0], statements.sign(payload, [signature]))
    ledger.rewrite(rows)
    assert "bad-signature" in ledger.verdict().fault.rule
    found(ledger.verdict(), seq, "bad-signature")
    # Who checks no signatures finds it by the next statement of that key.
    assert not ledger.verdict(signatures=Signatures.NONE).verified


# --- deleting, inserting, moving ---------------------------------------------------------


@pytest.mark.parametrize("seq", [0, 1, 20, 50])
def test_a_deleted_entry_is_named(ledger, seq):
    ledger.run(("DELETE FROM entries WHERE seq = ?", seq))
    found(ledger.verdict(), seq, "entry-missing")


def test_a_withdrawal_taken_out_and_numbers_closed_up_is_found(ledger):
    rows = [(at, envelope) for _, at, envelope in ledger.entries()]
    before, after = checkpoints_of(ledger)[2:4]
    seq = ledger.seq_of("consent-withdrawn")
    del rows[seq]
    ledger.rewrite(rows)
    # It was that key's last statement: the checkpoint says between which entries to look.
    sentence = found(ledger.verdict(), before.stored[0], "history-rewritten")
    assert before.stored[0] <= seq < after.stored[0]
    assert f"entries {before.stored[0]} to {after.stored[0] - 1}" in sentence


def test_a_statement_left_out_is_a_counter_gap(ledger):
    seq = ledger.seq_of("budget-reserved", actor="site/amc", round=3)
    gap = ledger.seq_of("contribution-made", actor="site/amc", round=3)
    rows = [(at, envelope) for _, at, envelope in ledger.entries()]
    del rows[seq]
    ledger.rewrite(rows)
    assert "left out" in found(ledger.verdict(), gap - 1, "counter-gap")


def test_two_swapped_entries_are_named(ledger):
    rows = [(at, envelope) for _, at, envelope in ledger.entries()]
    first = ledger.seq_of("budget-reserved", actor="site/kul", round=1)
    second = ledger.seq_of("contribution-made", actor="site/kul", round=1)
    assert second == first + 1
    rows[first], rows[second] = (
        (rows[first][0], rows[second][1]),
        (rows[second][0], rows[first][1]),
    )
    ledger.rewrite(rows)
    found(ledger.verdict(), first, "counter-gap")


def test_swapped_numbers_are_named(ledger):
    ledger.run(
        ("UPDATE entries SET seq = -1 WHERE seq = 12",),
        ("UPDATE entries SET seq = 12 WHERE seq = 13",),
        ("UPDATE entries SET seq = 13 WHERE seq = -1",),
    )
    found(ledger.verdict(), 12, "altered")


def test_a_repeated_entry_is_named(ledger):
    rows = [(at, envelope) for _, at, envelope in ledger.entries()]
    seq = ledger.seq_of("contribution-made", round=2)
    rows.insert(seq + 1, rows[seq])
    ledger.rewrite(rows)
    assert "played again" in found(ledger.verdict(), seq + 1, "counter-repeated")


def test_an_inserted_statement_of_a_stranger_is_named(ledger, keys, speak):
    rows = [(at, envelope) for _, at, envelope in ledger.entries()]
    stranger = SigningKey.from_seed(bytes(range(32)))
    body = {"program": "p", "version": "1", "os": "Linux"}
    rows.insert(20, (rows[19][0], speak("software-started", body, "site/amc", stranger)))
    ledger.rewrite(rows)
    found(ledger.verdict(), 20, "key-not-enrolled")


# --- the end, and rewriting --------------------------------------------------------------


def cut(ledger, size, *, checkpoints=True):
    ledger.run(("DELETE FROM entries WHERE seq >= ?", size))
    ledger.rewrite([(at, envelope) for _, at, envelope in ledger.entries()])
    if checkpoints:
        ledger.run(
            ("DELETE FROM checkpoints WHERE size > ?", size),
            ("DELETE FROM cosignatures WHERE size > ?", size),
        )


def test_a_cut_tail_is_found_by_the_logs_own_checkpoints(ledger):
    size = ledger.seq_of("round-opened", round=4)
    cut(ledger, size, checkpoints=False)
    assert "cut off" in found(ledger.verdict(), size, "tail-cut")


def test_a_cut_tail_with_its_checkpoints_is_found_by_one_that_was_kept(ledger, kept):
    size = ledger.seq_of("round-opened", round=3)
    cut(ledger, size)
    found(ledger.verdict(against=kept), size, "tail-cut")


def test_a_cut_tail_with_its_checkpoints_is_found_by_the_tables_alone_without_one(ledger):
    size = ledger.seq_of("round-opened", round=3)
    cut(ledger, size)
    assert ledger.verdict().fault.rule == "projection-altered"


def test_a_log_written_anew_by_the_coordinator_is_found_by_a_checkpoint(ledger, keys, kept):
    # With the ledger key in hand the last entry of the coordinator is said differently.
    seq = ledger.seq_of("software-started", actor="coordinator")
    rows = [(at, envelope) for _, at, envelope in ledger.entries()]
    del rows[ledger.seq_of("round-opened", round=1) :]
    said = statements.read(rows[seq][1])
    payload = statements.compose(
        said.kind,
        {**said.body, "version": "another"},
        actor=said.actor,
        key=said.key,
        chain=Chain(said.counter - 1, said.previous),
        log=said.log,
        at=said.at,
    )
    forged = statements.read(statements.sign(payload, [keys.key("ledger")]))
    rows[seq] = (rows[seq][0], forged.envelope)
    force = statements.read(rows[-1][1])
    again = statements.compose(
        force.kind,
        force.body,
        actor=force.actor,
        key=force.key,
        chain=forged.chain,
        log=force.log,
        at=force.at,
    )
    rows[-1] = (rows[-1][0], statements.sign(again, [keys.key("ledger")]))
    ledger.rewrite(rows)
    sentence = found(ledger.verdict(), 0, "history-rewritten")
    assert "entries 0 to" in sentence


def test_a_log_written_anew_under_another_key_is_not_the_pinned_one(ledger, kept, keys):
    text = kept.note
    head = checkpoint.read(text, checkpoint.log_key(keys.log.origin, keys.key("ledger").key_id))
    other = checkpoint.sign(head, SigningKey.from_seed(bytes(32)))
    verdict = ledger.verdict(against=source.split_witnesses(other))
    found(verdict, head.size - 1, "bad-checkpoint")


def test_an_edited_checkpoint_is_named(ledger, kept):
    ledger.run(("UPDATE checkpoints SET note = replace(note, '— concilium', '— concilia')",))
    first = checkpoints_of(ledger)[0].stored[0]
    found(ledger.verdict(), first - 1, "bad-checkpoint")


def test_a_checkpoints_root_edited_is_found(ledger):
    ledger.run(("UPDATE checkpoints SET root = zeroblob(32) WHERE size = 30",))
    sizes = [head.stored[0] for head in checkpoints_of(ledger)]
    ledger.run(("UPDATE checkpoints SET root = zeroblob(32) WHERE size = ?", sizes[1]))
    assert ledger.verdict().fault.rule == "bad-checkpoint"


def test_a_cosignature_of_another_is_named(ledger):
    first = checkpoints_of(ledger)[0].stored[0]
    ledger.run(
        ("DELETE FROM cosignatures WHERE size = ? AND site = 'ucl'", first),
        ("UPDATE cosignatures SET site = 'ucl' WHERE size = ? AND site = 'kul'", first),
    )
    assert "ucl" in found(ledger.verdict(), first - 1, "bad-cosignature")


# --- projections -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("table", "edit", "kind"),
    [
        ("consents", "SET state = 'in-force' WHERE site = 'kul'", "consent-withdrawn"),
        ("rounds", "SET sites_in = '[\"amc\"]' WHERE round = 1", "round-closed"),
        ("keys", "SET until_seq = NULL WHERE usage = 'agent' AND name = 'amc'", "key-rotated"),
        ("contributions", "SET epsilon = '0' WHERE site = 'amc' AND round = 1", None),
        ("reservations", "SET steps = 1 WHERE site = 'amc' AND round = 1", "budget-reserved"),
        ("evaluations", "SET mechanism = 'noised' WHERE site = 'amc'", "evaluation-made"),
        ("acts", "SET act = 'other' WHERE act = 'pause'", "operator-acted"),
    ],
)
def test_an_edited_projection_is_named_by_the_entry_that_made_it(ledger, table, edit, kind):
    ledger.run((f"UPDATE {table} {edit}",))
    verdict = ledger.verdict()
    seq = ledger.seq_of(kind or "contribution-made")
    assert table in found(verdict, seq, "projection-altered")


def test_a_row_added_or_deleted_in_a_projection_is_found(ledger):
    ledger.run(("DELETE FROM revocations",))
    found(ledger.verdict(), ledger.seq_of("revoked"), "projection-altered")
    ledger.run(("DELETE FROM consents WHERE site = 'kul'",))
    found(ledger.verdict(), ledger.seq_of("consent-withdrawn"), "projection-altered")
    ledger.run(("INSERT INTO revocations VALUES ('nobody', 3)",))
    found(ledger.verdict(), 3, "projection-altered")


def test_a_changed_node_of_the_tree_is_named(ledger):
    ledger.run(("UPDATE nodes SET hash = zeroblob(32) WHERE level = 2 AND idx = 3",))
    found(ledger.verdict(), 15, "projection-altered")


def test_a_changed_disclosure_is_named(ledger):
    ledger.run(("UPDATE disclosures SET value = 'somebody else' WHERE label = 'officer'",))
    found(ledger.verdict(), ledger.seq_of("consent-given"), "disclosure-mismatch")


def test_an_erased_disclosure_is_no_fault(ledger):
    ledger.run(("DELETE FROM disclosures",))
    assert ledger.verdict().verified


# --- statements that nobody may make -----------------------------------------------------


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


# --- trust -------------------------------------------------------------------------------


def test_hospitals_that_were_invented_are_named(ledger, keys):
    verdict = ledger.verdict(trusted=trusted(keys, ("amc", "ucl", "usz")))
    seq = ledger.seq_of("enrolled", actor="site/kul")
    assert "invented" in found(verdict, seq, "untrusted-key")


def test_a_hospital_enrolled_with_another_officers_key_is_named(ledger, keys):
    given = trusted(keys) | {"ucl": frozenset({keys.key("true ucl officer").key_id})}
    seq = ledger.seq_of("enrolled", actor="site/ucl")
    assert "ucl" in found(ledger.verdict(trusted=given), seq, "untrusted-key")


def test_the_old_agent_key_alone_vouches_for_no_new_one(ledger, keys):
    # The file names amc's agent key too, as `concilium-site key` prints it, and that changes
    # nothing: the officer's word is what counts.
    given = trusted(keys)
    given["amc"] |= {keys.key("amc agent").key_id}
    assert ledger.verdict(trusted=given).proven


def test_a_log_founded_by_another_coordinator_is_named(ledger, keys):
    given = trusted(keys) | {"coordinator": frozenset({keys.key("amc agent").key_id})}
    found(ledger.verdict(trusted=given), 0, "untrusted-key")
