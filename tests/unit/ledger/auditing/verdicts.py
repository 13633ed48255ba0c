"""What tests of a verdict share: the fault it names, the keys it trusts, a tail cut off."""

from __future__ import annotations

from governance.ledger import source

SITES = ("amc", "kul", "ucl", "usz")


def found(verdict, seq, rule):
    assert verdict.fault is not None
    assert (verdict.fault.seq, verdict.fault.rule) == (seq, rule), verdict.fault
    assert not verdict.verified
    assert not verdict.proven
    return verdict.fault.sentence


def trusted(keys, sites=SITES):
    return {site: frozenset({keys.key(f"{site} officer").key_id}) for site in sites}


def checkpoints_of(ledger):
    engine = source.open_database(str(ledger.path))
    with engine.connect() as connection:
        heads = source.Database(connection).checkpoints()
    engine.dispose()
    return heads


def cut(ledger, size, *, checkpoints=True):
    ledger.run(
        ("DELETE FROM entries WHERE seq >= ?", size),
        ("DELETE FROM disclosures WHERE seq >= ?", size),
    )
    ledger.rewrite([(at, envelope) for _, at, envelope in ledger.entries()])
    if checkpoints:
        ledger.run(
            ("DELETE FROM checkpoints WHERE size > ?", size),
            ("DELETE FROM cosignatures WHERE size > ?", size),
        )
