"""What every round asks of the record is found by an index, however long the record is."""

from __future__ import annotations

import pytest
from sqlalchemy.dialects import sqlite

from governance.ledger import (
    attempts,
    project_consents,
    project_contributions,
    project_rounds,
    rebuild,
)

ASKED = {
    "an attempt": (attempts._ATTEMPT, "round=? AND attempt=?"),
    "a task's reservation": (project_contributions._RESERVED_FOR, "site=? AND task=?"),
    "a round's reservations": (project_contributions._PAID, "site=? AND round=?"),
    "a round's contributions": (project_contributions._CONTRIBUTED, "round=?"),
    "who contributed": (project_rounds._MADE, "round=? AND attempt=?"),
    "an agreement": (project_consents._AGREEMENT, "digest=?"),
}


@pytest.mark.parametrize("name", ASKED)
def test_a_rounds_questions_are_answered_by_an_index(name):
    question, found_by = ASKED[name]
    compiled = question._clause.compile(dialect=sqlite.dialect())
    with rebuild.empty() as connection:
        plan = connection.exec_driver_sql(
            f"EXPLAIN QUERY PLAN {compiled}", tuple("x" for _ in compiled.params)
        )
        said = [row[3] for row in plan]
    assert found_by in said[0], said
