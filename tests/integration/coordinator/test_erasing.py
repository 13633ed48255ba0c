"""Holds and erasures by operators' acts: at the coordinator, and in what it hands out."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime
from pathlib import Path

from operators import both_in_force, refusal

from governance import statements
from governance.ledger import source
from governance.statements import Chain
from protos.words import Digest
from protos.words_operator import OperatorAct

COURT = {"reason": "a court asked"}


def consent_of(fed, site="amc"):
    database = source.open_database(fed.url)
    with database.connect() as c:
        found = c.exec_driver_sql(
            "SELECT seq FROM entries WHERE kind = 'consent-given' AND site = ?", (site,)
        ).scalar_one()
    database.dispose()
    return found


def disclosed(fed):
    database = source.open_database(fed.url)
    with database.connect() as c:
        told = {(seq, one.label): one for seq, one in source.Database(c).disclosures()}
    database.dispose()
    return told


async def ask(fed, seq, site="amc"):
    said = fed.site(site)
    body = {"entry": seq, "label": "officer"}
    await said.must_say("erasure-requested", body, key=said.officer)


async def test_an_erased_value_is_gone_from_the_coordinators_database(fed):
    await fed.in_force()
    seq = consent_of(fed)
    assert (seq, "officer") in disclosed(fed)
    with refusal("owner-did-not-ask"):
        await fed.act("erased", {"entry": seq, "label": "officer"})
    await ask(fed, seq)
    acted = await fed.act("erased", {"entry": seq, "label": "officer"})
    assert not acted.pending
    assert (seq, "officer") not in disclosed(fed)
    assert (seq, "role") in disclosed(fed)


async def test_nothing_under_a_hold_is_erased(fed):
    await fed.in_force()
    seq = consent_of(fed)
    await ask(fed, seq)
    await fed.act("hold-set", {"subject": "site/amc"}, told=COURT)
    with refusal("under-hold"):
        await fed.act("erased", {"entry": seq, "label": "officer"})
    await fed.act("hold-lifted", {"subject": "site/amc"}, told=COURT)
    await fed.act("erased", {"entry": seq, "label": "officer"})


async def test_holds_and_erasures_wait_for_a_second_operator_where_two_must(fed):
    await both_in_force(fed, **{"operators.two_for": ["erase", "hold"]})
    seq = consent_of(fed)
    await ask(fed, seq)
    acted = await fed.act("erased", {"entry": seq, "label": "officer"})
    assert acted.pending
    assert (seq, "officer") in disclosed(fed)
    await fed.ask(lambda console: console.approve(acted.result[:12]), by="rossi")
    assert (seq, "officer") not in disclosed(fed)
    assert (await fed.act("hold-set", {"subject": "all"}, told=COURT)).pending


async def test_a_statement_without_a_value_it_commits_to_is_refused(fed):
    await fed.in_force()
    identity = fed.folders.identity("van-dijk")
    key, told = identity.signing_key(), statements.disclose("reason", "why", salt=bytes(32))

    def withhold(console):
        status = console.status()
        payload = statements.compose(
            "hold-set",
            {"subject": "all"},
            actor=identity.actor,
            key=key.key_id,
            chain=Chain(status.operator_counter, Digest(status.operator_previous)),
            log=identity.log,
            at=datetime.now(UTC),
            disclosures=[told],
        )
        return console._send(OperatorAct(statements.sign(payload, [key])))

    with refusal("disclosure-missing"):
        await fed.ask(withhold)


async def test_the_bytes_of_an_erased_value_are_overwritten(fed):
    await fed.in_force()
    seq = consent_of(fed)
    salt = disclosed(fed)[seq, "officer"].salt
    path = Path(fed.url.removeprefix("sqlite:///"))
    assert salt in whole(path)
    await ask(fed, seq)
    await fed.act("erased", {"entry": seq, "label": "officer"})
    assert salt not in whole(path)


def whole(path):
    """Return a database's bytes, with all that its log still held."""
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    return path.read_bytes()
