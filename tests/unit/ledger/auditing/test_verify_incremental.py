"""From a head up to which a record was verified, later signatures alone are checked again."""

from __future__ import annotations

import base64
import json

import pytest
from verdicts import found, trusted

from governance.ledger import source, verdicts, watching
from governance.terminal import Format
from protos.errors import Refused


def badly_signed(envelope):
    """Return an envelope whose signatures are no signatures."""
    said = json.loads(envelope)
    for signature in said["signatures"]:
        signature["sig"] = base64.b64encode(bytes(64)).decode()
    return json.dumps(said, separators=(",", ":"), sort_keys=True).encode()


def size_of(head):
    return int(head.note.split("\n")[1])


def test_record_that_goes_on_is_verified_and_the_verdict_says_from_where(ledger, keys, kept):
    verdict = ledger.verdict(against=kept, incremental=True, trusted=trusted(keys))
    assert verdict.verified, verdict.sentence
    assert verdict.signatures_from == size_of(kept)
    assert verdict.to_json()["signatures_from"] == size_of(kept)
    said = verdicts.answer(verdict, Format.TABLE).notes
    assert any(f"checked from entry {size_of(kept)} on" in line for line in said)


def test_bad_signature_after_the_head_is_found(ledger, keys, speak, kept):
    body = {"program": "concilium-site", "version": "0.1.0", "os": "Linux 6.1"}
    said = speak("software-started", body, "site/ucl", keys.key("ucl agent"))
    seq = len(ledger.entries())
    assert seq >= size_of(kept)
    ledger.append(badly_signed(said))
    found(ledger.verdict(against=kept, incremental=True), seq, "bad-signature")


def test_signature_before_the_head_cannot_be_changed_unseen(ledger, kept):
    rows = [(at, envelope) for _, at, envelope in ledger.entries()]
    at, envelope = rows[20]
    rows[20] = (at, badly_signed(envelope))
    ledger.rewrite(rows)
    ledger.run(("DELETE FROM checkpoints",), ("DELETE FROM cosignatures",))
    found(ledger.verdict(against=kept, incremental=True), 0, "history-rewritten")


def test_entries_verified_before_are_read_again(ledger, kept):
    verdict = ledger.verdict(against=kept, incremental=True)
    assert verdict.entries == len(ledger.entries())


def test_nothing_to_go_on_from_is_said(ledger):
    with pytest.raises(Refused, match="up to where"):
        ledger.verdict(incremental=True)


def test_nobody_sees_a_bar_where_there_is_no_terminal(ledger, capsys):
    with ledger.reading() as c:
        held = source.Database(c)
        with watching.bar(held) as watch:
            seen = list(watch("Checking entries", held.entries()))
        assert len(seen) == held.size() == len(ledger.entries())
    assert capsys.readouterr().err == ""


def test_bar_on_a_terminal_is_on_standard_error_and_loses_no_entry(ledger, capsys, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with ledger.reading() as c:
        held = source.Database(c)
        with watching.bar(held) as watch:
            seen = list(watch("Checking entries", held.entries()))
        assert len(seen) == held.size()
    said = capsys.readouterr()
    assert "Checking entries" in said.err
    assert said.out == ""
