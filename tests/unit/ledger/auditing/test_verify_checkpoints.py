"""A tail cut off and a log written anew are found by checkpoints and cosignatures."""

from __future__ import annotations

from verdicts import checkpoints_of, cut, found

from governance import statements
from governance.identity.keys import SigningKey
from governance.ledger import checkpoint, source
from governance.statements import Chain


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
