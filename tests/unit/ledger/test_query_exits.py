"""What an auditor is told of exits."""

from __future__ import annotations

import pytest
from test_exits import LEAVES, REMOVED, step, whole_exit

from governance.ledger import query_exits
from protos.errors import Refused


def test_exits_say_who_left_where_it_stands_and_what_is_due(agreed):
    request = agreed.operator("exit-requested", REMOVED)
    step(agreed, request, "quiesced", "no-round")
    (row,) = query_exits.exits_held(agreed.connection).named()
    assert (row["site"], row["cause"], row["asked_by"]) == ("amc", "removed", "operator/ops")
    assert row["state"] == "quiesced"
    assert row["still_due"].startswith("credentials-revoked, cleaned, impact-listed")


def test_an_exit_is_told_step_by_step_with_the_time_of_each(agreed):
    whole_exit(agreed)
    answer = query_exits.exit_of(agreed.connection, "amc")
    rows = answer.named()
    assert rows[0]["step"] == "requested"
    assert rows[-1]["step"] == "closed"
    assert [row["at"] for row in rows] == sorted(row["at"] for row in rows)
    assert answer.notes == ["Nothing is due any more."]


def test_a_site_that_stays_has_no_exit(agreed):
    agreed.officer("amc", "exit-requested", LEAVES)
    with pytest.raises(Refused) as refused:
        query_exits.exit_of(agreed.connection, "ucl")
    assert refused.value.rule == "no-exit"
    assert query_exits.exits_held(agreed.connection, site="ucl").named() == []
