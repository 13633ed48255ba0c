"""A trigger that is gone, off or another one is found, and made anew, on each engine."""

from __future__ import annotations

import pytest
from admission import unguarded

from governance.ledger import source, triggers
from governance.ledger.verify import verify


def test_a_log_as_it_was_made_lacks_no_trigger(agreed):
    assert triggers.missing(agreed.connection) == []
    assert verify(source.Database(agreed.connection)).verified


@pytest.mark.parametrize("table", ["entries", "nodes", "checkpoints", "cosignatures"])
def test_a_table_without_its_triggers_is_a_fault_until_they_are_made_anew(agreed, table):
    c = agreed.connection
    unguarded(c, table)
    fault = verify(source.Database(c)).fault
    assert fault.rule == "trigger-missing"
    assert f"{table}_only_new" in fault.sentence
    assert all(name.startswith(table) for name in triggers.restore(c))
    assert verify(source.Database(c)).verified


def test_a_trigger_that_does_nothing_any_more_is_found(agreed):
    c = agreed.connection
    if c.dialect.name == "sqlite":
        c.exec_driver_sql("DROP TRIGGER entries_no_delete")
        c.exec_driver_sql(
            "CREATE TRIGGER entries_no_delete BEFORE DELETE ON entries BEGIN SELECT 1; END"
        )
        expected = ["entries_no_delete"]
    else:
        c.exec_driver_sql(
            "CREATE OR REPLACE FUNCTION entries_refuse() RETURNS trigger LANGUAGE plpgsql"
            " AS $$ BEGIN RETURN OLD; END $$"
        )
        expected = ["entries_no_change", "entries_no_truncate"]
    assert triggers.missing(c) == expected
    triggers.restore(c)
    assert triggers.missing(c) == []
