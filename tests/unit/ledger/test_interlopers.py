"""What somebody put beside the triggers of an append-only table is found, and taken away."""

from __future__ import annotations

import pytest

from governance.ledger import interlopers, source
from governance.ledger.verify import verify

SQLITE = {
    "trigger hides": "CREATE TRIGGER hides AFTER INSERT ON cosignatures BEGIN"
    " SELECT RAISE(IGNORE); END",
}
POSTGRESQL = {
    "rule hides": "CREATE RULE hides AS ON INSERT TO cosignatures DO INSTEAD NOTHING",
    "trigger hides": "CREATE TRIGGER hides BEFORE INSERT ON cosignatures FOR EACH ROW"
    " EXECUTE FUNCTION suppress_redundant_updates_trigger()",
    "row security": "ALTER TABLE cosignatures ENABLE ROW LEVEL SECURITY",
}


def cases(c):
    return SQLITE if c.dialect.name == "sqlite" else POSTGRESQL


def test_a_log_as_it_was_made_has_nothing_beside_its_triggers(agreed):
    assert interlopers.found(agreed.connection) == []


@pytest.mark.parametrize("what", ["trigger hides", "rule hides", "row security"])
def test_what_acts_on_a_table_beside_its_triggers_is_a_fault_until_it_is_taken_away(
    agreed, what
):
    c = agreed.connection
    if what not in cases(c):
        pytest.skip("SQLite has triggers alone")
    c.exec_driver_sql(cases(c)[what])
    fault = verify(source.Database(c)).fault
    assert fault.rule == "foreign-trigger"
    assert f"{what} of cosignatures" in fault.sentence
    assert interlopers.remove(c) == [f"{what} of cosignatures"]
    assert verify(source.Database(c)).verified
