"""What stands beside the entries is forged, or taken away: tables, views, values, rights."""

from __future__ import annotations

import sys

import pytest
from shelves import Conqueror
from verdicts import found

from governance.ledger import cli, granting


@pytest.fixture
def said(monkeypatch, capsys):
    """Verify a database as an auditor does; return the exit code and all that was said."""

    def said(url):
        monkeypatch.setattr(sys, "argv", ["concilium-ledger", "verify", "--url", str(url)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        told = capsys.readouterr()
        return ended.value.code or 0, " ".join((told.out + told.err).split())

    return said


@pytest.mark.parametrize("seq", [-1, 9999])
def test_a_value_of_no_entry_is_named(ledger, seq):
    value = "INSERT INTO disclosures (seq, label, salt, value) VALUES (?, 'officer', ?, 'x')"
    ledger.run((value, seq, bytes(32)))
    assert "no such entry" in found(ledger.verdict(), seq, "disclosure-mismatch")


def test_a_cosignature_on_no_checkpoint_is_named(ledger):
    more = "INSERT INTO cosignatures (size, site, line) SELECT 9999, site, line"
    ledger.run((f"{more} FROM cosignatures WHERE site = 'amc' AND size < 30",))
    assert "amc" in found(ledger.verdict(), len(ledger.entries()), "bad-checkpoint")


@pytest.mark.parametrize(
    "instead",
    [
        (),
        ("CREATE VIEW audit_consents AS SELECT * FROM consents",),
        ("CREATE TABLE audit_consents AS SELECT * FROM consents",),
    ],
)
def test_a_view_that_is_gone_or_another_is_named(ledger, instead):
    ledger.run(("DROP VIEW audit_consents",), *((command,) for command in instead))
    fault = ledger.verdict().fault
    assert fault.rule == "view-altered"
    assert "audit_consents" in fault.sentence


def test_a_view_that_hides_a_withdrawal_is_named(ledger):
    with ledger.sql() as db:
        asked = "SELECT sql FROM sqlite_master WHERE name = 'audit_consents'"
        if isinstance(ledger, Conqueror):
            asked = (
                "SELECT 'CREATE VIEW audit_consents AS ' || pg_get_viewdef('audit_consents')"
            )
        ((made,),) = db.execute(asked).fetchall()
        db.execute("DROP VIEW audit_consents")
        db.execute(f"{made.rstrip(';')} WHERE consents.state <> 'withdrawn'")
    assert ledger.verdict().fault.rule == "view-altered"


@pytest.mark.parametrize("change", ["DROP TABLE {} CASCADE", "ALTER TABLE {} RENAME TO others"])
def test_a_record_without_one_of_its_tables_is_refused_in_one_sentence(ledger, said, change):
    if not isinstance(ledger, Conqueror):
        change = change.replace(" CASCADE", "")
    ledger.run((change.format("patient_counts"),))
    code, told = said(ledger.path)
    assert (code, "[record-unreadable]" in told) == (2, True), told


def test_an_auditors_role_that_may_read_no_value_verifies_all_else_and_says_so(ledger, said):
    if not isinstance(ledger, Conqueror):
        pytest.skip("roles are PostgreSQL's")
    with ledger.sql() as db:
        db.execute("DROP ROLE IF EXISTS app_of_beside")
        db.execute("DROP ROLE IF EXISTS reader_of_beside")
        db.execute("CREATE ROLE app_of_beside")
        db.execute("CREATE ROLE reader_of_beside LOGIN")
        for statement in granting.grants("app_of_beside", auditor="reader_of_beside"):
            db.execute(statement)
    reader = ledger.path.replace("postgres:@", "reader_of_beside:@")
    code, told = said(reader)
    assert (code, "every check passed" in told) == (0, True), told
    assert "may not read what is disclosed" in told
    with ledger.sql() as db:
        db.execute("DROP OWNED BY app_of_beside, reader_of_beside")
        db.execute("DROP ROLE app_of_beside, reader_of_beside")
