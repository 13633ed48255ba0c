"""One byte of each class is flipped in the database: each is found, and named."""

from __future__ import annotations

import json

import pytest
from saga import ROUNDS
from verdicts import checkpoints_of, found


def test_the_untouched_history_has_no_fault(untouched):
    verdict = untouched.verdict()
    assert verdict.fault is None
    assert verdict.entries == len(untouched.entries())
    assert len(checkpoints_of(untouched)) == ROUNDS + 1
    assert verdict.witnessed == verdict.checkpoint_size == verdict.entries


def flipped(envelope, field):
    """Change one character of a field of an envelope, which stays JSON."""
    said = json.loads(envelope)
    holder, name = (said, "payload")
    if field in {"sig", "keyid"}:
        holder, name = said["signatures"][0], field
    elif field == "payloadType":
        name = field
    text = holder[name]
    middle = len(text) // 2
    other = "B" if text[middle] != "B" else "C"
    holder[name] = text[:middle] + other + text[middle + 1 :]
    return json.dumps(said, sort_keys=True, separators=(",", ":")).encode()


def test_a_dropped_trigger_is_named_though_nothing_was_written(ledger):
    ledger.drop_trigger()
    fault = ledger.verdict().fault
    assert fault.rule == "trigger-missing"
    assert ledger.trigger in fault.sentence


@pytest.mark.parametrize("field", ["payload", "sig", "keyid", "payloadType"])
def test_a_byte_of_an_envelope_is_found_by_its_leaf(ledger, field):
    seq = ledger.seq_of("contribution-made", round=12)
    envelope = flipped(ledger.entries()[seq][2], field)
    ledger.run(("UPDATE entries SET envelope = ? WHERE seq = ?", envelope, seq))
    assert "altered" in found(ledger.verdict(), seq, "altered")


def test_a_byte_of_a_signature_is_found_when_all_hashes_were_made_anew(ledger):
    seq = ledger.seq_of("contribution-made", round=12)
    rows = [(at, envelope) for _, at, envelope in ledger.entries()]
    rows[seq] = (rows[seq][0], flipped(rows[seq][1], "sig"))
    ledger.rewrite(rows)
    assert ledger.verdict().fault.seq == seq


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ("received_at = replace(received_at, '2026', '2027')", "altered"),
        ("leaf_hash = zeroblob(32)", "altered"),
        ("statement = replace(statement, substr(statement, 1, 4), '0000')", "column-altered"),
        ("kind = 'evaluation-made'", "column-altered"),
        ("actor = 'site/usz'", "column-altered"),
        ("site = 'xyz'", "column-altered"),
        ("round = 99", "column-altered"),
        ("attempt = 2", "column-altered"),
        ("agreement = NULL", "column-altered"),
        ("signer = 'ed25519:00'", "column-altered"),
        ("counter = counter + 1000", "column-altered"),
        ("seq = 9999", "entry-missing"),
    ],
)
def test_a_byte_of_a_column_is_named(ledger, change, rule):
    seq = ledger.seq_of("contribution-made", round=12, actor="site/amc")
    ledger.run((f"UPDATE entries SET {change} WHERE seq = ?", seq))
    found(ledger.verdict(), seq, rule)


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ("checkpoints SET root = zeroblob(32)", "bad-checkpoint"),
        ("checkpoints SET note = replace(note, ' ', '  ')", "bad-checkpoint"),
        ("cosignatures SET line = substr(line, 1, length(line) - 6) || 'AAAA=='", None),
        ("nodes SET hash = zeroblob(32)", "projection-altered"),
        ("disclosures SET value = 'somebody else'", "disclosure-mismatch"),
        ("disclosures SET salt = zeroblob(31) || x'01'", "disclosure-mismatch"),
        ("disclosures SET label = 'rank' WHERE label = 'role'", "disclosure-mismatch"),
    ],
)
def test_a_byte_beside_the_entries_is_named(ledger, change, rule):
    ledger.run((f"UPDATE {change}",))
    fault = ledger.verdict().fault
    assert fault.rule == (rule or "bad-cosignature")
    assert fault.sentence
