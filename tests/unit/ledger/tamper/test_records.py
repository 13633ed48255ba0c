"""The record as a whole is forged: written anew, split in two, restored, or invented."""

from __future__ import annotations

import pytest
from histories import beginning
from saga import HOSPITALS, Saga
from verdicts import cut, found, trusted

from governance import statements
from governance.ledger import checkpoint, merkle, source, store
from governance.ledger.entry import leaf_data
from governance.statements import parse_time


def last_head(intruder):
    with intruder.reading() as c:
        return source.Database(c).checkpoints()[-1]


def shifted(body, gone):
    """Return what the coordinator says with each seq after one that is gone moved up."""
    body = dict(body)
    if "exit" in body:
        body["exit"] -= body["exit"] > gone
    if "rests_on" in body:
        body["rests_on"] = [seq - (seq > gone) for seq in body["rests_on"]]
    return body


def anew(rows, place, keys, gone):
    """Write another log from (received_at, statement), the coordinator's signed again."""
    engine = store.open_engine(source.writable_url(str(place)))
    store.create(engine)
    ledger_key = keys.key("ledger")
    with engine.begin() as c:
        for received_at, said in rows:
            again = said
            if said.key == ledger_key.key_id and said.kind != "enrolled":
                payload = statements.compose(
                    said.kind,
                    shifted(said.body, gone),
                    actor=said.actor,
                    key=said.key,
                    chain=store.chain_of(c, said.key),
                    log=said.log,
                    at=said.at,
                )
                again = statements.read(statements.sign(payload, [ledger_key]))
            store.append(c, again, received_at=parse_time(received_at))
        store.sign_checkpoint(c, ledger_key, keys.log.origin)
    engine.dispose()


@pytest.fixture
def rewritten(ledger, keys, shelf):
    """The log without the last word of usz, its withdrawal, all signed again."""
    rows = [(at, statements.read(envelope)) for _, at, envelope in ledger.entries()]
    gone = ledger.seq_of("consent-withdrawn", actor="site/usz")
    del rows[gone]
    place = shelf.blank()
    anew(rows, place, keys, gone)
    yield shelf.intruder(place, keys.log)
    shelf.drop(place)


def test_a_record_written_anew_and_signed_again_is_found_by_a_head_that_was_kept(
    rewritten, untouched
):
    fault = rewritten.verdict(against=last_head(untouched)).fault
    assert fault.rule in {"history-rewritten", "tail-cut"}


def test_a_record_written_anew_is_not_proven_since_nobody_cosigns_it(rewritten, keys):
    verdict = rewritten.verdict(trusted=trusted(keys, HOSPITALS))
    assert not verdict.proven
    assert "cosigned" in verdict.unproven


def filled(branch, keys, size, version):
    """Let the coordinator speak, truly signed, until a log has so many entries."""
    key, rows = keys.key("ledger"), [(at, envelope) for _, at, envelope in branch.entries()]
    said = [statements.read(envelope) for _, envelope in rows]
    chain = [one.chain for one in said if one.key == key.key_id][-1]
    while len(rows) < size:
        payload = statements.compose(
            "software-started",
            {"program": "p", "version": version, "os": "Linux"},
            actor="coordinator",
            key=key.key_id,
            chain=chain,
            log=keys.log,
            at=said[-1].at,
        )
        envelope = statements.sign(payload, [key])
        chain = statements.read(envelope).chain
        rows.append((rows[-1][0], envelope))
    branch.rewrite(rows)


def test_two_histories_for_two_sites_are_told_apart_by_the_head_of_the_other(
    ledger, keys, shelf
):
    size = ledger.seq_of("round-opened", round=30)
    cut(ledger, size)
    other = shelf.intruder(shelf.copied(ledger.path), keys.log)
    filled(ledger, keys, size + 1, "one")
    filled(other, keys, size + 1, "another")
    root = tree_root(other)
    assert root != tree_root(ledger)
    head = checkpoint.Checkpoint(keys.log.origin, size + 1, root)
    shown = source.split_witnesses(checkpoint.sign(head, keys.key("ledger")))
    found(ledger.verdict(against=shown), size, "history-rewritten")


def tree_root(intruder):
    frontier = merkle.Frontier()
    for seq, at, envelope in intruder.entries():
        frontier.append(merkle.leaf_hash(leaf_data(seq, at, envelope)))
    return frontier.root()


def test_an_old_backup_that_was_restored_is_found_by_a_head_that_was_kept(ledger, untouched):
    size = ledger.seq_of("round-opened", round=20)
    cut(ledger, size)
    found(ledger.verdict(against=last_head(untouched)), size, "tail-cut")


def test_an_old_backup_that_went_on_is_found_by_a_head_that_was_kept(ledger, untouched, keys):
    size = ledger.seq_of("round-opened", round=20)
    cut(ledger, size)
    ledger.run((f"DELETE FROM disclosures WHERE seq >= {size}",))
    filled(ledger, keys, len(untouched.entries()), "after the restore")
    closed = ledger.seq_of("updates-deleted", round=19) + 1  # the last head that still agrees
    found(ledger.verdict(against=last_head(untouched)), closed, "history-rewritten")


@pytest.mark.parametrize(
    ("edit", "kind", "said_by"),
    [
        ("consents SET state = 'in-force' WHERE site = 'kul'", "consent-withdrawn", "site/kul"),
        ("keys SET until_seq = NULL WHERE name = 'amc'", "key-rotated", "site/amc"),
        (
            "rounds SET state = 'closed' WHERE round = 7 AND attempt = 1",
            "round-abandoned",
            None,
        ),
        ("reservations SET epsilon_total = '0.1' WHERE site = 'gem' AND round = 4", None, None),
    ],
)
def test_an_edited_projection_alone_is_named(ledger, edit, kind, said_by):
    ledger.run((f"UPDATE {edit}",))
    body = {"actor": said_by} if said_by else {}
    seq = ledger.seq_of(kind, **body) if kind else None
    if seq is None:
        seq = ledger.seq_of("budget-reserved", actor="site/gem", round=4)
    assert found(ledger.verdict(), seq, "projection-altered")


def test_the_keys_of_two_sites_swapped_are_named(ledger):
    swap = "CASE name WHEN 'kul' THEN 'ucl' ELSE 'kul' END"
    ledger.run((f"UPDATE keys SET name = {swap} WHERE name IN ('kul', 'ucl')",))
    seq = ledger.seq_of("enrolled", actor="site/kul")
    found(ledger.verdict(), seq, "projection-altered")


def test_an_edited_checkpoint_is_named(ledger, keys):
    head = checkpoint.Checkpoint(keys.log.origin, 40, bytes(range(32)))
    forged = checkpoint.sign(head, keys.key("gem agent"))
    ledger.run(
        ("INSERT INTO checkpoints VALUES (40, ?, ?)", head.root, forged),
    )
    found(ledger.verdict(), 39, "bad-checkpoint")


def test_the_keys_of_two_sites_swapped_from_the_beginning_are_named(ledger, keys):
    # All that kul said in the record was said by the hospital that is usz, and the other way.
    known = trusted(keys, HOSPITALS)
    known["kul"], known["usz"] = known["usz"], known["kul"]
    seq = ledger.seq_of("enrolled", actor="site/kul")
    assert "kul" in found(ledger.verdict(trusted=known), seq, "untrusted-key")


@pytest.fixture(scope="session")
def invented(shelf, authorities, first_issuing):
    """A second log, from its first entry on, of hospitals that nobody has ever heard of."""
    place = shelf.blank()
    with beginning(place, authorities, first_issuing) as federation:
        own = federation.key
        federation.key = lambda name: own(f"invented {name}")
        saga = Saga(federation)
        saga.begin()
        for number in (1, 2, 3):
            saga.round(number)
    return shelf.intruder(place, federation.log)


def test_a_second_log_of_five_invented_hospitals_is_named_by_the_true_ones_keys(invented, keys):
    assert invented.verdict().verified  # it agrees with itself in all
    seq = invented.seq_of("enrolled", actor="site/amc")
    fault = found(invented.verdict(trusted=trusted(keys, HOSPITALS)), seq, "untrusted-key")
    assert "amc is not one that the hospital gave" in fault


def test_five_invented_hospitals_with_keys_of_their_own_are_named(ledger, keys):
    true = {site: frozenset({keys.key(f"true {site} officer").key_id}) for site in HOSPITALS}
    seq = ledger.seq_of("enrolled", actor="site/amc")
    assert "officer" in found(ledger.verdict(trusted=true), seq, "untrusted-key")


def test_the_untouched_record_is_proven_to_who_has_the_hospitals_keys(untouched, keys):
    assert untouched.verdict(trusted=trusted(keys, HOSPITALS)).proven
