"""An entry or a table row altered, deleted, inserted or moved is found and named."""

from __future__ import annotations

import pytest
from verdicts import checkpoints_of, found

from governance import statements
from governance.identity.keys import SigningKey
from governance.ledger.signatures import Signatures
from governance.statements import Chain


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
